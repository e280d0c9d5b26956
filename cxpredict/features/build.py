"""From the log to one row of features per customer and date, never seeing the future."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce

import ibis
import ibis.expr.types as ir
import pandas as pd

from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError, EmptyDataError
from cxpredict.features.aggregates import Origin, default_aggregates

KEYS = ["customer_id", "as_of"]
_DAY = 86_400_000_000
_EXACT = 1_000_000
"""Sums run over whole millionths, so that no order of rows changes a digit."""


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
        The records.
    index : MultiIndex (customer_id, as_of)
        For whom and when; `as_of` is exclusive: only rows with ``occurred_at < as_of`` and
        ``known_at < as_of`` count.
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
        The index has other levels, repeated rows or no rows.

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
    dates = _dates(index)
    if aggregates is None:
        aggregates = default_aggregates(log, until=dates["as_of"].max())
    population = log.connection.create_table(ibis.util.gen_name("population"), dates)
    profile, origins = _profile(log, population, exclude)
    _check_names([*origins, *(origin.name for origin in aggregates)])
    parts = [profile]
    for source in ("interactions", "feedback", "transactions"):
        wanted = [origin for origin in aggregates if origin.source == source]
        if wanted:
            parts += _aggregate(log.table[source], population, wanted)
    origins |= {origin.name: origin for origin in aggregates}
    frame = _collect(parts, origins).set_axis(index)
    log.connection.drop_table(population.op().name)
    frame.attrs["origins"] = {name: origin.to_dict() for name, origin in origins.items()}
    return frame


def _dates(index: pd.MultiIndex) -> pd.DataFrame:
    if list(index.names) != KEYS:
        raise DataError(f"expected an index of {KEYS}, found {list(index.names)}")
    if not len(index):
        raise EmptyDataError("no customers to compute features for: the index has no rows")
    if index.has_duplicates:
        raise DataError(f"{index.duplicated().sum():,} rows of the index stand twice; drop them")
    return pd.DataFrame(
        {
            "customer_id": index.get_level_values(0).astype("str"),
            "as_of": index.get_level_values(1).astype("datetime64[us]"),
            "_row": range(len(index)),
        }
    )


def _check_names(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1 or name in KEYS})
    if twice:
        raise DataError(
            f"features need names of their own, these are taken: {', '.join(twice[:5])}; rename "
            "the attribute, or give the aggregate an alias"
        )


def _profile(
    log: CustomerLog, population: ir.Table, exclude: Sequence[str]
) -> tuple[ir.Table, dict[str, Origin]]:
    """Attributes as they stand (they carry no date) and tenure."""
    customers = log.customers
    held_back = {"customer_id", "since", "weight", *exclude}
    attributes = [c for c in customers.columns if c not in held_back]
    if not customers.segment.notnull().any().execute():
        attributes = [c for c in attributes if c != "segment"]
    joined = population.left_join(customers, "customer_id")
    origins = {c: Origin("customers", "attribute", c) for c in attributes}
    columns = {c: _plain(joined[c]) for c in attributes}
    if customers.since.notnull().any().execute():
        age = joined.as_of.delta(joined.since, unit="microsecond") / _DAY
        columns["tenure_days"] = ibis.ifelse(age >= 0, age, ibis.null("float64"))
        origins["tenure_days"] = Origin("customers", "tenure")
    return joined.select(*KEYS, "_row", **columns), origins


def _plain(column: ir.Value) -> ir.Value:
    return column.cast("float64") if column.type().is_boolean() else column


def _aggregate(
    events: ir.Table, population: ir.Table, wanted: Sequence[Origin]
) -> Iterator[ir.Table]:
    """One table with all plain aggregates, one more per score whose order matters."""
    seen = population.join(events, "customer_id").filter(
        lambda t: (t.occurred_at < t.as_of) & (t.known_at < t.as_of)
    )
    seen = seen.mutate(_age=seen.as_of.delta(seen.occurred_at, unit="microsecond"))
    apart = ("last", "change", "unanswered")
    plain = [origin for origin in wanted if origin.measure not in apart]
    if plain:
        yield seen.group_by(KEYS).agg(**{o.name: _measure(seen, o) for o in plain})
    for origin in wanted:
        if origin.measure == "unanswered":
            yield _unanswered(population.join(events, "customer_id"), origin)
        elif origin.measure in apart:
            yield _in_order(seen, origin)


def _measure(seen: ir.Table, origin: Origin) -> ir.Value:
    """Express one aggregate; durations are in days."""
    mask = _mask(seen, origin)
    age = seen._age
    match origin.measure:
        case "count":
            value = mask.sum()
        case "days":
            value = _distinct_days(seen, mask)
        case "sum":
            value = _sum(seen, origin, mask)
        case "mean":
            value = _sum(seen, origin, mask) / (mask & seen[origin.column].notnull()).sum().nullif(
                0
            )
        case "max":
            value = seen[origin.column].max(where=mask)
        case "days_since":
            value = age.min(where=mask) / _DAY
        case "mean_gap":
            value = _mean_gap(seen, mask)
        case "overdue":
            value = age.min(where=mask) / _DAY / _mean_gap(seen, mask).nullif(0)
        case "share":
            value = mask.sum() / _within(age, origin.window_days).sum().nullif(0)
        case "trend":
            assert origin.window_days is not None
            longer = _mask(seen, replace(origin, window_days=3 * origin.window_days))
            value = 3 * _sum(seen, origin, mask) / _sum(seen, origin, longer).nullif(0)
        case _:
            raise DataError(f"unknown measure {origin.measure!r} of feature {origin.name}")
    return value.cast("float64")


def _mask(seen: ir.Table, origin: Origin) -> ir.BooleanValue:
    mask = _within(seen._age, origin.window_days)
    for column, level in origin.filters:
        mask = mask & (seen[column] == level).fill_null(False)
    if origin.source == "feedback":
        mask = mask & seen.score.notnull()
    return mask


def _within(age: ir.Value, days: int | None) -> ir.BooleanValue:
    return age <= days * _DAY if days else age >= 0


def _sum(seen: ir.Table, origin: Origin, mask: ir.BooleanValue) -> ir.Value:
    whole = (seen[origin.column] * _EXACT).round().cast("int64")
    return whole.sum(where=mask).fill_null(0).cast("float64") / _EXACT


def _distinct_days(seen: ir.Table, mask: ir.BooleanValue) -> ir.Value:
    return seen.occurred_at.truncate("D").nunique(where=mask)


def _mean_gap(seen: ir.Table, mask: ir.BooleanValue) -> ir.Value:
    """Mean days between the days on which something happened."""
    age = seen._age
    gaps = _distinct_days(seen, mask) - 1
    return (age.max(where=mask) - age.min(where=mask)) / _DAY / gaps.nullif(0)


def _in_order(seen: ir.Table, origin: Origin) -> ir.Table:
    """Last value, or its change against the one before; equal times count as one, their highest."""
    moments = seen.filter(_mask(seen, origin)).group_by([*KEYS, "occurred_at"])
    values = moments.agg(value=lambda t: t[origin.column].max())
    newest = ibis.window(group_by=KEYS, order_by=ibis.desc("occurred_at"))
    ranked = values.mutate(rank=ibis.row_number().over(newest))
    value = ranked.value.max(where=ranked["rank"] == 0)
    if origin.measure == "change":
        value = value - ranked.value.max(where=ranked["rank"] == 1)
    return ranked.group_by(KEYS).agg(**{origin.name: value})


def _unanswered(rows: ir.Table, origin: Origin) -> ir.Table:
    """Count invitations before the date whose answer was not known before it, if ever it came."""
    age = rows.as_of.delta(rows.invited_at, unit="microsecond")
    answered = rows.score.notnull() & (rows.occurred_at < rows.as_of) & (rows.known_at < rows.as_of)
    invited = rows.filter((age > 0) & _within(age, origin.window_days) & ~answered)
    for column, level in origin.filters:
        invited = invited.filter(invited[column] == level)
    return invited.group_by(KEYS).agg(**{origin.name: invited.count().cast("float64")})


def _collect(parts: Sequence[ir.Table], origins: Mapping[str, Origin]) -> pd.DataFrame:
    """Join the parts and bring them into memory in the order of the index."""
    doubled = [f"{key}_right" for key in KEYS]
    joined = reduce(lambda left, right: left.left_join(right, KEYS).drop(*doubled), parts)
    frame = joined.order_by("_row").select(*origins).to_pyarrow().to_pandas()
    for name, origin in origins.items():
        if origin.measure in ("count", "days", "sum", "unanswered"):
            frame[name] = frame[name].fillna(0.0)
        elif frame[name].dtype == "str" or frame[name].dtype == object:
            frame[name] = pd.Categorical(
                frame[name], categories=sorted(frame[name].dropna().unique())
            )
    return frame
