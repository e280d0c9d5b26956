"""Drivers of a linear model, whose SHAP values are known by hand, and of a real booster."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt

from cxpredict.drivers.explain import explain
from cxpredict.errors import ConfigError, DataError, EmptyDataError, ModelError
from cxpredict.features.origin import Origin


class Linear:
    """A linear model on the log-odds: its exact SHAP values are weight × (value − mean)."""

    def __init__(self, weights, means, base=-2.0):
        self.feature_names_in_ = list(weights)
        self.weights, self.means, self.base = weights, means, base

    def contributions(self, X):
        columns = [self.weights[n] * (X[n].to_numpy(float) - self.means[n]) for n in self.weights]
        return np.column_stack(columns), self.base

    def margin(self, X):
        return self.base + sum(self.weights[n] * (X[n] - self.means[n]) for n in self.weights)


ORIGINS = {
    "calls": Origin("interactions", "count", "", (("kind", "call"),), 30, "support", "phone"),
    "calls_resolved": Origin("interactions", "count", "", (("kind", "call"),), 90, "support"),
    "nps_last": Origin("feedback", "last", "score", (("metric", "nps"),), touchpoint="advocacy"),
}
MODEL = Linear(
    {"calls": 0.5, "calls_resolved": -0.5, "nps_last": -0.2, "age": 0.0},
    {"calls": 2, "calls_resolved": 1, "nps_last": 7, "age": 40},
)


def _customers(n=4):
    index = pd.MultiIndex.from_product(
        [[f"c{i}" for i in range(n)], [pd.Timestamp("2025-01-01")]], names=["customer_id", "as_of"]
    )
    columns = {
        "calls": [2, 4, 0, 6],
        "calls_resolved": [1, 3, 1, 3],
        "nps_last": [7, 2, 9, 10],
        "age": [40, 30, 50, 41],
    }
    return pd.DataFrame(columns, index=index).astype("float64")


def test_table_by_hand():
    table = explain(MODEL, _customers(), origins=ORIGINS).table.set_index("feature")
    # calls: .5 × (0, 2, −2, 4) → magnitudes 0 1 1 2; resolved: −.5 × (0, 2, 0, 2) → 0 1 0 1;
    # nps: −.2 × (0, −5, 2, 3) → 0 1 .4 .6; age: nothing
    assert table["importance"].to_dict() == pytest.approx(
        {"calls": 1.0, "calls_resolved": 0.5, "nps_last": 0.5, "age": 0.0}
    )
    assert table.index[0] == "calls"
    assert table["share"].to_dict() == pytest.approx(
        {"calls": 0.5, "calls_resolved": 0.25, "nps_last": 0.25, "age": 0.0}
    )
    assert table["direction"].to_dict() == {
        "calls": "higher raises",
        "calls_resolved": "higher lowers",
        "nps_last": "higher lowers",
        "age": "",
    }
    assert table.loc["nps_last", "description"] == "last NPS score"
    assert ((table["low"] <= table["importance"]) & (table["importance"] <= table["high"])).all()


def test_contributions_add_up_to_the_margin():
    X = _customers()
    drivers = explain(MODEL, X, origins=ORIGINS)
    margin = drivers.base + drivers.contributions.sum(axis=1)
    pd.testing.assert_series_equal(margin, MODEL.margin(X))


def test_groups_add_signed_values_before_magnitudes():
    by = explain(MODEL, _customers(), origins=ORIGINS).by("kind").set_index("kind")
    # calls and resolved calls cancel: (0, 1, −1, 2) + (0, −1, 0, −1) = (0, 0, −1, 1), mean
    # magnitude .5; the sum of magnitudes would be 1.0 + .5
    assert by.loc["call", "importance"] == pytest.approx(0.5)
    assert by.loc["call", "n_features"] == 2
    assert by["share"].sum() == pytest.approx(1.0)
    assert set(by.index) == {"call", "(none)", "customer profile"}


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("source", {"interactions", "feedback", "customers"}),
        ("touchpoint", {"support", "advocacy", "customer profile"}),
        ("channel", {"phone", "(none)", "customer profile"}),
        ("measure", {"count", "last", "attribute"}),
        ("metric", {"nps", "(none)", "customer profile"}),
        ("window_days", {"30", "90", "(none)", "customer profile"}),
    ],
)
def test_groupings(what, names):
    assert set(explain(MODEL, _customers(), origins=ORIGINS).by(what)[what]) == names


def test_unknown_grouping_lists_the_known():
    with pytest.raises(ConfigError, match=r"source, measure, .* not by 'planet'"):
        explain(MODEL, _customers()).by("planet")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 40))
def test_a_group_is_never_larger_than_its_features_together(seed, n):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=list(MODEL.weights))
    drivers = explain(MODEL, X, origins=ORIGINS)
    for what in ("source", "touchpoint", "measure"):
        by = drivers.by(what)
        assert by["importance"].sum() <= drivers.table["importance"].sum() + 1e-12
        assert (by["low"] <= by["high"]).all()


def test_order_of_rows_does_not_matter_and_the_seed_decides():
    X = pd.DataFrame(np.random.default_rng(1).normal(size=(60, 4)), columns=list(MODEL.weights))
    X.index = pd.MultiIndex.from_arrays(
        [np.repeat([f"c{i:02}" for i in range(20)], 3), np.tile([1, 2, 3], 20)],
        names=["customer_id", "as_of"],
    )
    first = explain(MODEL, X, origins=ORIGINS)
    shuffled = X.sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(first.table, explain(MODEL, shuffled, origins=ORIGINS).table)
    pd.testing.assert_frame_equal(first.reasons(), first.reasons().loc[X.index])
    other = explain(MODEL, X, origins=ORIGINS, random_state=1)
    assert not other.table["low"].equals(first.table["low"])


def test_interval_covers_the_mean_magnitude_of_a_large_population():
    # Contributions are standard normal for each of 60 customers with 3 rows each, equal within a
    # customer: E|c| = √(2/π). Rows drawn one by one would give intervals √3 too short (coverage
    # about 74 %); drawn by customer the 95 % interval must cover in about 93 % of repetitions.
    model, covered = Linear({"x": 1.0}, {"x": 0.0}), 0
    index = pd.MultiIndex.from_product([range(60), [1, 2, 3]], names=["customer_id", "as_of"])
    for seed in range(200):
        values = np.repeat(np.random.default_rng(seed).normal(size=60), 3)
        X = pd.DataFrame({"x": values}, index=index)
        row = explain(model, X, random_state=seed).table.iloc[0]
        covered += row["low"] <= np.sqrt(2 / np.pi) <= row["high"]
    assert 0.88 <= covered / 200 <= 0.98


def test_categories_name_their_highest_level_if_it_is_not_one_customer():
    class ByLevel:
        feature_names_in_ = ("plan",)

        def contributions(self, X):
            gain = {"monthly": 0.4, "yearly": -0.3, "pilot": 2.0}
            return X[["plan"]].astype("str").replace(gain).to_numpy(float), 0.0

    X = pd.DataFrame({"plan": pd.Categorical(["monthly"] * 20 + ["yearly"] * 20 + ["pilot"])})
    assert explain(ByLevel(), X).table["direction"].tolist() == ["highest with monthly"]


def test_sample_is_bounded_and_repeatable():
    X = pd.DataFrame(np.random.default_rng(1).normal(size=(500, 4)), columns=list(MODEL.weights))
    first, second = (explain(MODEL, X, max_rows=50) for _ in range(2))
    assert len(first.contributions) == 50
    pd.testing.assert_frame_equal(first.contributions, second.contributions)
    pd.testing.assert_frame_equal(first.values, X.loc[first.values.index])


def test_what_does_not_fit_is_said():
    X = _customers()
    with pytest.raises(ModelError, match="contributions, got object"):
        explain(object(), X)
    with pytest.raises(DataError, match="lacks 1 features of the model: \\['calls'\\]"):
        explain(MODEL, X.drop(columns="calls"))
    with pytest.raises(EmptyDataError):
        explain(MODEL, X.iloc[:0])


def test_page_and_plots_survive_hostile_names():
    name, price = "<script>alert('x')</script>", "$ per $ seat"
    model = Linear({name: 1.0, price: 0.2}, {name: 0.0, price: 0.0})
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=[name, price])
    drivers = explain(model, X)
    page = drivers._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "not causes" in page
    state = np.random.get_state()[1].copy()
    for figure in (drivers.plot(), drivers.beeswarm()):
        figure.canvas.draw()
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert any("script" in label for label in labels)
    assert (np.random.get_state()[1] == state).all()
    assert plt.get_fignums() == []


def test_a_real_booster_is_explained_to_the_last_digit():
    import lightgbm as lgb

    rng = np.random.default_rng(4)
    n = 3000
    X = pd.DataFrame(
        {
            "complaint_count_30d": rng.poisson(1, n).astype(float),
            "purchase_days_since": rng.exponential(30, n),
            "plan": pd.Categorical(rng.choice(["basic", "gold"], n)),
            "noise": rng.normal(size=n),
        }
    )
    X.loc[::17, "purchase_days_since"] = np.nan
    late = X["purchase_days_since"].fillna(0) / 40
    margin = -2.5 + 0.9 * X["complaint_count_30d"] + late - (X["plan"] == "gold")
    y = rng.random(n) < 1 / (1 + np.exp(-margin))

    class Booster:
        feature_names_in_ = tuple(X.columns)

        def __init__(self):
            data = lgb.Dataset(X, y.astype(float))
            options = {"objective": "binary", "verbosity": -1, "num_threads": 1, "num_leaves": 7}
            self.booster = lgb.train(options, data, num_boost_round=60)

        def contributions(self, X):
            both = self.booster.predict(X, pred_contrib=True)
            return both[:, :-1], both[0, -1]

    model = Booster()
    origins = {
        "complaint_count_30d": Origin("interactions", "count", "", (("kind", "complaint"),), 30),
        "purchase_days_since": Origin("transactions", "days_since", "", (("kind", "purchase"),)),
    }
    drivers = explain(model, X, origins=origins)
    raw = model.booster.predict(X, raw_score=True)
    assert np.abs(drivers.base + drivers.contributions.sum(axis=1) - raw).max() < 1e-9
    assert drivers.table["feature"].iloc[-1] == "noise"
    direction = drivers.table.set_index("feature")["direction"]
    assert direction["complaint_count_30d"] == direction["purchase_days_since"] == "higher raises"
    assert direction["plan"] == "highest with basic"
    reasons = drivers.reasons()
    many = X["complaint_count_30d"] >= 4
    assert reasons.loc[many, "reason_1"].str.contains("complaints in the last 30 days").mean() > 0.8
    drivers.beeswarm(top=3).canvas.draw()
