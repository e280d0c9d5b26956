"""Do two samples have one distribution over cells? Size of the difference, and a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

__all__ = ["Reference", "holm", "p_value", "psi", "psi_between", "psi_limit"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

FEWEST_SCORED = 10
FEWEST_TRAINED = 20


@dataclass(frozen=True)
class Reference:
    """The sample that is compared with.

    Attributes
    ----------
    shares : ndarray of shape (k,)
        Share of each cell.
    rows : int
        Rows that the shares come from.
    mean_effect, mean_square_effect : float
        Design effects of several rows per customer, as from `design_effects`.
    """

    shares: Floats
    rows: int
    mean_effect: float = 1.0
    mean_square_effect: float = 1.0

    @property
    def effective(self) -> float:
        """Number of independent rows that would know the shares as well."""
        return self.rows / max(self.mean_effect, 1e-9)


def psi(reference: Reference, counts: Ints) -> tuple[float, float]:
    """Measure how far a sample is from the reference: population stability index.

    Parameters
    ----------
    reference : Reference
        Where it should be.
    counts : ndarray of int, shape (k,)
        Rows of the sample by cell.

    Returns
    -------
    tuple of float
        The index less what chance alone gives on average, not below 0; and that average.

    Notes
    -----
    PSI = Σ(sₖ − tₖ)·ln(sₖ/tₖ), half a row added to each cell that either side has. Without any
    shift its expectation is near (K − 1)(1/n + 1/m), with n effective rows of the reference and
    m of the sample: a hundred rows in ten bins look like .09.

    References
    ----------
    Yurdakul, Naranjo (2020), Statistical properties of the population stability index.

    Examples
    --------
    >>> ten = Reference(np.full(10, 0.1), 10_000)
    >>> [round(value, 3) for value in psi(ten, np.full(10, 10))]
    [0.0, 0.091]
    >>> half = Reference(np.array([0.5, 0.5]), 1_000_000)
    >>> round(psi(half, np.array([800_000, 200_000]))[0], 3)      # .6 ln(.8/.2) = .3 ln 4 · 2
    0.416
    """
    raw, chance = _raw_psi(reference, counts)
    return max(0.0, raw - chance), chance


def _raw_psi(reference: Reference, counts: Ints) -> tuple[float, float]:
    used = (reference.shares > 0) | (counts > 0)
    k, m = int(used.sum()), int(counts.sum())
    trained = reference.shares[used] * reference.effective + 0.5
    scored = counts[used] + 0.5
    t, s = trained / trained.sum(), scored / scored.sum()
    raw = float(np.sum((s - t) * np.log(s / t)))
    return raw, (k - 1) * (1.0 / reference.effective + 1.0 / m)


def psi_between(table: Ints, mean_effect: float = 1.0) -> Floats:
    """Measure how far each training date is from all the others together.

    Parameters
    ----------
    table : ndarray of int, shape (dates, k), dates ≥ 2
        Rows of each date by cell.
    mean_effect : float
        Design effect of several rows per customer, of the other dates together.

    Returns
    -------
    ndarray of float, shape (dates,)
        The index less what chance gives, as in `psi`, but below 0 where a date is nearer than
        chance would have it: so that the mean over dates is about 0 where they do not differ.

    Examples
    --------
    >>> psi_between(np.array([[500, 500], [500, 500], [800, 200]])).round(1).tolist()
    [0.1, 0.1, 0.4]
    """
    total = table.sum(axis=0)
    found = []
    for counts in table:
        others = total - counts
        rows = int(others.sum())
        raw, chance = _raw_psi(Reference(others / rows, rows, mean_effect), counts)
        found.append(raw - chance)
    return np.array(found)


def psi_limit(mean_psi: float, dates: int, alpha: float) -> float:
    """Give the size up to which a further date may differ as training dates do.

    Parameters
    ----------
    mean_psi : float
        Mean over the training dates, as from `psi_between`.
    dates : int ≥ 2
        How many there were.
    alpha : float in (0, 1)
        Probability that a date like those lies beyond.

    Returns
    -------
    float
        0 where training dates do not differ.

    Notes
    -----
    A date moves the shares along one direction by a normal amount, independent of other dates;
    PSI is about its square. Then the PSI of a further date over the mean of the training dates
    follows F(1, dates − 1). A date that moves shares in several directions varies less: the limit
    is cautious. With few dates it is far out: at alpha .001 it is 12 means with 30 dates, 47 with
    6, 999 with 3.

    Examples
    --------
    >>> [round(psi_limit(0.01, dates, 0.001), 1) for dates in (30, 6, 3)]
    [0.1, 0.5, 10.0]
    """
    return max(0.0, mean_psi) * float(stats.f.isf(alpha, 1, dates - 1))


def p_value(reference: Reference, counts: Ints, *, watched: Sequence[int] = ()) -> float:
    """Test that a sample comes from the distribution of the reference.

    Parameters
    ----------
    reference : Reference
        Shares from rows that may be several per customer.
    counts : ndarray of int, shape (k,)
        Rows of the sample by cell, one per customer and independent of the reference.
    watched : sequence of int
        Cells that, where they are too rare for the main test, are tested on their own for being
        more frequent than they were: gaps, other levels.

    Returns
    -------
    float
        1 where there are too few rows to tell anything.

    Notes
    -----
    Pearson's X² of two samples. Neighbouring cells are joined until 10 rows of the sample, and 20
    effective ones of the reference, are expected in each. Several rows per customer stretch the
    distribution of X²: it is read from the gamma distribution with the mean and the variance that
    the design effects give (Rao and Scott's second-order correction). A rare watched cell is
    tested by the exact tail of the beta-binomial; the smallest p counts times the number of tests.

    Customers of the sample who were in the reference too make the test cautious: what they have in
    common does not differ.

    References
    ----------
    Rao, Scott (1984), On chi-squared tests for multiway contingency tables with cell proportions
    estimated from survey data.

    Examples
    --------
    >>> half = Reference(np.array([0.5, 0.5]), 10**9)
    >>> round(p_value(half, np.array([60, 40])), 4)               # z = 2
    0.0455
    >>> round(p_value(Reference(np.array([1.0, 0.0]), 999), np.array([99, 1]), watched=[1]), 4)
    0.091
    """
    m = int(counts.sum())
    joined = _joined(reference, m)
    found = [_chi_square(reference, counts, joined)] if joined.max() > 0 else []
    rare = [place for place in watched if m * reference.shares[place] < FEWEST_SCORED]
    found += [_rarer_before(reference, place, int(counts[place]), m) for place in rare]
    return float(min(1.0, len(found) * min(found))) if found else 1.0


def _joined(reference: Reference, m: int) -> Ints:
    """Give the group of each cell: neighbours together that are large enough to be tested."""
    group, groups, mass = 0, [], 0.0
    for share in reference.shares:
        groups.append(group)
        mass += float(share)
        if m * mass >= FEWEST_SCORED and reference.effective * mass >= FEWEST_TRAINED:
            group, mass = group + 1, 0.0
    return np.minimum(np.array(groups, dtype=np.intp), max(group - 1, 0))


def _chi_square(reference: Reference, counts: Ints, joined: Ints) -> float:
    n, m, free = reference.rows, int(counts.sum()), int(joined.max())
    t = np.bincount(joined, reference.shares)
    s = np.bincount(joined, counts) / m
    pooled = (reference.effective * t + m * s) / (reference.effective + m)
    distance = float(np.sum((s - t) ** 2 / pooled))
    first, second = reference.mean_effect, reference.mean_square_effect
    mean = free * (first / n + 1.0 / m)
    variance = 2.0 * free * (second / n**2 + 2.0 * first / (n * m) + 1.0 / m**2)
    return float(stats.gamma.sf(distance, mean**2 / variance, scale=variance / mean))


def _rarer_before(reference: Reference, place: int, count: int, m: int) -> float:
    """Probability of so many rows in a cell, given how few the reference has."""
    before = reference.shares[place] * reference.effective
    rest = max(reference.effective - before, 1.0)
    return float(stats.betabinom.sf(count - 1, m, before + 1.0, rest))


def holm(p: Floats) -> Floats:
    """Correct p-values for being many: Holm's step-down method, valid for any dependence.

    Parameters
    ----------
    p : ndarray of float
        P-values; missing ones are no tests and stay missing.

    Returns
    -------
    ndarray of float

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, np.nan, 0.03])).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    corrected = np.full(len(p), np.nan)
    tests = np.flatnonzero(np.isfinite(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return corrected
