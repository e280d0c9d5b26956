"""What an improvement does to customers concerned, from the occasions the log has of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ibis
import numpy as np
import pandas as pd

from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.value.checks import Floats
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
from cxpredict.value.rox.improvements import AnswerWithin, RaiseScore, TestedEffect
from cxpredict.value.rox.outcomes import Outcomes

_LATE, _PROMPT = "late answer", "answer in time"


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
        What changes for them: share of requests more that are answered in time, or points.
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


def measure_effect(
    log: CustomerLog,
    improvement: AnswerWithin | RaiseScore | TestedEffect,
    outcomes: Outcomes,
    *,
    random_state: int | None = None,
) -> EffectEconomics:
    """Estimate what an improvement changes for an average customer in a period.

    Parameters
    ----------
    log : CustomerLog
        The records.
    improvement : AnswerWithin, RaiseScore or TestedEffect
        What gets better.
    outcomes : Outcomes
        What is counted, and over how long a period.
    random_state : int, optional
        Seed of the folds.

    Returns
    -------
    EffectEconomics
        Baseline and change, with their joint covariance.

    Raises
    ------
    DataError
        If the log cannot tell: no such occasions, too few customers or leavers at one of them, no
        variation left, too little overlap, or nothing to improve.

    Notes
    -----
    The baseline is the mean over all customers active one period before the records end. An
    occasion is a request or an answer to the survey whose following period is in the records;
    its effect on that period is estimated as for NPS groups (`group_economics`): answers in time
    against late ones by augmented inverse-propensity weighting; points of a score by what
    covariates leave of outcome and score (double machine learning), taken to be equally large
    for every point and customer. Covariates are those of `log_economics`, of a request also its
    channel. Of a customer with several occasions in a period one counts, and effects beyond one
    period are left out: both make the estimate smaller, not larger.

    With d the dose and λ the share of customers reached in a period, means become E[Y] + λ·d·θ in
    every period of the horizon. The effect of a test is taken as given, for every customer.

    References
    ----------
    Chernozhukov, V. et al. (2018). Double/debiased machine learning. The Econometrics Journal
    21(1), C1–C68.
    """
    start = outcomes.last_start(log)
    active = outcomes.in_period().to_score(log, start)
    if not len(active):
        raise DataError("nobody was a customer one period before the records end.")
    base = outcomes.after(log, active)
    if isinstance(improvement, TestedEffect):
        return _tested(improvement, outcomes, base)
    every = _occasions(log, improvement)
    ends = start + pd.Timedelta(days=outcomes.period_days)
    inside = every["as_of"].gt(start) & every["as_of"].le(ends)
    hit = base.index.get_level_values("customer_id").isin(every.loc[inside, "customer_id"])
    if not hit.any():
        raise DataError(f"{_what(improvement)}: none occurred in the last period of the records.")
    known = every.dropna(subset=["dose"]).drop_duplicates(["customer_id", "as_of"])
    dose = _dose(improvement, every.loc[inside, "dose"].dropna())
    rows = known[known["as_of"] <= start].set_index(["customer_id", "as_of"])
    if rows.empty:
        raise DataError(f"{_what(improvement)}: none can be followed for a period.")
    frame = outcomes.after(log, pd.MultiIndex.from_frame(rows.index.to_frame()))
    X = outcomes.before(log, frame.index)
    rows = rows.loc[frame.index]
    if rows["channel"].notna().any():
        X["channel of the occasion"] = rows["channel"].astype("category").to_numpy()
    return _measured(improvement, outcomes, base, hit, frame, X, rows["dose"], dose, random_state)


def _measured(
    improvement: AnswerWithin | RaiseScore,
    outcomes: Outcomes,
    base: pd.DataFrame,
    hit: Any,
    frame: pd.DataFrame,
    X: pd.DataFrame,
    treated: pd.Series,
    dose: float,
    random_state: int | None,
) -> EffectEconomics:
    ids = [f.index.get_level_values("customer_id") for f in (base, frame)]
    customers, _ = pd.factorize(ids[1])
    amount = treated.to_numpy(dtype="float64")
    stayed = frame["retained"].to_numpy()
    arms = amount.astype(np.int64) if isinstance(improvement, AnswerWithin) else None
    _check_occasions(improvement, arms, amount, stayed, customers)
    refused = dict(outcomes.absent)
    for name in outcomes.counted[1:]:
        group, names = (np.zeros(len(frame), np.int64), ["customer"]) if arms is None else (
            arms, [_LATE, _PROMPT])  # fmt: skip
        if reason := too_few(names, group, frame[name].to_numpy(), customers):
            refused[name] = reason
    quantities = ["retention", *(name for name in outcomes.counted if name not in refused)]
    columns = ["retained", *quantities[1:]]
    outcome = frame[columns].to_numpy(dtype="float64")
    sample = Sample(smooth_matrix(plain_matrix(X)), customers, outcome)
    if arms is not None:
        names = [_LATE, _PROMPT]
        both = plain_means(sample, arms, names), adjusted_means(sample, arms, names, random_state)
        slopes = [(m.values[1] - m.values[0], m.influence[:, 1] - m.influence[:, 0]) for m in both]
    else:
        found = (
            plain_slopes(sample, amount),
            adjusted_slopes(sample, amount, _what(improvement), random_state),
        )
        slopes = [(each.values, each.influence) for each in found]
    level = base[columns].to_numpy(dtype="float64")
    joined, _ = pd.factorize(np.concatenate([np.asarray(each, dtype=object) for each in ids]))
    known = _Base(level, np.asarray(hit, dtype=float), joined)
    (plain, plain_covariance), (adjusted, covariance) = (
        known.with_effect(effect, influence, dose) for effect, influence in slopes
    )
    q = len(quantities)
    return EffectEconomics(
        quantities=quantities,
        baseline=adjusted[:q],
        adjusted=adjusted[q:],
        unadjusted=plain[q:],
        covariance=covariance,
        unadjusted_covariance=plain_covariance,
        occasions=len(frame),
        customers=sample.n_customers,
        reach=float(known.hit.mean()),
        dose=dose,
        refused=refused,
    )


@dataclass(frozen=True)
class _Base:
    """Outcomes of active customers, who of them was reached, and the numbers of all customers."""

    level: Floats
    hit: Floats
    customers: Ints

    def with_effect(self, effect: Floats, influence: Floats, dose: float) -> tuple[Floats, Floats]:
        """Baseline and change per presence, and their covariance."""
        n, q = self.level.shape
        mean, reach = self.level.mean(axis=0), self.hit.mean()
        raw = np.concatenate([mean, effect, [reach]])
        parts = np.zeros((len(self.customers), 2 * q + 1))
        parts[:n, :q] = (self.level - mean) / n
        parts[n:, q : 2 * q] = influence / len(influence)
        parts[:n, -1] = (self.hit - reach) / n
        sums = np.zeros((self.customers.max() + 1, parts.shape[1]))
        np.add.at(sums, self.customers, parts)
        covariance = covariance_of(sums, 1)

        def levels(at: Floats) -> Floats:
            without = at[:q]
            improved = without + at[-1] * dose * at[q : 2 * q]
            before, after = per_presence(without, "through"), per_presence(improved, "through")
            return np.concatenate([before, after - before])

        value = levels(raw)
        if not 0 < value[0] < 1 or not 0 < value[0] + value[q] < 1:
            raise DataError("retention with or without the improvement is not between 0 and 1.")
        jacobian = _jacobian(levels, raw, np.sqrt(np.diag(covariance)))
        return value, jacobian @ covariance @ jacobian.T


def _jacobian(function: Any, at: Floats, errors: Floats) -> Floats:
    steps = np.where(errors > 0, 1e-3 * errors, 1e-6)
    columns = [
        (function(at + step) - function(at - step)) / (2 * width)
        for step, width in zip(np.diag(steps), steps, strict=True)
    ]
    return np.column_stack(columns)


def _tested(improvement: TestedEffect, outcomes: Outcomes, base: pd.DataFrame) -> EffectEconomics:
    quantities = ["retention", *outcomes.counted]
    level = base[["retained", *outcomes.counted]].to_numpy(dtype="float64")
    n, q = level.shape
    nothing = np.zeros((n, q))
    numbers = np.concatenate([np.arange(n), np.arange(n)])
    value, covariance = _Base(level, np.ones(n), numbers).with_effect(np.zeros(q), nothing, 1.0)
    refused = dict.fromkeys(quantities, "not measured by the test")
    for name, (effect, error) in improvement.measured.items():
        if name not in quantities:
            raise DataError(f"{name}: the outcomes do not count it: {outcomes.absent[name]}.")
        k = q + quantities.index(name)
        value[k], covariance[k, k] = effect, error**2
        del refused[name]
    if not 0 < value[0] + value[q] < 1:
        raise DataError("retention with the tested effect is not between 0 and 1.")
    return EffectEconomics(
        quantities, value[:q], value[q:], None, covariance, None, 0, 0, 1.0, 1.0,
        {**outcomes.absent, **refused},
    )  # fmt: skip


def _what(improvement: AnswerWithin | RaiseScore) -> str:
    if isinstance(improvement, AnswerWithin):
        return f"interactions of kind {improvement.kind!r}"
    where = f" at {improvement.touchpoint!r}" if improvement.touchpoint else ""
    return f"answers to {improvement.metric}{where}"


def _occasions(log: CustomerLog, improvement: AnswerWithin | RaiseScore) -> pd.DataFrame:
    """List all occasions: customer_id, as_of, dose (missing where unknown), channel."""
    if isinstance(improvement, AnswerWithin):
        rows = log.interactions.filter(log.interactions.kind == improvement.kind)
        in_time = (rows.value <= improvement.hours).cast("float64")
        rows = rows.mutate(dose=in_time, as_of=rows.occurred_at)
    else:
        rows = log.feedback.filter(log.feedback.metric == improvement.metric)
        if improvement.touchpoint is not None:
            rows = rows.filter(rows.touchpoint == improvement.touchpoint)
        at = ibis.ifelse(
            rows.score.isnull(), rows.invited_at.coalesce(rows.occurred_at), rows.occurred_at
        )
        rows = rows.mutate(dose=rows.score, as_of=at)
    rows = rows.select("customer_id", "as_of", "dose", "channel")
    frame = rows.order_by("customer_id", "as_of", "dose", "channel").to_pyarrow().to_pandas()
    if frame.empty:
        raise DataError(f"{_what(improvement)}: the log has none; correct the improvement.")
    if frame["dose"].isna().all():
        column = "value (hours)" if isinstance(improvement, AnswerWithin) else "score"
        raise DataError(f"{_what(improvement)}: none has a {column}.")
    return frame.assign(as_of=frame["as_of"].astype("datetime64[us]"))


def _dose(improvement: AnswerWithin | RaiseScore, latest: pd.Series) -> float:
    if isinstance(improvement, RaiseScore):
        return float(improvement.points)
    share = float(latest.mean()) if len(latest) else np.nan
    if not improvement.share > share:
        raise DataError(
            f"share: {share:.0%} of {_what(improvement)} were answered within "
            f"{improvement.hours:g} hours in the last period already; give a larger share."
        )
    return improvement.share - share


def _check_occasions(
    improvement: AnswerWithin | RaiseScore,
    arms: Ints | None,
    amount: Floats,
    stayed: Any,
    customers: Ints,
) -> None:
    if arms is not None:
        check_support((_LATE, _PROMPT), arms, stayed, customers)
        return
    missing = []
    left, everyone = len(np.unique(customers[~stayed])), len(np.unique(customers))
    if everyone < MIN_GROUP:
        missing.append(f"{MIN_GROUP} customers (there are {everyone})")
    if left < MIN_LEFT:
        missing.append(f"{MIN_LEFT} who left (there are {left})")
    usual = np.bincount(np.unique(amount, return_inverse=True)[1]).max()
    if len(amount) - usual < MIN_EVENTS:
        missing.append(f"{MIN_EVENTS} answers other than the usual one")
    if missing:
        raise DataError(
            f"{_what(improvement)}: the effect of a point cannot be told; it needs at least "
            f"{'; '.join(missing)}."
        )
