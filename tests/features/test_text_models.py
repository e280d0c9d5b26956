"""Sentiment from scores, themes that abstain, discovered themes."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

import cxpredict as cx
from cxpredict.errors import ConfigError, DataError, ModelError
from cxpredict.features.text.abstain import NEVER, measured, threshold, thresholds, wilson
from cxpredict.features.text.codebook import Codebook
from cxpredict.features.text.linear import Calibrator, folds_of
from cxpredict.features.text.vectors import Vocabulary, prepare, tfidf, weights

WORDS = {
    "en": (["good", "great", "friendly", "quick"], ["bad", "late", "rude", "broken"]),
    "pt": (["ótimo", "rápido", "gostei", "lindo"], ["péssimo", "atrasado", "quebrado", "ruim"]),
    "ja": (["良い", "早い", "親切", "最高"], ["悪い", "遅い", "壊れた", "最悪"]),
    "ar": (["جيد", "سريع", "ممتاز", "رائع"], ["سيء", "متأخر", "مكسور", "بطيء"]),
}
THINGS = ["A", "B", "C", "D", "E", "F"]


def survey(n, *, seed=0, language="en", noise=0.1):
    """Draw comments whose words tell the score, but for some noise."""
    rng = np.random.default_rng(seed)
    low = rng.random(n) < 0.4
    spoken = low ^ (rng.random(n) < noise)
    gap = "" if language == "ja" else " "
    pick = rng.integers(0, 4, (n, 2))
    comments = [
        gap.join([WORDS[language][int(bad)][a], rng.choice(THINGS), WORDS[language][int(bad)][b]])
        for bad, (a, b) in zip(spoken, pick, strict=True)
    ]
    return comments, np.where(low, rng.integers(1, 3, n), rng.integers(3, 6, n))


def themed(n, *, seed=0, noise=0.0):
    """Draw comments of three themes; some are labelled at random."""
    rng = np.random.default_rng(seed)
    words = {
        "delivery": ["parcel", "courier", "late", "arrived"],
        "price": ["expensive", "cost", "cheap", "money"],
        "staff": ["rude", "agent", "polite", "service"],
    }
    names = list(words)
    truth = rng.integers(0, 3, n)
    comments = [
        f"{rng.choice(words[names[t]])} {rng.choice(THINGS)} {rng.choice(words[names[t]])} here"
        for t in truth
    ]
    wrong = rng.random(n) < noise
    label = np.where(wrong, rng.integers(0, 3, n), truth)
    return comments, [names[code] for code in label], np.array([names[t] for t in truth])


def through_json(state):
    return json.loads(json.dumps(state, allow_nan=False))


# --- parts, by hand -----------------------------------------------------------------------------


def test_words_are_weighed_as_scikit_learn_does():
    texts = ["late late bus", "late train", "bus bus train"]
    vocabulary = Vocabulary.learn(texts)
    counts = vocabulary.count(texts)
    words = vocabulary.terms[0]
    assert words == ["bus", "late", "train"]
    # each word stands in 2 of 3 comments: ln(4 / 3) + 1; "late" twice counts 1 + ln 2
    rarity = round(np.log(4 / 3) + 1, 4)
    assert weights(counts)[0].tolist() == [rarity] * 3
    bus, late = 1.0, 1 + np.log(2)
    row = tfidf(counts, weights(counts)).toarray()[0, :3]
    np.testing.assert_allclose(row, [bus / np.hypot(bus, late), late / np.hypot(bus, late), 0])


def test_what_a_single_comment_holds_is_not_stored():
    texts = [prepare(t) for t in ["call ana@b.org in room 4711", "call bob@b.org in room 12", "x"]]
    terms = " ".join(
        term for block in Vocabulary.learn(texts, np.arange(3)).terms for term in block
    )
    assert "email" in terms
    assert not any(secret in terms for secret in ("ana", "bob", "4", "7", "1", "2"))


def test_wilson_interval_of_the_textbook():
    low, high = wilson(np.array([8.0]), np.array([10.0]), level=0.95)
    z2 = 1.959964**2
    middle = (0.8 + z2 / 20) / (1 + z2 / 10)
    half = np.sqrt(z2) / (1 + z2 / 10) * np.sqrt(0.8 * 0.2 / 10 + z2 / 400)
    np.testing.assert_allclose([low[0], high[0]], [middle - half, middle + half], rtol=1e-6)


def test_without_an_error_85_percent_takes_16_right_ones():
    # lower bound of n right of n is n / (n + z²) with z = 1.6449: n >= .85 / .15 z² = 15.33
    confidence = np.linspace(1, 0.5, 16)
    assert threshold(confidence[:15], np.ones(15, bool), precision=0.85) == NEVER
    assert threshold(confidence, np.ones(16, bool), precision=0.85) == 0.5


def test_a_bad_theme_does_not_hide_behind_a_good_one():
    confidence = np.concatenate([np.linspace(1, 0.5, 300), np.linspace(1, 0.5, 20)])
    guess = np.repeat([0, 1], [300, 20])
    right = np.concatenate([np.ones(300, bool), np.arange(20) < 8])
    found = thresholds(guess, confidence, right, precision=0.85, k=2)
    assert found[0] == 0.5
    # 8 right, then wrong ones; with half of each added (8 + .5) / (9 + 1) = .85, then .77
    assert found[1] == confidence[308]


def test_measures_are_counts():
    truth, guess = np.array([0, 0, 1, -1, 1]), np.array([0, 1, 1, 1, 0])
    tagged = np.array([True, True, True, True, False])
    first, second, total = measured(["a", "b"], truth, guess, tagged, level=0.95)
    assert (first["examples"], first["tagged"], first["precision"]) == (2, 1, 1.0)
    assert first["coverage"] == 0.5  # one of the two examples of a is tagged a
    assert (second["tagged"], second["precision"]) == (3, 1 / 3)
    assert (total["examples"], total["tagged"], total["precision"]) == (5, 4, 0.5)
    assert total["coverage"] == 0.8


def test_a_calibrator_believes_log_odds_where_it_knows_no_better():
    believed = Calibrator.fit(np.array([[2.0, 2.0]] * 3), np.ones(3, bool))
    low, high = believed.probability(np.array([[-3.0, -3.0], [3.0, 3.0]]))
    assert low < 0.2 < 0.8 < high


def test_folds_keep_groups_together_and_share_out_labels():
    labels, groups = np.repeat([0, 1], [80, 20]), np.arange(100) // 2
    fold = folds_of(labels, groups, k=5, seed=3)
    assert all(len(set(fold[groups == g])) == 1 for g in range(50))
    assert [int(labels[fold == k].sum()) for k in range(5)] == [4] * 5


def test_seed_words_know_endings_phrases_and_scripts():
    book = Codebook({"delivery": ["Entreg*", "chegou tarde"], "speed": ["遅い", "lent"]})
    hits = book.hits(["ENTREGUE", "não chegou  tarde", "本当に遅いです", "lentement", "Lent!"])
    assert hits.tolist() == [
        [True, False], [True, False], [False, True], [False, False], [False, True],
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="price"):
        Codebook({"price": []})
    with pytest.raises(ConfigError, match="list of words"):
        Codebook({"price": "cheap"})


# --- simulations --------------------------------------------------------------------------------


def test_the_threshold_keeps_its_promise_in_19_of_20_samples():
    # confidence uniform on (.5, 1) and true: above t the precision is (1 + t) / 2, .85 at t = .7
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        confidence = rng.uniform(0.5, 1, 800)
        found.append(threshold(confidence, rng.random(800) < confidence, precision=0.85))
    precision = (1 + np.minimum(found, 1)) / 2
    assert np.mean(precision >= 0.85) > 0.88  # the best of many cuts costs some of the 95 %
    assert np.quantile(precision, 0.01) > 0.83
    assert np.median(found) < 0.8


@pytest.mark.parametrize("language", WORDS)
def test_fifty_comments_of_any_language_are_enough_for_sentiment(language):
    comments, score = survey(50, language=language)
    model = cx.CommentSentiment(low_at_most=2).fit(comments, score)
    new, truth = survey(400, seed=1, language=language, noise=0)
    assert roc_auc_score(truth <= 2, model.low_probability(new)) > 0.9


def test_sentiment_is_calibrated_and_out_of_fold_values_are_honest():
    comments, score = survey(1_500)
    model = cx.CommentSentiment(low_at_most=2).fit(comments, score)
    new, truth = survey(3_000, seed=1)
    low, was_low = model.low_probability(new), truth <= 2
    assert abs(low.mean() - was_low.mean()) < 0.03
    # the words are right in 90 % of comments: no forecast has a Brier score below .9 * .1
    assert 0.08 < np.mean((low - was_low) ** 2) < 0.11
    random = np.random.default_rng(0).permutation(score)
    blind = cx.CommentSentiment(low_at_most=2).fit(comments, random)
    assert 0.44 < roc_auc_score(random <= 2, blind.out_of_fold_) < 0.56


def test_themes_hold_their_precision_on_new_comments():
    comments, label, _ = themed(600, noise=0.2)
    model = cx.CommentThemes(precision=0.8).fit(comments, label)
    new, label, truth = themed(2_000, seed=1, noise=0.2)
    tags = model.predict(new)
    tagged = tags["theme"].notna()
    assert np.mean(tags["theme"][tagged] == np.array(label)[tagged]) > 0.78
    assert np.mean(tags["theme"][tagged] == truth[tagged]) > 0.97
    row = model.table().set_index("theme").loc["all"]
    assert row["low"] <= row["precision"] <= row["high"]


def test_labels_that_say_nothing_are_never_given():
    comments, label, _ = themed(300)
    label = list(np.random.default_rng(0).permutation(label))
    model = cx.CommentThemes().fit(comments, label)
    assert model.predict(comments)["theme"].isna().all()
    assert model.table()["tagged"].sum() == 0


def test_fifty_labelled_comments_can_be_enough_for_themes():
    comments, label, _ = themed(50)
    tags = cx.CommentThemes().fit(comments, label).predict(themed(200, seed=1)[0])
    assert tags["theme"].notna().mean() > 0.5
    assert np.mean(tags["guess"] == themed(200, seed=1)[2]) > 0.95


def test_seed_words_alone_tag_but_claim_no_precision():
    comments, _, truth = themed(120)
    book = {"delivery": ["parcel", "courier", "late"], "price": ["expens*", "cheap", "cost"]}
    model = cx.CommentThemes(codebook=book).fit([*comments, "n/a", None])
    assert model.measured_ is False
    assert model.table()[["precision", "low", "high"]].isna().all(axis=None)
    tags = model.predict(comments)["theme"]
    assert tags.notna().mean() > 0.4
    known = tags.notna().to_numpy()
    assert np.mean(tags.to_numpy()[known] == truth[known]) > 0.95


# --- contracts ----------------------------------------------------------------------------------


def test_models_survive_json_bit_for_bit_and_are_the_same_every_time():
    comments, score = survey(120)
    first = cx.CommentSentiment(low_at_most=2).fit(comments, score)
    again = clone(first).fit(comments, score)
    loaded = cx.CommentSentiment.from_state(through_json(first.to_state()))
    for other in (again, loaded):
        np.testing.assert_array_equal(
            first.low_probability(comments), other.low_probability(comments)
        )
    comments, label, _ = themed(150, noise=0.1)
    book = {"price": ["cost"], "staff": ["agent"], "delivery": ["parcel"]}
    tags = cx.CommentThemes(codebook=book).fit(comments, label)
    loaded = cx.CommentThemes.from_state(through_json(tags.to_state()))
    pd.testing.assert_frame_equal(tags.predict(comments), loaded.predict(comments))
    pd.testing.assert_frame_equal(tags.table(), loaded.table())
    with pytest.raises(ModelError, match="CommentSentiment"):
        cx.CommentThemes.from_state(first.to_state())


def test_comments_that_say_nothing_stay_missing():
    comments, score = survey(60)
    model = cx.CommentSentiment(low_at_most=2).fit([*comments, "n/a", None], [*score, 1, 1])
    assert model.n_comments_ == 60
    assert np.isnan(model.low_probability(["-", None, "ok"])).all()
    assert len(model.low_probability([])) == 0
    comments, label, _ = themed(60)
    tags = cx.CommentThemes().fit(comments, label).predict(pd.Series(["-", None], index=[7, 8]))
    assert tags.index.tolist() == [7, 8]
    assert tags.isna().all(axis=None)


def test_a_comment_without_a_known_word_gets_no_theme():
    comments, label, _ = themed(90)
    tags = cx.CommentThemes().fit(comments, label).predict(["ㄱㄴㄷ ㄹㅁㅂ"])
    assert tags["theme"].isna().all()
    assert tags["guess"].isna().all()


def test_errors_say_what_is_wrong_and_never_what_a_customer_wrote():
    with pytest.raises(ModelError, match="found 0 and 6"):
        cx.CommentSentiment(low_at_most=2).fit(["secret words"] * 6, [5] * 6)
    with pytest.raises(DataError, match="low_at_most"):
        cx.CommentSentiment().fit(["secret words"] * 2, [5, 1])
    with pytest.raises(DataError, match=r"\(2\), found 1"):
        cx.CommentSentiment().fit(["secret words"] * 2, [1])
    with pytest.raises(ConfigError, match="seed words"):
        cx.CommentThemes().fit(["secret words"])
    with pytest.raises(ConfigError, match="precision"):
        cx.CommentThemes(precision=85).fit(["secret"], ["a"])
    with pytest.raises(ModelError, match="at most 2 of 4") as error:
        cx.CommentThemes().fit(["secret one", "secret two"] * 2, ["a", "b"] * 2)
    assert "secret" not in str(error.value)


def test_a_label_must_be_a_theme_of_the_codebook_and_an_empty_one_is_none():
    comments, label, _ = themed(60)
    book = {"price": ["cost"], "staff": ["agent"], "delivery": ["parcel"]}
    with pytest.raises(ConfigError, match=r"'prize', did you mean 'price'.*row 61") as error:
        cx.CommentThemes(codebook=book).fit([*comments, "a b", "c d"], [*label, "prize", "Bo Oz"])
    assert "found 2 other labels" in str(error.value)
    assert "Bo" not in str(error.value)
    model = cx.CommentThemes().fit([*comments, "so so", "so what"], [*label, "", " "])
    assert model.table()["examples"].iloc[-1] == 60


def test_a_word_of_two_themes_is_refused():
    with pytest.raises(ConfigError, match="'Hotline' stands under 'staff' and under 'phone'"):
        Codebook({"staff": ["hotline"], "phone": ["Hotline", "call"]})


def test_what_one_customer_writes_is_not_stored_however_often():
    texts = ["good room", "good food", "bad zebra", "bad zebra"]
    terms = Vocabulary.learn(texts).terms[0]
    assert (terms, Vocabulary.learn(texts, np.array([0, 1, 2, 3])).terms[0]) == (
        ["good"], ["bad", "bad zebra", "good", "zebra"],
    )  # fmt: skip
    comments, score = survey(60)
    said = [*comments, "awful zebra", "zebra!", "zebra: awful"]
    model = cx.CommentSentiment(low_at_most=2)
    model.fit(said, [*score, 1, 1, 1], groups=[*range(60), "c", "c", "c"])
    assert not any("zebr" in term for block in model.vocabulary_.terms for term in block)
    shown = {"groups": [*range(60), "c", "c", "c"], "n_themes": 3}
    found = cx.discover_themes(said, **shown)
    assert "zebra" not in {word for words in found["words"] for word in words}


def test_the_order_of_rows_does_not_matter():
    comments, score = survey(90)
    customers = [None if i % 9 == 0 else i // 2 for i in range(90)]
    order = np.random.default_rng(0).permutation(90)
    first, other = (
        cx.CommentSentiment(low_at_most=2).fit(
            [comments[i] for i in rows], [score[i] for i in rows], [customers[i] for i in rows]
        )
        for rows in (range(90), order)
    )
    assert first.to_state() == other.to_state()
    np.testing.assert_array_equal(first.out_of_fold_[order], other.out_of_fold_)
    comments, label, _ = themed(90, noise=0.2)
    first, other = (
        cx.CommentThemes().fit([comments[i] for i in rows], [label[i] for i in rows])
        for rows in (range(90), order)
    )
    assert first.to_state() == other.to_state()


def test_customers_are_as_many_as_comments_and_a_missing_one_stands_alone():
    comments, score = survey(60)
    themes, label, _ = themed(60)
    for model, X, y in [
        (cx.CommentSentiment(low_at_most=2), comments, score),
        (cx.CommentThemes(), themes, label),
    ]:
        with pytest.raises(ModelError, match=r"as many groups as comments \(60\), found 2"):
            model.fit(X, y, groups=["a", "b"])
    alone = cx.CommentSentiment(low_at_most=2).fit(comments, score, groups=[None] * 60)
    assert len(alone.vocabulary_) > 20


def test_comments_that_share_no_piece_are_an_error_with_counts():
    distinct = [chr(0x4E00 + 2 * i) + chr(0x4E01 + 2 * i) for i in range(12)]
    with pytest.raises(ModelError, match=r"sentiment: .* found none in 12 comments"):
        cx.CommentSentiment().fit(distinct, [0, 1] * 6)
    with pytest.raises(ModelError, match=r"themes: .* found none in 12 comments"):
        cx.CommentThemes().fit(distinct, ["a", "b"] * 6)


def test_a_rare_theme_is_left_out_and_said():
    comments, label, _ = themed(90)
    model = cx.CommentThemes().fit([*comments, "odd one", "odd two"], [*label, "odd", "odd"])
    assert model.left_out_ == {"odd": 2}
    assert "odd" not in model.themes_


def test_discovered_themes_are_readable_and_show_no_rare_word():
    comments, _, _ = themed(120)
    found = cx.discover_themes([*comments, "n/a", "zebra ana@b.org"], n_themes=3)
    assert found["comments"].sum() <= 121
    assert found["share"].sum() <= 1
    words = {word for words in found["words"] for word in words}
    assert words & {"parcel", "expensive", "rude", "agent", "late", "courier", "cost", "cheap"}
    assert not words & {"zebra", "email", "ana"}
    pd.testing.assert_frame_equal(
        found, cx.discover_themes([*comments, "n/a", "zebra ana@b.org"], n_themes=3)
    )
    codebook = dict(zip(found["theme"], found["words"], strict=True))
    assert cx.CommentThemes(codebook=codebook).fit(comments).measured_ is False
    with pytest.raises(ModelError, match="found 3"):
        cx.discover_themes(["a comment", "another one", "a third"])
    with pytest.raises(ModelError, match="share"):
        cx.discover_themes([f"word{chr(97 + i)}" for i in range(26)])


# --- real data ----------------------------------------------------------------------------------


def test_olist_reviews_tell_their_score(shared_data):
    reviews = pd.read_parquet(shared_data / "olist_sample_order_reviews.parquet")
    reviews = reviews[reviews["review_comment_message"].notna()]
    model = cx.CommentSentiment(low_at_most=2)
    model.fit(reviews["review_comment_message"], reviews["review_score"])
    said = ~np.isnan(model.out_of_fold_)
    assert said.mean() > 0.97
    low = (reviews["review_score"] <= 2).to_numpy()
    assert roc_auc_score(low[said], model.out_of_fold_[said]) > 0.935
    tenth = np.minimum(model.out_of_fold_[said] * 10, 9).astype(int)
    gap = pd.Series(model.out_of_fold_[said] - low[said]).groupby(tenth).agg(["mean", "size"])
    assert (gap["mean"].abs() * gap["size"]).sum() / said.sum() < 0.025
    bad = set(model.words(15).query("weight > 0")["word"])
    assert bad & {"nao", "pessimo", "nao recebi", "recebi", "ruim"}


def test_airline_tweets_are_tagged_with_the_set_precision(shared_data):
    tweets = pd.read_parquet(shared_data / "twitter_airline.parquet")
    reasons = tweets["negativereason"].value_counts().index[:6]
    tweets = tweets[tweets["negativereason"].isin(reasons)].drop_duplicates("text")
    tweets = tweets.sample(4_500, random_state=0)
    train, test = tweets.iloc[:3_000], tweets.iloc[3_000:]
    model = cx.CommentThemes(precision=0.85).fit(train["text"], train["negativereason"])
    theme = model.predict(test["text"])["theme"]
    tagged = theme.notna()
    assert tagged.mean() > 0.40
    assert np.mean(theme[tagged] == test["negativereason"][tagged]) > 0.82
