"""How surely the gain of contacting is known: for each customer, and for a campaign."""

from typing import Any

import numpy as np
import pandas as pd

from cxpredict.value.profit.terms import tails
from cxpredict.value.profit.uncertain import read_uncertain


def gain_interval(
    churn_probability: Any,
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: Any,
    stayer_acceptance: Any = 1.0,
    probability_interval: Any = None,
    value_interval: Any = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the expected gain of contacting each customer with its interval.

    Parameters
    ----------
    churn_probability, value, incentive, contact_cost, stayer_acceptance
        As in `expected_gain`.
    acceptance : Beta or float in [0, 1]
        Share of would-be leavers who take the offer and stay, the same for all customers. A plain
        number counts as known.
    probability_interval, value_interval : array-like of shape (n, 2), optional
        Low and high of each probability (as from `ChurnModel.predict_interval`) and of each
        value, at the same level. Without them these count as known.
    level : float in (0, 1)
        Probability with which the expected gain lies between `low` and `high`.

    Returns
    -------
    DataFrame
        One row per customer: ``expected_gain``, ``low``, ``high``, ``probability_positive``,
        the probability that contacting pays.

    Raises
    ------
    DataError
        As in `expected_gain`; if an interval does not hold its estimate; or if nothing is
        uncertain, for an interval without width would claim too much.

    Notes
    -----
    If acceptance alone is uncertain, the interval is exact: the gain is linear in it. Else it
    holds the quantiles of 4,096 quasi-random draws (Sobol) of acceptance from its distribution
    and of probability and value from a normal distribution in two pieces, through low, estimate
    and high. Of skewed inputs the expected gain need not be the middle of the interval.

    The interval speaks of the expected gain. Whether one customer leaves or accepts is chance on
    top of it. Gains of different customers depend on one acceptance and must not be added up as
    if they were independent: `campaign_gain` adds.

    Examples
    --------
    >>> from cxpredict.value.profit import Beta
    >>> gain_interval(
    ...     [0.5, 0.1], value=200.0, incentive=10.0, contact_cost=1.0, acceptance=Beta(6, 14)
    ... ).round(2)
       expected_gain   low   high  probability_positive
    0           22.5  5.95  42.64                  1.00
    1           -4.3 -7.61  -0.27                  0.02
    """
    index, terms = read_uncertain(
        churn_probability, value, incentive, contact_cost, acceptance, stayer_acceptance,
        probability_interval, value_interval, level,
    )  # fmt: skip
    low, high, positive = terms.ends()
    table = {
        "expected_gain": terms.at_estimates(),
        "low": low,
        "high": high,
        "probability_positive": positive,
    }
    return pd.DataFrame(table, index=index)


def campaign_gain(
    churn_probability: Any,
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: Any,
    stayer_acceptance: Any = 1.0,
    probability_interval: Any = None,
    value_interval: Any = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return what a campaign brings in all, with its interval.

    Parameters
    ----------
    churn_probability : float or array-like in [0, 1]
        Calibrated probability to leave of the customers who are contacted, and of no others.
    value, incentive, contact_cost, acceptance, stayer_acceptance
        As in `gain_interval`.
    probability_interval, value_interval, level
        As in `gain_interval`.

    Returns
    -------
    DataFrame
        Rows ``expected`` and ``realised``: ``estimate``, ``low``, ``high``, money in all;
        ``probability_positive``. The expected gain is the mean over customers like these; the
        realised one has the chance of who leaves and who accepts in it.

    Raises
    ------
    DataError
        As in `gain_interval`.

    Notes
    -----
    Quantiles of 4,096 quasi-random draws, in each of which all customers have the same
    acceptance, and probabilities that are all off to the same side by as much of their interval;
    so are values. For acceptance that is what the model says: it does not average out, however
    many are contacted. For probabilities and values it is the cautious choice, exact if one
    common error (such as a base rate that has shifted) makes all of it, and too wide if their
    errors are independent.

    The realised gain adds a normal variable with the variance of the outcomes given the draw,
    Σ[pγ(CLV − d)² + (1 − p)ψd² − (pγ(CLV − d) − (1 − p)ψd)²]: customers leave and accept
    independently, given acceptance. With few customers the true distribution is lumpy.

    Customers chosen because their gain looks high have probabilities that are on average too
    high if these are noisy. The interval does not know of the choice.

    Examples
    --------
    >>> from cxpredict.value.profit import Beta
    >>> campaign_gain(
    ...     [0.5] * 1000, value=200.0, incentive=10.0, contact_cost=1.0, acceptance=Beta(6, 14)
    ... ).round(-2)[["estimate", "low", "high"]]
              estimate     low     high
    expected   22500.0  6000.0  42600.0
    realised   22500.0  5500.0  43200.0
    """
    _, terms = read_uncertain(
        churn_probability, value, incentive, contact_cost, acceptance, stayer_acceptance,
        probability_interval, value_interval, level,
    )  # fmt: skip
    estimate = float(terms.at_estimates().sum())
    total, variance, chance = terms.totals()
    realised = total + np.sqrt(variance) * chance
    rows = [
        {
            "estimate": estimate,
            **dict(zip(("low", "high"), np.quantile(drawn, tails(level)), strict=True)),
            "probability_positive": float((drawn > 0).mean()),
        }
        for drawn in (total, realised)
    ]
    return pd.DataFrame(rows, index=["expected", "realised"])
