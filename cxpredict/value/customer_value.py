"""What a customer is worth: margin over the time a customer stays, discounted to today."""

from typing import Any, Literal

import numpy as np

from cxpredict.data.checks import Floats, common_index, in_range
from cxpredict.errors import DataError
from cxpredict.value.checks import labelled

Payment = Literal["start", "end"]
_RATE_HINT = "A rate is a fraction for each period: 0.1 means 10 %."


def geometric_value(margin: Any, retention: Any, discount_rate: Any, *, payment: Payment) -> Any:
    """Value customers who stay with the same probability for ever.

    Parameters
    ----------
    margin : float or array-like
        Money for each period a customer stays.
    retention : float or array-like in [0, 1]
        Probability to stay from one period to the next.
    discount_rate : float or array-like in [0, 1]
        Discount rate for each period.
    payment : {"start", "end"}
        ``start``: the first margin is paid now, by everyone. ``end``: the first margin is paid
        after one period, by those who stayed.

    Returns
    -------
    float, ndarray or Series
        Present value in the unit of `margin`; a Series if an input is one.

    Raises
    ------
    DataError
        If a number is out of range, or if retention is 1 at a discount rate of 0: the sum has
        no limit.

    Notes
    -----
    ``end``: m·r / (1 + δ − r); ``start``: m·(1 + δ) / (1 + δ − r). Assumes constant margin and
    retention; where customers differ in retention, the mean retention understates their value.

    References
    ----------
    Gupta, S. and Lehmann, D. (2003). Customers as assets. Journal of Interactive Marketing 17(1).

    Examples
    --------
    >>> round(geometric_value(100.0, 0.8, 0.1, payment="end"), 2)
    266.67
    >>> round(geometric_value(100.0, 0.8, 0.1, payment="start"), 2)
    366.67
    """
    index = common_index(margin=margin, retention=retention, discount_rate=discount_rate)
    m, r = in_range("margin", margin), in_range("retention", retention, 0.0, 1.0, hint=_RATE_HINT)
    rate = in_range("discount_rate", discount_rate, 0.0, 1.0, hint=_RATE_HINT)
    _check_payment(payment)
    remainder = 1 + rate - r
    if np.any(remainder <= 0):
        raise DataError(
            "retention of 1 at a discount rate of 0 has no finite value. "
            "Use customer_value with a number of periods."
        )
    return labelled(m * (r if payment == "end" else 1 + rate) / remainder, index, "value")


def customer_value(
    margin_per_period: Any,
    retention: Any,
    *,
    periods: int,
    discount_rate: float,
    payment: Payment,
) -> Any:
    """Value customers over a stated number of periods.

    Parameters
    ----------
    margin_per_period : float or array-like
        Money for each period a customer stays; one number for all, or one per customer.
    retention : float or array-like in [0, 1]
        Probability to stay from one period to the next: one for all, one per customer, or a
        table with one row per customer and one column per period (first column: to stay through
        the first period).
    periods : int ≥ 1
        Horizon, in the periods of margin and retention.
    discount_rate : float in [0, 1]
        Discount rate for each period.
    payment : {"start", "end"}
        ``start``: margins fall due at the start of each period, the first now, paid by everyone.
        ``end``: at the end of each period, paid by those who stayed through it.

    Returns
    -------
    float, ndarray or Series
        Present value in the unit of the margin; a Series if an input is pandas.

    Raises
    ------
    DataError
        If a number is out of range, or if lengths or indexes differ.

    Notes
    -----
    Σ m·S_t / (1 + δ)^t with S_t the probability to be still a customer after t periods; t runs
    from 1 to `periods` for ``end`` and from 0 to `periods` − 1 for ``start``. For long horizons
    and constant retention this is `geometric_value`. The value is an expectation that takes
    margin and retention as known; it has no interval.

    References
    ----------
    Gupta, S., Lehmann, D. and Stuart, J. (2004). Valuing customers. Journal of Marketing
    Research 41(1), 7–18.

    Examples
    --------
    >>> round(customer_value(100.0, 0.8, periods=2, discount_rate=0.1, payment="end"), 2)
    125.62
    """
    index = common_index(margin_per_period=margin_per_period, retention=retention)
    m = in_range("margin_per_period", margin_per_period)
    factor = annuity(retention, periods=periods, discount_rate=discount_rate, payment=payment)
    if m.ndim > 1 or (m.ndim and factor.ndim and len(m) != len(factor)):
        raise DataError(
            f"margin_per_period and retention: expected one per customer, got shapes {m.shape} "
            f"and {np.shape(retention)}."
        )
    return labelled(m * factor, index, "value")


def annuity(retention: Any, *, periods: int, discount_rate: float, payment: Payment) -> Floats:
    """Return the discounted number of payments to expect from each customer.

    Parameters
    ----------
    retention, periods, discount_rate, payment
        As in `customer_value`.

    Returns
    -------
    ndarray
        One number per customer, or without axis for a single retention.

    Raises
    ------
    DataError
        If a number is out of range or the table of retention has not `periods` columns.

    Examples
    --------
    >>> float(annuity(1.0, periods=3, discount_rate=0.0, payment="end"))
    3.0
    """
    payments: Floats = discounted_survival(
        retention, periods=periods, discount_rate=discount_rate, payment=payment
    ).sum(axis=-1)
    return payments


def discounted_survival(
    retention: Any, *, periods: int, discount_rate: float, payment: Payment
) -> Floats:
    """Return the discounted probability of each payment, in the last axis.

    Parameters
    ----------
    retention, periods, discount_rate, payment
        As in `customer_value`.

    Returns
    -------
    ndarray of shape (..., periods)
        S_t / (1 + δ)^t, t from 1 for ``end`` and from 0 for ``start``.

    Raises
    ------
    DataError
        If a number is out of range or the table of retention has not `periods` columns.

    Examples
    --------
    >>> discounted_survival(0.5, periods=3, discount_rate=0.0, payment="start").tolist()
    [1.0, 0.5, 0.25]
    """
    if isinstance(periods, bool) or int(periods) != periods or periods < 1:
        raise DataError(f"periods: expected a whole number from 1 on, got {periods!r}.")
    r = in_range("retention", retention, 0.0, 1.0, hint=_RATE_HINT)
    rate = in_range("discount_rate", discount_rate, 0.0, 1.0, hint=_RATE_HINT)
    _check_payment(payment)
    if r.ndim == 2 and r.shape[1] != periods:
        raise DataError(f"retention: expected {periods} columns (periods), got {r.shape[1]}.")
    by_period = r if r.ndim == 2 else np.repeat(r[..., None], periods, axis=-1)
    t = np.arange(1, int(periods) + 1)
    survival = np.cumprod(by_period, axis=-1)
    if payment == "start":
        survival = np.concatenate([np.ones_like(survival[..., :1]), survival[..., :-1]], axis=-1)
        t = t - 1
    discounted: Floats = survival / (1 + rate) ** t
    return discounted


def discount_factors(
    periods: int, *, period_days: int, yearly_discount_rate: float, payment: Payment
) -> Floats:
    """Return what money of each period is worth today.

    Parameters
    ----------
    periods : int ≥ 1
        Number of periods.
    period_days : int ≥ 1
        Length of a period in days.
    yearly_discount_rate : float in [0, 1]
        Discount rate for 365.25 days.
    payment : {"start", "end"}
        When the money of a period falls due.

    Returns
    -------
    ndarray of shape (periods,)
        (1 + δ)^−t with δ the rate of one period; t from 1 for ``end`` and from 0 for ``start``.

    Raises
    ------
    DataError
        If a number is out of range.

    Examples
    --------
    >>> discount_factors(2, period_days=90, yearly_discount_rate=0.0, payment="end").tolist()
    [1.0, 1.0]
    """
    if isinstance(period_days, bool) or int(period_days) != period_days or period_days < 1:
        raise DataError(f"period_days: expected a whole number from 1 on, got {period_days!r}.")
    yearly = float(
        in_range("yearly_discount_rate", yearly_discount_rate, 0.0, 1.0, hint=_RATE_HINT)
    )
    rate = (1 + yearly) ** (period_days / 365.25) - 1
    return discounted_survival(1.0, periods=periods, discount_rate=rate, payment=payment)


def value_at_risk(churn_probability: Any, value: Any) -> Any:
    """Return the value expected to be lost by customers leaving.

    Parameters
    ----------
    churn_probability : float or array-like in [0, 1]
        Calibrated probability to leave within the horizon of the model.
    value : float or array-like
        Money a customer who stays is worth, one number for all or one per customer.

    Returns
    -------
    float, ndarray or Series
        Probability × value, in the unit of `value`.

    Raises
    ------
    DataError
        If a probability is outside [0, 1], a value is missing, or lengths or indexes differ.

    Notes
    -----
    An expectation over leaving, not a quantile of a loss distribution as in finance. It is no
    gain of contacting: that needs an offer and its effect (`expected_gain`). Customers who cost
    more than they bring have a negative value at risk.

    Examples
    --------
    >>> value_at_risk(0.25, 800.0)
    200.0
    """
    index = common_index(churn_probability=churn_probability, value=value)
    p = in_range("churn_probability", churn_probability, 0.0, 1.0)
    v = in_range("value", value)
    if p.ndim and v.ndim and p.shape != v.shape:
        raise DataError(f"value: expected {len(p)} (one per probability), got {len(v)}.")
    return labelled(p * v, index, "value_at_risk")


def _check_payment(payment: str) -> None:
    if payment not in ("start", "end"):
        raise DataError(f"payment: expected 'start' or 'end', got {payment!r}.")
