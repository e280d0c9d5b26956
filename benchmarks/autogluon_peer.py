"""AutoGluon for ``benchmarks/accuracy.py``: run by an interpreter that has it.

``python benchmarks/autogluon_peer.py FOLDER THREADS`` reads ``train.parquet`` (label `churned`) and
``test.parquet``, fits the preset `medium_quality` for log loss, writes ``p.parquet`` and prints
JSON with the seconds of the fit.
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import pandas as pd
from autogluon.tabular import TabularPredictor, __version__


def cpu_seconds():
    found = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)


def main():
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    warnings.simplefilter("ignore")
    train = pd.read_parquet(folder / "train.parquet")
    test = pd.read_parquet(folder / "test.parquet")
    predictor = TabularPredictor(
        "churned", problem_type="binary", eval_metric="log_loss", path=str(folder / "models"),
        verbosity=0,
    )  # fmt: skip
    started, used = time.perf_counter(), cpu_seconds()
    predictor.fit(train, presets="medium_quality", num_cpus=threads, num_gpus=0)
    spent = {"seconds": time.perf_counter() - started, "cpu": cpu_seconds() - used}
    p = predictor.predict_proba(test)[1]
    p.rename("p").to_frame().to_parquet(folder / "p.parquet", index=False)
    models = predictor.leaderboard(display=False)["model"].tolist()
    print(json.dumps({**spent, "models": models, "version": __version__}))


if __name__ == "__main__":
    main()
