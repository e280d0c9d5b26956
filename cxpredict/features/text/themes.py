"""Themes of a codebook, given to comments only where the guess is right often enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.special import expit, logit
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from cxpredict.errors import ConfigError, DataError, ModelError
from cxpredict.features.text.abstain import NEVER, measured, thresholds
from cxpredict.features.text.answers import is_answer
from cxpredict.features.text.codebook import Codebook
from cxpredict.features.text.linear import N_FOLDS, Calibrator, Linear, folds_of, parts
from cxpredict.features.text.scrub import as_texts
from cxpredict.features.text.vectors import Counts, Vocabulary, prepare, take, tfidf, weights

__all__ = ["CommentThemes"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
FEWEST_EXAMPLES = 3
_OTHER = -1


class CommentThemes(BaseEstimator):
    """Tag comments with themes, and abstain below a set precision.

    Parameters
    ----------
    codebook : mapping of str to sequence of str, optional
        Seed words of each theme, such as ``{"delivery": ["deliver*", "late"]}``; see `Codebook`.
    precision : float, default 0.85
        Wanted share of right tags, in (0, 1).
    random_state : int, default 0
        Seed of the folds.

    Attributes
    ----------
    themes_ : list of str
        Themes that can be given.
    measured_ : bool
        Whether labelled examples showed the precision. With seed words alone it is False: then
        confidence is agreement with the seed words, and no precision is claimed.
    left_out_ : dict of str to int
        Themes with fewer than 3 examples (or comments with a seed word), and how many they have.
        Their examples count as none of the themes.
    thresholds_ : ndarray
        Confidence from which on a theme is given.

    Notes
    -----
    One logistic regression per theme on words and pieces of words (and on hits of seed words);
    the likeliest theme is the guess. Its confidence is calibrated on out-of-fold guesses, and
    the threshold is the lowest one at which a lower bound of their precision reaches the wanted
    one. A small sample therefore abstains often. With seed words alone, a comment with the words
    of exactly one theme is an example of it, and one without any is an example of none.

    Examples
    --------
    >>> late = ["late again", "my flight was late", "two hours late", "late, no word why"] * 6
    >>> bags = ["lost my bag", "where is my bag", "bag came broken", "no bag, no answer"] * 6
    >>> model = CommentThemes().fit(late + bags, ["delay"] * 24 + ["luggage"] * 24)
    >>> model.predict(["so late", "my bag?", "ok", "hello"])["theme"].tolist()
    ['delay', 'luggage', nan, nan]
    """

    def __init__(
        self,
        *,
        codebook: Mapping[str, Sequence[str]] | None = None,
        precision: float = 0.85,
        random_state: int = 0,
    ) -> None:
        self.codebook = codebook
        self.precision = precision
        self.random_state = random_state

    def fit(
        self, X: Iterable[Any], y: Iterable[Any] | None = None, groups: Iterable[Any] | None = None
    ) -> Self:
        """Learn themes from examples, seed words, or both.

        Parameters
        ----------
        X : Series or other iterable of str, length n
            Comments. Those that say nothing are left out.
        y : iterable of str, length n, optional
            Theme of each comment; missing where nobody said. Without it seed words must do.
        groups : iterable, length n, optional
            Customers. By default equal comments belong together.

        Returns
        -------
        CommentThemes

        Raises
        ------
        ConfigError
            `precision` is not in (0, 1), or there are neither labels nor a codebook.
        DataError
            The lengths differ or a comment is no text.
        ModelError
            No theme has 3 examples, or nothing stands against the only one.
        """
        if not 0 < self.precision < 1:
            raise ConfigError(f"precision: expected a share in (0, 1), found {self.precision}")
        if y is None and not self.codebook:
            raise ConfigError("themes: give labelled examples, or a codebook of seed words")
        self._book = Codebook(self.codebook or {})
        comments, labels = as_texts(X), None if y is None else as_texts(y)
        if labels is not None and len(labels) != len(comments):
            raise DataError(
                f"expected as many labels as comments ({len(comments):,}), found {len(labels):,}"
            )
        known = is_answer(comments)
        if labels is not None:
            known &= labels.notna().to_numpy()
        use = np.flatnonzero(known)
        texts = [prepare(text) for text in comments.iloc[use]]
        if labels is None:
            hits = self._book.hits(texts)
            use, texts = use[hits.sum(axis=1) <= 1], _where(texts, hits.sum(axis=1) <= 1)
            hits = hits[hits.sum(axis=1) <= 1]
            names = [self._book.themes[h.argmax()] if h.any() else None for h in hits]
        else:
            names = labels.iloc[use].tolist()
        self.measured_ = labels is not None
        truth = self._choose_themes(names)
        given = texts if groups is None else [list(groups)[i] for i in use]
        self._learn(texts, truth, given)
        return self

    def predict(self, X: Iterable[Any]) -> pd.DataFrame:
        """Give each comment its theme, or none.

        Parameters
        ----------
        X : Series or other iterable of str, length n

        Returns
        -------
        DataFrame of n rows
            `theme` (missing where it abstains), `confidence` (calibrated probability that the
            likeliest theme is right; missing where the comment says nothing), `guess` (the
            likeliest theme, for those who review).
        """
        check_is_fitted(self)
        comments = as_texts(X)
        use = np.flatnonzero(is_answer(comments))
        confidence = np.full(len(comments), np.nan)
        guess = np.full(len(comments), _OTHER)
        if len(use):
            texts = [prepare(text) for text in comments.iloc[use]]
            counts = self.vocabulary_.count(texts)
            matrix = self._matrix(texts, counts, self.idf_)
            guess[use], evidence = _guesses(self.linear_.margins(matrix))
            confidence[use] = self.calibrator_.probability(evidence)
            guess[use[np.diff(matrix.indptr) == 0]] = _OTHER  # not a known word in it
        tagged = (guess >= 0) & (confidence >= self.thresholds_[guess])
        names = np.array([*self.themes_, None], dtype=object)
        columns = {
            "theme": pd.array(names[np.where(tagged, guess, _OTHER)], dtype="str"),
            "confidence": confidence,
            "guess": pd.array(names[guess], dtype="str"),
        }
        return pd.DataFrame(columns, index=comments.index)

    def table(self) -> pd.DataFrame:
        """Report precision and coverage per theme, measured by cross-validation.

        Returns
        -------
        DataFrame
            One row per theme and one named ``all``: `examples`; of them, `tagged` (comments given
            the theme), `coverage` (share of the examples of the theme given it; for ``all`` the
            share of examples given any), `precision` (share of right ones among the tagged) with
            its 95 % interval `low`, `high`; `threshold`. Calibration and threshold of a fold come
            from the other folds. Without labels precision and its interval are missing.
        """
        check_is_fitted(self)
        return pd.DataFrame(self.measures_)

    def to_state(self) -> dict[str, Any]:
        """Return the fitted model as JSON-able dict; `from_state` rebuilds it bit for bit."""
        check_is_fitted(self)
        return {
            "model": "CommentThemes",
            "codebook": self._book.seeds,
            "precision": self.precision,
            "random_state": self.random_state,
            "themes": self.themes_,
            "left_out": self.left_out_,
            "measured": self.measured_,
            "measures": [
                {name: None if value != value else value for name, value in row.items()}
                for row in self.measures_
            ],
            "terms": self.vocabulary_.terms,
            "idf": [weight.tolist() for weight in self.idf_],
            "linear": self.linear_.to_state(),
            "calibrator": self.calibrator_.to_state(),
            "thresholds": self.thresholds_.tolist(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Rebuild a fitted model from `to_state`.

        Raises
        ------
        ModelError
            The state belongs to another kind of model.
        """
        if state.get("model") != "CommentThemes":
            raise ModelError(f"expected the state of CommentThemes, got {state.get('model')!r}")
        settings = ("codebook", "precision", "random_state")
        model = cls(**{name: state[name] for name in settings})
        model._book = Codebook(state["codebook"])
        model.themes_, model.left_out_ = list(state["themes"]), dict(state["left_out"])
        model.measured_ = state["measured"]
        model.measures_ = [
            {name: float("nan") if value is None else value for name, value in row.items()}
            for row in state["measures"]
        ]
        model.vocabulary_ = Vocabulary(state["terms"])
        model.idf_ = [np.array(weight) for weight in state["idf"]]
        model.linear_ = Linear.from_state(state["linear"])
        model.calibrator_ = Calibrator.from_state(state["calibrator"])
        model.thresholds_ = np.array(state["thresholds"])
        return model

    def _choose_themes(self, names: Sequence[Any]) -> Codes:
        """Keep the themes with enough examples; return the code of each comment's theme."""
        counts = pd.Series(names, dtype=object).value_counts()
        seeds = self._book.themes
        found = [*seeds, *sorted(str(name) for name in counts.index if name not in seeds)]
        n = {name: int(counts.get(name, 0)) for name in found}
        self.themes_ = [name for name in found if n[name] >= FEWEST_EXAMPLES]
        self.left_out_ = {name: n[name] for name in found if n[name] < FEWEST_EXAMPLES}
        code = {name: place for place, name in enumerate(self.themes_)}
        truth = np.array([code.get(name, _OTHER) for name in names], dtype=np.intp)
        if not self.themes_ or (truth == 0).all():
            best = max(n.values(), default=0)
            raise ModelError(
                f"themes: expected one with {FEWEST_EXAMPLES} comments or more and others beside "
                f"it, found {len(n)} themes with at most {best:,} of {len(names):,} comments; "
                "give more examples or seed words"
            )
        return truth

    def _learn(self, texts: Sequence[str], truth: Codes, groups: Sequence[Any]) -> None:
        self.vocabulary_ = Vocabulary.learn(texts)
        counts = self.vocabulary_.count(texts)
        hit = truth[:, None] == np.arange(len(self.themes_))
        fold = folds_of(truth, groups, k=N_FOLDS, seed=self.random_state)
        margins = np.tile(_prior(hit), (len(texts), 1))
        for train, test in parts(fold):
            idf = weights(take(counts, train))
            there = np.flatnonzero(hit[train].any(axis=0) & ~hit[train].all(axis=0))
            if len(there):
                matrix = self._matrix(_at(texts, train), take(counts, train), idf)
                model = Linear.fit(matrix, hit[np.ix_(train, there)])
                matrix = self._matrix(_at(texts, test), take(counts, test), idf)
                margins[np.ix_(test, there)] = model.margins(matrix)
        self.idf_ = weights(counts)
        self.linear_ = Linear.fit(self._matrix(texts, counts, self.idf_), hit)
        guess, evidence = _guesses(margins)
        right = guess == truth
        self.calibrator_ = Calibrator.fit(evidence, right)
        confidence = self.calibrator_.probability(evidence)
        self.thresholds_ = self._thresholds(guess, confidence, right)
        tagged = self._cross_tagged(guess, evidence, right, fold)
        self.measures_ = measured(self.themes_, truth, guess, tagged, level=0.95)
        for row, at in zip(self.measures_, [*self.thresholds_, np.nan], strict=True):
            row["threshold"] = float("nan") if at == NEVER else float(at)
            if not self.measured_:
                row |= {"precision": float("nan"), "low": float("nan"), "high": float("nan")}

    def _thresholds(self, guess: Codes, confidence: Floats, right: npt.NDArray[np.bool_]) -> Floats:
        """Choose thresholds; without labels nothing is measured, and confidence itself decides."""
        k = len(self.themes_)
        if not self.measured_:
            return np.full(k, self.precision)
        return thresholds(guess, confidence, right, precision=self.precision, k=k)

    def _cross_tagged(
        self, guess: Codes, evidence: Floats, right: npt.NDArray[np.bool_], fold: Codes
    ) -> npt.NDArray[np.bool_]:
        """Tell which comments are tagged when the rest of the folds sets the threshold."""
        tagged = np.zeros(len(guess), dtype=bool)
        for train, test in parts(fold):
            if len(train):
                calibrator = Calibrator.fit(evidence[train], right[train])
                confidence = calibrator.probability(evidence)
                limits = self._thresholds(guess[train], confidence[train], right[train])
                tagged[test] = confidence[test] >= limits[guess[test]]
        return tagged

    def _matrix(
        self, texts: Sequence[str], counts: Counts, idf: Sequence[Floats]
    ) -> sparse.csr_matrix:
        """Put words, pieces and hits of seed words side by side."""
        blocks = [tfidf(counts, idf)]
        if self._book.themes:
            blocks.append(sparse.csr_matrix(self._book.hits(texts).astype(np.float64)))
        return sparse.hstack(blocks).tocsr()


def _guesses(margins: Floats) -> tuple[Codes, Floats]:
    """Return the likeliest theme, and what speaks for it: its log-odds alone and among all."""
    guess = margins.argmax(axis=1)
    rows = np.arange(len(margins))
    probability = np.clip(expit(margins), 1e-6, 1 - 1e-6)
    best = probability[rows, guess]
    share = np.clip(best / probability.sum(axis=1), 1e-6, 1 - 1e-6)
    alone = logit(best)
    return guess, np.column_stack([alone, logit(share) if margins.shape[1] > 1 else alone])


def _prior(hit: npt.NDArray[np.bool_]) -> Floats:
    return np.asarray(logit((hit.sum(axis=0) + 0.5) / (len(hit) + 1.0)))


def _where(texts: Sequence[str], mask: npt.NDArray[np.bool_]) -> list[str]:
    return [text for text, keep in zip(texts, mask, strict=True) if keep]


def _at(texts: Sequence[str], rows: Codes) -> list[str]:
    return [texts[row] for row in rows]
