"""One customer at a time: how long an agent's screen waits."""

import time

import numpy as np
import pandas as pd
from reference_models import features, reference_bundle

import cxpredict as cx
from cxpredict.config import Bands
from cxpredict.drivers.reasons import ReasonBasis
from cxpredict.features.build import build_features
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.scoring.one import Desk
from cxpredict.jobs.scoring.rows import score_rows

AT_HAND_MS, FROM_LOG_MS = 10.0, 50.0
ASKED = 200
CUSTOMERS = {"demo": 6_000, "1 M events and more": 12_000}


def bars(scale):
    """Measure at features at hand, then from logs; yield the bars."""
    asked = max(int(ASKED * scale), 40)
    bundle, X = reference_bundle(), features(asked + 1, seed=3)
    rows = [X.iloc[i : i + 1] for i in range(len(X))]
    wall, _ = _times(lambda row: score_rows(bundle, row), rows)
    yield _bar("features at hand, 500 trees x 31 leaves x 60 features", wall, AT_HAND_MS)
    for name, customers in CUSTOMERS.items():
        yield from _from_log(name, max(int(customers * scale), 300), asked)


def _from_log(name, customers, asked):
    log = cx.simulate_company(customers, seed=7).log
    events = int(log.interactions.count().execute() + log.transactions.count().execute())
    bundle, day, X = _trained(log)
    batch = score_rows(bundle, X).set_index("customer_id")
    ids = list(batch.index[: asked + 1])
    start = time.perf_counter()
    desk = Desk(bundle, log, day)
    print(f"desk of {events:,} events made ready in {time.perf_counter() - start:.1f} s")
    wall, found = _times(desk.score, ids)
    features_at_hand, _ = _times(lambda i: score_rows(bundle, X.iloc[i : i + 1]), range(len(ids)))
    label = f"{events:,} events ({name}), {X.shape[1]} features"
    yield _bar(f"features at hand, {label}", features_at_hand, AT_HAND_MS)
    yield _bar(f"from the log, {label}", wall, FROM_LOG_MS)
    told = pd.DataFrame(found).set_index("customer_id").astype(object)
    same = told.equals(batch.loc[ids].astype(object))
    yield {"name": f"rows of the batch, {name}", "value": same, "bound": True, "holds": same}


def _trained(log):
    """Train on who was there 100 days before the records end."""
    day = log.span[1].floor("D") - pd.Timedelta(days=100)
    problem = cx.ChurnProblem(cancelled="cancellation", horizon_days=90, gap_days=7)
    index = problem.to_score(log, day)
    aggregates = tuple(cx.default_aggregates(log, until=day))
    X, y = build_features(log, index, aggregates=aggregates), problem.labels(log, index)
    known = y.notna().to_numpy()
    model = cx.ChurnModel(effort="fast", random_state=0).fit(X[known], y[known])
    bundle = Bundle(
        name="demo",
        problem=problem,
        model=model,
        aggregates=aggregates,
        exclude=(),
        bands=Bands(medium=0.1, high=0.3),
        card={},
        basis=ReasonBasis.learn(X),
        version="1",
    )
    return bundle, day, X


def _times(work, asked):
    """Return seconds of all calls but the first, which makes ready, and all results."""
    seconds, found = [], []
    for each in asked:
        start = time.perf_counter()
        found.append(work(each))
        seconds.append(time.perf_counter() - start)
    print(
        f"first {seconds[0]:.2f} s, then median {1e3 * np.median(seconds[1:]):.1f} ms, "
        f"95 % {1e3 * np.quantile(seconds[1:], 0.95):.1f} ms, 99 % "
        f"{1e3 * np.quantile(seconds[1:], 0.99):.1f} ms",
        flush=True,
    )
    return seconds[1:], found


def _bar(name, seconds, bound):
    value = round(1e3 * float(np.quantile(seconds, 0.95)), 2)
    return {"name": f"{name}: p95, ms", "value": value, "bound": bound, "holds": value < bound}
