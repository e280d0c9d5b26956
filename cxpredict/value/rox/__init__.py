"""Return on experience: what an improvement is worth, less what it costs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.data.checks import check_level, check_seed
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.value.checks import above_zero
from cxpredict.value.rox.answers import log_economics
from cxpredict.value.rox.economics import GroupEconomics
from cxpredict.value.rox.effects import EffectEconomics
from cxpredict.value.rox.estimate import RoxEstimate
from cxpredict.value.rox.improvements import Improvement, ShareShift
from cxpredict.value.rox.moves import Evidence, Move, estimate, flows_of
from cxpredict.value.rox.occasions import measure_effect
from cxpredict.value.rox.outcomes import Outcomes
from cxpredict.value.rox.segments import (
    EVIDENCE,
    LIFETIME,
    TERMS,
    Segments,
    correlation_of,
    read_segments,
)
from cxpredict.value.rox.timing import Payment, Timing, timing_of

_TIME = ("horizon_periods", "period_months", "discount_rate", "payment")
DAYS_PER_MONTH = 30.4375


def return_on_experience(
    source: pd.DataFrame | GroupEconomics | EffectEconomics | CustomerLog,
    *,
    cost: float | Sequence[float],
    improvement: Improvement | None = None,
    shift: Mapping[str, float] | None = None,
    customers: float | None = None,
    outcomes: Outcomes | None = None,
    evidence: Evidence | Mapping[str, Evidence] | None = None,
    horizon_periods: int | None = None,
    period_months: float | None = None,
    discount_rate: float | None = None,
    payment: Payment | None = None,
    covariance: pd.DataFrame | None = None,
    level: float = 0.95,
    random_state: int = 0,
) -> RoxEstimate:
    """Estimate the return on an improvement of what customers experience.

    Parameters
    ----------
    source : CustomerLog, GroupEconomics, EffectEconomics or DataFrame
        A log, from which everything is estimated; what `group_economics` or `log_economics` found
        of NPS groups, or `measure_effect` of another improvement; or a table with one row per NPS
        group, as index. A table has either ``lifetime_value``, money per customer, or
        ``retention`` per period (0 to 1) and ``margin`` per period (money), and if known
        ``cost_to_serve`` (money per period, not yet taken off the margin) and ``referral_value``
        (money per period that recommendations bring, less what warnings cost). Each may have a
        standard error ``…_se``, and must if its evidence is not ``assumed``. With ``share``, the
        shift is checked against the shares there are.
    cost : float > 0 or sequence of float ≥ 0
        Money the improvement costs: one amount now, or a list of amounts, now, after one period,
        after two, and so on.
    improvement : ShareShift, AnswerWithin, RaiseScore or TestedEffect
        What gets better; but for `ShareShift` the source must be a log. Of `EffectEconomics` it is
        known.
    shift : mapping of group to float
        Short for a `ShareShift`, or for groups of other names: change of the share of customers
        in each group; adds up to 0. Out of one group or into one group, so that it is clear who
        becomes what.
    customers : float > 0
        Number of customers. With a log, by default those active at its end.
    outcomes : Outcomes
        With a log, and only then: what is counted, and over how long a period.
    evidence : str or mapping of term to str
        With a table, and only then: ``assumed``, ``associational``, ``adjusted`` or
        ``experimental``, for all terms or for each: ``lifetime value``, or ``retention``,
        ``spend``, ``cost to serve``, ``word of mouth``.
    horizon_periods : int from 1 to 1,000
        Periods in which benefits count. This and the next three: needed with retention and
        margin, refused with lifetime values, which have them built in.
    period_months : float > 0
        Months in a period. With a log, from `outcomes`.
    discount_rate : float in [0, 1]
        Discount rate for each period.
    payment : {"start", "end", "through"}
        Whether money falls due at the start or the end of a period (see `customer_value`), or
        through it: half at each end. With a log or `GroupEconomics` it is known.
    covariance : DataFrame, optional
        With a table, of the estimates, rows and columns (group, quantity), as in
        `GroupEconomics`. Without it, inputs are drawn independently.
    level : float in (0, 1)
        Level of all intervals.
    random_state : int ≥ 0
        Seed of folds and simulation.

    Returns
    -------
    RoxEstimate
        ``gross`` and ``net`` ROX, ``npv``, ``payback_months``, ``interval``, ``terms``,
        ``unadjusted``, ``refused``, …; with ``waterfall()`` and ``scenarios()``.

    Raises
    ------
    DataError
        If something is missing, out of range or ambiguous, or if the data cannot tell the effect;
        the message says what is missing. A term that others do not rest on is left out instead
        and named in ``refused``.

    Notes
    -----
    With lifetime values, benefit = N·Σ Δshareₛ·LTVₛ. Else a customer of group s brings k = margin
    − cost to serve + referral value per period while staying, S(t) = retentionᵗ, so that
    benefits compound over survivors. For each customer moved from o to d the benefit is split
    in this order: **retention** k_o·Σ(S_d − S_o)/(1 + δ)ᵗ, longer stay at the value of the old
    group; then **spend** (m_d − m_o), **cost to serve** −(c_d − c_o) and **word of mouth**
    (w_d − w_o), each times ΣS_d/(1 + δ)ᵗ, other money over the stay of the new group. Another
    order would move money between retention and the rest, not change the sum. Other improvements
    move all customers from what they do now to that with its effect (`measure_effect`).

    Intervals are percentiles of 10,000 draws: Beta for retention, normal for money. They hold
    the uncertainty of the economics. They do not hold whether the improvement comes true (see
    ``scenarios``), nor whether customers who are moved behave like those who were there before;
    the evidence tag speaks of the latter. Word of mouth is tagged ``assumed`` where conversion
    and worth of a new customer are stated, even if recommendations are counted.

    References
    ----------
    Rust, R., Lemon, K. and Zeithaml, V. (2004). Return on marketing. Journal of Marketing 68(1),
    109–127. Keiningham, T. et al. (2007). Journal of Marketing 71(3), 39–51.

    Examples
    --------
    >>> table = pd.DataFrame(
    ...     {"lifetime_value": [900.0, 600.0, 300.0]}, index=["promoter", "passive", "detractor"]
    ... )
    >>> rox = return_on_experience(
    ...     table, shift={"detractor": -0.05, "passive": 0.05}, customers=10_000, cost=100_000.0,
    ...     evidence="assumed",
    ... )
    >>> round(rox.benefit), round(rox.gross, 2), round(rox.net, 2)
    (150000, 1.5, 0.5)
    """
    if not isinstance(source, CustomerLog | GroupEconomics | EffectEconomics | pd.DataFrame):
        raise DataError(
            "source: expected a DataFrame with one row per group, what group_economics gives, or "
            f"a log, got {type(source).__name__}."
        )
    given = (improvement is not None) + (shift is not None)
    if given != (0 if isinstance(source, EffectEconomics) else 1):
        raise DataError(
            "improvement: expected exactly one of improvement and shift, and neither with the "
            f"economics of an effect; got {given}."
        )
    if isinstance(improvement, ShareShift):
        shift = improvement.shift
    if not isinstance(source, CustomerLog) and outcomes is not None:
        raise DataError("outcomes: goes with a log; a table has its outcomes built in.")
    time = dict(zip(_TIME, (horizon_periods, period_months, discount_rate, payment), strict=True))
    if improvement is not None and not isinstance(improvement, Improvement):
        raise DataError(
            "improvement: expected ShareShift, AnswerWithin, RaiseScore or TestedEffect, got "
            f"{type(improvement).__name__}."
        )
    if outcomes is not None and not isinstance(outcomes, Outcomes):
        raise DataError(f"outcomes: expected Outcomes, got {type(outcomes).__name__}.")
    check_seed(random_state)
    options: dict[str, Any] = {"level": check_level(level), "random_state": random_state}
    if isinstance(source, pd.DataFrame):
        return _of_table(source, shift, customers, cost, evidence, time, covariance, options)
    if evidence is not None or covariance is not None:
        raise DataError("evidence and covariance: go with a table; leave them out.")
    if isinstance(source, CustomerLog):
        if outcomes is None:
            raise DataError("outcomes: needed with a log: what is counted, over how long a period.")
        time = _with(time, "period_months", outcomes.period_days / DAYS_PER_MONTH)
        if customers is None:
            customers = len(outcomes.in_period().to_score(log=source, as_of=outcomes.ends(source)))
        if improvement is None or isinstance(improvement, ShareShift):
            source = log_economics(source, outcomes, random_state=random_state)
        else:
            source = measure_effect(source, improvement, outcomes, random_state=random_state)
    if isinstance(source, EffectEconomics):
        return _of_effect(source, customers, cost, time, options)
    return _of_groups(source, shift, customers, cost, time, options)


def _of_table(
    table: pd.DataFrame,
    shift: Mapping[str, float] | None,
    customers: float | None,
    cost: float | Sequence[float],
    evidence: Any,
    time: dict[str, Any],
    covariance: pd.DataFrame | None,
    options: dict[str, Any],
    **beside: Any,
) -> RoxEstimate:
    if evidence is None:
        raise DataError("evidence: needed with a table of groups.")
    if shift is None:
        raise DataError("improvement: from a table only a ShareShift can be valued; give the log.")
    if not table.columns.is_unique:
        raise DataError("economics: expected every column once.")
    tags = _tags(table, evidence)
    flows = flows_of(shift, table)
    groups = sorted({group for flow in flows for group in flow[:2]}, key=str)
    segments = read_segments(table, groups, tags, covariance)
    timing = _timing(time, direct="lifetime value" in tags)
    move = Move(segments, flows, _count(customers), timing)
    return estimate(move, cost, tags, **options, **beside)


def _of_groups(
    found: GroupEconomics,
    shift: Mapping[str, float] | None,
    customers: float | None,
    cost: float | Sequence[float],
    time: dict[str, Any],
    options: dict[str, Any],
) -> RoxEstimate:
    time = _with(time, "payment", found.payment)
    present = [term for term, column in TERMS.items() if column in found.adjusted.columns]
    common = (shift, customers, cost)
    plain = _of_table(
        found.unadjusted, *common, _evidence(present, "associational"), time,
        found.unadjusted_covariance, options,
    )  # fmt: skip
    return _of_table(
        found.adjusted, *common, _evidence(present, "adjusted"), time, found.covariance, options,
        unadjusted=plain, refused=_by_term(found.refused), economics=found,
    )  # fmt: skip


def _of_effect(
    effect: EffectEconomics,
    customers: float | None,
    cost: float | Sequence[float],
    time: dict[str, Any],
    options: dict[str, Any],
) -> RoxEstimate:
    timing = _timing(_with(time, "payment", "through"), direct=False)
    terms = [t for t, c in TERMS.items() if c in effect.quantities and c not in effect.refused]

    def move(change: Any, covariance: Any) -> Move:
        values = np.array([effect.baseline, change])
        errors = np.sqrt(np.diag(covariance)).reshape(values.shape)
        correlation = correlation_of(covariance)
        names = ["now", "improved"]
        segments = Segments(names, effect.quantities, values, errors, correlation, changes=True)
        return Move(segments, [("now", "improved", 1.0)], _count(customers), timing)

    plain = None
    if effect.unadjusted is not None:
        plain = estimate(
            move(effect.unadjusted, effect.unadjusted_covariance),
            cost, _evidence(terms, "associational"), **options,
        )  # fmt: skip
    return estimate(
        move(effect.adjusted, effect.covariance),
        cost,
        _evidence(terms, effect.evidence),
        **options,
        unadjusted=plain,
        refused=_by_term(effect.refused),
        economics=effect,
    )


def _evidence(terms: Sequence[str], tag: Evidence) -> dict[str, Evidence]:
    """Tag terms; word of mouth rests on a stated conversion and worth of a new customer."""
    stated = ["word of mouth"] if tag != "experimental" else []
    return {term: "assumed" if term in stated else tag for term in terms}


def _by_term(refused: Mapping[str, str]) -> dict[str, str]:
    return {term: refused[column] for term, column in TERMS.items() if column in refused}


def _with(time: dict[str, Any], name: str, known: Any) -> dict[str, Any]:
    if time[name] not in (None, known):
        raise DataError(f"{name}: the source has {known!r}, got {time[name]!r}; leave it out.")
    return {**time, name: known}


def _count(customers: float | None) -> float:
    if customers is None:
        raise DataError("customers: needed, as the source does not say how many there are.")
    return above_zero("customers", customers)


def _timing(time: dict[str, Any], *, direct: bool) -> Timing | None:
    if not direct:
        return timing_of(time)
    given = [name for name, value in time.items() if value is not None]
    if given:
        raise DataError(f"{', '.join(given)}: lifetime values have this built in; leave out.")
    return None


def _tags(
    economics: pd.DataFrame, evidence: Evidence | Mapping[str, Evidence]
) -> dict[str, Evidence]:
    """Terms of the benefit that the columns allow, each with its evidence."""
    direct = "lifetime_value" in economics.columns
    present = [term for term, column in TERMS.items() if column in economics.columns]
    if direct == ("retention" in present and "spend" in present) or (direct and present):
        raise DataError(
            "economics: expected either the column lifetime_value or the columns retention and "
            f"margin, got {', '.join(str(name) for name in economics.columns)}."
        )
    terms = list(LIFETIME) if direct else present
    tags: Any = dict.fromkeys(terms, evidence) if isinstance(evidence, str) else evidence
    if (
        not isinstance(tags, Mapping)
        or set(tags) != set(terms)
        or not all(isinstance(tag, str) and tag in EVIDENCE for tag in tags.values())
    ):
        raise DataError(
            f"evidence: expected one of {', '.join(EVIDENCE)} for each of the terms "
            f"{', '.join(terms)}, and for no other."
        )
    return {term: tags[term] for term in terms}
