"""What customers brought after a date: margin by period, for models of customer value to learn."""

from datetime import timedelta

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.features.build import index_rows
from cxpredict.features.events import to_utc
from cxpredict.features.problem import labels
from cxpredict.features.problem.population import Date


def margins_by_period(
    log: CustomerLog,
    index: pd.MultiIndex,
    *,
    periods: int,
    period_days: int,
    cancelled: str | None = None,
    margin_rate: float | None = None,
    until: Date | None = None,
) -> pd.DataFrame:
    """Look up what customers brought in each period after a date, and whether they were there.

    Parameters
    ----------
    log : CustomerLog
        The records; of corrected ones the latest version counts.
    index : MultiIndex (customer_id, as_of)
        For whom and when.
    periods : int ≥ 1
        Number of periods.
    period_days : int ≥ 1
        Length of a period; period k is ``(as_of + (k − 1)·period_days, as_of + k·period_days]``.
    cancelled : str, optional
        Kind of the event with which a customer leaves for good. Without it nobody sees who has
        left, and a customer is there in a period with a transaction.
    margin_rate : float in (0, 1], optional
        Margin as a share of the amount, for transactions that carry none.
    until : date, optional
        End observation here if the records go on: at the test date, so that nothing after it is
        learnt from.

    Returns
    -------
    DataFrame
        Indexed by `index`: ``margin_1`` … in money, 0 without transactions, negative where returns
        exceed purchases; ``there_1`` … 1 or 0: with `cancelled` whether the customer is one at the
        end of the period, else whether a transaction lies in it. Missing for periods that were not
        observed whole, and for customers who had left before the first one.

    Raises
    ------
    DataError
        Periods or days are no whole numbers from 1 on, the log has no transactions, or they carry
        no margin and no `margin_rate` is given.

    Examples
    --------
    >>> sales = pd.DataFrame(
    ...     {"customer_id": ["a", "a", "b"], "amount": [10.0, 30.0, 5.0],
    ...      "occurred_at": ["2024-01-01", "2024-02-10", "2024-03-11"]}
    ... )
    >>> log = CustomerLog.from_frames(transactions=sales)
    >>> index = pd.MultiIndex.from_tuples(
    ...     [("a", pd.Timestamp("2024-01-11"))], names=["customer_id", "as_of"]
    ... )
    >>> brought = margins_by_period(log, index, periods=3, period_days=30, margin_rate=0.5)
    >>> brought.to_numpy().tolist()
    [[15.0, 0.0, nan, 1.0, 0.0, nan]]
    """
    for name, number in (("periods", periods), ("period_days", period_days)):
        if isinstance(number, bool) or number != int(number) or number < 1:
            raise DataError(f"{name}: expected a whole number from 1 on, got {number!r}.")
    columns = [f"{what}_{k}" for what in ("margin", "there") for k in range(1, periods + 1)]
    if not len(index):
        return pd.DataFrame(np.empty((0, 2 * periods)), index=index, columns=columns)
    rows = index_rows(index)
    money = _money(log, margin_rate)
    margin, active = _sums(money, rows, periods, period_days)
    ends = np.arange(1, periods + 1) * np.timedelta64(period_days, "D")
    closes = rows["as_of"].to_numpy()[:, None] + ends
    there = (active > 0).astype(np.float64)
    last = log.observed_until
    observed = pd.Timestamp(last) if last is not None else money.occurred_at.max().execute()
    if cancelled is not None:
        observed = labels.observed_until(log, kind=cancelled) if last is None else observed
        left = _left_at(log, cancelled, rows)
        there = (~(left[:, None] <= closes)).astype(np.float64)
        gone = left <= rows["as_of"].to_numpy()
        margin[gone], there[gone] = np.nan, np.nan
    if until is not None:
        observed = min(observed, to_utc(until))
    unseen = closes > np.datetime64(observed)
    margin[unseen], there[unseen] = np.nan, np.nan
    return pd.DataFrame(np.hstack([margin, there]), index=index, columns=columns)


def _money(log: CustomerLog, margin_rate: float | None) -> ir.Table:
    money = log.transactions
    if margin_rate is not None and not 0 < margin_rate <= 1:
        raise DataError(f"margin_rate: expected a share above 0 and up to 1, got {margin_rate!r}.")
    if not money.count().execute():
        raise DataError("margins_by_period: the log has no transactions to take margins from.")
    margin = money.margin
    if margin_rate is not None:
        margin = margin.coalesce(money.amount * margin_rate)
    elif margin.isnull().any().execute():
        raise DataError(
            "margins_by_period: some transactions carry no margin; map 'margin', or give "
            "margin_rate, the share of the amount that is margin."
        )
    return money.select("customer_id", "occurred_at", _margin=margin)


def _sums(
    money: ir.Table, rows: pd.DataFrame, periods: int, period_days: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sum margins, and count transactions, of every row and period."""
    population = ibis.memtable(rows)
    closes = population.as_of + ibis.interval(days=periods * period_days)
    joined = population.mutate(closes=closes).join(money, "customer_id")
    joined = joined.filter(
        (joined.occurred_at > joined.as_of) & (joined.occurred_at <= joined.closes)
    )
    since = joined.occurred_at.delta(joined.as_of, unit="microsecond").cast("int64")
    length = timedelta(days=period_days) // timedelta(microseconds=1)
    # whole millionths: no order of rows changes a digit
    joined = joined.mutate(
        _period=((since - 1) // length).cast("int64"),
        _whole=(joined._margin * 1_000_000).round().cast("int64"),
    )
    cells = joined.group_by(["_row", "_period"]).agg(
        margin=joined._whole.sum().cast("float64"), n=joined.count()
    )
    found = cells.to_pyarrow().to_pandas()
    margin, active = np.zeros((2, len(rows), periods))
    at = found["_row"].to_numpy(dtype=np.intp), found["_period"].to_numpy(dtype=np.intp)
    margin[at], active[at] = found["margin"] / 1_000_000, found["n"]
    return margin, active


def _left_at(log: CustomerLog, cancelled: str, rows: pd.DataFrame) -> np.ndarray:
    found = labels.first_ever(ibis.memtable(rows), labels.events_of_kind(log, cancelled))
    at = found.order_by("_row")["at"].to_pyarrow().to_pandas()
    return np.asarray(at.astype("datetime64[us]").to_numpy())
