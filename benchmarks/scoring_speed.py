"""Speed and memory of scoring: probability, interval, band for all, reasons for the flagged tenth.

Every comparison is made in one process, batch by batch, so that what else runs on the machine
slows both sides alike.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
from reference_models import features, reference_bundle, standard_bundle

from cxpredict.drivers.reasons import reasons_in_words
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.scoring.rows import score_rows

ROWS, BATCH = 1_000_000, 50_000
MOST_TIMES, LEAST_TIMES, NEAR, MOST_MB = 4.0, 8.0, 1e-4, 3_000.0


def bars(scale):
    """Measure, print the tables and yield the bars."""
    with tempfile.TemporaryDirectory() as folder:
        for name, make in (("reference", reference_bundle), ("standard", standard_bundle)):
            home = Path(folder) / name
            digest = make().save(home)
            yield from _many(name, home, digest, int(ROWS * scale))
            yield from _explainers(name, Bundle.load(home, digest=digest), scale)


def _many(name, home, digest, rows):
    """Score as the job does, in a process of its own; and a fifth and twice the rows for memory."""
    runs = {n: _worker(home, digest, n) for n in sorted({rows // 5, rows, 2 * rows})}
    table = pd.DataFrame(runs).T.rename_axis("rows")
    print(f"\n{name}: {table.round(2).to_string()}\n", flush=True)
    times = runs[rows]["scoring_s"] / runs[rows]["lightgbm_s"]
    yield _bar(
        f"{name}: {rows:,} customers, reasons for the flagged, times LightGBM's predict",
        times,
        MOST_TIMES,
        times <= MOST_TIMES,
    )
    peak = max(run["peak_mb"] for run in runs.values())
    yield _bar(f"{name}: peak memory, MB", peak, MOST_MB, peak < MOST_MB)
    growth = runs[2 * rows]["peak_mb"] / runs[rows]["peak_mb"]
    yield _bar(f"{name}: peak memory of twice the rows, times", growth, 1.1, growth < 1.1)


def _worker(home, digest, rows):
    command = [sys.executable, __file__, str(home), digest, str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _score(home, digest, rows):
    """Score rows in batches and time LightGBM's predict of the same rows beside it."""
    bundle = Bundle.load(Path(home), digest=digest)
    warm = features(1_000, seed=99)
    score_rows(bundle, warm)
    spent = {"lightgbm_s": 0.0, "scoring_s": 0.0, "reasons_s": 0.0}
    flagged = done = 0
    while done < rows:
        X = features(min(BATCH, rows - done), seed=100 + done // BATCH)
        spent["lightgbm_s"] += _timed(_predict, bundle, X)[0]
        seconds, scores = _timed(score_rows, bundle, X, reasons=False)
        high = (scores["risk_band"] == "high").to_numpy()
        reasons_s, _ = _timed(_reasons, bundle, X[high])
        spent["scoring_s"] += seconds + reasons_s
        spent["reasons_s"] += reasons_s
        flagged, done = flagged + int(high.sum()), done + len(X)
    spent["flagged"] = flagged / rows
    spent["rows_per_s"] = rows / spent["scoring_s"]
    spent["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return spent


def _timed(work, *arguments, **options):
    start = time.perf_counter()
    result = work(*arguments, **options)
    return time.perf_counter() - start, result


def _predict(bundle, X):
    model = bundle.model
    matrix = model.ensemble_.encoding.apply(X.to_numpy())
    for booster in model.ensemble_.boosters:
        booster.predict(matrix, raw_score=True, num_threads=2)


def _reasons(bundle, X):
    values, _ = bundle.model.contributions(X)
    return reasons_in_words(values, X, bundle.basis, top=3)


def _explainers(name, bundle, scale):
    """Compare contributions and reasons of everyone with other explainers, side by side."""
    few, many = max(int(2_000 * scale), 200), max(int(100_000 * scale), 10_000)
    X = features(many, seed=7)
    matrix = bundle.model.ensemble_.encoding.apply(X.to_numpy())
    boosters = list(bundle.model.ensemble_.boosters)
    _reasons(bundle, X[:100])
    shap_s, exact = _timed(_shap, boosters, matrix[:few])
    lightgbm_s, own = _timed(_pred_contrib, boosters, matrix[:few])
    rates = {"shap.TreeExplainer": few / shap_s, "LightGBM pred_contrib": few / lightgbm_s}
    errors = {"LightGBM pred_contrib": _far(own, exact)}
    trees = bundle.model.ensemble_._trees
    for label, jobs in (("ours, one thread", 1), ("ours, two threads", 2)):
        seconds, found = _timed(_ours, trees, matrix, jobs)
        rates[label], errors[label] = many / seconds, _far(found[:few], exact)
    seconds, _ = _timed(_reasons, bundle, X)
    rates["ours, contributions and reasons in words"] = many / seconds
    for processes in (1, 2):
        label = f"woodelf-explainer, {processes} process{'es' * (processes > 1)}"
        rates[label], errors[label] = _woodelf(boosters, matrix, exact, processes)
    rates["LightGBM predict"] = many / _timed(_predict, bundle, X)[0]
    table = pd.DataFrame({"rows_per_s": rates, "largest_difference": errors})
    print(f"\n{name}: {table.sort_values('rows_per_s').to_string()}\n", flush=True)
    times = rates["ours, contributions and reasons in words"] / rates["shap.TreeExplainer"]
    yield _bar(
        f"{name}: reasons for everyone, times shap.TreeExplainer",
        times,
        LEAST_TIMES,
        times >= LEAST_TIMES,
    )
    far = errors["ours, two threads"]
    yield _bar(f"{name}: contributions, largest difference from TreeSHAP", far, NEAR, far <= NEAR)


def _ours(trees, matrix, jobs):
    return sum(tree.values(matrix, n_jobs=jobs) for tree in trees)


def _pred_contrib(boosters, matrix):
    return sum(b.predict(matrix, pred_contrib=True, num_threads=2)[:, :-1] for b in boosters)


def _shap(boosters, matrix):
    import shap

    warnings.filterwarnings("ignore", message="LightGBM binary classifier", category=UserWarning)
    return sum(shap.TreeExplainer(b).shap_values(matrix, check_additivity=False) for b in boosters)


def _woodelf(boosters, matrix, exact, processes):
    """Rows per second of woodelf-explainer, its fixed cost included; nothing if not installed."""
    try:
        import woodelf  # noqa: F401
    except ImportError:
        print("woodelf-explainer is not installed, so not measured: pip install cxpredict[peers]")
        return float("nan"), float("nan")
    texts = [booster.model_to_string() for booster in boosters]
    tasks = [(texts, part) for part in np.array_split(matrix, processes)]
    if processes == 1:
        seconds, found = _timed(lambda: [_woodelf_values(task) for task in tasks])
    else:
        spawn = get_context("spawn")  # a fork of running OpenMP threads would hang
        with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
            seconds, found = _timed(lambda: list(pool.map(_woodelf_values, tasks)))
    return len(matrix) / seconds, _far(np.concatenate(found)[: len(exact)], exact)


def _woodelf_values(task):
    from woodelf import WoodelfExplainer

    texts, rows = task
    frame = pd.DataFrame(rows, columns=[f"Column_{i}" for i in range(rows.shape[1])])
    boosters = [lgb.Booster(model_str=text) for text in texts]
    return sum(WoodelfExplainer(b).shap_values(frame, verbose=False) for b in boosters)


def _far(found, exact):
    return float(np.abs(found - exact).max())


def _bar(name, value, bound, holds):
    return {"name": name, "value": float(f"{value:.3g}"), "bound": bound, "holds": bool(holds)}


if __name__ == "__main__":
    print(json.dumps(_score(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
