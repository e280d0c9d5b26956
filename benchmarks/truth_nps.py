"""NPS: do intervals cover, do tests keep their size, does the NPS of everyone hold for everyone.

Small samples are not simulated but enumerated: coverage and size are exact sums over all outcomes
of 30 to 100 answers. The simulated company gives everyone's scores, the silent included; who
answers is drawn anew in each repetition, from the true probabilities.
"""

import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
from nps_worlds import company_table, synthetic
from scipy import stats
from truth_repeat import at_least, at_most, covers, rejects, repeat, within

import cxpredict as cx

SHARES = [0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85,
          0.9, 0.93, 0.95, 0.97, 0.98, 0.99]  # fmt: skip
FEW = 5
"""Answers expected outside the commonest group, below which outcomes are too few."""
SCALE = {"scale": (0, 10)}


def bars(repetitions):
    proof = repetitions >= 200
    yield from exact_coverage((30, 50, 100) if proof else (30,))
    yield from simulated_coverage(max(repetitions, 2000) if proof else repetitions)
    yield from sizes(max(repetitions, 4000) if proof else repetitions)
    yield from everyone(min(repetitions, 250))  # half a second each, the company's some seconds


# --- one NPS -------------------------------------------------------------------------------------
def limits(seed, *, n, method):
    """Limits for each number of detractors beside `seed` − 1 promoters of n."""
    p, rows = seed - 1, []
    for d in range(n - p + 1):
        row = cx.nps([10] * p + [8] * (n - p - d) + [0] * d, method=method, **SCALE).loc["all"]
        rows.append((p, d, row["low"], row["high"]))
    return rows


def exact_coverage(sizes):
    """Sum the probability of all outcomes whose interval holds the truth."""
    for n in sizes:
        for method in ("jeffreys", "adjusted_wald"):
            table = np.vstack(repeat(limits, n + 1, n=n, method=method))
            cells = [(p, d, coverage(n, table, p, d)) for p in SHARES for d in SHARES if p + d <= 1]
            cells = pd.DataFrame(cells, columns=["p", "d", "coverage"])
            common = cells[["p", "d"]].assign(q=1 - cells["p"] - cells["d"]).max(axis=1)
            enough = n * (1 - common) >= FEW - 1e-9
            for told, chosen in ((f"at least {FEW}", enough), (f"fewer than {FEW}", ~enough)):
                found = cells.loc[chosen, "coverage"]
                name = f"NPS {method}, {n} answers, {told} expected outside the commonest group"
                inside = found.between(0.93, 0.97).mean()
                print(f"  {name}: {inside:.0%} of {len(found)} cells in 93–97 %, "
                      f"mean {found.mean():.3f}", flush=True)  # fmt: skip
                if method == "jeffreys":
                    yield at_least(f"{name}: lowest exact coverage", found.min(), 0.93)
                    yield at_most(f"{name}: highest exact coverage", found.max(), 0.97)


def coverage(n, table, p, d):
    probability = stats.multinomial.pmf(
        np.column_stack([table[:, 0], table[:, 1], n - table[:, 0] - table[:, 1]]),
        n,
        [p, d, max(1 - p - d, 0)],
    )
    truth = 100 * (p - d)
    return probability[(table[:, 2] <= truth + 1e-9) & (table[:, 3] >= truth - 1e-9)].sum()


def draw(rng, n, p, d):
    return rng.choice([10, 8, 3], size=n, p=[p, 1 - p - d, d])


def simple(seed, *, n, p, d, method):
    scores = draw(np.random.default_rng(seed), n, p, d)
    return holds(cx.nps(scores, method=method, random_state=seed, **SCALE), 100 * (p - d))


def weighted(seed, *, n, method, p=0.5, d=0.2):
    """Two strata with other shares; the small one is asked four times as often."""
    rng = np.random.default_rng(seed)
    small = rng.random(n) < 0.5  # a fifth of all customers, half of the answers
    scores = np.where(small, draw(rng, n, d, p), draw(rng, n, p, d))
    table = cx.nps(scores, weights=np.where(small, 1.0, 4.0), method=method, random_state=seed)
    return holds(table, 100 * (0.8 - 0.2) * (p - d))


def repeated(seed, *, customers, method, known=True, p=0.5, d=0.2):
    """Let customers answer 1 to 5 times, seven times in ten as they always do."""
    rng = np.random.default_rng(seed)
    customer = np.repeat(np.arange(customers), rng.integers(1, 6, customers))
    usual = draw(rng, customers, p, d)[customer]
    scores = np.where(rng.random(len(customer)) < 0.7, usual, draw(rng, len(customer), p, d))
    who = customer if known else None
    return holds(cx.nps(scores, customers=who, method=method, random_state=seed), 100 * (p - d))


def holds(table, truth):
    return bool(table["low"].iloc[0] - 1e-9 <= truth <= table["high"].iloc[0] + 1e-9)


def simulated_coverage(many):
    for n, p, d in ((300, 0.97, 0.01), (1000, 0.02, 0.98), (1000, 0.01, 0.01), (10_000, 0.5, 0.2),
                    (10_000, 0.995, 0.002)):  # fmt: skip
        hits = repeat(simple, many, n=n, p=p, d=d, method="jeffreys")
        yield covers(f"NPS jeffreys, {n} answers, shares {p:g} and {d:g}", hits)
    for n, p, d in ((30, 0.5, 0.2), (100, 0.35, 0.3), (1000, 0.9, 0.05), (10_000, 0.5, 0.2)):
        hits = repeat(simple, many, n=n, p=p, d=d, method="adjusted_wald")
        yield covers(f"NPS adjusted_wald, {n} answers, shares {p:g} and {d:g}", hits)
    for n, p, d in ((100, 0.5, 0.2), (1000, 0.9, 0.05)):
        hits = repeat(simple, many, n=n, p=p, d=d, method="bootstrap")
        yield covers(f"NPS bootstrap, {n} answers, shares {p:g} and {d:g}", hits)
    for method, n in (("adjusted_wald", 30), ("adjusted_wald", 100), ("adjusted_wald", 10_000),
                      ("jeffreys", 30), ("jeffreys", 1000)):  # fmt: skip
        yield covers(
            f"NPS weighted, {method}, {n} answers", repeat(weighted, many, n=n, method=method)
        )
    hits = repeat(weighted, many, n=300, method="jeffreys", p=0.93, d=0.02)
    yield covers("NPS weighted, jeffreys, 300 answers, shares .93 and .02 in one stratum", hits)
    for method in ("adjusted_wald", "jeffreys", "bootstrap"):
        hits = repeat(repeated, many, customers=200, method=method)
        yield covers(f"NPS of 200 customers with 1 to 5 answers, {method}", hits)
    hits = repeat(repeated, many, customers=200, method="adjusted_wald", known=False)
    yield at_most("The same with customers ignored: coverage", np.mean(hits), 0.9)


# --- two NPS -------------------------------------------------------------------------------------
@cache
def p_value(a, b, method):
    """p-value of two triples of counts; rare shares give few different ones."""
    one, two = ([10] * p + [8] * q + [0] * d for p, q, d in (a, b))
    return cx.nps_difference(one, two, method=method, random_state=0, **SCALE)["p_value"].iloc[0]


def null(seed, *, n_a, n_b, p, d, method):
    rng, shares = np.random.default_rng(seed), [p, 1 - p - d, d]
    counts = (tuple(int(k) for k in rng.multinomial(n, shares)) for n in (n_a, n_b))
    return p_value(*counts, method)


def null_weighted(seed, *, n_a, n_b, method):
    rng = np.random.default_rng(seed)
    groups = []
    for n in (n_a, n_b):
        small = rng.random(n) < 0.5
        scores = np.where(small, draw(rng, n, 0.2, 0.5), draw(rng, n, 0.5, 0.2))
        groups.append((scores, np.where(small, 1.0, 4.0)))
    (a, w_a), (b, w_b) = groups
    table = cx.nps_difference(
        a, b, weights_a=w_a, weights_b=w_b, method=method, random_state=seed, **SCALE
    )
    return table["p_value"].iloc[0]


def null_same_customers(seed, *, customers, method):
    """Two periods: 60 % of the customers answer in each, alike in two of three cases."""
    rng = np.random.default_rng(seed)
    usual = draw(rng, customers, 0.45, 0.25)
    periods = []
    for _ in range(2):
        who = np.flatnonzero(rng.random(customers) < 0.6)
        fresh = draw(rng, len(who), 0.45, 0.25)
        periods.append((np.where(rng.random(len(who)) < 0.8, usual[who], fresh), who))
    (a, c_a), (b, c_b) = periods
    table = cx.nps_difference(
        a, b, customers_a=c_a, customers_b=c_b, method=method, random_state=seed, **SCALE
    )
    return table["p_value"].iloc[0]


def sizes(many):
    for n_a, n_b, p, d, method in (
        (100, 100, 0.4, 0.3, "adjusted_wald"),
        (1000, 150, 0.35, 0.3, "adjusted_wald"),
        (10_000, 10_000, 0.5, 0.2, "adjusted_wald"),
        (60, 60, 0.9, 0.05, "jeffreys"),
        (300, 100, 0.9, 0.05, "jeffreys"),
        (1000, 300, 0.97, 0.01, "jeffreys"),
        (1000, 1000, 0.01, 0.02, "jeffreys"),
        (1000, 500, 0.9, 0.05, "bootstrap"),
    ):
        found = repeat(null, many, n_a=n_a, n_b=n_b, p=p, d=d, method=method)
        yield rejects(
            f"Difference {method}, {n_a} and {n_b} answers, shares {p:g} and {d:g}", found
        )
    for method in ("adjusted_wald", "jeffreys"):
        found = repeat(null_weighted, many, n_a=400, n_b=150, method=method)
        yield rejects(f"Difference weighted, {method}, 400 and 150 answers", found)
        found = repeat(null_same_customers, many, customers=300, method=method)
        yield rejects(f"Difference of two periods of the same 300 customers, {method}", found)


# --- everyone ------------------------------------------------------------------------------------
def everyone_of(X, scores, outcome, seed, **settings):
    from sklearn.base import clone

    model = None if outcome == "default" else clone(outcome)
    result = cx.nps_of_everyone(X, scores, outcome=model, random_state=seed, **SCALE, **settings)
    return result.table().loc["all"], result.answers_only.loc["all"]


def of_company(seed, *, path, n):
    """Take some customers of the simulated company; who of them answers is drawn anew."""
    rng = np.random.default_rng(seed)
    table = stored(path)
    customer = table.index.get_level_values("customer_id")
    names = customer.unique()
    part = table[customer.isin(rng.choice(names, int(n / len(table) * len(names)), replace=False))]
    scores = part["score"].where(rng.random(len(part)) < part["response_probability"])
    X = part.drop(columns=["score", "response_probability"])
    found, answers = everyone_of(X, scores, trees(), seed, folds=4)
    return report(found, answers, nps_share(part["score"]))


def of_world(seed, *, world, outcome, n=1000, **settings):
    X, scores, everyones, extra = synthetic(world, n, seed)
    model = outcome if isinstance(outcome, str) else outcome()
    found, answers = everyone_of(X, scores, model, seed, **extra, **settings)
    return report(found, answers, everyones)


def report(found, answers, truth):
    return {
        "hit": found["low"] <= truth <= found["high"],
        "error": found["estimate"] - truth,
        "bias of answers": answers["estimate"] - truth,
        "hit of answers": answers["low"] <= truth <= answers["high"],
        "width": found["high"] - found["low"],
    }


def nps_share(scores):
    return 100 * ((scores >= 9).mean() - (scores <= 6).mean())


@cache
def stored(path):
    return pd.read_parquet(path)


def trees():
    from lightgbm import LGBMClassifier

    return LGBMClassifier(n_estimators=60, learning_rate=0.05, num_leaves=8, colsample_bytree=0.3,
                          reg_lambda=5.0, n_jobs=1, verbose=-1)  # fmt: skip


def logistic(degree=1):
    """Logistic regression, on products of up to `degree` columns."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    products = PolynomialFeatures(degree, interaction_only=True, include_bias=False)
    return make_pipeline(products, StandardScaler(), LogisticRegression(max_iter=500))


def knows_nothing():
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior")


def everyone(repetitions):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "company.parquet"
        company_table(6_000 if repetitions < 200 else 24_000).to_parquet(path)
        found = pd.DataFrame(repeat(of_company, min(repetitions, 200), path=str(path), n=1500))
    yield from told("simulated company, 1,500 invitations", found, naive=True)
    for name, world, outcome, settings in (
        ("null world (silence at random)", "null", logistic, {}),
        ("both models right", "smooth", logistic, {}),
        ("outcome model knows nothing, propensity right", "smooth", knows_nothing, {}),
        ("propensity model blind, outcome right", "parity", partial(logistic, 4), {}),
        ("a tenth never invited, chosen by X", "invited", logistic, {}),
        ("rows are a sample", "sample", logistic, {"rows": "sample"}),
        ("customers invited 1 to 4 times", "repeated", logistic, {}),
    ):
        found = pd.DataFrame(
            repeat(of_world, repetitions, world=world, outcome=outcome, **settings)
        )
        yield from told(name, found, naive=world not in ("null",))
    found = repeat(
        of_world, min(repetitions, 200), world="smooth", outcome="default", n=600, folds=2
    )
    yield from told("SatisfactionModel (default), 600 customers", pd.DataFrame(found), naive=True)


def told(name, found, *, naive):
    print(f"  NPS of everyone, {name}: bias {found['error'].mean():.2f}, "
          f"sd {found['error'].std():.2f}, width {found['width'].mean():.1f}; answers only: bias "
          f"{found['bias of answers'].mean():.2f}, coverage {found['hit of answers'].mean():.3f}",
          flush=True)  # fmt: skip
    yield covers(f"NPS of everyone, {name}", found["hit"])
    if naive:
        before = abs(found["bias of answers"].mean())
        share = abs(found["error"].mean()) / before
        yield within(
            f"NPS of everyone, {name}: part of {before:.1f} points bias left", share, 0, 0.2
        )
