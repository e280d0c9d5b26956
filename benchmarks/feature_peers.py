"""The events of ``benchmarks/features.py``, and its 21 features by cxpredict and its peers.

As-of dates are exclusive: a row counts where ``occurred_at < as_of`` and ``known_at < as_of``, in a
window of w days where ``occurred_at >= as_of - w days``. Of equal times the highest value is last.
Every contender writes `customer_id`, `as_of` and the features `NAMES`; counts and sums of nothing
are 0.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

START, DAYS = "2023-01-01", 730
DATES = ["2024-01-01", "2024-03-01", "2024-05-01", "2024-07-01", "2024-09-01", "2024-11-01"]
WINDOWS = (30, 90, 180)
MEMORY_GB = 4
DAY = 86_400_000_000
KEYS = ["customer_id", "as_of"]
ZERO = ("count", "complaints", "sum", "channels")
NAMES = [
    *(f"{what}_{w}" for what in (*ZERO, "mean") for w in WINDOWS),
    *("max_90", "days_since", "days_since_complaint", "last_value", "app_share_90", "count_ever"),
]  # fmt: skip


def connect(spill: Path) -> Any:
    """Start DuckDB with the settings of every contender that runs on it."""
    import duckdb

    connection = duckdb.connect()
    for setting in settings(spill):
        connection.execute(setting)
    return connection


def settings(spill: Path) -> list[str]:
    """Give two threads, a limit of memory, and no duty to keep the order of rows."""
    return [
        "SET threads = 2",
        f"SET memory_limit = '{MEMORY_GB}GB'",
        f"SET temp_directory = '{spill / 'spill'}'",
        "SET preserve_insertion_order = false",
        "SET enable_progress_bar = false",
    ]


@dataclass(frozen=True)
class Data:
    """The files of one size: events, all customers at `DATES`, each customer at another date."""

    events: Path
    shared: Path
    own: Path


def files_of(folder: Path, events: int, customers: int) -> Data:
    """Name the files of one size."""
    names = ("events", "shared", "own")
    return Data(*(folder / f"{name}_{events}_{customers}.parquet" for name in names))


def write_data(folder: Path, events: int, customers: int) -> Data:
    """Write events, by hashes of their number, and whom features are computed for."""
    data = files_of(folder, events, customers)
    connection = connect(folder)
    connection.execute("SET preserve_insertion_order = true")
    connection.execute(f"COPY ({event_rows(events, customers)}) TO '{data.events}'")
    who = f"(SELECT DISTINCT customer_id FROM '{data.events}')"
    shared = f"SELECT customer_id, unnest({DATES}::TIMESTAMP[]) AS as_of FROM {who}"
    spread = f"to_microseconds((hash(customer_id) % {300 * DAY})::BIGINT)"
    own = f"SELECT customer_id, TIMESTAMP '{DATES[0]}' + {spread} AS as_of FROM {who}"
    connection.execute(f"COPY ({shared}) TO '{data.shared}'")
    connection.execute(f"COPY ({own}) TO '{data.own}'")
    return data


def event_rows(events: int, customers: int) -> str:
    """Select events in the order of `known_at`, as a log grows; 10 % known up to 10 days late."""
    hashes = ", ".join(f"hash(range * {a} + {b}) AS {n}" for n, a, b in (
        ("who", 7, 1), ("moment", 11, 3), ("sort", 13, 5), ("way", 17, 9), ("size", 23, 2)
    ))  # fmt: skip
    kinds = ["complaint", "purchase", "visit", "call", "usage", "failure"]
    channels = ["web", "app", "phone", "store", "email"]
    return f"""
        WITH drawn AS (SELECT {hashes} FROM range({events})), dated AS (
            SELECT 'C' || lpad((who % {customers})::VARCHAR, 7, '0') AS customer_id,
                TIMESTAMP '{START}' + to_microseconds((moment % {DAYS * DAY})::BIGINT)
                    AS occurred_at,
                to_microseconds(if(sort % 10 = 0, (size % {10 * DAY})::BIGINT, 0)) AS late,
                ({kinds})[1 + (sort // 10 % 6)::INT] AS kind,
                ({channels})[1 + (way % 5)::INT] AS channel,
                round((size % 1000000) / 100.0, 2)::DOUBLE AS value
            FROM drawn)
        SELECT customer_id, occurred_at, occurred_at + late AS known_at, kind, channel, value
        FROM dated ORDER BY known_at"""


def aggregates() -> list[Any]:
    """Declare the 21 features."""
    from cxpredict import Origin

    def of(name, measure, column="", filters=(), days=None):
        return Origin("interactions", measure, column, filters, days, alias=name)

    complaint, app = (("kind", "complaint"),), (("channel", "app"),)
    windowed = [
        feature
        for w in WINDOWS
        for feature in (
            of(f"count_{w}", "count", days=w),
            of(f"complaints_{w}", "count", filters=complaint, days=w),
            of(f"sum_{w}", "sum", "value", days=w),
            of(f"mean_{w}", "mean", "value", days=w),
            of(f"channels_{w}", "distinct", "channel", days=w),
        )
    ]
    return [
        *windowed,
        of("max_90", "max", "value", days=90),
        of("days_since", "days_since"),
        of("days_since_complaint", "days_since", filters=complaint),
        of("last_value", "last", "value"),
        of("app_share_90", "share", filters=app, days=90),
        of("count_ever", "count"),
    ]


def open_log(events: Path, spill: Path) -> Any:
    import ibis

    from cxpredict import CustomerLog

    connection = ibis.duckdb.connect(threads=2)
    for setting in settings(spill):
        connection.raw_sql(setting)
    return CustomerLog.from_tables(interactions=connection.read_parquet(events))


def cxpredict_table(events: Path, population: Path, out: Path) -> None:
    """Take a lazy table of features to Parquet, as the README says."""
    from cxpredict import feature_table

    log = open_log(events, out.parent)
    who = log.connection.read_parquet(population)
    feature_table(log, who, aggregates=aggregates()).to_parquet(out)


def duckdb_join(events: Path, population: Path, out: Path) -> None:
    """One range join of population and events, one group-by, filters and count(distinct)."""
    query = range_join(events, population)
    connect(out.parent).execute(f"COPY ({query}) TO '{out}'")


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
        "max({'at': e.occurred_at, 'value': e.value}).value AS last_value",
        f"avg((e.channel = 'app')::INT) FILTER ({inside[90]}) AS app_share_90",
        "count(e.customer_id) AS count_ever",
    ]
    return f"""
        SELECT p.customer_id, p.as_of, {", ".join(columns)}
        FROM '{population}' p LEFT JOIN '{events}' e ON e.customer_id = p.customer_id
            AND e.occurred_at < p.as_of AND e.known_at < p.as_of
        GROUP BY p.customer_id, p.as_of"""


def floor(events: Path, until: str, out: Path) -> None:
    """One scan and one group-by: the same measures once per customer, over all time."""
    connect(out.parent).execute(
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


def pandas_loop(events: Path, population: Path, out: Path) -> None:
    """Read once, sort once, then date by date: a filter and group-bys of each window."""
    import pandas as pd

    rows = pd.read_parquet(events).sort_values(["occurred_at", "value"])
    rows = rows.astype({"customer_id": "category", "channel": "category"})
    rows["complaint"], rows["app"] = rows["kind"] == "complaint", rows["channel"] == "app"
    parts = []
    for date, who in pd.read_parquet(population).groupby("as_of"):
        seen = rows[(rows["occurred_at"] < date) & (rows["known_at"] < date)]
        parts.append(who.join(_pandas_date(seen, date), on="customer_id"))
    features = pd.concat(parts, ignore_index=True)
    zeros = [n for n in NAMES if n.startswith(ZERO)]
    features.fillna(dict.fromkeys(zeros, 0.0)).to_parquet(out)


def _pandas_date(seen: Any, date: Any) -> Any:
    import pandas as pd

    everything = seen.groupby("customer_id", observed=True)
    complaints = seen[seen["complaint"]].groupby("customer_id", observed=True)
    found = {
        "count_ever": everything.size(),
        "last_value": everything["value"].last(),
        "days_since": (date - everything["occurred_at"].last()) / pd.Timedelta(days=1),
        "days_since_complaint": (date - complaints["occurred_at"].last()) / pd.Timedelta(days=1),
    }
    for w in WINDOWS:
        inside = seen[seen["occurred_at"] >= date - pd.Timedelta(days=w)]
        groups = inside.groupby("customer_id", observed=True)
        value = groups["value"]
        found |= {
            f"count_{w}": groups.size(),
            f"complaints_{w}": groups["complaint"].sum(),
            f"sum_{w}": value.sum(),
            f"mean_{w}": value.mean(),
            f"channels_{w}": groups["channel"].nunique(),
        }
        if w == 90:
            found |= {"max_90": value.max(), "app_share_90": groups["app"].mean()}
    return pd.DataFrame(found)


def largest_difference(folder: str, *contenders: str) -> float:
    """Hold every cell against the first contender's: absolute below 1, relative above."""
    first, *others = (_features_of(Path(folder), name) for name in contenders)
    differences = []
    for other in others:
        off = (first - other).abs() / first.abs().clip(lower=1)
        # a value or a row that only one of both has is as wrong as can be
        off = off.mask(first.isna() & other.isna(), 0).fillna(float("inf"))
        differences.append(off.max().max() if first.index.equals(other.index) else float("inf"))
    return float(max(differences))


def _features_of(folder: Path, name: str) -> Any:
    import pandas as pd

    frame = pd.read_parquet(folder / f"features_{name}.parquet")
    return frame.set_index(KEYS).sort_index()[NAMES].astype("float64")
