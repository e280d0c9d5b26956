"""Cost-sensitive decisions: each customer's own costs of being contacted or not."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cxpredict.errors import DataError
from cxpredict.value.checks import labelled
from cxpredict.value.profit.terms import read_terms


@dataclass(frozen=True, kw_only=True)
class CostMatrix:
    """Money that each decision about a customer costs; negative where it earns.

    Parameters
    ----------
    true_positive : float or array-like
        A leaver is contacted.
    false_positive : float or array-like
        A customer who would stay is contacted.
    false_negative : float or array-like
        A leaver is not contacted.
    true_negative : float or array-like
        A customer who stays is not contacted.

    Notes
    -----
    One number for all customers, or each customer's own, in the order of the customers.

    Examples
    --------
    >>> CostMatrix(
    ...     true_positive=130.0, false_positive=80.0, false_negative=1300.0, true_negative=0.0
    ... ).false_positive
    80.0
    """

    true_positive: Any
    false_positive: Any
    false_negative: Any
    true_negative: Any

    def named(self) -> dict[str, Any]:
        """Return the costs by name."""
        names = ("true_positive", "false_positive", "false_negative", "true_negative")
        return {name: getattr(self, name) for name in names}


def offer_costs(
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: Any,
    stayer_acceptance: Any = 1.0,
) -> CostMatrix:
    """Return the cost matrix of an offer.

    Parameters
    ----------
    value, incentive, contact_cost, acceptance, stayer_acceptance
        As in `expected_gain`.

    Returns
    -------
    CostMatrix
        Costs against a customer who stays without being contacted.

    Raises
    ------
    DataError
        As in `expected_gain`.

    Notes
    -----
    Leaver contacted: f + γd + (1 − γ)CLV; stayer contacted: f + ψd; leaver not contacted: CLV;
    stayer not contacted: 0. The expected cost of not contacting less that of contacting is the
    `expected_gain`, and `cost_threshold` the `break_even_probability`.

    Examples
    --------
    >>> offer_costs(value=200.0, incentive=10.0, contact_cost=1.0, acceptance=0.3)
    CostMatrix(true_positive=144.0, false_positive=11.0, false_negative=200.0, true_negative=0.0)
    """
    index, (v, d, f, gamma, psi) = read_terms(
        value=value,
        incentive=incentive,
        contact_cost=contact_cost,
        acceptance=acceptance,
        stayer_acceptance=stayer_acceptance,
    )
    costs = {
        "true_positive": f + gamma * d + (1 - gamma) * v,
        "false_positive": f + psi * d,
        "false_negative": v,
        "true_negative": np.zeros(()),
    }
    return CostMatrix(**{name: labelled(cost, index, name) for name, cost in costs.items()})


def cost_threshold(costs: CostMatrix) -> Any:
    """Return the churn probability above which contacting each customer costs less.

    Parameters
    ----------
    costs : CostMatrix
        Costs of the decisions.

    Returns
    -------
    float, ndarray or Series
        Contact where the calibrated probability is *above* this. Infinite where contacting never
        costs less, minus infinity where it always does.

    Raises
    ------
    DataError
        If costs are missing or do not fit together, or if contacting would pay at low risk only.

    Notes
    -----
    (FP − TN) / (FP − TN + FN − TP), the rule of minimum expected cost. It may lie outside [0, 1].
    The rule is only as good as the calibration of the probabilities.

    References
    ----------
    Elkan, C. (2001). The foundations of cost-sensitive learning. IJCAI, 973–978.

    Examples
    --------
    >>> cost_threshold(CostMatrix(
    ...     true_positive=100.0, false_positive=50.0, false_negative=550.0, true_negative=0.0
    ... ))
    0.1
    """
    index, (tp, fp, fn, tn) = read_terms(**costs.named())
    waste, rescue = fp - tn, fn - tp
    wrong = (waste < 0) & (rescue < 0)
    if wrong.any():
        raise DataError(
            f"costs: for {int(wrong.sum())} of {wrong.size} customers contacting costs less than "
            "not contacting if they stay, and more if they leave, so that it would pay at low "
            "risk. Check whether false_positive and false_negative are exchanged."
        )
    swing = waste + rescue
    split = waste / np.where(swing > 0, swing, 1.0)
    threshold = np.where(swing > 0, split, np.where(waste >= 0, np.inf, -np.inf))
    return labelled(threshold, index, "cost_threshold")


def decision_cost(y: Any, contacted: Any, costs: CostMatrix) -> Any:
    """Return what each decision cost, given who left.

    Parameters
    ----------
    y : array-like in [0, 1]
        1 if the customer left, 0 if not; or the probability, for the cost to expect.
    contacted : array-like of bool, or in [0, 1]
        Whether the customer was contacted, or with which probability.
    costs : CostMatrix
        Costs of the decisions.

    Returns
    -------
    float, ndarray or Series
        Cost of each customer; the sum is the total cost, the mean the cost-sensitive loss.

    Raises
    ------
    DataError
        If a number is missing or out of range, or if lengths or indexes differ.

    Notes
    -----
    y(c·TP + (1 − c)·FN) + (1 − y)(c·FP + (1 − c)·TN). With c = 0 or 1 its sum is empulse's
    ``cost_loss``; with c a probability its mean is ``expected_cost_loss``.

    References
    ----------
    Correa Bahnsen, A., Aouada, D. and Ottersten, B. (2015). A novel cost-sensitive framework for
    customer churn predictive modeling. Decision Analytics 2:5.

    Examples
    --------
    >>> matrix = CostMatrix(
    ...     true_positive=1.0, false_positive=2.0, false_negative=9.0, true_negative=0.0
    ... )
    >>> decision_cost([1, 1, 0, 0], [True, False, True, False], matrix).tolist()
    [1.0, 9.0, 2.0, 0.0]
    """
    index, (left, share, tp, fp, fn, tn) = read_terms(y=y, contacted=contacted, **costs.named())
    cost = left * (share * tp + (1 - share) * fn) + (1 - left) * (share * fp + (1 - share) * tn)
    return labelled(cost, index, "cost")
