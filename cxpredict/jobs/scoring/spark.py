"""The batch job on a Spark cluster: the same expressions, the same rows, the same files.

Spark computes population, features and money, and its workers score (`partitions`); the embedded
engine checks the sources before and sorts the scores after.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from cxpredict.config import Config
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, PublishError
from cxpredict.features.build import join_features
from cxpredict.features.panes.rollup import KEYS
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.scoring.partitions import MARGIN, Assignment, scorer
from cxpredict.jobs.scoring.spark_errors import translating
from cxpredict.jobs.scoring.table import schema
from cxpredict.value.margins import margin_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROWS_PER_TASK = 20_000
"""Customers that a worker holds in memory at once."""

FEWEST_ROWS = 2_000
"""Below it a further task costs more than it saves."""

_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",  # without, missing text becomes "NaN"
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(ROWS_PER_TASK),
}
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
        engine = SparkSession.builder.appName("cxpredict").getOrCreate()
    if not isinstance(engine, SparkSession):
        raise ConfigError(
            f"engine: expected 'spark' or a SparkSession, found {type(engine).__name__}"
        )
    session = engine.newSession()
    for key, value in _SETTINGS.items():
        session.conf.set(key, value)
    return session


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
    tables = {name: engine.read_parquet((folder / f"{name}.parquet").as_uri()) for name in log.table}
    moved = CustomerLog.from_tables(**tables, observed_until=log.observed_until)
    return replace(moved, tagged_until=log.tagged_until)


def score_on_spark(
    bundle: Bundle, log: CustomerLog, day: pd.Timestamp, config: Config, folder: Path
) -> int:
    """Score the active customers of a log on Spark into files of unsorted rows.

    Parameters
    ----------
    bundle : Bundle
        The model.
    log : CustomerLog
        On Spark, its comments tagged.
    day : Timestamp
        UTC, exclusive.
    config : Config
        Its `value` and `offer` give the money columns.
    folder : Path
        Receives Parquet files; on storage that driver and workers share.

    Returns
    -------
    int
        Customers to score; 0 writes nothing.

    Raises
    ------
    ModelError
        A worker lacks cxpredict, has another version of it, or failed.
    PublishError
        The files do not hold as many rows as there are customers: the folder is not shared.
    """
    with translating():
        population = _kept(bundle.problem.to_score_table(log, day))
        try:
            customers = int(population.count().execute())
            if customers:
                rows, assignment = _rows(bundle, log, population, day, config)
                _score(_data_frame(rows), assignment, bundle.kind, customers, folder)
        finally:
            population.release()
    if customers:
        _check_arrived(folder, customers)
    return customers


def _rows(
    bundle: Bundle, log: CustomerLog, population: ir.Table, day: pd.Timestamp, config: Config
) -> tuple[ir.Table, Assignment]:
    """Express what the workers get, and say what they are to do with it."""
    dates = (day.to_pydatetime(),)
    features, origins = join_features(log, population, bundle.aggregates, bundle.exclude, dates)
    value = config.value if bundle.kind == "churn" else None
    if value is not None:
        numbered = population.mutate(_row=population.customer_id)  # one date: ids are unique
        money = margin_table(log, numbered, value)
        money = money.select(customer_id=money["_row"], **{MARGIN: money.margin})
        features = features.left_join(money, "customer_id").drop("customer_id_right")
    assignment = Assignment(
        files=tuple(bundle.files().items()),
        version=bundle.version,
        origins=origins,
        value=value,
        offer=config.offer,
        campaign=config.name,
    )
    columns = [*KEYS, *origins, *([MARGIN] if value is not None else [])]
    return features.select(columns), assignment


def _data_frame(rows: ir.Table) -> DataFrame:
    """Turn an expression into the data frame that Spark will compute."""
    with _view(rows) as view:
        return view.get_backend().raw_sql(f"SELECT * FROM `{view.get_name()}`")


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


def _score(
    rows: DataFrame, assignment: Assignment, kind: str, customers: int, folder: Path
) -> None:
    session = rows.sparkSession
    shared = session.sparkContext.broadcast(assignment)
    cores = session.sparkContext.defaultParallelism
    tasks = max(-(-customers // ROWS_PER_TASK), min(cores, -(-customers // FEWEST_ROWS)))
    columns = ", ".join(f"{field.name} {_TYPES[field.type]}" for field in schema(kind))
    try:
        scores = rows.repartition(tasks, "customer_id").mapInArrow(scorer(shared), columns)
        scores.write.parquet(folder.as_uri())
    finally:
        shared.destroy()


def _check_arrived(folder: Path, customers: int) -> None:
    files = list(folder.glob("*.parquet"))
    found = sum(pa.parquet.read_metadata(file).num_rows for file in files)
    if found != customers:
        raise PublishError(
            f"{customers:,} customers were scored, but {found:,} rows arrived: give an output "
            "folder (--out) on storage that the driver and all workers of Spark share"
        )
