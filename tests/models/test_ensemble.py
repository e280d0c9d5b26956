"""The ensemble through its models: members, categories, time, effort; exact and honest."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.metrics import log_loss, roc_auc_score

from cxpredict.errors import ModelError
from cxpredict.models.churn import ChurnModel
from cxpredict.models.ensemble.blend import blend_weights
from cxpredict.models.ensemble.cases import Cases, offsets_of
from cxpredict.models.ensemble.encoding import learn_encoding
from cxpredict.models.ensemble.fit import fit_ensemble
from cxpredict.models.ensemble.linear import Linear, fit_paths, learn_basis
from cxpredict.models.ensemble.recipes import recipe_for
from cxpredict.models.resampling import customer_groups, validation_splits


def draw(rng, truth):
    return (rng.random(len(truth)) < truth).astype(int)


# Encoding


def test_few_levels_become_one_column_each_and_gaps_none_of_them():
    codes = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, np.nan]])
    encoding, numbers = learn_encoding(codes, [3, 2], np.zeros(3), np.ones(3), np.arange(3))
    assert numbers.tolist()[:2] == [[1, 0, 0, 1], [0, 1, 0, 0]]
    assert encoding.column_of.tolist() == [0, 0, 0, 1]
    assert encoding.apply(np.array([[np.nan, 1.0]])).tolist() == [[0, 0, 0, 1]]


def test_level_means_by_hand():
    """Two levels of ten rows; the first always churns: its mean is near 1, unknown ones .5."""
    codes = np.repeat([[0.0], [1.0]], 10, axis=0)
    encoding, _ = learn_encoding(codes, [11], np.repeat([1.0, 0.0], 10), np.ones(20), np.arange(20))
    asked = encoding.apply(np.array([[0.0], [1.0], [5.0], [np.nan]]))[:, 0]
    assert asked[0] > 0.99
    assert asked[1] < 0.01
    assert asked[2:].tolist() == [0.5, 0.5]


def test_a_row_never_meets_its_own_target():
    """Levels of one customer each: a mean that saw the row would be its target."""
    rng = np.random.default_rng(0)
    customer = np.repeat(np.arange(200), 3)
    target = np.repeat(rng.integers(0, 2, 200), 3).astype(float)
    _, numbers = learn_encoding(
        customer[:, None].astype(float), [200], target, np.ones(600), customer
    )
    assert abs(np.corrcoef(numbers[:, 0], target)[0, 1]) < 0.25


def high_cardinality(n, seed):
    rng = np.random.default_rng(seed)
    effect = np.random.default_rng(99).normal(size=300)
    city = rng.integers(0, 300, n)
    noise = rng.integers(0, 400, n)
    X = pd.DataFrame({"city": [f"c{i}" for i in city], "shop": [f"s{i}" for i in noise]})
    X["calls"] = rng.poisson(2.0, n)
    truth = expit(-1.0 + effect[city] + 0.3 * (X["calls"].to_numpy() - 2))
    return X, draw(rng, truth), truth


def test_categories_of_many_levels_help_and_noise_does_not_hurt():
    X, y, _ = high_cardinality(6000, 0)
    new, y_new, truth = high_cardinality(6000, 1)
    model = ChurnModel(effort="fast", random_state=0).fit(X, y)
    risk = model.predict_proba(new)[:, 1]
    without = ChurnModel(effort="fast", random_state=0).fit(X[["calls"]], y)
    plain = without.predict_proba(new)[:, 1]
    assert roc_auc_score(y_new, risk) > roc_auc_score(y_new, plain) + 0.1
    # 300 means learned from 6,000 rows cost about 300 ÷ (2 · 6,000) = .025
    assert log_loss(y_new, risk) < log_loss(y_new, truth) + 0.03
    assert abs(risk.mean() - truth.mean()) < 0.02
    values, base = model.contributions(new[:50])
    np.testing.assert_allclose(
        base + values.sum(axis=1), model.decision_function(new[:50]), rtol=0, atol=1e-9
    )


def test_rare_levels_are_pooled_and_not_stored():
    rng = np.random.default_rng(0)
    common = [f"town {i}" for i in rng.integers(0, 120, 3000)]
    X = pd.DataFrame({"town": common + [f"hamlet {i}" for i in range(100)]})
    y = draw(rng, np.full(3100, 0.3))
    model = ChurnModel(effort="fast", random_state=0).fit(X, y)
    text = json.dumps(model.to_state())
    assert "town 7" in text
    assert "hamlet" not in text
    assert model.column_report_.loc[0, "n_levels"] == 220
    asked = pd.DataFrame({"town": ["hamlet 3", "never seen"]})
    risk = model.predict_proba(asked)[:, 1]
    assert risk[0] == risk[1]
    assert model.check_columns(asked).loc[0, "n_unseen"] == 2


def test_columns_that_say_nothing_are_dropped_with_a_reason():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"row": np.arange(400) + 17, "calls": rng.poisson(2, 400), "one": "x"})
    X = X.assign(calls_again=X["calls"], plan=rng.choice(["a", "b"], 400))
    y = draw(rng, expit(X["calls"].to_numpy() - 2.0))
    model = ChurnModel(effort="fast", random_state=0).fit(X, y)
    found = model.column_report_.set_index("column")["dropped"]
    assert found.to_dict() == {
        "row": "a row number",
        "calls": "",
        "one": "constant",
        "calls_again": "the same as calls",
        "plan": "",
    }
    values, _ = model.contributions(X)
    assert (values[:, [0, 2, 3]] == 0).all()
    used = X[["plan", "calls"]]
    np.testing.assert_array_equal(model.predict_proba(used), model.predict_proba(X))
    again = ChurnModel.from_state(json.loads(json.dumps(model.to_state())))
    np.testing.assert_array_equal(again.predict_proba(used), model.predict_proba(X))


def test_free_text_is_refused_by_name():
    rng = np.random.default_rng(0)
    words = rng.choice(["late", "bill", "nice", "shop", "again", "never"], (400, 6))
    X = pd.DataFrame({"comment": [" ".join(row) for row in words], "calls": 1.0})
    X.loc[200:, "comment"] = X.loc[:199, "comment"].to_numpy()  # half of them repeat: no id
    with pytest.raises(ModelError, match=r"'comment' is free text .* of 6 words on average"):
        ChurnModel().fit(X, np.arange(400) % 2)


# Members and weights


def test_regression_finds_a_known_line_and_a_known_curve():
    rng = np.random.default_rng(0)
    x = rng.uniform(-2.0, 2.0, (20_000, 2))
    truth = expit(x[:, 0] + np.sin(2.0 * x[:, 1]))
    y, weight = draw(rng, truth).astype(float), np.ones(20_000)
    fit = fit_paths(learn_basis(x), x, y, weight, (3.0,))[0]
    values, base = fit.contributions(x)
    assert np.abs(base + values.sum(axis=1) - logit(truth)).mean() < 0.1
    assert abs(values.mean()) < 1e-9
    again = Linear.from_state(json.loads(json.dumps(fit.to_state())))
    np.testing.assert_array_equal(again.contributions(x)[0], values)
    assert again.contributions(x[:0])[0].shape == (0, 2)


def test_weights_are_those_of_the_better_member_and_few_rows_stay_near_the_prior():
    rng = np.random.default_rng(0)
    good = rng.normal(size=5000)
    margins = np.array([good, -good, rng.normal(size=5000)])
    y = draw(rng, expit(2.0 * good)).astype(float)
    weights = blend_weights(margins, np.full(3, 1 / 3), y, np.ones(5000))
    assert weights[0] == pytest.approx(2.0, abs=0.15)  # too timid margins are stretched
    assert weights[1] == 0.0
    few = blend_weights(margins[:, :5], np.full(3, 1 / 3), y[:5], np.ones(5))
    assert np.abs(few - 1 / 3).max() < 0.25


def test_out_of_fold_margins_know_nothing_of_noise():
    """Margins that had seen their own row would predict labels that nothing predicts."""
    rng = np.random.default_rng(0)
    codes, y = rng.normal(size=(800, 5)), (rng.random(800) < 0.5).astype(float)
    codes = np.column_stack([codes, rng.integers(0, 150, 800)])
    groups = np.arange(800)
    repeats, _ = validation_splits(y, groups, n_folds=5, n_repeats=2, rng=rng, counts="")
    cases = Cases(codes, y[:, None], np.ones(800), groups, y)
    recipe = recipe_for("standard", n=800, rate=0.5, n_steps=1)
    ensemble, held_out = fit_ensemble(cases, [0] * 5 + [150], repeats, recipe, seed=0)
    assert abs(roc_auc_score(y, held_out.margin[:, 0]) - 0.5) < 0.06
    assert len(ensemble.boosters) > 0
    assert (held_out.members["log_loss"] > np.log(2) - 0.01).all()


def test_offsets_are_the_base_rates_of_the_steps_that_were_asked():
    event = np.array([[1.0, 0.0], [0.0, np.nan], [0.0, 1.0], [0.0, 1.0]])
    cases = Cases(np.zeros((4, 1)), event, np.ones(4), np.arange(4), event[:, 0])
    assert expit(offsets_of(cases)).round(6).tolist() == [0.25, 0.666667]
    position, step = cases.asked(np.array([1, 3]))
    assert (position.tolist(), step.tolist()) == ([0, 1, 1], [0, 0, 1])


# Time


def test_choice_is_made_at_later_dates_and_other_customers():
    rng = np.random.default_rng(0)
    customer = np.tile(np.arange(300), 6)
    day = np.repeat(np.arange(6), 300)
    event = (rng.random(1800) < 0.4).astype(float)
    repeats, by_customer = validation_splits(
        event, customer, dates=day, n_folds=5, n_repeats=2, rng=rng, counts=""
    )
    for splits in repeats:
        for train, valid in splits:
            assert day[train].max() < day[valid].min() == 4
            assert not set(customer[train]) & set(customer[valid])
        judged = np.concatenate([valid for _, valid in splits])
        assert sorted(judged) == np.flatnonzero(day >= 4).tolist()
    judged = np.concatenate([valid for _, valid in by_customer])
    assert sorted(judged) == list(range(1800))
    few = validation_splits(
        event[:60], customer[:60], dates=day[:60], n_folds=5, n_repeats=1, rng=rng, counts=""
    )
    assert few[1] is None


def test_a_sign_that_stops_working_counts_less_than_without_dates():
    """A feature that worked only early: judged at later dates, members lean on it less."""
    rng = np.random.default_rng(0)
    n = 900
    customers = np.tile(np.arange(n).astype(str), 4)
    dates = np.repeat(pd.date_range("2024-01-01", periods=4, freq="MS"), n)
    early = np.repeat([True, True, True, False], n)
    X = pd.DataFrame({"campaign": rng.normal(size=4 * n), "calls": rng.normal(size=4 * n)})
    truth = expit(-0.5 + 1.5 * X["campaign"] * np.where(early, 1.0, -0.3) + 0.7 * X["calls"])
    y = draw(rng, truth.to_numpy())
    index = pd.MultiIndex.from_arrays([customers, dates], names=["customer_id", "as_of"])
    dated = ChurnModel(effort="fast", random_state=0).fit(X.set_axis(index), pd.Series(y, index))
    no_dates = index.droplevel("as_of")
    blind = ChurnModel(effort="fast", random_state=0).fit(
        X.set_axis(no_dates), pd.Series(y, no_dates)
    )
    leans = [np.abs(model.contributions(X)[0]).mean(axis=0)[0] for model in (dated, blind)]
    assert leans[0] < 0.7 * leans[1]


# Effort


def test_effort_is_one_knob():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(250, 3)), columns=list("abc"))
    y = draw(rng, expit(X["a"].to_numpy()))
    fast = ChurnModel(effort="fast", random_state=0).fit(X, y)
    assert fast.members_["member"].tolist() == ["boosted trees, 8 leaves", "splines"]
    thorough = ChurnModel(effort="thorough", random_state=0, n_jobs=1).fit(X, y)
    assert len(thorough.members_) == 6
    again = ChurnModel(effort="thorough", random_state=0, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), thorough.predict_proba(X))
    assert ChurnModel.from_state(thorough.to_state()).effort == "thorough"
    with pytest.raises(ModelError, match="effort must be one of fast, standard, thorough; got 'x'"):
        ChurnModel(effort="x").fit(X, y)


def test_rare_class_in_a_wide_table_ranks_and_is_calibrated():
    rng = np.random.default_rng(3)
    slopes = np.r_[rng.normal(size=8) * 0.5, np.zeros(52)]

    def table(n):
        X = rng.normal(size=(n, 60))
        truth = expit(-4.8 + X @ slopes)
        return pd.DataFrame(X).rename(columns=str), draw(rng, truth), truth

    X, y, _ = table(6000)
    new, y_new, truth = table(6000)
    risk = ChurnModel(random_state=0).fit(X, y).predict_proba(new)[:, 1]
    assert y.mean() < 0.05
    assert roc_auc_score(y_new, risk) > roc_auc_score(y_new, truth) - 0.03
    assert risk.mean() == pytest.approx(truth.mean(), rel=0.2)


# What an independent review broke


@pytest.mark.parametrize("shift", [0.0, 2.0, -1.3], ids=["none", "up", "down"])
def test_a_shift_of_the_base_rate_between_dates_costs_no_signal(shift):
    rng = np.random.default_rng(0)
    n = 1500
    x = rng.normal(size=(2 * n, 2))
    late = np.repeat([False, True], n)
    y = draw(rng, expit(-1.2 + x @ [1.0, 0.5] + shift * late))
    names = ["customer_id", "as_of"]
    customers = np.arange(2 * n).astype(str)
    dates = np.where(late, "2024-06-01", "2024-01-01")
    index = pd.MultiIndex.from_arrays([customers, dates], names=names)
    X = pd.DataFrame(x, index, columns=["a", "b"])
    model = ChurnModel(effort="fast", random_state=0).fit(X, pd.Series(y, index))
    fresh = rng.normal(size=(4000, 2))
    truth = expit(-1.2 + fresh @ [1.0, 0.5] + shift)
    risk = model.predict_proba(pd.DataFrame(fresh, columns=["a", "b"]))[:, 1]
    happened = draw(rng, truth)
    assert roc_auc_score(happened, risk) > roc_auc_score(happened, truth) - 0.01
    assert model.members_["rounds"].max() > 20


def test_sample_weights_reach_the_means_of_levels():
    rng = np.random.default_rng(0)
    level = rng.integers(0, 40, 4000)
    y = rng.integers(0, 2, 4000)
    weight = np.where(y == level % 2, 9.0, 1.0)  # weighted rates .9 and .1 by parity
    X = pd.DataFrame({"town": [f"t{i}" for i in level]})
    model = ChurnModel(effort="fast", random_state=0).fit(X, y, sample_weight=weight)
    risk = model.predict_proba(X)[:, 1]
    assert risk[level % 2 == 1].mean() == pytest.approx(0.9, abs=0.05)
    assert risk[level % 2 == 0].mean() == pytest.approx(0.1, abs=0.05)


def test_an_unknown_level_does_not_depend_on_spelling():
    rng = np.random.default_rng(0)
    plan = rng.random(1000) < 0.7
    y = draw(rng, np.where(plan, 0.7, 0.1))
    found = []
    for names in (("a", "b"), ("b", "a")):
        X = pd.DataFrame({"plan": np.where(plan, *names)})
        model = ChurnModel(effort="fast", random_state=0).fit(X, y)
        asked = pd.DataFrame({"plan": ["new", None, names[0], names[1]]})
        found.append(model.predict_proba(asked)[:, 1])
    np.testing.assert_allclose(found[0], found[1], atol=1e-9)
    assert found[0][0] == found[0][1] == found[0][2]  # read as the more frequent level


def test_targets_of_object_dtype_and_huge_numbers():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=400), "b": rng.normal(size=400)})
    y = pd.Series(draw(rng, expit(X["a"].to_numpy()))).astype(object)
    y[:20] = None
    model = ChurnModel(effort="fast", random_state=0).fit(X, y)
    assert model.n_missing_target_ == 20
    for huge in (1e160, 1e300, -1e300, 10**400):
        dirty = X.assign(b=X["b"].astype(object))
        dirty.loc[100:108, "b"] = huge
        fitted = ChurnModel(effort="fast", random_state=0).fit(dirty, y)
        assert fitted.column_report_.set_index("column").loc["b", "n_infinite"] == 9
        json.dumps(fitted.to_state(), allow_nan=False)
    ChurnModel(effort="fast", random_state=0).fit(X.assign(b=X["b"] * 1e-310), y)
    weighted = ChurnModel(effort="fast", random_state=0)
    weighted.fit(X, y, sample_weight=pd.Series(1e306, index=X.index))
    np.testing.assert_allclose(weighted.predict_proba(X), model.predict_proba(X))


def dated_rows(customers, dates):
    index = pd.MultiIndex.from_arrays([customers, dates], names=["customer_id", "as_of"])
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=len(index))}, index=index)
    return X, pd.Series(draw(rng, expit(X["a"].to_numpy())), index)


def test_too_few_customers_late_are_validated_by_customer_alone():
    customers = np.repeat(["e1", "e2", "e3", "l1", "l2"], 300)
    dates = pd.to_datetime(np.repeat(["2024-01-01", "2024-02-01"], [900, 600]))
    model = ChurnModel(effort="fast", random_state=0).fit(*dated_rows(customers, dates))
    assert model.members_["weight"].sum() > 0


def test_dates_as_text_are_read_as_dates_or_refused():
    customers = [str(i) for i in range(600)]
    iso = np.tile(["2024-09-01", "2024-10-01"], 300)
    X, y = dated_rows(customers, iso)
    by_text = ChurnModel(effort="fast", random_state=0).fit(X, y).predict_proba(X)
    X, y = dated_rows(customers, pd.to_datetime(iso))
    by_date = ChurnModel(effort="fast", random_state=0).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(by_text, by_date)
    with pytest.raises(ModelError, match="as_of in the index must be dates"):
        ChurnModel().fit(*dated_rows(customers, np.tile(["31.01.2024", "28.02.2024"], 300)))
    with pytest.raises(ModelError, match="as_of is missing in 300 of 600 rows"):
        ChurnModel().fit(*dated_rows(customers, np.tile([pd.Timestamp("2024-01-01"), pd.NaT], 300)))


def test_rows_without_an_id_are_customers_of_their_own():
    groups = customer_groups(
        pd.Series(0, index=pd.Index(["a", None, "a", None], name="customer_id")), n_rows=4
    )
    assert groups[0] == groups[2]
    assert len(set(groups)) == 3


def test_boosters_that_find_no_split_any_more_end():
    """Twelve rows, and leaves of 200 of them: every update is in vain."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=12)})
    for effort in ("fast", "thorough"):
        model = ChurnModel(effort=effort, random_state=0).fit(X, np.arange(12) % 2)
        assert np.abs(model.predict_proba(X)[:, 1] - 0.5).max() < 0.4
