"""Survey drivers: rows that are not aligned, levels that are one, and how surely R² is known."""

import numpy as np
import pandas as pd
import pytest

import cxpredict as cx
from cxpredict.drivers.survey.answers import read_answers
from cxpredict.drivers.survey.decomposition import relative_weights
from cxpredict.drivers.survey.key_drivers import drawn_correlations, r_squared_interval
from cxpredict.errors import DataError

LEVELS = {"low_at_most": 2, "high_at_least": 4}
CUTS = {"performance_cut": 3, "importance_cut": "mean"}


def survey(n=300):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.integers(1, 6, (n, 2)), columns=["price", "staff"])
    return X, X["staff"] + rng.normal(size=n)


@pytest.mark.parametrize(
    "call",
    [
        lambda X, **rows: cx.key_drivers(X, **rows),
        lambda X, **rows: cx.penalty_reward(X, **rows, **LEVELS),
        lambda X, **rows: cx.importance_performance(X, **rows, **CUTS),
    ],
)
@pytest.mark.parametrize("name", ["y", "weights", "customers"])
def test_a_table_in_place_of_a_column_is_refused_in_whatever_order(call, name):
    X, y = survey()
    column = y.abs() + 1
    for wrong, told in (
        (column.sample(frac=1, random_state=1).to_frame(), "different indexes"),
        (column.to_frame(), "Of a table give one column"),
        (column.to_numpy().reshape(150, 2), "Of a table give one column"),
        (column.sample(frac=1, random_state=1), "different indexes"),
    ):
        with pytest.raises(DataError, match=told):
            call(X, **{"y": y, name: wrong})


def test_levels_of_which_one_follows_from_another_have_no_contrast_of_their_own():
    # b is low, middle, high exactly where a is, though their scores differ
    rng = np.random.default_rng(0)
    a = rng.integers(1, 6, 600)
    same = np.where(a < 3, rng.integers(1, 3, 600), rng.integers(4, 6, 600))
    X = pd.DataFrame({"a": a, "b": np.where(a == 3, 3, same), "c": rng.integers(1, 6, 600)})
    y = -3 * (a < 3) + (a > 3) + rng.normal(size=600)
    with pytest.raises(DataError, match="attributes a, b are perfectly collinear"):
        cx.penalty_reward(X, y, **LEVELS)
    assert len(cx.penalty_reward(X[["a", "c"]], y, **LEVELS)) == 2


def test_cuts_levels_and_seeds_are_numbers():
    X, y = survey()
    with pytest.raises(DataError, match="performance_cut: expected a number or 'mean', got None"):
        cx.importance_performance(X, y, performance_cut=None, importance_cut="mean")
    for wrong in ("a", None, 95, True):
        with pytest.raises(DataError, match="level"):
            cx.key_drivers(X, y, level=wrong)
    with pytest.raises(DataError, match="random_state"):
        cx.key_drivers(X, y, random_state=-1)


def test_the_interval_of_r_squared_covers_what_there_is_to_explain():
    # percentiles alone hold it in 53 % of such samples, this one in 97 %
    p, n, truth = 8, 120, 0.1
    held, names = [], [f"a{place}" for place in range(p)]
    for seed in range(100):
        rng = np.random.default_rng(seed)
        X = pd.DataFrame(rng.normal(size=(n, p)), columns=names)
        y = X["a0"] * np.sqrt(truth / (1 - truth)) + rng.normal(size=n)
        sample, draws, _ = drawn_correlations(read_answers(X, y), seed)
        estimate = float(relative_weights(sample).sum())
        _, low, high = r_squared_interval(estimate, relative_weights(draws).sum(axis=1), 0.95)
        assert 0 <= low <= estimate <= high <= 1
        held.append(low <= truth <= high)
    assert np.mean(held) >= 0.9


def test_intervals_hold_their_estimate():
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.normal(size=(120, 8)), columns=[f"a{place}" for place in range(8)])
    table = cx.key_drivers(X, X["a0"] + 3 * rng.normal(size=120)).table
    for measure in ("relative_weight", "lmg"):
        assert (table[f"{measure}_low"] <= table[measure]).all()
        assert (table[measure] <= table[f"{measure}_high"]).all()
