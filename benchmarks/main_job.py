"""The bars of the main job: ``python benchmarks/main_job.py [--json] [--data ../shared/data]``.

Trains all configurations into a temporary folder and measures what the README claims. The real
data sets are used where they are; without them those bars are left out and the output says so.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

import cxpredict as cx
from cxpredict.config import load_config, parse_config

ROOT = Path(__file__).resolve().parents[1]
REAL = ("telco", "online_retail", "olist")


def bar(name, value, bound, holds):
    return {"name": name, "value": value, "bound": bound, "holds": bool(holds)}


def below(name, value, bound):
    return bar(name, round(value, 4), f"<= {bound}", value <= bound)


def within(name, value, low, high):
    return bar(name, round(value, 4), f"{low:g} .. {high:g}", low <= value <= high)


def import_seconds():
    """Best of five fresh interpreters, less the time of an empty one."""
    code = "import time; t = time.perf_counter(); import cxpredict; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            for _ in range(5)]  # fmt: skip
    return min(float(run.stdout) for run in runs)


def in_folder(name, folder):
    """Load a configuration that writes its artifacts into a folder."""
    path = ROOT / "configs" / f"{name}.yaml"
    content = load_config(path).model_dump(exclude_unset=True)
    content["artifacts"] = str(folder / "artifacts")
    return parse_config(_plain(content), directory=path.parent)


def _plain(content):
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, tuple | list):
        return [_plain(value) for value in content]
    return content


def metric(run, model, name):
    return run.models[model].metrics.set_index("metric").loc[name, "estimate"]


def show(run):
    """Print the metrics of a run and what must be known of them."""
    print(run.table().to_string(index=False))
    for model in run.models:
        print(*(f"{model.bundle.name}: {note}" for note in model.notes), sep="\n")


def simulated_bars(folder):
    started = time.perf_counter()
    cx.simulate_company(20_000, seed=7)
    yield below("simulate_company(20,000), seconds", time.perf_counter() - started, 30)

    config = in_folder("demo", folder)
    started = time.perf_counter()
    run = cx.train(config)
    report = cx.write_report(run)
    first, second = (
        cx.score(config, model="models:/demo-churn@champion", as_of="2026-01-01", out=folder / out)
        for out in ("first", "second")
    )
    seconds = time.perf_counter() - started
    yield below("demo: train, report, score twice, seconds", seconds, 240)
    yield below("demo: report, MB", report.stat().st_size / 1e6, 5)
    yield same_bytes("demo", first, second)
    truth = cx.simulate_company(config.simulate.n_customers, seed=config.simulate.seed).truth
    yield from truth_bars(run, truth)
    show(run)


def truth_bars(run, truth):
    strongest = truth.drivers.sort_values("rank").head(3)
    expected = {place.split(":")[1] for places in strongest.shows_in for place in places}
    reported = run.models[0].drivers.by("kind").head(5)["kind"].tolist()
    found = len(expected & set(reported))
    yield bar(
        "demo: of the 3 strongest true drivers in the reported top 5", found, "= 3", found == 3
    )
    end = run.log.span[1]
    true = truth.nps(end - pd.Timedelta(days=run.config.nps.window_days), end)
    nps, answered = run.experience.nps.iloc[0], run.experience.unweighted.iloc[0]
    print(f"NPS of those who answered: {answered.low:.1f} .. {answered.high:.1f}, true: {true:.1f}")
    yield within("demo: true NPS in the weighted interval", true, nps.low, nps.high)


def real_bars(folder):
    for name in REAL:
        config = in_folder(name, folder)
        run = cx.train(config)
        cx.write_report(run)
        show(run)
        for model in run.models:
            as_of = model.at_risk["as_of"].iloc[0]
            first, second = (
                cx.score(
                    config,
                    model=f"models:/{model.bundle.name}@champion",
                    as_of=as_of,
                    out=folder / out / model.bundle.name,
                )
                for out in ("first", "second")
            )
            yield same_bytes(model.bundle.name, first, second)
        if name == "telco":
            yield within(
                "telco: churn AUC without the leaks", metric(run, 0, "roc_auc"), 0.83, 0.93
            )
            yield below("telco: churn ECE", metric(run, 0, "ece"), 0.03)
            leaks = {"Churn Score", "Customer Status", "Churn Category", "Churn Reason"}
            found = len(leaks & set(run.models[0].dropped))
            yield bar("telco: leaks of four found by the audit", found, "= 4", found == 4)
        if name == "online_retail":
            auc = metric(run, 0, "roc_auc")
            yield bar("online_retail: churn AUC", round(auc, 4), ">= 0.73", auc >= 0.73)


def same_bytes(name, first, second):
    files = [(s.folder / "scores.parquet").read_bytes() for s in (first, second)]
    same = files[0] == files[1]
    return bar(f"{name}: scores of two runs are the same bytes", same, "= True", same)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as last line")
    arguments = parser.parse_args()
    bars = [below("import cxpredict, seconds", import_seconds(), 0.3)]
    with tempfile.TemporaryDirectory() as folder:
        bars += simulated_bars(Path(folder))
        if (ROOT.parent / "shared" / "data").is_dir():
            bars += real_bars(Path(folder))
        else:
            print("the real data sets are not here: their bars are left out")
    print(pd.DataFrame(bars).to_string(index=False))
    if arguments.json:
        print(json.dumps({"bars": bars}))


if __name__ == "__main__":
    main()
