"""What an improvement changes for an average customer: baseline and effect, with their errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from cxpredict.data.checks import Floats
from cxpredict.errors import DataError
from cxpredict.value.covariates import plain_matrix, smooth_matrix
from cxpredict.value.rox.adjust import (
    Ints,
    Sample,
    adjusted_means,
    adjusted_slopes,
    covariance_of,
    plain_means,
    plain_slopes,
)
from cxpredict.value.rox.economics import (
    MIN_EVENTS,
    MIN_GROUP,
    MIN_LEFT,
    check_support,
    per_presence,
    too_few,
)
from cxpredict.value.rox.segments import correlation_of

ARMS = ("late answer", "answer in time")


@dataclass(frozen=True)
class EffectEconomics:
    """What customers do in a period without an improvement, and what it changes.

    Parameters
    ----------
    quantities : list of str
        ``retention`` and the money that is counted, per full period of presence.
    baseline, adjusted, unadjusted : ndarray
        Level without the improvement; change with it, adjusted and not, for an average customer.
    covariance, unadjusted_covariance : ndarray
        Of baseline and change, in this order.
    occasions, customers : int
        Rows and different customers that the effect is estimated from; 0 for a test.
    reach : float
        Share of customers whom the improvement concerns in a period.
    dose : float
        What changes for them: share of requests more that are answered in time, or mean rise of
        the score.
    evidence : {"adjusted", "experimental"}
        Whether the effect comes from the log or from a test.
    refused : mapping of str to str
        Quantities that the data cannot tell, and what is missing.
    """

    quantities: list[str]
    baseline: Floats
    adjusted: Floats
    unadjusted: Floats | None
    covariance: Floats
    unadjusted_covariance: Floats | None
    occasions: int
    customers: int
    reach: float
    dose: float
    evidence: Literal["adjusted", "experimental"] = "adjusted"
    refused: Mapping[str, str] = field(default_factory=dict)

    def table(self) -> pd.DataFrame:
        """Return ``quantity``, ``baseline``, ``adjusted``, ``unadjusted`` and their errors."""
        q = len(self.quantities)
        table = pd.DataFrame({"quantity": self.quantities, "baseline": self.baseline})
        table["baseline_se"] = np.sqrt(np.diag(self.covariance)[:q])
        table["adjusted"] = self.adjusted
        table["adjusted_se"] = np.sqrt(np.diag(self.covariance)[q:])
        if self.unadjusted is not None and self.unadjusted_covariance is not None:
            table["unadjusted"] = self.unadjusted
            table["unadjusted_se"] = np.sqrt(np.diag(self.unadjusted_covariance)[q:])
        return table


def effect_of(
    base: pd.DataFrame,
    reached: Any,
    occasions: pd.DataFrame,
    covariates: pd.DataFrame,
    amount: Any,
    *,
    step: float,
    what: str,
    arms: Sequence[str] | None = None,
    refused: Mapping[str, str] | None = None,
    random_state: int = 0,
) -> EffectEconomics:
    """Estimate baseline and effect from outcomes of active customers and of occasions.

    Parameters
    ----------
    base, occasions : DataFrame
        ``retained`` and money of the period, as `Outcomes.after` gives; an index level
        ``customer_id`` names the customer. One row per active customer; one per occasion.
    reached : array of bool
        Which rows of `base` had an occasion in the period.
    covariates : DataFrame
        Known before each occasion.
    amount : array of float
        Dose of each occasion; with `arms` 0 or 1.
    step : float
        By how much the improvement changes the dose.
    what : str
        Name of the occasions, for messages.
    arms : sequence of str, optional
        Names of dose 0 and dose 1; without, every unit of the dose has the same effect.
    refused : mapping, optional
        Quantities not counted.
    random_state : int, default 0
        Seed of the folds.

    Returns
    -------
    EffectEconomics
        See `measure_effect`.
    """
    ids = [frame.index.get_level_values("customer_id") for frame in (base, occasions)]
    customers = np.asarray(pd.factorize(ids[1])[0], dtype=np.int64)
    dose = np.asarray(amount, dtype=np.float64)
    stayed = occasions["retained"].to_numpy(dtype=bool)
    codes = np.zeros(len(dose), np.int64) if arms is None else dose.astype(np.int64)
    if arms is None:
        _check_doses(what, dose, stayed, customers)
    else:
        check_support(arms, codes, stayed, customers)
    names = ["customer"] if arms is None else list(arms)
    left_out = dict(refused or {})
    for name in [each for each in occasions.columns if each not in ("retained", "margin")]:
        if reason := too_few(names, codes, occasions[name].to_numpy(dtype=float), customers):
            left_out[name] = reason
    columns = [name for name in occasions.columns if name not in left_out]
    outcome = occasions[columns].to_numpy(dtype="float64")
    sample = Sample(smooth_matrix(plain_matrix(covariates)), customers, outcome)
    if arms is None:
        found = plain_slopes(sample, dose), adjusted_slopes(sample, dose, what, random_state)
        slopes = [(each.values, each.influence) for each in found]
    else:
        both = plain_means(sample, codes, arms), adjusted_means(sample, codes, arms, random_state)
        slopes = [(m.values[1] - m.values[0], m.influence[:, 1] - m.influence[:, 0]) for m in both]
    joined, _ = pd.factorize(np.concatenate([np.asarray(each, dtype=object) for each in ids]))
    known = _Base(
        base[columns].to_numpy(dtype="float64"),
        np.asarray(reached, dtype=float),
        np.asarray(joined, dtype=np.int64),
    )
    (plain, plain_covariance), (adjusted, covariance) = (
        known.with_effect(effect, influence, step) for effect, influence in slopes
    )
    q = len(columns)
    return EffectEconomics(
        quantities=["retention", *columns[1:]],
        baseline=adjusted[:q],
        adjusted=adjusted[q:],
        unadjusted=plain[q:],
        covariance=covariance,
        unadjusted_covariance=plain_covariance,
        occasions=len(occasions),
        customers=sample.n_customers,
        reach=float(known.hit.mean()),
        dose=step,
        refused=left_out,
    )


def effect_of_test(
    base: pd.DataFrame,
    measured: Mapping[str, tuple[float, float]],
    *,
    refused: Mapping[str, str] | None = None,
) -> EffectEconomics:
    """Take the effect of a randomised test, with the baseline of active customers.

    Parameters
    ----------
    base : DataFrame
        As in `effect_of`.
    measured : mapping of str to (effect, standard error)
        As in `TestedEffect`.
    refused : mapping, optional
        Quantities not counted.

    Returns
    -------
    EffectEconomics
        With evidence ``experimental``.

    Notes
    -----
    Tests measure money per customer, E[M], of which those who stay longer bring more; what is
    valued is money per presence, E[M] / (½ + ½E[R]). Effects on both therefore go through the same
    conversion as those of `effect_of`, with their errors by the delta method. Errors of several
    effects are correlated as the quantities are between active customers, as in one test they are:
    who stays brings more. Taken as independent, 95 % intervals would hold the truth in 89 %.
    """
    quantities = ["retention", *base.columns[1:]]
    unknown = [name for name in measured if name not in quantities]
    if unknown:
        raise DataError(f"{', '.join(unknown)}: tested, but the outcomes do not count it.")
    level = base.to_numpy(dtype="float64")
    n, q = level.shape
    effect, error = np.array([measured.get(name, (0.0, 0.0)) for name in quantities]).T
    kept = np.array([name not in measured for name in quantities])
    value, covariance = _Base(level, np.ones(n), np.arange(n)).with_test(effect, error, kept)
    return EffectEconomics(
        quantities=quantities,
        baseline=value[:q],
        adjusted=value[q:],
        unadjusted=None,
        covariance=covariance,
        unadjusted_covariance=None,
        occasions=0,
        customers=0,
        reach=1.0,
        dose=1.0,
        evidence="experimental",
        refused={
            **(refused or {}),
            **{name: "not measured by the test" for name in quantities if name not in measured},
        },
    )


@dataclass(frozen=True)
class _Base:
    """Outcomes of active customers, who of them was reached, and the numbers of all customers."""

    level: Floats
    hit: Floats
    customers: Ints

    def with_effect(self, effect: Floats, influence: Floats, dose: float) -> tuple[Floats, Floats]:
        """Baseline and change per presence, and their covariance, of an effect of the same log."""
        n, q = self.level.shape
        parts = np.zeros((len(self.customers), 2 * q + 1))
        parts[:n, :q], parts[:n, -1] = self._influence()
        parts[n:, q : 2 * q] = influence / len(influence)
        sums = np.zeros((self.customers.max() + 1, parts.shape[1]))
        np.add.at(sums, self.customers, parts)
        return self._change(effect, covariance_of(sums, 1), dose, np.zeros(q, bool))

    def with_test(self, effect: Floats, error: Floats, kept: Any) -> tuple[Floats, Floats]:
        """Baseline and change per presence, and their covariance, of an effect from elsewhere."""
        q = len(effect)
        covariance = np.diag(np.concatenate([np.zeros(q), error**2, [0.0]]))
        covariance[:q, :q] = covariance_of(self._influence()[0], 1)
        correlation = correlation_of(np.cov(self.level.T).reshape(q, q))
        covariance[q : 2 * q, q : 2 * q] = np.outer(error, error) * correlation
        return self._change(effect, covariance, 1.0, kept)

    def _influence(self) -> tuple[Floats, Floats]:
        n = len(self.level)
        return (self.level - self.level.mean(axis=0)) / n, (self.hit - self.hit.mean()) / n

    def _change(
        self, effect: Floats, covariance: Floats, dose: float, kept: Any
    ) -> tuple[Floats, Floats]:
        """Carry means, effects on them and reach over to presence; `kept` keep their level."""
        q = len(effect)
        raw = np.concatenate([self.level.mean(axis=0), effect, [self.hit.mean()]])

        def levels(at: Floats) -> Floats:
            without = at[:q]
            improved = without + at[-1] * dose * at[q : 2 * q]
            before, after = per_presence(without, "through"), per_presence(improved, "through")
            return np.concatenate([before, np.where(kept, 0.0, after - before)])

        value = levels(raw)
        if not 0 < value[0] < 1 or not 0 < value[0] + value[q] < 1:
            raise DataError("retention with or without the improvement is not between 0 and 1.")
        jacobian = _jacobian(levels, raw, np.sqrt(np.diag(covariance)))
        carried = jacobian @ covariance @ jacobian.T
        np.fill_diagonal(carried, np.maximum(np.diag(carried), 0.0))  # of rounding
        return value, carried


def _jacobian(function: Any, at: Floats, errors: Floats) -> Floats:
    steps = np.where(errors > 0, 1e-3 * errors, 1e-6)
    columns = [
        (function(at + step) - function(at - step)) / (2 * width)
        for step, width in zip(np.diag(steps), steps, strict=True)
    ]
    return np.column_stack(columns)


def _check_doses(what: str, dose: Floats, stayed: Any, customers: Ints) -> None:
    missing = []
    left, everyone = len(np.unique(customers[~stayed])), len(np.unique(customers))
    if everyone < MIN_GROUP:
        missing.append(f"{MIN_GROUP} customers (there are {everyone})")
    if left < MIN_LEFT:
        missing.append(f"{MIN_LEFT} who left (there are {left})")
    usual = np.bincount(np.unique(dose, return_inverse=True)[1]).max()
    if len(dose) - usual < MIN_EVENTS:
        missing.append(
            f"{MIN_EVENTS} answers other than the usual one (there are {len(dose) - usual})"
        )
    if missing:
        raise DataError(
            f"{what}: the effect of a point cannot be told; it needs at least {'; '.join(missing)}."
        )
