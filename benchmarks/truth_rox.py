"""Return on experience: coverage of every figure, bias under confounding, and refusals."""

import numpy as np
import pandas as pd
from rox_worlds import (
    COLUMNS,
    GROUPS,
    company,
    company_truth,
    covariates,
    drawn,
    drawn_truth,
    observed,
    potential,
    quality,
)
from truth_repeat import at_least, at_most, covers, repeat

from cxpredict.errors import DataError
from cxpredict.value.rox import return_on_experience
from cxpredict.value.rox.economics import group_economics, per_presence
from cxpredict.value.rox.effects import ARMS, effect_of, effect_of_test
from cxpredict.value.rox.improvements import TestedEffect

TERMS = ["retention", "spend", "cost to serve", "word of mouth"]
VALUED = {
    "customers": 10_000,
    "cost": 20_000.0,
    "horizon_periods": 4,
    "period_months": 3,
    "discount_rate": 0.02,
    "payment": "through",
}
FOLD_SEED = 1_000_000  # folds and draws share no random numbers with the world
SHIFT = {"shift": {"detractor": -0.05, "passive": 0.05}}


def experiment(seed, world="bends", n=2_000, effects=1.0):
    """Move detractors to passives in a drawn world; what is estimated beside what is true."""
    rng = np.random.default_rng(seed)
    if world == "company":
        frame, names = company(n, rng)
        truth, extra = company_truth(), {"customer": "customer"}
    else:
        frame, names = drawn(n, rng, world, effects)
        truth, extra = drawn_truth(world, effects), {}
    found = group_economics(
        frame, group="group", retained="retained", **COLUMNS, covariates=names,
        payment="through", random_state=seed + FOLD_SEED, **extra,
    )  # fmt: skip
    rox = return_on_experience(found, **VALUED, **SHIFT, random_state=seed + FOLD_SEED)
    true = return_on_experience(truth, **VALUED, **SHIFT, evidence="assumed")
    columns = list(truth.columns)

    def effect(table):
        return (table.loc["promoter", columns] - table.loc["detractor", columns]).to_numpy(float)

    return {
        **_hits(rox, true),
        "positive": rox.probability_positive,
        "gain": np.mean(rox.interval[0] > -1.0),
        "benefit": (rox.benefit, rox.unadjusted.benefit, true.benefit),
        "effect": (effect(found.adjusted), effect(found.unadjusted), effect(truth)),
    }


def answers_in_time(seed, n=2_000, kind="arms"):
    """Answer more requests in time, or raise a score: occasions of confounded treatment."""
    rng = np.random.default_rng(seed)
    X = covariates(n, rng)
    q, frailty = quality(X), 0.4 * rng.standard_normal(n)
    lam, step = 0.6, 0.4 if kind == "arms" else 1.0
    reached = rng.random(n) < lam
    base = _named(observed(q, np.ones(n, int), frailty, rng), np.arange(n))
    who = np.repeat(np.arange(n), rng.poisson(0.9, n))
    amount, outcome = _treated(q[who], frailty[who], kind, rng)
    found = effect_of(
        base, reached, _named(outcome, who), X.iloc[who].reset_index(drop=True), amount,
        step=step, what="requests", arms=ARMS if kind == "arms" else None,
        random_state=seed + FOLD_SEED,
    )  # fmt: skip
    rox = return_on_experience(found, **VALUED, random_state=seed + FOLD_SEED)
    means, slopes = _effect_truth(kind)
    raised = per_presence(means + lam * step * slopes, "through")
    truth = pd.DataFrame(
        [per_presence(means, "through"), raised], index=["now", "improved"],
        columns=["retention", *COLUMNS],
    )  # fmt: skip
    true = return_on_experience(
        truth, **VALUED, shift={"now": -1.0, "improved": 1.0}, evidence="assumed"
    )
    return {
        **_hits(rox, true),
        "benefit": (rox.benefit, rox.unadjusted.benefit, true.benefit),
    }


def trial(seed, measured=("retention", "margin"), n=2_000):
    """Value a randomised trial: retention .90 to .95, money of a full period 100 throughout."""
    rng = np.random.default_rng(seed)

    def arm(retention):
        stayed = rng.random(n) < retention
        money = np.where(stayed, 1.0, 0.5) * rng.normal(100, 20, n)
        return pd.DataFrame({"retained": stayed.astype(float), "margin": money})

    base, control, treated = arm(0.90), arm(0.90), arm(0.95)
    effect = treated.mean() - control.mean()
    error = np.sqrt((treated.var() + control.var()) / n)
    names = {"retention": "retained", "margin": "margin"}
    tested = TestedEffect(**{q: (effect[names[q]], error[names[q]]) for q in measured})
    rox = return_on_experience(
        effect_of_test(base, tested.measured), **VALUED, random_state=seed + FOLD_SEED
    )
    truth = pd.DataFrame({"retention": [0.9, 0.95], "margin": 100.0}, index=["now", "improved"])
    true = return_on_experience(
        truth, **VALUED, shift={"now": -1.0, "improved": 1.0}, evidence="assumed"
    )
    return {
        "total": rox.interval[0] <= true.net <= rox.interval[1],
        "benefit": rox.benefit / true.benefit,
    }


def refusals(seed):
    """Count what is refused of worlds that cannot tell, each for its reason."""
    rng = np.random.default_rng(seed)
    frame, names = drawn(900, rng)
    unhappy = frame["group"] == "detractor"
    few = frame[~unhappy | (unhappy.cumsum() <= 20)]
    region = frame.assign(region=np.where(unhappy, "north", "south"))
    loyal = frame.assign(retained=frame["retained"] | unhappy)
    silent = frame.assign(referrals=frame["referrals"].where(~unhappy, 0.0))
    X = frame[names].reset_index(drop=True)
    outcome = _named(frame[["retained", *COLUMNS.values()]], np.arange(900))
    told = X.assign(told=np.round(X["usage"]))
    return {
        "too few detractors": _refused(lambda: _groups(few, names), "30 detractors"),
        "no detractor left": _refused(lambda: _groups(loyal, names), "who left"),
        "no overlap": _refused(lambda: _groups(region, [*names, "region"]), "hardly resemble"),
        "no variation": _refused(lambda: _effect(outcome, X, np.ones(900), ARMS), "late answer"),
        "one score only": _refused(lambda: _effect(outcome, X, np.ones(900), None), "usual one"),
        "decided before": _refused(
            lambda: _effect(outcome, told, told["told"].to_numpy(), None), "almost alone"
        ),
        "no referrals, the rest kept": _keeps_the_rest(silent, names),
    }


def _keeps_the_rest(silent, names):
    """Whether only referrals are refused; missing where this draw lacks overlap altogether."""
    try:
        kept = _groups(silent, names)
    except DataError as error:
        return np.nan if "hardly resemble" in str(error) else 0.0
    return float(list(kept.refused) == ["referral_value"] and "cost_to_serve" in kept.adjusted)


def bars(repetitions):
    """Yield the bars of return on experience."""
    for name, settings in {
        "bends, 2,000 customers": {},
        "interactions not modelled, 2,000 customers": {"world": "crossed"},
        "simulated company's features, 2,000 customers": {"world": "company"},
    }.items():
        results = repeat(experiment, repetitions, **settings)
        yield from _covered(name, results)
        yield from _bias(name, results)
    for name, kind in {"answers in time": "arms", "points of a score": "dose"}.items():
        results = repeat(answers_in_time, repetitions, kind=kind)
        yield from _covered(name, results)
        yield _ratio(f"{name}: bias of the benefit, adjusted to unadjusted", results)
    for name, measured in {
        "a test of retention": ("retention",),
        "a test of retention and margin": ("retention", "margin"),
    }.items():
        results = repeat(trial, max(repetitions, 2_000), measured=measured)
        yield covers(f"{name}: net ROX", [result["total"] for result in results])
        off = abs(np.mean([result["benefit"] for result in results]) - 1)
        yield at_most(f"{name}: bias of the benefit, as a share of it", off, 0.02)
    null = repeat(experiment, repetitions, effects=0.0)
    yield from _covered("groups mean nothing", null)
    sure = np.mean([result["gain"] for result in null])
    yield at_most("groups mean nothing: a gain is claimed with 97.5 % confidence", sure, 0.035)
    surely = np.mean([result["positive"] > 0.95 for result in null])
    yield at_most("groups mean nothing: P(ROX > 0) above 95 %", surely, 0.05)
    answers = pd.DataFrame(repeat(refusals, min(repetitions, 200)))
    for name, share in answers.mean().items():
        yield at_least(f"refused: {name}", share, 1.0)


def _covered(name, results):
    yield covers(f"{name}: net ROX", [result["total"] for result in results])
    for term in TERMS:
        yield covers(f"{name}: {term}", [result[term] for result in results])


def _bias(name, results):
    adjusted, plain, truth = (
        np.mean([result["effect"][k] for result in results], axis=0) for k in range(3)
    )
    for k, quantity in enumerate(["retention", *COLUMNS]):
        ratio = abs(adjusted[k] - truth[k]) / abs(plain[k] - truth[k])
        text = f"{name}: bias of the effect on {quantity}, adjusted to unadjusted"
        yield at_most(text, ratio, 0.25)
    yield _ratio(f"{name}: bias of the benefit, adjusted to unadjusted", results)


def _ratio(name, results):
    adjusted, plain, truth = np.mean([result["benefit"] for result in results], axis=0)
    return at_most(name, abs(adjusted - truth) / abs(plain - truth), 0.25)


def _hits(rox, true):
    table = rox.terms.set_index("term")
    inside = {
        term: table.loc[term, "low"] <= benefit <= table.loc[term, "high"]
        for term, benefit in true.terms.set_index("term")["benefit"].items()
    }
    return {"total": rox.interval[0] <= true.net <= rox.interval[1], **inside}


def _groups(frame, names):
    return group_economics(
        frame, group="group", retained="retained", **COLUMNS, covariates=names,
        payment="through", random_state=0,
    )  # fmt: skip


def _effect(outcome, X, amount, arms):
    reached = np.ones(len(outcome), bool)
    return effect_of(
        outcome, reached, outcome, X, amount, step=1.0, what="requests", arms=arms, random_state=0
    )


def _refused(call, reason):
    try:
        call()
    except DataError as error:
        return reason in str(error)
    return False


def _named(outcome, who):
    outcome = outcome.set_axis(["retained", *COLUMNS], axis=1)
    return outcome.set_axis(pd.Index(who, name="customer_id"))


_SLOPES = {"stay": 0.5, "margin": 6.0, "cost": -0.2, "referrals": 0.25}


def _means(q, frailty, amount, kind):
    """Means of a passive at an amount: on logit and log for arms, straight for doses."""
    mean = {name: values[:, 1] for name, values in potential(q, frailty).items()}
    if kind == "arms":
        odds = np.log(mean["stay"] / (1 - mean["stay"])) + _SLOPES["stay"] * amount
        return {
            "stay": 1 / (1 + np.exp(-odds)),
            "margin": mean["margin"] + _SLOPES["margin"] * amount,
            "cost": mean["cost"] * np.exp(_SLOPES["cost"] * amount),
            "referrals": mean["referrals"] * np.exp(_SLOPES["referrals"] * amount),
        }
    stay = 0.15 + 0.6 * mean["stay"] + 0.03 * amount
    there = (1 + stay) / 2  # money is counted whole, so that its slope is the same for all
    return {
        "stay": stay,
        "margin": (0.9 * mean["margin"] + 2.0 * amount) / there,
        "cost": (0.9 * mean["cost"] - 0.3 * amount + 2.0) / there,
        "referrals": (0.9 * mean["referrals"] + 0.05 * amount) / there,
    }


def _treated(q, frailty, kind, rng):
    """Draw amounts that the confounder moves, and outcomes."""
    if kind == "arms":
        amount = (rng.random(len(q)) < 1 / (1 + np.exp(-0.9 * q))).astype(float)
    else:
        amount = np.clip(np.round(3 + 0.8 * q + rng.normal(0, 0.9, len(q))), 1, 5)
    mean = _means(q, frailty, amount, kind)
    stayed = rng.random(len(q)) < mean["stay"]
    expected = (1 + mean["stay"]) / 2
    there = np.where(stayed, 1.0, 0.5) if kind == "arms" else expected
    return amount, pd.DataFrame(
        {
            "retained": stayed,
            "margin": there * mean["margin"] + rng.normal(0, 20, len(q)),
            "cost": 4.0 * rng.poisson(there * mean["cost"] / 4.0),
            "referrals": 20.0 * rng.poisson(there * mean["referrals"]),
        }
    )


_CACHE = {}


def _effect_truth(kind):
    """Means of all customers now, and the effect of one unit of the amount on them."""
    if kind not in _CACHE:
        rng = np.random.default_rng(0)
        X = covariates(1_000_000, rng)
        q, frailty = quality(X), 0.4 * rng.standard_normal(len(X))

        def whole(mean):
            there = (1 + mean["stay"]) / 2
            money = [there * mean[name] for name in ("margin", "cost")]
            money.append(20.0 * there * mean["referrals"])
            return np.array([each.mean() for each in (mean["stay"], *money)])

        now = {name: values[:, 1] for name, values in potential(q, frailty).items()}
        low, high = (_means(q, frailty, np.full(len(q), each), kind) for each in (0.0, 1.0))
        _CACHE[kind] = whole(now), whole(high) - whole(low)
    return _CACHE[kind]


assert GROUPS == ("promoter", "passive", "detractor")
