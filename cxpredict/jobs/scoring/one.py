"""One customer at a time, as on the screen of a service agent."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date
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
from cxpredict.jobs.scoring.job import check_day
from cxpredict.jobs.scoring.rows import score_rows


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
        The records.
    customer_id : str
        Whose row.
    as_of : str or date
        UTC, exclusive.
    worth, offer : optional
        As for `Desk.score`.

    Returns
    -------
    Series
        The row of the scores table (columns of `cxpredict.jobs.scoring.table.schema`).

    Raises
    ------
    DataError, ModelError
        As `Desk` and `Desk.score`.

    Notes
    -----
    A `Desk` that is used once, which takes seconds to make ready: whoever asks for more than one
    customer keeps a desk. To score features that are at hand, give one row of them to
    `cxpredict.jobs.scoring.rows.score_rows`.
    """
    desk = Desk(bundle, log, as_of)
    return desk.score(customer_id, worth=worth, offer=offer)


class Desk:
    """Score whoever calls, one customer at a time, as the batch job would.

    Parameters
    ----------
    bundle : Bundle
        A loaded model.
    log : CustomerLog
        The records. Those that come later are not seen: make a new desk of the new log.
    as_of : str or date
        UTC, exclusive.

    Raises
    ------
    DataError
        The date is long after the records end, or nobody is scored at it.
    ModelError
        The bundle does not hold what reasons are worded against.

    Notes
    -----
    Making a desk takes seconds: it lists who is scored, copies the records into memory, sorted by
    customer, and plans one query for all features. A customer then takes milliseconds. The copy
    lives as long as the desk, and nothing outlives it. Threads may share a desk; they wait for
    each other while features are computed.

    Examples
    --------
    >>> import cxpredict as cx
    >>> from cxpredict.config import Bands
    >>> from cxpredict.drivers.reasons import ReasonBasis
    >>> log, day = cx.simulate_company(300, seed=5).log, "2025-06-01"
    >>> problem = cx.ChurnProblem(cancelled="cancellation", horizon_days=90, gap_days=7)
    >>> index = problem.to_score(log, day)
    >>> spent = (cx.Origin("transactions", "sum", "amount", window_days=180),)
    >>> X, y = cx.build_features(log, index, aggregates=spent), problem.labels(log, index)
    >>> model = cx.ChurnModel(effort="fast", random_state=0).fit(X[y.notna()], y[y.notna()])
    >>> bundle = Bundle(
    ...     "demo", problem, model, spent, (), Bands(medium=0.1, high=0.3), {},
    ...     basis=ReasonBasis.learn(X),
    ... )
    >>> desk = Desk(bundle, log, day)
    >>> row = desk.score(index[0][0], worth=900.0)
    >>> bool(row["value_at_risk"] == 900.0 * row["churn_probability"])
    True
    """

    def __init__(self, bundle: Bundle, log: CustomerLog, as_of: str | date) -> None:
        if bundle.basis is None:
            raise ModelError("this bundle cannot word reasons for one customer: train it again.")
        day = to_utc(as_of)
        check_day(log, day)
        index = bundle.problem.to_score(log, day)
        if not len(index):
            raise DataError(f"nobody is scored at {day.date()}: give a date the records cover")
        copy, self._tables = _copied(bundle.read_comments(log))
        who = pd.DataFrame({"customer_id": index[:1].get_level_values(0), "as_of": [day]})
        who = who.astype({"customer_id": "str", "as_of": "datetime64[us]"}).assign(_row=0)
        features, origins = features_of(
            copy,
            copy.connection.create_table("who", ibis.memtable(who).to_pyarrow()),
            aggregates=bundle.aggregates,
            exclude=bundle.exclude,
            dates=[day.to_pydatetime()],
            n_rows=len(index),
        )
        self._bundle, self._index, self._names = bundle, index, list(origins)
        self._connection = _planned(copy.connection, features.select(*origins))
        self._lock = threading.Lock()

    def score(
        self, customer_id: str, *, worth: float | None = None, offer: Offer | None = None
    ) -> pd.Series:
        """Score one customer.

        Parameters
        ----------
        customer_id : str
            Whose row.
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
            An offer comes without worth; the customer is unknown, or not among those who are
            scored at the date (has left, or has not been active).
        """
        if offer is not None and worth is None:
            raise DataError("an offer needs `worth`: the money this customer brings by staying.")
        X = self._features(str(customer_id))
        money: dict[str, Any] = {}
        if worth is not None:
            worths = pd.Series([float(worth)], index=X.index)
            money = {"worth": worths, "offer": offer, "salt": self._bundle.name}
        row: pd.Series = score_rows(self._bundle, X, **money).iloc[0]
        return row

    def _features(self, customer_id: str) -> pd.DataFrame:
        try:
            place = self._index.get_loc(customer_id)
        except (KeyError, TypeError) as error:
            raise self._refusal(customer_id) from error
        with self._lock:
            self._lay_out(customer_id)
            found = self._connection.execute("EXECUTE features").to_arrow_table()
        return found.to_pandas()[self._names].set_axis(self._index[place])

    def _lay_out(self, customer_id: str) -> None:
        """Put the records of one customer, and nobody else's, where the query reads."""
        for name in self._tables:
            self._connection.execute(f"DELETE FROM {name}")
            self._connection.execute(
                f"INSERT INTO {name} SELECT * FROM every_{name} WHERE customer_id = ?",
                [customer_id],
            )
        self._connection.execute("UPDATE who SET customer_id = ?", [customer_id])

    def _refusal(self, customer_id: str) -> DataError:
        day = self._index.get_level_values(1)[0].date()
        with self._lock:
            known = any(
                self._connection.execute(
                    f"SELECT 1 FROM every_{name} WHERE customer_id = ? LIMIT 1", [customer_id]
                ).fetchone()
                for name in self._tables
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
