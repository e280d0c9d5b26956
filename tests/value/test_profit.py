"""Profit of contacting: fixtures of the literature, definitions, brute force."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cxpredict.errors import DataError
from cxpredict.value.profit import (
    break_even_probability,
    expected_gain,
    expected_maximum_profit,
    maximum_profit,
)

Y = [0, 1, 0, 1, 0, 1, 0, 1]
P = [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9]
MONEY = {"clv": 200.0, "incentive": 10.0, "contact_cost": 1.0}
OFFER = {"value": 200.0, "incentive": 10.0, "contact_cost": 1.0, "acceptance": 0.3}


def test_maximum_profit_fixture():
    best = maximum_profit(Y, P, **MONEY, acceptance=0.3)
    assert best.profit == pytest.approx(23.875, abs=1e-9)
    assert (best.fraction, best.threshold) == (0.875, 0.2)


def test_expected_maximum_profit_fixture():
    best = expected_maximum_profit(Y, P, **MONEY, alpha=6.0, beta=14.0)
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
@settings(max_examples=60)
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
@settings(max_examples=25)
def test_expected_maximum_profit_is_the_mean_over_acceptance(seed, n, alpha, beta):
    y, p = _problem(seed, n)
    best = expected_maximum_profit(y, p, **MONEY, alpha=alpha, beta=beta)
    # Midpoints of 400 equally likely slices of the Beta distribution
    slices = stats.beta.ppf((np.arange(400) + 0.5) / 400, alpha, beta)
    brute = [maximum_profit(y, p, **MONEY, acceptance=g).profit for g in slices]
    assert best.profit == pytest.approx(np.mean(brute), rel=2e-3, abs=0.02)
    point = maximum_profit(y, p, **MONEY, acceptance=alpha / (alpha + beta)).profit
    assert best.profit >= point - 1e-9  # choosing with knowledge of acceptance is worth more


@given(st.integers(0, 10_000), st.integers(2, 40))
@settings(max_examples=30)
def test_only_the_order_of_scores_matters(seed, n):
    y, p = _problem(seed, n)
    a = expected_maximum_profit(y, p, **MONEY, alpha=6.0, beta=14.0)
    b = expected_maximum_profit(y[::-1], np.exp(3 * p[::-1]), **MONEY, alpha=6.0, beta=14.0)
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
        ([0, 1], [0.1, 0.2], {"clv": 10.0}, "above the incentive"),
        ([0, 1], [0.1, 0.2], {"contact_cost": -1.0}, "contact_cost"),
        ([0, 1], [0.1, 0.2], {"acceptance": 30}, "acceptance"),
    ],
)
def test_bad_input_is_refused(y, p, change, told):
    with pytest.raises(DataError, match=told):
        maximum_profit(y, p, **(MONEY | {"acceptance": 0.3} | change))


def test_beta_parameters_are_positive():
    with pytest.raises(DataError, match="alpha"):
        expected_maximum_profit(Y, P, **MONEY, alpha=0.0, beta=1.0)


def test_money_has_no_default():
    with pytest.raises(TypeError):
        maximum_profit(Y, P, acceptance=0.3)
    with pytest.raises(TypeError):
        expected_gain(0.5, acceptance=0.3)


def test_lengths_that_differ_are_refused():
    with pytest.raises(DataError, match="one per customer"):
        expected_gain([0.1, 0.2], **(OFFER | {"value": [1.0, 2.0, 3.0]}))
