"""The models that ``benchmarks/accuracy.py`` runs side by side, each on the same rows.

A contender takes training features, labels and test features, and gives probabilities with the
wall and processor seconds of the fit. All have two threads; reading, and what only a peer needs of
its table (text without gaps for CatBoost, the `category` dtype for LightGBM), is not timed.

- **cxpredict**: `ChurnModel(random_state=7)`, with whatever it does by default.
- **lightgbm x5**: the mean of five early-stopped LightGBM models, the reference of the bars:
  learning rate .02, 15 leaves, 80 % of rows and half of the columns per tree, native categories;
  each stops on a fifth of the rows of its own, or of the customers where they have several rows.
- **catboost**: its defaults, native categories (an extra of the package: ``peers``).
- **autogluon**: preset `medium_quality`, by an interpreter of its own (`autogluon_peer.py`).
"""

import json
import os
import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, train_test_split

import cxpredict as cx

THREADS = 2
SEED = 7
HERE = Path(__file__).resolve().parent
OURS, REFERENCE, CATBOOST, AUTOGLUON = "cxpredict", "lightgbm x5", "catboost", "autogluon"


@dataclass(frozen=True)
class Outcome:
    """Probabilities of the test rows, and what the fit cost.

    Parameters
    ----------
    p : ndarray of float
        Probability of each test row.
    seconds, cpu : float
        Wall and processor seconds of the fit.
    """

    p: np.ndarray
    seconds: float
    cpu: float


def cxpredict_model(X, y, X_test, effort=None):
    """Fit `ChurnModel`; an effort is passed where the class knows it."""
    known = "effort" in signature(cx.ChurnModel).parameters
    settings = {"effort": effort} if effort and known else {}
    model = cx.ChurnModel(random_state=SEED, n_jobs=THREADS, **settings)
    seconds, cpu, _ = timed(model.fit, X, y)
    return Outcome(model.predict_proba(X_test)[:, 1], seconds, cpu)


def lightgbm_reference(X, y, X_test, seeds=5):
    """Average early-stopped LightGBM models."""
    X, X_test = with_categories(X, X_test)
    seconds, cpu, models = timed(lambda: [early_stopped(X, y, seed) for seed in range(seeds)])
    return Outcome(np.mean([m.predict_proba(X_test)[:, 1] for m in models], axis=0), seconds, cpu)


def early_stopped(X, y, seed):
    fit, stop = inner_split(X, y, seed)
    model = lgb.LGBMClassifier(
        n_estimators=5_000,
        learning_rate=0.02,
        num_leaves=15,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.5,
        random_state=seed,
        n_jobs=THREADS,
        verbose=-1,
    )
    return model.fit(
        X.iloc[fit],
        y.iloc[fit],
        eval_X=X.iloc[stop],
        eval_y=y.iloc[stop],
        eval_metric="binary_logloss",
        callbacks=[lgb.early_stopping(100, verbose=False)],
    )


def inner_split(X, y, seed):
    if "customer_id" in X.index.names:
        split = GroupShuffleSplit(1, test_size=0.2, random_state=seed)
        return next(split.split(X, y, X.index.get_level_values("customer_id")))
    return train_test_split(np.arange(len(X)), test_size=0.2, stratify=y, random_state=seed)


def with_categories(X, X_test):
    """Turn text into categories with the levels of the training rows."""
    X, X_test = X.copy(), X_test.copy()
    for column in text_columns(X):
        X[column] = X[column].astype("category")
        X_test[column] = X_test[column].astype(X[column].dtype)
    return X, X_test


def catboost_default(X, y, X_test):
    """Fit CatBoost with its defaults; only gaps in text are filled, which it refuses."""
    from catboost import CatBoostClassifier

    text = text_columns(X)
    X, X_test = (frame.assign(**{c: spelled(frame[c]) for c in text}) for frame in (X, X_test))
    model = CatBoostClassifier(
        random_seed=SEED, thread_count=THREADS, verbose=False, allow_writing_files=False
    )
    seconds, cpu, _ = timed(model.fit, X, y, cat_features=text)
    return Outcome(model.predict_proba(X_test)[:, 1], seconds, cpu)


def autogluon_medium(X, y, X_test, python):
    """Fit AutoGluon in a process of its own, through Parquet files."""
    with tempfile.TemporaryDirectory() as folder:
        X.assign(churned=y).to_parquet(Path(folder) / "train.parquet", index=False)
        X_test.to_parquet(Path(folder) / "test.parquet", index=False)
        command = [str(python), str(HERE / "autogluon_peer.py"), folder, str(THREADS)]
        threads = {"OMP_NUM_THREADS": str(THREADS)}
        done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"AutoGluon ended with {done.returncode}: {done.stderr[-300:]}")
        p = pd.read_parquet(Path(folder) / "p.parquet")["p"].to_numpy()
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"autogluon {found['version']} fitted: {', '.join(found['models'])}")
    return Outcome(p, found["seconds"], found["cpu"])


def text_columns(X):
    return [c for c in X if not pd.api.types.is_numeric_dtype(X[c])]


def spelled(values):
    return values.astype(object).where(values.notna(), "(none)").astype(str)


def timed(work, *arguments, **settings):
    """Return wall seconds, processor seconds of this process and its children, and the result."""
    started, used = time.perf_counter(), cpu_seconds()
    result = work(*arguments, **settings)
    return time.perf_counter() - started, cpu_seconds() - used, result


def cpu_seconds():
    found = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)
