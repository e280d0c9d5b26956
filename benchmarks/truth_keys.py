"""Key drivers of surveys and the touchpoint table, held against worlds of known truth."""

import ibis
import numpy as np
import pandas as pd
from scipy import stats
from truth_repeat import at_least, at_most, covers, rejects, repeat

import cxpredict as cx
from cxpredict.data.simulated.frames import simulate_frames
from cxpredict.drivers.survey.decomposition import lmg, relative_weights
from cxpredict.drivers.survey.touchpoint_influence import influence
from cxpredict.errors import DataError

EFFECTS = np.array([0.4, 0.3, 0.15, 0.05])
NAMES = list("abcd")
FACTORS = {"basic": (-1.0, 0.0), "performance": (-0.6, 0.6), "excitement": (0.0, 1.0)}
WEIGHED = ("relative_weight", "lmg")


def population():
    """Correlations of four attributes and the outcome, R² about .3."""
    x = 0.3 + 0.7 * np.eye(4)
    variance = EFFECTS @ x @ EFFECTS + 1.0
    with_y = x @ EFFECTS / np.sqrt(variance)
    return np.block([[x, with_y[:, None]], [with_y[None], np.ones((1, 1))]])


def answers(seed, n, per_customer=1):
    """Draw answers of that population; those of one customer are the same but for little."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(population())
    own = rng.normal(size=(n, 5)) @ root.T
    passing = rng.normal(size=(n * per_customer, 5)) @ root.T
    share = 0.0 if per_customer == 1 else 0.3
    z = np.sqrt(1 - share) * np.repeat(own, per_customer, axis=0) + np.sqrt(share) * passing
    X, y = pd.DataFrame(z[:, :4], columns=NAMES), z[:, 4]
    return X, y, np.repeat(np.arange(n), per_customer)


def weights(seed, n, per_customer=1):
    """Check whether the intervals of both decompositions hold the population's shares."""
    X, y, customers = answers(seed, n, per_customer)
    table = cx.key_drivers(X, y, customers=customers).table.set_index("attribute").loc[NAMES]
    hits = []
    for name, measure in (("relative_weight", relative_weights), ("lmg", lmg)):
        true = measure(population())
        hits.append((table[f"{name}_low"] <= true) & (true <= table[f"{name}_high"]))
    ranks = (table["rank_low"] <= np.arange(1, 5)) & (np.arange(1, 5) <= table["rank_high"])
    return np.array(hits), ranks.all()


def random_attribute(seed, n, per_customer=1):
    """p-value of an attribute that goes with nothing, among others that matter."""
    X, y, customers = answers(seed, n, per_customer)
    rng = np.random.default_rng(10**6 + seed)
    X["random"] = np.repeat(rng.integers(1, 6, n), per_customer)
    table = cx.key_drivers(X, y, customers=customers).table.set_index("attribute")
    return table.loc["random", "p_value"]


def explained(seed, n, p, r_squared):
    """Check whether the interval of R² holds the R² among all customers."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, p)), columns=[f"x{number}" for number in range(p)])
    y = X["x0"] * np.sqrt(r_squared / (1 - r_squared)) + rng.normal(size=n)
    _, low, high = cx.key_drivers(X, y).r_squared
    return low <= r_squared <= high


def linear_world(seed, n):
    """Rank correlation of true and estimated weights of eight correlated attributes."""
    rng = np.random.default_rng(seed)
    mix = 0.5 * rng.normal(size=(8, 8)) + np.eye(8)
    effects = np.linspace(0.1, 0.8, 8)
    covariance = mix @ mix.T
    x = rng.multivariate_normal(np.zeros(8), covariance, n)
    noise = np.sqrt(effects @ covariance @ effects)
    y = x @ effects + rng.normal(0, noise, n)
    with_y = covariance @ effects
    joint = np.block([[covariance, with_y[:, None]], [with_y[None], np.full((1, 1), 2 * noise**2)]])
    spread = np.sqrt(np.diag(joint))
    names = [f"x{number}" for number in range(8)]
    table = cx.key_drivers(pd.DataFrame(x, columns=names), y).table.set_index("attribute")
    true = joint / spread[:, None] / spread
    both = (("relative_weight", relative_weights), ("lmg", lmg))
    return [stats.spearmanr(table.loc[names, n], of(true)).statistic for n, of in both]


def contrasts(seed, n):
    """Check whether the intervals hold the true contrasts, and whether the factors are found."""
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal(np.zeros(4), 0.3 + 0.7 * np.eye(4), n)
    X = pd.DataFrame(np.clip(np.round(3 + 1.2 * x), 1, 5), columns=[*FACTORS, "nothing"])
    true = np.array([*FACTORS.values(), (0.0, 0.0)])
    y = (X <= 2).to_numpy() @ true[:, 0] + (X >= 5).to_numpy() @ true[:, 1]
    y = y + rng.normal(0, 1, n)
    table = cx.penalty_reward(X, y, low_at_most=2, high_at_least=5)
    hits = [
        ((table[f"{name}_low"] <= value) & (value <= table[f"{name}_high"])).to_numpy()
        for name, value in zip(
            ("penalty", "reward", "asymmetry"), (*true.T, true.sum(axis=1)), strict=True
        )
    ]
    return np.array(hits), (table["factor"] == [*FACTORS, "undecided"]).to_numpy()


CONTACT_POINTS, UNHAPPY_POINTS, CONTACT_SPEND = 8.0, 12.0, -5.0
DAY = pd.Timestamp("2024-07-01")
CHURN = cx.ChurnProblem(cancelled="cancellation", horizon_days=90)


def journey(seed, n, effect):
    """Draw a log in which support and its low scores add to churn, the shop and billing do not.

    Contact and scores depend on segment and tenure, which also move churn and spend.
    """
    rng = np.random.default_rng(seed)
    ids = np.array([f"c{number}" for number in range(n)])
    tenure, business = rng.integers(200, 1500, n), rng.random(n) < 0.4
    young = np.log1p(tenure / 365.25)

    def whose(rate):
        return rng.random(n) < rate

    support = whose(0.3 + 0.2 * business)
    shop, billing = whose(0.5 - 0.15 * young), whose(0.3)
    answered = {"support": support & whose(0.7), "shop": shop & whose(0.7)}
    low = {name: who & whose(0.3 + 0.1 * business) for name, who in answered.items()}
    churn = 0.20 + 0.05 * business - 0.06 * young
    churn = churn + effect * (CONTACT_POINTS * support + UNHAPPY_POINTS * low["support"]) / 100
    spend = rng.gamma(4, 10, n) + 20 * business + effect * CONTACT_SPEND * support

    def rows(who, earliest, latest, **columns):
        days = pd.to_timedelta(rng.integers(earliest, latest, n)[who], unit="D")
        return pd.DataFrame({"customer_id": ids[who], "occurred_at": DAY + days, **columns})

    everyone, gone = np.ones(n, dtype=bool), whose(churn)
    contacts = {"support": support, "shop": shop, "billing": billing}
    frames = {
        "customers": pd.DataFrame(
            {
                "customer_id": ids,
                "since": DAY - pd.to_timedelta(tenure, unit="D"),
                "segment": np.where(business, "business", "private"),
            }
        ),
        "interactions": pd.concat(
            [rows(who, -80, 0, kind="call", touchpoint=name) for name, who in contacts.items()]
        ),
        "feedback": pd.concat(
            [
                rows(who, -80, 0, metric="csat", touchpoint=name).assign(
                    score=np.where(low[name], 2.0, 4.0)[who]
                )
                for name, who in answered.items()
            ]
        ),
        "transactions": pd.concat(
            [
                rows(everyone, 1, 60, kind="renewal").assign(amount=spend),
                rows(gone, 61, 90, kind="cancellation", amount=0.0),
            ]
        ),
    }
    times = {"since": "datetime64[us]", "occurred_at": "datetime64[us]"}
    tables = {
        name: ibis.memtable(frame.astype({c: t for c, t in times.items() if c in frame}))
        for name, frame in frames.items()
    }
    end = pd.Timestamp("2024-12-01").date()
    return cx.CustomerLog.from_tables(observed_until=end, **tables)


def touchpoints(seed, n, effect):
    """Check whether the intervals of influence hold the truth: contact and low scores."""
    log, fixed = (
        journey(seed, n, effect),
        ["segment"],
    )  # which moves contact and churn, and never changes
    found = influence(log, CHURN, DAY, exposure_days=90, level=0.95, adjust_for=fixed)
    # contact as such, and its part of low scores: .7 · (.3 + .1 · .5) where 50 % are business
    share = 0.4 * 0.5 / (0.4 * 0.5 + 0.6 * 0.3)
    through = 0.7 * (0.3 + 0.1 * share) * UNHAPPY_POINTS
    contact = {"support": (CONTACT_POINTS + through, CONTACT_SPEND), "shop": (0, 0)}
    truth = {"contact": contact | {"billing": (0, 0)}}
    truth["unhappy"] = {"support": (UNHAPPY_POINTS, 0), "shop": (0, 0)}
    hits = {}
    for study, of in truth.items():
        for place, outcome in enumerate(("churn_points", "spend")):
            column = f"{study}_{outcome}"
            cells = found.loc[list(of), [f"{column}_low", f"{column}_high"]].to_numpy(float)
            true = effect * np.array([values[place] for values in of.values()])
            hits[column] = (cells[:, 0] <= true) & (true <= cells[:, 1])
            if np.isnan(cells).any():
                raise DataError("an influence is missing in a world that is large enough for all.")
    return hits


def company(seed, n):
    """Check the company: visits of three touchpoints do nothing, failures while in use do."""
    frames, _ = simulate_frames(n, seed=seed)
    engine = ibis.duckdb.connect(threads=1)
    tables = {name: engine.create_table(name, frame) for name, frame in frames.items()}
    log = cx.CustomerLog.from_tables(observed_until=pd.Timestamp("2026-01-01").date(), **tables)
    days = ["2024-07-01", "2025-01-01", "2025-07-01"]
    found = influence(log, CHURN, days, exposure_days=90, level=0.95, adjust_for=["segment"])
    null = found.loc[["awareness", "consideration", "decision"]]
    known = null[null["contact_churn_points"].notna()]
    hits = [
        (known[f"contact_{outcome}_low"] <= 0) & (known[f"contact_{outcome}_high"] >= 0)
        for outcome in ("churn_points", "spend")
    ]
    return *hits, found.loc["use", "contact_churn_points_low"] > 0


def bars(repetitions):
    cheap, dear = max(repetitions, 2000), max(repetitions, 200)
    for n in (200, 1000):
        found = repeat(weights, cheap, n=n)
        hits = np.array([hit for hit, _ in found])
        for place, name in enumerate(WEIGHED):
            for column, attribute in enumerate(NAMES):
                yield covers(f"{name} of {attribute}, n = {n}", hits[:, place, column])
        ranks = np.mean([rank for _, rank in found])
        yield at_least(f"rank intervals hold all true ranks, n = {n}", ranks, 0.93)
    hits = np.array([hit for hit, _ in repeat(weights, cheap, n=300, per_customer=3)])
    for place, name in enumerate(WEIGHED):
        yield covers(f"{name}, 300 customers of 3 answers", hits[:, place])
    yield rejects("random attribute", repeat(random_attribute, cheap, n=300))
    yield rejects(
        "random attribute, 3 answers each", repeat(random_attribute, cheap, n=200, per_customer=3)
    )
    for p, n, true in ((8, 120, 0.1), (10, 300, 0.2)):
        hits = repeat(explained, dear, n=n, p=p, r_squared=true)
        name = (
            f"R² of {true}, {p} attributes, n = {n}: its interval, which holds that of the sample"
        )
        yield at_least(name, np.mean(hits), 0.93)
    spearman = np.mean(repeat(linear_world, dear, n=1000), axis=0)
    for name, value in zip(WEIGHED, spearman, strict=True):
        yield at_least(f"linear world: Spearman of true and estimated {name}", value, 0.9)
    found = repeat(contrasts, cheap, n=600)
    hits, right = (np.array(part) for part in zip(*found, strict=True))
    for place, name in enumerate(("penalty", "reward", "asymmetry")):
        yield covers(f"penalty-reward contrasts, {name}", hits[:, place])
    for column, name in enumerate(FACTORS):
        yield at_least(f"{name} factor recovered, n = 600", right[:, column].mean(), 0.8)
    yield at_most("attribute of no effect called a factor", 1 - right[:, 3].mean(), 0.05)
    for effect, world in ((1.0, "known effects"), (0.0, "no effects")):
        hits = repeat(touchpoints, min(dear, 500), n=1500, effect=effect)
        for column in hits[0]:
            what = column.replace("_", " on ", 1).replace("_", " ")
            yield covers(f"touchpoints, {world}: {what}", np.array([hit[column] for hit in hits]))
    churn, spend, use = zip(*repeat(company, 200, n=1500), strict=True)
    yield covers("touchpoints that do nothing in the company, churn", np.concatenate(churn))
    yield covers("touchpoints that do nothing in the company, spend", np.concatenate(spend))
    yield at_least("failures in use found to go with churn", np.mean(use), 0.95)
