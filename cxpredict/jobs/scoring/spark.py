"""The batch job on a Spark cluster: the same expressions, the same rows, the same files.

Spark computes population, features and money, and its workers score (`partitions`); the embedded
engine checks the sources before and sorts the scores after.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, PublishError
from cxpredict.features.build import join_features
from cxpredict.features.origin import Origin
from cxpredict.features.panes.rollup import KEYS
from cxpredict.jobs.monitoring.baseline import baseline_of
from cxpredict.jobs.monitoring.drift import DriftCounts
from cxpredict.jobs.scoring.batches import (
    EXPLAINED,
    MARGIN,
    SCORED,
    Progress,
    chosen_query,
    quoted,
    quoted_file,
    sorting_engine,
)
from cxpredict.jobs.scoring.partitions import DRIFT, Assignment, scored_schema, scorer
from cxpredict.jobs.scoring.request import Request
from cxpredict.jobs.scoring.spark_errors import translating
from cxpredict.jobs.scoring.table import REASONS, schema
from cxpredict.value.margins import margin_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FEWEST_ROWS = 2_000
"""Below it a further task costs more than it saves."""

_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",  # without, missing text becomes "NaN"
}
_BATCH_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"
_TYPES = {pa.string(): "string", pa.float64(): "double", pa.timestamp("us"): "timestamp_ntz"}


def open_session(engine: Any) -> SparkSession:
    """Give the session that a caller gave, or what ``spark-submit`` or this machine offers.

    Parameters
    ----------
    engine : SparkSession or "spark"
        ``spark`` takes the running session, else starts one: with the settings of
        ``spark-submit``, or on all cores of this machine.

    Returns
    -------
    SparkSession
        One of its own beside the caller's, with the same executors: the settings that scoring
        needs (UTC, Arrow) do not touch the caller's queries.

    Raises
    ------
    ConfigError
        PySpark is not installed, or `engine` is neither.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ConfigError("engine spark: install cxpredict[spark], and Java 17") from error
    if engine == "spark":
        with translating():
            os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
            engine = SparkSession.builder.appName("cxpredict").getOrCreate()
    if not isinstance(engine, SparkSession):
        raise ConfigError(
            f"engine: expected 'spark' or a SparkSession, found {type(engine).__name__}"
        )
    return engine.newSession()


def move_to_spark(log: CustomerLog, session: SparkSession, folder: Path) -> CustomerLog:
    """Write checked records where all workers can read them, and open them on Spark.

    Parameters
    ----------
    log : CustomerLog
        On the embedded engine, which streams them under its memory limit.
    session : SparkSession
        What `open_session` gave.
    folder : Path
        On storage that driver and workers share.

    Returns
    -------
    CustomerLog
        The same records, lazy, on Spark.
    """
    log.to_parquet(folder)
    engine = ibis.pyspark.connect(session)
    files = {name: _address(folder / f"{name}.parquet") for name in log.table}
    tables = {name: engine.read_parquet(file) for name, file in files.items()}
    moved = CustomerLog.from_tables(**tables, observed_until=log.observed_until)
    return replace(moved, tagged_until=log.tagged_until)


def score_on_spark(
    request: Request,
    log: CustomerLog,
    work: Path,
    *,
    session: Any,
    chunk_rows: int,
    progress: Progress,
) -> tuple[int, DriftCounts | None]:
    """Score and explain on Spark, into the files that one machine would write.

    Parameters
    ----------
    request : Request
        What is asked for.
    log : CustomerLog
        The records; those on the embedded engine are moved.
    work : Path
        Folder on storage that driver and workers share.
    session : SparkSession or None
        What `open_session` gave; not needed for records that are on Spark.
    chunk_rows : int
        Customers that a worker holds in memory at a time.
    progress : callable
        Gets the step.

    Returns
    -------
    customers : int
        How many were scored.
    drift : DriftCounts or None
        Where the rows fall, if the bundle knows where those of training fell.

    Raises
    ------
    ConfigError
        A worker lacks a package.
    ModelError
        A worker has another version of cxpredict, or failed.
    PublishError
        Fewer rows arrived than were scored: the folder is not shared.
    """
    moved = log.connection.name != "pyspark"
    if moved:
        progress("moving the records to Spark", 0, 0)
        log = move_to_spark(request.bundle.read_comments(log), session, work / "records")
    progress("scoring on Spark", 0, 0)
    with translating(), _configured(_session_of(log), chunk_rows):
        log = log if moved else request.bundle.read_comments(log)
        customers = _score(request, log, _population(request, log), work / "on_spark")
        if not customers:
            return 0, None
        names = schema(request.bundle.kind).names
        _collect(work / "on_spark", work / SCORED, names)
        explained = work / "on_spark"
        if request.top is not None:
            progress(f"explaining {min(request.top, customers):,} customers on Spark", 0, 0)
            explained = work / "explained_on_spark"
            chosen = _chosen(request, log, work / SCORED)
            _score(replace(request, reasons="all"), log, chosen, explained, drift=False)
        told = ["customer_id", *REASONS]
        _collect(explained, work / EXPLAINED, told, where=f"{REASONS[0]} IS NOT NULL")
    return customers, _drift(request, work / "on_spark")


def _session_of(log: CustomerLog) -> SparkSession:
    session: SparkSession = log.connection.raw_sql("SELECT 1").sparkSession
    return session


@contextmanager
def _configured(session: SparkSession, chunk_rows: int) -> Iterator[None]:
    """Set what results depend on for a while."""
    wanted = _SETTINGS | {_BATCH_ROWS: str(chunk_rows)}
    before = {key: str(session.conf.get(key)) for key in wanted}
    try:
        for key, value in wanted.items():
            session.conf.set(key, value)
        yield
    finally:
        for key, value in before.items():
            session.conf.set(key, value)


def _population(request: Request, log: CustomerLog) -> ir.Table:
    """Express who is scored."""
    who = request.bundle.problem.to_score_table(log, request.day)
    return who if request.limit is None else who.order_by("customer_id").limit(request.limit)


def _chosen(request: Request, log: CustomerLog, scored: Path) -> ir.Table:
    """Give those who are explained and known only when all are scored."""
    engine = sorting_engine(scored.parent)
    chosen = engine.execute(chosen_query(request, scored)).to_arrow_table()
    engine.close()
    ids = ibis.memtable(chosen)
    return _population(request, log).semi_join(ids, "customer_id")


def _score(
    request: Request, log: CustomerLog, who: ir.Table, folder: Path, *, drift: bool = True
) -> int:
    """Let the workers score some customers into a folder, and count them."""
    population = _kept(who)
    try:
        customers = int(population.count().execute())
        if customers:
            rows, origins = _rows(request, log, population)
            bundle = request.bundle
            assignment = Assignment(
                files=tuple(bundle.files().items()),
                digest=bundle.digest,
                version=bundle.version,
                origins=origins,
                config=request.config,
                reasons="none" if request.top is not None else request.reasons,
                drift=drift,
            )
            _run(_data_frame(rows), assignment, bundle.kind, customers, folder)
    finally:
        population.release()
    if customers:
        _check_arrived(folder, customers)
    return customers


def _rows(
    request: Request, log: CustomerLog, population: ir.Table
) -> tuple[ir.Table, dict[str, Origin]]:
    """Express what the workers get: features, and margins where a value is configured."""
    bundle, value = request.bundle, request.config.value
    dates = (request.day.to_pydatetime(),)
    features, origins = join_features(log, population, bundle.aggregates, bundle.exclude, dates)
    columns = [*KEYS, *origins]
    if bundle.kind == "churn" and value is not None:
        numbered = population.mutate(_row=population.customer_id)  # one date: ids are unique
        money = margin_table(log, numbered, value)
        money = money.select(customer_id=money["_row"], **{MARGIN: money.margin})
        features = features.left_join(money, "customer_id").drop("customer_id_right")
        columns.append(MARGIN)
    return features.select(columns), origins


def _data_frame(rows: ir.Table) -> DataFrame:
    """Turn an expression into the data frame that Spark will compute."""
    with _view(rows) as view:
        frame: DataFrame = view.get_backend().raw_sql(f"SELECT * FROM `{view.get_name()}`")
        return frame


def _kept(rows: ir.Table) -> Any:
    """Keep what is used several times in the memory of the cluster, until it is released."""
    with _view(rows) as view:
        return view.cache()


@contextmanager
def _view(rows: ir.Table) -> Iterator[ir.Table]:
    """Name an expression for a while, the small tables inside it with it."""
    engine, name = rows.get_backend(), ibis.util.gen_name("cxpredict")
    view = engine.create_view(name, rows)
    try:
        yield view
    finally:
        engine.drop_view(name)


def _run(rows: DataFrame, assignment: Assignment, kind: str, customers: int, folder: Path) -> None:
    """Spread the rows over the cores of the cluster, and write what its workers give."""
    session = rows.sparkSession
    size = int(str(session.conf.get(_BATCH_ROWS)))
    cores = session.sparkContext.defaultParallelism
    tasks = max(-(-customers // size), min(cores, -(-customers // FEWEST_ROWS)))
    columns = ", ".join(f"`{f.name}` {_TYPES[f.type]}" for f in scored_schema(kind))
    shared = session.sparkContext.broadcast(assignment)
    try:
        spread = rows.repartition(tasks, "customer_id")
        spread.mapInArrow(scorer(shared), columns).write.parquet(_address(folder))
    finally:
        shared.destroy()


def _check_arrived(folder: Path, customers: int) -> None:
    found = sum(pq.read_metadata(file).num_rows for file in folder.glob("*.parquet"))
    if found != customers:
        raise PublishError(
            f"{customers:,} customers were scored, but {found:,} rows arrived: give an output "
            "folder (--out) on storage that the driver and all workers of Spark share"
        )


def _collect(folder: Path, file: Path, columns: list[str], where: str = "true") -> None:
    """Put what the workers wrote into one file, as one machine writes it."""
    engine = sorting_engine(file.parent)
    engine.execute(
        f"COPY (SELECT {', '.join(columns)} FROM {quoted_file(folder / '*.parquet')} "
        f"WHERE {where}) TO '{quoted(file)}' (FORMAT parquet)"
    )
    engine.close()


def _drift(request: Request, folder: Path) -> DriftCounts | None:
    """Add up what the workers counted."""
    baseline = baseline_of(request.bundle)
    if baseline is None:
        return None
    drift = DriftCounts(baseline)
    for file in folder.glob("*.parquet"):
        for told in pq.read_table(file, columns=[DRIFT])[DRIFT].drop_null().to_pylist():
            drift.merge(DriftCounts.from_state(baseline, json.loads(told)))
    return drift


def _address(path: Path) -> str:
    """Name a path for Spark, which takes no percent signs for what they stand for."""
    return f"file://{path.resolve()}"
