"""NPS: answers worked out by hand, invariants, coverage of the intervals."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxpredict.errors import DataError, EmptyDataError
from cxpredict.value.nps import nps, nps_difference
from cxpredict.value.nps.scores import nps_group
from cxpredict.value.nps.suppression import hidden_groups

FIXTURE = [10] * 50 + [8] * 30 + [3] * 20
DECLARED = {"scale": (0, 10)}
METHODS = ["wald", "adjusted_wald", "jeffreys", "bootstrap"]
answers = st.lists(st.integers(0, 10), min_size=11, max_size=80)


def test_rocks_fixture_wald():
    row = nps(FIXTURE, method="wald").loc["all"]
    assert row["estimate"] == pytest.approx(30.0)
    # Var = .5 + .2 - .3^2 = .61, SE = sqrt(.61 / 100)
    assert row["se"] == pytest.approx(100 * np.sqrt(0.61 / 100))
    assert (round(row["low"], 1), round(row["high"], 1)) == (14.7, 45.3)


def test_rocks_fixture_adjusted():
    row = nps(FIXTURE).loc["all"]
    assert row["estimate"] == pytest.approx(30.0)
    assert (round(row["low"], 1), round(row["high"], 1)) == (14.1, 44.2)
    assert tuple(row[["promoters", "passives", "detractors"]]) == pytest.approx((0.5, 0.3, 0.2))
    assert (row["n"], row["n_eff"], row["design_effect"]) == (100, 100, 1)


def test_weighted_by_hand():
    # 6 promoters of weight 3, 6 detractors of weight 1: NPS = (18 - 6) / 24 = 50
    scores, weights = [9] * 6 + [0] * 6, [3.0] * 6 + [1.0] * 6
    row = nps(scores, weights=weights, method="wald").loc["all"]
    assert row["estimate"] == pytest.approx(50.0)
    # sum w^2 (x - .5)^2 = 6 * 9 * .25 + 6 * 1 * 2.25 = 27; SE = sqrt(27) / 24
    assert row["se"] == pytest.approx(100 * np.sqrt(27) / 24)
    # Kish: 24^2 / (6 * 9 + 6) = 9.6
    assert row["n_eff"] == pytest.approx(9.6)
    assert row["design_effect"] == pytest.approx(12 / 9.6)


def test_weighted_adjusted_by_hand():
    scores, weights = [9] * 6 + [0] * 6, [3.0] * 6 + [1.0] * 6
    row = nps(scores, weights=weights).loc["all"]
    # n_eff = 9.6, so weights scaled by 9.6 / 24 = .4 to 1.2 and .4; three answers of weight 1 added
    centre = (6 * 1.2 - 6 * 0.4) / 12.6
    squares = 6 * 1.44 * (1 - centre) ** 2 + 6 * 0.16 * (1 + centre) ** 2
    squares += 0.75 * (1 - centre) ** 2 + 1.5 * centre**2 + 0.75 * (1 + centre) ** 2
    assert row["se"] == pytest.approx(100 * np.sqrt(squares) / 12.6)
    assert (row["low"] + 1.959964 * row["se"]) == pytest.approx(100 * centre)


def test_boundaries_of_the_groups():
    assert (
        nps_group([0, 6, 7, 8, 9, 10]).tolist()
        == ["detractor"] * 2 + ["passive"] * 2 + ["promoter"] * 2
    )


def test_missing_scores_are_not_counted():
    table = nps(pd.Series([*FIXTURE, None, np.nan]))
    assert table.loc["all", "n"] == 100
    assert table.loc["all", "estimate"] == pytest.approx(30.0)


@pytest.mark.parametrize("make", [np.array, pd.Series, pl.Series, tuple, pd.Index])
def test_kinds_of_input_agree(make):
    pd.testing.assert_frame_equal(nps(make(FIXTURE)), nps(FIXTURE))
    nullable = pd.Series([*FIXTURE, None], dtype="Int64")
    pd.testing.assert_frame_equal(nps(nullable), nps(FIXTURE))


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ([10, 11, -1], "of 3, 2 are outside"),
        ([10, 7.5], "1 are no whole numbers"),
        (["10", "9"], "2 of 2 are str"),
        ([9, "8", None], "1 of 3 are str"),
        ([True, False], "yes/no"),
        (pd.Series(pd.to_datetime(["2024-01-01"])), "1 of 1 are Timestamp"),
        ([np.inf, 3], "1 are outside"),
    ],
)
def test_other_scales_are_refused_with_counts(bad, told):
    with pytest.raises(DataError, match=told):
        nps(bad)


def test_nobody_answered():
    with pytest.raises(EmptyDataError, match="none of 2"):
        nps([None, None])
    with pytest.raises(EmptyDataError):
        nps([])


@pytest.mark.parametrize(
    ("weights", "told"),
    [([1.0], "expected 12"), ([0.0] * 12, "12 are 0"), ([-1.0] * 12, "12 of 12")],
)
def test_weights_are_checked(weights, told):
    with pytest.raises(DataError, match=told):
        nps([9] * 12, weights=weights)


def test_weights_on_another_index_are_refused():
    scores = pd.Series([9] * 12)
    with pytest.raises(DataError, match="different indexes"):
        nps(scores, weights=pd.Series(np.ones(12), index=range(1, 13)))


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_is_a_fraction(level):
    with pytest.raises(DataError, match="level"):
        nps(FIXTURE, level=level)


def test_groups_equal_their_own_totals():
    scores = np.array(FIXTURE)
    by = np.where(np.arange(100) % 3 == 0, "north", "south")
    table = nps(scores, by=pd.Series(by, name="region"))
    assert table.index.name == "region"
    for region in ("north", "south"):
        alone = nps(scores[by == region]).loc["all"]
        pd.testing.assert_series_equal(table.loc[region], alone, check_names=False)


def test_rows_without_a_label_are_a_group():
    table = nps([9] * 15 + [3] * 15, by=["a"] * 15 + [None] * 15)
    assert table["n"].sum() == 30
    assert table.index.isna().sum() == 1


def test_small_group_and_its_complement_are_hidden():
    table = nps([9] * 5 + [3] * 20 + [8] * 50, by=["s"] * 5 + ["m"] * 20 + ["l"] * 50)
    assert table["suppressed"].to_dict() == {"l": False, "m": True, "s": True}
    assert table.loc[["s", "m"], table.columns != "suppressed"].isna().all(axis=None)
    assert table.loc["l", "estimate"] == 0


def test_total_of_few_is_hidden():
    assert bool(nps([9] * 10).loc["all", "suppressed"])
    assert not bool(nps([9] * 11).loc["all", "suppressed"])


@given(st.lists(st.integers(1, 60), min_size=1, max_size=12))
def test_hidden_groups_never_leave_a_small_remainder(sizes):
    hidden = hidden_groups(sizes)
    sizes = np.array(sizes)
    assert hidden[sizes < 11].all()
    if hidden.any() and not hidden.all():
        assert hidden.sum() >= 2
        assert sizes[hidden].sum() >= 11
    assert hidden.any() == (sizes < 11).any()


@given(answers, st.randoms(use_true_random=False))
def test_order_does_not_matter(scores, random):
    shuffled = scores.copy()
    random.shuffle(shuffled)
    pd.testing.assert_frame_equal(nps(scores, **DECLARED), nps(shuffled, **DECLARED))


@given(answers, st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_scale_of_weights_does_not_matter(scores, scale, seed):
    weights = np.random.default_rng(seed).uniform(0.1, 5, len(scores))
    pd.testing.assert_frame_equal(
        nps(scores, weights=weights, **DECLARED),
        nps(scores, weights=scale * weights, **DECLARED),
    )


@given(answers, st.integers(0, 1000), st.sampled_from(METHODS))
@settings(deadline=None)
def test_interval_holds_the_estimate_and_stays_in_range(scores, seed, method):
    weights = np.random.default_rng(seed).uniform(0.5, 2, len(scores))
    row = nps(scores, weights=weights, method=method, **DECLARED).loc["all"]
    assert -100 <= row["low"] <= row["high"] <= 100
    assert row["low"] - 1e-9 <= row["estimate"] <= row["high"] + 1e-9
    assert row["n_eff"] <= row["n"] + 1e-9
    assert row[["promoters", "passives", "detractors"]].sum() == pytest.approx(1)


@given(answers)
def test_turning_the_scale_round_turns_the_interval_round(scores):
    # 0 <-> 10, 8 stays: promoters become detractors
    mirror = [0 if s >= 9 else 10 if s <= 6 else 8 for s in scores]
    a, b = (nps(each, **DECLARED).loc["all"] for each in (scores, mirror))
    assert (a["low"], a["high"]) == (pytest.approx(-b["high"]), pytest.approx(-b["low"]))


@given(answers, st.integers(2, 4))
def test_whole_weights_repeat_answers_in_the_estimate(scores, times):
    weights = [times if s >= 9 else 1 for s in scores]
    repeated = [s for s, w in zip(scores, weights, strict=True) for _ in range(w)]
    a = nps(scores, weights=weights, **DECLARED).loc["all", "estimate"]
    assert a == pytest.approx(nps(repeated, **DECLARED).loc["all", "estimate"])


def test_difference_by_hand():
    # Wald: a = 50 - 20 = 30 of 100, b = 20 - 50 = -30; SE^2 = 2 * .61 / 100
    low_scores = [10] * 20 + [8] * 30 + [3] * 50
    row = nps_difference(FIXTURE, low_scores, method="wald").iloc[0]
    assert row["estimate"] == pytest.approx(60.0)
    assert row["se"] == pytest.approx(100 * np.sqrt(2 * 0.61 / 100))
    assert row["z"] == pytest.approx(0.6 / np.sqrt(0.0122))


@given(answers, answers, st.sampled_from(["wald", "adjusted_wald", "jeffreys"]))
@settings(max_examples=50, deadline=None)
def test_difference_is_antisymmetric_and_agrees_with_its_interval(a, b, method):
    one = nps_difference(a, b, method=method, **DECLARED).iloc[0]
    two = nps_difference(b, a, method=method, **DECLARED).iloc[0]
    assert one["estimate"] == pytest.approx(-two["estimate"])
    assert one["p_value"] == pytest.approx(two["p_value"])
    excluded = one["low"] > 1e-9 or one["high"] < -1e-9
    if abs(one["p_value"] - 0.05) > 1e-4:
        assert excluded == (one["p_value"] < 0.05)


def test_difference_with_few_answers_is_hidden():
    row = nps_difference([9] * 10, [9] * 100).iloc[0]
    assert bool(row["suppressed"])
    assert pd.isna(row["estimate"])


def _draw(rng, n, reps, p, d):
    return rng.choice([10, 8, 3], size=(reps, n), p=[p, 1 - p - d, d])


@pytest.mark.parametrize(("n", "p", "d"), [(30, 0.5, 0.2), (200, 0.35, 0.3), (60, 0.94, 0.03)])
def test_adjusted_interval_covers(n, p, d):
    rng = np.random.default_rng(11)
    reps = 300
    tables = [nps(scores).loc["all"] for scores in _draw(rng, n, reps, p, d)]
    covered = np.mean([t["low"] <= 100 * (p - d) <= t["high"] for t in tables])
    # 95 % with 300 repetitions: binomial SE 1.26 %, three of them to either side
    assert 0.95 - 0.038 <= covered <= 0.99


def test_weighted_interval_covers_when_weights_go_with_scores():
    rng = np.random.default_rng(5)
    reps, hits = 300, 0
    for _ in range(reps):
        # Promoters (60 %) answer twice as often as detractors (40 %); weights undo that: NPS 20
        scores = rng.choice([10, 3], size=80, p=[0.75, 0.25])
        row = nps(scores, weights=np.where(scores == 10, 1.0, 2.0)).loc["all"]
        hits += row["low"] <= 20 <= row["high"]
    assert 0.95 - 0.038 <= hits / reps <= 0.99


def test_size_of_the_difference_test():
    rng = np.random.default_rng(3)
    a, b = _draw(rng, 150, 300, 0.4, 0.3), _draw(rng, 90, 300, 0.4, 0.3)
    rejected = np.mean(
        [nps_difference(x, y)["p_value"].iloc[0] < 0.05 for x, y in zip(a, b, strict=True)]
    )
    assert rejected <= 0.05 + 0.038


def test_real_answers_of_a_retailer(shared_data):
    frame = pd.read_parquet(shared_data / "nps_retail_fr.parquet")
    scores = frame["nps"].dropna()
    visits = pd.cut(frame["NbPassageKS"], [-np.inf, 5, 20, np.inf], labels=["few", "some", "many"])
    row = nps(frame["nps"]).loc["all"]
    counted = 100 * ((scores >= 9).sum() - (scores <= 6).sum()) / len(scores)
    assert (row["estimate"], row["n"]) == (pytest.approx(counted), len(scores))
    # A share of at most one bounds Var by 1: SE below 100 / sqrt(n)
    assert 0 < row["high"] - row["low"] < 2 * 196 / np.sqrt(len(scores))
    table = nps(frame["nps"], by=visits)
    assert np.average(table["estimate"], weights=table["n"]) == pytest.approx(counted)
