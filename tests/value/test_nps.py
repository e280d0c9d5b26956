"""NPS: answers worked out by hand, invariants, coverage of the intervals."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cxpredict.data.suppression import hidden_groups
from cxpredict.errors import DataError, EmptyDataError
from cxpredict.value.nps import nps, nps_difference
from cxpredict.value.nps.answers import Answers
from cxpredict.value.nps.intervals import interval
from cxpredict.value.nps.posterior import Posterior
from cxpredict.value.nps.scores import nps_group

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


def test_scores_of_a_shorter_scale_are_refused_unless_0_to_10_is_declared():
    five = [1, 2, 3, 4, 5] * 4
    with pytest.raises(DataError, match="none of 20 answers is above 5"):
        nps(five)
    with pytest.raises(DataError, match="none of 35 answers is above 7"):
        nps_difference([9] * 40, [1, 2, 3, 4, 5, 6, 7] * 5)
    with pytest.raises(DataError, match="above 5"):
        nps_group(five)
    assert nps(five, scale=(0, 10)).loc["all", "estimate"] == -100
    assert nps([7, 6, 5] * 9).loc["all", "n"] == 27  # too few to doubt
    assert nps([*five, 8]).loc["all", "n"] == 21


@pytest.mark.parametrize("scale", [(1, 5), (1, 10), "nps", 10])
def test_no_other_scale_makes_an_nps(scale):
    with pytest.raises(DataError, match="got the scale"):
        nps(FIXTURE, scale=scale)


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


def test_posterior_against_draws():
    draws = np.random.default_rng(0).dirichlet([28.5, 1.5, 1.5], size=200_000)
    value = draws[:, 0] - draws[:, 2]
    posterior = Posterior.of([28 / 30, 1 / 30, 1 / 30], 30)
    # p - d of a Dirichlet with total 31.5: mean 27/31.5, Var = (30/31.5 - mean^2) / 32.5
    assert posterior.sd == pytest.approx(np.sqrt((30 / 31.5 - (27 / 31.5) ** 2) / 32.5))
    assert posterior.sd == pytest.approx(value.std(), rel=0.01)
    for at in (0.025, 0.5, 0.975):
        assert posterior.below(np.quantile(value, at)) == pytest.approx(at, abs=0.004)
    other = Posterior.of([0.5, 0.3, 0.2], 50)
    second = np.random.default_rng(1).dirichlet([25.5, 15.5, 10.5], size=200_000)
    difference = value - (second[:, 0] - second[:, 2])
    below = posterior.minus(other)
    for limit in (0.3, 0.5, 0.7):
        assert below(limit) == pytest.approx((difference < limit).mean(), abs=0.005)


def test_jeffreys_when_all_agree_reaches_100_and_not_further():
    row = nps([10] * 30, method="jeffreys").loc["all"]
    assert row["high"] == 100
    # Beta(30.5 + .5, .5) of the promoters and passives alone: 2.5 % quantile of 31 in 31.5
    assert 80 < row["low"] < 95


def test_bootstrap_agrees_with_wald_for_many_answers():
    scores = FIXTURE * 20
    wald, boot = (nps(scores, method=m, random_state=0).loc["all"] for m in ("wald", "bootstrap"))
    # SE of a bootstrap SE with 2,000 draws: 1.6 %
    assert boot["se"] == pytest.approx(wald["se"], rel=0.06)
    assert boot["low"] == pytest.approx(wald["low"], abs=0.3 * wald["se"])
    again = nps(scores, method="bootstrap", random_state=0).loc["all"]
    pd.testing.assert_series_equal(boot, again)


@pytest.mark.parametrize("method", ["wald", "adjusted_wald", "jeffreys"])
def test_saying_everything_twice_tells_nothing_new(method):
    once = nps(FIXTURE, method=method).loc["all"]
    customers = [f"c{k}" for k in range(100)] * 2
    twice = nps(FIXTURE * 2, customers=customers, method=method).loc["all"]
    assert (twice["n"], twice["customers"]) == (200, 100)
    assert twice["n_eff"] == pytest.approx(100)
    assert twice["design_effect"] == pytest.approx(2)
    columns = ["estimate", "low", "high", "se"]
    assert list(twice[columns]) == pytest.approx(list(once[columns]))
    boot = nps(FIXTURE * 2, customers=customers, method="bootstrap", random_state=0).loc["all"]
    assert boot["se"] == pytest.approx(once["se"], rel=0.08)


def test_repeated_customers_by_hand():
    # 12 customers, the first with a second 10: x = six and one 1, six -1; NPS 1/13
    scores, customers = [10] * 6 + [0] * 6 + [10], [*range(12), 0]
    row = nps(scores, customers=customers, method="wald").loc["all"]
    up, down = 1 - 1 / 13, -1 - 1 / 13
    squares = 5 * up**2 + 6 * down**2 + (2 * up) ** 2
    assert row["se"] == pytest.approx(100 * np.sqrt(squares) / 13)


def test_customers_come_from_the_index():
    index = pd.MultiIndex.from_product([range(100), ["2024", "2025"]], names=["customer_id", "t"])
    scores = pd.Series(np.repeat(FIXTURE, 2), index=index)
    assert nps(scores).loc["all", "n_eff"] == pytest.approx(100)
    assert nps(scores.reset_index(drop=True)).loc["all", "n_eff"] == pytest.approx(200)


def test_unknown_customers_are_refused():
    with pytest.raises(DataError, match="2 of 100 rows have no customer"):
        nps(FIXTURE, customers=[None, None, *range(98)])
    with pytest.raises(DataError, match="customers: expected 100 values"):
        nps(FIXTURE, customers=range(5))
    with pytest.raises(DataError, match="one group only"):
        nps_difference(FIXTURE, FIXTURE, customers_a=range(100))


def test_many_answers_of_few_customers_are_hidden():
    table = nps([9, 3] * 20, customers=list(range(10)) * 4)
    assert bool(table.loc["all", "suppressed"])
    assert table.drop(columns="suppressed").isna().all(axis=None)


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
    assert one["p_value"] == pytest.approx(two["p_value"], abs=1e-5)
    excluded = one["low"] > 1e-9 or one["high"] < -1e-9
    if abs(one["p_value"] - 0.05) > 1e-4:
        assert excluded == (one["p_value"] < 0.05)


@pytest.mark.parametrize("method", METHODS)
def test_difference_of_two_periods_of_the_same_customers(method):
    # 20 of 100 become promoters, all others say the same again: each gains 0 or 1,
    # Wald: mean .2, Var .2 * .8 / 100, SE .04
    before, after = [10] * 30 + [8] * 70, [10] * 50 + [8] * 50
    who = {"customers_a": range(100), "customers_b": range(100)}
    alone = nps_difference(after, before, method=method, random_state=0).iloc[0]
    paired = nps_difference(after, before, method=method, random_state=0, **who).iloc[0]
    assert paired["se"] == pytest.approx(4.0, rel=0.08)
    assert alone["se"] == pytest.approx(100 * np.sqrt((0.5 * 0.5 + 0.3 * 0.7) / 100), rel=0.05)
    assert paired["p_value"] < alone["p_value"]


def test_difference_with_few_answers_is_hidden():
    row = nps_difference([9] * 10, [9] * 100).iloc[0]
    assert bool(row["suppressed"])
    assert pd.isna(row["estimate"])


def _draw(rng, n, reps, p, d):
    return rng.choice([10, 8, 3], size=(reps, n), p=[p, 1 - p - d, d])


def exact_coverage(n, p, d, method):
    """Sum the probability of every outcome of n answers whose interval holds the truth."""
    held = 0.0
    for promoters in range(n + 1):
        for detractors in range(n + 1 - promoters):
            counts = [promoters, n - promoters - detractors, detractors]
            probability = stats.multinomial.pmf(counts, n, [p, 1 - p - d, d])
            if probability > 1e-5:
                x = np.repeat([1.0, 0.0, -1.0], counts)
                low, high, _ = interval(Answers(x, np.ones(n), np.arange(n)), 0.95, method, None)
                held += probability * (low <= p - d <= high)
    return held


@pytest.mark.parametrize(
    ("method", "p", "d"),
    [
        ("adjusted_wald", 0.35, 0.3),
        ("jeffreys", 0.5, 0.2),
        ("jeffreys", 0.9, 0.05),
        ("jeffreys", 0.05, 0.94),
    ],
)
def test_exact_coverage_of_30_answers(method, p, d):
    assert 0.93 <= exact_coverage(30, p, d, method) <= 0.97


def test_adjusted_wald_is_too_long_for_rare_shares():
    assert exact_coverage(30, 0.95, 0.04, "adjusted_wald") > 0.97


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
