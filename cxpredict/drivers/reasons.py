"""The strongest reasons of each customer, one per subject, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.checks import check_count
from cxpredict.drivers.grouping import Floats, sum_by_group
from cxpredict.drivers.subjects import learn_subjects
from cxpredict.drivers.wording import phrase
from cxpredict.errors import DataError, EmptyDataError
from cxpredict.features.origin import Origin, origins_of

__all__ = ["ReasonBasis", "plain_value", "reasons_in_words", "typical_value"]

LEAST = 0.01
"""A subject that raises the odds by less than one percent is no reason."""

MORE = 3
"""How many subjects beyond the wanted ones may take the place of those that repeat a fact."""

Words = npt.NDArray[np.object_]


@dataclass(frozen=True)
class ReasonBasis:
    """What the reasons of a customer are worded against, learnt once from training rows.

    Attributes
    ----------
    origins : dict of str to Origin
        Where each feature comes from, in the order of the features.
    subjects : dict of str to str
        What each feature is about; features of one subject are one reason, see `learn_subjects`.
    typical : dict of str to float or None
        (Lower) median of each number; None for text, flags and where nothing is known.
    flags : tuple of str
        Features that are yes or no, also where a table has them as 1 and 0.

    Notes
    -----
    With a basis, the reasons of a customer depend on nobody else in the batch. It holds names and
    medians, no row of a customer.

    Examples
    --------
    >>> basis = ReasonBasis.learn(pd.DataFrame({"age": [31, 40, 64], "vip": [True, False, False]}))
    >>> basis.typical, basis.flags
    ({'age': 40.0, 'vip': None}, ('vip',))
    >>> ReasonBasis.from_state(basis.to_state()) == basis
    True
    """

    origins: dict[str, Origin]
    subjects: dict[str, str]
    typical: dict[str, float | None]
    flags: tuple[str, ...] = ()

    @classmethod
    def learn(
        cls,
        X: pd.DataFrame,
        origins: Mapping[str, Origin] | None = None,
        *,
        contributions: Floats | None = None,
    ) -> Self:
        """Learn from rows what is typical and which features are about the same.

        Parameters
        ----------
        X : DataFrame, shape (n, p)
            The features, usually of the training rows.
        origins : mapping of str to Origin, optional
            Where they come from; default `origins_of` (X).
        contributions : ndarray, shape (n, p), optional
            Log-odds of the same rows; they stand in for features that are no numbers, when it is
            asked which ones mostly tell how long the customer has been there.

        Returns
        -------
        ReasonBasis

        Raises
        ------
        EmptyDataError
            X has no rows.
        """
        if not len(X):
            raise EmptyDataError("there are no rows to learn typical values from.")
        known = origins_of(X) if origins is None else {name: origins[name] for name in map(str, X)}
        return cls(
            known,
            learn_subjects(X, known, contributions),
            {str(name): typical_value(X[name]) for name in X},
            tuple(str(name) for name in X if pd.api.types.is_bool_dtype(X[name])),
        )

    def to_state(self) -> dict[str, Any]:
        """Return the basis as lists, strings and numbers."""
        return {
            "features": [
                {"name": name, "origin": origin.to_dict(), "subject": self.subjects[name]}
                | {"typical": self.typical[name], "flag": name in self.flags}
                for name, origin in self.origins.items()
            ]
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Rebuild a basis from `to_state`."""
        features = {entry["name"]: entry for entry in state["features"]}
        return cls(
            {name: Origin.from_dict(entry["origin"]) for name, entry in features.items()},
            {name: entry["subject"] for name, entry in features.items()},
            {name: entry["typical"] for name, entry in features.items()},
            tuple(name for name, entry in features.items() if entry["flag"]),
        )

    def aligned(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the features in their order, flags as such.

        Raises
        ------
        DataError
            X lacks a feature.
        """
        missing = [name for name in self.origins if name not in X.columns]
        if missing:
            raise DataError(f"X lacks {len(missing)} features of the model: {missing[:5]}.")
        X = pd.DataFrame(X)  # without attrs, which pandas copies deeply with every column
        if list(X.columns) != list(self.origins):
            X = X[list(self.origins)]
        turned = [
            name
            for name in self.flags
            if not pd.api.types.is_bool_dtype(X[name]) and X[name].dropna().isin((0, 1)).all()
        ]
        return X.astype(dict.fromkeys(turned, "boolean")) if turned else X


def reasons_in_words(
    contributions: Floats, X: pd.DataFrame, basis: ReasonBasis, *, top: int
) -> pd.DataFrame:
    """Name what pushes each customer's risk up the most.

    Parameters
    ----------
    contributions : ndarray, shape (n, p)
        Log-odds, one column per feature of the basis.
    X : DataFrame, shape (n, p)
        The features; those of the basis are taken by name.
    basis : ReasonBasis
        What is typical, and which features are about the same.
    top : int, 1 or more
        How many reasons.

    Returns
    -------
    DataFrame, index of X
        ``reason_1`` … ``reason_<top>``, the strongest first; an empty text where nothing more
        pushes the risk up.

    Raises
    ------
    ConfigError
        ``top`` is less than 1.
    DataError
        X lacks a feature of the basis.

    Notes
    -----
    Features about the same subject (the complaints of all windows; attributes that nearly agree)
    are one reason: their signed contributions are added up, the sum ranks the subject, and the
    feature that pushes up the most words it. A reason that would repeat a fact is left out: no
    purchase and no payment for the same 18 days, no refund so far and no day with one. "Typical"
    is the (lower) median over the rows that the basis was learnt from. Reasons describe the model,
    not causes.

    Examples
    --------
    >>> X = pd.DataFrame({"Contract": ["Two Year", "Month-to-Month"]})
    >>> basis = ReasonBasis.learn(X)
    >>> reasons_in_words(np.array([[-0.8], [0.7]]), X, basis, top=1)["reason_1"].tolist()
    ['', 'Contract is Month-to-Month']
    """
    check_count("top", top)
    index, X = X.index, basis.aligned(X)
    subjects = list(basis.subjects.values())
    sums, names = sum_by_group(contributions, subjects)
    spokesman = _strongest_feature(contributions, subjects, names)
    order = np.argsort(-sums, axis=1, kind="stable")[:, : top + MORE]
    every = np.arange(len(X))[:, None]
    chosen = np.where(sums[every, order] > LEAST, spokesman[every, order], -1)
    text = _without_repeats(*_phrases(X, basis, chosen))
    columns = {
        f"reason_{rank + 1}": pd.array(
            text[:, rank] if rank < text.shape[1] else [""] * len(X), dtype="str"
        )
        for rank in range(top)
    }
    return pd.DataFrame(columns, index=index)


def _without_repeats(text: Words, facts: Words) -> Words:
    """Move what is left to the front of each row, after leaving out facts that were said."""
    said = pd.factorize(facts.ravel())[0].reshape(facts.shape)
    drop = text == ""
    for later in range(text.shape[1]):
        for earlier in range(later):
            drop[:, later] |= said[:, later] == said[:, earlier]
    order = np.argsort(drop, axis=1, kind="stable")
    return np.take_along_axis(np.where(drop, "", text), order, axis=1)


def _strongest_feature(
    contributions: Floats, subjects: list[str], names: list[str]
) -> npt.NDArray[np.int64]:
    best = np.empty((len(contributions), len(names)), dtype=np.int64)
    group = np.array([names.index(subject) for subject in subjects], dtype=np.intp)
    for place in range(len(names)):
        members = np.flatnonzero(group == place)
        best[:, place] = members[contributions[:, members].argmax(axis=1)]
    return best


def _phrases(
    X: pd.DataFrame, basis: ReasonBasis, chosen: npt.NDArray[np.int64]
) -> tuple[Words, Words]:
    """Word the chosen features of each row, and the facts they stand for; -1 stays empty."""
    text, facts = np.full(chosen.shape, "", dtype=object), np.full(chosen.shape, "", dtype=object)
    for place in np.unique(chosen[chosen >= 0]):
        rows, ranks = np.nonzero(chosen == place)
        values = X.iloc[:, place].values[rows]  # an index would cost more than the rest
        name = str(X.columns[place])
        origin, typical = basis.origins[name], basis.typical[name]
        codes, levels = pd.factorize(values)  # a gap is −1 and takes the last words
        levels = [*(plain_value(level) for level in levels), None]
        worded = [phrase(name, origin, level, typical) for level in levels]
        told = [_fact(origin, level, words) for level, words in zip(levels, worded, strict=True)]
        text[rows, ranks] = np.array(worded, dtype=object)[codes]
        facts[rows, ranks] = np.array(told, dtype=object)[codes]
    return text, facts


def _fact(origin: Origin, value: object, words: str) -> str:
    """Name what a value says, equally for features that say the same; else its words."""
    about = "|".join([origin.source, *(f"{column}={level}" for column, level in origin.filters)])
    window = "" if origin.window_days is None else str(origin.window_days)
    nothing = value is None or value != value
    if origin.measure in ("count", "days"):
        return f"none|{about}|{window}" if value == 0 else words
    if origin.measure == "days_since" and isinstance(value, (int, float)) and not nothing:
        return f"since|{value:.0f}"
    if nothing and origin.measure in ("days_since", "mean", "min", "max", "last"):
        return f"none|{about}|{window}"
    return words


def plain_value(value: object) -> object:
    """Turn a value of a feature into what `phrase` takes: a gap into None, numpy into Python."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def typical_value(column: pd.Series) -> float | None:
    """Return the (lower) median of a number; None for text and where nothing is known."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return None
    known = column.dropna()
    middle = float(known.quantile(0.5, interpolation="lower")) if len(known) else np.inf
    return middle if np.isfinite(middle) else None
