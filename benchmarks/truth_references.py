"""Equality with published figures, with other implementations, and of SHAP values with the margin.

Every fixture of the field that the library implements, `empulse` on random problems, and the
contributions of both models against LightGBM's margin, against the ``shap`` package, and against
Shapley's definition summed over all subsets of features.
"""

from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
from truth_repeat import at_most

import cxpredict as cx
from cxpredict.value.profit import decision_cost, savings
from cxpredict.value.rox.growth import earned_growth

TOLERANCE = 1e-6
MONEY = {"value": 200.0, "incentive": 10.0, "contact_cost": 1.0}


def bars(repetitions):
    del repetitions  # nothing here is drawn more than once
    for name, pairs in fixtures().items():
        gap = max(abs(found - published) for found, published in pairs)
        yield at_most(f"fixture, {name}: largest difference", gap, TOLERANCE)
    for name, gap in empulse_gaps(50).items():
        yield at_most(f"empulse, 50 random problems, {name}: largest difference", gap, TOLERANCE)
    for name, gap in shap_gaps().items():
        yield at_most(f"SHAP, {name}: largest difference", gap, 1e-9)


def fixtures():
    """List (found, published) of every fixture; those published rounded are rounded alike."""
    scores = [10] * 50 + [8] * 30 + [3] * 20
    wald, adjusted = (
        cx.nps(scores, method=method).loc["all"] for method in ("wald", "adjusted_wald")
    )
    y, p = [0, 1, 0, 1, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9]
    best = cx.maximum_profit(y, p, **MONEY, acceptance=0.3)
    expected = cx.expected_maximum_profit(y, p, **MONEY, acceptance=cx.Beta(6, 14))
    worth = pd.DataFrame(
        {"lifetime_value": [900.0, 600.0, 300.0]}, index=["promoter", "passive", "detractor"]
    )
    rox = cx.return_on_experience(
        worth,
        shift={"detractor": -0.05, "passive": 0.05},
        customers=10_000,
        cost=100_000.0,
        evidence="assumed",
    )
    growth = earned_growth(net_revenue_retention=0.85, earned_new=0.25, reported_growth=0.30)
    # m·r/(1 + δ − r) with the first margin next period, m(1 + δ)/(1 + δ − r) with it now
    value = {
        payment: cx.customer_value(100.0, 0.8, periods=400, discount_rate=0.1, payment=payment)
        for payment in ("end", "start")
    }
    return {
        "NPS": [
            (wald["estimate"], 30.0),
            ((wald["se"] / 100) ** 2 * 100, 0.61),
            (round(wald["low"], 1), 14.7),
            (round(wald["high"], 1), 45.3),
            (round(adjusted["low"], 1), 14.1),
            (round(adjusted["high"], 1), 44.2),
        ],
        "MPC": [(best.profit, 23.875), (best.fraction, 0.875)],
        "EMPC": [(expected.profit, 23.8755934)],
        "break-even probability": [
            (cx.break_even_probability(**MONEY, acceptance=0.3), 11 / 67),
            (cx.cost_threshold(cx.offer_costs(**MONEY, acceptance=0.3)), 11 / 67),
        ],
        "ROX of a shift": [(rox.benefit, 150_000.0), (rox.gross, 1.5), (rox.net, 0.5)],
        "earned growth": [(growth.rate, 0.10), (round(growth.ratio, 3), 0.333)],
        "geometric lifetime value": [
            (value["end"], 100 * 0.8 / 0.3),
            (value["start"], 100 * 1.1 / 0.3),
        ],
    }


def empulse_gaps(problems):
    """Compare every measure that empulse defines alike."""
    from empulse import metrics

    gaps = pd.DataFrame([_empulse_gap(metrics, seed) for seed in range(problems)])
    return gaps.max().to_dict()


def _empulse_gap(metrics, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(10, 400))
    y = rng.integers(0, 2, n)
    y[:2] = 0, 1
    # Rounded to one digit, most scores are tied.
    p = np.round(0.3 * y + 0.7 * rng.random(n), int(rng.integers(1, 5)))
    v, d, f = rng.uniform(50, 500), rng.uniform(0, 40), rng.uniform(0, 10)
    acceptance = cx.Beta(*rng.uniform(1, 20, 2))
    ours = {"value": v, "incentive": d, "contact_cost": f}
    theirs = {"clv": v, "incentive_cost": d, "contact_cost": f}
    mean = acceptance.mean
    costs = {name: rng.uniform(0, 100, n) for name in ("tp_cost", "fp_cost", "fn_cost", "tn_cost")}
    costs["fp_cost"] += costs["tn_cost"]
    costs["fn_cost"] += costs["tp_cost"]
    own = cx.CostMatrix(
        true_positive=costs["tp_cost"],
        false_positive=costs["fp_cost"],
        false_negative=costs["fn_cost"],
        true_negative=costs["tn_cost"],
    )
    contacted = p > cx.cost_threshold(own)
    best = cx.maximum_profit(y, p, **ours, acceptance=mean)
    expected = cx.expected_maximum_profit(y, p, **ours, acceptance=acceptance)
    own_value, part = rng.gamma(4, 50, n), rng.uniform(0, 0.2)
    best_own = cx.maximum_profit(
        y, p, value=own_value, incentive=part * own_value, contact_cost=f, acceptance=mean
    )
    pairs = {
        "MPC": (best.profit, metrics.mpc_score(y, p, accept_rate=mean, **theirs)),
        "EMPC": (
            expected.profit,
            metrics.empc_score(y, p, alpha=acceptance.alpha, beta=acceptance.beta, **theirs),
        ),
        "EMPC, share contacted": (
            expected.fraction,
            metrics.empc_score.optimal_rate(
                y, p, alpha=acceptance.alpha, beta=acceptance.beta, **theirs
            ),
        ),
        "maximum profit with own values (EMPB)": (
            best_own.profit,
            metrics.empb_score(
                y,
                p,
                clv=own_value,
                incentive_fraction=part,
                contact_cost=f,
                alpha=acceptance.alpha,
                beta=acceptance.beta,
            ),
        ),
        "cost by own costs": (
            decision_cost(y, contacted, own).sum(),
            metrics.cost_loss(y, p, **costs),
        ),
        "expected cost by own costs": (
            decision_cost(y, p, own).mean(),
            metrics.expected_cost_loss(y, p, **costs),
        ),
        "savings by own costs": (
            savings(y, contacted, own),
            metrics.savings_score(y, p, **costs),
        ),
    }
    return {name: abs(found - known) for name, (found, known) in pairs.items()}


def shap_gaps():
    """Compare contributions with the margin, the shap package and Shapley's definition."""
    rng = np.random.default_rng(0)
    n = 3000
    X = pd.DataFrame(
        {
            "calls": rng.poisson(2, n).astype(float),
            "spend": np.where(rng.random(n) < 0.1, np.nan, rng.gamma(2, 50, n)),
            "plan": rng.choice(["basic", "plus", "max"], n),
            "tenure": rng.exponential(24, n),
        }
    )
    margin = X["calls"] - 0.03 * X["tenure"] + (X["plan"] == "basic") * (X["calls"] > 2) - 1.5
    left = rng.random(n) < 1 / (1 + np.exp(-margin))
    churn = cx.ChurnModel(effort="fast", random_state=0).fit(X, left)
    score = np.clip(np.round(8 - margin + rng.normal(0, 2, n)), 0, 10).astype(int)
    answers = cx.SatisfactionModel(levels=range(11), low_at_most=6, effort="fast", random_state=0)
    answers.fit(X, score)
    values, base = churn.contributions(X)
    low_values, low_base = answers.contributions(X)
    return {
        "churn, sum less margin": _largest(base + values.sum(axis=1) - churn.decision_function(X)),
        "low score, sum less margin": _largest(
            low_base + low_values.sum(axis=1) - answers.low_score_margin(X)
        ),
        **_peer_gaps(churn, X.head(300)),
    }


def _peer_gaps(model, X):
    """Rebuild the contributions of a churn model from its boosters by other means."""
    import shap

    parts = model.ensemble_
    matrix = parts.encoding.apply(model.columns_.encode(X))
    shown, told = np.zeros(matrix.shape), np.zeros(matrix.shape)
    few = slice(0, 5)
    for booster, weight in zip(parts.boosters, parts.booster_weights, strict=True):
        explainer = shap.TreeExplainer(booster)
        explainer.model.model_type = "internal"  # else shap only asks LightGBM
        shown += weight * explainer.shap_values(matrix)
        told[few] += weight * _by_definition(booster, matrix[few])
    if parts.linear is not None:
        terms = parts.linear_weight * parts.linear.contributions(matrix)[0]
        shown, told = shown + terms, told + terms
    found = model.contributions(X)[0]
    columns = np.array(parts.encoding.column_of)
    merged = [
        np.column_stack([made[:, columns == k].sum(axis=1) for k in range(X.shape[1])])
        for made in (shown, told)
    ]
    return {
        "churn, less the shap package": _largest(found - merged[0]),
        "churn, less the sum over all subsets": _largest((found - merged[1])[few]),
    }


def _by_definition(booster, matrix):
    """Shapley values of path-dependent expectations, summed over all subsets of features."""
    trees = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    n = matrix.shape[1]
    subsets = [frozenset(s) for size in range(n + 1) for s in combinations(range(n), size)]
    worth = {
        known: np.array([sum(_expect(tree, row, known) for tree in trees) for row in matrix])
        for known in subsets
    }
    values = np.zeros(matrix.shape)
    for known in subsets:
        for feature in set(range(n)) - known:
            weight = factorial(len(known)) * factorial(n - len(known) - 1) / factorial(n)
            values[:, feature] += weight * (worth[known | {feature}] - worth[known])
    return values


def _expect(node, row, known):
    """Follow known features; average over the rows of training at the others."""
    if "leaf_value" in node:
        return node["leaf_value"]
    if node["split_feature"] in known:
        return _expect(_chosen(node, row[node["split_feature"]]), row, known)
    sides = [node["left_child"], node["right_child"]]
    counts = [side.get("internal_count", side.get("leaf_count")) for side in sides]
    return np.average([_expect(side, row, known) for side in sides], weights=counts)


def _chosen(node, value):
    if np.isnan(value) and node["missing_type"] == "NaN":
        return node["left_child" if node["default_left"] else "right_child"]
    if np.isnan(value):
        value = 0.0
    return node["left_child" if value <= node["threshold"] else "right_child"]


def _largest(gap):
    return float(np.abs(gap).max())
