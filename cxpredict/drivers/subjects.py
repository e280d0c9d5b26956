"""What features are about: those that tell an agent the same are one subject."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cxpredict.drivers.flags import clocks_of, proxies_of_time
from cxpredict.drivers.grouping import Floats
from cxpredict.features.audit.split import customer_codes
from cxpredict.features.origin import Origin

NEARLY_THE_SAME = 0.9
"""Attributes with a rank correlation of this size or more are one subject."""

FEWEST_ROWS = 100
"""With fewer rows attributes may agree by chance."""

_ASPECTS = {
    "days_since": "rhythm",
    "mean_gap": "rhythm",
    "gap_std": "rhythm",
    "overdue": "rhythm",
    "count": "frequency",
    "days": "frequency",
}


def learn_subjects(
    X: pd.DataFrame, origins: Mapping[str, Origin], contributions: Floats | None = None
) -> dict[str, str]:
    """Name the subject of every feature.

    Parameters
    ----------
    X : DataFrame, shape (n, p)
        Rows to learn from.
    origins : mapping of str to Origin
        Origin of every feature, in the order of X.
    contributions : ndarray, shape (n, p), optional
        Log-odds of the same rows; they stand in for features that are no numbers.

    Returns
    -------
    dict of str to str
        Equal for features about the same: one kind of event, one attribute and others whose rank
        correlation with it is .9 or beyond over 100 rows or more, and all that mostly says how
        long the customer has been there (see `proxies_of_time`).

    Examples
    --------
    >>> X = pd.DataFrame({"Contract": ["Two Year"], "age": [31]})
    >>> origins = {name: Origin("customers", "attribute", name) for name in X}
    >>> learn_subjects(X, origins)
    {'Contract': 'customers|attribute|Contract', 'age': 'customers|attribute|age'}
    """
    alike = _alike(X, origins)
    tenure = _by_tenure(X, origins, contributions)
    return {
        name: "tenure" if name in tenure else _subject(origins[alike.get(name, name)])
        for name in origins
    }


def _by_tenure(
    X: pd.DataFrame, origins: Mapping[str, Origin], contributions: Floats | None
) -> set[str]:
    """Find features that mostly say how long a customer has been there, the date apart."""
    clocks = clocks_of(X, origins).drop(columns="as_of", errors="ignore")
    columns = as_columns(X, contributions)
    flags = proxies_of_time(columns, clocks, customer_codes(X))
    return {name for name, flag in zip(origins, flags, strict=True) if flag}


def as_columns(X: pd.DataFrame, contributions: Floats | None) -> Floats:
    """Return numbers as they are, shape (n, p), and for others what they contribute, or zeros."""
    columns = [
        X.iloc[:, place].to_numpy(dtype=np.float64, na_value=np.nan)
        if pd.api.types.is_numeric_dtype(X.dtypes.iloc[place])
        else np.zeros(len(X))
        if contributions is None
        else contributions[:, place]
        for place in range(X.shape[1])
    ]
    return np.column_stack([np.zeros((len(X), 0)), *columns])


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


def _subject(origin: Origin) -> str:
    """Say what a feature is about; outcomes of a kind belong to the kind."""
    about = [f"{column}={level}" for column, level in origin.filters if column != "outcome"]
    own = [] if about else [origin.measure, origin.column]
    if origin.source == "transactions":
        # how recently, how often and how much customers buy are three things to an agent
        own.append(_ASPECTS.get(origin.measure, "money"))
    return "|".join([origin.source, *about, *own])
