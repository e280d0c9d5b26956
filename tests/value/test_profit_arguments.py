"""Arguments of the profit functions that once passed silently, or failed without a word."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from cxpredict.action.targets import Offer, rank_targets
from cxpredict.errors import DataError
from cxpredict.value.profit import (
    Beta,
    CostMatrix,
    break_even_interval,
    compare_policies,
    expected_gain,
    expected_maximum_profit,
    gain_interval,
    maximum_profit,
    profit_curve,
    profit_scorer,
)

OFFER = {"value": 200.0, "incentive": 10.0, "contact_cost": 1.0, "acceptance": 0.3}


def test_an_incentive_above_the_value_never_pays():
    # at p = 1 the gain is γ(5 − 10) < 0; with 10 − 10 it is 0 for every γ, with 200 − 10 positive
    found = break_even_interval(
        value=[5.0, 10.0, 200.0], incentive=10.0, contact_cost=0.0, acceptance=Beta(6, 14)
    )
    assert found["never_pays"].tolist() == [1.0, 0.0, 0.0]
    assert np.isnan(found.loc[0, "break_even_probability"])


@pytest.mark.parametrize("name", ["value", "stayer_acceptance", "churn_probability"])
def test_only_acceptance_may_be_a_distribution(name):
    terms = {"churn_probability": 0.5, **OFFER, name: Beta(6, 14)}
    with pytest.raises(DataError, match=name):
        expected_gain(**terms)
    offer = Offer(cost=1.0, incentive=10.0, acceptance=0.3, stayer_acceptance=Beta(1, 9))
    with pytest.raises(DataError, match="stayer_acceptance"):
        rank_targets([0.5], value=200.0, offer=offer)


@pytest.mark.parametrize(
    "wrong",
    ["200", pd.Series(["200"]), pd.Series(pd.to_timedelta([1], unit="D")), np.array(["200"]),
     np.array([1 + 1j]), pd.Series([pd.Timedelta(1)], dtype=object)],
)  # fmt: skip
def test_text_and_spans_of_time_are_no_money(wrong):
    with pytest.raises(DataError, match="value: expected numbers"):
        expected_gain([0.5], **OFFER | {"value": wrong})


@pytest.mark.parametrize(
    "fine", [pd.Series([200], dtype="Int64"), pd.Series([200], dtype=object), np.float32(200)]
)
def test_numbers_of_any_kind_are_money(fine):
    assert np.ravel(expected_gain([0.5], **OFFER | {"value": fine})).tolist() == [22.5]


@pytest.mark.parametrize("level", [95, 1.0, 0, True, "0.9", None, np.nan])
def test_what_is_no_level_is_refused_everywhere(level):
    offer = Offer(cost=1.0, incentive=1.0, acceptance=0.3)
    for call in (
        lambda: Beta(6, 14).interval(level),
        lambda: rank_targets([0.5], value=200.0, offer=offer, level=level),
        lambda: gain_interval([0.5], **OFFER | {"acceptance": Beta(6, 14)}, level=level),
    ):
        with pytest.raises(DataError, match="level: expected a number between 0 and 1"):
            call()


def test_a_level_may_be_any_real_number():
    terms = OFFER | {"acceptance": Beta(6, 14)}
    narrow = gain_interval([0.5], **terms, level=np.float32(0.5))
    assert narrow["high"].item() == pytest.approx(
        gain_interval([0.5], **terms, level=0.5)["high"].item()
    )


def test_a_budget_of_exactly_the_cost_is_enough():
    # .1 + .1 + .1 = .30000000000000004
    offer = Offer(cost=0.1, incentive=0.0, acceptance=0.3)
    table = rank_targets([0.5, 0.5, 0.5], value=200.0, offer=offer, budget=0.3)
    assert table["selected"].all()


def test_targets_with_numbers_and_text_as_ids_do_not_depend_on_their_order():
    risk = pd.Series([0.5, 0.5, 0.5], index=[1, "a", 2])
    offer = Offer(cost=1.0, incentive=0.0, acceptance=0.3)
    first = rank_targets(risk, value=200.0, offer=offer)
    again = rank_targets(risk.iloc[::-1], value=200.0, offer=offer)
    assert first.index.tolist() == again.index.tolist()


def test_money_saved_has_an_interval_where_a_share_of_nothing_has_none():
    # 3 leavers of 1,000: e⁻³ = 5 % of the samples have none, and contacting nobody costs 0 there
    y = np.arange(1000) < 3
    costs = CostMatrix(
        true_positive=10.0, false_positive=2.0, false_negative=500.0, true_negative=0.0
    )
    row = compare_policies(y, {"all three": y}, costs, n_bootstrap=200).set_index("policy")
    row = row.loc["all three"]
    assert np.isnan(row["savings_low"])
    # nobody costs 1,500 and the policy 30
    assert row["saved"] == pytest.approx(1470)
    assert row["saved_low"] <= 490 < 1470 < row["saved_high"]


def test_everybody_is_a_share_of_exactly_one():
    y, money = [0, 1] * 30, {"value": 200.0, "incentive": 0.0, "contact_cost": 0.0}
    p = np.linspace(0.01, 1, 60)[::-1]
    assert maximum_profit([1, 0] * 30, -p, **money, acceptance=0.3).fraction <= 1
    assert expected_maximum_profit(y, p, **money, acceptance=Beta(2, 3)).fraction <= 1
    for n in (40, 49):
        curve = profit_curve([0, 1] * (n // 2) + [0] * (n % 2), np.arange(n) / n, **OFFER)
        assert curve.table["share"].iloc[-1] == 1


def test_a_scorer_needs_to_know_which_level_is_the_customer():
    index = pd.MultiIndex.from_product([list("abcd"), [1, 2]], names=["cust", "as_of"])
    X, y = pd.DataFrame({"x": range(8)}, index=index), [0, 1] * 4
    worth = pd.Series([1.0] * 4, index=pd.Index(list("abcd"), name="customer_id"))
    scorer = profit_scorer(**OFFER | {"value": worth})
    with pytest.raises(DataError, match="Name the level of the customer"):
        scorer(LogisticRegression().fit(X, y), X, y)
