"""Drivers: sizes found against sizes made, features without effect, additivity.

- **Worlds** of ten drivers and four features without effect (numbers, counts, flags, categories;
  some drivers hang together, so do two of the others). The true size of a driver is the mean
  distance of its part of the log-odds from its mean. With four features of size 0 no order can
  reach a Spearman correlation above .989.
- **Simulated company** (dear: 24 repetitions): features are grouped to the drivers by what shows
  them. The truth is the total effect on the weekly log-hazard over all Mondays; the model predicts
  28 days, in which what happened fades, and reads moods from the few who answer. What failures and
  waits do through satisfaction is theirs in the truth, while the model may read it from scores and
  complaints. Plan prices count as segment, which decides them. Four of the seven true sizes lie
  between .21 and .28, so that chance alone decides their order in a log of this length.
- **No effect**: worlds of 700 rows, and such in which nothing has an effect, are refitted 20 times
  with shadows beside the features: 200 times with plain boosted trees, 12 with `ChurnModel`. One
  more feature without effect goes along with a driver: it is shown, and no bar is on it, because
  a model does use it.
"""

import lightgbm as lgb
import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, ClassifierMixin
from truth_repeat import at_least, at_most, repeat

import cxpredict as cx
from cxpredict.drivers.grouping import sum_by_group

SIZES = (0.95, 0.75, 0.6, 0.48, 0.38, 0.3, 0.23, 0.17, 0.12, 0.08)
NULLS = ("null number", "null twin", "null count", "null plan")


def bars(repetitions):
    dear = min(repetitions, 200)
    found = pd.DataFrame(repeat(sizes_in_a_world, dear, n=4_000))
    yield at_most(f"additivity of {dear} models, largest error", found["error"].max(), 1e-9)
    yield from _agreement(f"worlds of 4,000 rows ({dear} repetitions)", found["spearman"])
    trees = repeat(stability, dear, n=700)
    yield from _no_effect(f"{dear} worlds, boosted trees", trees)
    alone = repeat(stability, dear // 2, n=700, strength=0.0)
    yield from _no_effect(f"{dear // 2} worlds without any effect, boosted trees", alone)
    few = max(2, dear // 16)
    own = repeat(stability, few, n=700, ensemble=True)
    yield from _no_effect(f"{few} worlds, ChurnModel", own)
    few = max(2, dear * 3 // 25)
    found = pd.DataFrame(repeat(sizes_in_a_company, few, n=4_000))
    print(found.mean().round(3).to_string())
    yield from _agreement(f"simulated company ({few} repetitions)", found["spearman"])


def _agreement(name, spearman):
    share = (spearman >= 0.9).mean()
    print(f"  {name}: Spearman at least .9 in {share:.1%} of them, lowest {spearman.min():.3f}")
    yield at_least(f"{name}: mean Spearman of true and reported sizes", spearman.mean(), 0.9)


def _no_effect(name, found):
    table = pd.concat(found, ignore_index=True)
    null = table[table["role"] == "null"]
    yield at_least(
        f"{name}: {len(null):,} features without effect whose interval includes it",
        null["no_effect"].mean(),
        0.95,
    )
    group = table[table["role"] == "null group"]
    yield at_least(
        f"{name}: {len(group):,} groups without effect whose interval includes it",
        group["no_effect"].mean(),
        0.95,
    )
    rest = table[table["role"] == "driver"]
    for size, told in (~rest["no_effect"]).groupby(rest["size"]).mean()[::-1].items():
        print(f"  {name}: size {size:.2f} is told from no effect in {told:.0%}")
    along = table[table["role"] == "goes along"]
    print(f"  {name}: what goes along with a driver passes in {(~along['no_effect']).mean():.0%}")


def sizes_in_a_world(seed, n):
    X, y, true = world(seed, n)
    model = cx.ChurnModel(effort="fast", random_state=seed, n_jobs=1).fit(X, y)
    drivers = cx.explain(model, X)
    total = drivers.base + drivers.contributions.sum(axis=1)
    found = drivers.table.set_index("feature")["importance"]
    return {
        "spearman": spearmanr(true, found[true.index]).statistic,
        "error": np.abs(total - model.decision_function(X)).max(),
    }


def world(seed, n, strength=1.0):
    """Draw features, who leaves, and the true size of each feature."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 10))
    z[:, 1] = 0.5 * z[:, 0] + np.sqrt(0.75) * z[:, 1]
    z[:, 4] = 0.4 * z[:, 3] + np.sqrt(0.84) * z[:, 4]
    level = rng.integers(0, 4, n)
    X = pd.DataFrame(z, columns=[f"number {k}" for k in range(10)])
    X["number 5"] = np.floor(np.exp(0.8 * z[:, 5]))
    X["number 6"] = (z[:, 6] > 0.8).astype(float)
    X["number 7"] = pd.Series(np.array(["basic", "plus", "gold", "team"])[level], dtype="str")
    parts = z.copy()
    parts[:, 2] = np.tanh(1.5 * z[:, 2])
    parts[:, 5] = np.log1p(X["number 5"])
    parts[:, 6] = X["number 6"]
    parts[:, 7] = np.array([-1.0, 0.0, 0.2, 1.2])[level]
    parts -= parts.mean(axis=0)
    sizes = strength * rng.permutation(SIZES)
    parts *= sizes / np.abs(parts).mean(axis=0) * rng.choice([-1, 1], 10)
    chance = 1 / (1 + np.exp(1.2 - parts.sum(axis=1)))
    noise = rng.normal(size=(n, 2))
    X[NULLS[0]] = noise[:, 0]
    X[NULLS[1]] = 0.7 * noise[:, 0] + 0.7 * noise[:, 1]
    X[NULLS[2]] = rng.poisson(1.5, n).astype(float)
    X[NULLS[3]] = pd.Series(rng.choice(list("abcdef"), n), dtype="str")
    true = pd.Series(0.0, index=X.columns)
    true.iloc[:10] = sizes
    return X, pd.Series((rng.random(n) < chance).astype(int)), true


def sizes_in_a_company(seed, n):
    company = cx.simulate_company(n, seed=seed)
    problem = cx.ChurnProblem(cancelled="cancellation", horizon_days=28)
    rows = problem.population(company.log, [str(day.date()) for day in DATES])
    X, y = (
        cx.build_features(company.log, rows, aggregates=MEASURED),
        problem.labels(company.log, rows),
    )
    model = cx.ChurnModel(effort="fast", random_state=seed, n_jobs=1).fit(X, y)
    drivers = cx.explain(model, X, max_rows=2_000)
    shows = {
        place: row.driver for row in company.truth.drivers.itertuples() for place in row.shows_in
    }
    groups = [_shown(origin, shows) for origin in drivers.origins.values()]
    sums, names = sum_by_group(drivers.contributions.to_numpy(), groups)
    found = pd.Series(np.abs(sums - sums.mean(axis=0)).mean(axis=0), index=names)
    true = company.truth.drivers.set_index("driver")["mean_abs_log_hazard"]
    return {"spearman": spearmanr(true, found[true.index]).statistic, **found}


DATES = pd.date_range("2024-05-06", "2025-11-24", freq="42D")
MEASURED = [
    *(
        cx.Origin("interactions", measure, column, (("kind", kind),), window)
        for kind in ("failure", "service_request", "price_rise")
        for measure, column, window in (
            ("count", "", 90),
            ("sum", "value", 60),
            ("sum", "value", 120),
            ("days_since", "", None),
        )
    ),
    *(cx.Origin("interactions", "mean", "value", (("kind", "usage"),), w) for w in (14, 30, 180)),
    cx.Origin("interactions", "count", "", (("kind", "complaint"),), 90),
    cx.Origin("interactions", "days_since", "", (("kind", "complaint"),)),
    *(
        cx.Origin("feedback", measure, "score", (("metric", metric),))
        for metric in ("nps", "csat")
        for measure in ("last", "mean")
    ),
]


def _shown(origin, shows):
    told = dict(origin.filters)
    column = {"tenure": "since"}.get(origin.measure, origin.column)
    column = "segment" if column == "plan_price" else column
    for place in (told.get("kind"), told.get("metric"), column):
        if (name := f"{origin.source}:{place}") in shows:
            return shows[name]
    return "(other)"


class Trees(ClassifierMixin, BaseEstimator):
    """Boosted trees as they come, with exact contributions."""

    def __init__(self, random_state=0):
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Fit 80 small trees."""
        self.feature_names_in_ = list(X)
        self.levels_ = {name: sorted(set(X[name])) for name in X if X[name].dtype == "str"}
        options = {"objective": "binary", "num_leaves": 8, "feature_fraction": 0.6, "verbosity": -1}
        options |= {"num_threads": 1, "seed": self.random_state, "deterministic": True}
        kept = np.asarray(sample_weight) > 0
        data = lgb.Dataset(self._numbers(X)[kept], y[kept], weight=sample_weight[kept])
        self.booster_ = lgb.train(options, data, num_boost_round=80)
        return self

    def contributions(self, X):
        """Return TreeSHAP values and the base."""
        both = self.booster_.predict(self._numbers(X), pred_contrib=True)
        return both[:, :-1], both[0, -1]

    def _numbers(self, X):
        codes = {n: pd.Categorical(X[n], categories=v).codes for n, v in self.levels_.items()}
        return X.assign(**codes).to_numpy(float)


def stability(seed, n, strength=1.0, ensemble=False):
    X, y, true = world(seed, n, strength)
    rng = np.random.default_rng([seed, 1])
    X["goes along"] = 0.6 * X[f"number {true.iloc[:5].argmax()}"] + 0.8 * rng.normal(size=n)
    origins = {
        name: cx.Origin("interactions", "count", touchpoint="none" if name in NULLS else name)
        for name in X
    }
    model = cx.ChurnModel(effort="fast", n_jobs=1) if ensemble else Trees()
    found = cx.driver_stability(model, X, y, origins=origins, random_state=seed)
    table = found.table.set_index("feature")[["no_effect"]]
    table["size"] = true.reindex(table.index)
    driver = np.where(table["size"] > 0, "driver", "null")
    table["role"] = np.where(table.index == "goes along", "goes along", driver)
    groups = found.by("touchpoint").set_index("touchpoint")
    return pd.concat([table, groups.loc[["none"], ["no_effect"]].assign(role="null group")])
