"""What a customer brought before a date: margin per period, point-in-time."""

import ibis
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
    dates = index.to_frame(index=False).assign(_row=range(len(index)))
    population = ibis.memtable(dates)
    if settings.column is not None:
        margins = _from_column(log, population, settings)
    else:
        margins = _from_transactions(log, population, settings)
        margins = margins.mutate(margin=margins.margin.fill_null(0.0))
    values = margins.order_by("_row").margin.to_pyarrow().to_pandas().to_numpy(dtype="float64")
    return pd.Series(values, index=index, name="margin").clip(lower=0.0)


def _from_column(log: CustomerLog, population: ibis.Table, settings: ValueSettings) -> ibis.Table:
    if settings.column not in log.customers.columns:
        raise DataError(f"value.column: the customers table has no column {settings.column!r}")
    revenue = log.customers[settings.column].try_cast("float64")
    margins = log.customers.select("customer_id", margin=revenue * settings.margin_rate)
    return population.left_join(margins, "customer_id").select("_row", "margin")


def _from_transactions(
    log: CustomerLog, population: ibis.Table, settings: ValueSettings
) -> ibis.Table:
    money = records(log, "transactions")
    assert settings.lookback_days is not None
    if settings.margin_rate is None and money.margin.isnull().any().execute():
        raise DataError(
            "value: some transactions carry no margin; map 'margin', or give value.margin_rate"
        )
    margin = money.margin
    if settings.margin_rate is not None:
        margin = margin.coalesce(money.amount * settings.margin_rate)
    window = ibis.interval(days=settings.lookback_days)
    seen = seen_by(money.mutate(_margin=margin), population)
    seen = seen.filter(seen.occurred_at >= seen.as_of - window)
    # whole millionths: no order of rows changes a digit
    whole = (seen._margin * 1_000_000).round().cast("int64")
    per_period = settings.period_days / settings.lookback_days / 1_000_000
    sums = seen.group_by("_row").agg(margin=whole.sum().cast("float64") * per_period)
    return population.left_join(sums, "_row").select("_row", "margin")
