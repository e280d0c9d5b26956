"""Customer value from presence and margin by period: targets, model, intervals."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import PLAIN, START, open_log, random_frames
from sklearn.base import clone

import cxpredict as cx
from cxpredict.errors import DataError, ModelError
from cxpredict.value.lifetime import CustomerValueModel
from cxpredict.value.lifetime.forecast import ValueForecast, learn_chance
from cxpredict.value.lifetime.target import read_outcomes
from cxpredict.value.outcomes import margins_by_period

TERMS = {"period_days": 30, "yearly_discount_rate": 0.1, "payment": "end"}


def outcomes(margin, there):
    periods = range(1, len(margin[0]) + 1)
    columns = [f"margin_{k}" for k in periods] + [f"there_{k}" for k in periods]
    return pd.DataFrame(np.hstack([margin, there]).astype(float), columns=columns)


def at(*pairs):
    return pd.MultiIndex.from_tuples(
        [(who, pd.Timestamp(day)) for who, day in pairs], names=["customer_id", "as_of"]
    )


def subscribers(n, seed, periods=3, effect=1.0):
    """Draw customers who leave for good: one feature moves the hazard, one the margin."""
    rng = np.random.default_rng(seed)
    calls, size = rng.normal(size=(2, n))
    hazard = 1 / (1 + np.exp(2.0 - effect * calls))
    mean = 20 * np.exp(0.5 * effect * size)
    there = np.cumprod(rng.random((n, periods)) >= hazard[:, None], axis=1)
    start = np.hstack([np.ones((n, 1)), there[:, :-1]])
    margin = start * mean[:, None] * rng.gamma(2.0, 0.5, (n, periods))
    expected = mean[:, None] * (1 - hazard[:, None]) ** np.arange(periods)
    X = pd.DataFrame({"calls": calls, "size": size, "plan": rng.choice(["a", "b"], n)})
    return X, outcomes(margin, there), expected


@pytest.fixture(scope="module")
def fitted():
    X, y, _ = subscribers(900, 1)
    return CustomerValueModel(**TERMS, random_state=0).fit(X, y)


# targets


def test_margins_by_hand():
    # Periods of 30 days after 1 Jan close on 31 Jan and 1 Mar: 5 + 2 in the first (its last
    # moment is in), 7 − 3 in the second; what happens at the date itself is before the first.
    sales = pd.DataFrame(
        {
            "customer_id": ["a"] * 6,
            "occurred_at": [
                *("2024-01-01", "2024-01-01 00:00:01", "2024-01-31"),
                *("2024-02-01", "2024-03-01", "2024-03-02"),
            ],
            "amount": [100.0, 10.0, 4.0, 14.0, -6.0, 1.0],
        }
    )
    log = cx.CustomerLog.from_frames(transactions=sales)
    index = at(("a", "2024-01-01"), ("nobody", "2024-01-01"))
    found = margins_by_period(log, index, periods=3, period_days=30, margin_rate=0.5)
    assert found.iloc[0, :2].tolist() == [7.0, 4.0]
    assert found.iloc[1].fillna(-1).tolist() == [0, 0, -1, 0, 0, -1]
    assert found.iloc[0, 3:].fillna(-1).tolist() == [1, 1, -1]


def test_customers_who_cancel():
    # Leaves on day 40, in the second period; who had left before the date is not asked about.
    frame = pd.DataFrame(
        {
            "customer_id": ["a", "a", "b", "c"],
            "occurred_at": ["2024-01-20", "2024-02-10", "2023-12-01", "2024-06-01"],
            "amount": [9.0, 0.0, 0.0, 1.0],
            "margin": [9.0, 0.0, 0.0, 1.0],
            "kind": ["renewal", "cancellation", "cancellation", "renewal"],
        }
    )
    log = cx.CustomerLog.from_frames(transactions=frame, observed_until=pd.Timestamp("2024-07-01"))
    index = at(("a", "2024-01-01"), ("b", "2024-01-01"), ("c", "2024-05-15"))
    found = margins_by_period(log, index, periods=3, period_days=30, cancelled="cancellation")
    assert found.iloc[0].tolist() == [9, 0, 0, 1, 0, 0]
    assert found.iloc[1].isna().all()
    assert found.iloc[2].fillna(-1).tolist() == [1, -1, -1, 1, -1, -1]


def test_the_latest_version_counts():
    frame = pd.DataFrame(
        {
            "customer_id": "a",
            "occurred_at": ["2024-01-10", "2024-01-10"],
            "known_at": ["2024-01-10", "2024-03-01"],
            "event_id": "e1",
            "amount": [10.0, 4.0],
        }
    )
    log = cx.CustomerLog.from_frames(transactions=frame, observed_until=pd.Timestamp("2024-06-01"))
    found = margins_by_period(
        log, at(("a", "2024-01-01")), periods=1, period_days=30, margin_rate=1.0
    )
    assert found["margin_1"].tolist() == [4.0]


@settings(PLAIN, max_examples=6)
@given(seed=st.integers(0, 10_000), days=st.integers(5, 40))
def test_margins_agree_with_a_loop(seed, days):
    log = open_log(random_frames(seed))
    rows = log.transactions.to_pandas()
    index = at(*((who, START + pd.Timedelta(days=40)) for who in ("c00", "c01", "c02", "c03")))
    found = margins_by_period(log, index, periods=2, period_days=days, margin_rate=0.3)
    end = rows["occurred_at"].max()
    for (who, date), row in found.iterrows():
        for k in (1, 2):
            low, high = date + pd.Timedelta(days=days * (k - 1)), date + pd.Timedelta(days=days * k)
            inside = rows[rows["customer_id"].eq(who) & rows["occurred_at"].gt(low)]
            inside = inside[inside["occurred_at"] <= high]
            if high > end:
                assert np.isnan(row[f"margin_{k}"])
            else:
                assert row[f"margin_{k}"] == pytest.approx(0.3 * inside["amount"].sum(), abs=1e-4)
                assert row[f"there_{k}"] == (len(inside) > 0)


def test_nothing_after_the_end_of_observation_is_learnt():
    sales = pd.DataFrame(
        {"customer_id": "a", "occurred_at": ["2024-01-10", "2024-05-10"], "amount": 1.0}
    )
    log = cx.CustomerLog.from_frames(transactions=sales)
    terms = {"periods": 2, "period_days": 30, "margin_rate": 1.0}
    found = margins_by_period(log, at(("a", "2024-01-01")), until="2024-02-15", **terms)
    assert found.notna().sum(axis=1).tolist() == [2]


def test_nothing_known_after_the_end_is_learnt():
    # Of two sales one is known in September only, and the other was 10 until September; the
    # cancellation of 25 January is not known in March either.
    sales = pd.DataFrame(
        {
            "customer_id": "a",
            "occurred_at": ["2024-01-10", "2024-01-10", "2024-01-20", "2024-01-25", "2024-10-01"],
            "known_at": ["2024-01-10", "2024-09-01", "2024-09-01", "2024-09-01", "2024-10-01"],
            "event_id": ["e1", "e1", "e2", "e3", "e4"],
            "amount": [10.0, 4.0, 100.0, 0.0, 1.0],
            "kind": ["sale", "sale", "sale", "cancellation", "sale"],
        }
    )
    log = cx.CustomerLog.from_frames(transactions=sales)
    terms = {"periods": 1, "period_days": 30, "margin_rate": 1.0, "cancelled": "cancellation"}
    index = at(("a", "2024-01-01"))
    assert margins_by_period(log, index, **terms).iloc[0].tolist() == [104.0, 0.0]
    then = margins_by_period(log, index, until="2024-03-01", **terms)
    assert then.iloc[0].tolist() == [10.0, 1.0]
    early = margins_by_period(log, index, until="2024-01-05", **terms)
    assert early.isna().all(axis=None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"periods": float("nan")}, "periods: expected a whole number"),
        ({"periods": None}, "periods: expected a whole number"),
        ({"periods": 2.0}, "periods: expected a whole number"),
        ({"period_days": 10**9}, "period_days: expected a whole number"),
        ({"margin_rate": "a"}, "margin_rate: expected one number"),
    ],
)
def test_settings_of_margins_that_are_none_are_refused(change, told):
    sales = pd.DataFrame({"customer_id": ["a"], "occurred_at": ["2024-01-10"], "amount": [1.0]})
    log = cx.CustomerLog.from_frames(transactions=sales)
    terms = {"periods": 1, "period_days": 30, "margin_rate": 1.0} | change
    with pytest.raises(DataError, match=told):
        margins_by_period(log, at(("a", "2024-01-01")), **terms)


def test_margins_without_a_rate_are_refused():
    sales = pd.DataFrame({"customer_id": ["a"], "occurred_at": ["2024-01-10"], "amount": [1.0]})
    log = cx.CustomerLog.from_frames(transactions=sales)
    index = at(("a", "2024-01-01"))
    with pytest.raises(DataError, match="margin_rate"):
        margins_by_period(log, index, periods=1, period_days=30)
    with pytest.raises(DataError, match="margin_rate"):
        margins_by_period(log, index, periods=1, period_days=30, margin_rate=35)
    with pytest.raises(DataError, match="periods"):
        margins_by_period(log, index, periods=0, period_days=30, margin_rate=1.0)
    empty = margins_by_period(log, index[:0], periods=1, period_days=30, margin_rate=1.0)
    assert empty.shape == (0, 2)


# the model


def test_without_features_the_curve_is_kaplan_meier():
    # Period 1: 40 of 200 leave. Of the 160 left, 80 are no longer observed; of the other 80, 20
    # leave in period 2. Kaplan–Meier: .8, .8·.75 = .6. Each pays 10 in a period it starts:
    # 10 in the first, 10·.8 in the second, though of the 120 rows known then 40 had left.
    there = np.array([[0, 0]] * 40 + [[1, np.nan]] * 80 + [[1, 0]] * 20 + [[1, 1]] * 60)
    margin = np.array([[10, 0]] * 40 + [[10, np.nan]] * 80 + [[10, 10]] * 80)
    X = pd.DataFrame({"noise": np.random.default_rng(0).normal(size=200)})
    terms = {**TERMS, "yearly_discount_rate": 0.0}
    model = CustomerValueModel(**terms, random_state=0).fit(X, outcomes(margin, there))
    found = model.forecast(X)
    assert found.survival.mean().tolist() == pytest.approx([0.8, 0.6], abs=0.01)
    assert found.margin.mean().tolist() == pytest.approx([10.0, 8.0], rel=0.01)


def test_what_follows_leaving_is_known_without_saying():
    margin, there = [[5.0, np.nan], [5.0, 5.0]], [[0.0, np.nan], [1.0, 1.0]]
    read, position = read_outcomes(outcomes(margin, there), "event")
    assert read.margin.tolist() == [[5.0, 0.0], [5.0, 5.0]]
    assert read.there.tolist() == [[0.0, 0.0], [1.0, 1.0]]
    assert position.notna().all()


def test_total_is_that_of_held_out_customers(fitted):
    X, _, expected = subscribers(900, 2)
    found = fitted.forecast(X).total()
    truth = (expected @ fitted._discount()).sum()
    assert found.loc["expected", "low"] < truth < found.loc["expected", "high"]
    assert (found["low"] < found["total"]).all()
    assert (found["high"] > found["total"]).all()
    width = found["high"] - found["low"]
    assert width["realised"] > width["expected"]


def test_value_rises_with_margin_and_retention(fitted):
    X = pd.DataFrame({"calls": [0.0, 0.0, -1.5, 1.5], "size": [-1.5, 1.5, 0.0, 0.0], "plan": "a"})
    poor, rich, loyal, fickle = fitted.predict(X)
    assert rich > 2 * poor
    assert loyal > fickle
    survival = fitted.forecast(X).survival
    assert (survival.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)


def test_more_periods_are_never_worth_less():
    X, y, _ = subscribers(600, 3)
    short = y[["margin_1", "margin_2", "there_1", "there_2"]]
    totals = [
        CustomerValueModel(**TERMS, random_state=0).fit(X, part).predict(X).sum()
        for part in (short, y)
    ]
    assert totals[1] > totals[0]


def test_money_has_no_unit(fitted):
    X, y, _ = subscribers(900, 1)
    cents = y.copy()
    cents[[c for c in y if c.startswith("margin")]] *= 100
    again = clone(fitted).fit(X, cents)
    np.testing.assert_allclose(again.predict(X), 100 * fitted.predict(X), rtol=1e-6)


def test_payment_at_the_start_is_worth_a_period_more(fitted):
    X, y, _ = subscribers(900, 1)
    start = clone(fitted).set_params(payment="start").fit(X, y)
    ratio = start.predict(X) / fitted.predict(X)
    np.testing.assert_allclose(ratio, 1.1 ** (30 / 365.25))


def test_the_same_seed_and_any_threads_give_the_same(fitted):
    X, y, _ = subscribers(900, 1)
    again = clone(fitted).set_params(n_jobs=2).fit(X, y).forecast(X)
    first = fitted.forecast(X)
    pd.testing.assert_frame_equal(first.table(), again.table())
    pd.testing.assert_frame_equal(first.total(), again.total())


def test_signed_margins_are_shifted_not_scaled():
    # Half of the customers cost 3 a period, half bring 1: the mean is −1.
    rng = np.random.default_rng(5)
    costly = rng.random(600) < 0.5
    margin = np.where(costly, -3.0, 1.0)[:, None] + rng.normal(0, 0.5, (600, 2))
    X = pd.DataFrame({"costly": costly})
    model = CustomerValueModel(**{**TERMS, "yearly_discount_rate": 0.0}, random_state=0)
    model.fit(X, outcomes(margin, np.ones((600, 2))))
    assert model.margin_loss_ == "squared"
    low, high = model.predict(pd.DataFrame({"costly": [True, False]}))
    assert low == pytest.approx(-6.0, abs=0.3)
    assert high == pytest.approx(2.0, abs=0.3)


def test_customers_who_fall_silent_may_come_back():
    rng = np.random.default_rng(6)
    often = rng.random(800) < 0.5
    active = rng.random((800, 3)) < np.where(often, 0.8, 0.1)[:, None]
    y = outcomes(active * rng.gamma(2.0, 10.0, (800, 3)), active)
    X = pd.DataFrame({"often": often})
    with pytest.raises(ModelError, match="come back"):
        CustomerValueModel(**TERMS).fit(X, y)
    model = CustomerValueModel(**TERMS, churn="silence", random_state=0).fit(X, y)
    found = model.forecast(pd.DataFrame({"often": [True, False]}))
    # 20 in each of three periods at .8 and at .1, a little less for discounting
    assert found.value.tolist() == pytest.approx([48.0, 6.0], rel=0.2)
    assert found.survival.iloc[0].tolist() == pytest.approx([0.8] * 3, abs=0.06)


def test_null_company_gives_everyone_about_the_mean():
    X, y, _ = subscribers(900, 7, effect=0.0)
    value = CustomerValueModel(**TERMS, random_state=0).fit(X, y).predict(X)
    assert value.std() < 0.1 * value.mean()


def test_rows_nobody_knows_are_left_out():
    X, y, _ = subscribers(300, 8)
    y.iloc[:10] = np.nan
    model = CustomerValueModel(**TERMS, random_state=0).fit(X, y)
    assert model.n_missing_target_ == 10
    assert np.isfinite(model.predict(X)).all()


def test_no_rows_and_one_row(fitted):
    X, _, _ = subscribers(5, 9)
    assert fitted.forecast(X[:0]).total()["total"].tolist() == [0.0, 0.0]
    alone = fitted.forecast(X[:1])
    assert alone.table().shape == (1, 3)
    assert alone.total().loc["expected", "total"] == pytest.approx(alone.value.iloc[0])


def spoil(y, **columns):
    return y.assign(**columns)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda X, y: (X, y.drop(columns="there_2")), "no column there_2"),
        (lambda X, y: (X, y.filter(like="there")), "no column margin_1"),
        (lambda X, y: (X, y.to_numpy()), "margins_by_period"),
        (lambda X, y: (X, spoil(y, there_1=0.5)), "neither 0 nor 1"),
        (lambda X, y: (X, spoil(y, margin_1=np.inf)), "infinite"),
        (lambda X, y: (X, spoil(y, margin_1="a")), "not numeric"),
        (lambda X, y: (X, spoil(y, margin_1=np.nan)), "only one of the two"),
        (lambda X, y: (X, spoil(y, margin_1=np.nan, there_1=np.nan)), "not the one before"),
        (lambda X, y: (X, y.set_axis(y.index + 1)), "same index"),
        (lambda X, y: (X[:15], y[:15]), "at least 20 customers"),
        (lambda X, y: (X[:0], y[:0]), "0 rows"),
    ],
)
def test_bad_tables_are_refused(change, told):
    X, y, _ = subscribers(100, 10)
    with pytest.raises(ModelError, match=told):
        CustomerValueModel(**TERMS).fit(*change(X, y))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"payment": "middle"}, "payment"),
        ({"yearly_discount_rate": 10}, "means 10 %"),
        ({"period_days": 0}, "period_days"),
        ({"churn": "gone"}, "churn"),
        ({"n_folds": 1}, "n_folds"),
    ],
)
def test_bad_settings_are_refused(change, told):
    X, y, _ = subscribers(100, 10)
    with pytest.raises((ModelError, DataError), match=told):
        CustomerValueModel(**{**TERMS, **change}).fit(X, y)


def test_bad_level_is_refused(fitted):
    X, _, _ = subscribers(5, 9)
    with pytest.raises(DataError, match="level"):
        fitted.forecast(X).table(level=95)


def test_chance_is_that_of_like_customers():
    # Residuals ±1 below value 10 and ±100 above: four small ones vary by sd 2, a large by 100.
    value = np.repeat([1.0, 20.0], 200)
    residual = np.tile([1.0, -1.0], 200) * np.repeat([1.0, 100.0], 200)
    chance, rng = learn_chance(value, residual, np.ones(400)), np.random.default_rng(0)
    assert chance.draw(np.full(4, 1.0), rng).std() == pytest.approx(2.0, rel=0.1)
    assert chance.draw(np.array([30.0]), rng).std() == pytest.approx(100.0, rel=0.1)


def test_intervals_by_hand():
    # Covariance 4 and members that agree: error 2, 10 ± 1.96·2. Members 9, 10, 11 add the
    # jackknife's 2/3·(1 + 0 + 1) = 4/3: error √(4 + 4/3) = 2.3094, 10 ± 4.5264.
    one = np.ones((1, 1))

    def forecast(members):
        return ValueForecast(
            value=pd.Series([10.0]),
            survival=pd.DataFrame(one),
            margin=pd.DataFrame(10 * one),
            gradient=one,
            covariance=4 * one,
            members=np.array(members)[:, None],
            chance=learn_chance(np.ones(20), np.zeros(20), np.ones(20)),
            drift=None,
            seed=0,
        )

    agree, differ = forecast([10.0] * 3), forecast([9.0, 10.0, 11.0])
    assert agree.table().iloc[0].tolist() == pytest.approx([10, 6.0801, 13.9199], abs=1e-3)
    assert agree.total().loc["expected"].tolist() == pytest.approx([10, 6.0801, 13.9199], abs=1e-3)
    assert differ.total().loc["expected"].tolist() == pytest.approx([10, 5.4736, 14.5264], abs=1e-3)


def test_no_interval_of_margins_that_are_never_negative_reaches_below_0(fitted):
    X, _, _ = subscribers(3, 5)
    forecast = fitted.forecast(X.iloc[:1])
    assert forecast.lowest == 0.0
    few = replace(forecast, covariance=forecast.covariance * 1e4)
    assert few.total()["low"].tolist() == [0.0, 0.0]
    assert few.table()["low"].tolist() == [0.0]
    assert replace(few, lowest=-np.inf).total()["low"].max() < 0


def test_dates_that_differ_widen_what_may_be_realised():
    X, y, _ = subscribers(1_200, 11)
    dates = np.repeat(pd.to_datetime(["2024-01-01", "2024-02-01", "2024-03-01"]), 400)
    index = pd.MultiIndex.from_arrays(
        [[f"c{i}" for i in range(1_200)], dates], names=["customer_id", "as_of"]
    )
    season = y.copy()
    factor = np.repeat([0.6, 1.0, 1.4], 400)
    for k in (1, 2, 3):
        season[f"margin_{k}"] *= factor
    model = CustomerValueModel(**TERMS, random_state=0)
    calm, moved = (
        model.fit(X.set_axis(index), each.set_axis(index)).forecast(X) for each in (y, season)
    )
    assert calm.drift.spread < 0.05
    # ±.4, ±0: standard deviation about .33
    assert moved.drift.spread == pytest.approx(0.33, abs=0.08)
    assert moved.drift.seasons == 2 + 3
    wide, narrow = ((t["high"] - t["low"])["realised"] for t in (moved.total(), calm.total()))
    assert wide > 2 * narrow


def test_a_period_that_is_not_over_is_no_drift():
    # At the second date the last period is not over: only those who left are known of it.
    X, y, _ = subscribers(800, 12)
    y.loc[400:, ["margin_3", "there_3"]] = np.nan
    dates = np.repeat(pd.to_datetime(["2024-01-01", "2024-02-01"]), 400)
    index = pd.MultiIndex.from_arrays(
        [[f"c{i}" for i in range(800)], dates], names=["customer_id", "as_of"]
    )
    model = CustomerValueModel(**TERMS, random_state=0).fit(X.set_axis(index), y.set_axis(index))
    assert model.forecast(X).drift.spread < 0.1


def test_a_period_known_only_of_those_who_left_is_refused():
    X, y, _ = subscribers(300, 13)
    y[["margin_3", "there_3"]] = np.nan
    with pytest.raises(ModelError, match="period 3: 0"):
        CustomerValueModel(**TERMS).fit(X, y)


def test_too_few_purchases_to_learn_from_give_the_mean():
    # One of 60 customers buys once, for 30, in the first of two periods.
    y = outcomes(np.zeros((60, 2)), np.zeros((60, 2)))
    y.loc[0, ["margin_1", "there_1"]] = 30.0, 1.0
    X = pd.DataFrame({"x": np.arange(60.0) % 7})
    terms = {**TERMS, "yearly_discount_rate": 0.0}
    model = CustomerValueModel(**terms, churn="silence", random_state=0).fit(X, y)
    assert model.predict(X).sum() == pytest.approx(30.0, rel=0.05)


def test_state_rebuilds_bit_for_bit(fitted):
    X, _, _ = subscribers(50, 14)
    again = CustomerValueModel.from_state(json.loads(json.dumps(fitted.to_state())))
    pd.testing.assert_frame_equal(
        again.forecast(X).table(), fitted.forecast(X).table(), check_exact=True
    )
    pd.testing.assert_frame_equal(
        again.forecast(X).total(), fitted.forecast(X).total(), check_exact=True
    )
    assert again.get_params() == fitted.get_params()
    with pytest.raises(ModelError, match="state of a CustomerValueModel"):
        CustomerValueModel.from_state({"model": "ChurnModel"})


def test_intervals_cover_the_expected_total():
    hits = []
    for seed in range(8):
        X, y, _ = subscribers(300, 100 + seed, periods=2)
        model = CustomerValueModel(**TERMS, n_folds=5, random_state=seed).fit(X, y)
        X, _, expected = subscribers(300, 200 + seed, periods=2)
        found = model.forecast(X).total().loc["expected"]
        hits.append(found["low"] < (expected @ model._discount()).sum() < found["high"])
    assert sum(hits) >= 6  # binomial(8, .95): below 6 in less than 1 of 150 seeds


# from a log


def test_the_simulated_company(company):
    churn = cx.ChurnProblem(cancelled="cancellation", horizon_days=90)
    log, terms = company.log, {"periods": 3, "period_days": 30, "cancelled": "cancellation"}
    train = churn.population(log, ["2025-01-01", "2025-04-01"])
    test = churn.population(log, "2025-09-01")
    X = cx.build_features(log, train).filter(regex="_90d$|plan_price")
    y = margins_by_period(log, train, until="2025-09-01", **terms)
    model = CustomerValueModel(**TERMS, n_folds=5, random_state=0).fit(X, y)
    found = model.forecast(cx.build_features(log, test)[X.columns])
    brought = margins_by_period(log, test, **terms).filter(like="margin").to_numpy()
    realised = (brought @ model._discount()).sum()
    total = found.total().loc["realised"]
    assert total["low"] < realised < total["high"]
    assert np.corrcoef(found.value, brought.sum(axis=1))[0, 1] > 0.5


def test_online_retail(online_retail):
    log, terms = online_retail, {"periods": 2, "period_days": 30, "margin_rate": 0.35}
    churn = cx.ChurnProblem(inactive="purchase", horizon_days=60)
    index = churn.population(log, "2011-06-01")[:600]
    y = margins_by_period(log, index, **terms)
    X = cx.build_features(log, index)
    model = CustomerValueModel(**TERMS, churn="silence", n_folds=5, random_state=0).fit(X, y)
    realised = y.filter(like="margin").to_numpy() @ model._discount()
    found = model.forecast(X)
    assert found.drift is None
    total = found.total().loc["expected"]
    assert total["low"] < realised.sum() < total["high"]
    assert found.value.corr(pd.Series(realised, index=index), method="spearman") > 0.3
