"""Profit curve and scorers: by hand, honest out of sample, in scikit-learn's cross-validation."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import PLAIN
from sklearn import config_context
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate

import cxpredict as cx
from cxpredict.errors import DataError
from cxpredict.value.profit import (
    Beta,
    CostMatrix,
    cost_scorer,
    expected_maximum_profit,
    maximum_profit,
    offer_costs,
    profit_curve,
    profit_scorer,
)

MONEY = {"incentive": 10.0, "contact_cost": 1.0}
OFFER = {"value": 200.0, **MONEY, "acceptance": 0.3}


def test_curve_by_hand():
    # Leavers bring .3 * 190 - 1 = 56, stayers cost 11; contacted in the order 1, 0, {1, 0}, 0
    curve = profit_curve([0, 1, 0, 1, 0], [0.1, 0.4, 0.4, 0.9, 0.6], **OFFER, n_bootstrap=50)
    table = curve.table
    assert table["customers"].tolist() == [0, 1, 2, 4, 5]
    assert table["threshold"].tolist() == [np.inf, 0.9, 0.6, 0.4, 0.1]
    np.testing.assert_allclose(table["profit"], np.array([0, 56, 45, 90, 79]) / 5)
    best = curve.best.set_index("measure")["estimate"]
    assert best["threshold"] == 0.4
    assert best["share"] == pytest.approx(0.8)
    assert best["profit"] == pytest.approx(18.0)


def _customers(seed, n=400):
    """Half the score is the risk, and values are independent of both."""
    rng = np.random.default_rng(seed)
    score = rng.random(n)
    index = pd.Index([f"c{k}" for k in range(n)], name="customer_id")
    return (
        pd.Series((rng.random(n) < score / 2).astype(int), index=index),
        pd.Series(score, index=index),
        pd.Series(rng.gamma(4, 50, n), index=index),
    )


@given(st.integers(0, 10_000), st.sampled_from([0.3, Beta(6, 14)]))
@settings(PLAIN, max_examples=10)
def test_the_top_of_the_curve_is_the_maximum_profit(seed, acceptance):
    y, score, value = _customers(seed)
    curve = profit_curve(y, score, value=value, **MONEY, acceptance=acceptance, n_bootstrap=20)
    best = curve.best.set_index("measure")
    top = maximum_profit(y, score, value=value, **MONEY, acceptance=0.3)
    assert best.loc["profit", "estimate"] == pytest.approx(top.profit)
    assert best.loc["threshold", "estimate"] == top.threshold
    assert curve.table["profit"].max() == pytest.approx(top.profit)
    assert len(curve.table) <= 202
    assert curve.table["customers"].iloc[[0, -1]].tolist() == [0, 400]
    assert (curve.table["low"] <= curve.table["high"]).all()
    order = np.random.default_rng(seed).permutation(len(y))
    again = profit_curve(
        y.iloc[order], score.iloc[order], value=value.iloc[order], **MONEY,
        acceptance=acceptance, n_bootstrap=20,
    )  # fmt: skip
    np.testing.assert_allclose(again.table["profit"], curve.table["profit"], atol=1e-9)


def test_paying_where_the_threshold_was_chosen_flatters():
    excess = []
    for seed in range(60):
        y, score, value = _customers(seed, 200)
        found = profit_curve(y, score, value=value, **MONEY, acceptance=0.3, n_bootstrap=2).best
        estimate = found.set_index("measure")["estimate"]
        t = min(estimate["threshold"], 1.0)
        truth = 67 * (1 - t**2) / 4 - 11 * (1 - t)  # of this threshold, in the population
        excess.append((estimate["profit"] - truth, estimate["held-out profit"] - truth))
    apparent, held_out = np.mean(excess, axis=0)
    error = np.std(excess, axis=0) / np.sqrt(len(excess))
    assert apparent > 2 * error[0]
    assert abs(held_out) < 3 * error[1]


def test_unsure_acceptance_widens_the_band():
    y, score, value = _customers(1)
    widths = [
        profit_curve(y, score, value=value, **MONEY, acceptance=a, n_bootstrap=100)
        .best.set_index("measure")
        .loc["held-out profit", ["low", "high"]]
        .diff()
        .iloc[1]
        for a in (0.3, Beta(6, 14))
    ]
    assert widths[1] > widths[0] > 0


def test_rows_of_a_customer_stay_together():
    y, score, value = _customers(2, 150)
    index = pd.MultiIndex.from_product(
        [y.index, pd.to_datetime(["2024-01-01", "2024-02-01", "2024-03-01"])],
        names=["customer_id", "as_of"],
    )
    threefold = [
        pd.Series(np.repeat(column.to_numpy(), 3), index=index) for column in (y, score, value)
    ]
    once = profit_curve(y, score, value=value, **MONEY, acceptance=0.3)
    thrice = profit_curve(
        threefold[0], threefold[1], value=threefold[2], **MONEY, acceptance=0.3
    )  # nothing is learnt from copies
    a, b = (c.best.set_index("measure").loc["held-out profit"] for c in (once, thrice))
    assert b["high"] - b["low"] == pytest.approx(a["high"] - a["low"], rel=0.15)


def test_plot_and_html():
    y, score, value = _customers(3)
    curve = profit_curve(y, score, value=value, **MONEY, acceptance=Beta(6, 14), n_bootstrap=20)
    axes = curve.plot().axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), curve.table["profit"])
    assert "held-out profit" in curve._repr_html_()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"n_bootstrap": 1}, "n_bootstrap"),
        ({"level": 95}, "level"),
        ({"acceptance": [0.3, 0.4]}, "one by one"),
        ({"value": 5.0}, "above the incentive"),
    ],
)
def test_bad_settings_are_refused(change, told):
    y, score, _ = _customers(4, 20)
    with pytest.raises(DataError, match=told):
        profit_curve(y, score, **(OFFER | change))


def test_one_customer_has_no_interval():
    index = pd.MultiIndex.from_tuples([("a", 1), ("a", 2)], names=["customer_id", "as_of"])
    with pytest.raises(DataError, match="2 customers"):
        profit_curve(pd.Series([0, 1], index), pd.Series([0.1, 0.9], index), **OFFER)


def _table(seed=0, n=400):
    y, score, value = _customers(seed, n)
    return pd.DataFrame({"score": score, "noise": score.rank() % 7}), y, value


class Known:
    """A model that knows the risk."""

    classes_ = np.array(["active", "left"])

    def predict_proba(self, X):
        return np.column_stack([1 - X["score"] / 2, X["score"] / 2])


def test_scores_by_hand():
    X = pd.DataFrame({"score": [1.0, 0.2, 0.9]}, index=["a", "b", "c"])
    model, y = Known(), ["left", "left", "active"]
    value = pd.Series({"c": 30.0, "b": 100.0, "a": 200.0, "elsewhere": np.inf})
    score = profit_scorer(value=value, **MONEY, acceptance=0.3)
    # Contacted is a alone: .5 * 57 - 5 - 1 > 0, c: .45 * 6 - 5.5 - 1 < 0, b: .1 * 27 - 9 - 1 < 0
    assert score(model, X, y) == pytest.approx((57 - 1) / 3)
    costs = offer_costs(value=value[["a", "b", "c"]], **MONEY, acceptance=0.3)
    # a: 1 + .3 * 10 + .7 * 200, b: 100, c: 0
    assert cost_scorer(costs)(model, X, y) == pytest.approx(-(144 + 100) / 3)


def test_best_threshold_is_the_maximum_profit():
    X, y, value = _table()
    model = LogisticRegression().fit(X, y)
    risk = model.predict_proba(X)[:, 1]
    for acceptance, best in ((0.3, maximum_profit), (Beta(6, 14), expected_maximum_profit)):
        terms = {"value": value, **MONEY, "acceptance": acceptance}
        scorer = profit_scorer(**terms, decide="best_threshold")
        assert scorer(model, X, y) == pytest.approx(best(y, risk, **terms).profit)


@pytest.mark.parametrize("routing", [False, True])
def test_in_cross_validation_and_search(routing):
    X, y, value = _table()
    shuffled = value.sample(frac=1.0, random_state=0)
    scoring = {
        "profit": profit_scorer(value=shuffled, **MONEY, acceptance=Beta(6, 14)),
        "cost": cost_scorer(offer_costs(value=shuffled, **MONEY, acceptance=0.3)),
        "auc": "roc_auc",
    }
    with config_context(enable_metadata_routing=routing):
        found = cross_validate(LogisticRegression(), X, y, cv=3, scoring=scoring)
        search = GridSearchCV(
            LogisticRegression(), {"C": [1e-6, 1.0]}, cv=3, scoring=scoring["profit"]
        ).fit(X, y)
    assert (found["test_profit"] > 0).all()
    assert (found["test_cost"] < 0).all()
    assert search.best_params_ == {"C": 1.0}
    # The difference of two costs is a gain: nobody contacted costs the leavers' values.
    lost = cross_val_score(LogisticRegression(), X, y, cv=3, scoring=scoring["cost"])
    assert lost == pytest.approx(found["test_cost"])


def test_models_of_the_library_and_others():
    X, y, value = _table(n=300)
    scorer = profit_scorer(value=value, **MONEY, acceptance=0.3)
    for model in (
        cx.ChurnModel(effort="fast", random_state=0),
        HistGradientBoostingClassifier(max_iter=20),
    ):
        found = cross_val_score(model, X, y, cv=2, scoring=scorer, error_score="raise")
        assert np.isfinite(found).all()


def test_risk_intervals_of_the_model_fit_the_gain():
    X, y, value = _table(n=200)
    model = cx.ChurnModel(effort="fast", random_state=0).fit(X, y)
    risk, ends = model.predict_proba(X)[:, 1], model.predict_interval(X)
    terms = {"value": value, **MONEY, "acceptance": Beta(6, 14)}
    known, unsure = (
        cx.gain_interval(risk, **terms),
        cx.gain_interval(risk, **terms, probability_interval=ends),
    )
    assert (unsure["high"] - unsure["low"]).sum() > (known["high"] - known["low"]).sum()
    pd.testing.assert_series_equal(known["expected_gain"], unsure["expected_gain"])


def test_amounts_are_found_by_customer():
    X, y, value = _table()
    model = LogisticRegression().fit(X, y)
    dated = X.set_axis(
        pd.MultiIndex.from_product([X.index, ["2024-01-01"]], names=["customer_id", "as_of"])
    )
    scorer = profit_scorer(value=value, **MONEY, acceptance=0.3)
    assert scorer(model, dated, y) == scorer(model, X, y)


@pytest.mark.parametrize(
    ("given", "rows", "told"),
    [
        (lambda v: v.iloc[:390], None, "10 of 400 rows of X have no amount"),
        (lambda v: pd.concat([v, v]), None, "duplicates"),
        (lambda v: v.to_numpy(), None, "lost when X is divided"),
        (lambda v: v.where(v > v.min()), None, "value: expected finite"),
        (lambda v: v, "to_numpy", "expected a DataFrame"),
    ],
)
def test_amounts_that_are_not_found_are_refused(given, rows, told):
    X, y, value = _table()
    model = LogisticRegression().fit(X.to_numpy(), y)
    model.predict_proba = lambda X: np.full((len(X), 2), 0.5)
    scorer = profit_scorer(value=given(value), **MONEY, acceptance=0.3)
    with pytest.raises(DataError, match=told):
        scorer(model, X.to_numpy() if rows else X, y)


def test_other_problems_are_refused():
    X, y, _ = _table()
    scorer = profit_scorer(**OFFER)
    with pytest.raises(DataError, match="decide"):
        profit_scorer(**OFFER, decide="always")
    model = LogisticRegression().fit(X, y)
    model.classes_ = np.array([0, 1, 2])
    with pytest.raises(DataError, match="two classes"):
        scorer(model, X, y)
    with pytest.raises(DataError, match="other labels"):
        scorer(LogisticRegression().fit(X, y), X, y + 1)
    wrong = CostMatrix(true_positive=9.0, false_positive=0.0, false_negative=1.0, true_negative=2.0)
    with pytest.raises(DataError, match="exchanged"):
        cost_scorer(wrong)(LogisticRegression().fit(X, y), X, y)
