"""One machine and Spark: the same rows, how long, how much memory (`scoring.py --only spark`).

A company of 20,000 customers is simulated once; larger ones repeat it under other ids. Every
measurement is a process of its own, from the files to the published folder, with reasons for
flagged customers. Spark is local, on two cores: what one machine pays for it, not what a cluster
gains.
Memory is the largest sum over the process and its children (JVM and Python workers), sampled.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from parts import slow_tests

SIZES = (20_000, 100_000, 500_000)
DAY = "2025-10-01"
BANDS = {"medium": 0.05, "high": 0.12}
TABLES = ("customers", "interactions", "feedback", "transactions")


def write_company(folder, n_customers, copies):
    """Write the records of a company and the configuration of its run."""
    import duckdb

    from cxpredict.data.contracts import TABLES as CONTRACT
    from cxpredict.data.simulated.frames import simulate_frames

    sources = {}
    frames, _ = simulate_frames(n_customers, seed=5)
    for name in TABLES:
        frame, times = frames[name], duckdb.connect()
        times.register("frame", frame)
        times.execute(
            "COPY (SELECT * REPLACE (customer_id || '.' || range AS customer_id) FROM frame, "
            f"range({copies})) TO '{folder / name}.parquet'"
        )
        known = {field.name for field in CONTRACT[name]} - {"event_id"}
        columns = {c: c for c in frame.columns if c in known}
        sources[name] = {"path": f"{name}.parquet", "table": name, "timezone": "UTC"}
        sources[name] |= {"columns": columns}
    sources["customers"]["attributes"] = ["plan_price", "region", "acquisition"]
    value = {"currency": "EUR", "lookback_days": 90, "period_days": 30, "horizon_days": 360}
    config = {
        "name": "spark-bench",
        "observed_until": pd.Timestamp("2026-01-01").date(),
        "sources": sources,
        "problems": {"churn": {"cancelled": "cancellation", "horizon_days": 60}},
        "split": {"test_at": pd.Timestamp("2025-09-30").date(), "every_days": 60},
        "bands": {"churn": BANDS},
        "value": value | {"yearly_discount_rate": 0.1},
        "offer": {"contact_cost": 1.0, "incentive": 5.0, "acceptance": 0.3, "holdout_share": 0.1},
        "random_state": 7,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))


def write_model(folder):
    """Fit and save a bundle; give its digest and number of features."""
    import cxpredict as cx
    from cxpredict.config import Bands
    from cxpredict.drivers.reasons import ReasonBasis
    from cxpredict.jobs.bundle import Bundle

    log = cx.simulate_company(3_000, seed=6).log
    problem = cx.ChurnProblem(cancelled="cancellation", horizon_days=60)
    train, _ = problem.split(log, test_at="2025-09-30", every_days=60)
    aggregates = cx.default_aggregates(log, until=train.levels[1].max(), windows_days=(60,))
    X = cx.build_features(log, train, aggregates=aggregates)
    model = cx.ChurnModel(effort="fast", random_state=7).fit(X, problem.labels(log, train))
    bundle = Bundle("spark-bench", problem, model, tuple(aggregates), (), Bands(**BANDS), {})
    bundle = replace(
        bundle, basis=ReasonBasis.learn(X), baseline=cx.learn_baseline(X, bundle.risk(X))
    )
    return bundle.save(folder), X.shape[1]


def measure(engine, folder, model, digest, out):
    """Score in this process."""
    import cxpredict as cx

    session = None
    if engine == "spark":
        os.environ["PYSPARK_PYTHON"] = sys.executable
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        session = builder.config("spark.driver.memory", "6g").getOrCreate()
    config = Path(folder) / "run.yaml"
    started = time.perf_counter()
    done = cx.score(config, model=model, digest=digest, as_of=DAY, out=out, engine=session)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "rows": done.manifest["rows"]["scored"]}))


def in_process(*arguments):
    """Measure in a process of its own, and watch its memory."""
    command = [sys.executable, __file__, *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        peak = 0.0
        while run.poll() is None:
            peak = max(peak, tree_gb(run.pid))
            time.sleep(0.5)
        if run.returncode:
            raise SystemExit(f"measurement failed: {arguments[0]}")
        return json.loads(run.stdout.read().splitlines()[-1]) | {"peak_gb": peak}


def tree_gb(root):
    """Add up the memory of a process and all below it, shared pages by share."""
    parents, total = {}, 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    for process in parents:
        above = process
        while above not in (root, 0, 1):
            above = parents.get(above, 0)
        if above == root:
            try:
                rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
            except OSError:
                continue
            total += int(rollup.split("Pss:")[1].split()[0])
    return total / 1e6


def largest_difference(here, far):
    """Give the largest difference of a number; texts that differ count as infinite."""
    files = [next(Path(out).glob("as_of=*/scores.parquet")) for out in (here, far)]
    expected, found = map(pd.read_parquet, files)
    expected, found = (t.sort_values("customer_id", ignore_index=True) for t in (expected, found))
    text = [c for c in expected if expected[c].dtype != "float64"]
    if len(found) != len(expected) or not found[text].equals(expected[text]):
        return math.inf
    numbers = expected.columns.difference(text)
    a, b = found[numbers].to_numpy(), expected[numbers].to_numpy()
    apart = np.where(np.isnan(a) & np.isnan(b), 0.0, np.abs(a - b))
    return math.inf if np.isnan(apart).any() else float(apart.max())


def bars(scale):
    """Yield the bar of equality, after a table of sizes."""
    sizes = [max(500, round(size * scale)) for size in SIZES]
    rows, apart = [], 0.0
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        digest, features = write_model(place / "model")
        for size in sizes:
            folder = place / str(size)
            folder.mkdir()
            write_company(folder, sizes[0], round(size / sizes[0]))
            for engine in ("embedded", "spark"):
                out = folder / engine
                found = in_process(engine, folder, place / "model", digest, out)
                rows.append({"customers": size, "engine": engine, **found})
                print(rows[-1], flush=True)
            apart = max(apart, largest_difference(folder / "embedded", folder / "spark"))
    table = pd.DataFrame(rows)
    print(f"{features} features, reasons for flagged customers, two cores")
    print(table.to_string(index=False))
    for engine, part in table.groupby("engine"):
        logs = np.log(part[["rows", "seconds"]].to_numpy())
        slopes = np.diff(logs[:, 1]) / np.diff(logs[:, 0])
        print(f"{engine}: seconds grow as rows to the power of {np.round(slopes, 2).tolist()}")
    name = "largest difference between Spark and one machine (texts exactly)"
    yield {"name": name, "value": apart, "bound": 1e-9, "holds": apart <= 1e-9}
    yield slow_tests("Spark", "tests/features/test_spark.py", "tests/jobs/scoring/test_on_spark.py")


if __name__ == "__main__":
    measure(*sys.argv[1:])
