"""Target lists and hold-outs."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxpredict.action.targets import Offer, assign_arms, rank_targets
from cxpredict.config.reading import check_settings
from cxpredict.config.value import OfferSettings
from cxpredict.errors import ConfigError, DataError
from cxpredict.jobs.scoring.money import offer_of
from cxpredict.value.profit import Beta, gain_interval

OFFER = Offer(cost=1.0, incentive=10.0, acceptance=0.3)


def test_gain_and_rank_by_hand():
    risk = pd.Series([0.1, 0.9, 0.5], index=["a", "b", "c"])
    table = rank_targets(risk, value=200.0, offer=OFFER)
    assert table.index.tolist() == ["b", "c", "a"]
    # b: .9 * .3 * 190 - .1 * 10 - 1 = 49.3
    assert table["expected_gain"].tolist() == pytest.approx([49.3, 22.5, -4.3])
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["selected"].tolist() == [True, True, False]
    assert table["break_even_probability"].tolist() == pytest.approx([11 / 67] * 3)
    # b: 1 + (.9 * .3 + .1) * 10
    assert table.loc["b", "expected_cost"] == pytest.approx(4.7)


def test_unsure_acceptance_gives_an_interval_and_the_same_order():
    risk = pd.Series([0.1, 0.9, 0.5], index=["a", "b", "c"])
    # Uniform acceptance, 90 %: .05 and .95 for b of .9 * 190 * g - .1 * 10 - 1
    unsure = dataclasses.replace(OFFER, acceptance=Beta(1, 1))
    table = rank_targets(risk, value=200.0, offer=unsure, level=0.9)
    assert table.loc["b", ["low", "high"]].tolist() == pytest.approx([6.55, 160.45])
    assert table.loc["b", "probability_positive"] == pytest.approx(1 - 2 / 171)
    sure = rank_targets(risk, value=200.0, offer=dataclasses.replace(OFFER, acceptance=0.5))
    pd.testing.assert_frame_equal(table[list(sure)], sure)
    interval = gain_interval(
        risk, value=200.0, incentive=10.0, contact_cost=1.0, acceptance=Beta(1, 1)
    )
    again = rank_targets(risk, value=200.0, offer=unsure)
    pd.testing.assert_frame_equal(again[list(interval)].sort_index(), interval)


def test_settings_of_an_offer():
    plain = {"contact_cost": 1.0, "incentive": 10.0, "holdout_share": 0.1}
    settings = check_settings(OfferSettings, plain | {"acceptance": 0.3})
    assert offer_of(settings) == OFFER
    assert settings.mean_acceptance == 0.3
    settings = check_settings(OfferSettings, plain | {"acceptance": {"alpha": 6, "beta": 14}})
    assert offer_of(settings).acceptance == Beta(6, 14)
    assert settings.mean_acceptance == 0.3


@pytest.mark.parametrize(
    ("acceptance", "told"),
    [
        (30, "  acceptance: Input should be less than or equal to 1, found 30"),
        ({"alpha": 6, "bta": 14}, "  acceptance.bta: unknown key, did you mean 'beta'"),
        ({"alpha": 0, "beta": 14}, "  acceptance.alpha: Input should be greater than 0"),
    ],
)
def test_settings_of_acceptance_are_checked(acceptance, told):
    plain = {"contact_cost": 1.0, "incentive": 10.0, "holdout_share": 0.1}
    with pytest.raises(ConfigError, match=told):
        check_settings(OfferSettings, plain | {"acceptance": acceptance})


def test_value_can_outweigh_risk():
    value = pd.Series([1000.0, 100.0], index=["rich", "poor"])
    table = rank_targets(np.array([0.4, 0.8]), value=value, offer=OFFER)
    assert table.index.tolist() == ["rich", "poor"]


def test_budget_stops_the_list():
    # costs 4.7 and 7.5
    risk = [0.9, 0.5]
    assert rank_targets(risk, value=200.0, offer=OFFER, budget=12.2)["selected"].sum() == 2
    assert rank_targets(risk, value=200.0, offer=OFFER, budget=12.1)["selected"].sum() == 1
    assert rank_targets(risk, value=200.0, offer=OFFER, budget=0.0)["selected"].sum() == 0


def test_ties_are_ordered_by_index():
    risk = pd.Series([0.5, 0.5, 0.5], index=["c", "a", "b"])
    table = rank_targets(risk, value=200.0, offer=OFFER, capacity=1)
    assert table.index.tolist() == ["a", "b", "c"]


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=40),
    st.integers(0, 40),
    st.floats(0, 200),
    st.integers(0, 100),
)
@settings(max_examples=60)
def test_limits_hold_in_any_order(risks, capacity, budget, seed):
    index = pd.MultiIndex.from_product(
        [[f"k{k}" for k in range(len(risks))], [pd.Timestamp("2024-01-01")]],
        names=["customer_id", "as_of"],
    )
    risk = pd.Series(risks, index=index)
    table = rank_targets(risk, value=150.0, offer=OFFER, capacity=capacity, budget=budget)
    chosen = table[table["selected"]]
    assert len(chosen) <= capacity
    assert chosen["expected_cost"].sum() <= budget + 1e-9
    assert (chosen["expected_gain"] > 0).all()
    assert (chosen["rank"] == np.arange(1, len(chosen) + 1)).all()
    assert table["expected_gain"].is_monotonic_decreasing
    order = np.random.default_rng(seed).permutation(len(risks))
    again = rank_targets(
        risk.iloc[order], value=150.0, offer=OFFER, capacity=capacity, budget=budget
    )
    pd.testing.assert_frame_equal(table, again)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"risk": [0.5, 1.2]}, "risk"),
        ({"risk": [0.5, np.nan]}, "first at row 1"),
        ({"value": [1.0, 2.0, 3.0]}, "one per customer"),
        ({"capacity": -1}, "capacity"),
        ({"budget": -5.0}, "budget"),
        ({"offer": Offer(cost=-1.0, incentive=0.0, acceptance=0.3)}, "contact_cost"),
        ({"offer": Offer(cost=1.0, incentive=0.0, acceptance=30)}, "acceptance"),
        ({"offer": Offer(cost=1.0, incentive=0.0, acceptance=Beta(1, 1)), "level": 95}, "level"),
    ],
)
def test_bad_input_is_refused(change, told):
    good = {"risk": [0.5, 0.2], "value": 100.0, "offer": OFFER}
    with pytest.raises(DataError, match=told):
        rank_targets(**(good | change))


def test_money_of_an_offer_must_be_said():
    with pytest.raises(TypeError, match="incentive"):
        Offer(cost=1.0, acceptance=0.3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        OFFER.cost = 2.0


IDS = [f"customer-{k}" for k in range(20_000)]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_share_of_the_hold_out(share):
    held = (assign_arms(IDS, holdout_share=share, salt="spring") == "held_out").mean()
    assert abs(held - share) < 4 * np.sqrt(share * (1 - share) / len(IDS))


def test_arms_do_not_depend_on_the_order():
    arms = assign_arms(IDS, holdout_share=0.2, salt="spring")
    order = np.random.default_rng(0).permutation(len(IDS))[:500]
    some = assign_arms([IDS[k] for k in order], holdout_share=0.2, salt="spring")
    assert (some == arms.loc[some.index]).all()


def test_arms_of_two_salts_are_independent():
    a = assign_arms(IDS, holdout_share=0.5, salt="spring") == "held_out"
    b = assign_arms(IDS, holdout_share=0.5, salt="autumn") == "held_out"
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(len(IDS))


def test_growing_the_share_keeps_those_held_out():
    few = assign_arms(IDS, holdout_share=0.1, salt="spring") == "held_out"
    more = assign_arms(IDS, holdout_share=0.3, salt="spring") == "held_out"
    assert (more | ~few).all()


def test_ends_of_the_share():
    assert (assign_arms(IDS, holdout_share=0.0, salt="s") == "treated").all()
    assert (assign_arms(IDS, holdout_share=1.0, salt="s") == "held_out").all()


def test_index_of_a_series_is_kept():
    ids = pd.Series(["a", "b"], index=[7, 3])
    assert assign_arms(ids, holdout_share=0.5, salt="s").index.tolist() == [7, 3]


@pytest.mark.parametrize("ids", [[1, 2], ["a", None], ["a", 1.0]])
def test_ids_are_text(ids):
    with pytest.raises(DataError, match="expected text"):
        assign_arms(ids, holdout_share=0.5, salt="s")


def test_salt_and_share_are_checked():
    with pytest.raises(DataError, match="salt"):
        assign_arms(["a"], holdout_share=0.5, salt="")
    with pytest.raises(DataError, match="holdout_share"):
        assign_arms(["a"], holdout_share=20, salt="s")
