"""Bundles of a known size, and rows for them: what the speed of scoring is measured on."""

from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pandas as pd

import cxpredict as cx
from cxpredict.config import Bands
from cxpredict.drivers.reasons import ReasonBasis
from cxpredict.features.origin import Origin
from cxpredict.jobs.bundle import Bundle

N_FEATURES = 60
N_TREES, N_LEAVES = 500, 31
FLAGGED = 0.1
KINDS = ("complaint", "call", "visit", "order", "delivery", "login")
MEASURES = (
    ("count", ""),
    ("mean", "value"),
    ("days_since", ""),
    ("sum", "value"),
    ("max", "value"),
)


def origins():
    """Name 60 features: six kinds of events, five measures, two windows."""
    made = [
        Origin("interactions", measure, column, (("kind", kind),), window)
        for kind in KINDS
        for measure, column in MEASURES
        for window in (30, 180)
    ]
    return {origin.name: origin for origin in made}


def features(n, seed):
    """Draw rows of features: counts, money and days, a tenth of the values missing."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 6))
    columns, known = {}, origins()
    for place, (name, origin) in enumerate(known.items()):
        level = np.exp(0.5 * hidden[:, place % 6] + 0.5 * rng.normal(size=n))
        if origin.measure == "count":
            columns[name] = rng.poisson(2.0 * level).astype(float)
            continue
        columns[name] = np.round(20.0 * level, 1 if place % 2 else 6)
        columns[name][rng.random(n) < 0.1] = np.nan
    index = pd.MultiIndex.from_arrays(
        [np.char.add("c", (seed * 10_000_000 + np.arange(n)).astype(str)), [DAY] * n],
        names=["customer_id", "as_of"],
    )
    X = pd.DataFrame(columns, index=index)
    X.attrs["origins"] = {name: origin.to_dict() for name, origin in known.items()}
    return X


DAY = pd.Timestamp("2025-01-01")


def answers(X, seed):
    """Draw who leaves: every feature counts a little, some together."""
    rng = np.random.default_rng(seed)
    Z = np.log1p(X.fillna(0.0).to_numpy())
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    weight = rng.normal(size=Z.shape[1]) * 0.25
    margin = Z @ weight + 0.3 * Z[:, 0] * Z[:, 7] + 0.3 * np.sin(2.0 * Z[:, 11]) - 1.5
    return pd.Series(
        (rng.random(len(X)) < 1.0 / (1.0 + np.exp(-margin))).astype(int), index=X.index
    )


def bundle_of(model, X):
    """Pack a model; customers above the 90 % quantile of its risk are at high risk."""
    model.n_jobs = 2
    risk = model.predict_proba(X)[:, 1]
    medium, high = np.quantile(risk, [0.5, 1.0 - FLAGGED])
    return Bundle(
        name="reference",
        problem=cx.ChurnProblem(cancelled="cancellation", horizon_days=90, gap_days=7),
        model=model,
        aggregates=(),
        exclude=(),
        bands=Bands(medium=float(medium), high=float(high)),
        card={},
        basis=ReasonBasis.learn(X),
        version="1",
    )


def reference_bundle(n_rows=60_000):
    """One booster of 500 trees, 31 leaves, 60 features and nothing else."""
    X = features(n_rows, seed=1)
    y = answers(X, seed=2)
    model = cx.ChurnModel(effort="fast", random_state=0).fit(X[:3_000], y[:3_000])
    params = {"objective": "binary", "num_leaves": N_LEAVES, "learning_rate": 0.05}
    params |= {"num_threads": 2, "verbosity": -1, "feature_fraction": 0.6, "seed": 1}
    booster = lgb.train(params, lgb.Dataset(X.to_numpy(), y.to_numpy()), N_TREES)
    booster = lgb.Booster(model_str=booster.model_to_string())
    model.ensemble_ = replace(
        model.ensemble_,
        boosters=(booster,),
        booster_weights=(1.0,),
        linear=None,
        linear_weight=0.0,
        offsets=(0.0,),
    )
    return bundle_of(model, X[:20_000])


def standard_bundle(n_rows=25_000):
    """Fit four shapes of boosters and the regression on splines, as `effort="standard"` does."""
    X = features(n_rows, seed=1)
    model = cx.ChurnModel(effort="standard", random_state=0).fit(X, answers(X, seed=2))
    return bundle_of(model, X[:20_000])
