"""From the log to one row of features per customer and date, never seeing the future."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import reduce

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from cxpredict.data.contracts import RESERVED
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError, EmptyDataError
from cxpredict.features.aggregates import default_aggregates
from cxpredict.features.origin import Origin
from cxpredict.features.panes.rollup import KEYS, Kept, feature_parts
from cxpredict.features.panes.states import DAY

MAX_DATES = 100
"""More dates than these, or fewer than 10 customers a date, take the general path."""
ZERO_IF_NONE = ("count", "days", "sum", "unanswered", "distinct")


def build_features(
    log: CustomerLog,
    index: pd.MultiIndex,
    *,
    aggregates: Sequence[Origin] | None = None,
    exclude: Sequence[str] = (),
) -> pd.DataFrame:
    """Compute the features of customers at dates from what was known before each date.

    Parameters
    ----------
    log : CustomerLog
        The records, on any engine.
    index : MultiIndex (customer_id, as_of)
        For whom and when; `as_of` is exclusive: only rows with ``occurred_at < as_of`` and
        ``known_at < as_of`` count, of corrected records the version known then.
    aggregates : sequence of Origin, optional
        What to compute over the events; by default what the log offers (`default_aggregates`)
        before the last date of the index.
    exclude : sequence of str
        Attributes of customers that are no features, such as label columns.

    Returns
    -------
    DataFrame, shape (len(index), n_features)
        Indexed by `index`, in its order; counts and sums are 0 where nothing happened, other
        measures missing. `origins_of` tells where each feature comes from.

    Raises
    ------
    DataError
        The index has other levels, repeated rows or no rows; an aggregate names a table or column
        that is not there; two features have one name.

    See Also
    --------
    feature_table : The same as a lazy table, for logs and populations larger than memory.

    Examples
    --------
    >>> log = CustomerLog.from_frames(
    ...     interactions=pd.DataFrame(
    ...         {
    ...             "customer_id": ["a", "a"],
    ...             "occurred_at": ["2024-01-05", "2024-02-01"],
    ...             "kind": "complaint",
    ...         }
    ...     )
    ... )
    >>> index = pd.MultiIndex.from_tuples(
    ...     [("a", pd.Timestamp("2024-02-01"))], names=["customer_id", "as_of"]
    ... )
    >>> complaints = Origin("interactions", "count", filters=(("kind", "complaint"),))
    >>> int(build_features(log, index, aggregates=[complaints])["complaint_count"].iloc[0])
    1
    """
    rows = index_rows(index)
    if aggregates is None:
        aggregates = default_aggregates(log, until=rows["as_of"].max())
    dates = [day.to_pydatetime() for day in rows["as_of"].drop_duplicates().sort_values()]
    features, origins = join_features(
        log, ibis.memtable(rows), aggregates, exclude, _grid_dates(dates, len(rows))
    )
    return to_frame(features, origins, index)


def feature_table(
    log: CustomerLog,
    population: ir.Table,
    *,
    aggregates: Sequence[Origin],
    exclude: Sequence[str] = (),
) -> ir.Table:
    """Express the features of a population as one lazy table on the engine of the log.

    Parameters
    ----------
    log : CustomerLog
        The records, on any engine.
    population : ibis Table
        `customer_id` (text) and `as_of` (UTC), each pair once, on the engine of the log.
    aggregates : sequence of Origin
        What to compute over the events.
    exclude : sequence of str
        Attributes of customers that are no features.

    Returns
    -------
    ibis Table
        `customer_id`, `as_of` and the features. ``.to_parquet(path)`` computes them without
        bringing anything into memory.

    Raises
    ------
    DataError
        As `build_features`.

    Examples
    --------
    >>> sales = pd.DataFrame(
    ...     {"customer_id": ["a"], "occurred_at": ["2024-01-05"], "amount": [9.5]}
    ... )
    >>> log = CustomerLog.from_frames(transactions=sales)
    >>> who = ibis.memtable({"customer_id": ["a"], "as_of": [datetime(2024, 2, 1)]})
    >>> spent = Origin("transactions", "sum", "amount", window_days=30)
    >>> feature_table(log, who, aggregates=[spent]).execute().to_dict("records")[0][spent.name]
    9.5
    """
    return table_with_origins(log, population, aggregates=aggregates, exclude=exclude)[0]


def table_with_origins(
    log: CustomerLog,
    population: ir.Table,
    *,
    aggregates: Sequence[Origin],
    exclude: Sequence[str] = (),
) -> tuple[ir.Table, dict[str, Origin]]:
    """Give `feature_table` and where each of its features comes from."""
    if not set(KEYS) <= set(population.columns):
        raise DataError(f"expected columns {KEYS}, found {list(population.columns)}")
    population = population.select(*KEYS).mutate(as_of=population.as_of.cast("timestamp(6)"))
    population = population.distinct()
    dates = population.group_by("as_of").agg(n=lambda t: t.count())
    known = dates.order_by("as_of").limit(MAX_DATES + 1).to_pyarrow().to_pydict()
    if not known["as_of"]:
        raise EmptyDataError("no customers to compute features for: the population has no rows")
    return join_features(
        log, population, aggregates, exclude, _grid_dates(known["as_of"], sum(known["n"]))
    )


def to_frame(
    features: ir.Table, origins: Mapping[str, Origin], index: pd.MultiIndex
) -> pd.DataFrame:
    """Bring features into memory in the order of the index."""
    if not origins:
        return pd.DataFrame(index=index)
    return typed_frame(features.order_by("_row").select(*origins).to_pyarrow(), origins, index)


def typed_frame(
    features: pa.Table, origins: Mapping[str, Origin], index: pd.MultiIndex
) -> pd.DataFrame:
    """Give features that were computed as a frame: text as categories, origins attached."""
    frame = features.select(list(origins)).to_pandas()
    for name in frame:
        if frame[name].dtype == "str" or frame[name].dtype == object:
            levels = sorted(frame[name].dropna().unique())
            frame[name] = pd.Categorical(frame[name], categories=levels)
    frame = frame.set_axis(index)
    frame.attrs["origins"] = {name: origin.to_dict() for name, origin in origins.items()}
    return frame


def index_rows(index: pd.MultiIndex) -> pd.DataFrame:
    """Give an index as rows with their number, or say what is wrong with it."""
    if not isinstance(index, pd.MultiIndex) or list(index.names) != KEYS:
        found = list(index.names) if isinstance(index, pd.Index) else type(index).__name__
        raise DataError(f"expected an index of {KEYS}, found {found}")
    if not len(index):
        raise EmptyDataError("no customers to compute features for: the index has no rows")
    if index.has_duplicates:
        raise DataError(f"{index.duplicated().sum():,} rows of the index stand twice; drop them")
    ids, dates = index.get_level_values(0), index.get_level_values(1)
    if ids.isna().any() or dates.isna().any():
        raise DataError("the index has missing customers or dates; drop those rows")
    if pd.api.types.is_float_dtype(ids.dtype):
        raise DataError("customer_id: ids are text, found decimal numbers; write them as the log")
    return pd.DataFrame(
        {"customer_id": ids.astype("str"), "as_of": _utc(dates), "_row": range(len(index))}
    )


def _utc(dates: pd.Index) -> pd.DatetimeIndex:
    try:
        times = pd.DatetimeIndex(dates)
    except (TypeError, ValueError) as error:
        raise DataError("as_of: expected dates in the index, found something else") from error
    times = times if times.tz is None else times.tz_convert("UTC").tz_localize(None)
    return times.astype("datetime64[us]")


def _grid_dates(dates: Sequence[datetime], rows: int) -> tuple[datetime, ...]:
    """Give the dates if they are a grid that customers share, none if each has its own."""
    shared = len(dates) <= MAX_DATES and rows >= 10 * len(dates)
    return tuple(dates) if shared else ()


def join_features(
    log: CustomerLog,
    population: ir.Table,
    aggregates: Sequence[Origin],
    exclude: Sequence[str],
    dates: Sequence[datetime],
    kept: Mapping[tuple[str, str], Kept] | None = None,
) -> tuple[ir.Table, dict[str, Origin]]:
    """Join profile and events; counts and sums of nothing are 0."""
    profile, origins = _profile(log, population, aggregates, exclude)
    events = [origin for origin in aggregates if origin.source not in ("customers", "calendar")]
    _check_names([*origins, *(origin.name for origin in events)])
    parts = [profile, *feature_parts(log, population, events, dates=dates, kept=kept or {})]
    origins |= {origin.name: origin for origin in events}
    doubled = [f"{key}_right" for key in KEYS]
    joined = reduce(lambda left, right: left.left_join(right, KEYS).drop(*doubled), parts)
    filled = {
        name: joined[name].fill_null(0.0)
        for name, origin in origins.items()
        if origin.measure in ZERO_IF_NONE
    }
    return joined.mutate(**filled), origins


def _check_names(names: list[str]) -> None:
    folded = [name.casefold() for name in names]  # engines do not tell cases apart
    taken = set(RESERVED) - {"tenure_days"}
    twice = sorted(
        {
            n
            for n, fold in zip(names, folded, strict=True)
            if folded.count(fold) > 1 or fold in taken
        }
    )
    if twice:
        raise DataError(
            f"features need names of their own, these are taken: {', '.join(twice[:5])}; rename "
            "the attribute, or give the aggregate an alias"
        )


def _profile(
    log: CustomerLog,
    population: ir.Table,
    aggregates: Sequence[Origin],
    exclude: Sequence[str],
) -> tuple[ir.Table, dict[str, Origin]]:
    """Attributes as they stand (they carry no date), tenure and the calendar."""
    customers = log.customers
    held_back = {"customer_id", "since", "weight", *exclude}
    attributes = [c for c in customers.columns if c not in held_back]
    if not customers.segment.notnull().any().execute():
        attributes = [c for c in attributes if c != "segment"]
    joined = population.left_join(customers, "customer_id")
    origins = {c: Origin("customers", "attribute", c) for c in attributes}
    columns = {c: _plain(joined[c]) for c in attributes}
    if customers.since.notnull().any().execute():
        age = joined.as_of.delta(joined.since, unit="microsecond").cast("float64") / DAY
        columns["tenure_days"] = ibis.ifelse(age >= 0, age, ibis.null("float64"))
        origins["tenure_days"] = Origin("customers", "tenure")
    for origin in aggregates:
        if origin.measure == "month":
            columns[origin.name] = joined.as_of.month().cast("float64")
            origins[origin.name] = origin
    return joined.select(*population.columns, **columns), origins


def _plain(column: ir.Value) -> ir.Value:
    return column.cast("float64") if column.type().is_boolean() else column
