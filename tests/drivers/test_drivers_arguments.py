"""Drivers: arguments that are none, single customers that must not show, clocks of a panel."""

import numpy as np
import pandas as pd
import pytest

from cxpredict.drivers.explain import explain
from cxpredict.drivers.flags import MOST_ROWS, proxies_of_time
from cxpredict.errors import ConfigError, DataError

CUSTOMERS = ["vip1"] * 11 + [f"c{number}" for number in range(40)]
INDEX = pd.MultiIndex.from_arrays(
    [CUSTOMERS, [*range(11), *[0] * 40]], names=["customer_id", "as_of"]
)
X = pd.DataFrame(
    {"complaints": np.arange(51) % 4, "plan": ["vip"] * 11 + ["std"] * 20 + ["plus"] * 20},
    index=INDEX,
)


class Linear:
    """Complaints add a half each; plans 1, .5 and 0."""

    feature_names_in_ = ("complaints", "plan")

    def contributions(self, X):
        plan = X["plan"].map({"vip": 1.0, "plus": 0.5, "std": 0.0})
        return np.column_stack([0.5 * (X["complaints"] - 1.0), plan]), -2.0


def test_a_direction_never_names_the_level_of_one_customer():
    # vip has eleven rows, all of one customer
    table = explain(Linear(), X).table.set_index("feature")
    assert table.loc["plan", "direction"] == "highest with plus"


def test_segments_of_the_same_few_people_do_not_hide_each_other():
    index = pd.MultiIndex.from_arrays(
        [[*CUSTOMERS[11:], *[f"v{number}" for number in range(6)] * 2], range(52)],
        names=["customer_id", "row"],
    )
    plans = ["std"] * 20 + ["plus"] * 20 + ["a"] * 6 + ["b"] * 6
    rows = pd.DataFrame({"complaints": 1, "plan": "std"}, index=index)
    table = explain(Linear(), rows).segments(pd.Series(plans, index=index))
    # a and b hold six people: one of the others must go with them
    assert table.groupby("segment")["suppressed"].first().sum() == 3


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: explain(Linear(), X, level=95), DataError, "level"),
        (lambda: explain(Linear(), X, level=1.0), DataError, "level"),
        (lambda: explain(Linear(), X, random_state=-1), DataError, "random_state"),
        (lambda: explain(Linear(), X, max_rows=0), ConfigError, "max_rows"),
        (lambda: explain(Linear(), X, max_rows=-1), ConfigError, "max_rows"),
        (lambda: explain(Linear(), X.to_numpy()), DataError, "expected a DataFrame"),
        (lambda: explain(Linear(), X).waterfall(["vip1", 0]), DataError, "row: expected"),
        (lambda: explain(Linear(), X).waterfall(("vip1", 0), top=0), ConfigError, "top"),
        (lambda: explain(Linear(), X).plot(top=-1), ConfigError, "top"),
        (lambda: explain(Linear(), X).beeswarm(top=0), ConfigError, "top"),
        (lambda: explain(Linear(), X).reasons(0), ConfigError, "top"),
    ],
)
def test_arguments_are_refused_with_a_word(call, error, told):
    with pytest.raises(error, match=told):
        call()


def test_a_panel_longer_than_the_sample_keeps_its_dates():
    # every second of 10,000 rows is of the same date
    n = MOST_ROWS
    date, rng = np.tile([0.0, 1.0], n), np.random.default_rng(0)
    columns = np.column_stack([5 * date + rng.random(2 * n), rng.random(2 * n)])
    clocks = pd.DataFrame({"as_of": date})
    assert proxies_of_time(columns, clocks, np.repeat(np.arange(n), 2)).tolist() == [True, False]
