"""Comments of a log as features, learnt before a date and read the same way later."""

import json

import ibis
import numpy as np
import pandas as pd
import pytest

import cxpredict as cx
from cxpredict.config.features import CommentSettings, FeatureSettings
from cxpredict.config.reading import check_settings
from cxpredict.errors import ConfigError, DataError, ModelError
from cxpredict.features.aggregates import aggregates_of
from cxpredict.features.audit.future import other_future
from cxpredict.features.text.tagger import part_of

UNTIL = pd.Timestamp("2025-06-01")
BOOK = {"waiting": ["wait*", "hours"], "failures": ["outage*", "fail*"], "price": ["price*"]}


@pytest.fixture(scope="module")
def tagger(company):
    return cx.CommentTagger(codebook=BOOK).fit(company.log, until=UNTIL)


@pytest.fixture(scope="module")
def tagged(company, tagger):
    return tagger.tag(company.log)


def small_log(comments, scores, *, known_at=None, customers=None):
    n = len(comments)
    frame = pd.DataFrame(
        {
            "customer_id": customers or [f"c{i}" for i in range(n)],
            "occurred_at": pd.date_range("2024-01-01", periods=n, freq="h"),
            "metric": "csat",
            "score": scores,
            "comment": comments,
        }
    )
    if known_at is not None:
        frame["known_at"] = known_at
    return cx.CustomerLog.from_frames(feedback=frame)


def opinions(n):
    words = [("great", 5), ("awful", 1), ("nice", 4), ("bad", 2)]
    rows = [
        (f"{words[i % 4][0]} thing {'abcdefgh'[i // 4 % 8]}", words[i % 4][1]) for i in range(n)
    ]
    return [text for text, _ in rows], [score for _, score in rows]


def test_tags_stand_beside_the_rows_they_belong_to(company, tagged):
    before = company.log.feedback.order_by("customer_id", "occurred_at", "metric").to_pandas()
    after = tagged.feedback.order_by("customer_id", "occurred_at", "metric").to_pandas()
    pd.testing.assert_frame_equal(before, after[before.columns])
    assert after["sentiment"].notna().equals(after["comment"].notna())
    assert after["sentiment"].dropna().between(0, 1).all()
    happy = after[after["metric"] == "nps"].groupby("score")["sentiment"].mean()
    assert happy[10] > 0.6 > 0.4 > happy[2]
    price = after["theme"] == "price"
    assert price.any()
    assert after.loc[price, "comment"].str.contains("rice").all()


def test_features_of_tags_are_means_and_counts_worked_out_by_hand(tagged):
    feedback = tagged.feedback.to_pandas()
    known = feedback[feedback[["occurred_at", "known_at"]].max(axis=1) < UNTIL]
    recent = known[(known["occurred_at"] >= UNTIL - pd.Timedelta(days=90)) & known["score"].notna()]
    aggregates = cx.default_aggregates(tagged, until=UNTIL, windows_days=[90])
    names = {origin.name for origin in aggregates}
    assert {"feedback_sentiment_mean_90d", "feedback_sentiment_last", "price_count_90d"} <= names
    who = tagged.customers.customer_id.to_pandas()
    index = pd.MultiIndex.from_product([who, [UNTIL]], names=["customer_id", "as_of"])
    X = cx.build_features(tagged, index, aggregates=aggregates).droplevel("as_of")
    expected = recent.groupby("customer_id")["sentiment"].mean().reindex(who)
    np.testing.assert_allclose(X["feedback_sentiment_mean_90d"], expected.to_numpy())
    expected = (recent["theme"] == "price").groupby(recent["customer_id"]).sum()
    expected = expected.reindex(who).fillna(0)
    np.testing.assert_array_equal(X["price_count_90d"], expected.to_numpy())


def test_no_feature_of_a_tag_sees_the_future(company, tagger, tagged):
    who = tagged.customers.customer_id.to_pandas().iloc[:300]
    index = pd.MultiIndex.from_product([who, [UNTIL]], names=["customer_id", "as_of"])
    aggregates = cx.default_aggregates(tagged, until=UNTIL, windows_days=[90])
    aggregates = [origin for origin in aggregates if origin.source == "feedback"]
    X = cx.build_features(tagged, index, aggregates=aggregates)
    other = other_future(company.log, UNTIL)
    again = cx.CommentTagger(codebook=BOOK).fit(other, until=UNTIL)
    assert json.dumps(again.to_state()) == json.dumps(tagger.to_state())
    pd.testing.assert_frame_equal(
        X, cx.build_features(again.tag(other), index, aggregates=aggregates)
    )


def test_a_late_comment_is_not_learnt_from_before_it_is_known():
    comments, scores = opinions(64)
    on_time, late = pd.Timestamp("2024-01-10"), pd.Timestamp("2024-03-01")
    known = [late if i >= 48 else on_time for i in range(64)]
    log = small_log(comments, scores, known_at=known)
    first = small_log(comments[:48], scores[:48])
    fitted = [cx.CommentTagger().fit(each, until="2024-02-01") for each in (log, first)]
    assert fitted[0].to_state() == fitted[1].to_state()
    assert sum(m.n_comments_ for m in fitted[0].sentiments_) == 3 * 48


def test_the_sentiment_of_a_comment_does_not_remember_the_score_beside_it():
    comments, scores = opinions(96)
    customers = [f"c{i}" for i in range(96)]
    pairs = zip(scores, customers, strict=True)
    other = [6 - score if part_of(name) == 0 else score for score, name in pairs]
    tags = []
    for given in (scores, other):
        log = small_log(comments, given, customers=customers)
        feedback = cx.CommentTagger().fit(log, until="2025-01-01").tag(log).feedback.to_pandas()
        tags.append(feedback.set_index("customer_id")["sentiment"])
    mine = tags[0].index.map(part_of) == 0
    pd.testing.assert_series_equal(tags[0][mine], tags[1][mine])
    assert not np.allclose(tags[0][~mine], tags[1][~mine])


def test_a_tagger_from_json_tags_the_same(company, tagger, tagged):
    state = json.loads(json.dumps(tagger.to_state(), allow_nan=False))
    loaded = cx.CommentTagger.from_state(state).tag(company.log)
    order = ["customer_id", "occurred_at", "metric"]
    pd.testing.assert_frame_equal(
        tagged.feedback.order_by(order).to_pandas(), loaded.feedback.order_by(order).to_pandas()
    )
    twice = tagger.tag(tagged)
    assert twice.feedback.columns == tagged.feedback.columns
    with pytest.raises(ModelError, match="CommentTagger"):
        cx.CommentTagger.from_state({"model": "ChurnModel"})


def test_corrected_comments_are_tagged_in_every_version():
    comments, scores = opinions(48)
    frame = small_log(comments, scores).feedback.to_pandas()
    frame["event_id"] = [f"e{i}" for i in range(48)]
    again = frame.iloc[:1].assign(comment="awful awful thing", known_at=pd.Timestamp("2024-02-01"))
    log = cx.CustomerLog.from_frames(feedback=pd.concat([frame, again], ignore_index=True))
    tagged = cx.CommentTagger().fit(log, until="2024-03-01").tag(log)
    versions = tagged.versions["feedback"].to_pandas()
    mine = versions[versions["event_id"] == "e0"].sort_values("version")["sentiment"].tolist()
    assert len(mine) == 2
    assert mine[0] > mine[1]


def test_labelled_examples_teach_the_themes(company):
    examples = pd.DataFrame(
        {"comment": [f"price {c}" for c in "abcdefghij"] + [f"wait {c}" for c in "abcdefghij"],
         "theme": ["price"] * 10 + ["waiting"] * 10}
    )  # fmt: skip
    tagger = cx.CommentTagger().fit(company.log, until=UNTIL, examples=examples)
    assert tagger.themes_.measured_ is True
    assert any("precision" in note for note in tagger.notes())
    with pytest.raises(DataError, match="theme is missing"):
        cx.CommentTagger().fit(company.log, until=UNTIL, examples=examples[["comment"]])


@pytest.mark.parametrize(
    ("comments", "scores", "found"),
    [
        (["good one", "bad one"], [5, 1], "found 1 and 1"),
        ([None, "n/a"], [5, 1], "found 0 and 0"),
        ([f"word{chr(97 + i)}" for i in range(9)], [5, 1] * 4 + [5], "found 4 and 5"),
    ],
)
def test_with_too_few_comments_there_is_no_sentiment_and_a_note_with_counts(
    comments, scores, found
):
    log = small_log(comments, scores)
    tagger = cx.CommentTagger().fit(log, until="2025-01-01")
    assert tagger.notes()[0].startswith("No features of sentiment were made")
    assert found in tagger.notes()[0]
    again = cx.CommentTagger.from_state(json.loads(json.dumps(tagger.to_state())))
    assert again.notes() == tagger.notes()
    assert again.tag(log).feedback.to_pandas()["sentiment"].isna().all()


@pytest.mark.parametrize("seed", range(4))
def test_fifty_comments_with_six_low_ones_are_enough(seed):
    rng = np.random.default_rng(seed)
    low = rng.permutation(np.arange(50) < 6)
    said = [f"{'awful' if bad else 'great'} {'abcdefgh'[i % 8]}" for i, bad in enumerate(low)]
    log = small_log(said, [1 if bad else 5 for bad in low])
    tagger = cx.CommentTagger().fit(log, until="2025-01-01")
    assert "from 50 comments" in tagger.notes()[0]
    feedback = tagger.tag(log).feedback.to_pandas()
    means = feedback.groupby("score")["sentiment"].mean()
    assert means[5] > means[1]


def test_low_scores_of_one_customer_teach_no_sentiment():
    comments, scores = opinions(60)
    customers = ["grumpy" if score <= 2 else f"c{i}" for i, score in enumerate(scores)]
    tagger = cx.CommentTagger().fit(
        small_log(comments, scores, customers=customers), until="2025-01-01"
    )
    assert "30 and 30 comments, most of one side" in tagger.notes()[0]


def test_what_one_customer_writes_twice_is_in_no_state():
    comments, scores = opinions(64)
    log = small_log(
        [*comments, "awful zebra", "awful zebra"],
        [*scores, 1, 1],
        customers=[f"c{i}" for i in range(64)] + ["z", "z"],
    )
    book = {"things": ["thing"]}
    state = json.dumps(cx.CommentTagger(codebook=book).fit(log, until="2025-01-01").to_state())
    assert "zeb" not in state
    assert "awful" in state


def test_a_run_declares_comments_and_aggregates_of_themes(tagged):
    settings = check_settings(CommentSettings, {"codebook": {"price": ["expensive"]}})
    assert settings.precision == 0.85
    with pytest.raises(ConfigError, match="codebook"):
        check_settings(CommentSettings, {"codebook": {"price": []}})
    declared = {
        "aggregates": [
            {"table": "feedback", "measure": "count", "theme": "price", "windows_days": [30]},
            {"table": "feedback", "measure": "min", "column": "sentiment"},
        ],
        "defaults": False,
    }
    found = aggregates_of(tagged, check_settings(FeatureSettings, declared), until=UNTIL)
    assert [o.name for o in found] == ["price_count_30d", "feedback_sentiment_min"]
    wrong = {"table": "interactions", "measure": "count", "theme": "price"}
    with pytest.raises(ConfigError, match="theme"):
        check_settings(FeatureSettings, {"aggregates": [wrong]})


def test_a_log_without_tags_has_no_features_of_them(company):
    found = cx.default_aggregates(company.log, until=UNTIL)
    assert not [origin for origin in found if origin.column == "sentiment"]


def test_an_empty_log_is_tagged_with_nothing(tagger):
    empty = cx.CustomerLog.from_tables(
        interactions=ibis.memtable(
            {"customer_id": ["a"], "occurred_at": [pd.Timestamp("2024-01-01")], "kind": ["call"]}
        )
    )
    assert tagger.tag(empty).feedback.count().execute() == 0
