"""One customer at a time, as on the screen of a service agent."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pandas as pd

from cxpredict.action.targets import Offer
from cxpredict.data.contracts import TABLES
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError, ModelError
from cxpredict.features.build import features_of
from cxpredict.features.events import to_utc
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.scoring.rows import score_rows

LATEST_DAYS = 31
"""So long after the last record everybody would look silent."""


def score_one(
    bundle: Bundle,
    log: CustomerLog,
    customer_id: str,
    as_of: str | date,
    *,
    worth: float | None = None,
    offer: Offer | None = None,
) -> pd.Series:
    """Score one customer, as the batch job would.

    Parameters
    ----------
    bundle : Bundle
        A loaded model.
    log : CustomerLog
        The records, as they stood when this log and date were first asked for.
    customer_id : str
        Whose row.
    as_of : str or date
        UTC, exclusive.
    worth : float, optional
        Money this customer brings by staying; without it the money columns are missing.
    offer : Offer, optional
        What the customer would get; needs `worth`. Hold-outs are a matter of the batch.

    Returns
    -------
    Series
        The row of the scores table (columns of `cxpredict.jobs.scoring.table.schema`).

    Raises
    ------
    DataError
        An offer comes without worth; the customer is unknown, or not among those who are scored at
        the date (has left, or has not been active); the date is long after the records end, or
        nobody is scored at it.
    ModelError
        The bundle does not hold what reasons are worded against.

    Notes
    -----
    The first call for a log and a date takes seconds: it lists who is scored, copies the records
    into memory, sorted by customer, and plans one query for all features. Later calls take
    milliseconds. The last four pairs of log and date are kept in memory.

    To score features that are at hand, give one row of them to
    `cxpredict.jobs.scoring.rows.score_rows`.
    """
    if bundle.basis is None:
        raise ModelError("this bundle cannot word reasons for one customer: train it again.")
    if offer is not None and worth is None:
        raise DataError("an offer needs `worth`: the money this customer brings by staying.")
    X = _desk(_Same(bundle), _Same(log), to_utc(as_of)).features(str(customer_id))
    money: dict[str, Any] = {}
    if worth is not None:
        worths = pd.Series([float(worth)], index=X.index)
        money = {"worth": worths, "offer": offer, "salt": bundle.name}
    row: pd.Series = score_rows(bundle, X, **money).iloc[0]
    return row


@dataclass(frozen=True, eq=False)
class _Same:
    """A key that is equal only for the same object, which it keeps alive."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


@lru_cache(maxsize=4)
def _desk(bundle: _Same, log: _Same, day: pd.Timestamp) -> _Desk:
    return _Desk.at(bundle.value, log.value, day)


@dataclass(frozen=True)
class _Desk:
    """The records by customer, and one planned query for the features of whoever is asked for."""

    index: pd.MultiIndex
    names: tuple[str, ...]
    tables: tuple[str, ...]
    connection: Any
    lock: Any

    @classmethod
    def at(cls, bundle: Bundle, log: CustomerLog, day: pd.Timestamp) -> _Desk:
        last = log.span[1]
        if pd.notna(last) and day > last + timedelta(days=LATEST_DAYS):
            raise DataError(
                f"as_of {day.date()} is more than {LATEST_DAYS} days after the records end "
                f"({last.date()}); give a date they cover"
            )
        index = bundle.problem.to_score(log, day)
        if not len(index):
            raise DataError(f"nobody is scored at {day.date()}: give a date the records cover")
        copy, tables = _copied(bundle.read_comments(log))
        who = pd.DataFrame({"customer_id": index[:1].get_level_values(0), "as_of": [day]})
        who = who.astype({"customer_id": "str", "as_of": "datetime64[us]"}).assign(_row=0)
        population = copy.connection.create_table("who", ibis.memtable(who).to_pyarrow())
        features, origins = features_of(
            copy,
            population,
            aggregates=bundle.aggregates,
            exclude=bundle.exclude,
            dates=[day.to_pydatetime()],
            n_rows=len(index),
        )
        con = _planned(copy.connection, features.select(*origins))
        return cls(index, tuple(origins), tables, con, threading.Lock())

    def features(self, customer_id: str) -> pd.DataFrame:
        """Compute the features of one customer."""
        try:
            place = self.index.get_loc(customer_id)
        except (KeyError, TypeError) as error:
            raise self._refusal(customer_id) from error
        with self.lock:
            self._lay_out(customer_id)
            found = self.connection.execute("EXECUTE features").to_arrow_table()
        return found.to_pandas()[list(self.names)].set_axis(self.index[place])

    def _lay_out(self, customer_id: str) -> None:
        """Put the records of one customer, and nobody else's, where the query reads."""
        for name in self.tables:
            self.connection.execute(f"DELETE FROM {name}")
            self.connection.execute(
                f"INSERT INTO {name} SELECT * FROM every_{name} WHERE customer_id = ?",
                [customer_id],
            )
        self.connection.execute("UPDATE who SET customer_id = ?", [customer_id])

    def _refusal(self, customer_id: str) -> DataError:
        day = self.index.get_level_values(1)[0].date()
        with self.lock:
            known = any(
                self.connection.execute(
                    f"SELECT 1 FROM every_{name} WHERE customer_id = ? LIMIT 1", [customer_id]
                ).fetchone()
                for name in self.tables
            )
        if known:
            return DataError(
                f"customer_id: expected a customer who is scored at {day}; this one has left, was "
                "not active, or came later. Give an earlier date, or ask for another customer"
            )
        return DataError(
            "customer_id: expected a customer of the log, found none of this id; ids are text, "
            "written as in the log"
        )


def _planned(backend: Any, features: ir.Table) -> Any:
    """Plan a query once, with the small tables it holds beside it; return the connection."""
    for held in features.op().find(ops.InMemoryTable):
        backend.create_table(held.name, held.data.to_pyarrow(held.schema))
    backend.con.execute("SET threads = 1")
    backend.con.execute(f"PREPARE features AS {backend.compile(features)}")
    return backend.con


def _copied(log: CustomerLog) -> tuple[CustomerLog, tuple[str, ...]]:
    """Copy a log into memory, every table twice: all rows by customer, and those that are asked."""
    backend = ibis.duckdb.connect()
    backend.raw_sql("SET TimeZone = 'UTC'")
    backend.raw_sql("SET enable_progress_bar = false")
    tables = {name: getattr(log, name) for name in TABLES}
    tables |= {f"versions_of_{name}": table for name, table in log.versions.items()}
    for name, table in tables.items():
        backend.create_table(f"every_{name}", table.order_by("customer_id").to_pyarrow())
        backend.raw_sql(f"CREATE TABLE {name} AS FROM every_{name}")
    copies = {name: backend.table(name) for name in TABLES}
    versions = {name: backend.table(f"versions_of_{name}") for name in log.versions}
    return replace(log, **copies, versions=versions, connection=backend), tuple(tables)
