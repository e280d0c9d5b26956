"""Sentiment learnt from the scores that customers gave beside their comments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from cxpredict.errors import DataError, ModelError
from cxpredict.features.text.answers import is_answer
from cxpredict.features.text.linear import N_FOLDS, Calibrator, Linear, folds_of, parts
from cxpredict.features.text.owners import by_content, checked_groups
from cxpredict.features.text.scrub import as_texts
from cxpredict.features.text.vectors import Vocabulary, prepare, take, tfidf, weights

__all__ = ["CommentSentiment"]

Floats = npt.NDArray[np.float64]
FEWEST_PER_SIDE = 5
"""Fewest comments with a low, and with another, score."""


class CommentSentiment(BaseEstimator):
    """Predict the probability that a comment comes with a low score.

    Parameters
    ----------
    low_at_most : number or None, default None
        Scores up to this one are low: 6 for NPS, 2 for CSAT. None: `y` is 1 for low and 0 for not.
    random_state : int, default 0
        Seed of the folds.

    Attributes
    ----------
    vocabulary_ : Vocabulary
        Words and pieces of words that two customers or more wrote, scrubbed.
    n_comments_ : int
        Comments that were learnt from: with a score, and saying something.
    out_of_fold_ : ndarray of shape (n,)
        For each comment of `fit` its probability from models that did not see its group; missing
        where there is no answer. Not stored.

    Notes
    -----
    No lexicon: what is bad news is learnt from the scores, so it works in any language of which
    there are comments. Probabilities are calibrated on out-of-fold margins by a logistic
    regression. They say what comments *of those who write and score* mean.

    Examples
    --------
    >>> things = ["help", "delivery", "staff", "price", "food", "room", "app", "support"]
    >>> good, bad = [f"great {t}" for t in things], [f"awful {t}" for t in things]
    >>> model = CommentSentiment(low_at_most=2).fit(good + bad, [5] * 8 + [1] * 8)
    >>> low = model.low_probability(["awful", "great", "n/a", None])
    >>> bool(low[0] > 0.5 > low[1]), np.isnan(low[2:]).tolist()
    (True, [True, True])
    """

    def __init__(self, *, low_at_most: float | None = None, random_state: int = 0) -> None:
        self.low_at_most = low_at_most
        self.random_state = random_state

    def fit(self, X: Iterable[Any], y: Iterable[Any], groups: Iterable[Any] | None = None) -> Self:
        """Learn from comments and their scores.

        Parameters
        ----------
        X : Series or other iterable of str, length n
            Comments. Missing ones and those that say nothing (see `is_answer`) are left out.
        y : iterable of numbers, length n
            Scores, or 0 and 1; rows where it is missing are left out.
        groups : iterable, length n, optional
            Customers; a missing one is a customer of its own. By default equal comments belong
            together.

        Returns
        -------
        CommentSentiment
            The same in whatever order the rows come.

        Raises
        ------
        DataError
            The lengths differ, a comment is no text, or `y` is not of the declared kind.
        ModelError
            Fewer than 5 comments with a low, or with another, score; no two customers share a
            word or a piece of one; as many `groups` as comments are not given.
        """
        return self.learn(X, y, groups, fewest=FEWEST_PER_SIDE)

    def learn(
        self, X: Iterable[Any], y: Iterable[Any], groups: Iterable[Any] | None, *, fewest: int
    ) -> Self:
        """Learn as `fit`, from at least `fewest` comments of either side."""
        comments = as_texts(X)
        low = self._low(y, len(comments))
        given = checked_groups(groups, len(comments))
        use = np.flatnonzero(is_answer(comments) & ~np.isnan(low))
        check_sides(low[use], fewest=fewest)
        order, owner = by_content(
            comments.iloc[use].tolist(), low[use], None if given is None else given[use]
        )
        use = use[order]
        labels = low[use].astype(np.intp)
        texts = [prepare(text) for text in comments.iloc[use]]
        fold = folds_of(labels, owner, k=N_FOLDS, seed=self.random_state)
        self.vocabulary_ = Vocabulary.learn(texts, owner)
        if not len(self.vocabulary_):
            raise ModelError(
                f"sentiment: expected words that two customers share, found none in {len(use):,} "
                "comments; take a longer history"
            )
        counts = self.vocabulary_.count(texts)
        hit = (labels == 1)[:, None]
        margin = np.zeros(len(use))
        for train, test in parts(fold):
            if 0 < hit[train].sum() < len(train):
                idf = weights(take(counts, train))
                model = Linear.fit(tfidf(take(counts, train), idf), hit[train])
                margin[test] = model.margins(tfidf(take(counts, test), idf))[:, 0]
        self.idf_ = weights(counts)
        self.linear_ = Linear.fit(tfidf(counts, self.idf_), hit)
        self.calibrator_ = Calibrator.fit(margin[:, None], hit[:, 0])
        self.n_comments_ = len(use)
        self.out_of_fold_ = np.full(len(comments), np.nan)
        self.out_of_fold_[use] = self.calibrator_.probability(margin[:, None])
        return self

    def low_probability(self, X: Iterable[Any]) -> Floats:
        """Return the probability of a low score, missing where a comment says nothing.

        Parameters
        ----------
        X : Series or other iterable of str, length n

        Returns
        -------
        ndarray of shape (n,)
            In [0, 1] or missing.
        """
        check_is_fitted(self)
        comments = as_texts(X)
        use = np.flatnonzero(is_answer(comments))
        probability = np.full(len(comments), np.nan)
        if len(use):
            counts = self.vocabulary_.count([prepare(text) for text in comments.iloc[use]])
            margin = self.linear_.margins(tfidf(counts, self.idf_))
            probability[use] = self.calibrator_.probability(margin)
        return probability

    def predict_proba(self, X: Iterable[Any]) -> Floats:
        """Return the probabilities of another and of a low score, shape (n, 2)."""
        low = self.low_probability(X)
        return np.column_stack([1.0 - low, low])

    def words(self, top: int = 10) -> pd.DataFrame:
        """List the words that speak most for a low, and for another, score.

        Returns
        -------
        DataFrame
            `word` (one, or a pair), `weight`: log-odds per unit of weighted count, positive for a
            low score; most positive first.
        """
        check_is_fitted(self)
        terms = self.vocabulary_.terms[0]
        table = pd.DataFrame({"word": terms, "weight": self.linear_.coefficients[0, : len(terms)]})
        table = table[table["word"].str.contains(r"\w")]
        table = table.sort_values(["weight", "word"], ascending=[False, True], ignore_index=True)
        if len(table) <= 2 * top:
            return table
        return pd.concat([table.head(top), table.tail(top)], ignore_index=True)

    def to_state(self) -> dict[str, Any]:
        """Return the fitted model as JSON-able dict; `from_state` rebuilds it bit for bit."""
        check_is_fitted(self)
        return {
            "model": "CommentSentiment",
            "low_at_most": self.low_at_most,
            "random_state": self.random_state,
            "n_comments": self.n_comments_,
            "terms": self.vocabulary_.terms,
            "idf": [weight.tolist() for weight in self.idf_],
            "linear": self.linear_.to_state(),
            "calibrator": self.calibrator_.to_state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Rebuild a fitted model from `to_state`.

        Raises
        ------
        ModelError
            The state belongs to another kind of model.
        """
        if state.get("model") != "CommentSentiment":
            raise ModelError(f"expected the state of CommentSentiment, got {state.get('model')!r}")
        model = cls(low_at_most=state["low_at_most"], random_state=state["random_state"])
        model.n_comments_ = state["n_comments"]
        model.vocabulary_ = Vocabulary(state["terms"])
        model.idf_ = [np.array(weight) for weight in state["idf"]]
        model.linear_ = Linear.from_state(state["linear"])
        model.calibrator_ = Calibrator.from_state(state["calibrator"])
        return model

    def _low(self, y: Iterable[Any], n: int) -> Floats:
        try:
            score = np.array(
                pd.array(list(y), dtype="Float64").to_numpy(np.float64, na_value=np.nan)
            )
        except (TypeError, ValueError) as error:
            raise DataError(
                "scores: expected numbers or nothing; make the column numeric"
            ) from error
        _same_length(score, n, "scores")
        if self.low_at_most is not None:
            return np.where(np.isnan(score), np.nan, score <= self.low_at_most)
        if not np.isin(score[~np.isnan(score)], (0, 1)).all():
            raise DataError("y: expected 0 and 1 (low); for scores give low_at_most")
        return score


def check_sides(low: Floats, *, fewest: int = FEWEST_PER_SIDE) -> None:
    """Refuse to learn from fewer comments of either side, 1 for low and 0 for not."""
    n_low, n = int(low.sum()), len(low)
    if min(n_low, n - n_low) < fewest:
        raise ModelError(
            f"sentiment: expected at least {fewest} comments with a low and with another score, "
            f"found {n_low:,} and {n - n_low:,}; take a longer history"
        )


def _same_length(values: Sequence[Any] | Floats, n: int, what: str) -> None:
    if len(values) != n:
        raise DataError(f"expected as many {what} as comments ({n:,}), found {len(values):,}")
