"""Profit of contacting customers at risk: gain, break-even, profit curve, MPC and EMPC, costs."""

from cxpredict.value.profit.acceptance import Beta
from cxpredict.value.profit.costs import (
    CostMatrix,
    cost_threshold,
    decision_cost,
    offer_costs,
)
from cxpredict.value.profit.curve import ProfitCurve, profit_curve
from cxpredict.value.profit.gain import (
    break_even_interval,
    break_even_probability,
    expected_gain,
    realised_gain,
)
from cxpredict.value.profit.intervals import campaign_gain, gain_interval
from cxpredict.value.profit.maximum import MaximumProfit, expected_maximum_profit, maximum_profit
from cxpredict.value.profit.policies import compare_policies, savings
from cxpredict.value.profit.scorers import cost_scorer, profit_scorer

__all__ = [
    "Beta",
    "CostMatrix",
    "MaximumProfit",
    "ProfitCurve",
    "break_even_interval",
    "break_even_probability",
    "campaign_gain",
    "compare_policies",
    "cost_scorer",
    "cost_threshold",
    "decision_cost",
    "expected_gain",
    "expected_maximum_profit",
    "gain_interval",
    "maximum_profit",
    "offer_costs",
    "profit_curve",
    "profit_scorer",
    "realised_gain",
    "savings",
]
