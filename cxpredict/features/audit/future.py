"""Does a feature see the future? Change everything after its date, build again, compare."""

from collections.abc import Callable, Iterator

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from cxpredict.data.contracts import TABLES
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.features.audit.checks import TIMING_ADVICE, Finding
from cxpredict.features.build import build_features
from cxpredict.features.origin import origins_of
from cxpredict.features.panes.rollup import KEYS

Build = Callable[[CustomerLog, pd.MultiIndex], pd.DataFrame]
"""Makes features of a log for customers at dates."""

EVENTS = ("interactions", "feedback", "transactions", "contacts")


def looks_ahead(
    X: pd.DataFrame, log: CustomerLog, build: Build | None, rng: np.random.Generator
) -> tuple[list[Finding], tuple[str, ...]]:
    """Find features that change when only the future of their date does.

    Parameters
    ----------
    X : DataFrame
        Features with index (customer_id, as_of). One of its dates is drawn.
    log : CustomerLog
        The records that they were made of.
    build : callable or None
        What made them: ``build(log, index)``. By default `build_features` with the origins that X
        carries.
    rng : numpy Generator
        Draws the date.

    Returns
    -------
    findings : list of Finding
        High for every feature that differs in a bit.
    notes : tuple of str
        What the check could not reach.

    Raises
    ------
    DataError
        X has no index (customer_id, as_of).
    """
    if list(X.index.names) != KEYS:
        raise DataError(f"the check against the log needs an index of {KEYS}")
    dates = X.index.get_level_values("as_of").unique().sort_values()
    open_dates = dates[dates <= _last_known(log)]
    if not len(open_dates):
        return [], ("look-ahead not checked: nothing became known after the dates of X",)
    day = open_dates[int(rng.integers(len(open_dates)))]
    index = X.index[X.index.get_level_values("as_of") == day]
    make = build or _rebuild(X)
    before, after = (_made(make(some, index), index) for some in (log, other_future(log, day)))
    findings = []
    for name in X.columns.intersection(before.columns.union(after.columns, sort=False)):
        both = name in before and name in after
        differ = _differ(before[name], after[name]) if both else len(index)
        if differ:
            evidence = (
                f"{differ:,} of {len(index):,} rows at {day.date()} change when only records that "
                "nobody knew before that date are changed"
            )
            findings.append(Finding(name, "look-ahead", "high", evidence, TIMING_ADVICE, True))
    made = before.columns.union(after.columns, sort=False)
    unseen = [str(name) for name in X.columns if name not in made]
    notes: tuple[str, ...] = (
        f"look-ahead checked at {day.date()}: everything that became known later was changed or "
        "deleted; attributes of customers carry no date and cannot be checked so",
    )
    if unseen:
        notes += (f"look-ahead not checked for {len(unseen)} features that the log does not make",)
    return findings, notes


def _last_known(log: CustomerLog) -> pd.Timestamp:
    """Find when the last record became known."""
    tables = [log.history(name) for name in EVENTS]
    last = [ibis.greatest(t.occurred_at, t.known_at).max().execute() for t in tables]
    return pd.Series(last, dtype="datetime64[us]").max()


def _made(features: pd.DataFrame, index: pd.MultiIndex) -> pd.DataFrame:
    """Hold what a builder gave against the rows that were asked for."""
    if not isinstance(features, pd.DataFrame) or set(features.index) != set(index):
        raise DataError("build: expected a DataFrame with one row for each row of the index")
    return features.loc[index]


def _rebuild(X: pd.DataFrame) -> Build:
    origins = origins_of(X)
    aggregates = [o for o in origins.values() if o.source != "customers"]

    def build(log: CustomerLog, index: pd.MultiIndex) -> pd.DataFrame:
        exclude = [c for c in log.customers.columns if c not in origins]
        return build_features(log, index, aggregates=aggregates, exclude=exclude)

    return build


def _differ(before: pd.Series, after: pd.Series) -> int:
    """Count the rows that are not the same to the bit."""
    left, right = before.astype(object), after.astype(object)
    same = (left == right) | (left.isna() & right.isna())
    return int((~same.to_numpy(dtype=bool)).sum())


def other_future(log: CustomerLog, as_of: pd.Timestamp) -> CustomerLog:
    """Give a log with the same past and another future.

    Parameters
    ----------
    log : CustomerLog
        The records.
    as_of : Timestamp
        UTC. Of what became known at or after it, about half is deleted and the rest is changed in
        every column; corrections that came later never came; `since` moves on.

    Returns
    -------
    CustomerLog
        Lazy, on the engine of the log.

    Examples
    --------
    >>> calls = pd.DataFrame(
    ...     {"customer_id": "a", "kind": "call", "value": [1.0, 2.0],
    ...      "occurred_at": ["2024-01-01", "2024-02-01"]}
    ... )
    >>> log = CustomerLog.from_frames(interactions=calls)
    >>> other = other_future(log, pd.Timestamp("2024-01-15")).interactions.to_pandas()
    >>> other[other.occurred_at < "2024-01-15"].value.tolist(), 2.0 in other.value.tolist()
    ([1.0], False)
    """
    day = ibis.literal(as_of.to_pydatetime())
    tables = {name: _changed(log.history(name), name, day) for name in EVENTS}
    customers = log.customers
    since = ibis.ifelse(
        customers.since >= day, customers.since + ibis.interval(days=30), customers.since
    )
    tables["customers"] = customers.mutate(since=since.cast("timestamp(6)"))
    return CustomerLog.from_tables(
        connection=log.connection, observed_until=log.observed_until, **tables
    )


def _changed(rows: ir.Table, name: str, day: ir.Value) -> ir.Table:
    hidden = ibis.greatest(rows.occurred_at, rows.known_at) >= day
    draw = (rows.customer_id + rows.occurred_at.cast("string")).hash() % 2 == 0
    rows = rows.filter(~hidden | draw)
    changes = dict(_changes(rows, name))
    mixed = {
        c: ibis.ifelse(hidden, new, rows[c]).cast(rows[c].type()) for c, new in changes.items()
    }
    came_later = rows.replaced_at >= day
    ended = ibis.ifelse(came_later, ibis.null("timestamp(6)"), rows.replaced_at)
    return rows.mutate(**mixed, replaced_at=ended)


def _changes(rows: ir.Table, name: str) -> Iterator[tuple[str, ir.Value]]:
    """Say what each column of a hidden row becomes."""
    for field in TABLES[name]:
        column = rows[field.name]
        if field.name in ("customer_id", "event_id"):
            continue
        if field.kind == "time":
            yield field.name, column + ibis.interval(days=1)
        elif field.kind == "number":
            yield field.name, (column * 3 + 7).fill_null(5.0)
        else:
            yield field.name, column.max().over(ibis.window()).fill_null("changed")


def told_early(log: CustomerLog) -> list[Finding]:
    """Find records that claim to have been known before they occurred.

    Parameters
    ----------
    log : CustomerLog
        The records.

    Returns
    -------
    list of Finding
        Low: both clocks count, so no feature sees such a record before it occurred.
    """
    found = []
    for name in EVENTS:
        rows = log.table[name]
        counts = rows.agg(
            early=(rows.known_at < rows.occurred_at).sum(), rows=rows.count()
        ).to_pyarrow()
        early, total = (counts[c][0].as_py() or 0 for c in ("early", "rows"))
        if early:
            evidence = f"{early:,} of {total:,} rows of {name} were known before they occurred"
            advice = "Plans and promises are; otherwise mend the clock or the zone of the source."
            found.append(Finding("(rows)", "time travel", "low", evidence, advice))
    return found
