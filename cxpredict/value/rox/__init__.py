"""Return on experience: what moving customers from one NPS group to another is worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from cxpredict.errors import DataError
from cxpredict.value.checks import Floats, in_range
from cxpredict.value.customer_value import Payment, discounted_survival
from cxpredict.value.rox.estimate import RoxEstimate
from cxpredict.value.rox.segments import EVIDENCE, LIFETIME, TERMS, Segments, read_segments

Evidence = Literal["assumed", "associational", "adjusted", "experimental"]
_DRAWS = 10_000


def return_on_experience(
    economics: pd.DataFrame,
    *,
    shift: Mapping[str, float],
    customers: float,
    cost: float,
    evidence: Evidence | Mapping[str, Evidence],
    horizon_periods: int | None = None,
    period_months: float | None = None,
    discount_rate: float | None = None,
    payment: Payment | None = None,
    covariance: pd.DataFrame | None = None,
    level: float = 0.95,
    random_state: int = 0,
) -> RoxEstimate:
    """Estimate the return on moving shares of customers between NPS groups.

    Parameters
    ----------
    economics : DataFrame
        One row per NPS group, as index. Either ``lifetime_value``, money per customer, or
        ``retention`` per period (0 to 1) and ``margin`` per period (money), and if known
        ``cost_to_serve`` (money per period, not yet taken off the margin) and
        ``referral_value`` (money per period that recommendations bring, less what warnings
        cost). Each may have a standard error ``…_se``, and must if its evidence is not
        ``assumed``. With ``share``, the shift is checked against the shares there are.
        The tables of `group_economics` fit.
    shift : mapping of group to float
        Change of the share of customers in each group; adds up to 0. Out of one group or into
        one group, so that it is clear who becomes what.
    customers : float > 0
        Number of customers.
    cost : float > 0
        Money the improvement costs, now.
    evidence : str or mapping of term to str
        ``assumed``, ``associational``, ``adjusted`` or ``experimental``, for all terms or for
        each: ``lifetime value``, or ``retention``, ``spend``, ``cost to serve``, ``word of
        mouth``.
    horizon_periods : int ≥ 1
        Periods in which benefits count. This and the next three: needed with retention and
        margin, refused with lifetime values, which have them built in.
    period_months : float > 0
        Months in a period.
    discount_rate : float in [0, 1]
        Discount rate for each period.
    payment : {"start", "end"}
        Whether margins fall due at the start or the end of a period (see `customer_value`).
        ``end`` goes with the margin per retained customer of `group_economics`.
    covariance : DataFrame, optional
        Of the estimates, rows and columns (group, quantity), as in `GroupEconomics`. Without it,
        inputs are drawn independently.
    level : float in (0, 1)
        Level of all intervals.
    random_state : int
        Seed of the simulation.

    Returns
    -------
    RoxEstimate
        ``gross`` and ``net`` ROX, ``npv``, ``payback_months``, ``interval``, ``terms``, …

    Raises
    ------
    DataError
        If something is missing, out of range or ambiguous; the message says how to mend it.

    Notes
    -----
    With lifetime values, benefit = N·Σ Δshareₛ·LTVₛ. Else a customer of group s brings k = margin
    − cost to serve + referral value per period while staying, S(t) = retentionᵗ, so that
    benefits compound over survivors. For each customer moved from o to d the benefit is split
    in this order: **retention** k_o·Σ(S_d − S_o)/(1 + δ)ᵗ, longer stay at the value of the old
    group; then **spend** (m_d − m_o), **cost to serve** −(c_d − c_o) and **word of mouth**
    (w_d − w_o), each times ΣS_d/(1 + δ)ᵗ, other money over the stay of the new group. Another
    order would move money between retention and the rest, not change the sum.

    Intervals are percentiles of 10,000 draws: Beta for retention, normal for money. They hold
    the uncertainty of the economics. They do not hold whether the improvement brings the shift,
    nor whether customers who are moved behave like those who were there before; the evidence
    tag speaks of the latter.

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
    for name, number in {"customers": customers, "cost": cost}.items():
        if not in_range(name, number, 0.0).all():
            raise DataError(f"{name}: expected more than 0, got 0.")
    if not 0 < level < 1:
        raise DataError(f"level: expected a number between 0 and 1 such as 0.95, got {level!r}.")
    tags = _tags(economics, evidence)
    flows = _flows(shift, economics)
    groups = sorted({group for origin, destination, _ in flows for group in (origin, destination)})
    segments = read_segments(economics, groups, tags, covariance)
    time = (horizon_periods, period_months, discount_rate, payment)
    move = _Move(segments, flows, float(customers), _timing(time, "lifetime value" in tags))
    point = move.benefits(segments.values[None])[0]
    benefit = float(point.sum())
    low = high = np.full(len(tags), np.nan)
    interval = chance = None
    if (segments.errors > 0).any():
        drawn = move.benefits(segments.draw(_DRAWS, random_state)).sum(axis=-1)
        net = drawn.sum(axis=-1) / cost - 1
        tails = [(1 - level) / 2, (1 + level) / 2]
        low, high = np.quantile(drawn, tails, axis=0)
        interval = (float(np.quantile(net, tails[0])), float(np.quantile(net, tails[1])))
        chance = float((net > 0).mean())
    return RoxEstimate(
        benefit=benefit,
        cost=float(cost),
        gross=benefit / cost,
        net=(benefit - cost) / cost,
        npv=benefit - cost,
        payback_months=_payback(point.sum(axis=0), cost, move.timing),
        probability_positive=chance,
        interval=interval,
        level=level,
        terms=pd.DataFrame(
            {
                "term": list(tags),
                "benefit": point.sum(axis=-1),
                "low": low,
                "high": high,
                "evidence": list(tags.values()),
            }
        ),
        tornado=_tornado(move, level, cost),
    )


@dataclass(frozen=True)
class _Timing:
    periods: int
    months: float
    discount_rate: float
    payment: Payment


@dataclass(frozen=True)
class _Move:
    """Customers who move between groups, and what that brings."""

    segments: Segments
    flows: list[tuple[str, str, float]]
    customers: float
    timing: _Timing | None

    def benefits(self, tables: Floats) -> Floats:
        """Benefit by draw, term and period, for draws × groups × quantities."""
        total: Floats = np.zeros(1)
        for origin, destination, share in self.flows:
            o, d = (self.segments.groups.index(group) for group in (origin, destination))
            total = total + self.customers * share * self._gain(tables[:, o], tables[:, d])
        return total

    def _gain(self, origin: Floats, destination: Floats) -> Floats:
        """Gain of one customer moved, by draw, term and period."""
        if self.timing is None:
            return (destination - origin)[:, :, None]
        q = self.segments.quantities
        r = q.index("retention")
        before, after = self._survival(origin[:, r]), self._survival(destination[:, r])
        signs = {"margin": 1.0, "cost_to_serve": -1.0, "referral_value": 1.0}
        brings = np.zeros(len(origin))
        for name in q[1:]:
            brings = brings + signs[name] * origin[:, q.index(name)]
        gains = [brings[:, None] * (after - before)]
        for name in q[1:]:
            change = signs[name] * (destination - origin)[:, q.index(name)]
            gains.append(change[:, None] * after)
        return np.stack(gains, axis=1)

    def _survival(self, retention: Floats) -> Floats:
        assert self.timing is not None
        return discounted_survival(
            retention,
            periods=self.timing.periods,
            discount_rate=self.timing.discount_rate,
            payment=self.timing.payment,
        )


def _tags(
    economics: pd.DataFrame, evidence: Evidence | Mapping[str, Evidence]
) -> dict[str, Evidence]:
    """Terms of the benefit that the columns allow, each with its evidence."""
    if not isinstance(economics, pd.DataFrame):
        raise DataError(
            "economics: expected a DataFrame with one row per group, such as .adjusted or "
            ".unadjusted of group_economics."
        )
    direct = "lifetime_value" in economics.columns
    present = [term for term, column in TERMS.items() if column in economics.columns]
    if direct == ("retention" in present and "spend" in present) or (direct and present):
        raise DataError(
            "economics: expected either the column lifetime_value or the columns retention and "
            f"margin, got {', '.join(str(name) for name in economics.columns)}."
        )
    terms = list(LIFETIME) if direct else present
    tags = dict.fromkeys(terms, evidence) if isinstance(evidence, str) else dict(evidence)
    if set(tags) != set(terms) or not set(tags.values()) <= set(EVIDENCE):
        raise DataError(
            f"evidence: expected one of {', '.join(EVIDENCE)} for each of the terms "
            f"{', '.join(terms)}, and for no other."
        )
    return {term: tags[term] for term in terms}


def _flows(shift: Mapping[str, float], economics: pd.DataFrame) -> list[tuple[str, str, float]]:
    """Shares that move, as (origin, destination, share)."""
    names = list(shift)
    change = in_range("shift", [shift[name] for name in names], -1.0, 1.0)
    losers = [name for name, step in zip(names, change, strict=True) if step < 0]
    winners = [name for name, step in zip(names, change, strict=True) if step > 0]
    if abs(change.sum()) > 1e-9 or not losers:
        raise DataError(
            "shift: expected changes of shares that add up to 0, such as "
            f"{{'detractor': -0.05, 'passive': 0.05}}; these add up to {change.sum():g}."
        )
    if min(len(losers), len(winners)) > 1:
        raise DataError(
            "shift: out of several groups into several it is not clear who becomes what. "
            "Estimate the moves one by one and add them up."
        )
    if "share" in economics.columns:
        for name in {*losers, *winners} & set(economics.index):
            if not 0 <= economics.loc[name, "share"] + shift[name] <= 1:
                raise DataError(f"shift: {name} has not that share of customers to lose or gain.")
    if len(losers) == 1:
        return [(losers[0], name, float(shift[name])) for name in winners]
    return [(name, winners[0], -float(shift[name])) for name in losers]


def _timing(
    time: tuple[int | None, float | None, float | None, Payment | None], direct: bool
) -> _Timing | None:
    names = ("horizon_periods", "period_months", "discount_rate", "payment")
    given = [name for name, value in zip(names, time, strict=True) if value is not None]
    if direct:
        if given:
            raise DataError(f"{', '.join(given)}: lifetime values have this built in; leave out.")
        return None
    periods, months, rate, payment = time
    if periods is None or months is None or rate is None or payment is None:
        absent = [name for name in names if name not in given]
        raise DataError(f"{', '.join(absent)}: needed to value retention and margin over time.")
    if not in_range("period_months", months, 0.0).all():
        raise DataError("period_months: expected more than 0, got 0.")
    return _Timing(periods, float(months), float(rate), payment)


def _payback(by_period: Floats, cost: float, timing: _Timing | None) -> float | None:
    """Months to the payment that brings discounted benefits up to the cost."""
    paid = np.flatnonzero(np.cumsum(by_period) >= cost)
    if timing is None or not len(paid):
        return None
    return float(paid[0] + (timing.payment == "end")) * timing.months


def _tornado(move: _Move, level: float, cost: float) -> pd.DataFrame:
    names, lows, highs = move.segments.one_at_a_time(float(stats.norm.ppf((1 + level) / 2)))
    low, high = (move.benefits(ends).sum(axis=(1, 2)) / cost - 1 for ends in (lows, highs))
    table = pd.DataFrame({"input": names, "low": low, "high": high})
    order = (table["high"] - table["low"]).abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)
