"""Customer value: closed forms, horizons, what is at risk."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxpredict.errors import DataError
from cxpredict.value.customer_value import (
    annuity,
    customer_value,
    discounted_survival,
    geometric_value,
    value_at_risk,
)

rates = st.floats(0.0, 0.95)


def test_geometric_by_hand():
    # 100 * .8 / .3 and 100 * 1.1 / .3
    assert geometric_value(100.0, 0.8, 0.1, payment="end") == pytest.approx(80 / 0.3)
    assert geometric_value(100.0, 0.8, 0.1, payment="start") == pytest.approx(110 / 0.3)


def test_horizon_by_hand():
    # end: 80/1.1 + 64/1.21; start: 100 + 80/1.1
    end = customer_value(100.0, 0.8, periods=2, discount_rate=0.1, payment="end")
    start = customer_value(100.0, 0.8, periods=2, discount_rate=0.1, payment="start")
    assert end == pytest.approx(80 / 1.1 + 64 / 1.21)
    assert start == pytest.approx(100 + 80 / 1.1)


def test_retention_by_period_by_hand():
    # stays through periods with .5, then .8: S = .5, .4
    table = [[0.5, 0.8], [1.0, 1.0]]
    survival = discounted_survival(table, periods=2, discount_rate=0.0, payment="end")
    assert survival.tolist() == [[0.5, 0.4], [1.0, 1.0]]
    worth = customer_value([10.0, 1.0], table, periods=2, discount_rate=0.0, payment="end")
    assert worth.tolist() == pytest.approx([9.0, 2.0])


@pytest.mark.parametrize("payment", ["start", "end"])
@given(retention=rates, discount_rate=st.floats(0.02, 0.5))
def test_long_horizon_is_geometric(payment, retention, discount_rate):
    long = customer_value(7.0, retention, periods=400, discount_rate=discount_rate, payment=payment)
    assert long == pytest.approx(geometric_value(7.0, retention, discount_rate, payment=payment))


@pytest.mark.parametrize("payment", ["start", "end"])
@given(low=rates, more=st.floats(0, 0.05), periods=st.integers(1, 40))
def test_value_rises_with_retention_and_horizon(payment, low, more, periods):
    def worth(retention, horizon):
        return annuity(retention, periods=horizon, discount_rate=0.05, payment=payment)

    assert worth(low + more, periods) >= worth(low, periods) - 1e-12
    assert worth(low, periods + 1) >= worth(low, periods) - 1e-12


def test_payment_at_the_start_is_worth_more():
    for r in (0.0, 0.5, 1.0):
        start, end = (
            annuity(r, periods=5, discount_rate=0.1, payment=payment)
            for payment in ("start", "end")
        )
        assert start > end


def test_index_is_kept():
    margin = pd.Series([10.0, 20.0], index=["b", "a"])
    worth = customer_value(margin, 0.5, periods=1, discount_rate=0.0, payment="end")
    assert worth.to_dict() == {"b": 5.0, "a": 10.0}
    shared = customer_value(
        3.0, pd.Series([0.5], index=["x"]), periods=1, discount_rate=0.0, payment="end"
    )
    assert shared.to_dict() == {"x": 1.5}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"retention": 1.1}, "between 0 and 1"),
        ({"retention": [0.5, np.nan]}, "first at row 1"),
        ({"discount_rate": 5}, "means 10 %"),
        ({"discount_rate": -0.1}, "discount_rate"),
        ({"periods": 0}, "periods"),
        ({"periods": 1.5}, "periods"),
        ({"payment": "middle"}, "payment"),
        ({"margin_per_period": "a lot"}, "expected numbers"),
        ({"margin_per_period": [1.0, 2.0], "retention": [0.5] * 3}, "one per customer"),
        ({"retention": [[0.5, 0.5, 0.5]]}, "expected 2 columns"),
    ],
)
def test_bad_numbers_are_refused(change, told):
    good = {
        "margin_per_period": 1.0,
        "retention": 0.5,
        "periods": 2,
        "discount_rate": 0.1,
        "payment": "end",
    }
    with pytest.raises(DataError, match=told):
        customer_value(**(good | change))


def test_endless_value_is_refused():
    with pytest.raises(DataError, match="no finite value"):
        geometric_value(1.0, 1.0, 0.0, payment="end")


def test_different_indexes_are_refused():
    with pytest.raises(DataError, match="different indexes"):
        value_at_risk(pd.Series([0.1], index=["a"]), pd.Series([1.0], index=["b"]))


def test_value_at_risk_by_hand():
    assert value_at_risk([0.5, 0.1], 100.0).tolist() == [50.0, 10.0]
    with pytest.raises(DataError, match="one per probability"):
        value_at_risk([0.5, 0.1], [1.0, 2.0, 3.0])
    with pytest.raises(DataError, match="between 0 and 1"):
        value_at_risk(1.5, 1.0)


def test_simulated_customers_bring_what_was_expected():
    rng = np.random.default_rng(8)
    n, periods, r, rate = 40_000, 6, 0.7, 0.1
    stays = np.cumprod(rng.random((n, periods)) < r, axis=1)
    realised = (20.0 * stays / (1 + rate) ** np.arange(1, periods + 1)).sum(axis=1)
    expected = customer_value(20.0, r, periods=periods, discount_rate=rate, payment="end")
    assert abs(realised.mean() - expected) < 4 * realised.std() / np.sqrt(n)
