"""Segments and paired comparison: hand-computed, invariants, and intervals with known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import cxpredict as cx
from cxpredict.errors import ModelError
from cxpredict.models.evaluation.intervals import Sample, largest

COMPARABLE = ["roc_auc", "log_loss_skill", "calibration_slope", "calibration_intercept"]


def find(table, **where):
    rows = table
    for column, wanted in where.items():
        rows = rows[rows[column] == wanted]
    assert len(rows) == 1, rows
    return rows.iloc[0]


def scored(rng, n, *, noise=0.0):
    """Outcomes and the true probability, seen through noise on the log-odds."""
    margin = rng.normal(-1, 1.2, n)
    y = (rng.random(n) < expit(margin)).astype(int)
    return y, expit(margin + noise * rng.normal(size=n))


@pytest.fixture(scope="module")
def three():
    """Segment c is predicted by noise; d is too small to be judged."""
    rng = np.random.default_rng(3)
    y, p = scored(rng, 3000)
    segment = rng.choice(["a", "b", "c"], 3000)
    shuffled = np.flatnonzero(segment == "c")
    p[shuffled] = p[rng.permutation(shuffled)]
    segment[:40] = "d"
    p[:40] = 1 - p[:40]
    return y, p, segment


def test_a_segment_is_measured_as_if_it_were_alone(three):
    y, p, segment = three
    table = cx.evaluate(y, p, by=segment, n_bootstrap=30)
    alone = cx.evaluate(y[segment == "a"], p[segment == "a"], n_bootstrap=30)
    own = table[(table.kind == "segment") & (table.segment == "a")]
    np.testing.assert_allclose(own.estimate, alone.estimate, atol=1e-9)
    whole = table[table.kind == "whole"]
    plain = cx.evaluate(y, p, n_bootstrap=30)
    np.testing.assert_array_equal(
        whole[["estimate", "low", "high"]], plain[["estimate", "low", "high"]]
    )
    assert set(own.customers) == {(segment == "a").sum()}
    assert set(own.events) == {y[segment == "a"].sum()}


def test_the_worst_segment_is_named_and_its_gap_is_the_difference_to_the_whole(three):
    y, p, segment = three
    table = cx.evaluate(y, p, by=pd.Series(segment, name="plan"), n_bootstrap=200)
    assert set(table.by) == {"", "plan"}
    worst = find(table, kind="worst", metric="roc_auc")
    gap = find(table, kind="gap", metric="roc_auc")
    assert worst.segment == gap.segment == "c"
    whole = find(table, kind="whole", metric="roc_auc")
    assert gap.estimate == pytest.approx(whole.estimate - worst.estimate)
    assert 0.05 < gap.low < gap.estimate < gap.high
    assert list(table[table.kind == "gap"].metric) == COMPARABLE


def test_small_segments_are_shown_but_never_the_worst(three):
    y, p, segment = three
    table = cx.evaluate(y, p, by=segment, n_bootstrap=30)
    small = find(table, kind="segment", segment="d", metric="roc_auc")
    assert not small.compared
    assert small.estimate < find(table, kind="worst", metric="roc_auc").estimate
    judged = cx.evaluate(y, p, by=segment, min_segment=5, n_bootstrap=30)
    assert find(judged, kind="worst", metric="roc_auc").segment == "d"
    none = cx.evaluate(y, p, by=segment, min_segment=5000, n_bootstrap=5)
    assert set(none.kind) == {"whole", "segment"}


def test_gaps_are_a_segment_and_several_columns_divide_one_by_one(three):
    y, p, segment = three
    frame = pd.DataFrame({"plan": np.where(segment == "d", None, segment), "vip": y * 0 == 0})
    table = cx.evaluate(y, p, by=frame, n_bootstrap=5)
    plans = table[(table.kind == "segment") & (table.by == "plan")]
    assert sorted(set(plans.segment)) == ["(missing)", "a", "b", "c"]
    alone = find(table, kind="segment", by="vip", segment="True", metric="roc_auc")
    assert alone.estimate == find(table, kind="whole", metric="roc_auc").estimate
    assert find(table, kind="gap", by="vip", metric="roc_auc").estimate == 0


def test_a_segment_of_one_outcome_has_no_ranking_and_does_no_harm(three):
    y, p, _ = three
    table = cx.evaluate(y, p, by=np.where(y == 1, "left", "stayed"), n_bootstrap=5)
    assert table[(table.kind == "segment") & (table.metric == "roc_auc")].estimate.isna().all()
    assert "gap" not in set(table.kind)


def test_segments_respect_weights(three):
    y, p, segment = three
    count = np.random.default_rng(8).integers(0, 4, len(y))
    weighted = cx.evaluate(y, p, by=segment, weights=count, n_bootstrap=2)
    repeated = cx.evaluate(
        np.repeat(y, count), np.repeat(p, count), by=np.repeat(segment, count), n_bootstrap=2
    )
    np.testing.assert_allclose(
        weighted.query("kind == 'segment'").estimate,
        repeated.query("kind == 'segment'").estimate,
        rtol=1e-6,
        atol=1e-9,
    )


def test_what_is_no_segment_is_refused(three):
    y, p, _ = three
    with pytest.raises(ModelError, match=r"by: segment has 3,000 different values.*qcut"):
        cx.evaluate(y, p, by=np.arange(3000))
    with pytest.raises(ModelError, match="by: segment has 2 rows and y 3,000"):
        cx.evaluate(y, p, by=["a", "b"])
    with pytest.raises(ModelError, match="same index"):
        cx.evaluate(pd.Series(y), p, by=pd.Series(p > 0.5, index=np.arange(3000)[::-1]))


def test_the_gap_of_equal_segments_is_rarely_above_zero():
    """Six segments without a difference: a naive interval of the worst one would often say so."""
    rng = np.random.default_rng(11)
    known, naive = [], []
    for _ in range(60):
        y, p = scored(rng, 1200)
        segment = np.arange(1200) % 6
        table = cx.evaluate(y, p, by=segment, n_bootstrap=100)
        known.append(find(table, kind="gap", metric="roc_auc").low > 0)
        worst = find(table, kind="worst", metric="roc_auc")
        whole = find(table, kind="whole", metric="roc_auc")
        naive.append(worst.high < whole.estimate)
    assert np.mean(known) <= 0.12  # 60 trials of at most .05: 2.5 standard errors above
    assert np.mean(known) <= np.mean(naive)


def test_a_comparison_is_the_difference_of_two_evaluations(three):
    y, p, _ = three
    other = p**1.5
    table = cx.compare(y, p, other, n_bootstrap=20).set_index("metric")
    first, second = (cx.evaluate(y, q, n_bootstrap=2).set_index("metric") for q in (p, other))
    for metric in table.index:
        assert table.champion[metric] == first.estimate[metric]
        assert table.challenger[metric] == second.estimate[metric]
    auc = table.loc["roc_auc"]
    assert auc.difference == 0  # the same order
    assert (auc.low, auc.high, auc.better) == (0, 0, "neither")
    slope = table.loc["calibration_slope"]
    assert slope.difference == pytest.approx(abs(slope.challenger - 1) - abs(slope.champion - 1))
    assert "base_rate" not in table.index


def test_the_same_model_differs_in_nothing_and_sides_may_be_swapped(three):
    y, p, segment = three
    same = cx.compare(y, p, p, by=segment, n_bootstrap=20)
    assert (same[["difference", "low", "high"]] == 0).all(axis=None)
    assert set(same.better) == {"neither"}
    rng = np.random.default_rng(2)
    other = expit(np.log(p / (1 - p)) + rng.normal(size=len(p)))
    there = cx.compare(y, p, other, n_bootstrap=50).set_index("metric")
    back = cx.compare(y, other, p, n_bootstrap=50).set_index("metric")
    np.testing.assert_allclose(there.difference, -back.difference, atol=1e-12)
    np.testing.assert_allclose(there.low, -back.high, atol=1e-9)
    assert there.loc["roc_auc", "better"] == "champion"
    assert back.loc["roc_auc", "better"] == "challenger"


def test_gains_are_compared_by_their_mean(three):
    y, p, _ = three
    one, two = np.where(y == 1, 10.0, -1.0), np.where(p > 0.2, 3.0, 0.0)
    row = cx.compare(y, p, p, gain_champion=one, gain_challenger=two, n_bootstrap=200)
    row = row.set_index("metric").loc["mean_gain"]
    difference = two - one
    assert row.difference == pytest.approx(difference.mean())
    error = difference.std() / np.sqrt(len(y))  # rows are customers: the mean's standard error
    assert row.high - row.low == pytest.approx(2 * 1.96 * error, rel=0.2)
    with pytest.raises(ModelError, match="go together"):
        cx.compare(y, p, p, gain_champion=one)
    with pytest.raises(ModelError, match="gain_challenger: 1 of 3,000 values are missing"):
        cx.compare(y, p, p, gain_champion=one, gain_challenger=np.r_[np.nan, two[1:]])


def test_the_segment_that_loses_most_is_named(three):
    y, p, segment = three
    worse = np.where(segment == "b", np.random.default_rng(4).permutation(p), p)
    table = cx.compare(y, p, worse, by=segment, n_bootstrap=100)
    row = find(table, kind="worst", metric="roc_auc")
    assert row.segment == "b"
    assert row.high < 0
    assert row.better == "champion"
    assert row.difference == pytest.approx(row.challenger - row.champion)


def test_pairing_finds_what_two_intervals_apart_would_not():
    rng = np.random.default_rng(6)
    y, p = scored(rng, 1500)
    blurred = expit(np.log(p / (1 - p)) + 0.7 * rng.normal(size=1500))
    paired = cx.compare(y, blurred, p).set_index("metric").loc["roc_auc"]
    assert paired.better == "challenger"
    alone = [cx.evaluate(y, q).set_index("metric").loc["roc_auc"] for q in (blurred, p)]
    assert alone[0].high > alone[1].low


def test_equal_models_are_called_different_in_about_one_case_of_twenty():
    """Two equally blurred views of the truth, customers at three dates: size, then power."""
    rng = np.random.default_rng(7)
    false, found = [], []
    for _ in range(200):
        margin = np.repeat(rng.normal(-0.5, 1.2, 150), 3)
        customer = np.repeat(np.arange(150), 3)
        y = (rng.random(450) < expit(margin)).astype(int)
        one, two, far = (
            expit(margin + s * np.repeat(rng.normal(size=150), 3)) for s in (0.8, 0.8, 2.5)
        )
        for other, seen in [(two, false), (far, found)]:
            table = cx.compare(y, one, other, groups=customer, n_bootstrap=120)
            seen.append(table.set_index("metric").loc["roc_auc", "better"] != "neither")
    assert 0.01 <= np.mean(false) <= 0.10  # .05 ± 3 standard errors of 200 trials
    assert np.mean(found) > 0.8


def test_a_constant_segment_does_not_hide_the_worst_slope(three):
    y, p, segment = three
    flat = p.copy()
    flat[segment == "a"] = 0.3
    for segments, worst in ((segment, "c"), (np.where(segment == "a", "a", "(x)"), "(x)")):
        table = cx.evaluate(y, flat, by={"s": segments}, n_bootstrap=30)
        row = find(table, kind="gap", metric="calibration_slope")
        assert row.segment == worst
        assert np.isfinite(row[["estimate", "low", "high"]].astype(float)).all()
    alone = Sample("roc_auc", np.nan, np.full(9, np.nan))
    assert np.isnan(largest([alone, alone], 0.95)[1:]).all()
