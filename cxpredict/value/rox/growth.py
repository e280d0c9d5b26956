"""Earned growth: how much of a company's growth its customers bring themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cxpredict.data.checks import in_range
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.features.events import to_utc
from cxpredict.value.rox.records import expect_from, expect_until


@dataclass(frozen=True)
class EarnedGrowth:
    """Earned growth rate, and its ratio to reported growth.

    Parameters
    ----------
    rate : float
        Growth earned from existing customers and those they brought; .1 means 10 %.
    ratio : float or None
        Rate ÷ reported growth; None without reported growth.
    """

    rate: float
    ratio: float | None


def earned_growth(
    *,
    net_revenue_retention: float,
    earned_new: float,
    reported_growth: float | None = None,
) -> EarnedGrowth:
    """Compute Bain's earned growth rate and ratio.

    Parameters
    ----------
    net_revenue_retention : float ≥ 0
        This year's revenue from last year's customers ÷ last year's revenue; .85 means 85 %.
    earned_new : float ≥ 0
        Revenue from new customers who came by recommendation ÷ last year's revenue.
    reported_growth : float > 0, optional
        Reported growth of revenue, for the ratio.

    Returns
    -------
    EarnedGrowth
        ``rate`` and ``ratio``.

    Raises
    ------
    DataError
        If a share is negative, or reported growth is not above 0: the ratio then means nothing.

    Notes
    -----
    rate = net revenue retention + earned new − 1. A figure of accounts, without interval; which
    customers count as earned depends on how the company asks.

    References
    ----------
    Reichheld, F., Darnell, D. and Burns, M. (2021). Net promoter 3.0. Harvard Business Review.

    Examples
    --------
    >>> growth = earned_growth(net_revenue_retention=0.85, earned_new=0.25, reported_growth=0.30)
    >>> round(growth.rate, 3), round(growth.ratio, 3)
    (0.1, 0.333)
    """
    for name, share in {
        "net_revenue_retention": net_revenue_retention,
        "earned_new": earned_new,
    }.items():
        in_range(name, share, 0.0, 10.0, hint="A share, not a percentage: 0.85 means 85 %.")
    rate = net_revenue_retention + earned_new - 1
    if reported_growth is None:
        return EarnedGrowth(rate, None)
    if not in_range("reported_growth", reported_growth, 0.0).all():
        raise DataError("reported_growth: expected more than 0; leave it out for the rate alone.")
    return EarnedGrowth(rate, rate / reported_growth)


def log_earned_growth(
    log: CustomerLog, *, until: Any, column: str, earned: Sequence[str]
) -> EarnedGrowth:
    """Compute earned growth over a year from a log.

    Parameters
    ----------
    log : CustomerLog
        The records; amounts of transactions are revenue.
    until : date
        End of the year, exclusive. Transactions must cover the two years before it, but for the
        usual gap between them: 1½ times the longest of the last year, at least a week.
    column : str
        Attribute of customers that says how they came, such as ``acquisition``.
    earned : sequence of str
        Its values that mean a recommendation.

    Returns
    -------
    EarnedGrowth
        Its ratio compares with the growth of all revenue, if that grew.

    Raises
    ------
    DataError
        If the column is not there, no customer has such a value, the records are too short, or
        there was no revenue in the year before.

    Notes
    -----
    Net revenue retention: revenue of the year from customers of the year before ÷ revenue of the
    year before. Earned new: revenue of the year from customers who never bought before and came
    by recommendation ÷ the same. Customers who come back after more than a year are neither.

    Examples
    --------
    >>> from cxpredict.data.simulate import simulate_company
    >>> log = simulate_company(300, seed=7).log
    >>> growth = log_earned_growth(
    ...     log, until="2026-01-01", column="acquisition", earned=["referral"]
    ... )
    >>> -1 < growth.rate < 1
    True
    """
    if column not in log.customers.columns:
        raise DataError(f"column: the customers table has no column {column!r}.")
    if isinstance(earned, str) or not len(earned):
        raise DataError("earned: expected a list of values that mean a recommendation.")
    end = to_utc(until)
    middle, start = end - timedelta(days=365), end - timedelta(days=730)
    declared = log.observed_until
    if declared is not None and end > to_utc(declared):
        raise DataError(f"until: the records reach until {declared} only.")
    rows = log.transactions.filter(log.transactions.occurred_at < end)
    expect_from("transactions", rows, start)
    expect_until("transactions", rows, end)
    at, amount = rows.occurred_at, rows.amount.fill_null(0.0)
    each = rows.group_by("customer_id").agg(
        first=at.min(),
        before=((at >= start) & (at < middle)).ifelse(amount, 0.0).sum(),
        now=(at >= middle).ifelse(amount, 0.0).sum(),
    )
    customers = log.customers.select("customer_id", how=log.customers[column].cast("string"))
    if not customers.how.isin(list(earned)).any().execute():
        raise DataError(f"earned: no customer has such a value in {column}.")
    frame = each.left_join(customers, "customer_id").to_pyarrow().to_pandas()
    whole = float(frame["before"].sum())
    if not whole > 0:
        raise DataError("until: there was no revenue in the year before the last.")
    there, new = frame["before"] > 0, (frame["first"] >= middle) & frame["how"].isin(earned)
    reported = float(frame["now"].sum()) / whole - 1
    return earned_growth(
        net_revenue_retention=float(frame.loc[there, "now"].sum()) / whole,
        earned_new=float(frame.loc[new, "now"].sum()) / whole,
        reported_growth=reported if reported > 0 else None,
    )
