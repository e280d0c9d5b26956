"""A model's life: false alarms and power of drift, estimated performance, verdicts on cohorts.

Drift: thirty correlated columns with ties, gaps and categories; training rows are several per
customer, scored ones one per customer, from the same distribution. Performance: a logistic world
in which who comes may change (covariate shift), or what customers do (concept drift).
"""

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit
from truth_repeat import at_least, at_most, repeat, within

import cxpredict as cx
from cxpredict.features.origin import Origin
from cxpredict.jobs.monitoring.cohorts import Cohort
from cxpredict.jobs.monitoring.estimated import estimated
from cxpredict.jobs.monitoring.realised import realised
from cxpredict.jobs.monitoring.verdicts import reference_verdicts

SIZES = ((1_000, 100, 1), (5_000, 1_000, 1), (20_000, 10_000, 4), (20_000, 100_000, 10))
BETA = np.array([1.0, -0.7, 0.5, 0.3, 0.0])
DAY = pd.Timestamp("2024-01-01")
METRICS = ("roc_auc", "log_loss", "brier", "base_rate", "average_precision")


def bars(repetitions):
    yield from false_alarms(repetitions)
    yield from power(repetitions)
    yield from by_date(repetitions)
    yield from estimates(repetitions)
    yield from alerts(repetitions)


def false_alarms(repetitions):
    for trained, scored, fewer in SIZES:
        times = max(20, repetitions // fewer)
        found = pd.DataFrame(repeat(unmoved, times, trained=trained, scored=scored))
        name = f"drift of 30 columns, {trained:,} rows trained on, {scored:,} scored"
        print(f"monitor: {name}: usual PSI over .1 in {found['plain_psi'].mean():.1%} of tables, "
              f"a chi-square test as if rows were customers, not corrected: "
              f"{found['plain_test'].mean():.1%}")  # fmt: skip
        noise = 1.645 * np.sqrt(0.05 * 0.95 / times)
        share = found["alarm"].mean()
        yield at_most(f"{name}: any false alarm in {times:,} tables", share, 0.05 + noise)
        yield at_most(f"{name}: any column called drifted", found["drifted"].mean(), 0.01)


def unmoved(seed, trained, scored):
    """Compare scored rows of the very distribution that the model was trained on."""
    rng = np.random.default_rng(seed)
    X, new = columns(rng, trained, rows_each=4), columns(rng, scored, rows_each=1)
    baseline = cx.learn_baseline(X)
    table = cx.DriftCounts(baseline).add(new).table()
    usual = [usual_checks(X[name], new[name]) for name in X if X[name].dtype.kind == "f"]
    return {
        "alarm": (table["p_corrected"] < 0.05).any(),
        "drifted": (table["status"] == "drifted").any(),
        "plain_psi": max(psi for psi, _ in usual) > 0.1,
        "plain_test": min(p for _, p in usual) < 0.05,
    }


def columns(rng, n, *, rows_each, shift=0.0):
    """Draw thirty columns of customers with several rows each; `shift` moves the first of all."""
    customers = -(-n // rows_each)
    who = np.repeat(np.arange(customers), rows_each)[:n]
    common = rng.normal(size=(customers, 1))
    own = np.sqrt(0.4) * common + np.sqrt(0.6) * rng.normal(size=(customers, 30))
    stays = np.r_[np.full(10, 0.5), np.full(10, 0.9), np.full(10, 1.0)]
    z = np.sqrt(stays) * own[who] + np.sqrt(1 - stays) * rng.normal(size=(n, 30))
    z[:, 0] += shift
    u = stats.norm.cdf(z)
    table = {f"number_{i}": z[:, i] for i in range(5)}
    table |= {f"amount_{i}": np.round(np.exp(1.5 * z[:, i]), 2) for i in range(5, 8)}
    table |= {f"count_{i}": stats.poisson.ppf(u[:, i], 0.1 * 4 ** (i - 8)) for i in range(8, 13)}
    table |= {f"gaps_{i}": np.where(u[:, i] < 0.02 * (i - 12), np.nan, z[:, i]) for i in (13, 14)}
    table |= {f"rare_gap_{i}": np.where(u[:, i] < 0.001, np.nan, z[:, i]) for i in (15, 16)}
    table |= {f"flag_{i}": u[:, i] < 0.02 * (i - 16) for i in range(17, 20)}
    for i in range(20, 30):
        weights = 1.0 / np.arange(1, 3 + 3 * (i - 20)) ** 1.3
        ends = np.cumsum(weights / weights.sum())
        table[f"level_{i}"] = pd.Series(np.searchsorted(ends, u[:, i])).map("level {}".format)
    index = pd.MultiIndex.from_arrays(
        [[f"c{number}" for number in who], np.arange(n)], names=["customer_id", "as_of"]
    )
    return pd.DataFrame(table).set_axis(index)


def usual_checks(old, new):
    """Do what monitors usually do: deciles, PSI as it is, a plain chi-square test."""
    edges = np.unique(np.nanquantile(old, np.linspace(0.1, 0.9, 9)))
    counts = np.array(
        [np.bincount(np.searchsorted(edges, part.dropna()), minlength=len(edges) + 1)
         for part in (old, new)]
    )  # fmt: skip
    counts = counts[:, counts.sum(axis=0) > 0]
    t, s = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
    return float(np.sum((s - t) * np.log(s / t))), stats.chi2_contingency(counts).pvalue


def power(repetitions):
    for shift, least in ((0.25, 0.8), (0.5, 0.99)):
        found = pd.DataFrame(repeat(moved, max(20, repetitions // 4), shift=shift))
        name = f"one of 30 columns moves by {shift:g} standard deviations, 1,000 scored"
        yield at_least(f"{name}: found", found["found"].mean(), least)
        print(f"monitor: {name}: called drifted {found['drifted'].mean():.1%}, PSI "
              f"{found['psi'].mean():.3f}")  # fmt: skip


def moved(seed, shift):
    rng = np.random.default_rng(seed)
    baseline = cx.learn_baseline(columns(rng, 5_000, rows_each=4))
    new = columns(rng, 1_000, rows_each=1, shift=shift)
    row = cx.DriftCounts(baseline).add(new).table().set_index("feature").loc["number_0"]
    return {
        "found": row["status"] in ("moved", "drifted"),
        "drifted": row["status"] == "drifted",
        "psi": row["psi"],
    }


def by_date(repetitions):
    """Worlds whose dates differ: exit code 9 where nothing else moved, and where one thing did."""
    times = max(20, repetitions // 2)
    noise = 1.645 * np.sqrt(0.05 * 0.95 / times)
    for dates in (3, 6, 12, 24):
        found = pd.DataFrame(repeat(dated, times, dates=dates))
        name = f"20 of 31 columns have their date's effect, {dates} training dates"
        print(f"monitor: {name}: exit code 9 by max_psi alone in {found['by_size'].mean():.1%}")
        yield at_most(
            f"{name}: exit code 9 though all is well", found["alert"].mean(), 0.05 + noise
        )
        if dates >= 6:
            moved = pd.DataFrame(repeat(dated, times // 2, dates=dates, shift=1.0))
            yield at_least(f"{name}: a steady column moves by a standard deviation: drifted",
                           moved["found"].mean(), 0.95)  # fmt: skip
    for dates in (6, 12):
        moved = pd.DataFrame(repeat(dated, times // 2, dates=dates, shift=1.0, onto="season_0"))
        print(f"monitor: a seasonal column moves by a standard deviation, {dates} training dates: "
              f"drifted {moved['found'].mean():.1%}, moved or drifted "
              f"{moved['seen'].mean():.1%}")  # fmt: skip


def dated(seed, dates, shift=0.0, onto="steady_0", customers=500):
    """Compare a further date with training dates 30 days apart: phase, season, shocks, months."""
    rng = np.random.default_rng(seed)
    parts = dated_rows(rng, dates + 1, customers)
    trained, new = pd.concat(parts[:-1]), parts[-1].copy()
    trained.attrs = parts[0].attrs
    new[onto] += shift
    table = cx.DriftCounts(cx.learn_baseline(trained)).add(new).table().set_index("feature")
    size = (table["p_corrected"] < 0.05) & (table["psi"] >= 0.25)
    return {
        "alert": (table["status"] == "drifted").any(),
        "by_size": size.any(),
        "found": table.loc[onto, "status"] == "drifted",
        "seen": table.loc[onto, "status"] in ("moved", "drifted"),
    }


def dated_rows(rng, dates, customers):
    """Draw a frame per date: ten columns are steady, five each shocked, seasonal and in phase."""
    names = [f"c{number}" for number in range(customers)]
    own = rng.normal(size=(customers, 20))
    sizes, phases = rng.uniform(0.2, 1.0, 10), rng.uniform(0, 2 * np.pi, 5)
    shocks = sizes[:5] * rng.normal(size=(dates, 5))
    days = 30 * np.arange(dates)
    seasons = sizes[5:] * np.sin(2 * np.pi * days[:, None] / 365 + phases)
    parts = []
    for date, day in enumerate(days):
        z = np.sqrt(0.6) * own + np.sqrt(0.4) * rng.normal(size=own.shape)
        z[:, 10:15] += shocks[date]
        z[:, 15:20] += seasons[date]
        groups = [("steady", 10), ("shock", 5), ("season", 5)]
        columns = [f"{group}_{i}" for group, many in groups for i in range(many)]
        X = pd.DataFrame(z, columns=columns)
        for i in range(10):  # days since the last bill of a month, paid within some days
            X[f"phase_{i}"] = rng.integers(0, 31) + rng.exponential(2 + i, customers).round()
        as_of = DAY + pd.Timedelta(days=int(day))
        X["calendar_month"] = as_of.month
        X.attrs["origins"] = {"calendar_month": Origin("calendar", "month").to_dict()}
        index = pd.MultiIndex.from_product([names, [as_of]], names=["customer_id", "as_of"])
        parts.append(X.set_axis(index))
    return parts


def people(rng, n, *, moved=False):
    """Draw customers; those who come later are older, more different and fewer of one kind."""
    X = rng.normal(size=(n, 5))
    return X * np.array([1.3, 1.0, 1.0, 0.7, 1.0]) + np.array([0.6, -0.4, 0, 0, 0]) if moved else X


def world(rng, *, learnt_on=2_000, tested_on=2_000):
    """Fit a regression and test it: coefficients and the metrics with their intervals."""
    X = people(rng, learnt_on)
    known = regress(X, draw(rng, X, BETA))
    test = people(rng, tested_on)
    table = cx.evaluate(draw(rng, test, BETA), risk_of(known, test), n_bootstrap=200)
    tested = {row.metric: (row.estimate, row.low, row.high) for row in table.itertuples()}
    return known, tested


def regress(X, y):
    design, beta = np.column_stack([np.ones(len(X)), X]), np.zeros(X.shape[1] + 1)
    for _ in range(12):
        p = expit(design @ beta)
        beta += np.linalg.solve((design * (p * (1 - p))[:, None]).T @ design, design.T @ (y - p))
    return beta


def risk_of(known, X):
    return expit(known[0] + X @ known[1:])


def draw(rng, X, beta, level=-1.5):
    return (rng.random(len(X)) < expit(level + X @ beta)).astype(float)


def estimates(repetitions):
    for kind in ("nobody new", "others come", "customers change"):
        found = pd.DataFrame(repeat(estimate, repetitions, kind=kind))
        for metric in METRICS if kind != "customers change" else ("roc_auc", "log_loss"):
            name = f"estimated {metric}, {kind}"
            covered = found[f"{metric} covered"].mean()
            print(f"monitor: {name}: error {found[f'{metric} error'].mean():+.4f}, interval "
                  f"{found[f'{metric} width'].mean():.4f} wide, covers {covered:.1%}")  # fmt: skip
            if kind == "customers change":
                yield at_most(f"{name}: wrong, as documented: coverage", covered, 0.5)
            else:
                yield at_least(f"{name}: coverage of what is measured", covered, 0.93)


def estimate(seed, kind, n=2_000):
    rng = np.random.default_rng(seed)
    known, tested = world(rng)
    X = people(rng, n, moved=kind == "others come")
    y = draw(rng, X, BETA * (0.4 if kind == "customers change" else 1.0))
    p = risk_of(known, X)
    table = estimated(pd.Series(p), tested, random_state=seed).set_index("metric")
    true = cx.evaluate(y, p, n_bootstrap=1).set_index("metric")["estimate"]
    found = {}
    for metric in METRICS:
        row, value = table.loc[metric], true[metric]
        found[f"{metric} covered"] = row["low"] <= value <= row["high"]
        found[f"{metric} error"] = row["estimate"] - value
        found[f"{metric} width"] = row["high"] - row["low"]
    return found


def alerts(repetitions):
    times = max(20, repetitions // 2)
    for dates, tested_on in ((1, 2_000), (4, 2_000), (4, 600)):
        found = pd.DataFrame(repeat(judge, times, dates=dates, tested_on=tested_on))
        name = f"verdicts on {dates} date(s), {tested_on:,} tested"
        noise = 1.645 * np.sqrt(0.05 * 0.95 / times)
        yield at_most(f"{name}: any false alarm", found["alarm"].mean(), 0.05 + noise)
    found = pd.DataFrame(repeat(judge, times // 2, dates=1, tested_on=2_000, fades=0.6))
    yield at_least("verdict where effects fade to 60 %: alarm", found["alarm"].mean(), 0.9)
    contacted = pd.DataFrame(repeat(judge, times // 2, dates=1, tested_on=2_000, contact=True))
    everyone = contacted["everyone"].mean()
    name = "half of the riskiest half stay because they are contacted, half of them held out"
    print(f"monitor: {name}: false alarm on everyone {everyone:.1%}, without contact "
          f"{contacted['alarm'].mean():.1%}")  # fmt: skip
    yield at_most(f"{name}: false alarm without contact", contacted["alarm"].mean(), 0.05 + noise)
    yield within(f"{name}: bias of the rate without contact", contacted["bias"].mean(), -0.01, 0.01)


def judge(seed, dates, tested_on, fades=1.0, contact=False, n=1_500):
    """Judge cohorts of a model that is as good as ever, or of one whose effects fade."""
    rng = np.random.default_rng(seed)
    known, tested = world(rng, tested_on=tested_on)
    parts = [cohort_of(rng, known, day, n, fades, contact) for day in range(dates)]
    tables = [
        realised(cohort).assign(as_of=cohort.as_of, evidence="measured") for cohort, _ in parts
    ]
    table = pd.concat(tables, ignore_index=True)
    worse = reference_verdicts(table, tested)["verdict"] == "worse"
    everyone = reference_verdicts(table[table["rows"] == "everyone"], tested)["verdict"] == "worse"
    found = {"alarm": worse.any(), "everyone": everyone.any()}
    if contact:
        rows = table[table["rows"] == "without contact"].set_index("metric")
        found["bias"] = rows.loc["base_rate", "estimate"] - parts[0][1]
    return found


def cohort_of(rng, known, day, n, fades, contact):
    X = people(rng, n)
    left, p = draw(rng, X, fades * BETA), risk_of(known, X)
    arm = np.full(n, None, dtype=object)
    happened = left.copy()
    if contact:
        chosen = p > np.median(p)
        arm[chosen] = np.where(rng.random(chosen.sum()) < 0.5, "held_out", "treated")
        happened[(arm == "treated") & (rng.random(n) < 0.5)] = 0.0
    as_of = DAY + pd.Timedelta(days=30 * day)
    index = pd.MultiIndex.from_product(
        [[f"c{i}" for i in range(n)], [as_of]], names=["customer_id", "as_of"]
    )
    risk, outcome, arm = (pd.Series(values, index) for values in (p, happened, arm))
    return Cohort(as_of, risk, arm, outcome, mature=True, gone=0), left.mean()
