"""Which aggregates a log offers by default, and those that a run declares."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256

import ibis
import ibis.expr.types as ir
import pandas as pd

from cxpredict.config.features import ANSWER_DAYS, AggregateSettings, FeatureSettings
from cxpredict.config.reading import check_settings
from cxpredict.data.contracts import RESERVED
from cxpredict.data.log import CustomerLog
from cxpredict.features.events import to_utc
from cxpredict.features.origin import Origin

RARE = 30
"""A kind, channel or outcome seen on fewer rows than this gets no feature of its own."""

MAX_LEVELS = 20
"""At most this many kinds (or outcomes of a kind), the most frequent first."""

_EVENTS = ("interactions", "feedback", "transactions")

NEARLY_ALL = 0.9
"""A kind belongs to a touchpoint or channel that this share of its rows have."""


def default_aggregates(
    log: CustomerLog,
    *,
    until: datetime,
    windows_days: Sequence[int] = (30, 90, 180),
    value_names: Mapping[str, str] | None = None,
) -> list[Origin]:
    """Derive the aggregates that a log offers from what was known before a date.

    Parameters
    ----------
    log : CustomerLog
        The records.
    until : datetime
        UTC; kinds that became known later have no feature, so that the list of features does not
        see the future either.
    windows_days : sequence of int, default (30, 90, 180)
        Lengths of the windows in days, at least 1.
    value_names : mapping of str to str, optional
        For a kind of interaction, what its values are, in words with their unit.

    Returns
    -------
    list of Origin
        Volumes, recency, rhythm, money, channel mix, outcomes, values such as waiting times,
        scores and their changes, unanswered invitations, sentiment and themes of
        comments that a `CommentTagger` has read, silence, and the month where the log
        spans a year; in a fixed order.
    """
    given = {"windows_days": [int(d) for d in windows_days], "value_names": value_names or {}}
    settings = check_settings(FeatureSettings, given, name="default_aggregates")
    return aggregates_of(log, settings, until=until)


def aggregates_of(log: CustomerLog, settings: FeatureSettings, *, until: datetime) -> list[Origin]:
    """List the aggregates of a run: those it declares, and the default ones unless it wants none.

    Parameters
    ----------
    log : CustomerLog
        The records.
    settings : FeatureSettings
        The run's ``features``.
    until : datetime
        As in `default_aggregates`.

    Returns
    -------
    list of Origin
        Every aggregate once, each with a name of its own.
    """
    aggregates = [origin for declared in settings.aggregates for origin in _declared(declared)]
    if settings.defaults:
        aggregates += _defaults(log, settings, to_utc(until))
    unique: dict[Origin, Origin] = {}
    for origin in aggregates:
        unique.setdefault(replace(origin, label="", touchpoint="", channel="", alias=""), origin)
    return _without_collisions(list(unique.values()), taken={*RESERVED, *log.customers.columns})


def _declared(settings: AggregateSettings) -> Iterator[Origin]:
    for window in settings.windows_days:
        yield Origin(
            settings.table,
            settings.measure,
            settings.column,
            settings.filters,
            None if window == "ever" else window,
            touchpoint=settings.touchpoint or "",
            channel=settings.channel or "",
            label=settings.label,
            alias=settings.name,
        )


def _defaults(log: CustomerLog, settings: FeatureSettings, until: datetime) -> Iterator[Origin]:
    windows = sorted(settings.windows_days)
    known = {name: _known(log, name, until) for name in _EVENTS}
    found = [
        *_interaction_aggregates(known["interactions"], windows, settings.value_names),
        *_feedback_aggregates(known["feedback"], windows),
        *_transaction_aggregates(known["transactions"], windows),
    ]
    yield from found
    if sum(origin.measure == "days_since" for origin in found) > 1:
        yield Origin("records", "days_since")
    begins = [table.occurred_at.min().execute() for table in known.values()]
    first = pd.Series(begins, dtype="datetime64[us]").min()
    if pd.notna(first) and until - first >= timedelta(days=365):
        yield Origin("calendar", "month")


def _without_collisions(aggregates: Sequence[Origin], *, taken: set[str]) -> list[Origin]:
    """Name features apart whose usual names are equal, or are names of attributes."""
    named = []
    taken = {name.casefold() for name in taken}
    for origin in aggregates:
        name = origin.name
        if name.casefold() in taken:
            name = f"{origin.source}_{name}"
        if name.casefold() in taken:
            name = f"{name}_{sha256(repr(origin).encode()).hexdigest()[:8]}"
        named.append(origin if name == origin.name else replace(origin, alias=name))
        taken.add(name.casefold())
    return named


def _known(log: CustomerLog, name: str, until: datetime) -> ir.Table:
    """Give the records of a table as they were known before a date."""
    rows = log.history(name)
    rows = rows.filter(ibis.greatest(rows.occurred_at, rows.known_at) < until)
    return rows.filter(rows.replaced_at.isnull() | (rows.replaced_at >= until))


def _interaction_aggregates(
    table: ir.Table, windows: Sequence[int], names: Mapping[str, str]
) -> Iterator[Origin]:
    longest = windows[-1]
    places = {column: _levels_by_kind(table, column) for column in ("touchpoint", "channel")}
    outcomes = _levels_by_kind(table, "outcome")
    for kind, rows, has_value in _kinds(table):
        of_kind = (("kind", kind),)
        place = {c: _nearly_all(levels.get(kind, []), rows) for c, levels in places.items()}
        about = partial(
            Origin, "interactions", touchpoint=place["touchpoint"], channel=place["channel"]
        )
        for days in windows:
            yield about("count", filters=of_kind, window_days=days)
        yield about("days_since", filters=of_kind)
        if has_value:
            measured = partial(about, column="value", filters=of_kind, label=names.get(kind, ""))
            for days in windows:
                yield measured("mean", window_days=days)
                yield measured("sum", window_days=days)
            yield measured("max", window_days=longest)
            yield measured("trend", window_days=windows[0])
        for outcome, _ in outcomes.get(kind, []):
            yield about("count", filters=(*of_kind, ("outcome", outcome)), window_days=longest)
    channels = _levels(table, "channel")
    for channel in channels:
        filters = (("channel", channel),)
        yield Origin("interactions", "share", "", filters, longest, channel=channel)
    if len(channels) > 1:
        yield Origin("interactions", "distinct", "channel", window_days=longest)


def _feedback_aggregates(table: ir.Table, windows: Sequence[int]) -> Iterator[Origin]:
    for metric in _levels(table, "metric"):
        about = partial(Origin, "feedback", filters=(("metric", metric),), touchpoint="advocacy")
        for measure in ("last", "mean", "change"):
            yield about(measure, "score")
        yield about("days_since")
        yield about("unanswered", window_days=max(windows[-1], 3 * ANSWER_DAYS))
    if {"sentiment", "theme"} <= set(table.columns):  # comments that a CommentTagger has read
        about = partial(Origin, "feedback", touchpoint="advocacy")
        for days in windows:
            yield about("mean", "sentiment", label="sentiment of comments", window_days=days)
        yield about("last", "sentiment", label="sentiment of comments")
        for theme in _levels(table, "theme"):
            yield about("count", filters=(("theme", theme),), window_days=windows[-1])


def _transaction_aggregates(table: ir.Table, windows: Sequence[int]) -> Iterator[Origin]:
    for kind in _levels(table, "kind"):
        about = partial(Origin, "transactions", filters=(("kind", kind),))
        for days in windows:
            yield about("days", window_days=days)
            yield about("sum", "amount", window_days=days)
        for measure in ("count", "days", "days_since", "mean_gap", "gap_std", "overdue"):
            yield about(measure)
        for measure in ("sum", "mean", "last"):
            yield about(measure, "amount")
        yield about("trend", "amount", window_days=windows[0])


def _levels(table: ir.Table, column: str) -> list[str]:
    """List the frequent values of a column, most frequent first, then by name."""
    counts = table.filter(table[column].notnull()).group_by(column).agg(n=lambda t: t.count())
    frequent = counts.filter(counts.n >= RARE).order_by(ibis.desc("n"), column).limit(MAX_LEVELS)
    return [str(level) for level in frequent[column].to_pyarrow().to_pylist()]


def _kinds(table: ir.Table) -> list[tuple[str, int, bool]]:
    """List the frequent kinds: their rows, and whether they have values."""
    kinds = table.group_by("kind").agg(rows=table.count(), values=table.value.count())
    kinds = kinds.filter(kinds.rows >= RARE).order_by(ibis.desc("rows"), "kind").limit(MAX_LEVELS)
    found = kinds.to_pyarrow().to_pylist()
    return [(row["kind"], row["rows"], row["values"] > 0) for row in found]


def _levels_by_kind(table: ir.Table, column: str) -> dict[str, list[tuple[str, int]]]:
    """List the frequent values of a column and their rows for each kind, most frequent first."""
    counts = (
        table.filter(table[column].notnull()).group_by("kind", column).agg(n=lambda t: t.count())
    )
    order = ibis.window(group_by="kind", order_by=[ibis.desc("n"), column])
    ranked = counts.filter(counts.n >= RARE).mutate(rank=ibis.row_number().over(order))
    some = ranked.filter(ranked["rank"] < MAX_LEVELS).order_by("kind", "rank")
    found: dict[str, list[tuple[str, int]]] = {}
    for row in some.to_pyarrow().to_pylist():
        found.setdefault(row["kind"], []).append((str(row[column]), row["n"]))
    return found


def _nearly_all(levels: Sequence[tuple[str, int]], rows: int) -> str:
    """Name the value that nearly all rows of a kind share, or nothing."""
    return levels[0][0] if levels and levels[0][1] >= NEARLY_ALL * rows else ""
