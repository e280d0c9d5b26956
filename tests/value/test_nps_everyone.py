"""NPS of everyone: doubly robust means by hand, a confounded silence, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

import cxpredict as cx
from cxpredict.errors import DataError, ModelError
from cxpredict.value.nps import nps
from cxpredict.value.nps.robust import Case


def world(seed, n=1_000):
    """Return X, everyone's scores, and those of whom answered: happier customers answer more."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"usage": rng.normal(size=n), "waited": rng.normal(size=n)})
    score = (7.8 + 1.2 * X["usage"] - 0.6 * X["waited"] + rng.normal(size=n)).round().clip(0, 10)
    answers = 1 / (1 + np.exp(0.8 - 1.0 * X["usage"] + 0.3 * X["waited"]))
    return X, score, score.where(rng.random(n) < answers)


def points(scores):
    return 100 * ((scores >= 9).mean() - (scores <= 6).mean())


def case(**changes):
    parts = {
        "answered": np.array([True, True, False, False]),
        "x": np.array([1.0, -1.0, 0.0, 0.0]),
        "weight": np.ones(4),
        "customer": np.arange(4),
        "shares": np.tile([0.5, 0.25, 0.25], (4, 1)),
        "propensity": np.full(4, 0.5),
    }
    return Case(**parts | changes)


def test_doubly_robust_mean_by_hand():
    # m = .25 for all; answers 1 and -1 stand for two rows each: residuals .75 and -1.25, mean
    # (2 * .75 - 2 * 1.25) / 4 = -.25, so .25 - .25 = 0. Promoters: .5 + (2 * .5 - 2 * .5) / 4 = .5
    assert list(case().estimate()) == pytest.approx([0.5, 0.0, 0.5])
    # Everyone: each answer errs for one row more, the silent by Var = .75 - .0625 each
    variance = (0.75**2 + 1.25**2 + 2 * (0.75 - 0.0625)) / 16
    assert case().se(rows="everyone") == pytest.approx(np.sqrt(variance))
    # Sample: scores .25 + 1.5, .25 - 2.5, .25, .25 about their mean 0
    variance = (1.75**2 + 2.25**2 + 2 * 0.25**2) / 16
    assert case().se(rows="sample") == pytest.approx(np.sqrt(variance))


def test_when_everyone_answered_only_a_sample_has_an_error():
    x = np.array([1.0] * 50 + [0.0] * 30 + [-1.0] * 20)
    all_of_them = Case(
        np.ones(100, bool), x, np.ones(100), np.arange(100), np.tile([0.2, 0.3, 0.5], (100, 1)),
        np.ones(100),
    )  # fmt: skip
    assert list(all_of_them.estimate()) == pytest.approx([0.5, 0.3, 0.2])
    assert all_of_them.se(rows="everyone") == pytest.approx(0.0)
    # The Wald interval of the fixture: sqrt(.61 / 100)
    assert all_of_them.se(rows="sample") == pytest.approx(np.sqrt(0.61 / 100))


def test_answers_of_one_customer_do_not_count_as_independent():
    alike = case(x=np.array([1.0, 1.0, 0.0, 0.0]), customer=np.array([0, 0, 1, 1]))
    apart = case(x=np.array([1.0, 1.0, 0.0, 0.0]))
    for rows in ("everyone", "sample"):
        assert alike.se(rows=rows) > 1.2 * apart.se(rows=rows)


def test_interval_holds_everyone_where_answers_alone_do_not():
    hits, answers_hit, errors = 0, 0, []
    for seed in range(6):
        X, score, answers = world(seed)
        result = cx.nps_of_everyone(X, answers, outcome=LogisticRegression(), random_state=seed)
        row, alone = result.table().loc["all"], result.answers_only.loc["all"]
        truth = points(score)
        hits += row["low"] <= truth <= row["high"]
        answers_hit += alone["low"] <= truth <= alone["high"]
        errors.append(row["estimate"] - truth)
    # 95 % with 6 repetitions: fewer than 4 hits have a probability of .2 %
    assert hits >= 4
    assert answers_hit <= 1
    assert abs(np.mean(errors)) < 4


def test_same_seed_same_result():
    X, _, answers = world(0, n=400)
    one, two = (
        cx.nps_of_everyone(X, answers, outcome=LogisticRegression(), random_state=1).comparison()
        for _ in range(2)
    )
    pd.testing.assert_frame_equal(one, two)


def test_outcome_model_may_know_nothing():
    X, score, answers = world(3, n=3_000)
    result = cx.nps_of_everyone(X, answers, outcome=DummyClassifier(), random_state=0)
    row = result.table().loc["all"]
    assert (
        abs(row["estimate"] - points(score))
        < 3 * row["se"]
        < 0.5 * abs(points(answers.dropna()) - points(score))
    )


def test_parts_of_the_result_agree():
    X, _, answers = world(0)
    by = pd.Series(np.where(X["usage"] > 0.5, "heavy", "light"), name="use")
    by[:150] = "new"
    result = cx.nps_of_everyone(
        X, answers, by=by, outcome=LogisticRegression(), rows="sample", random_state=0
    )
    table = result.table()
    assert table.index.name == "use"
    assert table["n"].sum() == len(X)
    assert table["answered"].sum() == answers.notna().sum()
    balance = table["promoters"] - table["detractors"]
    assert list(100 * balance) == pytest.approx(list(table["estimate"]))
    assert (table["low"] < table["estimate"]).all()
    predicted = result.predicted
    assert predicted.index.equals(X.index)
    assert predicted.iloc[:, :3].sum(axis=1).to_numpy() == pytest.approx(1)
    assert predicted["propensity"].mean() == pytest.approx(answers.notna().mean(), abs=0.03)
    after = result.balance.set_index("feature")["after"].abs()
    assert (after < result.balance.set_index("feature")["before"].abs()).all()
    comparison = result.comparison()
    assert comparison.index.names == ["use", "speaks of"]
    assert list(comparison.loc["heavy"].index) == ["answers only", "weighted answers", "everyone"]
    expected = nps(answers, by=by).loc["light", "estimate"]
    assert comparison.loc[("light", "answers only"), "estimate"] == pytest.approx(expected)


def test_groups_of_few_answers_are_hidden_with_one_more():
    X, _, answers = world(0)
    by = np.full(len(X), "largest")
    by[answers.notna().cumsum() <= 5] = "tiny"
    by[-300:] = "middle"
    table = cx.nps_of_everyone(
        X, answers, by=by, outcome=LogisticRegression(), random_state=0
    ).table()
    assert table["suppressed"].to_dict() == {"largest": False, "middle": True, "tiny": True}
    assert table.loc["tiny"].drop("suppressed").isna().all()


def test_default_model_and_repeated_customers():
    X, score, answers = world(1, n=400)
    X.index = pd.MultiIndex.from_arrays(
        [np.arange(400) // 2, np.arange(400)], names=["customer_id", "as_of"]
    )
    answers.index = X.index
    row = cx.nps_of_everyone(X, answers, folds=2, random_state=0).table().loc["all"]
    assert abs(row["estimate"] - points(score)) < 3 * row["se"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda X, y: (X, y[:50]), "different indexes"),
        (lambda X, y: (X, y.to_numpy()[:50]), "expected 1000"),
        (lambda X, y: (X, y.where(y.notna().cumsum() < 90)), "100 customers who answered"),
        (lambda X, y: (X, y.fillna(8)), "30 rows without an answer"),
        (lambda X, y: (X, y.clip(lower=8)), r"10 customers who are detractors \(there are 0\)"),
        (lambda X, y: (X, y.replace(10, 11)), "outside"),
        (lambda X, y: (X.assign(t=pd.Timestamp("2024-01-01")), y), "t is datetime64"),
        (lambda X, y: (X.set_axis([0] * 1000), y.set_axis([0] * 1000)), "repeat the index"),
        (lambda X, y: (X.assign(usage=np.inf), y), "infinite"),
    ],
)
def test_bad_input_is_refused(change, told):
    X, _, answers = world(0)
    with pytest.raises(DataError, match=told):
        cx.nps_of_everyone(*change(X, answers), outcome=DummyClassifier())


@pytest.mark.parametrize("settings", [{"rows": "all"}, {"folds": 1}, {"folds": 50}, {"level": 95}])
def test_bad_settings_are_refused(settings):
    X, _, answers = world(0)
    with pytest.raises(DataError, match="expected"):
        cx.nps_of_everyone(X, answers, outcome=DummyClassifier(), **settings)


def test_customers_who_never_answer_are_not_spoken_for():
    X, _, answers = world(0, n=3_000)
    answers = answers.where(X["usage"] > 0.2)
    with pytest.raises(DataError, match="no answers stand for them"):
        cx.nps_of_everyone(X, answers, outcome=DummyClassifier(), random_state=0)


def test_a_model_of_other_classes_is_refused():
    class Scores(DummyClassifier):
        def fit(self, X, y):
            return super().fit(X, y + 7)

    X, _, answers = world(0)
    with pytest.raises(ModelError, match="levels="):
        cx.nps_of_everyone(X, answers, outcome=Scores(), random_state=0)
