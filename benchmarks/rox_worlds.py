"""Worlds whose customers' worth is known: who answers what, who stays, what it brings.

A draw gives what a company would see. The truth comes from the same laws: potential outcomes of
every customer in every group, averaged over very many.
"""

from functools import lru_cache

import numpy as np
import pandas as pd

from cxpredict.data.simulate import simulate_company
from cxpredict.features.problem import ChurnProblem
from cxpredict.value.rox.economics import GROUPS, per_presence
from cxpredict.value.rox.outcomes import Outcomes

QUANTITIES = ["retention", "margin", "cost_to_serve", "referral_value"]
COLUMNS = {"margin": "margin", "cost_to_serve": "cost", "referral_value": "referrals"}
_STAY = np.array([0.5, 0.0, -0.6])  # of promoters, passives and detractors, on the logit
_MARGIN = np.array([8.0, 0.0, -8.0])
_COST = np.array([-0.25, 0.0, 0.35])  # log
_REFERRALS = np.array([0.5, 0.0, -0.4])  # log
_EACH = 20.0  # money of one referral


def covariates(n, rng):
    """Draw segment, tenure, usage and earlier spend."""
    return pd.DataFrame(
        {
            "segment": rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2]),
            "tenure": rng.gamma(2, 12, n),
            "usage": rng.normal(size=n),
            "spend before": rng.lognormal(4, 0.5, n),
        }
    )


def quality(X):
    """Make the confounder, which bends with usage and tenure and steps with the segment."""
    usage, tenure = X["usage"].to_numpy(), X["tenure"].to_numpy()
    bent = 0.8 * usage + 0.7 * (np.abs(usage) - 0.8) + 0.5 * np.minimum(tenure / 24, 1.5) - 0.4
    bent = bent + 0.6 * (X["segment"] == "a") - 0.5 * (X["segment"] == "c")
    return np.clip(bent + 0.4 * np.log(X["spend before"] / 55), -2.0, 2.0).to_numpy()


def crossed(X):
    """Make it with a product of usage and segment, which no sum of bends can be."""
    return np.clip(quality(X) + 0.6 * X["usage"] * (X["segment"] == "b"), -2.0, 2.0).to_numpy()


def potential(q, frailty, effects=1.0):
    """Probability to stay and means of money of a full period, customers × groups."""
    q, u = q[:, None], frailty[:, None]
    return {
        "stay": 1 / (1 + np.exp(-(1.5 + effects * _STAY + 0.8 * q + u))),
        "margin": 100 + effects * _MARGIN + 12 * q + 5 * u,
        "cost": np.exp(2.0 + effects * _COST - 0.3 * q),
        "referrals": np.exp(-0.7 + effects * _REFERRALS + 0.3 * q),
    }


def groups_of(q, rng, strength=0.9):
    """Draw NPS groups from the multinomial law of the confounder."""
    pull = np.column_stack([strength * q, np.zeros(len(q)), -strength * q - 0.2])
    return (pull + rng.gumbel(size=pull.shape)).argmax(axis=1)


def observed(q, arms, frailty, rng, effects=1.0):
    """Draw what is seen of each row in its group; who leaves is there for half of the period."""
    rows = np.arange(len(q))
    mean = {name: values[rows, arms] for name, values in potential(q, frailty, effects).items()}
    stayed = rng.random(len(q)) < mean["stay"]
    there = np.where(stayed, 1.0, 0.5)
    return pd.DataFrame(
        {
            "retained": stayed,
            "margin": there * (mean["margin"] + rng.normal(0, 20, len(q))),
            "cost": 4.0 * rng.poisson(there * mean["cost"] / 4.0),
            "referrals": _EACH * rng.poisson(there * mean["referrals"]),
        }
    )


def truth_of(q, frailty, effects=1.0):
    """Economics of each group if all these customers were in it."""
    mean = potential(q, frailty, effects)
    there = (1 + mean["stay"]) / 2
    means = np.column_stack(
        [
            mean["stay"].mean(axis=0),
            (there * mean["margin"]).mean(axis=0),
            (there * mean["cost"]).mean(axis=0),
            (there * _EACH * mean["referrals"]).mean(axis=0),
        ]
    )
    levels = per_presence(means, "through")
    return pd.DataFrame(levels, columns=QUANTITIES, index=list(GROUPS))


@lru_cache
def drawn_truth(law, effects):
    """Economics of the drawn world, from a million customers."""
    X = covariates(1_000_000, np.random.default_rng(0))
    q = {"bends": quality, "crossed": crossed}[law](X)
    return truth_of(q, np.zeros(len(q)), effects)


def drawn(n, rng, law="bends", effects=1.0):
    """Draw a company of one answer for each customer."""
    X = covariates(n, rng)
    q = {"bends": quality, "crossed": crossed}[law](X)
    arms = groups_of(q, rng)
    frame = pd.concat([X, observed(q, arms, np.zeros(n), rng, effects)], axis=1)
    return frame.assign(group=np.array(GROUPS)[arms]), list(X.columns)


@lru_cache
def company_answers():
    """Covariates of all NPS answers of the simulated company, and the confounder made of them."""
    log = simulate_company(2_500, seed=5).log
    outcomes = Outcomes(ChurnProblem(cancelled="cancellation", horizon_days=90), period_days=90)
    rows = log.feedback.filter(log.feedback.metric == "nps", log.feedback.score.notnull())
    rows = rows.select("customer_id", as_of=rows.occurred_at).distinct()
    frame = rows.order_by("customer_id", "as_of").to_pandas()
    X = outcomes.before(log, pd.MultiIndex.from_frame(frame))

    def ranked(name):
        return X[name].fillna(0.0).rank(pct=True).to_numpy() - 0.5

    q = 2.0 * ranked("usage_sum_90d") + 1.5 * ranked("tenure_days") + ranked("plan_price")
    q = q - 0.4 * np.minimum(X["failure_count_90d"].to_numpy(), 3) + 0.3
    q = q - 0.25 * np.minimum(X["service_request_sum_90d"].to_numpy() / 24, 4)
    q = np.clip(q + 0.4 * (X["segment"] == "family").to_numpy(), -2.0, 2.0)
    customer = pd.factorize(frame["customer_id"])[0]
    return X.reset_index(drop=True), q, customer


@lru_cache
def company_truth():
    """Economics of all answers of the company, over many draws of what is hidden of customers."""
    _, q, _ = company_answers()
    rng = np.random.default_rng(0)
    many = np.tile(q, 100)
    return truth_of(many, 0.5 * rng.standard_normal(len(many)))


def company(n_customers, rng):
    """Draw customers of the simulated company with all their answers; new scores and outcomes."""
    X, q, customer = company_answers()
    rows_of = np.split(np.arange(len(q)), np.flatnonzero(np.diff(customer)) + 1)
    chosen = rng.integers(0, len(rows_of), n_customers)
    rows = np.concatenate([rows_of[each] for each in chosen])
    who = np.repeat(np.arange(n_customers), [len(rows_of[each]) for each in chosen])
    frailty = (0.5 * rng.standard_normal(n_customers))[who]
    arms = groups_of(q[rows], rng)
    frame = X.iloc[rows].reset_index(drop=True)
    frame = pd.concat([frame, observed(q[rows], arms, frailty, rng)], axis=1)
    return frame.assign(group=np.array(GROUPS)[arms], customer=who), list(X.columns)
