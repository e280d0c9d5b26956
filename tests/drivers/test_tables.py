"""Long tables and segments, by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import PLAIN

from cxpredict.drivers.explain import explain
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.origin import Origin


class Shifted:
    """Numbers add their value; a plan of gold takes one off."""

    feature_names_in_ = ("calls", "plan")

    def contributions(self, X):
        plan = np.where(X["plan"] == "gold", -1.0, 0.0)
        return np.column_stack([X["calls"].to_numpy(float), plan]), -2.0


ORIGINS = {"calls": Origin("interactions", "count", "", (("kind", "call"),), 30, "support")}


def _drivers(n=40, **settings):
    index = pd.MultiIndex.from_product(
        [[f"c{i:02}" for i in range(n // 2)], pd.to_datetime(["2025-01-01", "2025-02-01"])],
        names=["customer_id", "as_of"],
    )
    calls = np.where(np.arange(n) < 24, 1.0, -3.0)
    X = pd.DataFrame({"calls": calls, "plan": ["gold", "basic"] * (n // 2)}, index=index)
    return explain(Shifted(), X, origins=ORIGINS, **settings)


def test_long_table_by_hand():
    table = _drivers().long()
    assert len(table) == 80
    first = table.iloc[:3]
    assert first["customer_id"].tolist() == ["c00"] * 3
    assert first["as_of"].astype("str").str[:10].tolist() == [*["2025-01-01"] * 2, "2025-02-01"]
    assert first["feature"].tolist() == ["calls", "plan", "calls"]
    assert first["value"].tolist() == ["1", "gold", "1"]
    assert first["number"].fillna(-9).tolist() == [1.0, -9, 1.0]
    assert first["contribution"].tolist() == [1.0, -1.0, 1.0]
    assert first["touchpoint"].tolist() == ["support", "customer profile", "support"]
    assert first["source"].tolist() == ["interactions", "customers", "interactions"]


def test_long_table_adds_up_and_keeps_gaps():
    X = pd.DataFrame({"calls": [0.25, np.nan, 1e6], "plan": [None, "gold", "basic"]})
    drivers = explain(Shifted(), X.assign(calls=X["calls"].fillna(0)), origins=ORIGINS)
    table = drivers.long()
    assert table["row"].tolist() == [0, 0, 1, 1, 2, 2]
    assert table["value"].isna().tolist() == [False, True, False, False, False, False]
    assert table["value"].dropna().tolist() == ["0.25", "0", "gold", "1000000", "basic"]
    total = table.groupby("row")["contribution"].sum().to_numpy()
    np.testing.assert_allclose(total, drivers.contributions.sum(axis=1))


def test_segments_by_hand():
    # 12 customers (24 rows) call once, 8 customers (16 rows) −3; half of all rows are gold
    drivers = _drivers(80)
    few = pd.Series(np.where(drivers.values["calls"] > 0, "many", "few"), drivers.values.index)
    table = drivers.segments(few)
    assert table["segment"].tolist() == ["few", "few", "many", "many"]
    assert table["n"].tolist() == [28, 28, 12, 12]
    of_few = table[table["segment"] == "few"].set_index("feature")
    assert of_few["mean"].to_dict() == pytest.approx({"calls": -3.0, "plan": -0.5})
    assert of_few["importance"].to_dict() == pytest.approx({"calls": 3.0, "plan": 0.5})
    assert of_few["rank"].to_dict() == {"calls": 1, "plan": 2}
    assert ((table["low"] <= table["importance"]) & (table["importance"] <= table["high"])).all()
    many = table[table["segment"] == "many"].set_index("feature")
    assert many.loc["calls", ["mean", "low", "high"]].tolist() == pytest.approx([1, 1, 1])


def test_small_segments_have_no_numbers_and_cannot_be_worked_out():
    # 8 customers alone would be the rest of the whole: the next smallest is hidden with them
    drivers = _drivers(40)
    table = drivers.segments(pd.Series(drivers.values["calls"]))
    assert table["segment"].tolist() == ["-3.0", "1.0"]
    assert table["suppressed"].tolist() == [True, True]
    numbers = ["n", "mean", "importance", "low", "high", "rank", "rank_low", "rank_high"]
    assert table[numbers].isna().all(axis=None)


def test_segments_by_name_group_and_gap():
    drivers = _drivers(80)
    by_plan = drivers.segments("plan", what="touchpoint")
    assert by_plan["segment"].tolist() == ["basic"] * 2 + ["gold"] * 2
    assert set(by_plan["touchpoint"]) == {"support", "customer profile"}
    assert by_plan["n"].tolist() == [40] * 4  # each customer is in both, at different dates
    gaps = pd.Series("a", drivers.values.index).where(drivers.values["calls"] > 0)
    assert drivers.segments(gaps)["segment"].unique().tolist() == ["(missing)", "a"]
    dates = drivers.segments("as_of")["segment"].unique()
    assert len(dates) == 2


def test_a_series_of_all_rows_serves_a_sample():
    drivers = _drivers(80, max_rows=60)
    everyone = pd.Series("all", _drivers(80).values.index)
    assert drivers.segments(everyone)["segment"].unique().tolist() == ["all"]


def test_segments_that_do_not_fit_are_refused():
    drivers = _drivers()
    with pytest.raises(DataError, match="found none called 'planet'"):
        drivers.segments("planet")
    with pytest.raises(DataError, match=r"40 of 40 explained rows have no entry"):
        drivers.segments(pd.Series(["a"] * 40))
    with pytest.raises(DataError, match="got list"):
        drivers.segments(["a"] * 40)
    with pytest.raises(DataError, match="repeats itself"):
        drivers.segments(pd.Series(["a", "b"], index=["x", "x"]))
    many = _drivers(200)
    with pytest.raises(DataError, match=r"200 different values; .* pandas.qcut"):
        many.segments(pd.Series(np.arange(200), many.values.index))
    with pytest.raises(ConfigError, match="not by 'planet'"):
        drivers.segments("plan", what="planet")


@settings(PLAIN, max_examples=15)
@given(seed=st.integers(0, 1000))
def test_segments_add_up_to_the_whole(seed):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"calls": rng.normal(size=90), "plan": rng.choice(["gold", "basic"], 90)})
    drivers = explain(Shifted(), X, origins=ORIGINS)
    cut = pd.Series(rng.choice(["a", "b", "c"], 90), X.index)
    table = drivers.segments(cut)
    if table["suppressed"].any():
        return
    rows = table[table["feature"] == "calls"]
    whole = np.average(rows["importance"].astype(float), weights=rows["n"].astype(float))
    assert whole == pytest.approx(np.abs(X["calls"]).mean())
