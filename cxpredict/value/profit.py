"""Profit of contacting customers at risk: expected gain, break-even, MPC and EMPC."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from cxpredict.errors import DataError
from cxpredict.value.checks import Floats, common_index, in_range, labelled
from cxpredict.value.roc import cumulative_shares, upper_hull


def expected_gain(
    churn_probability: Any,
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: Any,
    stayer_acceptance: Any = 1.0,
) -> Any:
    """Return the money to expect from contacting each customer with an offer.

    Parameters
    ----------
    churn_probability : float or array-like in [0, 1]
        Calibrated probability to leave if not contacted, p.
    value : float or array-like
        Money a kept customer is worth, CLV.
    incentive : float or array-like ≥ 0
        Money the offer costs when a customer takes it, d.
    contact_cost : float or array-like ≥ 0
        Money each contact costs, taken or not, f.
    acceptance : float or array-like in [0, 1]
        Share of would-be leavers who take the offer and stay, γ.
    stayer_acceptance : float or array-like in [0, 1]
        Share of customers who would have stayed anyway and take the offer, ψ. The default 1 is
        the cautious choice: every one of them takes it.

    Returns
    -------
    float, ndarray or Series
        Expected gain for each customer, in the unit of `value`; a Series if an input is one.

    Raises
    ------
    DataError
        If a number is missing or out of range, or if lengths or indexes differ.

    Notes
    -----
    p·γ·(CLV − d) − (1 − p)·ψ·d − f. This is the risk form: it takes acceptance as known and the
    same for all risks. It does not claim that the riskiest customers are the most persuadable
    (Ascarza 2018); only a randomised hold-out can show that.

    References
    ----------
    Verbraken, T., Verbeke, W. and Baesens, B. (2013). A novel profit maximizing metric for
    measuring classification performance of customer churn prediction models. IEEE Transactions
    on Knowledge and Data Engineering 25(5), 961–973.

    Examples
    --------
    >>> expected_gain(0.5, value=200.0, incentive=10.0, contact_cost=1.0, acceptance=0.3)
    22.5
    """
    index, (v, d, f, gamma, psi, p) = _terms(
        value, incentive, contact_cost, acceptance, stayer_acceptance, churn_probability
    )
    gain = p * gamma * (v - d) - (1 - p) * psi * d - f
    return labelled(gain, index, "expected_gain")


def break_even_probability(
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: Any,
    stayer_acceptance: Any = 1.0,
) -> Any:
    """Return the churn probability above which contacting a customer pays.

    Parameters
    ----------
    value, incentive, contact_cost, acceptance, stayer_acceptance
        As in `expected_gain`.

    Returns
    -------
    float, ndarray or Series
        Probability at which `expected_gain` is 0; missing where no probability pays.

    Raises
    ------
    DataError
        If a number is missing or out of range, or if lengths or indexes differ.

    Notes
    -----
    (ψ·d + f) / (γ·(CLV − d) + ψ·d).

    Examples
    --------
    >>> pay = break_even_probability(
    ...     value=200.0, incentive=10.0, contact_cost=1.0, acceptance=0.3
    ... )
    >>> round(pay, 4)  # 11/67
    0.1642
    """
    index, (v, d, f, gamma, psi) = _terms(
        value, incentive, contact_cost, acceptance, stayer_acceptance
    )
    loss, swing = psi * d + f, gamma * (v - d) + psi * d
    pays = (swing > 0) & (loss <= swing)
    ratio = np.where(pays, loss / np.where(pays, swing, 1.0), np.nan)
    return labelled(ratio, index, "break_even_probability")


@dataclass(frozen=True)
class MaximumProfit:
    """The best a ranking can earn when the best share of customers is contacted.

    Parameters
    ----------
    profit : float
        Money for each customer in the base, contacted or not.
    fraction : float in [0, 1]
        Share of customers contacted; its expectation for `expected_maximum_profit`.
    threshold : float or None
        Lowest probability contacted; infinite if nobody is, None where it varies.
    """

    profit: float
    fraction: float
    threshold: float | None


def maximum_profit(
    y: Any, p: Any, *, clv: float, incentive: float, contact_cost: float, acceptance: float
) -> MaximumProfit:
    """Return the maximum profit (MPC) of contacting customers in the order of their risk.

    Parameters
    ----------
    y, p : array-like
        1 if the customer left, 0 if not; and a score that rises with the risk to leave.
    clv : float
        Money a kept customer is worth, the same for all; more than `incentive`.
    incentive : float ≥ 0
        Money the offer costs when taken. All contacted customers who would stay take it.
    contact_cost : float ≥ 0
        Money each contact costs.
    acceptance : float in [0, 1]
        Share of contacted would-be leavers who take the offer and stay.

    Returns
    -------
    MaximumProfit
        ``profit`` for each customer in the base, ``fraction`` contacted, ``threshold``.

    Raises
    ------
    DataError
        If y has one class only or other values, or if a number is out of range.

    Notes
    -----
    max over T of CLV·(γ(1 − δ) − φ)·π₀F₀(T) − CLV·(δ + φ)·π₁F₁(T) with δ = d/CLV, φ = f/CLV and
    0 the churners of the source (1 here). The threshold is chosen on these very customers, so
    the figure is optimistic as a forecast; customers with tied scores are contacted together.

    References
    ----------
    Verbraken, Verbeke and Baesens (2013), as in `expected_gain`.

    Examples
    --------
    >>> best = maximum_profit(
    ...     [0, 1, 1], [0.1, 0.6, 0.9], clv=200.0, incentive=10.0, contact_cost=1.0, acceptance=0.3
    ... )
    >>> round(best.profit, 3), round(best.fraction, 3), best.threshold
    (37.333, 0.667, 0.6)
    """
    leavers, stayers, thresholds = cumulative_shares(y, p)
    v, d, f = _one_value(clv, incentive, contact_cost)
    gamma = float(in_range("acceptance", acceptance, 0.0, 1.0))
    profit = (gamma * (v - d) - f) * leavers - (d + f) * stayers
    # Of equal profits the smallest campaign is taken: rounding keeps noise from choosing.
    best = int(np.argmax(np.round(profit, 12)))
    fraction = float(leavers[best] + stayers[best])
    return MaximumProfit(float(profit[best]), fraction, float(thresholds[best]))


def expected_maximum_profit(
    y: Any,
    p: Any,
    *,
    clv: float,
    incentive: float,
    contact_cost: float,
    alpha: float,
    beta: float,
) -> MaximumProfit:
    """Return the expected maximum profit (EMPC) when acceptance follows a Beta distribution.

    Parameters
    ----------
    y, p, clv, incentive, contact_cost
        As in `maximum_profit`.
    alpha, beta : float > 0
        Parameters of the Beta distribution of acceptance; its mean is alpha / (alpha + beta).

    Returns
    -------
    MaximumProfit
        Expected ``profit`` for each customer in the base and expected ``fraction`` contacted;
        ``threshold`` is None, since it varies with acceptance.

    Raises
    ------
    DataError
        As in `maximum_profit`, or if alpha or beta is not positive.

    Notes
    -----
    ∫ max over T of P(T; γ) dBeta(γ; α, β). Only vertices of the convex hull of the ROC curve are
    optimal, each over one interval of γ, in which the profit is linear in γ; the integral is
    therefore exact, a sum of differences of Beta(α, β) and Beta(α + 1, β) distribution functions.

    References
    ----------
    Verbraken, Verbeke and Baesens (2013), as in `expected_gain`.

    Examples
    --------
    >>> best = expected_maximum_profit(
    ...     [0, 1, 1], [0.1, 0.6, 0.9],
    ...     clv=200.0, incentive=10.0, contact_cost=1.0, alpha=6.0, beta=14.0,
    ... )
    >>> round(best.profit, 3)
    37.333
    """
    leavers, stayers, _ = cumulative_shares(y, p)
    v, d, f = _one_value(clv, incentive, contact_cost)
    if not (alpha > 0 and beta > 0 and np.isfinite(alpha + beta)):
        raise DataError(f"alpha and beta: expected positive numbers, got {alpha!r}, {beta!r}.")
    keep = upper_hull(stayers, leavers)
    leavers, stayers = leavers[keep], stayers[keep]
    # Acceptance above which going one vertex further pays; rises along a concave hull.
    gain, loss = np.diff(leavers) * (v - d), np.diff(stayers) * (d + f) + np.diff(leavers) * f
    step = np.where(gain > 0, loss / np.where(gain > 0, gain, 1.0), np.inf)
    cuts = np.clip(np.concatenate([[0.0], step, [np.inf]]), 0.0, 1.0)
    mass = np.diff(stats.beta.cdf(cuts, alpha, beta))
    mean_mass = alpha / (alpha + beta) * np.diff(stats.beta.cdf(cuts, alpha + 1, beta))
    profit = (v - d) * leavers * mean_mass - (f * leavers + (d + f) * stayers) * mass
    return MaximumProfit(float(profit.sum()), float(((leavers + stayers) * mass).sum()), None)


_TERMS = {
    "value": (-np.inf, np.inf),
    "incentive": (0.0, np.inf),
    "contact_cost": (0.0, np.inf),
    "acceptance": (0.0, 1.0),
    "stayer_acceptance": (0.0, 1.0),
    "churn_probability": (0.0, 1.0),
}


def _terms(*inputs: Any) -> tuple[Any, list[Floats]]:
    """Check inputs in the order of `_TERMS`; return their common index and their numbers."""
    named = dict(zip(_TERMS, inputs, strict=False))
    arrays = [in_range(name, value, *_TERMS[name]) for name, value in named.items()]
    sizes = {array.shape for array in arrays if array.ndim}
    if len(sizes) > 1 or any(array.ndim > 1 for array in arrays):
        raise DataError(f"{', '.join(named)}: expected one number or one per customer of each.")
    return common_index(**named), arrays


def _one_value(clv: float, incentive: float, contact_cost: float) -> tuple[float, float, float]:
    _, (v, d, f) = _terms(clv, incentive, contact_cost)
    if v.ndim or v <= d:
        raise DataError(
            "clv: expected one amount above the incentive; an offer worth more than the customer "
            "never pays. Use expected_gain for values that differ by customer."
        )
    return float(v), float(d), float(f)
