"""What a customer brought before a date: margin per period, point-in-time."""

import ibis
import ibis.expr.types as ir
import pandas as pd

from cxpredict.config.value import ValueSettings
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.features.events import records, seen_by


def margin_per_period(log: CustomerLog, index: pd.MultiIndex, settings: ValueSettings) -> pd.Series:
    """Compute the margin per period of customers at dates.

    Parameters
    ----------
    log : CustomerLog
        The records.
    index : MultiIndex (customer_id, as_of)
        For whom and when; only what was known before `as_of` counts.
    settings : ValueSettings
        Either a column of customers that holds revenue per period, or transactions of the last
        `lookback_days` (margin where recorded, else amount times `margin_rate`).

    Returns
    -------
    Series of float
        Money per `period_days`, indexed by `index`, never negative; 0 without transactions,
        missing where the column is.

    Raises
    ------
    DataError
        The column is not there, or transactions carry no margin and no `margin_rate` is given.
    """
    rows = ibis.memtable(index.to_frame(index=False).assign(_row=range(len(index))))
    margins = margin_table(log, rows, settings).order_by("_row").margin
    values = margins.to_pyarrow().to_pandas().to_numpy(dtype="float64")
    return pd.Series(values, index=index, name="margin")


def margin_table(log: CustomerLog, rows: ir.Table, settings: ValueSettings) -> ir.Table:
    """Express `margin_per_period` as a lazy table, for populations larger than memory.

    Parameters
    ----------
    log : CustomerLog
        The records.
    rows : ibis Table
        `customer_id`, `as_of` and `_row`, a number of its own for each row, on the log's engine.
    settings : ValueSettings
        As there.

    Returns
    -------
    ibis Table
        `_row` and `margin`, one row for each.
    """
    if settings.column is not None:
        return _from_column(log, rows, settings)
    return _from_transactions(log, rows, settings)


def _from_column(log: CustomerLog, rows: ir.Table, settings: ValueSettings) -> ir.Table:
    if settings.column not in log.customers.columns:
        raise DataError(f"value.column: the customers table has no column {settings.column!r}")
    revenue = log.customers[settings.column].try_cast("float64")
    margins = log.customers.select("customer_id", margin=revenue * settings.margin_rate)
    found = rows.left_join(margins, "customer_id")
    return found.select("_row", margin=found.margin.clip(lower=0.0))


def _from_transactions(log: CustomerLog, rows: ir.Table, settings: ValueSettings) -> ir.Table:
    money = with_margin(records(log, "transactions"), settings.margin_rate, "value.margin_rate")
    assert settings.lookback_days is not None
    window = ibis.interval(days=settings.lookback_days)
    seen = seen_by(money, rows)
    seen = seen.filter(seen.occurred_at >= seen.as_of - window)
    per_period = settings.period_days / settings.lookback_days
    sums = seen.group_by("_row").agg(margin=exact_sum(seen.margin) * per_period)
    found = rows.left_join(sums, "_row")
    return found.select("_row", margin=found.margin.fill_null(0.0).clip(lower=0.0))


def with_margin(transactions: ir.Table, margin_rate: float | None, setting: str) -> ir.Table:
    """Give transactions with the margin that is recorded, else amount × rate.

    Parameters
    ----------
    transactions : Ibis table
        With `amount` and `margin`.
    margin_rate : float or None
        Margin as a share of the amount, for transactions that carry none.
    setting : str
        What the caller's user calls the rate.

    Raises
    ------
    DataError
        Some have neither a margin nor a rate.
    """
    rows = transactions
    if margin_rate is not None:
        rows = rows.mutate(margin=rows.margin.coalesce(rows.amount * margin_rate))
    counts = rows.agg(missing=rows.margin.isnull().sum(), every=rows.count())
    missing, every = counts.to_pyarrow().to_pylist()[0].values()
    if missing:
        raise DataError(
            f"margin: {missing:,} of {every:,} transactions carry no margin; map 'margin', or give "
            f"{setting}, the share of the amount that is margin."
        )
    return rows


def exact_sum(money: ir.NumericColumn) -> ir.FloatingScalar:
    """Sum money in whole millionths, so that no order of rows changes a digit."""
    return (money * 1_000_000).round().cast("int64").sum().cast("float64") / 1_000_000
