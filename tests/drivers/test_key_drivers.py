"""Shares of R² by hand and from print, their invariants, intervals and refusals."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_log import PLAIN

import cxpredict as cx
from cxpredict.drivers.survey.decomposition import betas, lmg, relative_weights
from cxpredict.errors import DataError, EmptyDataError

# mpg, cyl, disp, hp, wt of Henderson and Velleman (1981), Building multiple regression models
# interactively, Biometrics 37: the data set mtcars of R.
CARS = """
21 6 160 110 2.62;21 6 160 110 2.875;22.8 4 108 93 2.32;21.4 6 258 110 3.215;18.7 8 360 175 3.44;
18.1 6 225 105 3.46;14.3 8 360 245 3.57;24.4 4 146.7 62 3.19;22.8 4 140.8 95 3.15;
19.2 6 167.6 123 3.44;17.8 6 167.6 123 3.44;16.4 8 275.8 180 4.07;17.3 8 275.8 180 3.73;
15.2 8 275.8 180 3.78;10.4 8 472 205 5.25;10.4 8 460 215 5.424;14.7 8 440 230 5.345;
32.4 4 78.7 66 2.2;30.4 4 75.7 52 1.615;33.9 4 71.1 65 1.835;21.5 4 120.1 97 2.465;
15.5 8 318 150 3.52;15.2 8 304 150 3.435;13.3 8 350 245 3.84;19.2 8 400 175 3.845;
27.3 4 79 66 1.935;26 4 120.3 91 2.14;30.4 4 95.1 113 1.513;15.8 8 351 264 3.17;
19.7 6 145 175 2.77;15 8 301 335 3.57;21.4 4 121 109 2.78"""


def random_correlations(seed, p):
    rng = np.random.default_rng(seed)
    return np.corrcoef(rng.normal(size=(p + 1, p + 1)) @ rng.normal(size=(p + 1, 4 * p)))


def survey(seed=0, n=300, effects=(0.5, 0.3, 0.0)):
    rng = np.random.default_rng(seed)
    x = rng.multivariate_normal(np.zeros(3), 0.3 + 0.7 * np.eye(3), n)
    X = pd.DataFrame(np.clip(np.round(3 + x), 1, 5), columns=["delivery", "price", "staff"])
    return X, pd.Series(X.to_numpy() @ effects + rng.normal(size=n))


def test_orthogonal_attributes_weigh_their_squared_correlation():
    r = np.array([[1, 0, 0.6], [0, 1, -0.3], [0.6, -0.3, 1]])
    assert relative_weights(r) == pytest.approx([0.36, 0.09])
    assert lmg(r) == pytest.approx([0.36, 0.09])


def test_two_correlated_attributes_by_hand():
    # r12 = .6, r1y = .5, r2y = .4. R² = (.25 + .16 − 2·.6·.5·.4)/(1 − .36) = .17/.64 = .265625.
    r = np.array([[1, 0.6, 0.5], [0.6, 1, 0.4], [0.5, 0.4, 1]])
    # LMG: attribute 1 first gains .25, last .265625 − .16 = .105625; mean .1778125.
    assert lmg(r) == pytest.approx([0.1778125, 0.0878125])
    # Λ = R^½ has eigenvalues √1.6, √.4: diagonal a = (√1.6 + √.4)/2, off b = (√1.6 − √.4)/2,
    # so a² = .9, b² = .1 (ab = .3). Λ⁻¹ = (a, −b)/(a² − b²) = (a, −b)/.8.
    # β*₁ = (.5a − .4b)/.8, β*₁² = (.25·.9 + .16·.1 − .4·.3)/.64 = .121/.64 = .1890625;
    # β*₂² = (.16·.9 + .25·.1 − .4·.3)/.64 = .049/.64 = .0765625.
    # ε₁ = .9·.1890625 + .1·.0765625 = .1778125: for two attributes both methods agree.
    assert relative_weights(r) == pytest.approx([0.1778125, 0.0878125])


def test_relative_weights_of_the_cars_as_published():
    # Raw.RelWeight of rwa_multiregress(mtcars, "mpg", c("cyl", "disp", "hp", "wt")), vignette
    # "Regression methods" of the R package rwa 0.1.2 (Chan).
    cars = np.array([row.split() for row in CARS.split(";")], dtype=float)
    r = np.corrcoef(cars[:, [1, 2, 3, 4, 0]].T)
    published = [0.2096904, 0.1883043, 0.1799590, 0.2706812]
    assert relative_weights(r) == pytest.approx(published, abs=5e-8)


def test_lmg_is_the_mean_gain_over_all_orders():
    r, p = random_correlations(3, 4), 4

    def explained(subset):
        inside = list(subset)
        with_y = r[inside, -1]
        return with_y @ np.linalg.solve(r[np.ix_(inside, inside)], with_y) if inside else 0.0

    gains = np.zeros(p)
    for order in permutations(range(p)):
        for place, j in enumerate(order):
            gains[j] += explained(order[: place + 1]) - explained(order[:place])
    assert lmg(r) == pytest.approx(gains / 24)


@PLAIN
@given(st.integers(0, 10**6), st.integers(1, 7))
def test_both_divide_r_squared_without_a_negative_part_whatever_the_order(seed, p):
    r = random_correlations(seed, p)
    r_squared = betas(r)[0] @ r[:-1, -1]
    turned = [*np.random.default_rng(seed).permutation(p), p]
    for measure in (relative_weights, lmg):
        shares = measure(r)
        assert shares.sum() == pytest.approx(r_squared)
        assert (shares > -1e-12).all()
        assert measure(r[np.ix_(turned, turned)]) == pytest.approx(shares[turned[:-1]])
        assert measure(np.stack([r, r]))[1] == pytest.approx(shares)


def test_twins_share_equally():
    r = np.array([[1, 0.98, 0.3, 0.5], [0.98, 1, 0.3, 0.5], [0.3, 0.3, 1, 0.2], [0.5, 0.5, 0.2, 1]])
    for measure in (relative_weights, lmg):
        assert measure(r)[0] == pytest.approx(measure(r)[1])


def test_scale_and_shift_change_nothing_but_the_mean():
    X, y = survey()
    one = cx.key_drivers(X, y).table
    other = cx.key_drivers(10 * X - 3, 500 + 2 * y).table
    assert other["mean"].to_numpy() == pytest.approx(10 * one["mean"].to_numpy() - 3)
    columns = ["attribute", "rank", "rank_low", "rank_high", "p_value"]
    pd.testing.assert_frame_equal(one[columns], other[columns])
    numbers = one.columns.difference([*columns, "mean", "sign_flip"])
    pd.testing.assert_frame_equal(one[numbers], other[numbers])


def test_the_table_adds_up_and_names_the_strongest():
    X, y = survey()
    drivers = cx.key_drivers(X, y, rank_by="lmg")
    table = drivers.table
    residual = (
        y
        - np.column_stack([np.ones(300), X])
        @ np.linalg.lstsq(np.column_stack([np.ones(300), X]), y, rcond=None)[0]
    )
    r_squared = 1 - residual.var() / y.var()
    assert drivers.r_squared[0] == pytest.approx(r_squared)
    assert table["relative_weight"].sum() == pytest.approx(r_squared)
    assert table[["relative_weight_share", "lmg_share"]].sum().to_numpy() == pytest.approx(100)
    assert (table["beta"] * table["correlation"]).sum() == pytest.approx(r_squared)
    assert table["attribute"].tolist() == ["delivery", "price", "staff"]
    assert (table["rank_low"] <= table["rank"]).all()
    assert (table["rank"] <= table["rank_high"]).all()


def test_weights_count_like_repeated_rows():
    X, y = survey()
    twice = pd.concat([X, X.iloc[:100]], ignore_index=True)
    y_twice = pd.concat([y, y.iloc[:100]], ignore_index=True)
    weights = np.where(np.arange(300) < 100, 2.0, 1.0)
    columns = ["mean", "correlation", "beta", "vif", "relative_weight", "lmg"]
    weighed = cx.key_drivers(X, y, weights=weights).table[columns]
    repeated = cx.key_drivers(twice, y_twice).table[columns]
    pd.testing.assert_frame_equal(weighed, repeated)


def test_answers_copied_for_each_customer_add_no_certainty():
    X, y = survey(n=150)
    rows = np.repeat(np.arange(150), 3)
    copied, y_copied = X.iloc[rows].reset_index(drop=True), y.iloc[rows].reset_index(drop=True)
    once = cx.key_drivers(X, y).table
    thrice = cx.key_drivers(copied, y_copied, customers=rows).table
    pd.testing.assert_frame_equal(
        once.drop(columns="n"), thrice.drop(columns="n"), check_exact=False, atol=1e-9
    )
    alone = cx.key_drivers(copied, y_copied).table
    width = [t["lmg_high"].iloc[0] - t["lmg_low"].iloc[0] for t in (once, alone)]
    assert width[1] < 0.75 * width[0]


def test_a_coefficient_that_misleads_is_marked():
    rng = np.random.default_rng(1)
    a = rng.normal(size=400)
    X = pd.DataFrame({"a": a, "b": a + 0.4 * rng.normal(size=400)})
    table = cx.key_drivers(X, a - 0.3 * X["b"] + rng.normal(size=400)).table.set_index("attribute")
    # b goes with a, so it correlates with y positively; its coefficient is about −.3
    assert table.loc["b", "sign_flip"]
    assert not table.loc["a", "sign_flip"]
    r = np.corrcoef(X["a"], X["b"])[0, 1]
    assert table["vif"].to_numpy() == pytest.approx(1 / (1 - r**2))


def test_incomplete_rows_are_left_out_and_counted():
    X, y = survey()
    holes, gone = X.copy(), np.zeros(300, bool)
    gone[:30] = True
    holes.loc[gone, "staff"] = np.nan
    drivers = cx.key_drivers(holes, y)
    assert (drivers.n, drivers.n_left_out) == (270, 30)
    assert drivers.table.set_index("attribute")["n"].to_dict() == {
        "delivery": 300,
        "price": 300,
        "staff": 270,
    }
    assert drivers.left_out_difference[0] == pytest.approx(y[gone].mean() - y[~gone].mean())
    full = cx.key_drivers(X[~gone], y[~gone]).table
    pd.testing.assert_frame_equal(full.drop(columns="n"), drivers.table.drop(columns="n"))


def test_fifteen_attributes_have_relative_weights_only():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(200, 15)), columns=[f"q{n}" for n in range(15)])
    y = X["q3"] + rng.normal(size=200)
    table = cx.key_drivers(X, y).table
    assert table.loc[0, "attribute"] == "q3"
    assert table["lmg"].isna().all()
    assert table["relative_weight"].notna().all()
    with pytest.raises(DataError, match="at most 14 attributes, got 15"):
        cx.key_drivers(X, y, rank_by="lmg")


def test_a_random_attribute_is_seldom_told_from_chance():
    p_values, ranked = [], []
    for seed in range(40):
        X, y = survey(seed, n=150, effects=(0.6, 0.3, 0.0))
        X["random"] = np.random.default_rng(seed + 1000).integers(1, 6, 150)
        table = cx.key_drivers(X, y).table.set_index("attribute")
        p_values.append(table.loc["random", "p_value"])
        ranked.append(table.loc["delivery", "p_value"] < 0.05)
    # 40 tests of size .05: 0 to 6 rejections with probability .99
    assert np.sum(np.array(p_values) < 0.05) <= 6
    assert 0.35 < np.mean(p_values) < 0.65
    assert np.mean(ranked) > 0.95


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X.assign(price="good"), y), "price: expected numbers"),
        (lambda X, y: (X.assign(price=X["price"] > 2), y), "price: expected numbers, got bool"),
        (lambda X, y: (X.assign(price=3.0), y), "price: 0 customers differ"),
        (lambda X, y: (X, y * 0), "y: 0 customers differ"),
        (lambda X, y: (X.assign(price=np.inf), y), "price: 300 of 300 values are infinite"),
        (lambda X, y: (X.assign(total=X.sum(axis=1)), y), "delivery, price, staff, total"),
        (lambda X, y: (X, y.iloc[::-1]), "y and X have different indexes"),
        (lambda X, y: (X, y.to_numpy()[:-1]), "expected 300 values"),
        (lambda X, y: (X.iloc[:20], y.iloc[:20]), "50 customers, got 20"),
        (lambda X, y: (X.where(X["price"] > 3), y), "at least half are needed"),
        (lambda X, y: (X[["price", "price"]], y), "each name once"),
        (lambda X, y: (X.to_numpy(), y), "expected a DataFrame"),
    ],
)
def test_answers_that_cannot_be_analysed_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        cx.key_drivers(*change(*survey()))


def test_other_arguments_are_refused_too():
    X, y = survey()
    for wrong, message in (
        ({"weights": np.zeros(300)}, "300 of 300 are not above 0"),
        ({"weights": np.ones(3)}, "expected 300 values"),
        ({"customers": [None] * 300}, "an id for each of 300 rows"),
        ({"level": 95}, "between 0 and 1"),
        ({"rank_by": "pratt"}, "'relative_weight' or 'lmg'"),
    ):
        with pytest.raises(DataError, match=message):
            cx.key_drivers(X, y, **wrong)
    with pytest.raises(EmptyDataError):
        cx.key_drivers(X.iloc[:0], y.iloc[:0])


def test_nullable_numbers_and_a_single_attribute_are_accepted():
    X, y = survey()
    one = X[["price"]].astype("Int64")
    one.iloc[3] = pd.NA
    drivers = cx.key_drivers(one, y)
    r = np.corrcoef(X["price"].drop(3), y.drop(3))[0, 1]
    assert drivers.table["lmg"].tolist() == pytest.approx([r**2])
    assert drivers.table["rank_high"].tolist() == [1]
    assert "left out" in drivers._repr_html_()


def test_drivers_are_drawn():
    X, y = survey()
    figure = cx.key_drivers(X.rename(columns={"price": "$ price"}), y).plot()
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["delivery", r"\$ price", "staff"]
    assert next(bar.get_width() for bar in figure.axes[0].patches) > 0.1
