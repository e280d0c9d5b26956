"""Evaluation: hand-computed metrics, scikit-learn as oracle, intervals where the truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, ndtr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from cxpredict.errors import ModelError
from cxpredict.models.evaluation import calibration_table, evaluate, evaluate_scores, interval_table


def value(table, metric, column="estimate"):
    return table.set_index("metric").loc[metric, column]


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 3, 1500).round(2).clip(0.01, 0.99)  # many ties
    return (rng.random(1500) < p).astype(int), p


def test_hand_computed():
    # Sorted by p: 1 0 | 1 | 0 0; pairs (event above non-event): .9 beats 3, .5 beats 2 of 3.
    y, p = [1, 0, 1, 0, 0], [0.9, 0.8, 0.5, 0.3, 0.1]
    table = evaluate(y, p)
    assert value(table, "roc_auc") == pytest.approx(5 / 6)
    assert value(table, "average_precision") == pytest.approx((1 + 2 / 3) / 2)
    assert value(table, "brier") == pytest.approx((0.01 + 0.64 + 0.25 + 0.09 + 0.01) / 5)
    assert value(table, "base_rate") == pytest.approx(0.4)
    assert value(table, "mean_prediction") == pytest.approx(0.52)
    assert value(table, "capture_at_10pct") == pytest.approx(0.25)  # half of the first row
    assert value(table, "lift_at_10pct") == pytest.approx(2.5)


def test_lift_capture_and_capacity_by_hand():
    # 20 rows, events at the places 1, 2, 4 and 11 of the list.
    y = np.zeros(20)
    y[[0, 1, 3, 10]] = 1
    p = np.linspace(0.95, 0.05, 20)
    table = evaluate(y, p, capacity=3, n_bootstrap=20)
    # a hundredth is a fifth of the first row: .2 of one of four events
    for share, captured in [(1, 0.2 / 4), (5, 1 / 4), (10, 2 / 4), (20, 3 / 4)]:
        assert value(table, f"capture_at_{share}pct") == pytest.approx(captured)
        assert value(table, f"lift_at_{share}pct") == pytest.approx(captured / (share / 100))
    assert value(table, "precision_at_capacity") == pytest.approx(2 / 3)
    everyone = evaluate(y, p, capacity=500, n_bootstrap=2)
    assert value(everyone, "precision_at_capacity") == pytest.approx(4 / 20)


def test_ties_at_the_edge_of_the_capacity_count_in_proportion():
    # One row above, three rows tied of which one is an event: 2 places hold 1 + 1/3 events.
    table = evaluate([1, 1, 0, 0, 0], [0.9, 0.5, 0.5, 0.5, 0.1], capacity=2, n_bootstrap=20)
    assert value(table, "precision_at_capacity") == pytest.approx((1 + 1 / 3) / 2)


def test_brier_parts_by_hand():
    # Two predictions, 100 rows each: .2 (30 events) and .6 (55 events); base rate .425.
    y = np.r_[np.ones(30), np.zeros(70), np.ones(55), np.zeros(45)]
    table = evaluate(y, np.repeat([0.2, 0.6], 100), n_bootstrap=20)
    assert value(table, "brier_reliability") == pytest.approx((0.10**2 + 0.05**2) / 2)
    assert value(table, "brier_resolution") == pytest.approx(0.125**2)
    assert value(table, "brier_uncertainty") == pytest.approx(0.425 * 0.575)
    assert value(table, "brier_within_bins") == pytest.approx(0, abs=1e-12)


def test_brier_parts_add_up_and_the_fourth_is_what_stephenson_says():
    rng = np.random.default_rng(5)
    n = 1500  # distinct predictions, weights 1: bins are 15 hundreds by rank
    p = np.sort(rng.beta(1, 3, n))
    y = (rng.random(n) < p).astype(float)
    table = evaluate(y, p, n_bootstrap=2)
    parts = ("reliability", "resolution", "uncertainty", "within_bins")
    rel, res, unc, within = (value(table, f"brier_{part}") for part in parts)
    assert value(table, "brier") == pytest.approx(rel - res + unc + within, abs=1e-12)
    bins_p, bins_y = p.reshape(15, 100), y.reshape(15, 100)
    dp, dy = (b - b.mean(axis=1, keepdims=True) for b in (bins_p, bins_y))
    assert within == pytest.approx((dp**2).mean() - 2 * (dp * dy).mean(), abs=1e-12)
    gap = bins_p.mean(axis=1) - bins_y.mean(axis=1)
    assert rel == pytest.approx((gap**2).mean(), abs=1e-12)


def test_skill_is_zero_for_the_base_rate():
    y = np.r_[np.ones(25), np.zeros(75)]
    table = evaluate(y, np.full(100, 0.25), n_bootstrap=20)
    assert value(table, "log_loss_skill") == pytest.approx(0, abs=1e-12)
    assert value(table, "roc_auc") == 0.5


@pytest.mark.parametrize("capacity", [0, -1, 2.5, True, "all"])
def test_a_capacity_is_a_whole_number_of_rows(sample, capacity):
    with pytest.raises(ModelError, match="capacity: expected a whole number"):
        evaluate(*sample, capacity=capacity)


def test_ece_by_hand():
    # Two predictions, 100 rows each: gaps |.30 − .2| and |.55 − .6|, weighted by one half.
    y = np.r_[np.ones(30), np.zeros(70), np.ones(55), np.zeros(45)]
    p = np.repeat([0.2, 0.6], 100)
    assert value(evaluate(y, p), "ece") == pytest.approx(0.5 * 0.10 + 0.5 * 0.05)


def test_scikit_learn_agrees(sample):
    y, p = sample
    weights = np.random.default_rng(1).uniform(0.5, 2, len(y))
    table = evaluate(y, p, weights=weights, n_bootstrap=2)
    for name, oracle in [
        ("roc_auc", roc_auc_score),
        ("average_precision", average_precision_score),
        ("log_loss", log_loss),
        ("brier", brier_score_loss),
    ]:
        assert value(table, name) == pytest.approx(oracle(y, p, sample_weight=weights), abs=1e-9)
    x = np.log(p / (1 - p))[:, None]
    slope = LogisticRegression(C=np.inf, tol=1e-10).fit(x, y, sample_weight=weights).coef_[0, 0]
    assert value(table, "calibration_slope") == pytest.approx(slope, abs=1e-5)


def test_calibration_slope_and_intercept_find_the_distortion():
    rng = np.random.default_rng(2)
    margin = rng.normal(size=40_000)
    y = rng.random(40_000) < expit(margin)
    over = evaluate(y, expit(2 * margin), n_bootstrap=20)
    assert value(over, "calibration_slope") == pytest.approx(0.5, abs=0.02)
    shifted = evaluate(y, expit(margin - 0.7), n_bootstrap=20)
    assert value(shifted, "calibration_intercept") == pytest.approx(0.7, abs=0.04)


def test_the_slope_is_found_far_from_one():
    """A rate three times as high as predicted and almost no ranking: bare Newton steps cycle."""
    rng = np.random.default_rng(8)
    x = rng.normal(-2.6, 0.8, 1200)
    y = rng.random(1200) < expit(0.15 * x - 0.45)
    row = evaluate(y, expit(x)).set_index("metric").loc["calibration_slope"]
    oracle = LogisticRegression(C=np.inf, tol=1e-10).fit(x[:, None], y).coef_[0, 0]
    assert row["estimate"] == pytest.approx(oracle, abs=1e-4)
    assert row["low"] < row["estimate"] < row["high"]
    assert row["high"] - row["low"] == pytest.approx(
        2 * 1.96 * 0.079, rel=0.25
    )  # 1/√(1200·.21·.64)


def test_row_order_and_duplicated_weights_do_not_matter(sample):
    y, p = sample
    order = np.random.default_rng(3).permutation(len(y))
    straight = evaluate(y, p, n_bootstrap=2)["estimate"]
    np.testing.assert_allclose(evaluate(y[order], p[order], n_bootstrap=2)["estimate"], straight)
    count = np.random.default_rng(4).integers(1, 4, len(y))
    repeated = evaluate(np.repeat(y, count), np.repeat(p, count), n_bootstrap=2)
    weighted = evaluate(y, p, weights=count, n_bootstrap=2)
    np.testing.assert_allclose(repeated["estimate"], weighted["estimate"], rtol=1e-6)


def test_shape_and_reproducibility(sample):
    y, p = sample
    table = evaluate(y, p, n_bootstrap=50)
    assert list(table.columns) == ["metric", "estimate", "low", "high"]
    assert ((table["low"] <= table["estimate"]) & (table["estimate"] <= table["high"])).all()
    pd.testing.assert_frame_equal(table, evaluate(y, p, n_bootstrap=50))
    narrow = evaluate(y, p, n_bootstrap=50, level=0.5)
    assert (narrow["high"] - narrow["low"] < table["high"] - table["low"]).all()


def test_labels_may_be_text(sample):
    y, p = sample
    named = np.where(y == 1, "left", "kept")  # "left" sorts last: the event
    pd.testing.assert_frame_equal(
        evaluate(named, p, n_bootstrap=5), evaluate(y == 1, p, n_bootstrap=5)
    )


@pytest.mark.parametrize("dates", [1, 6])
def test_auc_interval_covers_the_truth_also_with_repeated_customers(dates):
    """Events N(1, 1), others N(0, 1): AUC = Φ(1/√2). Six dates do not make six customers."""
    rng = np.random.default_rng(7)
    truth = ndtr(1 / np.sqrt(2))
    hits, naive = [], []
    for _ in range(60):
        y = rng.random(200) < 0.3
        p = expit(rng.normal(y.astype(float), 1.0))
        index = pd.MultiIndex.from_product(
            [range(200), range(dates)], names=["customer_id", "as_of"]
        )
        y, p = pd.Series(np.repeat(y, dates), index=index), np.repeat(p, dates)
        row = evaluate(y, p, n_bootstrap=150).set_index("metric").loc["roc_auc"]
        hits.append(row["low"] <= truth <= row["high"])
        row = evaluate(y.to_numpy(), p, n_bootstrap=150).set_index("metric").loc["roc_auc"]
        naive.append(row["low"] <= truth <= row["high"])
    assert np.mean(hits) >= 0.87  # 60 trials of .95: 3 standard errors below
    if dates == 6:
        assert np.mean(naive) < 0.8


def test_groups_override_the_index(sample):
    y, p = sample
    index = pd.MultiIndex.from_arrays([np.arange(1500) // 3, np.arange(1500)])
    index.names = ["customer_id", "as_of"]
    by_index = evaluate(pd.Series(y, index=index), p, n_bootstrap=20)
    given = evaluate(y, p, groups=np.arange(1500) // 3, n_bootstrap=20)
    pd.testing.assert_frame_equal(by_index, given)


def test_calibration_table(sample):
    y, p = sample
    table = calibration_table(y, p, n_bins=8)
    assert table["n"].sum() == 1500
    assert (table["n"] * table["observed"]).sum() == pytest.approx(y.sum())
    assert (table["mean_predicted"].diff().dropna() > 0).all()
    assert ((table["low"] <= table["observed"]) & (table["observed"] <= table["high"])).all()


def test_wilson_interval_by_hand():
    # 10 of 100, z = 1.96: (.1 + .0192) / 1.0384 ± 1.96·√(.0009 + .000096) / 1.0384
    table = calibration_table(np.r_[np.ones(10), np.zeros(90)], np.full(100, 0.1), n_bins=1)
    assert table[["low", "high"]].to_numpy()[0] == pytest.approx([0.0552, 0.1744], abs=2e-4)


def test_scores_by_hand():
    # Row 1: all on the right level. Row 2: y = 0, half on 0 and half on 2 → RPS (.5² + .5²)/2.
    proba = pd.DataFrame([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]], columns=[0, 1, 2])
    table = evaluate_scores([1, 0], proba, levels=[0, 1, 2])
    assert value(table, "ranked_probability_score") == pytest.approx(0.125)
    assert value(table, "mean_absolute_error") == pytest.approx(0.5)
    assert value(table, "score_log_loss") == pytest.approx(np.log(2) / 2)


@pytest.mark.parametrize(
    ("y", "p", "message"),
    [
        ([0, 1], [0.2, 0.3, 0.4], r"y has 2 rows and p 3"),
        ([0, 0, 0], [0.1, 0.2, 0.3], r"exactly two outcomes; got 1 \(rows per outcome: 3\)"),
        ([0, 1, 2], [0.1, 0.2, 0.3], r"exactly two outcomes; got 3"),
        ([0, 1, 1], [0.1, 1.2, np.nan], r"2 of 3 values are missing or outside \[0, 1\]"),
        ([0, 1, np.nan], [0.1, 0.2, 0.3], r"1 of 3 outcomes are missing"),
        ([0, 1], [[0.1, 0.9], [0.2, 0.8]], r"predict_proba\(X\)\[:, 1\]"),
        ([0, 1], ["a", "b"], r"p must hold numbers"),
        ([], [], r"two outcomes; got 0"),
        (pd.Series([0, 1], index=[1, 2]), pd.Series([0.1, 0.2], index=[2, 1]), r"same index"),
    ],
)
def test_bad_input_is_refused_with_counts(y, p, message):
    with pytest.raises(ModelError, match=message):
        evaluate(y, p)


def test_bad_weights_groups_and_levels(sample):
    y, p = sample
    with pytest.raises(ModelError, match="1 bad values"):
        evaluate(y, p, weights=np.r_[-1.0, np.ones(1499)])
    with pytest.raises(ModelError, match="weights must hold numbers only"):
        evaluate(y, p, weights=["secret"] * 1500)
    with pytest.raises(ModelError, match="groups has 2 rows"):
        evaluate(y, p, groups=[1, 2])
    with pytest.raises(ModelError, match="at least 2 customers"):
        evaluate(y, p, groups=np.zeros(1500))
    with pytest.raises(ModelError, match="level must be between"):
        evaluate(y, p, level=95)


def test_bad_distributions_are_refused():
    with pytest.raises(ModelError, match="1 of 2 rows are missing, negative or do not sum to 1"):
        evaluate_scores([0, 1], [[0.5, 0.5], [0.5, 0.6]], levels=[0, 1])
    with pytest.raises(ModelError, match="1 of 2 scores are not among the 2 levels"):
        evaluate_scores([0, 7], [[0.5, 0.5], [0.5, 0.5]], levels=[0, 1])
    with pytest.raises(ModelError, match=r"one column per level \(3\)"):
        evaluate_scores([0, 1], [[0.5, 0.5], [0.5, 0.5]], levels=[0, 1, 2])


def test_intervals_are_those_of_the_same_rows_and_hold_their_probability():
    y, p = pd.Series([0, 1, 1, 0]), pd.Series([0.2, 0.3, 0.8, 0.9])
    bounds = pd.DataFrame({"low": p - 0.1, "high": p + 0.1})
    table = interval_table(y, p, bounds, n_bins=2)
    assert table["width"].tolist() == pytest.approx([0.2, 0.2])
    with pytest.raises(ModelError, match="same index"):
        interval_table(y, p, bounds[::-1], n_bins=2)
    with pytest.raises(ModelError, match="low ≤ p ≤ high, 4 of 4"):
        interval_table(y, p, bounds[["high", "low"]], n_bins=2)
    for n_bins in (0, 2.5, True):
        with pytest.raises(ModelError, match="n_bins: expected a whole number"):
            interval_table(y, p, bounds, n_bins=n_bins)
    with pytest.raises(ModelError, match="interval must hold numbers only") as error:
        interval_table(y, p, [["secret", "secret"]] * 4)
    assert "secret" not in str(error.value)


def test_an_outcome_without_weight_is_no_outcome():
    y, p = [0, 1, 0, 1], [0.1, 0.4, 0.3, 0.8]
    with pytest.raises(ModelError, match="all 2 rows with the event have weight 0"):
        evaluate(y, p, weights=[1, 0, 1, 0])
    with pytest.raises(ModelError, match="all 2 rows with the other outcome"):
        evaluate(y, p, weights=[0, 1, 0, 1])


def test_rows_without_weight_are_in_no_bin():
    with np.errstate(all="raise"):
        table = calibration_table(
            [0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8], weights=[1, 1, 0, 0], n_bins=4
        )
        again = interval_table([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8], [[0.0, 1.0]] * 4,
                               weights=[1, 1, 0, 0], n_bins=4)  # fmt: skip
    pd.testing.assert_frame_equal(table, calibration_table([0, 1], [0.1, 0.4], n_bins=4))
    assert again["n"].tolist() == [1, 1]


def test_at_least_one_draw(sample):
    with pytest.raises(ModelError, match="n_bootstrap must be 1 or more"):
        evaluate(*sample, n_bootstrap=0)
