"""The 21 features of ``benchmarks/features.py`` as other tools compute them, Parquet to Parquet.

As-of dates are exclusive: a row counts where ``occurred_at < as_of`` and ``known_at < as_of``, in a
window of w days where ``occurred_at >= as_of - w days``. Of equal times the highest value is last.
Every peer writes `customer_id`, `as_of` and the names of `NAMES`; counts and sums of nothing are 0.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

WINDOWS = (30, 90, 180)
DAY = 86_400_000_000
KEYS = ["customer_id", "as_of"]
ZERO = ("count", "complaints", "sum", "channels")
NAMES = [
    *(f"{what}_{w}" for what in (*ZERO, "mean") for w in WINDOWS),
    *("max_90", "days_since", "days_since_complaint", "last_value", "app_share_90", "count_ever"),
]  # fmt: skip


def connect(memory_gb: int | None = None, spill: Path | None = None) -> Any:
    """Start DuckDB with two threads; under a limit the order of rows need not be kept."""
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    for setting in settings(memory_gb, spill):
        connection.execute(setting)
    return connection


def settings(memory_gb: int | None, spill: Path | None) -> Iterator[str]:
    yield "SET enable_progress_bar = false"
    if memory_gb is not None:
        yield f"SET memory_limit = '{memory_gb}GB'"
        yield f"SET temp_directory = '{spill}'"
        yield "SET preserve_insertion_order = false"


def duckdb_join(events: Path, population: Path, out: Path) -> None:
    """One range join of population and events, one group-by, filters and count(distinct)."""
    connect().execute(f"COPY ({range_join(events, population)}) TO '{out}'")


def range_join(events: Path, population: Path) -> str:
    """Write the plain query: left join, so that customers without rows are kept."""
    inside = {w: f"e.occurred_at >= p.as_of - INTERVAL {w} DAY" for w in WINDOWS}
    columns = []
    for w, within in inside.items():
        columns += [
            f"count(e.customer_id) FILTER ({within}) AS count_{w}",
            f"count(*) FILTER (e.kind = 'complaint' AND {within}) AS complaints_{w}",
            f"coalesce(sum(e.value) FILTER ({within}), 0) AS sum_{w}",
            f"avg(e.value) FILTER ({within}) AS mean_{w}",
            f"count(DISTINCT e.channel) FILTER ({within}) AS channels_{w}",
        ]
    since = f"epoch_us(p.as_of) - epoch_us(max(e.occurred_at){{}})) / {DAY}"
    columns += [
        f"max(e.value) FILTER ({inside[90]}) AS max_90",
        f"({since.format('')} AS days_since",
        "(" + since.format(" FILTER (e.kind = 'complaint')") + " AS days_since_complaint",
        "arg_max(e.value, (e.occurred_at, e.value)) AS last_value",
        f"avg((e.channel = 'app')::INT) FILTER ({inside[90]}) AS app_share_90",
        "count(e.customer_id) AS count_ever",
    ]
    return f"""
        SELECT p.customer_id, p.as_of, {", ".join(columns)}
        FROM '{population}' p LEFT JOIN '{events}' e ON e.customer_id = p.customer_id
            AND e.occurred_at < p.as_of AND e.known_at < p.as_of
        GROUP BY p.customer_id, p.as_of"""


def floor(events: Path, until: str, out: Path, memory_gb: int, spill: Path) -> None:
    """One scan and one group-by: the same measures once per customer, over all time."""
    connect(memory_gb, spill).execute(
        f"""COPY (
            SELECT customer_id, count(*) AS n, count(*) FILTER (kind = 'complaint') AS complaints,
                sum(value) AS sum, avg(value) AS mean, max(value) AS max,
                max(occurred_at) AS latest,
                max(occurred_at) FILTER (kind = 'complaint') AS latest_complaint,
                arg_max(value, occurred_at) AS last_value,
                avg((channel = 'app')::INT) AS app_share, count(DISTINCT channel) AS channels
            FROM '{events}' WHERE known_at < TIMESTAMP '{until}' GROUP BY customer_id
        ) TO '{out}'"""
    )


def polars_join(events: Path, population: Path, out: Path) -> None:
    """Lazy and streaming: a join, a filter and a group-by with filtered aggregates."""
    import polars as pl

    rows, who = pl.scan_parquet(events), pl.scan_parquet(population)
    at, date, value, channel = (pl.col(c) for c in ("occurred_at", "as_of", "value", "channel"))
    complaint = pl.col("kind") == "complaint"
    inside = {w: at >= date - pl.duration(days=w) for w in WINDOWS}
    found: dict[str, Any] = {}
    for w, within in inside.items():
        found |= {
            f"count_{w}": within.sum(),
            f"complaints_{w}": (within & complaint).sum(),
            f"sum_{w}": value.filter(within).sum(),
            f"mean_{w}": value.filter(within).mean(),
            f"channels_{w}": channel.filter(within).n_unique(),
        }
    found |= {
        "max_90": value.filter(inside[90]).max(),
        "days_since": at.max(),
        "days_since_complaint": at.filter(complaint).max(),
        "last_value": value.filter(at == at.max()).max(),
        "app_share_90": (channel == "app").filter(inside[90]).mean(),
        "count_ever": pl.len(),
    }
    seen = who.join(rows, on="customer_id").filter((at < date) & (pl.col("known_at") < date))
    features = who.join(seen.group_by(KEYS).agg(**found), on=KEYS, how="left")
    days = [
        ((date - pl.col(name)).dt.total_microseconds() / DAY).alias(name)
        for name in ("days_since", "days_since_complaint")
    ]
    zeros = pl.col([n for n in NAMES if n.startswith(ZERO)]).fill_null(0)
    features.with_columns(zeros, *days).sink_parquet(out, engine="streaming")
