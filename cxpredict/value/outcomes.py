"""What customers brought after a date: margin by period, for models of customer value to learn.

For customer value, of several periods: `cxpredict.value.rox.outcomes` has what ROX counts in one.
"""

from dataclasses import replace
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
from cxpredict.value.checks import above_zero, number, whole_number
from cxpredict.value.margins import exact_sum, with_margin


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
        The records; of corrected ones the latest version counts, with `until` the latest of then.
    index : MultiIndex (customer_id, as_of)
        For whom and when.
    periods : int from 1 to 1,000
        Number of periods.
    period_days : int from 1 to 3,650
        Length of a period; period k is ``(as_of + (k − 1)·period_days, as_of + k·period_days]``.
    cancelled : str, optional
        Kind of the event with which a customer leaves for good. Without it nobody sees who has
        left, and a customer is there in a period with a transaction.
    margin_rate : float in (0, 1], optional
        Margin as a share of the amount, for transactions that carry none.
    until : date, optional
        End observation here if the records go on: at the test date, so that nothing after it is
        learnt from. Neither what occurred later counts nor what became known later.

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
    periods = whole_number("periods", periods, 1, 1_000)
    period_days = whole_number("period_days", period_days, 1, 3_650)
    columns = [f"{what}_{k}" for what in ("margin", "there") for k in range(1, periods + 1)]
    if not len(index):
        return pd.DataFrame(np.empty((0, 2 * periods)), index=index, columns=columns)
    rows = index_rows(index)
    _check_money(log, margin_rate)
    observed = _observed_until(log, cancelled)
    if until is not None:
        observed = min(observed, to_utc(until))
        log = _known(log, to_utc(until))
    money = with_margin(log.transactions, margin_rate, "margin_rate")
    margin, active = _sums(money, rows, periods, period_days)
    ends = np.arange(1, periods + 1) * np.timedelta64(period_days, "D")
    closes = rows["as_of"].to_numpy()[:, None] + ends
    there = (active > 0).astype(np.float64)
    if cancelled is not None:
        left = _left_at(log, cancelled, rows)
        there = (~(left[:, None] <= closes)).astype(np.float64)
        gone = left <= rows["as_of"].to_numpy()
        margin[gone], there[gone] = np.nan, np.nan
    unseen = closes > np.datetime64(observed)
    margin[unseen], there[unseen] = np.nan, np.nan
    return pd.DataFrame(np.hstack([margin, there]), index=index, columns=columns)


def _observed_until(log: CustomerLog, cancelled: str | None) -> pd.Timestamp:
    if cancelled is not None:
        labels.events_of_kind(log, cancelled)  # refuses a kind that is not there
        return labels.observed_until(log, kind=cancelled)
    declared = log.observed_until
    return pd.Timestamp(declared or log.transactions.occurred_at.max().execute())


def _known(log: CustomerLog, until: pd.Timestamp) -> CustomerLog:
    """Give the log with the events that were known at a date, as they were known then."""
    tables = {}
    for name in ("transactions", "interactions"):
        rows = log.history(name)
        rows = rows.filter(
            rows.known_at <= until, rows.replaced_at.isnull() | (rows.replaced_at > until)
        )
        tables[name] = rows.drop("version", "replaced_at")
    return replace(log, **tables)


def _check_money(log: CustomerLog, margin_rate: float | None) -> None:
    if margin_rate is not None:
        above_zero("margin_rate", number("margin_rate", margin_rate, 0.0, 1.0))
    if not log.transactions.count().execute():
        raise DataError("margins_by_period: the log has no transactions to take margins from.")


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
    joined = joined.mutate(_period=((since - 1) // length).cast("int64"))
    cells = joined.group_by(["_row", "_period"]).agg(
        margin=exact_sum(joined.margin), n=joined.count()
    )
    found = cells.to_pyarrow().to_pandas()
    margin, active = np.zeros((2, len(rows), periods))
    at = found["_row"].to_numpy(dtype=np.intp), found["_period"].to_numpy(dtype=np.intp)
    margin[at], active[at] = found["margin"], found["n"]
    return margin, active


def _left_at(log: CustomerLog, cancelled: str, rows: pd.DataFrame) -> np.ndarray:
    tables = [t.filter(t.kind == cancelled) for t in (log.transactions, log.interactions)]
    events = ibis.union(*(t.select("customer_id", "occurred_at") for t in tables), distinct=False)
    found = labels.first_ever(ibis.memtable(rows), events)
    at = found.order_by("_row")["at"].to_pyarrow().to_pandas()
    return np.asarray(at.astype("datetime64[us]").to_numpy())
