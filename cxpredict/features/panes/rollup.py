"""From rows to features: events are aggregated once into cells, windows put together from cells."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import ibis
import ibis.expr.types as ir

from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.features.events import (
    about_text,
    day_spans,
    invitations,
    passes,
    records,
    seen_by,
    with_gaps,
)
from cxpredict.features.origin import Origin
from cxpredict.features.panes.grid import CELL, Grid, band_of
from cxpredict.features.panes.states import (
    Levels,
    State,
    measure,
    needs,
    spread_of,
    windows_of,
)

KEYS = ["customer_id", "as_of"]
MAX_LEVELS = 64
"""Different values of a column with more levels are counted on the general path."""

SOURCES = ("interactions", "feedback", "transactions", "contacts", "records")
_RHYTHM = ("days", "mean_gap", "gap_std", "overdue")


@dataclass(frozen=True)
class Group:
    """Features that are computed over the same rows.

    Attributes
    ----------
    source : str
        Table of the log.
    basis : str
        ``records`` of the table, ``days`` on which something happened, ``invitations``, or
        ``pairs``: values that must be held against each other.
    origins : tuple of Origin
        The features.
    """

    source: str
    basis: str
    origins: tuple[Origin, ...]

    def events(self, log: CustomerLog) -> ir.Table:
        """Give the records, with the time from which each counts."""
        rows = records(log, self.source)
        for origin in self.origins:
            _check_columns(rows, origin)
        return invitations(log) if self.basis == "invitations" else rows

    def rows(self, log: CustomerLog) -> ir.Table:
        """Give what the features are computed over: the records, or the days that had some."""
        events = self.events(log)
        return with_gaps(day_spans(events, self.abouts)) if self.basis == "days" else events

    @property
    def abouts(self) -> list[tuple[tuple[str, str], ...]]:
        """The different filters, each once."""
        return list(dict.fromkeys(origin.filters for origin in self.origins))

    def grid(self, dates: Sequence[datetime]) -> Grid:
        """Give the panes of the windows of these features."""
        return Grid(tuple(dates), windows_of(self.origins))

    def levels(
        self, rows: ir.Table | None, seen: Mapping[str, Sequence[str]] | None = None
    ) -> Levels:
        """List the values of columns whose different values are counted, up to one too many.

        Parameters
        ----------
        rows : ibis Table or None
            Where to look for values.
        seen : mapping of str to sequence of str, optional
            Values known before.
        """
        found = {}
        counted = [origin for origin in self.origins if origin.measure == "distinct"]
        for column in dict.fromkeys(origin.column for origin in counted):
            values = set((seen or {}).get(column, ()))
            values |= set() if rows is None else _some_values(rows[column])
            windows = [origin.window_days for origin in counted if origin.column == column]
            widest = None if None in windows else max(w for w in windows if w is not None)
            found[column] = (tuple(sorted(values)), widest)
        return found


def _check_columns(rows: ir.Table, origin: Origin) -> None:
    """Refuse columns that are not there, or not of the kind that a measure needs."""
    wanted = [(column, "text") for column, _ in origin.filters]
    if origin.column:
        wanted.append((origin.column, "any" if origin.measure == "distinct" else "numbers"))
    for column, kind in wanted:
        if column not in rows.columns:
            raise DataError(f"aggregates: {origin.source} has no column {column!r}")
        given = rows[column].type()
        if not {"text": given.is_string(), "numbers": given.is_numeric(), "any": True}[kind]:
            raise DataError(
                f"aggregates: {origin.name} needs {kind} in {origin.source}.{column}, found {given}"
            )


def _some_values(column: ir.Column) -> set[str]:
    values = column.as_table().distinct().limit(MAX_LEVELS + 2).to_pyarrow()
    return set(values[column.get_name()].to_pylist()) - {None}


@dataclass(frozen=True)
class Kept:
    """Cells of a group that are kept already."""

    cells: ir.Table
    grid: Grid
    levels: Levels


def groups_of(aggregates: Sequence[Origin]) -> list[Group]:
    """Part features by the rows that they are computed over."""
    parts: dict[tuple[str, str], list[Origin]] = defaultdict(list)
    for origin in aggregates:
        if origin.source not in SOURCES:
            raise DataError(
                f"aggregates: no table {origin.source!r}; expected one of {', '.join(SOURCES)}"
            )
        parts[origin.source, _basis(origin)].append(origin)
    return [Group(source, basis, tuple(origins)) for (source, basis), origins in parts.items()]


def _basis(origin: Origin) -> str:
    if origin.measure in _RHYTHM:
        return "days"
    return {"unanswered": "invitations", "change": "pairs"}.get(origin.measure, "records")


def feature_parts(
    log: CustomerLog,
    population: ir.Table,
    aggregates: Sequence[Origin],
    *,
    dates: Sequence[datetime],
    kept: Mapping[tuple[str, str], Kept],
) -> Iterator[ir.Table]:
    """Express the features, one table for each group of them.

    Parameters
    ----------
    log : CustomerLog
        The records.
    population : ibis Table
        `customer_id` and `as_of`.
    aggregates : sequence of Origin
        The features.
    dates : sequence of datetime
        The grid of dates that customers share; none where each customer has dates of its own.
    kept : mapping of (source, basis) to Kept
        Cells that need not be made again.

    Yields
    ------
    ibis Table
        `customer_id`, `as_of` and features; customers without rows are not in it.
    """
    for group in groups_of(aggregates):
        group, spread = _without_spread(log, group)
        if spread:
            days = day_spans(group.events(log), [origin.filters for origin in spread])
            yield from (_gap_std(days, population, origin) for origin in spread)
        if not group.origins:
            continue
        if (group.source, group.basis) in kept:
            have = kept[group.source, group.basis]
            yield at_dates(have.cells, have.grid, dates, group.origins, have.levels)
            continue
        rows = group.rows(log)
        if group.basis == "pairs":
            yield from (_change(rows, population, origin) for origin in group.origins)
            continue
        levels = group.levels(rows)
        many = [o for o in group.origins if len(levels.get(o.column, [()])[0]) > MAX_LEVELS]
        many = [o for o in many if o.measure == "distinct"]
        yield from (_distinct(rows, population, origin) for origin in many)
        rest = replace(group, origins=tuple(o for o in group.origins if o not in many))
        if rest.origins and dates:
            grid = rest.grid(dates)
            cells = to_cells(rows, grid, needs(rest.origins, levels))
            yield at_dates(cells, grid, dates, rest.origins, levels)
        elif rest.origins:
            yield _at_own_dates(rows, population, rest.origins, levels)


def _without_spread(log: CustomerLog, group: Group) -> tuple[Group, list[Origin]]:
    """Set spreads of gaps apart where corrections can take a day out of the middle."""
    if group.basis != "days" or "replaced_at" not in records(log, group.source).columns:
        return group, []
    spread = [origin for origin in group.origins if origin.measure == "gap_std"]
    rest = tuple(origin for origin in group.origins if origin.measure != "gap_std")
    return replace(group, origins=rest), spread


def to_cells(rows: ir.Table, grid: Grid, states: Sequence[tuple[State, int | None]]) -> ir.Table:
    """Aggregate every row once into the cell of its customer and pane."""
    wanted = dict.fromkeys(state for state, _ in states)
    located = grid.locate(rows)
    lifted = located.select(*CELL, **{state.name: state.lift(located) for state in wanted})
    return lifted.group_by(CELL).agg(**{state.name: state.merge(lifted) for state in wanted})


def at_dates(
    cells: ir.Table,
    grid: Grid,
    dates: Sequence[datetime],
    origins: Sequence[Origin],
    levels: Levels,
) -> ir.Table:
    """Put windows together from panes, and what has no window from all that was ever seen."""
    names = _names(origins, levels)
    windowed = {key: name for key, name in names.items() if key[1] is not None}
    ever = {key: name for key, name in names.items() if key[1] is None}
    merged = []
    if ever:
        once = ["customer_id", "_seen", "_gone"]
        seen = {state.name: state.merge(cells) for state, _ in ever}
        carried = grid.carry(cells.group_by(once).agg(**seen), dates)
        merged.append(_merged(carried, ever, grid.windows_days))
    if windowed:
        merged.append(_merged(grid.spread(cells, dates), windowed, grid.windows_days))
    joined = merged[0]
    if len(merged) > 1:
        joined = joined.left_join(merged[1], KEYS).drop(*(f"{key}_right" for key in KEYS))
    return _measures(joined, names, origins, levels)


def _at_own_dates(
    rows: ir.Table, population: ir.Table, origins: Sequence[Origin], levels: Levels
) -> ir.Table:
    """Join every row to the dates of its customer, where customers share no grid of dates."""
    windows, states = windows_of(origins), needs(origins, levels)
    seen = seen_by(rows, population.select(*KEYS))
    if all(window is not None for _, window in states):
        seen = seen.filter(seen.occurred_at >= seen.as_of - ibis.interval(days=windows[-1]))
    names = _names(origins, levels)
    lifted = {state.name: state.lift(seen) for state, _ in names}
    parts = seen.select(*KEYS, **lifted, _band=band_of(seen, windows))
    return _measures(_merged(parts, names, windows), names, origins, levels)


Names = Mapping[tuple[State, int | None], str]
"""The column of each merged state and window."""


def _names(origins: Sequence[Origin], levels: Levels) -> Names:
    return {key: f"m{number}" for number, key in enumerate(needs(origins, levels))}


def _merged(parts: ir.Table, names: Names, windows: Sequence[int]) -> ir.Table:
    """Merge partial states into those of windows."""
    return parts.group_by(KEYS).agg(
        **{
            name: state.merge(parts, None if days is None else parts._band <= windows.index(days))
            for (state, days), name in names.items()
        }
    )


def _measures(
    merged: ir.Table, names: Names, origins: Sequence[Origin], levels: Levels
) -> ir.Table:
    """Make features of merged states."""
    values = {
        o.name: measure(o, merged.as_of, lambda state, days: merged[names[state, days]], levels)
        for o in origins
    }
    return merged.select(*KEYS, **values)


def _valued(rows: ir.Table, population: ir.Table, origin: Origin) -> ir.Table:
    """Give the rows with a value that a feature sees, each with its date."""
    rows = rows.filter(passes(rows, origin.filters) & rows[origin.column].notnull())
    seen = seen_by(rows, population.select(*KEYS))
    if origin.window_days is None:
        return seen
    return seen.filter(seen.occurred_at >= seen.as_of - ibis.interval(days=origin.window_days))


def _gap_std(days: ir.Table, population: ir.Table, origin: Origin) -> ir.Table:
    """Spread of the gaps between the days that each date sees, in the order they became known."""
    days = days.filter(days.about == about_text(origin.filters))
    seen = seen_by(days, population.select(*KEYS))
    order = ibis.window(group_by=KEYS, order_by=["visible_at", "occurred_at"])
    gap = seen.occurred_at.delta(seen.occurred_at.lag().over(order), unit="day").abs()
    seen = seen.mutate(gap=gap.cast("float64"))
    if origin.window_days is not None:
        seen = seen.filter(seen.occurred_at >= seen.as_of - ibis.interval(days=origin.window_days))
    sums = seen.group_by(KEYS).agg(
        n=seen.gap.count().cast("float64"),
        total=seen.gap.sum(),
        square=(seen.gap * seen.gap).sum(),
    )
    return sums.select(*KEYS, **{origin.name: spread_of(sums.n, sums.total, sums.square)})


def _distinct(rows: ir.Table, population: ir.Table, origin: Origin) -> ir.Table:
    """Count different values of a column that has too many to keep a state of each."""
    seen = _valued(rows, population, origin)
    number = seen[origin.column].nunique().cast("float64")
    return seen.group_by(KEYS).agg(**{origin.name: number})


def _change(rows: ir.Table, population: ir.Table, origin: Origin) -> ir.Table:
    """Change of the last value against the one before; equal times count as one, their highest."""
    seen = _valued(rows, population, origin)
    moments = seen.group_by([*KEYS, "occurred_at"]).agg(value=seen[origin.column].max())
    newest = ibis.window(group_by=KEYS, order_by=ibis.desc("occurred_at"))
    ranked = moments.mutate(rank=ibis.row_number().over(newest))
    last, before = (ranked.value.max(where=ranked["rank"] == rank) for rank in (0, 1))
    return ranked.group_by(KEYS).agg(**{origin.name: (last - before).cast("float64")})
