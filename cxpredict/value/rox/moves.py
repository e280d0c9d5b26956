"""Customers who move between groups of other worth, and what that brings by term and period."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from cxpredict.data.checks import Floats, in_range
from cxpredict.errors import DataError
from cxpredict.value.rox.estimate import RoxEstimate
from cxpredict.value.rox.segments import LIFETIME, TERMS, Segments
from cxpredict.value.rox.timing import Timing, costs_of

Evidence = Literal["assumed", "associational", "adjusted", "experimental"]
_DRAWS = 10_000
_SIGNS = {"margin": 1.0, "cost_to_serve": -1.0, "referral_value": 1.0}


@dataclass(frozen=True)
class Move:
    """Customers who move between groups, and what that brings."""

    segments: Segments
    flows: list[tuple[str, str, float]]
    customers: float
    timing: Timing | None

    def benefits(self, tables: Floats) -> Floats:
        """Benefit by draw, term and period, for draws × groups × quantities."""
        total: Floats = np.zeros(1)
        for origin, destination, share in self.flows:
            o, d = (self.segments.groups.index(group) for group in (origin, destination))
            total = total + self.customers * share * self._gain(tables[:, o], tables[:, d])
        return total

    def baseline(self, tables: Floats) -> Floats:
        """Value of the customers concerned without the improvement, by draw."""
        total: Floats = np.zeros(len(tables))
        for origin, _, share in self.flows:
            table = tables[:, self.segments.groups.index(origin)]
            total = total + self.customers * share * self._value(table)
        return total

    def _value(self, table: Floats) -> Floats:
        if self.timing is None:
            return table[:, 0]
        worth: Floats = self._brings(table) * self.timing.presence(table[:, 0]).sum(axis=-1)
        return worth

    def _brings(self, table: Floats) -> Floats:
        """Money of a period of presence."""
        signs = [_SIGNS[name] for name in self.segments.quantities[1:]]
        money: Floats = table[:, 1:] @ np.array(signs)
        return money

    def _gain(self, origin: Floats, destination: Floats) -> Floats:
        """Gain of one customer moved, by draw, term and period."""
        if self.timing is None:
            return (destination - origin)[:, :, None]
        before, after = (self.timing.presence(table[:, 0]) for table in (origin, destination))
        gains = [self._brings(origin)[:, None] * (after - before)]
        for q, name in enumerate(self.segments.quantities[1:], start=1):
            change = _SIGNS[name] * (destination - origin)[:, q]
            gains.append(change[:, None] * after)
        return np.stack(gains, axis=1)


def estimate(
    move: Move,
    cost: float | Sequence[float],
    evidence: Mapping[str, Evidence],
    *,
    level: float,
    random_state: int,
    **beside: Any,
) -> RoxEstimate:
    """Value a move: point, draws, terms, tornado; `beside` goes into the answer as it is."""
    costs = _present_costs(cost, move.timing)
    spent = float(costs.sum())
    shown = [_terms(move).index(term) for term in evidence]
    table = move.segments.levels[None]
    point = move.benefits(table)[0]
    benefit = float(point.sum())
    low = high = np.full(len(shown), np.nan)
    interval = chance = payback_interval = None
    baseline = float(move.baseline(table)[0])
    payback = _payback(point.sum(axis=0), costs, move.timing)
    tails = [(1 - level) / 2, (1 + level) / 2]
    if (move.segments.errors > 0).any():
        drawn = move.benefits(move.segments.draw(_DRAWS, random_state))
        terms = drawn.sum(axis=-1)
        net = terms.sum(axis=-1) / spent - 1
        low, high = np.quantile(terms[:, shown], tails, axis=0)
        interval = (float(np.quantile(net, tails[0])), float(np.quantile(net, tails[1])))
        chance = float((net > 0).mean())
        if move.timing is not None:
            months = move.timing.payback(drawn.sum(axis=1), costs)
            ends = np.quantile(months, tails, method="inverted_cdf")
            payback_interval = (float(ends[0]), float(ends[1]))
    return RoxEstimate(
        benefit=benefit,
        cost=spent,
        gross=benefit / spent,
        net=(benefit - spent) / spent,
        npv=benefit - spent,
        payback_months=payback,
        probability_positive=chance,
        interval=interval,
        level=level,
        terms=pd.DataFrame(
            {
                "term": list(evidence),
                "benefit": point.sum(axis=-1)[shown],
                "low": low,
                "high": high,
                "evidence": list(evidence.values()),
            }
        ),
        tornado=_tornado(move, level, spent),
        baseline=baseline,
        payback_interval=payback_interval,
        **beside,
    )


def flows_of(shift: Mapping[str, float], economics: pd.DataFrame) -> list[tuple[str, str, float]]:
    """Shares that move, as (origin, destination, share)."""
    if not isinstance(shift, Mapping):
        raise DataError(
            f"shift: expected a mapping such as {{'detractor': -0.05, 'passive': 0.05}}, got "
            f"{type(shift).__name__}."
        )
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
    if "share" in economics.columns and economics.index.is_unique:
        shares = pd.Series(in_range("economics.share", economics["share"], 0, 1), economics.index)
        for name in {*losers, *winners} & set(economics.index):
            if not 0 <= shares[name] + shift[name] <= 1:
                raise DataError(f"shift: {name} has not that share of customers to lose or gain.")
    if len(losers) == 1:
        return [(losers[0], name, float(shift[name])) for name in winners]
    return [(name, winners[0], -float(shift[name])) for name in losers]


def _terms(move: Move) -> list[str]:
    names = {column: term for term, column in {**LIFETIME, **TERMS}.items()}
    return [names[quantity] for quantity in move.segments.quantities]


def _present_costs(cost: float | Sequence[float], timing: Timing | None) -> Floats:
    if timing is not None:
        return timing.present_costs(cost)
    costs = costs_of(cost)
    if len(costs) > 1:
        raise DataError(
            "cost: lifetime values do not say when money comes; give the present value of the "
            "costs as one amount."
        )
    return costs


def _payback(by_period: Floats, costs: Floats, timing: Timing | None) -> float | None:
    if timing is None:
        return None
    months = float(timing.payback(by_period, costs))
    return None if np.isinf(months) else months


def _tornado(move: Move, level: float, cost: float) -> pd.DataFrame:
    names, lows, highs = move.segments.one_at_a_time(float(stats.norm.ppf((1 + level) / 2)))
    low, high = (move.benefits(ends).sum(axis=(1, 2)) / cost - 1 for ends in (lows, highs))
    table = pd.DataFrame({"input": names, "low": low, "high": high})
    order = (table["high"] - table["low"]).abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)
