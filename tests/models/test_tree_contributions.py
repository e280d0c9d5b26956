"""Contributions of trees: by hand, against LightGBM's own, the same in any batch."""

import pickle

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxpredict.models.ensemble import contributions
from cxpredict.models.ensemble.contributions import ZERO, TreeContributions
from cxpredict.models.ensemble.paths import groups_of
from tests.random_log import PLAIN

QUIET = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": 1}


def boosted(X, y, *, rounds=10, **params):
    data = lgb.Dataset(X, y, params={"min_data_in_bin": 1, "feature_pre_filter": False})
    return lgb.train({**QUIET, "min_data_in_leaf": 1, **params}, data, rounds)


def exact(booster, X):
    return booster.predict(X, pred_contrib=True, num_threads=1)


def hard(X, booster, rng):
    """Replace values by gaps, infinities, tiny numbers, thresholds and the numbers beside them."""
    X = X.copy()
    groups = groups_of(booster.model_to_string())
    for feature, threshold in zip(groups.features, groups.high, strict=True):
        near = [threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf)]
        X[rng.integers(len(X)), feature] = rng.choice(near)
    odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, ZERO, -ZERO, 1e-40, 2e-35])
    where = rng.random(X.shape) < 0.15
    X[where] = rng.choice(odd, where.sum())
    return X


def test_by_hand():
    # Three rows left of the split, one right: the mean is (3 l + r) / 4, and the only feature
    # gets the value less the mean.
    X = np.array([[0.0], [0.0], [0.0], [1.0]])
    booster = boosted(X, [0, 0, 0, 1], rounds=1, num_leaves=2, min_sum_hessian_in_leaf=0.0)
    left, right = booster.predict(X[[0, 3]], raw_score=True)
    trees = TreeContributions.of(booster)
    assert trees.groups is not None
    assert trees.base == pytest.approx((3 * left + right) / 4, abs=1e-12)
    assert trees.values(X[2:])[:, 0] == pytest.approx([left - trees.base, right - trees.base])


def test_two_features_share_by_shapley():
    # x and y on a 2 by 2 grid, one row each, and a tree with a leaf for each corner: the values
    # are v(x, y) = 1 where both are 1, else 0. Alone, x = 1 promises 1/2, and nothing 1/4; so
    # x gives ((1/2 - 1/4) + (1 - 1/2)) / 2 = 3/8, and y the same.
    X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    booster = boosted(
        np.repeat(X, 10, axis=0),
        np.repeat([0.0, 0.0, 0.0, 1.0], 10),
        objective="regression",
        boost_from_average=False,
        learning_rate=1.0,
        rounds=1,
        num_leaves=4,
    )
    trees = TreeContributions.of(booster)
    assert trees.base == pytest.approx(0.25)
    np.testing.assert_allclose(trees.values(X)[3], [0.375, 0.375], atol=1e-12)


@given(st.integers(0, 10_000))
@settings(PLAIN, max_examples=12)
def test_as_lightgbm_on_rows_that_are_hard(seed):
    rng = np.random.default_rng(seed)
    n, p = 300, int(rng.integers(1, 9))
    X = np.where(rng.random((n, p)) < 0.5, rng.normal(size=(n, p)), rng.integers(-1, 3, (n, p)))
    X[:, rng.random(p) < 0.5] *= 1.0 + 1e-12
    X[rng.random(X.shape) < rng.choice([0.0, 0.2])] = np.nan
    y = rng.random(n) < 1.0 / (1.0 + np.exp(-np.nan_to_num(X[:, 0] * X[:, -1])))
    booster = boosted(X, y, num_leaves=int(rng.choice([2, 4, 31])), rounds=8)
    trees, rows = TreeContributions.of(booster), hard(X, booster, rng)
    assert trees.groups is not None
    found, known = trees.values(rows), exact(booster, rows)
    np.testing.assert_allclose(found, known[:, :-1], rtol=0, atol=1e-9)
    margin = booster.predict(rows, raw_score=True)
    np.testing.assert_allclose(found.sum(axis=1) + trees.base, margin, rtol=0, atol=1e-9)


def test_a_row_is_the_same_in_any_batch_to_the_last_bit(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(700, 12))
    X[rng.random(X.shape) < 0.1] = np.nan
    booster = boosted(X, rng.random(700) < 0.4, rounds=30, num_leaves=31)
    trees = TreeContributions.of(booster)
    together = trees.values(X, n_jobs=1)
    order = rng.permutation(700)
    np.testing.assert_array_equal(trees.values(X[order]), together[order])
    np.testing.assert_array_equal(trees.values(X[7:8]), together[7:8])
    assert trees.values(X[:0]).shape == (0, 12)
    monkeypatch.setattr(contributions, "FEW", 64)
    np.testing.assert_array_equal(trees.values(X, n_jobs=2), together)
    monkeypatch.setattr(contributions, "BLOCK", 64)
    np.testing.assert_array_equal(trees.values(X, n_jobs=2), together)
    again = TreeContributions.of(lgb.Booster(model_str=booster.model_to_string()))
    np.testing.assert_array_equal(again.values(X), together)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(trees)).values(X), together)


def test_what_is_given_stays_as_it_was():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    X[::7] = 1e-40  # read as 0
    trees = TreeContributions.of(boosted(X, X[:, 0] > 0))
    turned = np.asfortranarray(X)
    turned.flags.writeable = False
    np.testing.assert_array_equal(trees.values(turned), trees.values(X))
    assert (X[::7] == 1e-40).all()


def test_paths_of_very_many_features():
    # leaf k: the first k features are 1; the longest path asks 30 features, more than a table holds
    n = 31
    X = np.repeat(np.tril(np.ones((n, 30)), -1), 20, axis=0)
    y = np.repeat(np.arange(n) % 2, 20)
    booster = boosted(X, y, num_leaves=40, rounds=3)
    longest = max(np.diff(groups_of(booster.model_to_string()).player_start))
    assert longest > 20
    trees = TreeContributions.of(booster)
    assert trees.groups is not None
    np.testing.assert_allclose(trees.values(X), exact(booster, X)[:, :-1], rtol=0, atol=1e-9)


def test_trees_without_splits():
    X = np.ones((50, 3))
    booster = boosted(X, np.arange(50) % 2, rounds=2)
    trees = TreeContributions.of(booster)
    assert not trees.values(X).any()
    assert trees.base == pytest.approx(booster.predict(X[:1], raw_score=True)[0])


@pytest.mark.parametrize(("categories", "zero"), [([0], False), ("auto", True)])
def test_what_the_tables_do_not_know_is_left_to_lightgbm(categories, zero):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 5, (400, 3)).astype(float)
    params = {**QUIET, "zero_as_missing": zero, "min_data_per_group": 1, "cat_smooth": 0.0}
    y = (X[:, 0] == 2) | (X[:, 1] > 3)
    booster = lgb.train(params, lgb.Dataset(X, y, categorical_feature=categories), 5)
    trees = TreeContributions.of(booster)
    assert trees.groups is None
    np.testing.assert_array_equal(trees.values(X, n_jobs=1), exact(booster, X)[:, :-1])
    assert trees.values(X[:0]).shape == (0, 3)


def test_where_tables_differ_lightgbm_is_believed_and_said_so(monkeypatch, caplog):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    booster = boosted(X, X[:, 0] > 0)
    monkeypatch.setattr(contributions, "TOLERANCE", -1.0)
    assert not TreeContributions.of(booster).fast
    assert "30 times slower: the fast ones are not within" in caplog.text
