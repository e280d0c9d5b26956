"""Panes: the spans between neighbouring window edges of a grid of dates.

An event falls into one pane, and every window of every date is a run of panes. So events are
aggregated once into (customer, pane), and windows are put together from panes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

CELL = ["customer_id", "_pane", "_seen", "_gone"]
"""Keys of a cell: the customer, the pane in which a row occurred, the first date of the grid at
which it is seen, and the first at which it is no longer."""


@dataclass(frozen=True)
class Grid:
    """Dates shared by customers, and the windows before each of them.

    Attributes
    ----------
    dates : tuple of datetime
        UTC, ascending.
    windows_days : tuple of int
        Lengths of the windows, ascending.
    """

    dates: tuple[datetime, ...]
    windows_days: tuple[int, ...]

    @property
    def edges(self) -> tuple[datetime, ...]:
        """All ends of all windows, ascending: pane p lies before edge p, at or after edge p - 1."""
        starts = {d - timedelta(days=w) for d in self.dates for w in self.windows_days}
        return tuple(sorted(starts | set(self.dates)))

    def locate(self, rows: ir.Table) -> ir.Table:
        """Add the keys of the cell to every row that the last date sees.

        Parameters
        ----------
        rows : ibis Table
            With `customer_id`, `occurred_at`, `visible_at` and maybe `replaced_at`.

        Returns
        -------
        ibis Table
            With `_pane`, `_seen` and `_gone` as small whole numbers.
        """
        last, never = ibis.literal(self.dates[-1]), len(self.dates)
        located = rows.filter(rows.visible_at < last).mutate(
            _pane=number_before(rows.occurred_at, self.edges).cast("int32"),
            _seen=number_before(rows.visible_at, self.dates).cast("int32"),
        )
        if "replaced_at" not in rows.columns:
            return located.mutate(_gone=ibis.literal(never, "int32"))
        gone = number_before(located.replaced_at, self.dates).fill_null(never).cast("int32")
        return located.mutate(_gone=gone).filter(lambda t: t._seen < t._gone)

    def spread(self, cells: ir.Table, dates: Sequence[datetime]) -> ir.Table:
        """Give every cell to the dates with a window that holds it.

        Parameters
        ----------
        cells : ibis Table
            With the keys of `CELL`.
        dates : sequence of datetime
            Dates of the grid to compute.

        Returns
        -------
        ibis Table
            With `as_of` and `_band`, the number of the narrowest window that holds the cell.
        """
        edges = self.edges
        shares = [
            (pane, number, date, band)
            for number, date in self._numbered(dates)
            for pane in range(1, edges.index(date) + 1)
            if (band := self._band(date, edges[pane - 1])) < len(self.windows_days)
        ]
        names = {"_pane": "int32", "_date": "int32", "as_of": "timestamp(6)", "_band": "int32"}
        joined = cells.join(_small_table(shares, names), "_pane")
        return joined.filter((joined._seen <= joined._date) & (joined._date < joined._gone))

    def carry(self, cells: ir.Table, dates: Sequence[datetime]) -> ir.Table:
        """Give every cell to all dates that see it, however old it is.

        Parameters
        ----------
        cells : ibis Table
            With `_seen` and `_gone`.
        dates : sequence of datetime
            Dates of the grid to compute.

        Returns
        -------
        ibis Table
            With `as_of`.
        """
        shares = [
            (seen, number, date)
            for number, date in self._numbered(dates)
            for seen in range(number + 1)
        ]
        names = {"_seen": "int32", "_date": "int32", "as_of": "timestamp(6)"}
        joined = cells.join(_small_table(shares, names), "_seen")
        return joined.filter(joined._date < joined._gone)

    def _numbered(self, dates: Sequence[datetime]) -> list[tuple[int, datetime]]:
        return [(number, date) for number, date in enumerate(self.dates) if date in dates]

    def _band(self, date: datetime, starts: datetime) -> int:
        for number, days in enumerate(self.windows_days):
            if starts >= date - timedelta(days=days):
                return number
        return len(self.windows_days)


def _small_table(rows: list[Any], types: Mapping[str, str]) -> ir.Table:
    frame = pd.DataFrame(rows, columns=list(types)).astype({"as_of": "datetime64[us]"})
    return ibis.memtable(frame, schema=types)


def number_before(time: ir.Value, edges: Sequence[datetime], first: int = 0) -> ir.Value:
    """Count the edges at or before a time, by halving: a tree of comparisons any engine runs."""
    if not edges:
        return ibis.literal(first)
    middle = len(edges) // 2
    return ibis.ifelse(
        time < ibis.literal(edges[middle]),
        number_before(time, edges[:middle], first),
        number_before(time, edges[middle + 1 :], first + middle + 1),
    )


def band_of(rows: ir.Table, windows_days: Sequence[int]) -> ir.Value:
    """Give the number of the narrowest window before `as_of` that holds a row."""
    band = ibis.literal(len(windows_days))
    for number, days in reversed(list(enumerate(windows_days))):
        starts = rows.as_of - ibis.interval(days=days)
        band = ibis.ifelse(rows.occurred_at >= starts, number, band)
    return band
