"""Penalty–reward contrasts and the importance–performance map against known truth."""

import numpy as np
import pandas as pd
import pytest

import cxpredict as cx
from cxpredict.errors import DataError


def factors(seed=0, n=800, noise=1.0):
    """Hygiene only disappoints, gifts only delight, price does both, music does nothing."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.integers(1, 6, (n, 4)), columns=["hygiene", "gift", "price", "music"])
    low, high = X <= 2, X >= 4
    y = 7 - 2 * low["hygiene"] + 2 * high["gift"] - low["price"] + high["price"]
    return X, y + noise * rng.normal(size=n)


def test_contrasts_without_noise_are_exact():
    X, y = factors(noise=0)
    # y = 7 − 2·low(hygiene) + 2·high(gift) − low(price) + high(price), exactly
    table = cx.penalty_reward(X, y, low_at_most=2, high_at_least=4).set_index("attribute")
    assert table["penalty"].tolist() == pytest.approx([-2, 0, -1, 0])
    assert table["reward"].tolist() == pytest.approx([0, 2, 1, 0])
    assert table["asymmetry"].tolist() == pytest.approx([-2, 2, 0, 0])
    assert (table[["n_low", "n_middle", "n_high"]].sum(axis=1) == 800).all()
    assert table["n_low"].tolist() == (X <= 2).sum().tolist()


def test_factors_are_recovered():
    right = []
    for seed in range(20):
        X, y = factors(seed)
        table = cx.penalty_reward(X, y, low_at_most=2, high_at_least=4)
        right.append(table["factor"].tolist())
        assert table["same_factor_share"].between(0, 1).all()
    expected = ["basic", "excitement", "performance", "undecided"]
    assert (np.array(right) == expected).mean(axis=0).min() >= 0.85


def test_levels_of_each_attribute_are_its_own():
    X, y = factors()
    wide = X.assign(price=2 * X["price"])
    levels = dict.fromkeys(X, 2) | {"price": 4}
    tops = dict.fromkeys(X, 4) | {"price": 8}
    one = cx.penalty_reward(X, y, low_at_most=2, high_at_least=4)
    other = cx.penalty_reward(wide, y, low_at_most=levels, high_at_least=tops)
    pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({"low_at_most": 3, "high_at_least": 3}, "low and high at once"),
        ({"low_at_most": 2, "high_at_least": 3}, "0 customers with middle scores"),
        ({"low_at_most": 0, "high_at_least": 4}, "0 customers with low scores"),
        ({"low_at_most": 2, "high_at_least": {"price": 4}}, "no level for 3 attributes"),
        ({"low_at_most": "two", "high_at_least": 4}, "expected a score"),
        ({"low_at_most": 2, "high_at_least": np.nan}, "got a gap"),
    ],
)
def test_levels_that_do_not_fit_are_refused(levels, message):
    with pytest.raises(DataError, match=message):
        cx.penalty_reward(*factors(), **levels)


def test_the_levels_have_no_default():
    with pytest.raises(TypeError, match="low_at_most"):
        cx.penalty_reward(*factors())


def quadrants(n=600):
    """Four attributes, one in the middle of each quadrant."""
    rng = np.random.default_rng(5)
    means = {"wait": 2.0, "staff": 4.0, "music": 2.0, "decor": 4.0}
    X = pd.DataFrame({name: mean + 0.8 * rng.normal(size=n) for name, mean in means.items()})
    return X, X["wait"] + X["staff"] + 0.1 * X["music"] + rng.normal(size=n)


def test_quadrants_of_attributes_that_are_far_apart():
    X, y = quadrants()
    for cuts in ({"performance_cut": 3, "importance_cut": 20}, dict.fromkeys(CUTS, "mean")):
        found = cx.importance_performance(X, y, **cuts)
        assert found.table["quadrant"].tolist() == [
            "concentrate here",
            "keep up the good work",
            "low priority",
            "possible overkill",
        ]
        assert (found.table["same_quadrant_share"] > 0.99).all()
    assert found.importance_cut == pytest.approx(25)
    assert found.performance_cut == pytest.approx(X.mean().mean())


CUTS = ("performance_cut", "importance_cut")


def test_the_map_agrees_with_the_key_drivers():
    X, y = quadrants()
    drivers = cx.key_drivers(X, y, rank_by="lmg").table.set_index("attribute")
    for name in ("relative_weight", "lmg"):
        table = cx.importance_performance(
            X, y, importance=name, performance_cut=3, importance_cut="mean"
        ).table
        expected = drivers.loc[table["attribute"], f"{name}_share"]
        assert table["importance"].tolist() == pytest.approx(expected.tolist())
    assert table["performance"].tolist() == pytest.approx(X.mean().tolist())
    # a mean of n scores: estimate ± 1.96 · sd / √n
    width = table["performance_high"] - table["performance_low"]
    assert width.to_numpy() == pytest.approx(2 * 1.96 * X.std() / np.sqrt(600), rel=0.15)


def test_an_attribute_on_the_line_has_no_settled_quadrant():
    rng = np.random.default_rng(2)
    X = pd.DataFrame(rng.normal(3, 1, (300, 3)), columns=list("abc"))
    y = X.sum(axis=1) + rng.normal(size=300)
    table = cx.importance_performance(X, y, **dict.fromkeys(CUTS, "mean")).table
    assert table["same_quadrant_share"].median() < 0.7


def test_the_map_is_drawn_with_its_names_and_error_bars():
    X, y = quadrants()
    figure = cx.importance_performance(
        X.rename(columns={"wait": "$ wait"}), y, performance_cut=3, importance_cut=25
    ).plot()
    axes = figure.axes[0]
    assert next(t.get_text() for t in figure.legends[0].get_texts()) == r"1  \$ wait"
    corners = {t.get_text() for t in axes.texts}
    assert {"concentrate here", "keep up the good work", "1", "4"} <= corners
    assert axes.containers[0].has_xerr
    assert axes.containers[0].has_yerr
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"performance_cut": "middle", "importance_cut": 25}, "number or 'mean'"),
        ({"performance_cut": 3, "importance_cut": np.nan}, "number or 'mean'"),
        ({"performance_cut": 3, "importance_cut": 25, "importance": "beta"}, "relative_weight"),
    ],
)
def test_cuts_that_are_none_are_refused(wrong, message):
    with pytest.raises(DataError, match=message):
        cx.importance_performance(*quadrants(), **wrong)


def test_one_attribute_has_no_map():
    X, y = quadrants()
    with pytest.raises(DataError, match="2 attributes or more"):
        cx.importance_performance(X[["wait"]], y, performance_cut=3, importance_cut=50)


def test_the_french_retailer(shared_data):
    answers = pd.read_parquet(shared_data / "nps_retail_fr.parquet")
    attributes = ["satisfaction", "intention", "NbPassageKS"]
    drivers = cx.key_drivers(answers[attributes], answers["nps"], customers=answers["id"])
    complete = answers[[*attributes, "nps"]].dropna()
    assert (drivers.n, drivers.n_left_out) == (len(complete), len(answers) - len(complete))
    # the rate of visits explains next to nothing of the score, the other two questions most
    assert drivers.table["attribute"].tolist() == ["intention", "satisfaction", "NbPassageKS"]
    assert drivers.table["rank_high"].tolist() == [1, 2, 3]
    assert drivers.table["lmg_share"].iloc[-1] < 2
    design = np.column_stack([np.ones(len(complete)), complete[attributes]])
    _, left, *_ = np.linalg.lstsq(design, complete["nps"], rcond=None)
    total = ((complete["nps"] - complete["nps"].mean()) ** 2).sum()
    assert drivers.table["lmg"].sum() == pytest.approx(1 - left[0] / total)
    factor = cx.penalty_reward(
        answers[["intention"]], answers["nps"], low_at_most=6, high_at_least=9
    )
    # who will not come back is lost by two points, who surely will adds one
    assert factor["penalty"].iloc[0] < -1.5 < 1 < factor["reward"].iloc[0]
