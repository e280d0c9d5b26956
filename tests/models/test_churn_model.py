"""ChurnModel: what it accepts and refuses, exactness, determinism, honesty on known truth."""

import json

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from cxpredict.errors import ModelError
from cxpredict.models.churn import ChurnModel
from cxpredict.models.evaluation import evaluate


def company(n, seed):
    """Mixed columns with known churn probabilities."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "tenure days": rng.gamma(2.0, 200.0, n),
            "complaints": rng.poisson(0.7, n),
            "plan": rng.choice(["basic", "gold", "plus"], n),
            "region": pd.Categorical(rng.choice(["n", "s", "w"], n)),
            "autopay": rng.random(n) < 0.5,
            "nps_last": rng.integers(0, 11, n).astype(float),
            'odd [<",:{name}': rng.normal(size=n),
        }
    )
    X.loc[rng.random(n) < 0.3, "nps_last"] = np.nan
    margin = -1.2 - 0.002 * X["tenure days"] + 0.6 * X["complaints"] - 0.5 * X["autopay"]
    margin += 0.9 * (X["plan"] == "basic") + 0.2 * (5 - X["nps_last"].fillna(5))
    truth = expit(margin.to_numpy())
    return X, (rng.random(n) < truth).astype(int), truth


@pytest.fixture(scope="module")
def trained():
    X, y, _ = company(1500, 0)
    return ChurnModel(random_state=7).fit(X, y), X, y


def test_close_to_the_truth_and_calibrated(trained):
    model = trained[0]
    X, y, truth = company(6000, 1)
    risk = model.predict_proba(X)[:, 1]
    assert roc_auc_score(y, risk) > roc_auc_score(y, truth) - 0.035
    assert log_loss(y, risk) < log_loss(y, truth) + 0.02
    assert abs(risk.mean() - truth.mean()) < 0.03
    table = evaluate(y, risk, n_bootstrap=2).set_index("metric")["estimate"]
    assert table["ece"] < 0.04
    assert abs(table["calibration_slope"] - 1.0) < 0.2


def test_risk_is_probability_and_interval_in_one_pass(trained):
    model, X, _ = trained
    for given in (X, X[:1], X[:0]):
        risk = model.predict_risk(given, level=0.8)
        assert list(risk) == ["probability", "low", "high"]
        assert risk.index.equals(given.index)
        interval = model.predict_interval(given, level=0.8)
        np.testing.assert_array_equal(risk["probability"], model.predict_proba(given)[:, 1])
        np.testing.assert_array_equal(risk[["low", "high"]], interval)


def test_risk_of_an_array():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    model = ChurnModel(effort="fast", random_state=0).fit(X, rng.random(300) < expit(X[:, 0]))
    risk = model.predict_risk(X)
    np.testing.assert_array_equal(risk["probability"], model.predict_proba(X)[:, 1])
    np.testing.assert_array_equal(risk[["low", "high"]], model.predict_interval(X))


def test_interval_covers_the_rate_of_deciles_of_new_customers():
    inside = []
    for seed in range(4):
        X, y, _ = company(1500, 10 + seed)
        model = ChurnModel(random_state=seed).fit(X, y)
        new, _, truth = company(6000, 50 + seed)
        risk, (low, high) = model.predict_proba(new)[:, 1], model.predict_interval(new).T
        assert ((low <= risk) & (risk <= high)).all()
        inside += [
            low[rows].mean() <= truth[rows].mean() <= high[rows].mean()
            for rows in np.array_split(np.argsort(risk), 10)
        ]
    # 40 deciles of 4 fits; deciles of one fit err together.
    assert np.mean(inside) >= 0.8


def test_contributions_add_up_exactly(trained):
    model, X, _ = trained
    values, base = model.contributions(X[:200])
    assert values.shape == (200, X.shape[1])
    np.testing.assert_allclose(
        base + values.sum(axis=1), model.decision_function(X[:200]), rtol=0, atol=1e-9
    )
    # The strongest true drivers matter more than the noise column.
    strength = pd.Series(np.abs(values).mean(axis=0), index=model.feature_names_in_)
    assert strength.idxmin() in ('odd [<",:{name}', "region")


def test_state_through_json_is_bit_equal(trained):
    model, X, _ = trained
    text = json.dumps(model.to_state(), allow_nan=False)
    again = ChurnModel.from_state(json.loads(text))
    for method in ("predict_proba", "predict", "decision_function", "predict_interval"):
        np.testing.assert_array_equal(getattr(again, method)(X), getattr(model, method)(X))
    np.testing.assert_array_equal(again.contributions(X)[0], model.contributions(X)[0])
    pd.testing.assert_frame_equal(again.column_report_, model.column_report_)
    assert list(again.feature_names_in_) == list(model.feature_names_in_)
    assert json.dumps(again.to_state(), allow_nan=False) == text
    with pytest.raises(ModelError, match="Expected the state of a ChurnModel"):
        ChurnModel.from_state({"model": "SatisfactionModel"})


def test_same_seed_same_model_at_any_number_of_threads():
    X, y, _ = company(2500, 3)  # above the size from which threads are used
    one = ChurnModel(random_state=1, n_jobs=1).fit(X, y)
    two = ChurnModel(random_state=1, n_jobs=2).fit(X, y)
    assert one.ensemble_.to_state() == two.ensemble_.to_state()
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    np.testing.assert_array_equal(one.contributions(X)[0], two.contributions(X)[0])
    chunks = [two.predict_proba(X[i : i + 700]) for i in range(0, 2500, 700)]
    np.testing.assert_array_equal(np.vstack(chunks), one.predict_proba(X))
    small = [ChurnModel(random_state=s).fit(X[:300], y[:300]).predict_proba(X) for s in (1, 2)]
    assert (small[0] != small[1]).any()


def test_margin_is_the_weighted_sum_of_its_members(trained):
    model, X, _ = trained
    found = model.ensemble_
    matrix = found.encoding.apply(model.columns_.encode(X))
    state = model.to_state()["ensemble"]
    raw = [lgb.Booster(model_str=t).predict(matrix, raw_score=True) for t in state["boosters"]]
    total = sum(
        weight * (margin + state["offsets"][0])
        for weight, margin in zip(state["booster_weights"], raw, strict=True)
    )
    values, base = found.linear.contributions(matrix)
    total = total + state["linear_weight"] * (base + values.sum(axis=1))
    np.testing.assert_allclose(model.decision_function(X), total, rtol=0, atol=1e-9)
    assert min(state["booster_weights"]) > 0


def test_customers_never_straddle_inner_folds():
    """Each customer is a coin flip, and its own feature names it: only straddling could learn."""
    rng = np.random.default_rng(0)
    customers = np.repeat(np.arange(80), 4)
    dates = np.tile(pd.date_range("2024-01-01", periods=4, freq="MS"), 80)
    index = pd.MultiIndex.from_arrays(
        [customers.astype(str), dates], names=["customer_id", "as_of"]
    )
    X = pd.DataFrame({"who": np.repeat(rng.random(80), 4)}, index=index)
    y = pd.Series(np.repeat(rng.integers(0, 2, 80), 4), index=index)
    # Folds by row would find the other dates of a customer, and predict 0 or 1.
    risk = ChurnModel(random_state=0).fit(X, y).predict_proba(X)[:, 1]
    assert risk.std() < 0.15


def test_no_signal_gives_the_base_rate():
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.normal(size=(1500, 6)), columns=list("abcdef"))
    y = (rng.random(1500) < 0.2).astype(int)
    risk = ChurnModel(random_state=0).fit(X, y).predict_proba(X)[:, 1]
    assert np.abs(risk - y.mean()).mean() < 0.03


def test_weights_shift_the_base_rate():
    X, y, _ = company(1500, 4)
    weight = np.where(y == 1, 3.0, 1.0)
    risk = ChurnModel(random_state=0).fit(X, y, sample_weight=weight).predict_proba(X)[:, 1]
    assert np.average(risk, weights=weight) == pytest.approx(
        np.average(y, weights=weight), abs=0.03
    )


@pytest.mark.parametrize(
    "labels",
    [(False, True), ("kept", "left"), (0.0, 1.0), (1, 2)],
    ids=["bool", "text", "float", "12"],
)
def test_any_two_labels(labels, trained):
    _, X, y = trained
    target = np.array(labels)[y[:400]]
    model = ChurnModel(random_state=0).fit(X[:400], target)
    assert model.classes_.tolist() == list(labels)
    assert set(model.predict(X[:400])) <= set(labels)
    again = ChurnModel.from_state(json.loads(json.dumps(model.to_state())))
    assert again.predict(X[:50]).tolist() == model.predict(X[:50]).tolist()


# Bad input, numbered as in the project's list.


def test_33_one_class_is_refused_with_counts(trained):
    _, X, _ = trained
    with pytest.raises(ModelError, match=r"1 class\(es\) \(0: 1,500\); churn needs both classes"):
        ChurnModel().fit(X, np.zeros(len(X), dtype=int))
    with pytest.raises(ModelError, match=r"at least 2 customers.*0: 1,499, 1: 1"):
        ChurnModel().fit(X, np.r_[1, np.zeros(1499, dtype=int)])


def test_34_missing_targets_are_left_out_and_counted(trained):
    _, X, y = trained
    target = pd.Series(y, dtype="Int64")
    target[::10] = pd.NA
    model = ChurnModel(random_state=0).fit(X, target)
    assert model.n_missing_target_ == 150
    kept = target.notna().to_numpy()
    direct = ChurnModel(random_state=0).fit(X[kept], y[kept])
    np.testing.assert_array_equal(model.predict_proba(X), direct.predict_proba(X))
    with pytest.raises(ModelError, match=r"missing in 1,500"):
        ChurnModel().fit(X, pd.Series([None] * 1500, dtype="float64"))


def test_35_36_empty_sets(trained):
    model, X, _ = trained
    with pytest.raises(ModelError, match="0 rows to learn from"):
        ChurnModel().fit(X[:0], pd.Series([], dtype=int))
    assert model.predict_proba(X[:0]).shape == (0, 2)
    assert model.predict(X[:0]).shape == (0,)
    assert model.predict_interval(X[:0]).shape == (0, 2)
    values, base = model.contributions(X[:0])
    assert values.shape == (0, X.shape[1])
    assert base == model.contributions(X[:1])[1]


def test_37_to_40_columns_are_aligned_by_name(trained):
    model, X, _ = trained
    expected = model.predict_proba(X)
    shuffled = X[X.columns[::-1]].assign(extra=1)
    np.testing.assert_array_equal(model.predict_proba(shuffled), expected)
    report = model.check_columns(shuffled.drop(columns="plan")).set_index("column")
    assert report.loc["extra", "status"] == "extra"
    assert report.loc["plan", "status"] == "missing"
    with pytest.raises(ModelError, match="1 of the 7 columns known from fit are missing: plan"):
        model.predict_proba(X.rename(columns={"plan": "tariff"}))


def test_41_42_levels_are_recast_and_unseen_ones_counted(trained):
    model, X, _ = trained
    as_category = X.assign(plan=X["plan"].astype("category"), region=X["region"].astype(str))
    np.testing.assert_array_equal(model.predict_proba(as_category), model.predict_proba(X))
    odd = X.assign(plan="platinum")
    gap = X.assign(plan=pd.Series([None] * len(X), dtype="str"))
    np.testing.assert_array_equal(model.predict_proba(odd), model.predict_proba(gap))
    # A level unknown at fit must not be read as the first known level.
    assert (model.predict_proba(odd) != model.predict_proba(X.assign(plan="basic"))).any()
    report = model.check_columns(odd).set_index("column")
    assert report.loc["plan", "n_unseen"] == 1500
    assert report.loc["region", "n_unseen"] == 0


def test_43_47_unusable_columns_are_all_named_with_the_mending():
    n = 300
    X = pd.DataFrame(
        {
            "fine": range(n),
            "account": [f"A{i}" for i in range(n)],
            "paid": [f"{i}.5" if i else " " for i in range(n)],
            "since": pd.date_range("2024-01-01", periods=n),
            "mixed": [1, "a", None] * 100,
            "wait": pd.to_timedelta(range(n), unit="h"),
        }
    )
    with pytest.raises(ModelError) as caught:
        ChurnModel().fit(X, np.arange(n) % 2)
    message = str(caught.value)
    assert "5 column(s) cannot be used" in message
    assert "'account' has 300 distinct text values in 300 rows, an id: drop it" in message
    assert "'paid' holds numbers as text: convert it with pd.to_numeric" in message
    assert "'since' holds dates or times: use the days" in message
    assert "'mixed' holds mixed values" in message
    assert "A17" not in message
    assert "'fine'" not in message


def test_44_45_infinite_values_count_as_missing(trained):
    _, X, y = trained
    dirty = X.copy()
    dirty.loc[:9, "tenure days"] = [np.inf, -np.inf] * 4 + [1e400, np.nan]
    model = ChurnModel(random_state=0).fit(dirty, y)
    report = model.column_report_.set_index("column").loc["tenure days"]
    assert (report["n_infinite"], report["n_missing"]) == (9, 1)
    gaps = dirty.replace([np.inf, -np.inf], np.nan)
    np.testing.assert_array_equal(model.predict_proba(dirty), model.predict_proba(gaps))


def test_48_names_that_lightgbm_rejects_are_kept(trained):
    model, X, _ = trained
    assert list(model.feature_names_in_) == list(X.columns)
    assert model.column_report_["column"].tolist() == list(X.columns)


def test_gap_in_a_column_complete_at_fit_is_its_median(trained):
    model, X, _ = trained
    median = X["complaints"].median()
    gap = X.assign(complaints=np.nan)
    filled = X.assign(complaints=median)
    np.testing.assert_array_equal(model.predict_proba(gap), model.predict_proba(filled))


def test_numbers_that_became_text_are_refused_at_prediction(trained):
    model, X, _ = trained
    with pytest.raises(ModelError, match="'complaints' was a number at fit and is text now"):
        model.predict_proba(X.assign(complaints="many"))
    report = model.check_columns(X.assign(complaints="many")).set_index("column")
    assert report.loc["complaints", "status"] == "changed"


def test_duplicate_names_are_refused(trained):
    model, X, y = trained
    twice = pd.concat([X, X[["plan"]]], axis=1)
    with pytest.raises(ModelError, match="1 occur more than once: plan"):
        ChurnModel().fit(twice, y)
    with pytest.raises(ModelError, match="more than once"):
        model.predict_proba(twice)


def test_x_and_y_must_have_the_same_index(trained):
    _, X, y = trained
    with pytest.raises(
        ModelError, match=r"same index.*1,500 labels are in both.*y\.loc\[X\.index\]"
    ):
        ChurnModel().fit(X, pd.Series(y)[::-1])
    with pytest.raises(ModelError, match="sample_weight must have the same index"):
        ChurnModel().fit(X, y, sample_weight=pd.Series(1.0, index=X.index + 1))


def test_nullable_and_constant_columns(trained):
    _, X, y = trained
    nullable = X.convert_dtypes().assign(constant=1, nothing=pd.Series([None] * len(X)))
    nullable["complaints"] = nullable["complaints"].astype("Int64")
    assert {str(d) for d in nullable.dtypes} >= {"Int64", "boolean"}
    model = ChurnModel(random_state=0).fit(nullable, y)
    report = model.column_report_.set_index("column")
    assert (report.loc[["constant", "nothing"], "dropped"] == "constant").all()
    assert report.loc["autopay", "kind"] == "flag"
    risk = model.predict_proba(nullable.assign(nothing="x"))[:, 1]
    assert roc_auc_score(y, risk) > 0.7


def test_other_tables_than_pandas(trained):
    pl = pytest.importorskip("polars")
    model, X, y = trained
    small = X[["complaints", "autopay", "plan"]][:400]
    by_pandas = ChurnModel(random_state=0).fit(small, y[:400])
    by_polars = ChurnModel(random_state=0).fit(pl.from_pandas(small), y[:400])
    np.testing.assert_array_equal(by_polars.predict_proba(small), by_pandas.predict_proba(small))
    assert model.n_features_in_ == 7


def test_telco_is_at_the_honest_ceiling(shared_data):
    X = pd.read_parquet(shared_data / "telco_classic.parquet").drop(columns="customerID")
    y = (X.pop("Churn") == "Yes").to_numpy()
    with pytest.raises(ModelError, match="'TotalCharges' holds numbers as text"):
        ChurnModel().fit(X, y)
    X["TotalCharges"] = pd.to_numeric(X["TotalCharges"], errors="coerce")
    split = StratifiedKFold(5, shuffle=True, random_state=7).split(X, y)
    train, test = next(split)
    model = ChurnModel(random_state=7).fit(X.iloc[train], y[train])
    table = evaluate(y[test], model.predict_proba(X.iloc[test])[:, 1]).set_index("metric")
    assert 0.83 < table.loc["roc_auc", "estimate"] < 0.88
    assert table.loc["log_loss", "estimate"] < 0.42
    assert table.loc["ece", "estimate"] < 0.05
    assert table.loc["calibration_slope", "low"] < 1.0 < table.loc["calibration_slope", "high"]
