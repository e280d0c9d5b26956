"""From comments of a log to features: sentiment and theme beside each comment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from hashlib import sha256
from typing import Any, Self

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from cxpredict.config import LOW_AT_MOST
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError, ModelError
from cxpredict.features.events import to_utc
from cxpredict.features.text.answers import is_answer
from cxpredict.features.text.sentiment import CommentSentiment, check_sides
from cxpredict.features.text.themes import CommentThemes

__all__ = ["CommentTagger"]

N_PARTS = (4, 8, 16)
"""Customers are parted into so many, each part read by a model of the others: the first number
with which all models have enough low and other scores. More parts leave more to each."""

FEWEST_IN_PART = 3
"""Fewest comments with a low, and with another, score for the model that reads a part."""

Floats = npt.NDArray[np.float64]
TAGS = ("sentiment", "theme")
_KEYS = ["customer_id", "comment"]


class CommentTagger(BaseEstimator):
    """Add sentiment and theme to the feedback of a log, learnt before a date.

    Parameters
    ----------
    codebook : mapping of str to sequence of str, optional
        Themes and their seed words; see `CommentThemes`.
    precision : float, default 0.85
        Wanted share of right themes; below it none is given.
    random_state : int, default 0
        Seed of the folds.

    Attributes
    ----------
    sentiments_ : list of CommentSentiment
        One per part of the customers; empty where comments were too few to learn from.
    without_sentiment_ : str
        Why there is no sentiment; empty where there is.
    themes_ : CommentThemes or None
        None without codebook and examples.
    until_ : Timestamp
        Nothing that became known at or after it was learnt from.

    Notes
    -----
    `sentiment` is the probability that a comment does *not* come with a low score (NPS up to 6,
    CSAT up to 2, CES up to 3), so higher is better; it and `theme` are missing where a comment says
    nothing. The part of a customer follows from a hash of the id, and the model that reads a part
    was learnt from the others: the sentiment of a comment never remembers the customer's own
    score, neither in training nor later, and scoring finds what training found. A tag depends on
    the customer and the text alone, and is known when the comment is. Comments without a score
    are tagged, but features see answers with a score only.

    Sentiment needs 5 comments with a low and 5 with another score, of customers of whom none wrote
    most of them. Without them it is missing everywhere, and `notes` say so; themes do not need it.

    Examples
    --------
    >>> things = ["help", "delivery", "staff", "price", "food", "room", "app", "support"]
    >>> feedback = pd.DataFrame(
    ...     [
    ...         (f"{word}{thing}", "2024-01-05", "csat", score, f"{word} {thing}")
    ...         for word, score in [("great", 5), ("awful", 1), ("nice", 4), ("bad", 2)]
    ...         for thing in things
    ...     ],
    ...     columns=["customer_id", "occurred_at", "metric", "score", "comment"],
    ... )
    >>> log = CustomerLog.from_frames(feedback=feedback)
    >>> tagger = CommentTagger(codebook={"support": ["help", "support", "staff"]})
    >>> tagged = tagger.fit(log, until="2024-02-01").tag(log).feedback.to_pandas()
    >>> means = tagged.groupby("score")["sentiment"].mean()
    >>> bool(means[5] > means[1])
    True
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
        self,
        log: CustomerLog,
        *,
        until: str | date | datetime,
        examples: pd.DataFrame | None = None,
    ) -> Self:
        """Learn from the comments that were known before a date.

        Parameters
        ----------
        log : CustomerLog
            The records.
        until : date
            UTC, exclusive: the last date of training.
        examples : DataFrame, optional
            `comment` and `theme`, labelled by people: they, not the log, teach the themes then.

        Returns
        -------
        CommentTagger

        Raises
        ------
        DataError
            `examples` lacks a column.
        ModelError
            There are too few comments for the themes; see `CommentThemes`.
        """
        self.until_ = to_utc(until)
        known = _known_comments(log, self.until_)
        low = np.where(
            known["score"].isna(),
            np.nan,
            known["score"] <= known["metric"].map(LOW_AT_MOST).astype("float64"),
        )
        self.sentiments_, self.without_sentiment_ = [], ""
        use = np.flatnonzero(is_answer(known["comment"]) & ~np.isnan(low))
        try:
            self.sentiments_ = self._fit_sentiments(known.iloc[use], low[use])
        except ModelError as error:
            self.without_sentiment_ = str(error)
        self.themes_ = self._fit_themes(known, examples)
        return self

    def tag(self, log: CustomerLog) -> CustomerLog:
        """Give the log with columns `sentiment` (0 to 1) and `theme` (text) in its feedback.

        Parameters
        ----------
        log : CustomerLog
            This or a later log; tags that it has already are replaced.

        Returns
        -------
        CustomerLog
            With the same rows. `default_aggregates` makes features of the tags.
        """
        check_is_fitted(self)
        tags = self._tags(log)
        versions = dict(log.versions)
        if "feedback" in versions:
            versions["feedback"] = _joined(versions["feedback"], tags)
        return replace(
            log,
            feedback=_joined(log.feedback, tags),
            versions=versions,
            tagged_until=self.until_,
        )

    def notes(self) -> tuple[str, ...]:
        """Say what a reader of features made of comments must know."""
        check_is_fitted(self)
        notes = [f"No features of sentiment were made. {self.without_sentiment_}."]
        if self.sentiments_:
            n = sum(m.n_comments_ for m in self.sentiments_) // (len(self.sentiments_) - 1)
            notes = [f"Sentiment was learnt from {n:,} comments known before {self.until_.date()}."]
        themes = self.themes_
        if themes is not None and themes.measured_:
            total = themes.table().set_index("theme").loc["all"]
            notes.append(
                f"Themes: precision {total['precision']:.2f} ({total['low']:.2f} to "
                f"{total['high']:.2f}) on the {total['coverage']:.0%} of comments that are tagged, "
                "by cross-validation."
                if total["tagged"]
                else f"Themes: none reaches the precision of {self.precision}, so none is given."
            )
        elif themes is not None:
            notes.append("Themes were learnt from seed words: their precision is not measured.")
        if themes is not None and themes.left_out_:
            notes.append(f"Themes with too few comments: {', '.join(themes.left_out_)}.")
        return tuple(notes)

    def to_state(self) -> dict[str, Any]:
        """Return the fitted tagger as JSON-able dict; `from_state` rebuilds it bit for bit."""
        check_is_fitted(self)
        return {
            "model": "CommentTagger",
            "codebook": {name: list(words) for name, words in (self.codebook or {}).items()},
            "precision": self.precision,
            "random_state": self.random_state,
            "until": self.until_.isoformat(),
            "without_sentiment": self.without_sentiment_,
            "sentiments": [model.to_state() for model in self.sentiments_],
            "themes": None if self.themes_ is None else self.themes_.to_state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Rebuild a fitted tagger from `to_state`.

        Raises
        ------
        ModelError
            The state belongs to another kind of model.
        """
        if state.get("model") != "CommentTagger":
            raise ModelError(f"expected the state of CommentTagger, got {state.get('model')!r}")
        settings = ("codebook", "precision", "random_state")
        tagger = cls(**{name: state[name] for name in settings})
        tagger.until_ = pd.Timestamp(state["until"])
        tagger.sentiments_ = [CommentSentiment.from_state(each) for each in state["sentiments"]]
        tagger.without_sentiment_ = state["without_sentiment"]
        themes = state["themes"]
        tagger.themes_ = None if themes is None else CommentThemes.from_state(themes)
        return tagger

    def _fit_sentiments(self, known: pd.DataFrame, low: Floats) -> list[CommentSentiment]:
        """Fit one model per part of the customers on the other parts."""
        check_sides(low)
        n_parts = _enough_parts(known["customer_id"], low)
        part = known["customer_id"].map(partial(part_of, n_parts=n_parts)).to_numpy()
        models = []
        for number in range(n_parts):
            rows, model = part != number, CommentSentiment(random_state=self.random_state)
            others = known[rows]
            models.append(
                model.learn(
                    others["comment"], low[rows], others["customer_id"], fewest=FEWEST_IN_PART
                )
            )
        return models

    def _fit_themes(
        self, known: pd.DataFrame, examples: pd.DataFrame | None
    ) -> CommentThemes | None:
        if examples is None and not self.codebook:
            return None
        themes = CommentThemes(
            codebook=self.codebook, precision=self.precision, random_state=self.random_state
        )
        if examples is None:
            return themes.fit(known["comment"], groups=known["customer_id"])
        missing = [name for name in ("comment", "theme") if name not in examples]
        if missing:
            raise DataError(
                f"examples: expected columns comment and theme, {missing[0]} is missing"
            )
        return themes.fit(examples["comment"], examples["theme"])

    def _tags(self, log: CustomerLog) -> ir.Table:
        """Tag each comment of each customer once."""
        rows = log.history("feedback")
        pairs = rows.filter(rows.comment.notnull()).select(_KEYS).distinct()
        frame = pairs.to_pyarrow().to_pandas().astype(object)
        frame = frame.sort_values(_KEYS, ignore_index=True)
        n_parts = len(self.sentiments_) or 1
        part = frame["customer_id"].map(partial(part_of, n_parts=n_parts)).to_numpy()
        frame["sentiment"] = np.nan
        for number, model in enumerate(self.sentiments_):
            mine = np.flatnonzero(part == number)
            low = model.low_probability(frame["comment"].iloc[mine])
            frame.loc[mine, "sentiment"] = 1.0 - low
        frame["theme"] = None
        if self.themes_ is not None and len(frame):
            theme = self.themes_.predict(frame["comment"])["theme"].astype(object)
            frame["theme"] = theme.where(theme.notna(), None)
        types = {**dict.fromkeys(_KEYS, "string"), "sentiment": "float64", "theme": "string"}
        missing = frame["sentiment"].isna()
        frame["sentiment"] = frame["sentiment"].astype(object).where(~missing, None)
        return ibis.memtable(frame, schema=ibis.schema(types))


def part_of(customer_id: str, n_parts: int = N_PARTS[0]) -> int:
    """Give the part of a customer, the same on every machine.

    Examples
    --------
    >>> part_of("C000001"), part_of("C000002")
    (1, 0)
    """
    return int.from_bytes(sha256(str(customer_id).encode()).digest()[:4], "big") % n_parts


def _enough_parts(customers: pd.Series, low: Floats) -> int:
    """Choose the number of parts so that all models of the others have both kinds of scores."""
    low_of = low == 1
    for n_parts in N_PARTS:
        part = customers.map(partial(part_of, n_parts=n_parts)).to_numpy()
        most = [np.bincount(part[side], minlength=n_parts).max() for side in (low_of, ~low_of)]
        left = min(low_of.sum() - most[0], (~low_of).sum() - most[1])
        if left >= FEWEST_IN_PART:
            return n_parts
    raise ModelError(
        f"sentiment: expected low and other scores of several customers each, found "
        f"{low_of.sum():,} and {(~low_of).sum():,} comments, most of one side from the same few "
        "customers; take a longer history"
    )


def _known_comments(log: CustomerLog, until: pd.Timestamp) -> pd.DataFrame:
    """Bring the comments as they were known before a date, in an order of their own."""
    rows = log.history("feedback")
    rows = rows.filter(ibis.greatest(rows.occurred_at, rows.known_at) < until)
    rows = rows.filter(rows.replaced_at.isnull() | (rows.replaced_at >= until))
    rows = rows.filter(rows.comment.notnull())
    columns = ["customer_id", "occurred_at", "metric", "score", "comment"]
    frame = rows.select(columns).to_pyarrow().to_pandas()
    frame = frame.sort_values(columns, ignore_index=True)
    return frame.astype({"customer_id": object, "comment": object})


def _joined(feedback: ir.Table, tags: ir.Table) -> ir.Table:
    plain = feedback.drop(*(name for name in TAGS if name in feedback.columns))
    return plain.left_join(tags, _KEYS).drop(*(f"{key}_right" for key in _KEYS))
