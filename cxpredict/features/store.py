"""Cells kept between nightly runs, so that a night costs what is new."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import duckdb
import ibis
import ibis.expr.types as ir
import pandas as pd
import sqlglot.expressions as sge

from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.build import index_rows, join_features, to_frame
from cxpredict.features.events import day_spans, to_utc
from cxpredict.features.origin import Origin
from cxpredict.features.panes.grid import Grid
from cxpredict.features.panes.news import corrected_customers, known_between, new_days
from cxpredict.features.panes.rollup import MAX_LEVELS, Group, Kept, groups_of, to_cells
from cxpredict.features.panes.states import Levels, needs


class FeatureStore:
    """Partial states of a grid of dates, in one DuckDB file.

    Parameters
    ----------
    path : str or Path
        A file that `create` made.

    Attributes
    ----------
    dates : tuple of Timestamp
        The grid: features can be built for these dates.
    aggregates : tuple of Origin
        The features.
    known_until : Timestamp or None
        Everything known before it is in the store; None before the first `refresh`.

    Raises
    ------
    DataError
        There is no such store.

    Notes
    -----
    A record belongs to the pane in which it occurred and is new once it became known, so a late
    record is added to its old pane. Cells are only ever added, within one transaction; customers
    whose records were corrected since the last refresh are read anew. A refresh trusts `known_at`:
    a record that arrives after a refresh but claims to have been known before it is not read.
    Features that hold values against each other (`change`) are not kept but computed from the log.

    Examples
    --------
    >>> import tempfile
    >>> sales = pd.DataFrame(
    ...     {"customer_id": "a", "occurred_at": ["2024-01-05", "2024-02-03"], "amount": [9.5, 2.0]}
    ... )
    >>> log = CustomerLog.from_frames(transactions=sales)
    >>> spent = Origin("transactions", "sum", "amount", window_days=30)
    >>> nights = ["2024-02-01", "2024-02-05"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = FeatureStore.create(f"{folder}/store.duckdb", dates=nights, aggregates=[spent])
    ...     store.refresh(log, until="2024-02-01")
    ...     store.refresh(log, until="2024-02-05")
    ...     keys = [["a"], pd.to_datetime(nights)]
    ...     index = pd.MultiIndex.from_product(keys, names=["customer_id", "as_of"])
    ...     store.build(log, index)[spent.name].tolist()
    [9.5, 2.0]
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"{self.path.name}: no such feature store; make it with create")
        try:
            with duckdb.connect(str(self.path), read_only=True) as connection:
                (found,) = connection.sql("SELECT content FROM manifest").fetchall()
        except duckdb.Error as error:
            raise _unusable(self.path) from error
        content = json.loads(found[0])
        self.dates = tuple(pd.Timestamp(day) for day in content["dates"])
        self.aggregates = tuple(Origin.from_dict(fields) for fields in content["aggregates"])
        until = content["known_until"]
        self.known_until = None if until is None else pd.Timestamp(until)
        self._levels: dict[str, dict[str, list[str]]] = content["levels"]

    @classmethod
    def create(
        cls, path: str | Path, *, dates: Sequence[str | date], aggregates: Sequence[Origin]
    ) -> Self:
        """Make an empty store for a grid of dates, past and to come.

        Parameters
        ----------
        path : str or Path
            A file that does not exist yet.
        dates : sequence of date
            All dates that features will be built for, such as the nights of the next months. The
            panes follow from them; for other dates make another store.
        aggregates : sequence of Origin
            The features.

        Returns
        -------
        FeatureStore

        Raises
        ------
        DataError
            The file exists already.
        ConfigError
            There are no dates.
        """
        path = Path(path)
        if path.exists():
            raise DataError(f"{path.name}: exists already; open it, or choose another file")
        if not path.parent.is_dir():
            raise DataError(f"{path.name}: its folder does not exist; make it first")
        if isinstance(dates, str) or not len(dates):
            raise ConfigError("dates: a feature store needs the list of dates that it serves")
        days = sorted({to_utc(day) for day in dates})
        content = _manifest(days, aggregates, known_until=None, levels={})
        connection = ibis.duckdb.connect(path)
        connection.create_table("manifest", ibis.memtable({"content": [content]}))
        connection.disconnect()
        return cls(path)

    def refresh(self, log: CustomerLog, *, until: str | date) -> None:
        """Read the records that became known since the last refresh and before a date.

        Parameters
        ----------
        log : CustomerLog
            The records, on the embedded engine. Tables that `from_tables` opened lazily are read
            only as far as they are new, where their files are in the order of `known_at`.
        until : date
            UTC, exclusive, not before the last refresh.

        Raises
        ------
        DataError
            `until` lies before the last refresh, the log is on another engine, or a column whose
            different values are counted has more than 64 of them.
        """
        day = to_utc(until)
        if self.known_until is not None and day < self.known_until:
            raise DataError(
                f"the store knows everything before {self.known_until}; until {day} is earlier"
            )
        with self._attached(log) as connection, self._transaction(connection, log, day) as levels:
            for group in self._groups():
                self._add(connection, log, group, day, levels.get((group.source, group.basis), {}))
            content = sge.convert(self._content(day)).sql("duckdb")
            connection.raw_sql(f"UPDATE {'.'.join(self._place)}.manifest SET content = {content}")
        self.known_until = day

    def build(
        self, log: CustomerLog, index: pd.MultiIndex, *, exclude: Sequence[str] = ()
    ) -> pd.DataFrame:
        """Put the features of customers at dates of the grid together from the cells.

        Parameters
        ----------
        log : CustomerLog
            The records: attributes of customers, and what is not kept, come from it.
        index : MultiIndex (customer_id, as_of)
            For whom and when.
        exclude : sequence of str
            Attributes of customers that are no features.

        Returns
        -------
        DataFrame
            Digit for digit what `build_features` gives.

        Raises
        ------
        DataError
            A date is not in the grid, or later than what the store knows.
        """
        rows = index_rows(index)
        dates = sorted(set(rows["as_of"]))
        strange = [str(day) for day in dates if day not in self.dates]
        if strange:
            raise DataError(f"not in the grid of the store: {', '.join(strange[:5])}")
        if self.known_until is None or dates[-1] > self.known_until:
            raise DataError(f"the store does not know everything before {dates[-1]}: refresh it")
        with self._attached(log, read_only=True) as connection:
            features, origins = join_features(
                log,
                ibis.memtable(rows),
                self.aggregates,
                exclude,
                [day.to_pydatetime() for day in dates],
                self._kept(connection),
            )
            return to_frame(features, origins, index)

    def _groups(self) -> list[Group]:
        aggregates = [o for o in self.aggregates if o.source not in ("customers", "calendar")]
        return [group for group in groups_of(aggregates) if group.basis != "pairs"]

    @property
    def _place(self) -> tuple[str, str]:
        """Where the file is attached: a name of its own, so that several can be."""
        return f"store_{sha256(str(self.path.resolve()).encode()).hexdigest()[:12]}", "main"

    @contextmanager
    def _attached(self, log: CustomerLog, *, read_only: bool = False) -> Iterator[Any]:
        """Attach the file to the engine of the log for a while."""
        connection = log.connection
        if connection.name != "duckdb":
            raise DataError("a feature store works with a log on the embedded engine")
        path, mode = sge.convert(str(self.path)).sql("duckdb"), "(READ_ONLY)" if read_only else ""
        try:
            connection.raw_sql(f"ATTACH {path} AS {self._place[0]} {mode}")
        except duckdb.Error as error:
            raise _unusable(self.path) from error
        try:
            yield connection
        finally:
            connection.detach(self._place[0])

    @contextmanager
    def _transaction(
        self, connection: Any, log: CustomerLog, until: pd.Timestamp
    ) -> Iterator[dict[tuple[str, str], Levels]]:
        """Make room for new values, then keep all or nothing; give the values of each group."""
        before = deepcopy(self._levels)
        levels = {}
        for group in self._groups():
            if group.basis != "days":
                new = known_between(group.events(log), self.known_until, until)
                levels[group.source, group.basis] = self._levels_of(group, new)
        for group in self._groups():
            if (group.source, group.basis) in levels:
                self._note_levels(connection, group, levels[group.source, group.basis])
        connection.raw_sql("BEGIN TRANSACTION")
        try:
            yield levels
            connection.raw_sql("COMMIT")
        except BaseException:
            self._levels = before
            with suppress(duckdb.Error):
                connection.raw_sql("ROLLBACK")
            raise

    def _kept(self, connection: Any) -> dict[tuple[str, str], Kept]:
        kept = {}
        for group in self._groups():
            rows = connection.table(_name(group), database=self._place)
            grid, levels = self._grid(group), self._levels_of(group, None)
            if group.basis == "days":
                rows = to_cells(rows, grid, needs(group.origins, levels))
            kept[group.source, group.basis] = Kept(rows, grid, levels)
        return kept

    def _grid(self, group: Group) -> Grid:
        return group.grid([day.to_pydatetime() for day in self.dates])

    def _levels_of(self, group: Group, rows: ir.Table | None) -> Levels:
        levels = group.levels(rows, self._levels.get(group.source))
        for column, (values, _) in levels.items():
            if len(values) > MAX_LEVELS:
                raise DataError(
                    f"{group.source}.{column} has more than {MAX_LEVELS} values: a feature store "
                    "cannot count the different ones; leave that aggregate out"
                )
        return levels

    def _add(
        self,
        connection: Any,
        log: CustomerLog,
        group: Group,
        until: pd.Timestamp,
        levels: Levels,
    ) -> None:
        """Add what became known; of customers with corrections everything is read anew."""
        events, name = group.events(log), _name(group)
        new = known_between(events, self.known_until, until)
        if "replaced_at" in events.columns and self.known_until is not None:
            corrected = corrected_customers(events, self.known_until, until)
            who = connection.compile(corrected)
            connection.raw_sql(
                f"DELETE FROM {'.'.join(self._place)}.{name} WHERE customer_id IN ({who})"
            )
            again = known_between(events.semi_join(corrected, "customer_id"), None, until)
            new = new.anti_join(corrected, "customer_id").union(again, distinct=False)
        exists = name in connection.list_tables(database=self._place)
        if group.basis == "days":
            spans = day_spans(new, group.abouts)
            kept = connection.table(name, database=self._place) if exists else None
            rows = new_days(spans, kept)
        else:
            rows = to_cells(new, self._grid(group), needs(group.origins, levels))
        if exists:
            connection.insert(name, rows, database=self._place)
        else:
            connection.create_table(name, rows, database=self._place)

    def _note_levels(self, connection: Any, group: Group, levels: Levels) -> None:
        """Make room for values that were not seen before."""
        name = _name(group)
        exists = name in connection.list_tables(database=self._place)
        known = self._levels.setdefault(group.source, {})
        before = {column: (known.get(column, []), window) for column, (_, window) in levels.items()}
        old = {state.name for state, _ in needs(group.origins, before)}
        new = {state.name for state, _ in needs(group.origins, levels)} - old
        for column in sorted(new) if exists else ():
            add = f"ADD COLUMN IF NOT EXISTS {column} TIMESTAMP"
            connection.raw_sql(f"ALTER TABLE {'.'.join(self._place)}.{name} {add}")
        known.update({column: list(values) for column, (values, _) in levels.items()})

    def _content(self, known_until: pd.Timestamp) -> str:
        return _manifest(
            self.dates, self.aggregates, known_until=known_until.isoformat(), levels=self._levels
        )


def _manifest(
    dates: Sequence[pd.Timestamp],
    aggregates: Sequence[Origin],
    *,
    known_until: str | None,
    levels: Mapping[str, Mapping[str, Sequence[str]]],
) -> str:
    """Write down what a store serves and knows, as JSON."""
    return json.dumps(
        {
            "dates": [day.isoformat() for day in dates],
            "aggregates": [origin.to_dict() for origin in aggregates],
            "known_until": known_until,
            "levels": levels,
        }
    )


def _unusable(path: Path) -> DataError:
    return DataError(
        f"{path.name}: cannot be opened as a feature store: it is in use elsewhere, or another file"
    )


def _name(group: Group) -> str:
    return f"{group.source}_{group.basis}"
