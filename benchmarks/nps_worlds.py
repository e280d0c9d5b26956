"""Where the NPS of everyone is known: the simulated company, and small worlds of one trouble."""

import numpy as np
import pandas as pd

import cxpredict as cx

START, END = pd.Timestamp("2025-06-01"), pd.Timestamp("2025-09-01")
KNOWN = ("segment", "tenure", "usage", "service_request", "failure", "complaint", "price_rise",
         "nps", "csat")  # fmt: skip


def company_table(n_customers):
    """Return invitations of three months: features before them, everyone's score, propensity."""
    company = cx.simulate_company(n_customers, seed=5)
    rows = company.truth.invitations
    rows = rows[(rows["metric"] == "nps") & rows["invited_at"].between(START, END, "left")]
    index = pd.MultiIndex.from_arrays(
        [rows["customer_id"], rows["invited_at"]], names=["customer_id", "as_of"]
    )
    X = cx.build_features(company.log, index).loc[index]
    X = X[[name for name in X.columns if name.startswith(KNOWN) and "_90d" not in name]]
    X = X.assign(segment=X["segment"].astype("object").fillna("none") == "business")
    told = rows[["score", "response_probability"]].set_index(index)
    assert np.isclose(company.truth.nps(START, END), 100 * _nps(told["score"]))
    return pd.concat([X.astype(float), told], axis=1)


def synthetic(world, n, seed):
    """Return X, the answers, the truth in points, and what `nps_of_everyone` must be told."""
    rng, extra = np.random.default_rng(seed), {}
    if world == "repeated":
        customer = np.repeat(np.arange(n), rng.integers(1, 5, n))[:n]
        own = rng.normal(size=n)[customer]
        extra["customers"] = customer
    else:
        own = rng.normal(size=n)
    if world == "parity":
        # Silence and score hang on the product of four signs: no logistic regression of the signs
        # sees it, and trees of eight leaves hardly do.
        switch = rng.choice([-1.0, 1.0], (n, 4))
        odd = switch.prod(axis=1)
        X = pd.DataFrame(switch, columns=list("abcd"))
        happy, propensity = 0.8 * odd, 0.3 + 0.15 * odd
        truth = None
    else:
        X = pd.DataFrame(rng.normal(size=(n, 3)), columns=["a", "b", "c"])
        happy = 0.9 * X["a"].to_numpy() + 0.5 * X["b"].to_numpy()
        propensity = 1 / (1 + np.exp(0.9 - 1.0 * X["a"].to_numpy() - 0.4 * X["b"].to_numpy()))
    if world == "null":
        propensity = np.full(n, 0.35)
    if world == "invited":
        propensity = propensity * (1 / (1 + np.exp(-2.2 - X["b"].to_numpy())))
    everyone = _score(happy + 0.8 * own + 0.6 * rng.normal(size=n))
    truth = 100 * _nps(everyone)
    if world == "sample":
        truth = _TRUTH_OF_SAMPLE
    answers = np.where(rng.random(n) < propensity, everyone, np.nan)
    return X, pd.Series(answers), truth, extra


def _score(mood):
    return np.clip(np.round(7.8 + 1.5 * mood), 0, 10)


def _nps(scores):
    return (scores >= 9).mean() - (scores <= 6).mean()


def _of_infinitely_many():
    """NPS where mood is normal: variance .9² + .5² + .8² + .6²; 9 and up from 8.5, 6 from 6.5."""
    from statistics import NormalDist

    score = NormalDist(7.8, 1.5 * np.sqrt(0.9**2 + 0.5**2 + 0.8**2 + 0.6**2))
    return 100 * (1 - score.cdf(8.5) - score.cdf(6.5))


_TRUTH_OF_SAMPLE = _of_infinitely_many()
