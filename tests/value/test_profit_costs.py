"""Cost-sensitive decisions: by hand, against the offer they come from, against empulse."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import PLAIN

from cxpredict.errors import DataError
from cxpredict.value.profit import (
    CostMatrix,
    break_even_probability,
    compare_policies,
    cost_threshold,
    decision_cost,
    expected_gain,
    offer_costs,
    savings,
)

COSTS = CostMatrix(
    true_positive=np.array([100.0, 200.0, 100.0]),
    false_positive=np.array([50.0, 50.0, 80.0]),
    false_negative=np.array([550.0, 1000.0, 300.0]),
    true_negative=0.0,
)


def test_cost_threshold_and_savings_by_hand():
    # 50 / (50 + 450), 50 / (50 + 800), 80 / (80 + 200)
    np.testing.assert_allclose(cost_threshold(COSTS), [0.1, 1 / 17, 2 / 7])
    y, contacted = [1, 0, 0], [True, True, False]
    assert decision_cost(y, contacted, COSTS).tolist() == [100.0, 50.0, 0.0]
    # nobody costs 550, everybody 100 + 50 + 80
    assert savings(y, contacted, COSTS) == pytest.approx(1 - 150 / 230)


def _matrix(rng, n):
    tp, tn = rng.uniform(0, 100, n), rng.uniform(0, 20, n)
    return CostMatrix(
        true_positive=tp,
        false_positive=tn + rng.uniform(0, 100, n),
        false_negative=tp + rng.uniform(0, 500, n),
        true_negative=tn,
    )


@given(st.integers(0, 10_000))
@settings(PLAIN, max_examples=30)
def test_no_decision_is_expected_to_cost_less_than_that_of_the_threshold(seed):
    rng = np.random.default_rng(seed)
    costs, p = _matrix(rng, 20), rng.random(20)
    each = decision_cost(p, p > cost_threshold(costs), costs)
    both = [decision_cost(p, decision, costs) for decision in (0.0, 1.0)]
    np.testing.assert_allclose(each, np.minimum(*both), atol=1e-9)


@given(st.integers(0, 10_000))
@settings(PLAIN, max_examples=30)
def test_an_offer_and_its_costs_agree(seed):
    rng = np.random.default_rng(seed)
    terms = {
        "value": rng.normal(100, 80, 15),
        "incentive": rng.uniform(0, 30, 15),
        "contact_cost": rng.uniform(0.1, 5, 15),
        "acceptance": rng.random(),
        "stayer_acceptance": rng.random(15),
    }
    costs, p = offer_costs(**terms), rng.random(15)
    gain = decision_cost(p, 0.0, costs) - decision_cost(p, 1.0, costs)
    np.testing.assert_allclose(gain, expected_gain(p, **terms), atol=1e-9)
    even, threshold = break_even_probability(**terms), cost_threshold(costs)
    pays = ~np.isnan(even)
    np.testing.assert_allclose(threshold[pays], even[pays], atol=1e-9)
    assert (threshold[~pays] >= 1 - 1e-9).all()


@pytest.mark.parametrize("seed", range(8))
def test_equal_to_empulse(seed):
    from empulse import metrics

    rng = np.random.default_rng(seed)
    n = 80
    costs, y, p = _matrix(rng, n), rng.integers(0, 2, n), rng.random(n)
    theirs = {
        "tp_cost": costs.true_positive,
        "fp_cost": costs.false_positive,
        "fn_cost": costs.false_negative,
        "tn_cost": costs.true_negative,
    }
    contacted = p > cost_threshold(costs)
    total = decision_cost(y, contacted, costs).sum()
    assert total == pytest.approx(metrics.cost_loss(y, p, **theirs), abs=1e-6)
    expected = decision_cost(y, p, costs).mean()
    assert expected == pytest.approx(metrics.expected_cost_loss(y, p, **theirs), abs=1e-6)
    saved = savings(y, contacted, costs)
    assert saved == pytest.approx(metrics.savings_score(y, p, **theirs), abs=1e-6)


def test_contacting_never_or_always_pays():
    # A leaver costs as much contacted as not; a stayer costs more, then less.
    limits = cost_threshold(
        CostMatrix(
            true_positive=np.array([500.0, 500.0, 600.0]),
            false_positive=np.array([50.0, -50.0, 50.0]),
            false_negative=500.0,
            true_negative=0.0,
        )
    )
    assert limits.tolist() == [1.0, -np.inf, np.inf]


def test_policies_side_by_side():
    y = pd.Series([1, 0, 0], index=["a", "b", "c"])
    policies = {"model": pd.Series([True, True, False], index=y.index), "half": np.full(3, 0.5)}
    table = compare_policies(y, policies, COSTS, n_bootstrap=200).set_index("policy")
    assert table.index.tolist() == ["nobody", "everybody", "model", "half"]
    assert table["total_cost"].tolist() == pytest.approx([550, 230, 150, 390])
    assert table["contacted"].tolist() == [0, 3, 2, 1.5]
    assert table.loc["model", "savings"] == pytest.approx(1 - 150 / 230)
    assert table.loc["everybody", "savings"] == 0
    again = compare_policies(y, policies, COSTS, n_bootstrap=200).set_index("policy")
    pd.testing.assert_frame_equal(table, again)


def test_interval_of_savings_covers_the_savings_of_the_population():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 6, 20_000)
    worth = rng.gamma(4, 50, 20_000)
    costs = offer_costs(value=worth, incentive=10.0, contact_cost=1.0, acceptance=0.5)
    contacted = p > 0.2

    def rows(given, chosen):
        return CostMatrix(**{k: np.broadcast_to(v, len(p))[chosen] for k, v in given.items()})

    truth = 1 - decision_cost(p, contacted, costs).sum() / min(
        decision_cost(p, decision, costs).sum() for decision in (0.0, 1.0)
    )
    hits = []
    for _ in range(100):
        chosen = rng.integers(0, len(p), 400)
        y = rng.random(400) < p[chosen]
        table = compare_policies(
            y, {"model": contacted[chosen]}, rows(costs.named(), chosen), n_bootstrap=200
        )
        row = table.set_index("policy").loc["model"]
        hits.append(row["savings_low"] <= truth <= row["savings_high"])
    assert np.mean(hits) >= 0.87  # 95 % less 3.5 standard errors


def test_savings_of_what_costs_nothing_are_missing():
    free = CostMatrix(true_positive=1.0, false_positive=1.0, false_negative=0.0, true_negative=0.0)
    assert np.isnan(savings([1, 0], [1, 0], free))


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda: decision_cost([1, 0], [1, 0], COSTS), "one per customer"),
        (lambda: decision_cost([1, 0, 2], [1, 0, 0], COSTS), "y: expected"),
        (lambda: decision_cost([1, 0, np.nan], [1, 0, 0], COSTS), "first at row 2"),
        (lambda: decision_cost([1, 0, 0], [1, 0, 30], COSTS), "contacted"),
        (lambda: compare_policies([], {}, COSTS), "one outcome per customer"),
        (lambda: compare_policies([1, 0, 0], {"nobody": [1, 1, 1]}, COSTS), "name yours"),
        (lambda: compare_policies([1, 0, 0], {}, COSTS, level=95), "level"),
        (lambda: compare_policies([1, 0, 0], {}, COSTS, n_bootstrap=0), "n_bootstrap"),
        (
            lambda: cost_threshold(
                CostMatrix(
                    true_positive=9.0, false_positive=0.0, false_negative=1.0, true_negative=2.0
                )
            ),
            "exchanged",
        ),
    ],
)
def test_bad_input_is_refused(act, told):
    with pytest.raises(DataError, match=told):
        act()


def test_costs_have_no_default():
    with pytest.raises(TypeError):
        CostMatrix(true_positive=1.0, false_positive=1.0)


def test_subscribers_with_their_own_costs(shared_data):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = pd.read_parquet(shared_data / "churn_tv.parquet").set_index("id")
    names = ["C_TP", "C_FP", "C_FN", "C_TN"]
    y, X = table["target"], table.drop(columns=[*names, "target"])
    own = CostMatrix(
        true_positive=table["C_TP"],
        false_positive=table["C_FP"],
        false_negative=table["C_FN"],
        true_negative=table["C_TN"],
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
    risk = cross_val_predict(model, X, y, cv=5, method="predict_proba")[:, 1]
    found = compare_policies(
        y, {"half": risk > 0.5, "own": risk > cost_threshold(own)}, own, n_bootstrap=100
    ).set_index("policy")
    assert found.loc["own", "savings"] > max(0.0, found.loc["half", "savings"])
    assert found.loc["everybody", "savings"] < 0
