"""What is known about customers, and when it became known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb
import ibis
import ibis.expr.types as ir
import pandas as pd

from cxpredict.config import Config, Source, load_config
from cxpredict.config.reading import check_settings
from cxpredict.data.contracts import TABLES
from cxpredict.data.quarantine import Checked, check_rows
from cxpredict.data.sources import map_columns, number_rows, open_source
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
        Lazy tables on the embedded engine; ``.to_pandas()`` brings one into memory.
    rejects : ibis Table
        Rejected rows: source, row (from 1), rule, record (the row as JSON text).
    quality : DataFrame
        One row per source: read, kept, duplicates dropped, rejected.
    rules : DataFrame
        One row per source and broken rule: rows, first rows.
    observed_until : date or None
        The records cover everything before this date, where declared.
    """

    customers: ir.Table
    interactions: ir.Table
    feedback: ir.Table
    transactions: ir.Table
    contacts: ir.Table
    rejects: ir.Table
    quality: pd.DataFrame
    rules: pd.DataFrame
    observed_until: date | None = None

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
        connection = _connect()
        now = _end_of_observation(config.observed_until)
        checked = {}
        for name, source in config.sources.items():
            mapped = open_source(connection, name, source, config)
            checked[name] = _check(connection, name, source, mapped, now)
        log = cls._build(connection, config.sources, checked, config.max_reject_share)
        return replace(log, observed_until=config.observed_until)

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
        connection = _connect()
        sources, checked = {}, {}
        for name, frame in frames.items():
            if name not in TABLES:
                raise DataError(f"expected tables {', '.join(TABLES)}, found {name!r}")
            table = number_rows(connection, name, _memtable(frame))
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
        rejects = ibis.union(*(c.rejects for c in checked.values()), distinct=False)
        _limit_rejects(quality, rules, rejects, max_reject_share)
        tables = {
            table: _union(
                connection, table, [c.kept for n, c in checked.items() if sources[n].table == table]
            )
            for table in TABLES
        }
        _one_row_per_customer(tables["customers"])
        return cls(**tables, rejects=rejects, quality=quality, rules=rules)

    @property
    def table(self) -> Mapping[str, ir.Table]:
        """The five tables by name."""
        return {name: getattr(self, name) for name in TABLES}

    @property
    def connection(self) -> Any:
        """The engine that holds the tables."""
        return self.customers.get_backend()

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


def _connect() -> Any:
    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone = 'UTC'")
    connection.raw_sql("SET enable_progress_bar = false")
    return connection


def _end_of_observation(day: date | None) -> datetime:
    if day is None:
        return datetime.now(UTC).replace(tzinfo=None)
    return datetime.combine(day, time.min)


def _memtable(frame: IntoDataFrame) -> ir.Table:
    import narwhals as nw

    return ibis.memtable(nw.from_native(frame, eager_only=True).to_arrow())


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
        return connection.create_table(name, ibis.union(*aligned, distinct=False))
    schema = ibis.schema({field.name: field.dtype for field in TABLES[name]})
    return connection.create_table(name, schema=schema)


def _check(connection: Any, name: str, source: Source, mapped: ir.Table, now: datetime) -> Checked:
    try:
        return check_rows(connection, name, source, mapped, now=now)
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
