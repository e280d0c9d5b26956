"""Flags of drivers: what can be changed, and what merely tells the time."""

import numpy as np
import pandas as pd
import pytest

from cxpredict.drivers.explain import explain
from cxpredict.drivers.flags import clocks_of, is_actionable, proxies_of_time, unknown_names
from cxpredict.errors import ConfigError
from cxpredict.features.origin import Origin

WAITS = Origin("interactions", "mean", "value", (("kind", "call"),), 30, "support", "phone")
ORIGINS = {
    "call_mean_30d": WAITS,
    "tenure_days": Origin("customers", "tenure"),
    "calendar_month": Origin("calendar", "month"),
    "purchase_count": Origin("transactions", "count", "", (("kind", "purchase"),)),
}


class Sum:
    """Every feature adds its own value."""

    def __init__(self, names):
        self.feature_names_in_ = list(names)

    def contributions(self, X):
        return X.to_numpy(float), 0.0


@pytest.mark.parametrize("name", ["call_mean_30d", "value", "call", "support", "phone"])
def test_a_feature_is_actionable_by_any_of_its_names(name):
    assert is_actionable("call_mean_30d", WAITS, ["billing", name])
    assert not is_actionable("tenure_days", ORIGINS["tenure_days"], [name])


def test_no_empty_name_makes_everything_actionable():
    assert not is_actionable("tenure_days", ORIGINS["tenure_days"], [""])
    assert unknown_names(ORIGINS, ["support", "", "suport"]) == ["", "suport"]


def _rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    tenure = rng.uniform(10, 1000, n)
    columns = {
        "call_mean_30d": rng.exponential(8, n),
        "tenure_days": tenure,
        "calendar_month": rng.integers(1, 13, n),
        "purchase_count": rng.poisson(tenure / 30),
    }
    index = pd.MultiIndex.from_arrays(
        [[f"c{i}" for i in range(n)], pd.to_datetime(["2025-01-01", "2025-07-01"] * (n // 2))],
        names=["customer_id", "as_of"],
    )
    return pd.DataFrame(columns, index=index).astype(float)


def test_flags_stand_in_the_tables():
    X = _rows()
    drivers = explain(Sum(X), X, origins=ORIGINS, actionable=["support"])
    table = drivers.table.set_index("feature")
    assert table["actionable"].to_dict() == {name: name == "call_mean_30d" for name in ORIGINS}
    # month and tenure by definition, the count because it grows with tenure
    assert table["proxy_of_time"].to_dict() == {name: name != "call_mean_30d" for name in ORIGINS}
    groups = drivers.by("source").set_index("source")
    assert groups.loc["interactions", "actionable"]
    assert not groups.loc["transactions", "actionable"]
    assert groups.loc["transactions", "proxy_of_time"]
    assert not groups.loc["interactions", "proxy_of_time"]


def test_a_name_of_nothing_is_refused():
    X = _rows(60)
    with pytest.raises(ConfigError, match=r"actionable: .* \['suport'\] are none"):
        explain(Sum(X), X, origins=ORIGINS, actionable=["support", "suport"])


def test_clocks_are_tenure_and_dates_that_differ():
    X = _rows(60)
    X.iloc[3, 1] = np.nan
    X.iloc[4, 1] = np.inf
    clocks = clocks_of(X, ORIGINS)
    assert list(clocks) == ["tenure_days", "as_of"]
    assert np.isfinite(clocks.to_numpy()).all()
    same_day = X.loc[pd.IndexSlice[:, "2025-01-01"], :]
    assert list(clocks_of(same_day, ORIGINS)) == ["tenure_days"]
    plain = same_day.reset_index(drop=True).drop(columns="tenure_days")
    origins = {name: origin for name, origin in ORIGINS.items() if name != "tenure_days"}
    assert clocks_of(plain, origins).shape == (len(plain), 0)
    assert not proxies_of_time(plain.to_numpy(), clocks_of(plain, origins), np.arange(30)).any()


def test_a_trend_over_dates_is_a_proxy_however_it_is_shaped():
    # tells months apart perfectly, half of the time, and not at all
    rng = np.random.default_rng(1)
    month = np.repeat(np.arange(12.0), 50)
    clocks = pd.DataFrame({"as_of": month})
    season = np.cos(np.pi * month / 6)
    columns = np.column_stack(
        [season + 0.2 * rng.normal(size=600), season + 2 * rng.normal(size=600), 0 * month]
    )
    columns[::7, 0] = np.nan
    flags = proxies_of_time(columns[:, 1:], clocks, np.arange(600))
    assert flags.tolist() == [False, False]
    assert proxies_of_time(columns[np.arange(600) % 7 > 0, :1], clocks[np.arange(600) % 7 > 0],
                           np.arange(514)).tolist() == [True]  # fmt: skip


def test_what_is_constant_for_a_customer_is_no_proxy_by_being_learned_by_heart():
    # 60 customers with 12 dates each: folds that split customers would know their values again
    rng = np.random.default_rng(2)
    tenure = np.repeat(rng.uniform(0, 1000, 60), 12) + np.tile(30.0 * np.arange(12), 60)
    own = np.repeat(rng.normal(size=(60, 40)), 12, axis=0)
    flags = proxies_of_time(own, pd.DataFrame({"tenure": tenure}), np.repeat(np.arange(60), 12))
    assert not flags.any()


def test_false_alarms_are_rare_and_real_clocks_are_found():
    # 400 columns unrelated to tenure: none is marked; counts of exposure are marked nearly always
    rng = np.random.default_rng(3)
    tenure = rng.uniform(10, 1000, 300)
    clocks, customers = pd.DataFrame({"tenure": tenure}), np.arange(300)
    assert not proxies_of_time(rng.normal(size=(300, 400)), clocks, customers).any()
    counts = rng.poisson(tenure[:, None] / 60, size=(300, 50))
    assert proxies_of_time(counts.astype(float), clocks, customers).mean() > 0.95


def test_the_training_job_marks_what_the_configuration_calls_actionable(run):
    for model in run.models:
        table = model.drivers.table.set_index("feature")
        where = {name: origin.touchpoint for name, origin in model.drivers.origins.items()}
        levers = table.index.map(where).isin(run.config.actionable)
        assert levers.any()
        assert (table["actionable"].to_numpy() == levers).all()
        assert table.loc["tenure_days", "proxy_of_time"]
