"""What a feature is: where it comes from, and which aggregates a log offers by default."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, Literal, Self

import ibis
import ibis.expr.types as ir
import pandas as pd

from cxpredict.data.contracts import RESERVED
from cxpredict.data.log import CustomerLog

Measure = Literal[
    "attribute", "tenure", "count", "days", "sum", "mean", "max", "last", "change", "days_since",
    "mean_gap", "overdue", "trend", "share", "unanswered",
]  # fmt: skip

RARE = 30
"""A kind, channel or outcome seen on fewer rows than this gets no feature of its own."""

MAX_LEVELS = 20
"""At most this many kinds (or outcomes of a kind), the most frequent first."""


@dataclass(frozen=True)
class Origin:
    """Where one feature comes from; for an aggregate this is also its declaration.

    Attributes
    ----------
    source : str
        Table of the log.
    measure : str
        What is computed over the rows.
    column : str
        The attribute, or the column that is measured.
    filters : tuple of (column, value)
        Which rows count.
    window_days : int or None
        Rows of the last so many days before `as_of`; None for all.
    touchpoint, channel : str
        Where in the journey the rows belong, empty if nowhere in particular.
    label : str
        What the measured values are, in words with their unit: ``minutes of failure``.
    alias : str
        The name of the feature where the usual one is taken.

    Examples
    --------
    >>> Origin("interactions", "count", filters=(("kind", "complaint"),), window_days=30).name
    'complaint_count_30d'
    """

    source: str
    measure: str
    column: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    window_days: int | None = None
    touchpoint: str = ""
    channel: str = ""
    label: str = ""
    alias: str = ""

    @property
    def name(self) -> str:
        """The name of the feature, made of letters, digits and underscores for aggregates."""
        if self.alias:
            return self.alias
        if self.measure == "attribute":
            return self.column
        subject = [_safe(value) for _, value in self.filters] or [self.source]
        column = [self.column] if self.column not in ("", "value", "score") else []
        window = [f"{self.window_days}d"] if self.window_days else []
        if self.measure == "tenure":
            return "tenure_days"
        return "_".join([*subject, *column, self.measure, *window])

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Read what `to_dict` gave, also after JSON made lists of its tuples."""
        filters = tuple((column, value) for column, value in fields["filters"])
        return cls(**{**fields, "filters": filters})


def origins_of(X: pd.DataFrame) -> dict[str, Origin]:
    """Return the origin of every column of a feature frame.

    Parameters
    ----------
    X : DataFrame
        What `build_features` gave, or any other frame.

    Returns
    -------
    dict of str to Origin
        A column that `build_features` did not make counts as an attribute of customers.

    Examples
    --------
    >>> origins_of(pd.DataFrame({"age": [31]}))["age"].measure
    'attribute'
    """
    known = X.attrs.get("origins", {})
    return {
        str(name): Origin.from_dict(known[name])
        if name in known
        else Origin("customers", "attribute", str(name))
        for name in X.columns
    }


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
        Volumes, recency, rhythm, money, channel mix, outcomes, scores and unanswered invitations,
        in a fixed order.
    """
    windows = sorted(windows_days)
    names = value_names or {}
    aggregates = [
        *_interaction_aggregates(_known(log.interactions, until), windows, names),
        *_feedback_aggregates(_known(log.feedback, until), windows),
        *_transaction_aggregates(_known(log.transactions, until), windows),
    ]
    return _without_collisions(aggregates, taken={*RESERVED, *log.customers.columns})


def _without_collisions(aggregates: Sequence[Origin], *, taken: set[str]) -> list[Origin]:
    """Name features apart whose usual names are equal, or are names of attributes."""
    named = []
    for origin in aggregates:
        name = origin.name
        if name in taken:
            name = f"{origin.source}_{name}"
        if name in taken:
            name = f"{name}_{sha256(repr(origin).encode()).hexdigest()[:8]}"
        named.append(origin if name == origin.name else replace(origin, alias=name))
        taken.add(name)
    return named


def _known(table: ir.Table, until: datetime) -> ir.Table:
    return table.filter(table.occurred_at < until, table.known_at < until)


def _interaction_aggregates(
    table: ir.Table, windows: Sequence[int], names: Mapping[str, str]
) -> Iterator[Origin]:
    longest = windows[-1]
    for kind, touchpoint, channel, has_value in _kinds(table):
        of_kind = (("kind", kind),)
        about = partial(Origin, "interactions", touchpoint=touchpoint, channel=channel)
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
        for outcome in _levels(table.filter(table.kind == kind), "outcome"):
            yield about("count", filters=(*of_kind, ("outcome", outcome)), window_days=longest)
    for channel in _levels(table, "channel"):
        filters = (("channel", channel),)
        yield Origin("interactions", "share", "", filters, longest, channel=channel)


def _feedback_aggregates(table: ir.Table, windows: Sequence[int]) -> Iterator[Origin]:
    for metric in _levels(table, "metric"):
        about = partial(Origin, "feedback", filters=(("metric", metric),), touchpoint="advocacy")
        for measure in ("last", "mean", "change"):
            yield about(measure, "score")
        yield about("days_since")
        yield about("unanswered", window_days=windows[-1])


def _transaction_aggregates(table: ir.Table, windows: Sequence[int]) -> Iterator[Origin]:
    for kind in _levels(table, "kind"):
        about = partial(Origin, "transactions", filters=(("kind", kind),))
        for days in windows:
            yield about("days", window_days=days)
            yield about("sum", "amount", window_days=days)
        for measure in ("count", "days", "days_since", "mean_gap", "overdue"):
            yield about(measure)
        for measure in ("sum", "mean", "last"):
            yield about(measure, "amount")
        yield about("trend", "amount", window_days=windows[0])


def _levels(table: ir.Table, column: str) -> list[str]:
    """List the frequent values of a column, most frequent first, then by name."""
    counts = table.filter(table[column].notnull()).group_by(column).agg(n=lambda t: t.count())
    frequent = counts.filter(counts.n >= RARE).order_by(ibis.desc("n"), column).limit(MAX_LEVELS)
    return [str(level) for level in frequent[column].to_pyarrow().to_pylist()]


def _kinds(table: ir.Table) -> Iterator[tuple[str, str, str, bool]]:
    """Each frequent kind with the touchpoint and channel that nearly all of its rows share."""
    for kind in _levels(table, "kind"):
        rows = table.filter(table.kind == kind)
        yield (
            kind,
            _nearly_all(rows, "touchpoint"),
            _nearly_all(rows, "channel"),
            bool(rows.value.notnull().any().execute()),
        )


def _nearly_all(rows: ir.Table, column: str) -> str:
    levels = _levels(rows, column)
    if not levels:
        return ""
    share = (rows[column] == levels[0]).fill_null(False).mean().execute()
    return levels[0] if share >= 0.9 else ""


def _safe(value: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in value.lower()).strip("_")
