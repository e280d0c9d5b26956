"""The strongest reasons of each customer, one per subject, in words."""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.checks import check_count
from cxpredict.drivers.grouping import Floats, sum_by_group
from cxpredict.drivers.wording import phrase
from cxpredict.features.origin import Origin

LEAST = 0.01
"""A subject that raises the odds by less than one percent is no reason."""


NEARLY_THE_SAME = 0.9
"""Attributes with a rank correlation of this size or more are one subject."""

FEWEST_ROWS = 100
"""With fewer rows attributes may agree by chance."""

MORE = 3
"""How many subjects beyond the wanted ones may take the place of those that repeat a fact."""

Words = npt.NDArray[np.object_]


def reasons_in_words(
    contributions: Floats,
    X: pd.DataFrame,
    origins: Mapping[str, Origin],
    *,
    top: int,
    proxies: Collection[str] = (),
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
    proxies : collection of str
        Features that mostly say how long the customer has been there: they are one subject.

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
    Features about the same subject (the complaints of all windows; an attribute, and others whose
    rank correlation with it over 100 rows or more is .9 or beyond) are one reason:
    their signed contributions are added up, the sum ranks the subject, and the feature that pushes
    up the most words it. A reason that would repeat a fact is left out: no purchase and no payment
    for the same 18 days, no refund so far and no day with one. "Typical" is the (lower) median over
    X. Reasons describe the model, not causes.

    Examples
    --------
    >>> X = pd.DataFrame({"Contract": ["Two Year", "Month-to-Month"]})
    >>> origins = {"Contract": Origin("customers", "attribute", "Contract")}
    >>> reasons_in_words(np.array([[-0.8], [0.7]]), X, origins, top=1)["reason_1"].tolist()
    ['', 'Contract is Month-to-Month']
    """
    check_count("top", top)
    alike = _alike(X, origins)
    subjects = [
        "tenure" if name in proxies else _subject(origins[alike.get(name, name)])
        for name in origins
    ]
    sums, names = sum_by_group(contributions, subjects)
    spokesman = _strongest_feature(contributions, subjects, names)
    order = np.argsort(-sums, axis=1, kind="stable")[:, : top + MORE]
    every = np.arange(len(X))[:, None]
    chosen = np.where(sums[every, order] > LEAST, spokesman[every, order], -1)
    text = _without_repeats(*_phrases(X, origins, chosen))
    columns = {
        f"reason_{rank + 1}": pd.Series(
            text[:, rank] if rank < text.shape[1] else "", index=X.index, dtype="str"
        )
        for rank in range(top)
    }
    return pd.DataFrame(columns, index=X.index)


def _without_repeats(text: Words, facts: Words) -> Words:
    """Move what is left to the front of each row, after leaving out facts that were said."""
    said = pd.factorize(facts.ravel())[0].reshape(facts.shape)
    drop = text == ""
    for later in range(text.shape[1]):
        for earlier in range(later):
            drop[:, later] |= said[:, later] == said[:, earlier]
    order = np.argsort(drop, axis=1, kind="stable")
    return np.take_along_axis(np.where(drop, "", text), order, axis=1)


def _alike(X: pd.DataFrame, origins: Mapping[str, Origin]) -> dict[str, str]:
    """Find attributes that say nearly the same, and the first one that says it."""
    columns = {
        name: codes
        for name, origin in origins.items()
        if origin.measure == "attribute" and (codes := _ordered(X[name])) is not None
    }
    if len(X) < FEWEST_ROWS or len(columns) < 2:
        return {}
    close = pd.DataFrame(columns).rank().corr().abs() >= NEARLY_THE_SAME
    leader: dict[str, str] = {}
    for place, name in enumerate(close.columns):
        first = next((other for other in close.columns[:place] if close.loc[name, other]), name)
        leader[name] = leader.get(first, first)
    return leader


def _ordered(column: pd.Series) -> pd.Series | None:
    """Read a number, or two levels as 0 and 1; nothing else has an order."""
    if pd.api.types.is_numeric_dtype(column):
        return column.astype("float64").replace([np.inf, -np.inf], np.nan)
    if column.nunique() != 2:
        return None
    codes, _ = pd.factorize(column, sort=True)
    return pd.Series(codes, column.index, dtype="float64").replace(-1.0, np.nan)


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
) -> tuple[Words, Words]:
    """Word the chosen features of each row, and the facts they stand for; -1 stays empty."""
    text, facts = np.full(chosen.shape, "", dtype=object), np.full(chosen.shape, "", dtype=object)
    for place in np.unique(chosen[chosen >= 0]):
        rows, ranks = np.nonzero(chosen == place)
        column = X.iloc[:, place]
        name, origin = str(X.columns[place]), origins[str(X.columns[place])]
        typical = typical_value(column)
        values = column.iloc[rows].astype(object).where(column.iloc[rows].notna(), None)
        codes, levels = pd.factorize(values, use_na_sentinel=False)
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
    return float(known.quantile(0.5, interpolation="lower")) if len(known) else None
