"""Curves from margin to log-odds, each fitted to margins in bins of equal mass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.isotonic import isotonic_regression

from cxpredict.models.calibration.logistic import platt

__all__ = ["METHODS", "Binned", "Curve", "Method", "equal_mass", "fit_curve", "platt_lines"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Method = Literal["none", "platt", "beta", "isotonic", "venn_abers"]
METHODS: tuple[Method, ...] = ("none", "platt", "beta", "isotonic", "venn_abers")

N_BINS = 256
_VENN_BINS = 64
_BETA_KNOTS = 129
_MIN_SLOPE = 0.01


@dataclass(frozen=True)
class Curve:
    """Log-odds at knots; linear between them, and beyond the ends with a slope above 0."""

    knots: Floats
    log_odds: Floats
    tail_slope: float

    def at(self, margin: Floats) -> Floats:
        """Return the log-odds of each margin."""
        inside = np.interp(margin, self.knots, self.log_odds)
        below = np.minimum(margin - self.knots[0], 0.0)
        above = np.maximum(margin - self.knots[-1], 0.0)
        return np.asarray(inside + self.tail_slope * (below + above), dtype=np.float64)


@dataclass(frozen=True)
class Binned:
    """Margins in bins: mean margin, weight of positives, weight of all; empty bins weigh 0."""

    margin: Floats
    positive: Floats
    total: Floats

    @classmethod
    def of(cls, bins: Ints, margin: Floats, y: Floats, weight: Floats) -> Binned:
        """Sum rows by bin."""
        total: Floats = np.bincount(bins, weight).astype(np.float64)
        positive: Floats = np.bincount(bins, weight * y).astype(np.float64)
        mean = np.bincount(bins, margin) / np.bincount(bins)
        return cls(mean, positive, total)


def equal_mass(margin: Floats) -> Ints:
    """Return the bin of each margin, 256 of equal mass unless margins are tied."""
    edges = np.unique(np.quantile(margin, np.linspace(0.0, 1.0, N_BINS + 1)[1:-1]))
    _, bins = np.unique(np.searchsorted(edges, margin, side="right"), return_inverse=True)
    return np.asarray(bins, dtype=np.intp)


def fit_curve(method: Method, table: Binned) -> Curve:
    """Fit one curve.

    Parameters
    ----------
    method : {"none", "platt", "beta", "isotonic", "venn_abers"}
        Margins as they are; a line; a line whose slope differs between low and high
        probabilities; steps; or steps averaged over both outcomes the next row could have.
    table : Binned
        Margins and outcomes.

    Returns
    -------
    Curve
        A curve that never falls.

    Examples
    --------
    >>> m = np.linspace(-2.0, 2.0, 5)
    >>> table = Binned(m, 1000.0 * expit(2.0 * m), np.full(5, 1000.0))
    >>> for method in METHODS:
    ...     print(method, fit_curve(method, table).at(np.array([1.0])).round(1))
    none [1.]
    platt [2.]
    beta [2.]
    isotonic [2.]
    venn_abers [2.]
    """
    fits = {"beta": _beta, "isotonic": _isotonic, "venn_abers": _venn_abers}
    if method in fits:
        return fits[method](table)
    line = np.array([0.0, 1.0])
    if method == "platt":
        line = platt_lines(table.margin, table.positive[None], table.total[None])[0]
    at = table.margin[0] + np.array([0.0, 1.0])
    return Curve(at, line[0] + line[1] * at, float(line[1]))


def platt_lines(margin: Floats, positive: Floats, total: Floats) -> Floats:
    """Return intercept and rising slope of one regression per row of `positive` and `total`."""
    lines = platt(margin, positive, total)
    lines[:, 1] = np.maximum(lines[:, 1], _MIN_SLOPE)
    return lines


def _slope(table: Binned) -> float:
    return float(platt_lines(table.margin, table.positive[None], table.total[None])[0, 1])


def _beta(table: Binned) -> Curve:
    """Kull, Silva Filho, Flach (2017): log-odds = c + a ln p − b ln(1 − p), a and b above 0."""
    design = np.column_stack([np.ones_like(table.margin), *_logs(table.margin)])
    start = np.array([0.0, 1.0, 1.0])

    def loss(beta: Floats) -> tuple[float, Floats]:
        eta = design @ beta
        value = float(np.sum(table.total * np.logaddexp(0.0, eta) - table.positive * eta))
        slope = design.T @ (table.total * expit(eta) - table.positive)
        # Worth one observation, as in Platt scaling.
        value += 0.5 * float(np.sum((beta - start) ** 2))
        return value, slope + beta - start

    bounds = [(None, None), (_MIN_SLOPE, None), (_MIN_SLOPE, None)]
    beta = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    knots = np.linspace(table.margin[0], table.margin[-1] + 1e-9, _BETA_KNOTS)
    low, high = _logs(knots)
    return Curve(knots, beta[0] + beta[1] * low + beta[2] * high, float(min(beta[1:])))


def _logs(margin: Floats) -> tuple[Floats, Floats]:
    """Return ln p and −ln(1 − p)."""
    return -np.logaddexp(0.0, -margin), np.logaddexp(0.0, margin)


def _isotonic(table: Binned) -> Curve:
    kept = table.total > 0
    inside = table.margin[kept]
    # One observation against the trend at each end keeps the rates off 0 and 1.
    positive = np.concatenate([[1.0], table.positive[kept], [0.0]])
    total = np.concatenate([[1.0], table.total[kept], [1.0]])
    margin = np.concatenate([inside[:1], inside, inside[-1:]])
    rate = np.asarray(isotonic_regression(positive / total, sample_weight=total))
    return _joined(margin, rate, total, _slope(table))


def _venn_abers(table: Binned) -> Curve:
    """Vovk, Petej (2014): isotonic regression with the next row once as 0 and once as 1."""
    kept = table.total > 0
    groups = np.array_split(np.flatnonzero(kept), min(_VENN_BINS, int(kept.sum())))
    sums = [[float(part[g].sum()) for g in groups] for part in (table.positive, table.total)]
    positive, total = np.array(sums[0]), np.array(sums[1])
    margin = np.array([np.average(table.margin[g], weights=table.total[g]) for g in groups])
    rates = []
    for k in range(len(margin)):
        extra = total + (np.arange(len(margin)) == k)
        p0, p1 = (
            isotonic_regression(
                (positive + outcome * (extra - total)) / extra, sample_weight=extra
            )[k]
            for outcome in (0.0, 1.0)
        )
        rates.append(p1 / (1.0 - p0 + p1))
    return _joined(margin, np.maximum.accumulate(rates), total, _slope(table))


def _joined(margin: Floats, rate: Floats, total: Floats, slope: float) -> Curve:
    """Join the middles of steps in log-odds: what the margin tells apart is never tied."""
    block = np.concatenate([[0], np.cumsum(np.diff(rate) > 1e-12)])
    centre = np.bincount(block, total * margin) / np.bincount(block, total)
    level = rate[np.concatenate([[True], np.diff(block) > 0])].clip(1e-9, 1 - 1e-9)
    return Curve(centre, np.asarray(logit(level)), slope)
