"""Themes of a codebook, given to comments only where the guess is right often enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from cxpredict.config.reading import nearest
from cxpredict.errors import ConfigError, DataError, ModelError
from cxpredict.features.text.abstain import NEVER, measured, thresholds
from cxpredict.features.text.answers import is_answer
from cxpredict.features.text.codebook import Codebook
from cxpredict.features.text.guesser import OTHER, Guesser
from cxpredict.features.text.linear import N_FOLDS, Calibrator, folds_of, parts
from cxpredict.features.text.owners import by_content, checked_groups
from cxpredict.features.text.scrub import as_texts

__all__ = ["CommentThemes"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
FEWEST_EXAMPLES = 3
NONE = "\0none"
"""Stands for no theme where seed words teach."""


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
            Theme of each comment, with a codebook one of its themes; missing or empty where nobody
            said. Without it seed words must do.
        groups : iterable, length n, optional
            Customers; a missing one is a customer of its own. By default equal comments belong
            together.

        Returns
        -------
        CommentThemes
            The same in whatever order the rows come.

        Raises
        ------
        ConfigError
            `precision` is not in (0, 1), or there are neither labels nor a codebook, or a label is
            not in the codebook.
        DataError
            The lengths differ or a comment is no text.
        ModelError
            No theme has 3 examples, or nothing stands against the only one; as many `groups` as
            comments are not given.
        """
        if not 0 < self.precision < 1:
            raise ConfigError(f"precision: expected a share in (0, 1), found {self.precision}")
        if y is None and not self.codebook:
            raise ConfigError("themes: give labelled examples, or a codebook of seed words")
        book = Codebook(self.codebook or {})
        comments, labels = as_texts(X), None if y is None else _labels(y, book)
        if labels is not None and len(labels) != len(comments):
            raise DataError(
                f"expected as many labels as comments ({len(comments):,}), found {len(labels):,}"
            )
        given = checked_groups(groups, len(comments))
        self.measured_ = labels is not None
        known = is_answer(comments)
        names = _by_seeds(book, comments) if labels is None else labels
        use = np.flatnonzero(known & names.notna().to_numpy())
        order, owner = by_content(
            comments.iloc[use].tolist(),
            names.iloc[use].tolist(),
            None if given is None else given[use],
        )
        use = use[order]
        texts = comments.iloc[use].tolist()
        truth = self._choose_themes(names.iloc[use].tolist(), book.themes)
        fold = folds_of(truth, owner, k=N_FOLDS, seed=self.random_state)
        self.guesser_, guess, evidence = Guesser.fit(
            book, texts, truth, fold, owner=owner, k=len(self.themes_)
        )
        confidence = self.guesser_.calibrator.probability(evidence)
        self.thresholds_ = self._thresholds(guess, confidence, guess == truth)
        self._measure(truth, guess, evidence, fold)
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
        guess = np.full(len(comments), OTHER)
        if len(use):
            guess[use], confidence[use] = self.guesser_.guess(comments.iloc[use].tolist())
        tagged = (guess >= 0) & (confidence >= self.thresholds_[guess])
        names = np.array([*self.themes_, None], dtype=object)
        columns = {
            "theme": pd.array(names[np.where(tagged, guess, OTHER)], dtype="str"),
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

        Notes
        -----
        The interval is Wilson's for as many comments as are tagged. It does not cover that comments
        of one customer are alike, that models of the folds (which choose the threshold, too) depend
        on the examples drawn, nor that comments of another time, channel or language than the
        examples differ from them. Labels count as right: where people disagree, it measures
        agreement with those who labelled.
        """
        check_is_fitted(self)
        return pd.DataFrame(self.measures_)

    def to_state(self) -> dict[str, Any]:
        """Return the fitted model as JSON-able dict; `from_state` rebuilds it bit for bit."""
        check_is_fitted(self)
        return {
            "model": "CommentThemes",
            "precision": self.precision,
            "random_state": self.random_state,
            "themes": self.themes_,
            "left_out": self.left_out_,
            "measured": self.measured_,
            "measures": [
                {name: None if value != value else value for name, value in row.items()}
                for row in self.measures_
            ],
            "guesser": self.guesser_.to_state(),
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
        model = cls(
            codebook=state["guesser"]["codebook"] or None,
            precision=state["precision"],
            random_state=state["random_state"],
        )
        model.themes_, model.left_out_ = list(state["themes"]), dict(state["left_out"])
        model.measured_ = state["measured"]
        model.measures_ = [
            {name: float("nan") if value is None else value for name, value in row.items()}
            for row in state["measures"]
        ]
        model.guesser_ = Guesser.from_state(state["guesser"])
        model.thresholds_ = np.array(state["thresholds"])
        return model

    def _choose_themes(self, names: Sequence[str], seeds: Sequence[str]) -> Codes:
        """Keep the themes with enough examples; return the code of each comment's theme."""
        counts = pd.Series(names, dtype=object).value_counts().drop(NONE, errors="ignore")
        found = [*seeds, *sorted(str(name) for name in counts.index if name not in seeds)]
        n = {name: int(counts.get(name, 0)) for name in found}
        self.themes_ = [name for name in found if n[name] >= FEWEST_EXAMPLES]
        self.left_out_ = {name: n[name] for name in found if n[name] < FEWEST_EXAMPLES}
        code = {name: place for place, name in enumerate(self.themes_)}
        truth = np.array([code.get(name, OTHER) for name in names], dtype=np.intp)
        if not self.themes_ or (truth == 0).all():
            best = max(n.values(), default=0)
            raise ModelError(
                f"themes: expected one with {FEWEST_EXAMPLES} comments or more and others beside "
                f"it, found {len(n)} themes with at most {best:,} of {len(names):,} comments; "
                "give more examples or seed words"
            )
        return truth

    def _thresholds(self, guess: Codes, confidence: Floats, right: npt.NDArray[np.bool_]) -> Floats:
        """Choose thresholds; without labels nothing is measured, and confidence itself decides."""
        k = len(self.themes_)
        if not self.measured_:
            return np.full(k, self.precision)
        return thresholds(guess, confidence, right, precision=self.precision, k=k)

    def _measure(self, truth: Codes, guess: Codes, evidence: Floats, fold: Codes) -> None:
        """Tag each fold as the rest of the folds would have it, and count."""
        right = guess == truth
        tagged = np.zeros(len(guess), dtype=bool)
        for train, test in parts(fold):
            if len(train):
                calibrator = Calibrator.fit(evidence[train], right[train])
                confidence = calibrator.probability(evidence)
                limits = self._thresholds(guess[train], confidence[train], right[train])
                tagged[test] = confidence[test] >= limits[guess[test]]
        self.measures_ = measured(self.themes_, truth, guess, tagged, level=0.95)
        for row, at in zip(self.measures_, [*self.thresholds_, np.nan], strict=True):
            row["threshold"] = float("nan") if at == NEVER else float(at)
            if not self.measured_:
                row |= {"precision": float("nan"), "low": float("nan"), "high": float("nan")}


def _labels(y: Iterable[Any], book: Codebook) -> pd.Series:
    """Give the labels, empty ones as missing; each must be a theme of the codebook, if any is."""
    labels = as_texts(y).map(lambda name: name.strip() or None, na_action="ignore")
    labels = labels.astype(object).where(labels.notna(), None)
    strange = np.flatnonzero(labels.notna() & ~labels.isin(book.themes))
    if not book.themes or not len(strange):
        return labels
    # a label like no theme is not shown: it may be a comment in the wrong column
    near = {name: nearest(name, book.themes) for name in sorted(set(labels.iloc[strange]))}
    shown = next((f", such as {name!r}{theme}" for name, theme in near.items() if theme), "")
    raise ConfigError(
        f"themes: expected themes of the codebook, found {len(strange):,} other labels{shown} "
        f"(first at row {strange[0] + 1:,}); correct them, or add their themes and seed words"
    )


def _by_seeds(book: Codebook, comments: pd.Series) -> pd.Series:
    """Name the theme whose words a comment holds; missing where several themes' words stand."""
    hits = book.hits([text if isinstance(text, str) else "" for text in comments])
    names = np.array([*book.themes, NONE], dtype=object)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1), -1)
    return pd.Series(names[first], comments.index).where(hits.sum(axis=1) <= 1)
