"""The bars of point-in-time features: ``python benchmarks/features.py [--json] [--quick]``.

Writes event data of its own, then measures from Parquet to Parquet: the same 21 features by
cxpredict, by a plain DuckDB range join with ``count(DISTINCT)``, and by polars, pandas and
Featuretools. Every measurement is a process of its own with two threads; contenders take turns and
the best time of three is kept (of seven for the short ones). Starting Python and loading libraries
is not timed.

- **shared**: all customers at six dates, every month or two of the second year.
- **own**: every customer at a different date.
- **floor**: one scan of the same file and one group-by with the same measures, once per customer
  over all time and without windows (`feature_peers.floor`): less cannot be done.
- **night**: a feature store that lacks the last 1 % of the events takes them in and gives tonight's
  features, against `build_features` of tonight from scratch; both end in a DataFrame.

Featuretools needs an older pandas: ``--featuretools PYTHON`` names an interpreter that has it.
Its times are measured on samples and extrapolated, as the output says.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import feature_peers as peers
import pandas as pd
import pyarrow as pa

TONIGHT = "2024-12-31"
HERE = Path(__file__).resolve().parent
PEERS_PYTHON = HERE.parent / ".venv-peers" / "bin" / "python"


@dataclass(frozen=True)
class Sizes:
    """Events and customers of a run."""

    events: int = 2_000_000
    large: int = 20_000_000
    customers: int = 20_000
    many: int = 200_000
    rounds: int = 3
    short_rounds: int = 7
    peer_seconds: float = 60.0
    featuretools: str | None = None


QUICK = Sizes(200_000, 400_000, 2_000, 4_000, rounds=1, short_rounds=1, peer_seconds=3.0)


def floor(events, population, out):
    """Take the arguments of every contender; customers and dates play no part."""
    peers.floor(events, peers.DATES[-1], out)


CONTENDERS = {
    "cxpredict": peers.cxpredict_table,
    "duckdb": peers.duckdb_join,
    "polars": peers.polars_join,
    "pandas": peers.pandas_loop,
    "floor": floor,
}


def measure(contender, events, population, out):
    """Run one contender in this process, after a small run that loads what is loaded lazily."""
    pa.set_cpu_count(2)
    run = CONTENDERS[contender]
    with tempfile.TemporaryDirectory() as folder:
        warm = peers.write_data(Path(folder), 1_000, 100)
        run(warm.events, warm.shared, Path(folder) / "features.parquet")
    seconds, _ = timed(run, Path(events), Path(population), Path(out))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"seconds": seconds, "peak_gb": peak}


def night(events, folder, rounds):
    """Refresh a store that lacks the last 1 % and build tonight, against building from scratch."""
    from cxpredict import FeatureStore, build_features

    folder, tonight = Path(folder), datetime.fromisoformat(TONIGHT)
    log, features = peers.open_log(events, folder), peers.aggregates()
    known = log.interactions.filter(log.interactions.known_at < tonight)
    yesterday = known.known_at.quantile(0.99).execute()
    customers = known.customer_id.name("id").as_table().distinct().order_by("id").execute()
    index = pd.MultiIndex.from_product(
        [customers["id"], [pd.Timestamp(tonight)]], names=["customer_id", "as_of"]
    )
    FeatureStore.create(
        folder / "kept", dates=[*peers.DATES, TONIGHT], aggregates=features
    ).refresh(log, until=yesterday)
    nights, fulls = [], []
    for number in range(int(rounds)):
        store = FeatureStore(shutil.copy(folder / "kept", folder / f"store_{number}"))
        refresh, _ = timed(store.refresh, log, until=TONIGHT)
        build, kept = timed(store.build, log, index)
        full, scratch = timed(build_features, log, index, aggregates=features)
        pd.testing.assert_frame_equal(kept, scratch)
        nights.append({"seconds": refresh + build, "refresh": refresh, "build": build})
        fulls.append(full)
    return min(nights, key=lambda night: night["seconds"]) | {"full": min(fulls)}


def timed(work, *arguments, **settings):
    started = time.perf_counter()
    result = work(*arguments, **settings)
    return time.perf_counter() - started, result


BEST = {"seconds": min, "peak_gb": max}
MEASURES = {
    "write": lambda folder, *size: peers.write_data(Path(folder), *map(int, size)),
    "run": measure,
    "night": night,
    "difference": peers.largest_difference,
}


def in_process(name, *arguments):
    """Measure in a process of its own; it counts this one's memory too, which holds no data."""
    threads = dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS"), "2")
    command = [sys.executable, __file__, "--measure", name, *map(str, arguments)]
    return answer_of(command, os.environ | threads)


def write(folder, *size):
    """Write data in a process of its own too: sorting takes memory."""
    in_process("write", folder, *size)
    return peers.files_of(folder, *size)


def answer_of(command, environment):
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def take_turns(tasks, rounds):
    """Run (contender, events, population) by name, in turns; keep the best time, the peak."""
    runs = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, (contender, events, population) in tasks.items():
            out = events.with_name(f"features_{name}.parquet")
            runs[name].append(in_process("run", contender, events, population, out))
    return {
        name: {key: best(run[key] for run in found) for key, best in BEST.items()}
        for name, found in runs.items()
    }


def small_bars(data, sizes, rows):
    """Measure shared dates, and dates of their own, at the smaller size."""
    contenders = ["cxpredict", "duckdb", "polars", "pandas"]
    shared = take_turns({n: (n, data.events, data.shared) for n in contenders}, sizes.short_rounds)
    apart = in_process("difference", data.events.parent, *contenders)
    own = take_turns({n: (n, data.events, data.own) for n in contenders[:3]}, sizes.short_rounds)
    rows += lines("shared", sizes.events, sizes.customers, shared)
    rows += lines("own", sizes.events, sizes.customers, own)
    ours, theirs = shared["cxpredict"]["seconds"], shared["duckdb"]["seconds"]
    yield least("range join with count(distinct): times cxpredict", theirs / ours, 3)
    yield from featuretools_bars(data, sizes, rows, ours, own["cxpredict"]["seconds"])
    yield most("largest difference of values", apart, 1e-9)


def featuretools_bars(data, sizes, rows, shared, own):
    if sizes.featuretools is None:
        print("no interpreter with Featuretools (--featuretools): its two bars are left out")
        return
    script = [sizes.featuretools, HERE / "featuretools_peer.py", "--seconds", sizes.peer_seconds]
    found = answer_of(map(str, [*script, data.events, data.shared, data.own]), os.environ)
    (n, a), (m, b) = ((s["customers"], s["seconds"]) for s in found["shared"])
    whole = b + (b - a) / (m - n) * (sizes.customers - m)
    sample = found["own"]
    each = sample["seconds"] / sample["customers"] * sizes.customers
    print(
        f"Featuretools {found['version']}, EXTRAPOLATED to {sizes.customers:,} customers: shared "
        f"from {a:.2f} s for {n:,} and {b:.2f} s for {m:,} customers; own from "
        f"{sample['seconds']:.1f} s for {sample['customers']:,} dates"
    )
    for scenario, seconds in (("shared", whole), ("own", each)):
        found = {"featuretools (extrapolated)": {"seconds": seconds}}
        rows += lines(scenario, sizes.events, sizes.customers, found)
    yield least("Featuretools, shared dates: times cxpredict", whole / shared, 25)
    yield least("Featuretools, own dates: times cxpredict", each / own, 1_000)


def large_bars(small, few, many, sizes, rows):
    """Measure the floor, memory and growth; for growth the smaller size takes turns again."""
    tasks = {
        "cxpredict": ("cxpredict", few.events, few.shared),
        "floor": ("floor", few.events, few.shared),
        "cxpredict, many": ("cxpredict", many.events, many.shared),
        "floor, many": ("floor", many.events, many.shared),
        "cxpredict, small": ("cxpredict", small.events, small.shared),
    }
    runs = take_turns(tasks, sizes.rounds)
    seconds = {name: run["seconds"] for name, run in runs.items()}
    for customers, ending in ((sizes.customers, ""), (sizes.many, ", many")):
        found = {name: runs[name + ending] for name in ("cxpredict", "floor")}
        rows += lines("shared", sizes.large, customers, found)
    peak = max(runs[name]["peak_gb"] for name in ("cxpredict", "cxpredict, many"))
    few_over, many_over, growth = (
        seconds[over] / seconds[under]
        for over, under in (
            ("cxpredict", "floor"),
            ("cxpredict, many", "floor, many"),
            ("cxpredict", "cxpredict, small"),
        )
    )
    large = f"{sizes.large:,} events"
    yield most(f"{large}, {sizes.customers:,} customers: times the floor", few_over, 3.5)
    yield most(f"{large}, {sizes.many:,} customers: times the floor", many_over, 7)
    yield most(f"{large}: peak memory, GB", peak, peers.MEMORY_GB)
    yield most(f"growth of seconds from {sizes.events:,} to {large}", growth, 11)


def night_bar(data, sizes, rows):
    found = in_process("night", data.events, data.events.parent, sizes.rounds)
    nights = {"cxpredict, store": found, "cxpredict, from scratch": {"seconds": found["full"]}}
    rows += lines("night", sizes.large, sizes.customers, nights)
    print(f"night: refresh {found['refresh']:.2f} s, features {found['build']:.2f} s")
    night, full = "nightly refresh of 1 %", found["full"]
    yield most(f"{night}: part of the full build", found["refresh"] / full, 0.1)
    yield most(f"{night} and tonight's features: part of it", found["seconds"] / full, 0.1)


def lines(scenario, events, customers, runs):
    return [
        {"dates": scenario, "events": events, "customers": customers, "contender": name, **run}
        for name, run in runs.items()
    ]


def most(name, value, bound, sign="<="):
    holds = bool(value <= bound if sign == "<=" else value >= bound)
    return {
        "name": name,
        "value": float(f"{value:.4g}"),
        "bound": f"{sign} {bound:g}",
        "holds": holds,
    }


def least(name, value, bound):
    return most(name, value, bound, ">=")


def all_bars(sizes, rows):
    with tempfile.TemporaryDirectory() as folder:
        small = write(Path(folder), sizes.events, sizes.customers)
        yield from small_bars(small, sizes, rows)
        few = write(Path(folder), sizes.large, sizes.customers)
        many = write(Path(folder), sizes.large, sizes.many)
        yield from large_bars(small, few, many, sizes, rows)
        yield from night_bar(few, sizes, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as last line")
    parser.add_argument("--quick", action="store_true", help="try the script on little data")
    parser.add_argument("--featuretools", default=featuretools_python(), metavar="PYTHON",
                        help="interpreter that has Featuretools (FEATURETOOLS_PYTHON)")  # fmt: skip
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, *others = arguments.measure
        print(json.dumps(MEASURES[name](*others), default=str))
        return
    sizes = replace(QUICK if arguments.quick else Sizes(), featuretools=arguments.featuretools)
    rows = []
    bars = list(all_bars(sizes, rows))
    if arguments.quick:
        bars = [one | {"name": f"QUICK, means nothing: {one['name']}"} for one in bars]
    show(rows, bars)
    if arguments.json:
        print(json.dumps({"bars": bars}))


def featuretools_python():
    """Find the interpreter that has Featuretools, if any."""
    default = PEERS_PYTHON if PEERS_PYTHON.exists() else None
    return os.environ.get("FEATURETOOLS_PYTHON", default)


def show(rows, bars):
    table = pd.DataFrame(rows)[["dates", "events", "customers", "contender", *BEST]]
    print(table.round(3).to_string(index=False, na_rep=""))
    print(pd.DataFrame(bars).to_string(index=False, float_format="{:.4g}".format))


if __name__ == "__main__":
    main()
