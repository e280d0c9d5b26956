"""Maximum profit of a ranking (MPC), and its expectation over acceptance (EMPC)."""

from dataclasses import dataclass
from typing import Any

from cxpredict.errors import DataError
from cxpredict.value.profit.acceptance import Beta, one_acceptance
from cxpredict.value.profit.ranking import Ranking


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
        Lowest score contacted; infinite if nobody is, None where it varies.
    """

    profit: float
    fraction: float
    threshold: float | None


def maximum_profit(
    y: Any,
    p: Any,
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: float,
    stayer_acceptance: Any = 1.0,
) -> MaximumProfit:
    """Return the maximum profit (MPC) of contacting customers in the order of a score.

    Parameters
    ----------
    y, p : array-like
        1 if the customer left, 0 if not; and the score by which customers are contacted, highest
        first: the risk to leave, or the `expected_gain`.
    value : float or array-like
        Money a kept customer is worth, CLV: one amount for all, or each customer's own.
    incentive : float or array-like ≥ 0
        Money the offer costs when taken.
    contact_cost : float or array-like ≥ 0
        Money each contact costs.
    acceptance : float in [0, 1]
        Share of contacted would-be leavers who take the offer and stay.
    stayer_acceptance : float or array-like in [0, 1]
        Share of contacted customers who would stay and take the offer.

    Returns
    -------
    MaximumProfit
        ``profit`` for each customer in the base, ``fraction`` contacted, ``threshold``.

    Raises
    ------
    DataError
        If y has one class only or other values, if a number is out of range, if lengths or
        indexes differ, or if no customer is worth more than the incentive.

    Notes
    -----
    max over T of Σ_{pᵢ ≥ T} [yᵢ(γ(CLVᵢ − dᵢ) − fᵢ) − (1 − yᵢ)(ψᵢdᵢ + fᵢ)] / n. With the same
    money for all and ψ = 1 this is the MPC of the source, CLV·(γ(1 − δ) − φ)·π₀F₀(T) −
    CLV·(δ + φ)·π₁F₁(T) with δ = d/CLV, φ = f/CLV and 0 the churners (1 here and in empulse).
    empulse's ``mpc_score`` and ``empc_score`` replace values that differ by customer by their
    mean; here each counts with his own, as in its ``empb_score``, which equals this measure with
    incentives that are a fraction of the values (Janssens et al. 2022).

    The threshold is chosen on these very customers, so that the figure is optimistic as a
    forecast (`profit_curve` tells by how much). Customers with tied scores are contacted
    together; of equal profits the smallest campaign is taken.

    References
    ----------
    Verbraken, Verbeke and Baesens (2013), as in `expected_gain`. Janssens, B., Bogaert, M.,
    Bagué, A. and Van den Poel, D. (2022). B2Boost: instance-dependent profit-driven modelling of
    B2B churn. Annals of Operations Research.

    Examples
    --------
    >>> best = maximum_profit(
    ...     [0, 1, 1], [0.1, 0.6, 0.9],
    ...     value=200.0, incentive=10.0, contact_cost=1.0, acceptance=0.3,
    ... )
    >>> round(best.profit, 3), round(best.fraction, 3), best.threshold
    (37.333, 0.667, 0.6)
    """
    if isinstance(acceptance, Beta):
        raise DataError(
            "acceptance: expected one share; for a distribution use expected_maximum_profit, or "
            "take its mean."
        )
    gamma = one_acceptance(acceptance)
    ranking = Ranking.read(y, p, value, incentive, contact_cost, stayer_acceptance)
    lines = ranking.lines()
    best = lines.best(gamma)
    return MaximumProfit(
        float(lines.at(gamma)[best]), float(lines.share[best]), float(ranking.thresholds[best])
    )


def expected_maximum_profit(
    y: Any,
    p: Any,
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: Beta,
    stayer_acceptance: Any = 1.0,
) -> MaximumProfit:
    """Return the expected maximum profit (EMPC) when acceptance follows a Beta distribution.

    Parameters
    ----------
    y, p, value, incentive, contact_cost, stayer_acceptance
        As in `maximum_profit`.
    acceptance : Beta
        Distribution of acceptance.

    Returns
    -------
    MaximumProfit
        Expected ``profit`` for each customer in the base and expected ``fraction`` contacted;
        ``threshold`` is None, since it varies with acceptance.

    Raises
    ------
    DataError
        As in `maximum_profit`, or if acceptance is no distribution.

    Notes
    -----
    ∫ max over T of P(T; γ) dBeta(γ; α, β). At each threshold the profit is a line in γ, whatever
    each customer is worth; their maximum is the upper envelope of the lines, each of them the
    highest on one interval of γ. The integral is therefore exact, a sum of differences of
    Beta(α, β) and Beta(α + 1, β) distribution functions. As for the MPC, customers have their
    own values and 1 is the churner; with one value for all, empulse's figure is the same.

    It presumes that acceptance is known by the time the threshold is set, and is never below the
    maximum profit at mean acceptance.

    References
    ----------
    Verbraken, Verbeke and Baesens (2013), as in `expected_gain`.

    Examples
    --------
    >>> best = expected_maximum_profit(
    ...     [0, 1, 1], [0.1, 0.6, 0.9],
    ...     value=200.0, incentive=10.0, contact_cost=1.0, acceptance=Beta(6, 14),
    ... )
    >>> round(best.profit, 3)
    37.333
    """
    if not isinstance(acceptance, Beta):
        raise DataError(
            "acceptance: expected a distribution such as Beta(6, 14); for one share use "
            "maximum_profit."
        )
    lines = Ranking.read(y, p, value, incentive, contact_cost, stayer_acceptance).lines()
    hull, cuts = lines.envelope()
    mass, mean_mass = acceptance.masses(cuts)
    profit = lines.slope[hull] * mean_mass + lines.intercept[hull] * mass
    fraction = min(float((lines.share[hull] * mass).sum()), 1.0)
    return MaximumProfit(float(profit.sum()), fraction, None)
