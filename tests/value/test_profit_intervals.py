"""Intervals of gains: quantiles by hand, sources of uncertainty, coverage, refusals."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cxpredict.errors import DataError
from cxpredict.value.profit import Beta, campaign_gain, expected_gain, gain_interval

OFFER = {"value": 200.0, "incentive": 10.0, "contact_cost": 1.0, "acceptance": Beta(1, 1)}


def test_gain_interval_by_hand():
    # Uniform acceptance: 90 % between .05 and .95; .5 * 190 * g - .5 * 10 - 1 = 95 g - 6
    row = gain_interval(pd.Series([0.5], index=["a"]), **OFFER, level=0.9).loc["a"]
    assert row["expected_gain"] == pytest.approx(95 * 0.5 - 6)
    assert (row["low"], row["high"]) == pytest.approx((95 * 0.05 - 6, 95 * 0.95 - 6))
    assert row["probability_positive"] == pytest.approx(1 - 6 / 95)


def test_customers_worth_less_than_the_incentive_gain_from_few_who_accept():
    row = gain_interval(1.0, **(OFFER | {"value": 4.0}), level=0.9).iloc[0]
    # -6 g - 1: the more accept, the worse
    assert (row["low"], row["high"]) == pytest.approx((-6 * 0.95 - 1, -6 * 0.05 - 1))
    assert row["probability_positive"] == 0


def test_the_ends_of_an_input_interval_are_the_ends_of_the_gain():
    # Acceptance known: .3 * 190 * p - 10 (1 - p) - 1 rises in p
    sure = OFFER | {"acceptance": 0.3}
    row = gain_interval(0.5, **sure, probability_interval=[[0.3, 0.6]]).iloc[0]
    ends = [expected_gain(p, **sure) for p in (0.3, 0.6)]
    assert (row["low"], row["high"]) == pytest.approx(ends, abs=0.3)
    money = OFFER | {"acceptance": 0.3, "value": pd.Series([200.0])}
    row = gain_interval(pd.Series([0.5]), **money, value_interval=[[100.0, 250.0]]).iloc[0]
    ends = [expected_gain(0.5, **(sure | {"value": v})) for v in (100.0, 250.0)]
    assert (row["low"], row["high"]) == pytest.approx(ends, abs=0.5)


def test_draws_agree_with_the_exact_interval():
    p = np.linspace(0, 1, 30)
    exact = gain_interval(p, **OFFER)
    drawn = gain_interval(p, **OFFER, probability_interval=np.column_stack([p, p]))
    np.testing.assert_allclose(drawn, exact, atol=0.15)


def test_more_uncertainty_is_a_wider_interval():
    wider = {"probability_interval": [[0.2, 0.8]], "value_interval": [[50.0, 500.0]]}
    widths = []
    for given in ({}, {"probability_interval": [[0.2, 0.8]]}, wider):
        row = gain_interval(0.5, **OFFER, **given).iloc[0]
        widths.append(row["high"] - row["low"])
    assert widths == sorted(widths)
    row = campaign_gain([0.5], **OFFER, **wider).loc["expected"]
    alone = gain_interval(0.5, **OFFER, **wider).iloc[0]
    assert row["low"] == pytest.approx(alone["low"])
    assert row["estimate"] == pytest.approx(alone["expected_gain"])


def test_a_campaign_is_no_surer_for_being_large():
    one, many = (campaign_gain(np.full(n, 0.5), **OFFER).loc["expected"] / n for n in (1, 10_000))
    np.testing.assert_allclose(one[:3], many[:3])


def test_chance_of_one_customer_by_hand():
    # p = 1, acceptance nearly known: 189 with .3, else -1; variance .3 * .7 * 190^2
    sure = OFFER | {"acceptance": Beta(3e8, 7e8)}
    table = campaign_gain(np.ones(1000), **sure)
    half = 1.96 * np.sqrt(1000 * 0.21) * 190
    realised = table.loc["realised"]
    assert realised["estimate"] == pytest.approx(56_000, rel=1e-4)
    assert realised["high"] - realised["low"] == pytest.approx(2 * half, rel=0.02)
    assert table.loc["expected", "high"] - table.loc["expected", "low"] < 0.01 * half


def test_nobody_contacted_brings_nothing():
    table = campaign_gain([], **OFFER)
    assert (table[["estimate", "low", "high"]] == 0).all().all()
    assert gain_interval([], **OFFER).empty


def test_the_interval_of_a_campaign_covers_its_truth():
    hits = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        truth = rng.uniform(0.1, 0.6)
        trial = Beta.from_trial(accepted=rng.binomial(50, truth), offered=50)
        p, money = rng.beta(2, 4, 100), OFFER | {"value": rng.gamma(4, 50, 100)}
        row = campaign_gain(p, **(money | {"acceptance": trial})).loc["expected"]
        true_gain = expected_gain(p, **(money | {"acceptance": truth})).sum()
        hits.append(row["low"] <= true_gain <= row["high"])
    assert np.mean(hits) >= 0.89  # 95 % less 3.5 standard errors


def test_probability_that_contacting_pays():
    acceptance = Beta(6, 14)
    row = gain_interval(0.1, **(OFFER | {"acceptance": acceptance})).iloc[0]
    # .1 * 190 g > .9 * 10 + 1 from g = 10/19 on
    assert row["probability_positive"] == pytest.approx(stats.beta.sf(10 / 19, 6, 14))


@pytest.mark.parametrize(
    ("p", "change", "told"),
    [
        ([0.5], {"acceptance": 0.3}, "expected a distribution such as Beta"),
        ([0.5], {"acceptance": [0.3]}, "one by one"),
        ([0.5, np.nan], {}, "first at row 1"),
        ([0.5], {"level": 95}, "level"),
        ([0.5, 0.5], {"value": [1.0, 2.0, 3.0]}, "one per customer"),
        ([0.5, 0.4], {"probability_interval": [[0.4, 0.6]]}, "low and high of each of 2"),
        ([0.5, 0.4], {"probability_interval": [[0.4, 0.6], [0.5, 0.6]]}, "first at row 1"),
        ([0.5], {"probability_interval": [[0.4, 1.6]]}, "between 0 and 1"),
        ([0.5], {"value_interval": [[300.0, 400.0]]}, "do not hold their estimate"),
        (pd.Series([0.5], [1]), {"value": pd.Series([9.0], [2])}, "different indexes"),
        (
            pd.Series([0.5], [1]),
            {"probability_interval": pd.DataFrame([[0.4, 0.6]], [2])},
            "different indexes",
        ),
    ],
)
@pytest.mark.parametrize("function", [gain_interval, campaign_gain])
def test_bad_input_is_refused(function, p, change, told):
    with pytest.raises(DataError, match=told):
        function(p, **(OFFER | change))
