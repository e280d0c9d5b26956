"""Policies of contacting compared by what they cost and save."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.data.checks import Floats, check_level, check_seed, in_range
from cxpredict.errors import DataError
from cxpredict.models.resampling import bootstrap_counts, customer_groups
from cxpredict.value.profit.costs import CostMatrix, decision_cost
from cxpredict.value.profit.terms import check_draws, tails


def savings(y: Any, contacted: Any, costs: CostMatrix) -> float:
    """Return the share of the cost that decisions save against the best constant policy.

    Parameters
    ----------
    y, contacted, costs
        As in `decision_cost`.

    Returns
    -------
    float
        1 − cost / min(cost of contacting nobody, cost of contacting everybody): 0 is no better
        than the better of these, 1 costs nothing. Missing where the better of them costs nothing
        or earns, for a share of that means nothing.

    Raises
    ------
    DataError
        As in `decision_cost`.

    References
    ----------
    Correa Bahnsen, Aouada and Ottersten (2015), as in `decision_cost`.

    Examples
    --------
    >>> matrix = CostMatrix(
    ...     true_positive=1.0, false_positive=2.0, false_negative=9.0, true_negative=0.0
    ... )
    >>> savings([1, 0, 0, 0], [True, False, False, False], matrix)  # 1 against 7 for everybody
    0.8571428571428572
    """
    nobody, everybody, own = (
        np.asarray(np.sum(decision_cost(y, decision, costs))) for decision in (0.0, 1.0, contacted)
    )
    return float(_savings(own, nobody, everybody))


def compare_policies(
    y: Any,
    policies: Mapping[str, Any],
    costs: CostMatrix,
    *,
    level: float = 0.95,
    n_bootstrap: int = 1000,
    random_state: int = 0,
) -> pd.DataFrame:
    """Compare what policies of contacting cost, beside contacting nobody and everybody.

    Parameters
    ----------
    y : array-like of 0 and 1
        1 if the customer left, 0 if not.
    policies : mapping of str to array-like of bool, or in [0, 1]
        For each policy, whom it contacts. Its thresholds must not come from these outcomes.
    costs : CostMatrix
        Costs of the decisions.
    level : float in (0, 1)
        Confidence level of the intervals.
    n_bootstrap : int ≥ 2
        Number of bootstrap samples of customers.
    random_state : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        One row per policy, the first ``nobody`` and ``everybody``: ``contacted``, number of
        customers; ``total_cost``; ``saved``, ``saved_low``, ``saved_high``, money saved in all
        against the better of these two; ``savings``, ``savings_low``, ``savings_high`` as in
        `savings`.

    Raises
    ------
    DataError
        As in `decision_cost`.

    Notes
    -----
    Percentiles over samples of customers (index level ``customer_id`` of y, else rows). In each
    sample the better constant policy is the better one of that sample. The costs count as known.
    Where leavers are so rare that some sample has none, contacting nobody costs nothing there: the
    interval of the share is then missing; that of the money saved is not.

    Examples
    --------
    >>> matrix = CostMatrix(
    ...     true_positive=1.0, false_positive=2.0, false_negative=9.0, true_negative=0.0
    ... )
    >>> table = compare_policies([1, 0, 0, 0], {"model": [1, 1, 0, 0]}, matrix)
    >>> table[["policy", "contacted", "total_cost"]]
          policy  contacted  total_cost
    0     nobody        0.0         9.0
    1  everybody        4.0         7.0
    2      model        2.0         3.0
    """
    left = in_range("y", y)
    if left.ndim != 1 or not len(left):
        raise DataError(f"y: expected one outcome per customer, got shape {left.shape}.")
    if {"nobody", "everybody"} & set(policies):
        raise DataError("policies: nobody and everybody are added; name yours differently.")
    check_draws(n_bootstrap)
    check_level(level)
    check_seed(random_state)
    n = len(left)
    decisions: dict[str, Any] = {"nobody": np.zeros(n), "everybody": np.ones(n), **policies}
    cost = np.array([decision_cost(y, decision, costs) for decision in decisions.values()])
    rng = np.random.default_rng(random_state)
    counts = bootstrap_counts(customer_groups(y, n_rows=n), n_draws=n_bootstrap, rng=rng)
    drawn = np.array([cost @ mass for mass in counts])
    saved = _savings(drawn, drawn[:, :1], drawn[:, 1:2])
    total = cost.sum(axis=1)
    low, high = np.quantile(saved, tails(level), axis=0)
    money = _against_constant(drawn, drawn[:, :1], drawn[:, 1:2])
    least, most = np.quantile(money, tails(level), axis=0)
    return pd.DataFrame(
        {
            "policy": list(decisions),
            "contacted": [float(np.sum(np.asarray(d, dtype=float))) for d in decisions.values()],
            "total_cost": total,
            "saved": _against_constant(total, total[0], total[1]),
            "saved_low": least,
            "saved_high": most,
            "savings": _savings(total, total[0], total[1]),
            "savings_low": low,
            "savings_high": high,
        }
    )


def _against_constant(own: Floats, nobody: Floats, everybody: Floats) -> Floats:
    return np.asarray(np.minimum(nobody, everybody) - own)


def _savings(own: Floats, nobody: Floats, everybody: Floats) -> Floats:
    base = np.minimum(nobody, everybody)
    return np.asarray(np.where(base > 0, 1 - own / np.where(base > 0, base, 1.0), np.nan))
