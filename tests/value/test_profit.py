"""Profit of contacting: fixtures of the literature, definitions, brute force."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import PLAIN
from scipy import stats

from cxpredict.errors import DataError
from cxpredict.value.profit import (
    Beta,
    break_even_interval,
    break_even_probability,
    expected_gain,
    expected_maximum_profit,
    maximum_profit,
    realised_gain,
)

Y = [0, 1, 0, 1, 0, 1, 0, 1]
P = [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9]
MONEY = {"value": 200.0, "incentive": 10.0, "contact_cost": 1.0}
OFFER = {"value": 200.0, "incentive": 10.0, "contact_cost": 1.0, "acceptance": 0.3}


def test_maximum_profit_fixture():
    best = maximum_profit(Y, P, **MONEY, acceptance=0.3)
    assert best.profit == pytest.approx(23.875, abs=1e-9)
    assert (best.fraction, best.threshold) == (0.875, 0.2)


def test_expected_maximum_profit_fixture():
    best = expected_maximum_profit(Y, P, **MONEY, acceptance=Beta(6, 14))
    assert best.profit == pytest.approx(23.8755934, abs=1e-6)
    assert best.threshold is None


def test_break_even_fixture():
    assert break_even_probability(**OFFER) == pytest.approx(11 / 67, abs=1e-12)


def test_expected_gain_by_hand():
    # .4 * .3 * 190 - .6 * .5 * 10 - 1 = 22.8 - 3 - 1
    assert expected_gain(0.4, **OFFER, stayer_acceptance=0.5) == pytest.approx(18.8)


probability = st.floats(0.0, 1.0)


@given(
    value=st.floats(1, 1000),
    incentive=st.floats(0, 50),
    cost=st.floats(0, 20),
    acceptance=st.floats(0.01, 1),
    stayers=probability,
)
def test_gain_is_zero_at_break_even(value, incentive, cost, acceptance, stayers):
    terms = {
        "value": value,
        "incentive": incentive,
        "contact_cost": cost,
        "acceptance": acceptance,
        "stayer_acceptance": stayers,
    }
    even = break_even_probability(**terms)
    if np.isnan(even):
        assert expected_gain(1.0, **terms) <= 1e-9
    else:
        assert 0 <= even <= 1
        assert expected_gain(even, **terms) == pytest.approx(0, abs=1e-6)


def test_nothing_pays_where_the_offer_costs_more_than_the_customer():
    values = pd.Series([5.0, 200.0], index=["poor", "rich"])
    even = break_even_probability(**(OFFER | {"value": values}))
    assert np.isnan(even["poor"])
    assert even["rich"] == pytest.approx(11 / 67)


def _problem(seed, n):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    y[:2] = 0, 1
    return y, np.round(0.3 * y + 0.7 * rng.random(n), int(rng.integers(1, 4)))


@given(st.integers(0, 10_000), st.integers(2, 60), st.floats(0, 1))
@settings(PLAIN, max_examples=60)
def test_maximum_profit_is_the_best_threshold(seed, n, acceptance):
    y, p = _problem(seed, n)
    best = maximum_profit(y, p, **MONEY, acceptance=acceptance)
    gains = [0.0]
    for threshold in np.unique(p):
        contacted = p >= threshold
        each = np.where(y == 1, acceptance * 190.0 - 1.0, -11.0)
        gains.append(each[contacted].sum() / n)
    assert best.profit == pytest.approx(max(gains), abs=1e-9)
    assert best.fraction == pytest.approx((p >= best.threshold).mean())


@given(st.integers(0, 10_000), st.integers(2, 60), st.floats(1, 20), st.floats(1, 20))
@settings(PLAIN, max_examples=25)
def test_expected_maximum_profit_is_the_mean_over_acceptance(seed, n, alpha, beta):
    y, p = _problem(seed, n)
    best = expected_maximum_profit(y, p, **MONEY, acceptance=Beta(alpha, beta))
    # Midpoints of 100 equally likely slices of the Beta distribution
    slices = stats.beta.ppf((np.arange(100) + 0.5) / 100, alpha, beta)
    brute = [maximum_profit(y, p, **MONEY, acceptance=g).profit for g in slices]
    assert best.profit == pytest.approx(np.mean(brute), rel=8e-3, abs=0.02)
    point = maximum_profit(y, p, **MONEY, acceptance=alpha / (alpha + beta)).profit
    assert best.profit >= point - 1e-9  # choosing with knowledge of acceptance is worth more


@given(st.integers(0, 10_000), st.integers(2, 40))
@settings(PLAIN, max_examples=30)
def test_only_the_order_of_scores_matters(seed, n):
    y, p = _problem(seed, n)
    a = expected_maximum_profit(y, p, **MONEY, acceptance=Beta(6, 14))
    b = expected_maximum_profit(y[::-1], np.exp(3 * p[::-1]), **MONEY, acceptance=Beta(6, 14))
    assert a.profit == pytest.approx(b.profit)
    assert a.fraction == pytest.approx(b.fraction)


def test_nobody_is_contacted_when_nobody_accepts():
    best = maximum_profit(Y, P, **MONEY, acceptance=0.0)
    assert (best.profit, best.fraction, best.threshold) == (0.0, 0.0, np.inf)


@pytest.mark.parametrize(
    ("y", "p", "change", "told"),
    [
        ([1, 1], [0.1, 0.2], {}, "both 0"),
        ([0, 1, 0.5], [0.1, 0.2, 0.3], {}, "both 0"),
        ([0, 1], [0.1], {}, "equal lengths"),
        ([0, 1], [0.1, np.nan], {}, "first at row 1"),
        ([0, 1], [0.1, 0.2], {"value": 10.0}, "above the incentive"),
        ([0, 1], [0.1, 0.2], {"contact_cost": -1.0}, "contact_cost"),
        ([0, 1], [0.1, 0.2], {"acceptance": 30}, "acceptance"),
        ([0, 1], [0.1, 0.2], {"acceptance": [0.3, 0.2]}, "estimate them one by one"),
        ([0, 1], [0.1, 0.2], {"acceptance": Beta(6, 14)}, "use expected_maximum_profit"),
        ([0, 1], [0.1, 0.2], {"value": [1.0, 20.0, 30.0]}, "one per customer"),
        ([0, 1], [0.1, 0.2], {"value": [20.0, np.nan]}, "value: expected finite"),
        (pd.Series([0, 1]), [0.1, 0.2], {"value": pd.Series([20.0, 30.0], [1, 2])}, "indexes"),
        ([0, 1], pd.Series([0.1, 0.2]), {"value": pd.Series([20.0, 30.0], [1, 2])}, "indexes"),
    ],
)
def test_bad_input_is_refused(y, p, change, told):
    with pytest.raises(DataError, match=told):
        maximum_profit(y, p, **(MONEY | {"acceptance": 0.3} | change))


def test_money_has_no_default():
    with pytest.raises(TypeError):
        maximum_profit(Y, P, acceptance=0.3)
    with pytest.raises(TypeError):
        expected_gain(0.5, acceptance=0.3)


def test_lengths_that_differ_are_refused():
    with pytest.raises(DataError, match="one per customer"):
        expected_gain([0.1, 0.2], **(OFFER | {"value": [1.0, 2.0, 3.0]}))


def test_realised_gain_by_hand():
    gain = realised_gain(
        pd.Series([1, 0, 1], index=["a", "b", "c"]), [1, 1, 0], **OFFER, stayer_acceptance=0.5
    )
    # a: .3 * 190 - 1; b: -.5 * 10 - 1; c is not contacted
    assert gain.to_dict() == pytest.approx({"a": 56.0, "b": -6.0, "c": 0.0})
    with pytest.raises(DataError, match="nothing else"):
        realised_gain([0.5], [1], **OFFER)


def test_a_distribution_enters_an_expectation_by_its_mean():
    sure, unsure = OFFER | {"acceptance": 0.3}, OFFER | {"acceptance": Beta(6, 14)}
    assert expected_gain(0.4, **unsure) == pytest.approx(expected_gain(0.4, **sure))
    assert break_even_probability(**unsure) == pytest.approx(11 / 67)


def test_break_even_interval_by_hand():
    # Beta(1, 1): acceptance lies between .05 and .95 with 90 %; (10 + 1) / (190 g + 10)
    row = break_even_interval(**(OFFER | {"acceptance": Beta(1, 1)}), level=0.9).iloc[0]
    assert row["low"] == pytest.approx(11 / 190.5)
    assert row["high"] == pytest.approx(11 / 19.5)
    assert row["never_pays"] == pytest.approx(1 / 190)  # below f / (v - d)
    assert row["break_even_probability"] == pytest.approx(11 / 105)


def test_break_even_interval_of_customers_who_never_pay():
    values = pd.Series([5.0, 11.0, 200.0], index=["poor", "even", "rich"])
    table = break_even_interval(**(OFFER | {"acceptance": Beta(6, 14), "value": values}))
    assert table.loc["poor", ["break_even_probability", "low", "high"]].isna().all()
    assert table["never_pays"].tolist() == pytest.approx([1.0, 1.0, 0.0], abs=1e-6)
    with pytest.raises(DataError, match="plain number has no"):
        break_even_interval(**OFFER)


@given(st.integers(0, 10_000), st.integers(2, 50))
@settings(PLAIN, max_examples=40)
def test_equal_values_of_their_own_are_the_classical_measures(seed, n):
    y, p = _problem(seed, n)
    own = {name: np.full(n, amount) for name, amount in MONEY.items()}
    acceptance = Beta(6, 14)
    one, each = (
        (
            maximum_profit(y, p, **money, acceptance=0.3),
            expected_maximum_profit(y, p, **money, acceptance=acceptance),
        )
        for money in (MONEY, own)
    )
    for a, b in zip(one, each, strict=True):
        assert b.profit == pytest.approx(a.profit, abs=1e-9)
        assert b.fraction == pytest.approx(a.fraction, abs=1e-9)


def _own_money(seed, n):
    rng = np.random.default_rng(seed)
    return {
        "value": rng.normal(100, 90, n) + 60,  # some are worth less than the incentive
        "incentive": rng.uniform(0, 40, n),
        "contact_cost": rng.uniform(0, 5, n),
        "stayer_acceptance": rng.random(n),
    }


@given(st.integers(0, 10_000), st.integers(3, 60))
@settings(PLAIN, max_examples=40)
def test_own_values_maximum_and_its_expectation_by_brute_force(seed, n):
    y, p = _problem(seed, n)
    money = _own_money(seed, n)
    money["value"][0] = 200.0

    contacted = p >= np.array([np.inf, *np.unique(p)])[:, None]
    none, all_ = (expected_gain(y.astype(float), **money, acceptance=g) for g in (0.0, 1.0))

    def best(acceptance):
        each = none + np.multiply.outer(acceptance, all_ - none)
        return (each @ contacted.T / n).max(axis=-1)

    assert maximum_profit(y, p, **money, acceptance=0.3).profit == pytest.approx(best(0.3))
    # Beta(1, 1): the mean over evenly spaced acceptances, whose error falls with their square
    grid = best((np.arange(300) + 0.5) / 300).mean()
    exact = expected_maximum_profit(y, p, **money, acceptance=Beta(1, 1))
    assert exact.profit == pytest.approx(grid, abs=2e-3)
    assert 0 <= exact.fraction <= 1 + 1e-9


def test_own_values_by_hand_where_a_mean_would_mislead():
    # The poor leaver comes first: contacting him loses money, contacting both gains.
    money = {"value": [20.0, 400.0, 50.0], "incentive": 10.0, "contact_cost": 4.0}
    best = maximum_profit([1, 1, 0], [0.9, 0.8, 0.1], **money, acceptance=0.3)
    # .3 * 10 - 4 = -1, then .3 * 390 - 4 = 113; the stayer costs 14
    assert best.profit == pytest.approx((-1.0 + 113.0) / 3)
    assert best.threshold == 0.8


@pytest.mark.parametrize("seed", range(12))
def test_equal_to_empulse(seed):
    from empulse.metrics import empb_score, empc_score, mpc_score

    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 200))
    y, p = _problem(seed, n)
    v, d, f = rng.uniform(50, 500), rng.uniform(0, 40), rng.uniform(0, 10)
    alpha, beta = rng.uniform(1, 20, 2)
    ours = {"value": v, "incentive": d, "contact_cost": f}
    theirs = {"clv": v, "incentive_cost": d, "contact_cost": f}
    mean = alpha / (alpha + beta)
    assert maximum_profit(y, p, **ours, acceptance=mean).profit == pytest.approx(
        mpc_score(y, p, accept_rate=mean, **theirs), abs=1e-6
    )
    assert expected_maximum_profit(y, p, **ours, acceptance=Beta(alpha, beta)).profit == (
        pytest.approx(empc_score(y, p, alpha=alpha, beta=beta, **theirs), abs=1e-6)
    )
    # Values of their own, and incentives that are a fraction of them
    own, part = rng.gamma(4, 50, n), rng.uniform(0, 0.2)
    best = maximum_profit(y, p, value=own, incentive=part * own, contact_cost=f, acceptance=mean)
    theirs = {"clv": own, "incentive_fraction": part, "contact_cost": f}
    assert best.profit == pytest.approx(
        empb_score(y, p, alpha=alpha, beta=beta, **theirs), abs=1e-6
    )


def test_beta_of_mean_trial_and_parameters():
    assert Beta.from_mean(0.3, standard_deviation=0.1) == Beta(6, 14)
    # Jeffreys: half an acceptance and half a refusal more
    assert Beta.from_trial(accepted=0, offered=10) == Beta(0.5, 10.5)
    assert Beta(1, 1).interval(0.9) == pytest.approx((0.05, 0.95))
    assert Beta(1, 1).above(0.2) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Beta(0, 1), "alpha: expected one number above 0"),
        (lambda: Beta(1, [1, 2]), "beta: expected one number"),
        (lambda: Beta(1, np.inf), "beta"),
        (lambda: Beta(1, "x"), "beta: expected numbers"),
        (lambda: Beta.from_mean(0.3, standard_deviation=0.5), "square below"),
        (lambda: Beta.from_mean(0.3, standard_deviation=0.0), "above 0"),
        (lambda: Beta.from_mean(30, standard_deviation=0.1), "mean"),
        (lambda: Beta.from_trial(accepted=7, offered=6), "no more accepted"),
        (lambda: Beta.from_trial(accepted=0, offered=0), "at least 1"),
        (lambda: Beta.from_trial(accepted=0.5, offered=6), "whole numbers"),
    ],
)
def test_what_is_no_distribution_is_refused(make, told):
    with pytest.raises(DataError, match=told):
        make()


def test_a_distribution_is_needed_for_an_expectation_over_it():
    with pytest.raises(DataError, match="such as Beta"):
        expected_maximum_profit(Y, P, **MONEY, acceptance=0.3)
