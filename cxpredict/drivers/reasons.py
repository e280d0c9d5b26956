"""The strongest reasons of each customer, one per subject, in words."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.drivers.grouping import Floats, sum_by_group
from cxpredict.drivers.wording import phrase
from cxpredict.errors import ConfigError
from cxpredict.features.origin import Origin

LEAST = 0.01
"""A subject that raises the odds by less than one percent is no reason."""


def reasons_in_words(
    contributions: Floats, X: pd.DataFrame, origins: Mapping[str, Origin], *, top: int
) -> pd.DataFrame:
    """Name what pushes each customer's risk up the most.

    Parameters
    ----------
    contributions : ndarray, shape (n, p)
        Log-odds, one column per feature.
    X : DataFrame, shape (n, p)
        The features, in the same order.
    origins : mapping of str to Origin
        Origin of every feature, in the same order.
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

    Notes
    -----
    Features about the same subject (the complaints of all windows, one attribute) are one reason:
    their signed contributions are added up, the sum ranks the subject, and the feature that pushes
    up the most words it. "Typical" is the (lower) median over X. Reasons describe the
    model, not causes.

    Examples
    --------
    >>> X = pd.DataFrame({"Contract": ["Two Year", "Month-to-Month"]})
    >>> origins = {"Contract": Origin("customers", "attribute", "Contract")}
    >>> reasons_in_words(np.array([[-0.8], [0.7]]), X, origins, top=1)["reason_1"].tolist()
    ['', 'Contract is Month-to-Month']
    """
    if top < 1:
        raise ConfigError(f"top must be 1 or more reasons, not {top}.")
    subjects = [_subject(origin) for origin in origins.values()]
    sums, names = sum_by_group(contributions, subjects)
    spokesman = _strongest_feature(contributions, subjects, names)
    order = np.argsort(-sums, axis=1, kind="stable")[:, :top]
    every = np.arange(len(X))
    columns = {}
    for rank in range(top):
        text = np.full(len(X), "", dtype=object)
        if rank < order.shape[1]:
            group = order[:, rank]
            pushes = sums[every, group] > LEAST
            text = _phrases(X, origins, np.where(pushes, spokesman[every, group], -1))
        columns[f"reason_{rank + 1}"] = pd.Series(text, index=X.index, dtype="str")
    return pd.DataFrame(columns, index=X.index)


_ASPECTS = {
    "days_since": "rhythm",
    "mean_gap": "rhythm",
    "gap_std": "rhythm",
    "overdue": "rhythm",
    "count": "frequency",
    "days": "frequency",
}


def _subject(origin: Origin) -> str:
    """Say what a feature is about; outcomes of a kind belong to the kind."""
    about = [f"{column}={level}" for column, level in origin.filters if column != "outcome"]
    own = [] if about else [origin.measure, origin.column]
    if origin.source == "transactions":
        # how recently, how often and how much customers buy are three things to an agent
        own.append(_ASPECTS.get(origin.measure, "money"))
    return "|".join([origin.source, *about, *own])


def _strongest_feature(
    contributions: Floats, subjects: list[str], names: list[str]
) -> npt.NDArray[np.int64]:
    best = np.empty((len(contributions), len(names)), dtype=np.int64)
    for place, name in enumerate(names):
        members = np.flatnonzero([subject == name for subject in subjects])
        best[:, place] = members[contributions[:, members].argmax(axis=1)]
    return best


def _phrases(
    X: pd.DataFrame, origins: Mapping[str, Origin], chosen: npt.NDArray[np.int64]
) -> npt.NDArray[np.object_]:
    """Word the chosen feature of each row; -1 stays empty."""
    text = np.full(len(X), "", dtype=object)
    for place in np.unique(chosen[chosen >= 0]):
        rows = np.flatnonzero(chosen == place)
        column = X.iloc[:, place]
        name, origin = str(X.columns[place]), origins[str(X.columns[place])]
        typical = typical_value(column)
        values = column.iloc[rows].astype(object).where(column.iloc[rows].notna(), None)
        codes, levels = pd.factorize(values, use_na_sentinel=False)
        worded = [phrase(name, origin, level, typical) for level in levels]
        text[rows] = np.array(worded, dtype=object)[codes]
    return text


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
    return float(known.quantile(0.5, interpolation="lower")) if len(known) else None
