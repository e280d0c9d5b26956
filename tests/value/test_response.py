"""Non-response weights: balance, and the NPS of everyone under a known mechanism."""

import numpy as np
import pandas as pd
import pytest

from cxpredict.errors import DataError
from cxpredict.value.nps import nps
from cxpredict.value.nps.response import response_weights


def company(n, rng):
    """Customers whose experience moves both their score and whether they answer."""
    plan = rng.choice(["basic", "plus"], n)
    waited = rng.exponential(10, n)
    usage = np.where(rng.random(n) < 0.15, np.nan, rng.normal(size=n))
    mood = 0.8 * (plan == "plus") - 0.04 * waited + 0.6 * np.nan_to_num(usage, nan=-0.3)
    score = np.clip(np.round(7.8 + 1.4 * mood + 1.2 * rng.normal(size=n)), 0, 10)
    # The unhappy and the enthusiastic answer more often than those who do not care.
    logit = -1.7 + 0.8 * mood + 0.4 * np.minimum(mood**2, 6)
    responded = rng.random(n) < 1 / (1 + np.exp(-logit))
    X = pd.DataFrame({"plan": plan, "waited": waited, "usage": usage, "new": waited < 3})
    X.index = pd.Index([f"k{k}" for k in range(n)], name="customer_id")
    return X, score, responded


def everyone(score):
    return 100 * (np.mean(score >= 9) - np.mean(score <= 6))


def test_weighted_interval_covers_the_nps_of_everyone_and_the_naive_does_not():
    rng = np.random.default_rng(21)
    truth = everyone(company(1_000_000, rng)[1])
    reps, weighted, naive, errors, naive_errors = 30, 0, 0, [], []
    for seed in range(reps):
        X, score, responded = company(2_000, rng)
        weights = response_weights(X, responded, random_state=seed).weights
        row = nps(score[responded], weights=weights).loc["all"]
        plain = nps(score[responded]).loc["all"]
        weighted += row["low"] <= truth <= row["high"]
        naive += plain["low"] <= truth <= plain["high"]
        errors.append(row["estimate"] - truth)
        naive_errors.append(plain["estimate"] - truth)
    # 95 % with 30 repetitions: binomial SE 4 %, three of them below
    assert weighted / reps >= 0.95 - 3 * 0.04
    assert naive / reps <= 0.2
    assert abs(np.mean(errors)) < 0.25 * abs(np.mean(naive_errors))


def test_weights_restore_balance():
    X, _, responded = company(4_000, np.random.default_rng(2))
    result = response_weights(X, responded, random_state=0)
    assert result.balance["before"].abs().max() > 0.3
    assert result.balance["after"].abs().max() < 0.1
    assert {"waited", "usage", "usage missing", "plan=plus"} <= set(result.balance["feature"])
    assert result.weights.index.equals(X.index[responded])
    assert result.weights.mean() == pytest.approx(1)
    assert result.propensity.index.equals(X.index)
    assert result.propensity.mean() == pytest.approx(responded.mean(), abs=0.01)
    w = result.weights.to_numpy()
    assert result.n_eff == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert result.design_effect == pytest.approx(len(w) / result.n_eff)
    assert result.table()["before"].abs().is_monotonic_decreasing


def test_balance_by_hand():
    # Half of 200 are 1; of the 80 who answer 60 are 1: (.75 - .5) / .5 = .5
    X = pd.DataFrame({"x": [1] * 100 + [0] * 100})
    responded = [True] * 60 + [False] * 40 + [True] * 20 + [False] * 80
    result = response_weights(X, responded, random_state=0)
    assert result.balance.loc[0, "before"] == pytest.approx(0.5)
    # propensities .6 and .2 on average, but for the shrinkage of the logistic regression
    assert result.propensity[:100].mean() == pytest.approx(0.6, abs=0.01)
    assert result.propensity[100:].mean() == pytest.approx(0.2, abs=0.01)
    assert abs(result.balance.loc[0, "after"]) < 0.05


def test_response_at_random_changes_little():
    rng = np.random.default_rng(4)
    X, score, _ = company(4_000, rng)
    responded = rng.random(4_000) < 0.4
    result = response_weights(X, responded, random_state=0)
    assert result.design_effect < 1.1
    row = nps(score[responded], weights=result.weights).loc["all"]
    assert abs(row["estimate"] - everyone(score[responded])) < row["se"]


def test_same_seed_same_weights():
    X, _, responded = company(600, np.random.default_rng(0))
    a, b = (response_weights(X, responded, random_state=3) for _ in range(2))
    pd.testing.assert_series_equal(a.weights, b.weights)


def test_customers_who_never_answer_are_reported():
    rng = np.random.default_rng(1)
    X = pd.DataFrame({"x": rng.normal(size=3_000)})
    responded = (X["x"] > 0) & (rng.random(3_000) < 0.5)
    assert response_weights(X, responded, random_state=0).trimmed > 500


def test_plot_shows_the_features():
    X, _, responded = company(600, np.random.default_rng(0))
    axes = response_weights(X, responded, random_state=0).plot().axes[0]
    assert "waited" in [label.get_text() for label in axes.get_yticklabels()]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda X, r: (X, r[:-1]), "expected 600"),
        (lambda X, r: (X, np.arange(600)), "True or False"),
        (lambda X, r: (X, np.arange(600) < 3), "3 customers answered and 597"),
        (lambda X, r: (X, np.ones(600, dtype=bool)), "0 did not"),
        (lambda X, r: (X, pd.Series(r)), "different indexes"),
        (lambda X, r: (X.assign(t=pd.Timestamp("2024-01-01")), r), "t is datetime64"),
        (lambda X, r: (X.assign(x=np.inf), r), "600 infinite"),
        (lambda X, r: (X[[]], r), "one or more columns"),
    ],
)
def test_bad_input_is_refused(change, told):
    X, _, responded = company(600, np.random.default_rng(0))
    with pytest.raises(DataError, match=told):
        response_weights(*change(X, responded))
