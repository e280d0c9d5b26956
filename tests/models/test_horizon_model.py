"""HorizonModel: Kaplan–Meier by hand, honest under censoring, monotone, none the worse."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils import estimator_checks

import cxpredict as cx
from cxpredict.errors import ModelError
from cxpredict.models.churn import ChurnModel
from cxpredict.models.horizon import HorizonModel
from cxpredict.models.periods import period_cases

HORIZONS = (30, 60, 90, 180)


def customers(n, seed):
    """Customers with a known daily rate of leaving, which changes after day 60 for some."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "calls": rng.poisson(2, n).astype(float),
            "tenure": rng.gamma(2.0, 12.0, n),
            "plan": rng.choice(["basic", "plus", "trial"], n),
        }
    )
    early = 0.004 * np.exp(0.25 * X["calls"] - 0.02 * X["tenure"])
    late = np.where(X["plan"] == "trial", 3.0, 1.0) * early
    unit = rng.exponential(size=n)
    left = np.where(unit < 60 * early, unit / early, 60 + (unit - 60 * early) / late)
    ends = np.array(HORIZONS)
    spent = np.minimum(ends, 60) * early.to_numpy()[:, None]
    spent = spent + np.maximum(ends - 60, 0) * np.asarray(late)[:, None]
    return X, left, np.exp(-spent)


def seen(left, observed):
    return pd.DataFrame(
        {"days": np.minimum(left, observed), "event": (left <= observed).astype(float)}
    )


@pytest.fixture(scope="module")
def trained():
    X, left, _ = customers(1500, 0)
    y = seen(left, np.random.default_rng(5).uniform(0, 250, 1500))
    model = HorizonModel(effort="fast", random_state=7).fit(X, y)
    return model, X, y


# Of 10 customers: after 5 days 9 remain; one is lost from sight at 12; of 8 one leaves at 20 and
# of 7 one at 30, so S(30) = 9/10 · 7/8 · 6/7 = .675. One is seen for 30 days only and one for 40;
# of 4 one leaves at 45 and of 3 one at 60, so S(60) = .675 · 3/4 · 2/3 = .3375.
DAYS = np.array([5.0, 12, 20, 30, 30, 40, 45, 60, 75, 90])
EVENT = np.array([1.0, 0, 1, 1, 0, 0, 1, 1, 0, 0])


def test_without_features_survival_is_kaplan_meier_by_hand():
    y = np.column_stack([np.tile(DAYS, 30), np.tile(EVENT, 30)])
    model = HorizonModel(horizons_days=(30, 60), effort="fast", random_state=0)
    model.fit(np.zeros((300, 1)), y)
    table = model.life_table_
    np.testing.assert_allclose(table["survival"], [0.675, 0.3375], rtol=1e-12)
    assert table["to_day"].tolist() == [30, 60]
    # Survivors of (0, 30] are six of ten, whole; hazards are .325 and .5.
    np.testing.assert_allclose(table["at_risk"] - table["events"], [180, 60])
    np.testing.assert_allclose(table["hazard"], [0.325, 0.5])
    found = model.predict_survival(np.zeros((1, 1)))
    np.testing.assert_allclose(found.to_numpy()[0], [0.675, 0.3375], atol=0.005)


def test_periods_are_open_on_the_left_and_closed_on_the_right():
    days = np.array([30.0, 30.0, 30.5, 30.5, 60.0, 29.5])
    event = np.array([1.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    cases = period_cases(days, event, np.ones(6), np.arange(6), np.array([30.0, 60.0]))
    assert cases.position.tolist() == [0, 1, 2, 3, 4]  # 5 was lost inside the first period
    expected = [[1, np.nan], [0, np.nan], [0, 1], [0, np.nan], [0, 0]]
    np.testing.assert_array_equal(cases.event, expected)


def kaplan_meier(days, event, weight, horizons):
    survival, at = 1.0, {}
    for t in sorted({*days[event == 1], *horizons}):
        at_risk = weight[days >= t].sum()
        if at_risk > 0:
            survival *= 1.0 - weight[(days == t) & (event == 1)].sum() / at_risk
        at[t] = survival
    return [at[h] for h in horizons]


@settings(deadline=None, max_examples=60, database=None)
@given(st.integers(0, 2**31))
def test_the_life_table_is_kaplan_meier_on_any_data(seed):
    rng = np.random.default_rng(seed)
    n = 60
    days = rng.integers(1, 100, n).astype(float)  # many ties, also on the horizons
    event = (rng.random(n) < 0.5).astype(float)
    weight = rng.gamma(2.0, 1.0, n)
    days[:2], event[:2] = 100, 0
    horizons = np.array([10.0, 40.0, 90.0])
    table = period_cases(days, event, weight, None, horizons).life_table(horizons)
    expected = kaplan_meier(days, event, weight, horizons)
    np.testing.assert_allclose(table["survival"], expected, rtol=1e-10)


def test_a_date_whose_window_is_not_over_teaches_nothing_about_it():
    # At the second date everybody is seen for 20 days: that one left proves nothing about 30.
    days = np.array([10.0, 30, 30, 30, 5, 20, 20, 20])
    event = np.array([1.0, 0, 0, 0, 1, 0, 0, 0])
    date = np.repeat([1, 2], 4)
    cases = period_cases(days, event, np.ones(8), date, np.array([30.0]))
    assert cases.position.tolist() == [0, 1, 2, 3]


def test_probabilities_never_rise_nor_leave_zero_and_one(trained):
    model, X, _ = trained
    survival = model.predict_survival(X)
    assert survival.columns.tolist() == [30, 60, 90, 180]
    assert survival.columns.name == "horizon_days"
    pd.testing.assert_index_equal(survival.index, X.index)
    values = survival.to_numpy()
    assert ((values > 0) & (values < 1)).all()
    assert (np.diff(values, axis=1) < 0).all()
    event = model.predict_event(X)
    np.testing.assert_array_equal(event, 1 - values)
    hazard = model.predict_hazard(X)
    np.testing.assert_allclose(np.cumprod(1 - hazard.to_numpy(), axis=1), values)
    assert model.predict_survival(X[:0]).shape == (0, 4)


def test_churn_is_the_event_or_its_absence(trained):
    model, X, _ = trained
    pd.testing.assert_frame_equal(model.predict_churn(X), model.predict_event(X))
    silent = HorizonModel.from_state({**model.to_state(), "churn": "silence"})
    pd.testing.assert_frame_equal(silent.predict_churn(X), model.predict_survival(X))


def test_heavy_censoring_does_not_bias_the_probabilities(trained):
    model, _, y = trained
    lost = (y["event"] == 0) & (y["days"] < 180)
    assert lost.mean() > 0.35
    fresh, _, truth = customers(4000, 1)
    found = model.predict_event(fresh).to_numpy()
    churn = 1 - truth.mean(axis=0)
    np.testing.assert_allclose(found.mean(axis=0), churn, atol=0.03)
    # Who drops the customers lost from sight finds far too much churn.
    naive = [(y["event"] * (y["days"] <= h))[~lost | (y["days"] >= h)].mean() for h in HORIZONS]
    assert naive[-1] > churn[-1] + 0.12
    # Calibrated where risk is low and where it is high, at every horizon.
    for k in range(4):
        for part in np.array_split(np.argsort(found[:, k]), 4):
            assert found[part, k].mean() == pytest.approx(1 - truth[part, k].mean(), abs=0.06)
    assert np.corrcoef(found[:, 3], 1 - truth[:, 3])[0, 1] > 0.9


def test_not_worse_than_one_model_per_horizon():
    X, left, _ = customers(1500, 2)
    fresh, later, _ = customers(3000, 3)
    model = HorizonModel(effort="fast", random_state=0).fit(X, seen(left, np.full(1500, 200.0)))
    together = model.predict_event(fresh)
    for h in HORIZONS:
        alone = ChurnModel(effort="fast", random_state=0).fit(X, left <= h)
        ours = log_loss(later <= h, together[h])
        assert ours < log_loss(later <= h, alone.predict_proba(fresh)[:, 1]) + 0.005


def test_state_through_json_is_bit_equal(trained):
    model, X, _ = trained
    text = json.dumps(model.to_state(), allow_nan=False)
    again = HorizonModel.from_state(json.loads(text))
    for method in ("predict_hazard", "predict_survival", "predict_event", "predict_churn"):
        pd.testing.assert_frame_equal(
            getattr(again, method)(X), getattr(model, method)(X), check_exact=True
        )
    pd.testing.assert_frame_equal(again.life_table_, model.life_table_, check_exact=True)
    assert json.dumps(again.to_state(), allow_nan=False) == text
    with pytest.raises(ModelError, match="Expected the state of a ChurnModel"):
        ChurnModel.from_state(model.to_state())


def test_same_seed_same_model_at_any_number_of_threads():
    X, left, _ = customers(2200, 4)
    y = seen(left, np.random.default_rng(1).uniform(0, 250, 2200))
    one, two = (
        HorizonModel(effort="fast", random_state=1, n_jobs=jobs).fit(X, y).predict_survival(X)
        for jobs in (1, 2)
    )
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_the_forms_of_a_target_are_the_same(trained):
    model, X, y = trained
    expected = model.predict_survival(X)
    pairs = y.to_numpy()
    fields = np.zeros(len(y), dtype=[("event", bool), ("days", float)])
    fields["event"], fields["days"] = y["event"] == 1, y["days"]
    for form in (pairs, fields):
        found = clone(model).fit(X, form).predict_survival(X)
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_a_small_table_with_dates_gaps_and_weights():
    """300 rows of 150 customers at two dates; at the later nobody is seen for 180 days."""
    X, left, _ = customers(300, 6)
    index = pd.MultiIndex.from_arrays(
        [np.tile(np.arange(150), 2).astype(str), np.repeat(pd.to_datetime(["2024", "2025"]), 150)],
        names=["customer_id", "as_of"],
    )
    y = seen(left, np.repeat([200.0, 100.0], 150)).set_axis(index)
    y.iloc[:10, 0] = np.nan
    X = X.set_axis(index)
    model = HorizonModel(effort="fast", random_state=0).fit(X, y, np.full(300, 2.0))
    assert model.n_missing_target_ == 10
    assert model.life_table_["at_risk"].iloc[-1] < 140
    survival = model.predict_survival(X)
    pd.testing.assert_index_equal(survival.index, index)
    assert (survival.diff(axis=1).iloc[:, 1:] < 0).all(axis=None)
    with pytest.raises(ModelError, match=r"same index in the same order.*y\.loc\[X\.index\]"):
        model.fit(X, y[::-1])


def test_late_dates_that_know_nothing_of_the_last_period_do_not_judge_it():
    """Three dates of 600 customers; at the last, the only late one, nobody is seen past day 60."""
    X, left, truth = customers(1800, 8)
    index = pd.MultiIndex.from_product(
        [range(3), range(600)], names=["as_of", "customer_id"]
    ).swaplevel()
    y = seen(left, np.repeat([300.0, 200.0, 60.0], 600)).set_axis(index)
    X = X.set_axis(index)
    model = HorizonModel(effort="fast", random_state=0).fit(X, y)
    assert model.life_table_["at_risk"].diff().iloc[2] < -600
    found = model.predict_survival(X).mean().to_numpy()
    np.testing.assert_allclose(found, truth.mean(axis=0), atol=0.03)


@pytest.mark.parametrize(
    ("days", "event", "message"),
    [
        ([-1.0, 5], [0, 0], r"days: 1 of 302 rows \(first: 0\) negative"),
        ([np.inf, 5], [0, 0], "infinite"),
        ([0.0, 5], [1, 0], r"1 of 302 rows \(first: 0\) events at day 0"),
        ([5.0, 5], [0, 2], r"event: 1 of 302 rows \(first: 1\) neither 0"),
        ([np.nan, 5], [0, 0], r"days and event: 1 of 302 rows \(first: 0\) missing"),
    ],
)
def test_durations_out_of_range_are_counted(days, event, message):
    y = np.column_stack([[*days, *np.tile(DAYS, 30)], [*event, *np.tile(EVENT, 30)]])
    with pytest.raises(ModelError, match=message):
        HorizonModel(horizons_days=(30, 60)).fit(np.zeros((302, 1)), y)


def test_what_cannot_be_learned_from_is_named(trained):
    _, X, y = trained
    with pytest.raises(ModelError, match=r"Too few in days \(0, 0\.001\]: 0 with, .* without"):
        HorizonModel(horizons_days=(0.001, 90)).fit(X, y)
    with pytest.raises(ModelError, match=r"days \(90, 400\]: \d+ with, 0 without\. Leave out"):
        HorizonModel(horizons_days=(90, 400)).fit(X, y)
    for wrong in ((60, 30), (30, 30), (0, 30), (), (30, np.nan), (30, np.inf), 30, ("a",)):
        with pytest.raises(ModelError, match="positive and ascending"):
            HorizonModel(horizons_days=wrong).fit(X, y)
    with pytest.raises(ModelError, match="no column event"):
        HorizonModel().fit(X, y[["days"]])
    with pytest.raises(ModelError, match="two columns"):
        HorizonModel().fit(X, y["days"].to_numpy())
    with pytest.raises(ModelError, match="y column days holds timedelta64"):
        HorizonModel().fit(X, y.assign(days=pd.to_timedelta(y["days"], unit="D")))
    with pytest.raises(ModelError, match="y column event is not numeric"):
        HorizonModel().fit(X, y.assign(event="yes"))
    with pytest.raises(ModelError, match="'event' or 'silence'"):
        HorizonModel(churn="inactive").fit(X, y)
    with pytest.raises(ModelError, match="effort must be one of"):
        HorizonModel(effort="some").fit(X, y)


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_cloneable,
    ],
)
def test_scikit_learn_contract_apart_from_the_target_of_two_columns(check):
    check("HorizonModel", HorizonModel())


def test_online_retail_at_90_days_is_as_good_as_a_model_for_90_days(online_retail):
    problem = cx.ChurnProblem(inactive="purchase", horizon_days=90, active_days=180)
    train, test = problem.split(
        online_retail, test_at="2011-09-09", every_days=20, train_from="2011-05-22"
    )
    X, X_test = cx.build_features(online_retail, train), cx.build_features(online_retail, test)
    y_test = problem.labels(online_retail, test)
    one = ChurnModel(effort="fast", random_state=7).fit(X, problem.labels(online_retail, train))
    alone = roc_auc_score(y_test, one.predict_proba(X_test)[:, 1])
    durations = problem.durations(online_retail, train, horizon_days=90, until="2011-09-09")
    model = HorizonModel(
        horizons_days=(30, 60, 90), churn=problem.churn_by, effort="fast", random_state=7
    ).fit(X, durations)
    together = roc_auc_score(y_test, model.predict_churn(X_test)[90])
    assert together > alone - 0.01
