"""Profit of contacting: intervals where the truth is known, and customers with their own costs.

The simulated customers leave and accept with known probabilities; acceptance is estimated from a
trial as a company would. ``churn_tv`` has the costs of every decision for every subscriber
(Correa Bahnsen, Aouada and Ottersten 2015); thresholds there come from costs alone, none is
chosen on the outcomes.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import integrate, stats
from truth_repeat import at_least, at_most, covers, repeat

import cxpredict as cx

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "churn_tv.parquet"
OFFER = {"incentive": 10.0, "contact_cost": 1.0}
DIVISIONS = 3
COSTS = ["C_TP", "C_FP", "C_FN", "C_TN"]


def bars(repetitions):
    many = max(repetitions, 4000)
    campaigns = pd.DataFrame(repeat(campaign, many))
    yield covers("expected gain of a campaign, acceptance from a trial", campaigns["expected"])
    yield covers("realised gain of a campaign, acceptance from a trial", campaigns["realised"])
    yield covers("break-even probability, acceptance from a trial", campaigns["break_even"])
    estimated = pd.DataFrame(repeat(estimated_risk, max(repetitions, 1000)))
    name = "gain of a campaign, risk and acceptance estimated"
    yield at_least(f"{name}: coverage, everybody contacted", estimated["everybody"].mean(), 0.93)
    yield at_least(f"{name}: coverage, chosen by gain", estimated["chosen"].mean(), 0.93)
    gaps = repeat(integration_gap, 50)
    yield at_most("EMPC with own values less numerical integration, 50 problems", max(gaps), 1e-6)
    curves = pd.DataFrame(repeat(best_threshold, many))
    apparent, held_out = curves["apparent"].mean(), curves["held_out"].mean()
    print(f"profit: threshold chosen and paid on 1,000 customers: {apparent:+.2%} of the true "
          f"profit, interval holds it in {curves['covered_apparent'].mean():.1%}; "
          f"held out: {held_out:+.2%}")  # fmt: skip
    yield at_most("held-out profit: bias as share of the true profit", abs(held_out), 0.01)
    yield covers("held-out profit of the best threshold", curves["covered"])
    yield at_least("best threshold: coverage", curves["threshold"].mean(), 0.93)
    if DATA.exists():
        yield from own_costs()
    else:
        print("profit: churn_tv is not on this machine, its bars are left out")


def campaign(seed, n=1000, offered=60):
    """Hold intervals of a campaign against its truth, if acceptance is known from a trial."""
    rng = np.random.default_rng(seed)
    accepts = rng.uniform(0.1, 0.6)
    trial = cx.Beta.from_trial(accepted=rng.binomial(offered, accepts), offered=offered)
    risk, value = rng.beta(1, 4, n), rng.gamma(4, 50, n)
    chosen = cx.expected_gain(risk, value=value, acceptance=trial, **OFFER) > 0
    p, v = risk[chosen], value[chosen]
    gain = cx.campaign_gain(p, value=v, acceptance=trial, **OFFER)
    truth = cx.expected_gain(p, value=v, acceptance=accepts, **OFFER).sum()
    leaves = rng.random(len(p)) < p
    kept = leaves & (rng.random(len(p)) < accepts)
    paid = ((v - 10.0) * kept - 10.0 * ~leaves - 1.0).sum()
    even = cx.break_even_interval(value=200.0, acceptance=trial, **OFFER).iloc[0]
    true_even = cx.break_even_probability(value=200.0, acceptance=accepts, **OFFER)
    return {
        "expected": gain.loc["expected", "low"] <= truth <= gain.loc["expected", "high"],
        "realised": gain.loc["realised", "low"] <= paid <= gain.loc["realised", "high"],
        "break_even": even["low"] <= true_even <= (even["high"] if even["high"] > 0 else 1.0),
    }


def estimated_risk(seed, n=200, learnt_on=1000, offered=60):
    """Hold the interval of a campaign against its truth, if risk comes from a regression too."""
    rng = np.random.default_rng(seed)
    accepts = rng.uniform(0.2, 0.5)
    trial = cx.Beta.from_trial(accepted=rng.binomial(offered, accepts), offered=offered)
    x = rng.normal(size=learnt_on)
    left = rng.random(learnt_on) < _risk(-1.5 + x)
    known, covariance = _regress(x, left)
    new, value = rng.normal(size=n), rng.gamma(4, 50, n)
    design = np.column_stack([np.ones(n), new])
    reach = 1.96 * np.sqrt(np.einsum("ij,jk,ik->i", design, covariance, design))
    margin = design @ known
    interval = np.column_stack([_risk(margin - reach), _risk(margin + reach)])
    terms = {"value": value, "acceptance": trial, **OFFER}
    true_gain = cx.expected_gain(_risk(-1.5 + new), **{**terms, "acceptance": accepts})
    hits = {}
    by_gain = cx.expected_gain(_risk(margin), **terms) > 0
    for name, rows in {"everybody": np.ones(n, dtype=bool), "chosen": by_gain}.items():
        gain = cx.campaign_gain(
            _risk(margin)[rows],
            **{**terms, "value": value[rows]},
            probability_interval=interval[rows],
        ).loc["expected"]
        hits[name] = gain["low"] <= true_gain[rows].sum() <= gain["high"]
    return hits


def _risk(margin):
    return 1 / (1 + np.exp(-margin))


def _regress(x, left):
    """Fit a logistic regression by Newton's steps; give coefficients and their covariance."""
    design, beta = np.column_stack([np.ones(len(x)), x]), np.zeros(2)
    for _ in range(12):
        p = _risk(design @ beta)
        covariance = np.linalg.inv((design * (p * (1 - p))[:, None]).T @ design)
        beta = beta + covariance @ design.T @ (left - p)
    return beta, covariance


def integration_gap(seed):
    """Compare the EMPC of customers with their own money to integration by quadrature."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(10, 120))
    y = rng.integers(0, 2, n)
    y[:2] = 0, 1
    score = np.round(0.3 * y + 0.7 * rng.random(n), int(rng.integers(1, 4)))
    money = {
        "value": rng.normal(150, 100, n),
        "incentive": rng.uniform(0, 40, n),
        "contact_cost": rng.uniform(0, 5, n),
        "stayer_acceptance": rng.random(n),
    }
    acceptance = cx.Beta(*rng.uniform(1, 20, 2))
    exact = cx.expected_maximum_profit(y, score, **money, acceptance=acceptance).profit
    masks = np.array([score > score.max(), *(score >= t for t in np.unique(score))])

    def profit(gamma):
        leaver = gamma * (money["value"] - money["incentive"]) - money["contact_cost"]
        stayer = -money["stayer_acceptance"] * money["incentive"] - money["contact_cost"]
        best = (masks @ np.where(y == 1, leaver, stayer)).max() / n
        return best * stats.beta.pdf(gamma, acceptance.alpha, acceptance.beta)

    ends = np.linspace(0, 1, 51)
    parts = [integrate.quad(profit, a, b, epsabs=1e-9, limit=200)[0] for a, b in pairwise(ends)]
    return abs(exact - sum(parts))


def best_threshold(seed, n=1000):
    """Choose the best threshold for customers whose profit curve is known.

    Scores are uniform, half the score is the true risk, and values are independent of it: down to
    the threshold t customers bring (γ(200 − 10) + 10)(1 − t²)/4 − 11(1 − t) each.
    """
    rng = np.random.default_rng(seed)
    score = rng.random(n)
    curve = cx.profit_curve(
        rng.random(n) < score / 2,
        score,
        value=rng.gamma(4, 50, n),
        acceptance=0.3,
        n_bootstrap=200,
        **OFFER,
    )
    found = curve.best.set_index("measure")

    def truth(threshold):
        return 67 * (1 - threshold**2) / 4 - 11 * (1 - threshold) if threshold < 1 else 0.0

    chosen, best = truth(found.loc["threshold", "estimate"]), 22 / 67
    held_out, limits = found.loc["held-out profit"], found.loc["threshold"]
    return {
        "apparent": (found.loc["profit", "estimate"] - chosen) / truth(best),
        "held_out": (held_out["estimate"] - chosen) / truth(best),
        "covered": held_out["low"] <= chosen <= held_out["high"],
        "covered_apparent": found.loc["profit", "low"] <= chosen <= found.loc["profit", "high"],
        "threshold": limits["low"] <= best <= limits["high"],
    }


def own_costs():
    """Contact TV subscribers by their own costs, out of fold, and pay what it costs."""
    table = pd.read_parquet(DATA).set_index("id")
    y, X = table["target"], table.drop(columns=[*COSTS, "target"])
    own = cx.CostMatrix(
        true_positive=table["C_TP"],
        false_positive=table["C_FP"],
        false_negative=table["C_FN"],
        true_negative=table["C_TN"],
    )
    mean = cx.CostMatrix(**{name: float(cost.mean()) for name, cost in own.named().items()})
    found, more = [], np.zeros(len(y))
    for seed in range(DIVISIONS):
        risk = _out_of_fold(X, y, seed)
        policies = {
            "above .5": risk > 0.5,
            "mean costs": risk > cx.cost_threshold(mean),
            "own costs": risk > cx.cost_threshold(own),
        }
        found.append(cx.compare_policies(y, policies, own).set_index("policy"))
        cost = {name: cx.decision_cost(y, policies[name], own) for name in policies}
        more += (cost["mean costs"] - cost["own costs"]).to_numpy() / DIVISIONS
    savings = pd.concat([part["savings"] for part in found], axis=1, keys=range(DIVISIONS))
    print(found[0].round(3).to_string(), savings.round(3).to_string(), sep="\n")
    drawn = np.random.default_rng(0).choice(more, (2000, len(more))).sum(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    print(f"profit: own costs save {more.sum():,.0f} more than mean costs ({low:,.0f} to "
          f"{high:,.0f})")  # fmt: skip
    saved = savings.mean(axis=1)
    for other in ("mean costs", "nobody", "everybody", "above .5"):
        name = f"churn_tv, mean of {DIVISIONS} divisions: savings by own costs less those of"
        yield at_least(f"{name}: {other}", saved["own costs"] - saved[other], 1e-9)
    least = min(part.loc["own costs", "savings_low"] for part in found)
    yield at_least("churn_tv: savings by own costs, low", least, 0)


def _out_of_fold(X, y, seed):
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    model = cx.ChurnModel(effort="fast", random_state=seed)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    return cross_val_predict(model, X, y, cv=folds, method="predict_proba")[:, 1]
