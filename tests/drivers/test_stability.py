"""Stability over refits: shadows by hand, then a model whose drivers are known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import PLAIN
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from cxpredict.drivers.refits import Sizes, shadow_rows
from cxpredict.drivers.stability import DriverStability, driver_stability
from cxpredict.errors import ConfigError, DataError, EmptyDataError, ModelError
from cxpredict.features.origin import Origin
from cxpredict.models.churn import ChurnModel


class Rule(ClassifierMixin, BaseEstimator):
    """A linear rule by least squares: contributions are weight × (value − mean at fit)."""

    def __init__(self, effort="standard", random_state=None):
        self.effort = effort
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        self.feature_names_in_ = list(X)
        values, weight = X.to_numpy(float), np.sqrt(sample_weight)[:, None]
        self.mean_ = np.average(values, axis=0, weights=sample_weight)
        target = np.asarray(y, dtype=float) - np.average(y, weights=sample_weight)
        centred = (values - self.mean_) * weight
        self.weight_ = np.linalg.lstsq(centred, target * weight[:, 0])[0]
        return self

    def contributions(self, X):
        return self.weight_ * (X.to_numpy(float) - self.mean_), 0.0


def _world(seed, n=300, effects=(1.0, 0.5), n_nulls=4):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, len(effects) + n_nulls)))
    X.columns = [f"driver {k}" for k in range(len(effects))] + [f"null {k}" for k in range(n_nulls)]
    margin = X.iloc[:, : len(effects)].to_numpy() @ np.array(effects)
    return X, pd.Series((rng.random(n) < 1 / (1 + np.exp(-margin))).astype(int))


def test_table_by_hand():
    # Two refits. a: 3, 5 against a shadow of 1, 1; b: 2, 1 against 2, 2 (never above it).
    # In the place of b's shadow (2, 2) one feature, a, is ahead: no effect is rank 2 for b;
    # before a's shadow (1, 1) are b at 2 in the first refit and nothing in the second (1 is not
    # above 1): ranks 2 and 1, median 1.5.
    sizes = Sizes(["a", "b"], np.array([[3.0, 2.0], [5.0, 1.0]]), np.array([[1.0, 2.0]] * 2))
    origins = {name: Origin("customers", "attribute", name) for name in "ab"}
    table = DriverStability(sizes, {"source": sizes}, origins, 0.95, "").table.set_index("feature")
    assert table["importance"].to_dict() == {"a": 4.0, "b": 1.5}
    assert table[["rank", "rank_low", "rank_high"]].to_numpy().tolist() == [[1] * 3, [2] * 3]
    assert table["no_effect_importance"].to_dict() == {"a": 1.0, "b": 2.0}
    assert table["no_effect_rank"].to_dict() == {"a": 1.5, "b": 2.0}
    assert table["above_no_effect"].to_dict() == {"a": 1.0, "b": 0.0}
    assert table["no_effect"].to_dict() == {"a": False, "b": True}
    # 2.5 % and 97.5 % of the way from 3 to 5
    assert table.loc["a", ["low", "high"]].tolist() == pytest.approx([3.05, 4.95])


def test_nineteen_of_twenty_refits_are_enough():
    real = np.ones((20, 2))
    shadow = np.zeros((20, 2))
    shadow[0, 0] = shadow[:2, 1] = 2.0
    sizes = Sizes(["a", "b"], real, shadow)
    origins = {name: Origin("customers", "attribute", name) for name in "ab"}
    found = DriverStability(sizes, {}, origins, 0.95, "").table.set_index("feature")
    assert found["no_effect"].to_dict() == {"a": False, "b": True}


@settings(PLAIN, max_examples=50)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), people=st.integers(1, 15))
def test_shadows_keep_what_belongs_together(seed, n, people):
    rng = np.random.default_rng(seed)
    customers = pd.factorize(rng.integers(0, people, n))[0]
    taken = shadow_rows(customers, rng)
    source = pd.Series(customers[taken])
    # every customer takes from one other, and nobody is taken from twice
    by_customer = source.groupby(customers)
    assert (by_customer.nunique() == 1).all()
    assert by_customer.first().is_unique
    if len(np.unique(customers)) == n:
        assert sorted(taken) == list(range(n))


def test_a_date_does_not_stay_with_its_row():
    # A feature that is the date: dealt by whole customers it would stay the date in every row.
    dates = np.tile(np.arange(12), 200)
    customers = np.repeat(np.arange(200), 12)
    taken = shadow_rows(customers, np.random.default_rng(0))
    assert abs(np.corrcoef(dates, dates[taken])[0, 1]) < 0.1


def test_drivers_are_told_from_no_effect_and_nulls_are_not():
    # 30 worlds of 4 features without effect. Were 5 % of them to pass, 6 of 120 would; a driver
    # needs to beat its shadow in 19 of 20 refits, which far fewer do. Power: an effect of .5 on
    # 300 rows has a z of about 3.6, and beats its shadow that often in about half of the worlds.
    passed, found = 0, 0
    for seed in range(30):
        X, y = _world(seed)
        table = driver_stability(Rule(), X, y, random_state=seed).table.set_index("feature")
        passed += (~table.loc[[f"null {k}" for k in range(4)], "no_effect"]).sum()
        found += (~table.loc[["driver 0", "driver 1"], "no_effect"]).to_numpy()
    assert passed <= 6
    assert found[0] == 30
    assert found[1] >= 10


def test_what_is_constant_for_a_customer_is_not_mistaken_for_many_answers():
    # 40 customers with 12 rows each and an outcome that hangs on the customer: a null that is
    # constant for a customer looks strong. Shadows dealt row by row would be far weaker.
    passed = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        customer = np.repeat(np.arange(40), 12)
        index = pd.MultiIndex.from_arrays([customer, np.tile(np.arange(12), 40)])
        index.names = ["customer_id", "as_of"]
        X = pd.DataFrame(rng.normal(size=(40, 4))[customer], index=index, columns=list("abcd"))
        risk = rng.uniform(0, 1, 40)[customer]
        y = pd.Series((rng.random(480) < risk).astype(int), index)
        passed += (~driver_stability(Rule(), X, y, random_state=seed).table["no_effect"]).sum()
    assert passed <= 3  # of 40


def test_groups_hold_what_their_features_share():
    # The same thing measured twice: how the credit is shared differs in each refit, what both do
    # together does not.
    X, y = _world(5, n=600, effects=(0.6,), n_nulls=2)
    X.insert(1, "again", X["driver 0"] + 0.05 * np.random.default_rng(0).normal(size=600))
    calls = {name: Origin("interactions", "count", "", (("kind", "call"),), 30, "support")
             for name in ("driver 0", "again")}  # fmt: skip
    found = driver_stability(Rule(), X, y, origins=calls, random_state=1)
    group = found.by("touchpoint").set_index("touchpoint")
    alone = found.table.set_index("feature")
    width = (alone["high"] - alone["low"]) / alone["importance"]
    group_width = (group["high"] - group["low"]) / group["importance"]
    assert group_width["support"] < 0.5 * width[["driver 0", "again"]].min()
    assert group.loc["support", "n_features"] == 2
    assert not group.loc["support", "no_effect"]
    assert group.loc["customer profile", "no_effect"]
    with pytest.raises(ConfigError, match="not by 'planet'"):
        found.by("planet")


def test_the_seed_decides_at_any_number_of_threads_and_the_note_says_what_was_done():
    X, y = _world(1, n=250, effects=(2.0,), n_nulls=1)
    model = Rule()
    first = driver_stability(model, X, y, max_rows=100, random_state=1)
    again = driver_stability(model, X, y, max_rows=100, random_state=1, n_jobs=2)
    pd.testing.assert_frame_equal(first.table, again.table)
    other = driver_stability(model, X, y, max_rows=100, random_state=2)
    assert not other.table.equals(first.table)
    assert "effort 'fast' instead of 'standard'" in first.note
    assert "100 fixed rows" in first.note
    assert "not causes" in first._repr_html_()
    assert not hasattr(model, "weight_")
    as_it_is = driver_stability(model, X, y, effort=None)
    assert "effort" not in as_it_is.note


def test_weights_count():
    # the effect is only in rows of weight 0: with weights nothing is left of it
    X, y = _world(2, n=400, effects=(2.0,), n_nulls=1)
    rng = np.random.default_rng(0)
    noise = pd.Series(rng.integers(0, 2, 400))
    half = np.arange(400) < 200
    mixed = y.where(half, noise)
    full = driver_stability(Rule(), X, mixed).table.set_index("feature")
    part = driver_stability(Rule(), X, mixed, sample_weight=np.where(half, 0.0, 1.0))
    assert full.loc["driver 0", "importance"] > 2 * part.table["importance"].max()


def test_what_cannot_be_refitted_is_said():
    X, y = _world(0, n=60)
    with pytest.raises(ConfigError, match="20 or more, got 5"):
        driver_stability(Rule(), X, y, refits=5)
    with pytest.raises(DataError, match=r"such as 0\.95, got 95"):
        driver_stability(Rule(), X, y, level=95)
    with pytest.raises(ModelError, match="with contributions, got LogisticRegression"):
        driver_stability(LogisticRegression(), X, y)
    with pytest.raises(EmptyDataError):
        driver_stability(Rule(), X.iloc[:0], y.iloc[:0])
    with pytest.raises(DataError, match="explained lacks 1 columns of X: \\['null 0'\\]"):
        driver_stability(Rule(), X, y, explained=X.drop(columns="null 0"))
    with pytest.raises(ModelError, match="same index"):
        driver_stability(ChurnModel(), X, y.iloc[::-1])
