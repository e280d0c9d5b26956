"""From a log to scored rows on disk, chunk by chunk: no step holds all customers in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxpredict.config import Config
from cxpredict.data.log import CustomerLog
from cxpredict.features.build import table_with_origins, typed_frame
from cxpredict.features.origin import Origin
from cxpredict.features.panes.rollup import KEYS
from cxpredict.jobs.monitoring.baseline import baseline_of
from cxpredict.jobs.monitoring.drift import DriftCounts
from cxpredict.jobs.records import regroup
from cxpredict.jobs.scoring.money import offer_of, worth_of
from cxpredict.jobs.scoring.request import Request
from cxpredict.jobs.scoring.rows import reasons_of, score_rows
from cxpredict.jobs.scoring.table import PROBABILITY, REASONS, schema
from cxpredict.value.margins import margin_table

Progress = Callable[[str, int, int], None]
SCORED, EXPLAINED = "scored.parquet", "explained.parquet"
MARGIN = "(margin per period)"
SORT_MEMORY = "512MB"
EXPLANATION = pa.schema([("customer_id", pa.string()), *((name, pa.string()) for name in REASONS)])


@dataclass(frozen=True)
class Features:
    """Features of the customers to score, in a file.

    Attributes
    ----------
    path : Path
        Parquet: customer_id, as_of, features, and the margin where a value is configured.
    origins : dict of str to Origin
        Features by name.
    rows : int
        Customers.
    """

    path: Path
    origins: dict[str, Origin]
    rows: int


def write_population(request: Request, log: CustomerLog, path: Path) -> int:
    """Write who is scored, numbered in the order of their ids, and count them."""
    who = request.bundle.problem.to_score_table(log, request.day).order_by("customer_id")
    if request.limit is not None:
        who = who.limit(request.limit)
    who = who.mutate(_row=ibis.row_number().over(order_by="customer_id"))
    who.to_parquet(path)
    return int(pq.read_metadata(path).num_rows)


def write_features(request: Request, log: CustomerLog, who: Path, path: Path) -> Features:
    """Compute features and margins of a population on the engine of the log, into a file."""
    bundle, value = request.bundle, request.config.value
    population = log.connection.read_parquet(who)
    features, origins = table_with_origins(
        bundle.read_comments(log),
        population,
        aggregates=bundle.aggregates,
        exclude=bundle.exclude,
    )
    if bundle.kind == "churn" and value is not None:
        margins = margin_table(log, population, value)
        margins = population.join(margins, "_row").select(*KEYS, **{MARGIN: margins.margin})
        features = features.left_join(margins, KEYS).drop(*(f"{key}_right" for key in KEYS))
    features.to_parquet(path, ROW_GROUP_SIZE=20_480)
    log.connection.drop_view(population.op().name)
    return Features(path, origins, int(pq.read_metadata(path).num_rows))


def score_chunks(
    request: Request, features: Features, *, chunk_rows: int, progress: Progress
) -> DriftCounts | None:
    """Score a file of features without reasons, so many rows at a time.

    Returns
    -------
    DriftCounts or None
        Where the rows fall, if the bundle knows where those of training fell.
    """
    config, bundle = request.config, request.bundle
    columns, baseline = schema(bundle.kind), baseline_of(bundle)
    drift = None if baseline is None else DriftCounts(baseline)
    money, done = offer_terms(config), 0
    path = features.path.with_name(SCORED)
    with pq.ParquetWriter(path, columns) as writer, pq.ParquetFile(features.path) as file:
        for batch in file.iter_batches(batch_size=chunk_rows):
            X = feature_frame(pa.Table.from_batches([batch]), features.origins)
            if config.value is not None and MARGIN in batch.schema.names:
                margin = pd.Series(batch[MARGIN].to_numpy(zero_copy_only=False), index=X.index)
                money["worth"] = worth_of(margin, config.value)
            scores = score_rows(bundle, X, reasons=False, **money)
            writer.write_table(pa.Table.from_pandas(scores, schema=columns, preserve_index=False))
            if drift is not None:
                drift.add(X, risk_columns(scores, bundle.kind))
            done += len(X)
            progress("scoring", done, features.rows)
    return drift


def risk_columns(scores: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Give the columns of scores whose drift is watched."""
    risk = scores.rename(columns={PROBABILITY[kind]: "probability"})
    return risk[["probability", "risk_band"]]


def offer_terms(config: Config) -> dict[str, Any]:
    """Give what `score_rows` is told of the offer."""
    if config.offer is None:
        return {}
    return {
        "offer": offer_of(config.offer),
        "holdout_share": config.offer.holdout_share,
        "salt": config.name,
    }


def explain_chunks(
    request: Request, features: Features, *, chunk_rows: int, progress: Progress
) -> None:
    """Explain the customers who were asked for, in a second pass over their features only."""
    scored = features.path.with_name(SCORED)
    engine = sorting_engine(scored.parent)
    explained = scored.with_name(EXPLAINED)
    with closing(engine), pq.ParquetWriter(explained, EXPLANATION) as writer:
        engine.execute(f"CREATE TABLE chosen AS {chosen_query(request, scored)}")
        total, done = engine.execute("SELECT count(*) FROM chosen").fetchall()[0][0], 0
        rows = engine.execute(
            f"SELECT f.* FROM {quoted_file(features.path)} f SEMI JOIN chosen USING (customer_id)"
        )
        for batch in rows.to_arrow_reader(chunk_rows):
            X = feature_frame(pa.Table.from_batches([batch]), features.origins)
            reasons = reasons_of(request.bundle, X)
            reasons.insert(0, "customer_id", X.index.get_level_values("customer_id"))
            writer.write_table(
                pa.Table.from_pandas(reasons, schema=EXPLANATION, preserve_index=False)
            )
            done += len(X)
            progress("giving reasons", done, total)


def chosen_query(request: Request, scored: Path) -> str:
    """Ask which customers are explained."""
    query = f"SELECT customer_id FROM {quoted_file(scored)}"
    if request.top is not None:
        probability = PROBABILITY[request.bundle.kind]
        return f"{query} ORDER BY {probability} DESC, customer_id LIMIT {request.top}"
    where = {"flagged": "risk_band = 'high'", "all": "true", "none": "false"}
    return f"{query} WHERE {where[request.reasons]}"


def in_order(kind: str, work: Path, group_rows: int) -> Iterator[pa.Table]:
    """Give scored rows with their reasons, highest risk first, so many at a time.

    Parameters
    ----------
    kind : str
        ``churn`` or ``satisfaction``.
    work : Path
        Folder in which `score_chunks` and `explain_chunks` wrote.
    group_rows : int
        Rows of each table but the last.

    Yields
    ------
    Table
        Columns as in `schema`, sorted by descending probability, then customer.
    """
    columns = schema(kind)
    told = ", ".join(f"r.{c}" if c in REASONS else f"s.{c}" for c in columns.names)
    with closing(sorting_engine(work)) as engine:
        rows = engine.execute(
            f"SELECT {told} FROM {quoted_file(work / SCORED)} s "
            f"LEFT JOIN {quoted_file(work / EXPLAINED)} r USING (customer_id) "
            f"ORDER BY s.{PROBABILITY[kind]} DESC, s.customer_id"
        ).to_arrow_reader(group_rows)
        yield from regroup((pa.Table.from_batches([b]).cast(columns) for b in rows), group_rows)


def count_bands(work: Path) -> dict[str, int]:
    """Count the scored customers of each risk band."""
    query = (
        f"SELECT risk_band, count(*) FROM {quoted_file(work / SCORED)} GROUP BY ALL ORDER BY ALL"
    )
    with closing(sorting_engine(work)) as engine:
        return dict(engine.execute(query).fetchall())


def sorting_engine(folder: Path) -> duckdb.DuckDBPyConnection:
    """Start an engine of its own that spills into a folder what does not fit its memory."""
    settings: dict[str, Any] = {
        "memory_limit": SORT_MEMORY,
        "temp_directory": str(folder / "spill"),
    }
    engine = duckdb.connect(config=settings)
    engine.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    return engine


def quoted_file(path: Path) -> str:
    """Name a Parquet file, or files by a pattern, in a query."""
    return f"read_parquet('{quoted(path)}')"


def quoted(path: Path) -> str:
    """Double the quotes in a path."""
    return str(path).replace("'", "''")


def feature_frame(rows: pa.Table, origins: dict[str, Origin]) -> pd.DataFrame:
    """Give rows of a file of features as `build_features` does."""
    index = pd.MultiIndex.from_arrays(
        [
            rows["customer_id"].to_pandas().astype("str"),
            rows["as_of"].to_pandas().astype("datetime64[us]"),
        ],
        names=KEYS,
    )
    return typed_frame(rows, origins, index)
