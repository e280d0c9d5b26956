"""The accuracy bars: ``python benchmarks/accuracy.py [--json] [--data ../shared/data] [--quick]``.

Runs `ChurnModel`, five early-stopped LightGBM models, CatBoost and AutoGluon side by side on the
same folds (`accuracy_contenders`, `accuracy_data`), then Online Retail (`accuracy_events`).

- Figures of a set are means over the folds; the ECE is of all out-of-fold predictions together
  (15 bins of equal mass). Seconds are sums over the folds, contenders take turns in changing order,
  all with two threads. Other work on the machine spoils both: waiting threads of OpenMP spin, so
  that processor seconds grow too.
- AutoGluon takes a minute or two per fold: it is run on the first one alone, and compared there.
  It lives in an environment of its own: ``--autogluon PYTHON`` names the interpreter. Without torch
  it leaves out its two neural networks; what it fitted is printed.
- Four sets have bars. `hillstrom` and three simulated ones are for information: they would show
  a model tuned to the four.
- A bar that could not be measured here is left out, and the output says why.
"""

import argparse
import json
import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy_contenders import (
    AUTOGLUON,
    CATBOOST,
    OURS,
    REFERENCE,
    autogluon_medium,
    catboost_default,
    cxpredict_model,
    lightgbm_reference,
)
from accuracy_data import (
    CALIBRATED,
    FOLD_0_LOSS,
    JUDGED,
    N_FOLDS,
    REFERENCE_LOSS,
    SETS,
    SOURCES,
    folds_of,
    load,
)
from accuracy_events import NAME as ONLINE_RETAIL
from accuracy_events import rows_and_bars as online_retail
from accuracy_measures import auc, below, calibration_error, loss, most
from accuracy_no_signal import bars as no_signal
from accuracy_simulated import SIMULATED
from comments import bars as comments

import cxpredict as cx

ROOT = Path(__file__).resolve().parents[1]
PEERS_PYTHON = ROOT / ".venv-autogluon" / "bin" / "python"
COLUMNS = [
    "set",
    "model",
    "folds",
    "auc",
    "log_loss",
    "ece",
    "auc_0",
    "log_loss_0",
    "fit_s",
    "cpu_s",
]
ECE_BOUND, AUC_SLACK = 0.015, 0.002


def compare(name, data, contenders, n_folds):
    """Run the contenders on the folds of a set, in turns; return one table row for each."""
    X, y = load(name, data)
    runs = {contender: [] for contender in contenders}
    for number, (train, test) in enumerate(folds_of(y)[:n_folds]):
        order = list(contenders) if number % 2 == 0 else list(contenders)[::-1]
        for contender in order:
            if contender == AUTOGLUON and number > 0:
                continue
            try:
                found = contenders[contender](X.iloc[train], y.iloc[train], X.iloc[test])
            except Exception as error:  # a contender that refuses a table must not stop the others
                print(f"{name}: {contender} fails: {type(error).__name__}: {error}"[:400])
                found = None
            runs[contender].append((y.iloc[test].to_numpy(), found))
    return [summary(name, contender, folds) for contender, folds in runs.items()]


def summary(name, contender, folds):
    """Measure one contender; a refused fold leaves the figures empty."""
    if not folds or any(found is None for _, found in folds):
        return {"set": name, "model": contender, "folds": 0}
    aucs, losses = ([f(y, found.p) for y, found in folds] for f in (auc, loss))
    y, p = (np.concatenate(part) for part in zip(*((y, o.p) for y, o in folds), strict=True))
    return {
        "set": name,
        "model": contender,
        "folds": len(folds),
        "auc": float(np.mean(aucs)),
        "log_loss": float(np.mean(losses)),
        "ece": calibration_error(y, p),
        "auc_0": aucs[0],
        "log_loss_0": losses[0],
        "fit_s": sum(found.seconds for _, found in folds),
        "cpu_s": sum(found.cpu for _, found in folds),
    }


def bars_of(rows):
    """Judge the four sets; what a contender did not measure is left out."""
    of = {(r["set"], r["model"]): r for r in rows if r["folds"]}
    sets = [s for s in JUDGED if (s, OURS) in of]
    for s in sets:
        ours = of[s, OURS]
        peers = [of[s, m] for m in (REFERENCE, CATBOOST, AUTOGLUON) if (s, m) in of]
        whole = [peer for peer in peers if peer["folds"] == ours["folds"]]
        if (s, REFERENCE) in of:
            reference = of[s, REFERENCE]["log_loss"]
            yield below(f"{s}: log loss, than {REFERENCE}", ours["log_loss"], reference)
        if ours["folds"] == N_FOLDS:
            given = REFERENCE_LOSS[s]
            yield below(f"{s}: log loss, than the figure given", ours["log_loss"], given)
        if whole:
            behind = max(peer["auc"] for peer in whole) - ours["auc"]
            yield most(f"{s}: AUC behind the best", behind, AUC_SLACK)
        if peers:
            behind = max(peer["auc_0"] for peer in peers) - ours["auc_0"]
            yield most(f"{s}: AUC behind the best, fold 0", behind, AUC_SLACK)
        if s in CALIBRATED:
            yield most(f"{s}: ECE", ours["ece"], ECE_BOUND)
        if (s, CATBOOST) in of:
            yield most(f"{s}: fit seconds", ours["fit_s"], of[s, CATBOOST]["fit_s"])
    for peer in (CATBOOST, AUTOGLUON):
        name = f"mean of four, fold 0: log loss, than {peer}"
        if len(sets) == len(JUDGED) and all((s, peer) in of for s in sets):
            ours, theirs = (np.mean([of[s, m]["log_loss_0"] for s in sets]) for m in (OURS, peer))
            yield below(name, ours, theirs)
            yield below(f"{name}, the figure given", ours, FOLD_0_LOSS[peer])
        else:
            print(f"the mean over the four sets is not compared with {peer}: not all were run")


def outside_bars(data):
    """Bars on comments, and on data without signal."""
    yield from comments(data)
    yield from no_signal(data)


def corrected(p, before, after):
    return cx.adjust_base_rate(p, trained_at=before, expected=after)


def choose(arguments):
    """Return the contenders that are installed, by name; say which are not."""
    contenders = {
        OURS: partial(cxpredict_model, effort=arguments.effort),
        REFERENCE: lightgbm_reference,
    }
    if find_spec("catboost") is None:
        print('CatBoost is not installed (pip install "cxpredict[peers]"): its bars are left out')
    else:
        contenders[CATBOOST] = catboost_default
    if arguments.autogluon is None:
        print("no interpreter with AutoGluon (--autogluon): its bars are left out")
    else:
        contenders[AUTOGLUON] = partial(autogluon_medium, python=arguments.autogluon)
    return contenders


def autogluon_python():
    """Find the interpreter that has AutoGluon, if any."""
    default = str(PEERS_PYTHON) if PEERS_PYTHON.exists() else None
    return os.environ.get("AUTOGLUON_PYTHON", default)


def here(name, data):
    """Tell whether a set can be read; the simulated ones always can."""
    if name in SIMULATED:
        return True
    file = SOURCES[name].file if name in SOURCES else name
    if (data / f"{file}.parquet").exists():
        return True
    print(f"{name}: not in the folder of the data: left out")
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as last line")
    parser.add_argument("--quick", action="store_true", help="one fold, without AutoGluon")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--sets", nargs="+", choices=[*SETS, ONLINE_RETAIL])
    parser.add_argument("--folds", type=int, default=N_FOLDS, choices=range(1, N_FOLDS + 1))
    parser.add_argument("--effort", default="standard", help="of ChurnModel, where it has one")
    parser.add_argument("--autogluon", default=autogluon_python(), metavar="PYTHON",
                        help="interpreter that has AutoGluon (AUTOGLUON_PYTHON)")  # fmt: skip
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.folds, arguments.autogluon = 1, None
    contenders = choose(arguments)
    rows, bars = [], []
    for name in arguments.sets or [*SETS, ONLINE_RETAIL]:
        if not here(name, arguments.data):
            continue
        if name == ONLINE_RETAIL:
            found, judged = online_retail(arguments.data, dated(contenders), corrected)
            bars += judged
        else:
            found = compare(name, arguments.data, contenders, arguments.folds)
        rows += found
        print(pd.DataFrame(found).round(4).to_string(index=False, na_rep=""), flush=True)
    bars = [*bars_of([row for row in rows if row["set"] in JUDGED]), *bars]
    if arguments.sets is None:
        bars += outside_bars(arguments.data)
    if arguments.quick or arguments.folds < N_FOLDS:
        bars = [bar | {"name": f"NOT ALL FOLDS: {bar['name']}"} for bar in bars]
    show(rows, bars)
    if arguments.json:
        print(json.dumps({"bars": bars}))


def dated(contenders):
    """Leave AutoGluon out where there are no folds."""
    return {name: run for name, run in contenders.items() if name != AUTOGLUON}


def show(rows, bars):
    table = pd.DataFrame(rows).reindex(columns=COLUMNS).round(4)
    print(table.to_string(index=False, na_rep=""))
    print(pd.DataFrame(bars).to_string(index=False, float_format="{:.5g}".format))


if __name__ == "__main__":
    main()
