"""Gain of contacting each customer, and the risk above which contacting pays."""

from typing import Any

import numpy as np
import pandas as pd

from cxpredict.data.checks import Floats, check_level
from cxpredict.errors import DataError
from cxpredict.value.checks import labelled
from cxpredict.value.profit.acceptance import Beta
from cxpredict.value.profit.terms import read_terms


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
    acceptance : Beta, or float or array-like in [0, 1]
        Share of would-be leavers who take the offer and stay, γ. Of a distribution the mean
        enters; `gain_interval` says what the rest of it does.
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
    p·γ·(CLV − d) − (1 − p)·ψ·d − f. This is the risk form: it takes acceptance as the same for
    all risks. It does not claim that the riskiest customers are the most persuadable
    (Ascarza 2018); only a randomised hold-out can show that. The gain is linear in γ, so that
    its expectation over a distribution of γ is the gain at the mean, exactly.

    References
    ----------
    Verbraken, T., Verbeke, W. and Baesens, B. (2013). A novel profit maximizing metric for
    measuring classification performance of customer churn prediction models. IEEE Transactions
    on Knowledge and Data Engineering 25(5), 961–973.

    Examples
    --------
    >>> expected_gain(0.5, value=200.0, incentive=10.0, contact_cost=1.0, acceptance=0.3)
    22.5
    >>> expected_gain(0.5, value=200.0, incentive=10.0, contact_cost=1.0, acceptance=Beta(6, 14))
    22.5
    """
    index, (p, v, d, f, gamma, psi) = read_terms(
        churn_probability=churn_probability,
        value=value,
        incentive=incentive,
        contact_cost=contact_cost,
        acceptance=acceptance,
        stayer_acceptance=stayer_acceptance,
    )
    return labelled(_gain(p, v, d, f, gamma, psi), index, "expected_gain")


def realised_gain(
    y: Any,
    contacted: Any,
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: Any,
    stayer_acceptance: Any = 1.0,
) -> Any:
    """Return what contacting some customers would have brought, given who left.

    Parameters
    ----------
    y : array-like of 0 and 1
        1 if the customer left, 0 if not. Nobody of them was contacted.
    contacted : array-like of bool, or in [0, 1]
        Whether the policy would have contacted the customer, or with which probability.
    value, incentive, contact_cost, acceptance, stayer_acceptance
        As in `expected_gain`.

    Returns
    -------
    ndarray or Series
        Money of each customer; 0 where not contacted.

    Raises
    ------
    DataError
        As in `expected_gain`, or if y holds other than 0 and 1.

    Notes
    -----
    `expected_gain` with the outcome in place of the probability. Who would have accepted was not
    observed: that part is still the expectation over acceptance.

    Examples
    --------
    >>> realised_gain(
    ...     [1, 0, 1], [True, True, False],
    ...     value=200.0, incentive=10.0, contact_cost=1.0, acceptance=0.3,
    ... ).tolist()
    [56.0, -11.0, 0.0]
    """
    index, (left, share, v, d, f, gamma, psi) = read_terms(
        y=y,
        contacted=contacted,
        value=value,
        incentive=incentive,
        contact_cost=contact_cost,
        acceptance=acceptance,
        stayer_acceptance=stayer_acceptance,
    )
    if not np.isin(left, (0.0, 1.0)).all():
        raise DataError("y: expected 0 (stayed) and 1 (left), and nothing else.")
    return labelled(share * _gain(left, v, d, f, gamma, psi), index, "realised_gain")


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
    (ψ·d + f) / (γ·(CLV − d) + ψ·d). Of a distribution of acceptance the mean enters, because
    whether contacting pays on average depends on the mean alone; see `break_even_interval`.

    Examples
    --------
    >>> pay = break_even_probability(
    ...     value=200.0, incentive=10.0, contact_cost=1.0, acceptance=0.3
    ... )
    >>> round(pay, 4)  # 11/67
    0.1642
    """
    index, (v, d, f, gamma, psi) = read_terms(
        value=value,
        incentive=incentive,
        contact_cost=contact_cost,
        acceptance=acceptance,
        stayer_acceptance=stayer_acceptance,
    )
    return labelled(_break_even(v, d, f, gamma, psi), index, "break_even_probability")


def break_even_interval(
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: Beta,
    stayer_acceptance: Any = 1.0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the break-even probability with its uncertainty.

    Parameters
    ----------
    value, incentive, contact_cost, stayer_acceptance
        As in `expected_gain`.
    acceptance : Beta
        Distribution of the share of would-be leavers who take the offer and stay.
    level : float in (0, 1)
        Probability with which the break-even probability lies between `low` and `high`.

    Returns
    -------
    DataFrame
        One row per customer, or one: ``break_even_probability`` as in the function of that name;
        ``low``, ``high``, missing where at that end of acceptance no probability pays;
        ``never_pays``, the probability that acceptance is too low for any risk.

    Raises
    ------
    DataError
        As in `expected_gain`, or if acceptance is no distribution.

    Notes
    -----
    The break-even probability falls in γ, so that its quantiles are those of γ turned round,
    exactly. No risk pays if γ(CLV − d) < f, and none at
    all if the incentive is more than the customer is worth. Money counts as known.

    Examples
    --------
    >>> break_even_interval(
    ...     value=200.0, incentive=10.0, contact_cost=1.0, acceptance=Beta(6, 14)
    ... ).round(3)
       break_even_probability    low   high  never_pays
    0                   0.164  0.103  0.325         0.0
    """
    if not isinstance(acceptance, Beta):
        raise DataError(
            "acceptance: expected a distribution such as Beta(6, 14); a plain number has no "
            "uncertainty. For the probability alone use break_even_probability."
        )
    index, (v, d, f, psi) = read_terms(
        value=value,
        incentive=incentive,
        contact_cost=contact_cost,
        stayer_acceptance=stayer_acceptance,
    )
    few, many = np.array(acceptance.interval(check_level(level)))
    worth = v > d
    least = np.where(
        worth, f / np.where(worth, v - d, 1.0), np.where((f > 0) | (v < d), np.inf, 0.0)
    )
    columns = {
        "break_even_probability": _break_even(v, d, f, np.array(acceptance.mean), psi),
        "low": _break_even(v, d, f, many, psi),
        "high": _break_even(v, d, f, few, psi),
        "never_pays": 1 - acceptance.above(least),
    }
    rows = np.broadcast_arrays(*(np.atleast_1d(column) for column in columns.values()))
    return pd.DataFrame(dict(zip(columns, rows, strict=True)), index=index)


def _gain(p: Floats, v: Floats, d: Floats, f: Floats, gamma: Floats, psi: Floats) -> Floats:
    gained: Floats = p * gamma * (v - d) - (1 - p) * psi * d - f
    return gained


def _break_even(v: Floats, d: Floats, f: Floats, gamma: Floats, psi: Floats) -> Floats:
    loss, swing = psi * d + f, gamma * (v - d) + psi * d
    pays = (swing > 0) & (loss <= swing)
    return np.asarray(np.where(pays, loss / np.where(pays, swing, 1.0), np.nan))
