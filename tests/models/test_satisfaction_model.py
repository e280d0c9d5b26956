"""SatisfactionModel: proper distributions, exact explanations, small surveys, real scores."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.datasets import make_blobs
from sklearn.metrics import roc_auc_score

from cxpredict.errors import ModelError
from cxpredict.models.ensemble.trees import hold_feature
from cxpredict.models.evaluation import evaluate, evaluate_scores
from cxpredict.models.satisfaction import SatisfactionModel

LEVELS = [1, 2, 3, 4, 5]


def survey(n, seed):
    """Scores 1–5 from a proportional-odds law: P(score > k) = expit(f(x) − cut_k)."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "wait": rng.gamma(2.0, 2.0, n),
            "channel": rng.choice(["app", "phone", "store"], n),
            "solved": rng.random(n) < 0.7,
        }
    )
    f = 0.5 - 0.4 * X["wait"] + 1.5 * X["solved"] - 0.7 * (X["channel"] == "phone")
    above = expit(f.to_numpy()[:, None] - np.array([-2.5, -1.5, -0.5, 0.8]))
    score = 1 + (rng.random(n)[:, None] < above).sum(axis=1)
    return X, score, np.column_stack([np.ones(n), above]) - np.column_stack([above, np.zeros(n)])


@pytest.fixture(scope="module")
def trained():
    X, score, _ = survey(1200, 0)
    return SatisfactionModel(levels=LEVELS, low_at_most=2, random_state=7).fit(X, score), X, score


def test_risk_is_probability_interval_and_score_in_one_pass(trained):
    model, X, _ = trained
    for given in (X, X[:1], X[:0]):
        risk = model.predict_risk(given, level=0.8)
        assert list(risk) == ["probability", "low", "high", "expected_score"]
        assert risk.index.equals(given.index)
        interval = model.predict_interval(given, level=0.8)
        np.testing.assert_array_equal(risk["probability"], model.low_score_probability(given))
        np.testing.assert_array_equal(risk[["low", "high"]], interval)
        np.testing.assert_array_equal(risk["expected_score"], model.expected_score(given))


def test_close_to_the_true_distribution(trained):
    model = trained[0]
    X, score, truth = survey(4000, 1)
    found = model.predict_proba(X)
    rps = evaluate_scores(score, found, levels=LEVELS, n_bootstrap=2)
    best = evaluate_scores(score, truth, levels=LEVELS, n_bootstrap=2)
    rps, best = (t.set_index("metric")["estimate"] for t in (rps, best))
    assert rps["ranked_probability_score"] < best["ranked_probability_score"] + 0.004
    low, given = model.low_score_probability(X), score <= 2
    ours, truly = (
        evaluate(given, p, n_bootstrap=2).set_index("metric")["estimate"]
        for p in (low, truth[:, :2].sum(axis=1))
    )
    assert ours["roc_auc"] > truly["roc_auc"] - 0.02
    assert ours["ece"] < 0.05
    # Every level is right on the average, not only the low threshold.
    np.testing.assert_allclose(found.mean(axis=0), truth.mean(axis=0), atol=0.04)
    expected = model.expected_score(X)
    assert np.corrcoef(expected, truth @ np.array(LEVELS))[0, 1] > 0.95


def test_proper_distributions_and_consistent_low_probability(trained):
    model, X, _ = trained
    proba = model.predict_proba(X)
    assert proba.shape == (1200, 5)
    assert (proba >= 0).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, atol=1e-12)
    risk = model.low_score_probability(X)
    np.testing.assert_allclose(proba[:, :2].sum(axis=1), risk, atol=1e-12)
    low, high = model.predict_interval(X).T
    assert ((low <= risk) & (risk <= high)).all()
    np.testing.assert_allclose(model.expected_score(X), proba @ np.arange(1, 6))
    assert (model.predict(X) == np.array(LEVELS)[proba.argmax(axis=1)]).all()
    # Calibration never changes the order of customers.
    order = np.argsort(model.low_score_margin(X))
    assert (np.diff(risk[order]) >= 0).all()


def test_uncalibrated_thresholds_are_monotone_by_construction(trained):
    model, X, _ = trained
    codes = model.columns_.encode(X)
    margins = [model.ensemble_.margin(codes, step=k) for k in range(4)]
    assert (np.diff(margins, axis=0) <= 1e-12).all()


def test_contributions_add_up_to_the_margin_of_a_low_score(trained):
    model, X, score = trained
    values, base = model.contributions(X[:300])
    assert values.shape == (300, 3)
    margin = model.low_score_margin(X[:300])
    np.testing.assert_allclose(base + values.sum(axis=1), margin, rtol=0, atol=1e-9)
    assert roc_auc_score(score[:300] <= 2, margin) > 0.6
    # Long waits push towards a low score.
    assert np.corrcoef(values[:, 0], X["wait"][:300])[0, 1] > 0.7


def test_held_threshold_gives_the_same_margin(trained):
    model, X, _ = trained
    codes = model.columns_.encode(X)
    held, whole = model.low_ensemble_, model.ensemble_
    np.testing.assert_allclose(
        held.margin(codes, step=1), whole.margin(codes, step=1), rtol=0, atol=1e-12
    )
    step = str(len(whole.encoding.column_of))
    for text in held.to_state()["boosters"]:
        used = {f for line in text.split("\n") if line.startswith("split_feature=")
                for f in line.partition("=")[2].split()}  # fmt: skip
        assert step not in used


def test_holding_a_feature_by_hand():
    # One split on feature 1 at .5 above one on feature 0 at 2; held at 1 the right leaf is left.
    tree = (
        "0\nnum_leaves=3\nnum_cat=0\nsplit_feature=1 0\nsplit_gain=1 1\nthreshold=0.5 2\n"
        "decision_type=2 2\nleft_child=1 -1\nright_child=-2 -3\nleaf_value=10 20 30\n"
        "leaf_weight=1 1 1\nleaf_count=4 5 6\ninternal_value=0 0\ninternal_weight=0 0\n"
        "internal_count=15 10\nis_linear=0\nshrinkage=1\n\n"
    )
    text = f"tree\nversion=v4\ntree_sizes=99\n\nTree={tree}\nend of trees\n\nparameters:\n"
    left = hold_feature(text, feature=1, value=0.0)
    assert "leaf_value=10 30\n" in left
    assert "split_feature=0\n" in left
    assert "internal_count=10\n" in left
    assert "left_child=-1\nright_child=-2\n" in left
    right = hold_feature(text, feature=1, value=1.0)
    assert "num_leaves=1\n" in right
    assert "leaf_value=20\n" in right


def test_state_through_json_is_bit_equal(trained):
    model, X, _ = trained
    text = json.dumps(model.to_state(), allow_nan=False)
    again = SatisfactionModel.from_state(json.loads(text))
    names = ("predict_proba", "predict", "low_score_margin", "predict_interval", "expected_score")
    for method in names:
        np.testing.assert_array_equal(getattr(again, method)(X), getattr(model, method)(X))
    np.testing.assert_array_equal(again.contributions(X)[0], model.contributions(X)[0])
    assert json.dumps(again.to_state(), allow_nan=False) == text


def test_same_seed_same_model_at_any_number_of_threads():
    X, score, _ = survey(600, 2)  # 2,400 rows once every threshold is asked
    options = {"levels": LEVELS, "low_at_most": 2, "random_state": 1}
    one = SatisfactionModel(n_jobs=1, **options).fit(X, score)
    two = SatisfactionModel(n_jobs=2, **options).fit(X, score)
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_a_small_nps_survey():
    """250 answers, levels that nobody chose, customers asked twice."""
    rng = np.random.default_rng(3)
    index = pd.MultiIndex.from_arrays(
        [np.repeat(np.arange(125), 2).astype(str), np.tile([1, 2], 125)],
        names=["customer_id", "as_of"],
    )
    quality = rng.normal(size=250)
    score = pd.Series(np.clip(np.round(7 + 2 * quality + rng.normal(size=250)), 3, 10), index=index)
    X = pd.DataFrame({"quality": quality, "noise": rng.normal(size=250)}, index=index)
    score.iloc[:20] = np.nan
    model = SatisfactionModel(levels=range(11), low_at_most=6, random_state=0).fit(X, score)
    assert model.n_missing_target_ == 20
    proba = model.predict_proba(X)
    assert proba.shape == (250, 11)
    assert proba[:, :3].sum(axis=1).mean() < 0.03
    assert np.corrcoef(model.expected_score(X), quality)[0, 1] > 0.85
    assert model.predict_proba(X[:0]).shape == (0, 11)


def test_undeclared_levels_and_bad_scales_are_refused(trained):
    _, X, score = trained
    X, score = X[:300], score[:300]
    with pytest.raises(ModelError, match=f"{int((score == 5).sum())} of 300 scores are not among"):
        SatisfactionModel(levels=[1, 2, 3, 4], low_at_most=2).fit(X, score)
    with pytest.raises(ModelError, match="low_at_most must divide"):
        SatisfactionModel(levels=LEVELS, low_at_most=5).fit(X, score)
    with pytest.raises(ModelError, match="ascending"):
        SatisfactionModel(levels=[5, 4, 3, 2, 1], low_at_most=2).fit(X, score)
    with pytest.raises(ModelError, match=r"at least 2 customers.*5: 300"):
        SatisfactionModel(levels=LEVELS, low_at_most=2).fit(X, np.full(300, 5))


def test_defaults_take_levels_from_the_answers(trained):
    _, X, score = trained
    model = SatisfactionModel(random_state=0).fit(X[:300], score[:300].astype(float))
    assert model.classes_.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert model.low_at_most_ == 2.0


@pytest.mark.parametrize("centers", [2, 3])
def test_separated_groups_are_told_apart(centers):
    X, y = make_blobs(n_samples=300, centers=centers, cluster_std=0.1, random_state=0)
    model = SatisfactionModel(random_state=0).fit(X, y)
    assert (model.predict(X) == y).mean() > 0.95


def test_telco_satisfaction(shared_data):
    data = pd.read_parquet(shared_data / "telco_1113_merged.parquet")
    columns = ["Age", "Number of Referrals", "Tenure in Months", "Contract", "Internet Type"]
    columns += ["Monthly Charge", "Number of Dependents", "Payment Method", "Offer"]
    data = data.sample(frac=1.0, random_state=0)
    X, score = data[columns], data["Satisfaction Score"]
    model = SatisfactionModel(levels=LEVELS, low_at_most=2, random_state=0)
    model.fit(X[:2000], score[:2000])
    found = model.predict_proba(X[2000:])
    base = np.tile(score[:2000].value_counts(normalize=True).sort_index(), (len(found), 1))
    options = {"levels": LEVELS, "n_bootstrap": 50}
    ours = evaluate_scores(score[2000:], found, **options).set_index("metric")
    prior = evaluate_scores(score[2000:], base, **options).set_index("metric")
    rps = "ranked_probability_score"
    assert ours.loc[rps, "high"] < 0.9 * prior.loc[rps, "estimate"]
    low = evaluate(score[2000:] <= 2, model.low_score_probability(X[2000:]), n_bootstrap=50)
    low = low.set_index("metric")["estimate"]
    assert low["roc_auc"] > 0.8
    assert low["ece"] < 0.03


def test_expected_nps_of_groups_by_hand_and_against_the_answers():
    rng = np.random.default_rng(0)
    visits = rng.integers(0, 5, 900)
    score = np.clip(4 + visits + rng.integers(-3, 4, 900), 0, 10)
    X = pd.DataFrame({"visits": visits})
    model = SatisfactionModel(levels="nps", effort="fast", random_state=0).fit(X, score)
    assert model.low_at_most_ == 6
    assert model.classes_.tolist() == list(range(11))
    table = model.expected_nps(X, by=visits >= 3).set_index("group")
    share = model.predict_proba(X)
    rows = visits >= 3
    by_hand = 100 * (share[rows, 9:].sum(axis=1) - share[rows, :7].sum(axis=1)).mean()
    assert table.loc[True, "nps"] == pytest.approx(by_hand)
    assert table.loc[True, "n"] == rows.sum()
    parts = table[["detractors", "passives", "promoters"]]
    np.testing.assert_allclose(parts.sum(axis=1), 1.0)
    for group in (False, True):
        answered = score[rows == group]
        nps = 100 * ((answered >= 9).mean() - (answered <= 6).mean())
        assert table.loc[group, "nps"] == pytest.approx(nps, abs=6)
    assert model.expected_nps(X)["group"].tolist() == ["all"]
    weighted = model.expected_nps(X, weights=rows.astype(float))
    assert weighted.loc[0, "nps"] == pytest.approx(by_hand)


def test_scales_by_name(trained):
    _, X, score = trained
    named = SatisfactionModel(levels="csat", effort="fast", random_state=0).fit(
        X[:300], score[:300]
    )
    assert named.classes_.tolist() == LEVELS
    assert named.low_at_most_ == 2
    with pytest.raises(ModelError, match="nps, csat, ces or a sequence of numbers; got 'stars'"):
        SatisfactionModel(levels="stars").fit(X, score)
    with pytest.raises(ModelError, match="NPS needs the levels 0 to 10"):
        named.expected_nps(X)


def test_a_few_hundred_answers_are_enough():
    """150 answers on 11 levels, some of them never given: close to the base rates, no collapse."""
    rng = np.random.default_rng(4)
    wait = rng.integers(0, 10, 150)
    score = np.clip(9 - wait // 2 + rng.integers(-1, 2, 150), 4, 10)
    model = SatisfactionModel(levels="nps", effort="fast", random_state=0)
    proba = model.fit(pd.DataFrame({"wait": wait}), score).predict_proba(
        pd.DataFrame({"wait": wait})
    )
    np.testing.assert_allclose(proba.sum(axis=1), 1.0)
    assert (proba >= 0).all()
    assert proba[:, :4].sum(axis=1).mean() < 0.05
    assert np.abs(proba.mean(axis=0) - np.bincount(score, minlength=11) / 150).max() < 0.08


def test_half_points_are_levels_and_text_is_none():
    rng = np.random.default_rng(0)
    wait = rng.integers(0, 5, 300)
    levels = [1.5, 2.5, 3.5, 4.5, 5.5]
    score = np.array(levels)[4 - wait]
    X = pd.DataFrame({"wait": wait})
    model = SatisfactionModel(levels=levels, effort="fast", random_state=0).fit(X, score)
    assert model.classes_.tolist() == levels
    json.dumps(model.to_state(), allow_nan=False)
    for wrong in (list("abc"), 5, []):
        with pytest.raises(ModelError, match="or a sequence of numbers; got"):
            SatisfactionModel(levels=wrong).fit(X, score)


def test_groups_of_an_expected_nps_must_be_those_of_the_rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"visits": rng.integers(0, 5, 300)})
    score = np.clip(5 + X["visits"] + rng.integers(-2, 3, 300), 0, 10)
    model = SatisfactionModel(levels="nps", effort="fast", random_state=0).fit(X, score)
    group = pd.Series(X["visits"] > 2, X.index)
    with pytest.raises(ModelError, match="by must have the same index"):
        model.expected_nps(X, by=group[::-1])
    with pytest.raises(ModelError, match="300 of 300 values are missing"):
        model.expected_nps(X, weights=np.full(300, np.nan))
    with pytest.raises(ModelError, match="by must have shape"):
        model.expected_nps(X, by=["a"])
