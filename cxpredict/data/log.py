"""What is known about customers, and when it became known."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb
import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from cxpredict.config import Config, EngineSettings, load_config
from cxpredict.config.reading import check_settings
from cxpredict.config.sources import Source
from cxpredict.data.clocks import teach_clocks
from cxpredict.data.contracts import TABLES, VERSIONS
from cxpredict.data.quarantine import Checked, check_rows
from cxpredict.data.shape import empty_table, typed_table
from cxpredict.data.sources import input_digests, map_columns, number_rows, open_source
from cxpredict.errors import DataError, RejectShareError

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame


@dataclass(frozen=True)
class CustomerLog:
    """The five tables of a company's records, checked, in one place.

    Every table exists (maybe empty) with all columns of its contract; all times are UTC.

    Attributes
    ----------
    customers, interactions, feedback, transactions, contacts : ibis Table
        Lazy tables; ``.to_pandas()`` brings one into memory. Of a corrected record they hold the
        latest version; `history` gives all.
    rejects : ibis Table
        Rejected rows: source, row (from 1), rule, record (the row as JSON text, with
        ``[comment]`` in place of comments, which may hold personal data).
    quality : DataFrame
        One row per source: read, kept, duplicates dropped, rejected, corrected (versions that a
        later one replaced).
    rules : DataFrame
        One row per source and broken rule: rows, first rows.
    changes : DataFrame
        One row per source and way in which values were read otherwise than they stand (ids
        normalised, numbers as ids, infinite values as missing, times that clocks skip or show
        twice): rows.
    connection : ibis backend
        The engine that holds the tables: embedded DuckDB, or the one `from_tables` was given.
    tagged_until : Timestamp or None
        Where a `CommentTagger` tagged the feedback: the date before which it learnt. Tables that
        are written to files and read again do not keep it.
    versions : mapping of str to ibis Table
        Every version of the records of the tables that hold corrections.
    observed_until : date or None
        The records cover everything before this date, where declared.
    inputs : mapping of str to str
        SHA-256 of what `open` read, by the path or address that the configuration names: of a
        file its bytes; of a lake the names and bytes of its files; of a table of a database its
        rows, in no order, as they were read.
    """

    customers: ir.Table
    interactions: ir.Table
    feedback: ir.Table
    transactions: ir.Table
    contacts: ir.Table
    rejects: ir.Table
    quality: pd.DataFrame
    rules: pd.DataFrame
    changes: pd.DataFrame
    connection: Any
    versions: Mapping[str, ir.Table] = field(default_factory=dict)
    tagged_until: pd.Timestamp | None = None
    observed_until: date | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, config: str | Path | Config) -> Self:
        """Open, map and check all sources of a configuration.

        Parameters
        ----------
        config : str, Path or Config
            A configuration file, or one already loaded.

        Returns
        -------
        CustomerLog
            With bad rows set aside in `rejects` and counted in `quality`.

        Raises
        ------
        ConfigError
            The configuration has problems, or names columns that are not there.
        DataError
            A source is not of the declared form; `RejectShareError` when more rows are rejected
            than `max_reject_share` allows.
        """
        config = config if isinstance(config, Config) else load_config(config)
        if config.simulate is not None:
            from cxpredict.data.simulated.frames import simulate_frames

            frames, _ = simulate_frames(config.simulate.n_customers, seed=config.simulate.seed)
            return cls.from_frames(
                **frames,
                max_reject_share=config.max_reject_share,
                observed_until=config.observed_until,
            )
        connection = _connect(config.engine, config)
        now = _end_of_observation(config.observed_until)
        checked: dict[str, Checked] = {}
        inputs: dict[str, str] = {}
        for name, source in config.sources.items():
            mapped = open_source(connection, name, source, config)
            inputs |= input_digests(connection, name, source, config)
            checked[name] = _check(connection, name, source, mapped, now)
        log = cls._build(connection, config.sources, checked, config.max_reject_share)
        return replace(log, observed_until=config.observed_until, inputs=inputs)

    @classmethod
    def from_frames(
        cls,
        *,
        max_reject_share: float = 0.01,
        timezone: str = "UTC",
        observed_until: date | None = None,
        **frames: IntoDataFrame,
    ) -> Self:
        """Check frames whose columns already have the names of the log.

        Parameters
        ----------
        max_reject_share : float, default 0.01
            Share of rejected rows from which the call fails, in [0, 1].
        timezone : str, default "UTC"
            Zone of times that carry none.
        observed_until : date, optional
            The records cover everything before this date (default: until now); later events
            cannot have happened.
        **frames : pandas, polars or pyarrow frames
            Any of `customers`, `interactions`, `feedback`, `transactions`, `contacts`; further
            columns of `customers` are attributes.

        Returns
        -------
        CustomerLog

        Examples
        --------
        >>> import pandas as pd
        >>> log = CustomerLog.from_frames(
        ...     transactions=pd.DataFrame(
        ...         {"customer_id": ["007"], "occurred_at": ["2024-01-31"], "amount": [9.5]}
        ...     )
        ... )
        >>> log.transactions.count().execute()
        1
        """
        if not frames:
            raise DataError(f"expected tables {', '.join(TABLES)}, found none")
        connection = _connect()
        sources, checked = {}, {}
        for name, frame in frames.items():
            if name not in TABLES:
                raise DataError(f"expected tables {', '.join(TABLES)}, found {name!r}")
            table = number_rows(connection, name, _memtable(name, frame))
            sources[name] = _plain_source(name, table, timezone)
            mapped = map_columns(connection, name, table, sources[name])
            now = _end_of_observation(observed_until)
            checked[name] = _check(connection, name, sources[name], mapped, now)
        log = cls._build(connection, sources, checked, max_reject_share)
        return replace(log, observed_until=observed_until)

    @classmethod
    def _build(
        cls,
        connection: Any,
        sources: Mapping[str, Source],
        checked: Mapping[str, Checked],
        max_reject_share: float,
    ) -> Self:
        quality = pd.DataFrame(
            [{"source": n, "table": sources[n].table, **c.counts} for n, c in checked.items()]
        )
        rules = pd.concat([c.rules for c in checked.values()], ignore_index=True)
        changes = pd.concat([c.changes for c in checked.values()], ignore_index=True)
        rejects = ibis.union(*(c.rejects for c in checked.values()), distinct=False)
        _limit_rejects(quality, rules, rejects, max_reject_share)
        tables = {
            table: _union(
                connection, table, [c.kept for n, c in checked.items() if sources[n].table == table]
            )
            for table in TABLES
        }
        _one_row_per_customer(tables["customers"])
        evidence = {"rejects": rejects, "quality": quality, "rules": rules, "changes": changes}
        return cls._of(connection, tables, **evidence)

    @classmethod
    def _of(cls, connection: Any, tables: Mapping[str, ir.Table], **evidence: Any) -> Self:
        """Part the latest versions of corrected records from the others."""
        versions = {name: t for name, t in tables.items() if "replaced_at" in t.columns}
        latest = {
            name: t.filter(t.replaced_at.isnull()).drop(*(f.name for f in VERSIONS))
            for name, t in versions.items()
        }
        return cls(**{**tables, **latest}, connection=connection, versions=versions, **evidence)

    @classmethod
    def from_tables(
        cls, *, connection: Any = None, observed_until: date | None = None, **tables: ir.Table
    ) -> Self:
        """Take tables that hold checked records already, of any engine, without copying a row.

        Parameters
        ----------
        connection : ibis backend, optional
            The engine that holds the tables; by default that of the first one.
        observed_until : date, optional
            The records cover everything before this date.
        **tables : ibis Table
            Any of `customers`, `interactions`, `feedback`, `transactions`, `contacts`, all on one
            engine: Parquet files that `to_parquet` wrote, tables of a Spark session or of a
            warehouse. Columns have the names and types of the log; times are UTC; optional
            columns may be absent. Their contents are believed: only `open` and `from_frames`
            check rows.

        Returns
        -------
        CustomerLog
            Lazy: nothing is read before something is asked.

        Raises
        ------
        DataError
            A table or a required column is missing, or a column is of another type; all are named.

        Examples
        --------
        >>> import ibis
        >>> sales = ibis.memtable(
        ...     {"customer_id": ["007"], "occurred_at": [datetime(2024, 1, 31)], "amount": [9.5]}
        ... )
        >>> CustomerLog.from_tables(transactions=sales).transactions.known_at.execute()[0]
        Timestamp('2024-01-31 00:00:00')
        """
        unknown = sorted(set(tables) - set(TABLES))
        if unknown or not tables:
            found = ", ".join(unknown) or "none"
            raise DataError(f"expected tables {', '.join(TABLES)}, found {found}")
        connection = connection or next(iter(tables.values())).get_backend()
        typed = {name: typed_table(name, tables.get(name)) for name in TABLES}
        quality = pd.DataFrame(columns=["source", "table", *COUNTS])
        rules = pd.DataFrame(columns=["source", "rule", "rows", "first_rows"])
        changes = pd.DataFrame(columns=["source", "change", "rows"])
        rejects = empty_table(
            {"source": "string", "row": "int64", "rule": "string", "record": "string"}
        )
        evidence = {"rejects": rejects, "quality": quality, "rules": rules, "changes": changes}
        log = cls._of(connection, typed, **evidence)
        return replace(log, observed_until=observed_until)

    def to_parquet(self, folder: str | Path) -> Path:
        """Write the checked records, one file per table, for any engine to read.

        Parameters
        ----------
        folder : str or Path
            Receives ``customers.parquet`` and so on, with every version of corrected records.

        Returns
        -------
        Path
            The folder. ``CustomerLog.from_tables(interactions=connection.read_parquet(...), ...)``
            opens it again.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in {**self.table, **self.versions}.items():
            table.to_parquet(folder / f"{name}.parquet")
        return folder

    @property
    def table(self) -> Mapping[str, ir.Table]:
        """The five tables by name."""
        return {name: getattr(self, name) for name in TABLES}

    def history(self, name: str) -> ir.Table:
        """Give every version of the records of a table, each with the time that ended it.

        Parameters
        ----------
        name : str
            One of the four tables of events.

        Returns
        -------
        ibis Table
            With `version` (from 1) and `replaced_at`, when the next version became known: missing
            for the latest. A version counts at a date if ``known_at < as_of <= replaced_at``.
        """
        if name not in TABLES or name == "customers":
            events = ", ".join(table for table in TABLES if table != "customers")
            raise DataError(f"expected a table of events ({events}), found {name!r}")
        if name in self.versions:
            return self.versions[name]
        return self.table[name].mutate(
            version=ibis.literal(1.0), replaced_at=ibis.null("timestamp(6)")
        )

    @property
    def span(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        """First and last time at which anything occurred."""
        ends = [
            (t.occurred_at.min().execute(), t.occurred_at.max().execute())
            for t in (self.interactions, self.feedback, self.transactions)
        ]
        first, last = (
            pd.Series(times, dtype="datetime64[us]") for times in zip(*ends, strict=True)
        )
        return first.min(), last.max()


COUNTS = ("read", "duplicates", "rejected", "kept", "corrected")


def _connect(engine: EngineSettings | None = None, config: Config | None = None) -> Any:
    """Start the embedded engine under its limit; what does not fit is spilled to disk."""
    settings: dict[str, Any] = {}
    spill = Path(tempfile.gettempdir())
    if engine is not None and config is not None:
        if engine.memory_limit_gb is not None:
            settings["memory_limit"] = f"{engine.memory_limit_gb}GB"
        if engine.spill_directory is not None:
            spill = config.path(engine.spill_directory)
    settings["temp_directory"] = str(spill / "cxpredict-spill")
    connection = ibis.duckdb.connect(**settings)
    connection.raw_sql("SET TimeZone = 'UTC'")
    connection.raw_sql("SET enable_progress_bar = false")
    teach_clocks(connection)
    return connection


def _end_of_observation(day: date | None) -> datetime:
    if day is None:
        return datetime.now(UTC).replace(tzinfo=None)
    return datetime.combine(day, time.min)


def _memtable(name: str, frame: IntoDataFrame) -> ir.Table:
    import narwhals as nw

    try:
        return ibis.memtable(nw.from_native(frame, eager_only=True).to_arrow())
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        # the text of the error may hold a value
        raise DataError(
            f"{name}: a column holds values of different kinds; make it text"
        ) from error
    except TypeError as error:
        raise DataError(
            f"{name}: expected a frame in memory, found {type(frame).__name__}"
        ) from error


def _plain_source(name: str, table: ir.Table, timezone: str) -> Source:
    """Make the settings of a frame that needs no mapping."""
    known = [field.name for field in TABLES[name] if field.name in table.columns]
    settings = {
        "path": f"{name} (frame)",
        "table": name,
        "columns": {column: column for column in known},
        "attributes": "*" if name == "customers" else [],
        "timezone": timezone,
    }
    return check_settings(Source, settings, name=name)


def _union(connection: Any, name: str, parts: list[ir.Table]) -> ir.Table:
    """Stack the sources of one table; an absent table is empty, with its contract's columns."""
    if len(parts) == 1:
        return parts[0]
    if parts:
        attributes: dict[str, Any] = {}
        for part in parts:
            attributes |= dict(part.schema().items())
        aligned = [
            part.select(
                **{c: part[c] if c in part.columns else ibis.null(t) for c, t in attributes.items()}
            )
            for part in parts
        ]
        table = connection.create_table(name, ibis.union(*aligned, distinct=False))
        for part in parts:
            connection.drop_table(part.op().name)
        return table
    schema = ibis.schema({field.name: field.dtype for field in TABLES[name]})
    return connection.create_table(name, schema=schema)


def _check(connection: Any, name: str, source: Source, mapped: ir.Table, now: datetime) -> Checked:
    try:
        checked = check_rows(connection, name, source, mapped, now=now)
        for table in connection.list_tables(like="^source_"):
            connection.drop_table(table)
        return checked
    except duckdb.Error as error:
        # the text of the error may hold a value of the row that it met
        raise DataError(
            f"{name}: an expression fails on a row ({type(error).__name__}); use TRY_CAST or CASE"
        ) from error


def _one_row_per_customer(customers: ir.Table) -> None:
    """Refuse customers whom two sources describe: joins must stay m:1."""
    rows = (
        customers.group_by("customer_id").having(lambda t: t.count() > 1).agg(n=lambda t: t.count())
    )
    several = rows.count().execute()
    if several:
        raise DataError(
            f"customers: {several:,} ids stand in more than one source; join the sources into one"
        )


def _limit_rejects(
    quality: pd.DataFrame, rules: pd.DataFrame, rejects: ir.Table, limit: float
) -> None:
    share = quality["rejected"] / quality["read"].clip(lower=1)
    over = quality[share > limit]
    if over.empty:
        return
    lines = [
        f"  {r.source}: {r.rule}: {r.rows:,} rows, first rows {r.first_rows}"
        for r in rules[rules["source"].isin(over["source"])].itertuples()
    ]
    counts = ", ".join(
        f"{r.rejected:,} of {r.read:,} rows of {r.source}" for r in over.itertuples()
    )
    error = RejectShareError(
        f"rejected {counts}; max_reject_share is {limit:g}\n" + "\n".join(lines) + "\n"
        "Correct the source or its settings, or raise max_reject_share."
    )
    error.rejects = rejects
    raise error
