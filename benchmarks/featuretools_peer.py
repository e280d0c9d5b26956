"""The features of ``benchmarks/features.py`` in Featuretools: run by an interpreter that has it.

``python benchmarks/featuretools_peer.py EVENTS POPULATION OWN [--seconds 60]`` prints JSON: seconds
for samples of customers at six shared dates, and for customers that each have a date of their own.

All 21 features are computed with cut-off times, by one call per window of features spelled out
beforehand (no search of `dfs`). Featuretools has one clock: rows count by `occurred_at` alone, so
late rows are not held back as the other contenders do. Last values are last in time, ties as they
come. The options are in its favour: its tables hold the sampled customers' rows alone, kinds of
rows are columns of truth values made beforehand, reading the file is not timed, and one process
calculates all (with two workers, ``n_jobs=2``, 1,000 own dates took five times as long). A cut-off
shared by customers is calculated once for all of them; every distinct one is a pass of its own.
"""

import argparse
import json
import time
import warnings

import featuretools as ft
import pandas as pd
from featuretools.primitives import Count, Last, Max, Mean, NumUnique, PercentTrue, Sum
from featuretools.primitives import TimeSinceLast as SinceLast

SAMPLES = (1_000, 5_000)
FIRST_OWN = 10


def entity_set(rows):
    """Make customers and their events, in the time of the events."""
    tables = ft.EntitySet("benchmark")
    tables.add_dataframe(
        dataframe_name="events",
        dataframe=rows.assign(complaint=rows["kind"] == "complaint", app=rows["channel"] == "app"),
        index="event",
        make_index=True,
        time_index="occurred_at",
        logical_types={"channel": "Categorical", "complaint": "Boolean", "app": "Boolean"},
    )
    return tables.normalize_dataframe("events", "customers", "customer_id", make_time_index=False)


def features_by_window(tables):
    """Spell out the features of each window; no window is all time."""

    def of(column, primitive, **settings):
        column = ft.Feature(tables["events"].ww[column])
        return ft.Feature(
            column, parent_dataframe_name="customers", primitive=primitive, **settings
        )

    complaint = ft.Feature(tables["events"].ww["complaint"])
    windowed = [
        of("event", Count),
        of("event", Count, where=complaint),
        of("value", Sum),
        of("value", Mean),
        of("channel", NumUnique),
    ]
    ever = [
        of("event", Count),
        of("value", Last),
        of("occurred_at", SinceLast(unit="days")),
        of("occurred_at", SinceLast(unit="days"), where=complaint),
    ]
    quarter = [*windowed, of("value", Max), of("app", PercentTrue)]
    return {"30 days": windowed, "90 days": quarter, "180 days": windowed, None: ever}


def calculate_seconds(rows, cutoffs):
    """Seconds to make the tables and all features of some customers at some cut-offs."""
    rows = rows[rows["customer_id"].isin(cutoffs["customer_id"])]
    cutoffs = cutoffs.rename(columns={"as_of": "time"})
    started = time.perf_counter()
    tables = entity_set(rows)
    for window, features in features_by_window(tables).items():
        ft.calculate_feature_matrix(
            features,
            tables,
            cutoff_time=cutoffs,
            cutoff_time_in_index=True,
            training_window=window,
            include_cutoff_time=False,
        )
    return time.perf_counter() - started


def shared_samples(rows, population):
    """Two samples of customers at the shared dates."""
    customers = population["customer_id"].drop_duplicates().sort_values()
    for size in SAMPLES:
        sample = population[population["customer_id"].isin(customers.head(size))]
        yield {"customers": min(size, len(customers)), "seconds": calculate_seconds(rows, sample)}


def own_sample(rows, own, seconds):
    """As many customers with a date of their own as about the given seconds allow."""
    own = own.sort_values("customer_id")
    first = calculate_seconds(rows, own.head(FIRST_OWN))
    size = min(len(own), max(FIRST_OWN, int(FIRST_OWN * seconds / first)))
    return {"customers": size, "seconds": calculate_seconds(rows, own.head(size))}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events")
    parser.add_argument("population")
    parser.add_argument("own")
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows, population, own = (
        pd.read_parquet(path) for path in (arguments.events, arguments.population, arguments.own)
    )
    shared = list(shared_samples(rows, population))
    answer = {
        "version": ft.__version__,
        "shared": shared,
        "own": own_sample(rows, own, arguments.seconds),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
