"""Contributions as a long table, and drivers by segment of customers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.suppression import hidden_groups
from cxpredict.drivers.grouping import Codes, Floats, group_names, importance
from cxpredict.errors import DataError
from cxpredict.features.origin import Origin

GROUPS = ("source", "touchpoint", "channel", "theme")
MISSING = "(missing)"
MOST_SEGMENTS = 50


def long_table(
    contributions: pd.DataFrame, values: pd.DataFrame, origins: Mapping[str, Origin]
) -> pd.DataFrame:
    """Write one row per customer, date and feature.

    Parameters
    ----------
    contributions : DataFrame, shape (n, p)
        Log-odds.
    values : DataFrame, shape (n, p)
        The features, in the same order, with the same index.
    origins : mapping of str to Origin
        Where they come from, in the same order.

    Returns
    -------
    DataFrame, n × p rows
        The levels of the index (``row`` if it has no name), ``feature``, ``value`` (text; missing
        where the feature is), ``number`` (float; missing for text), ``contribution`` (log-odds),
        ``source``, ``touchpoint``, ``channel``, ``theme``.

    Examples
    --------
    >>> one = pd.DataFrame({"calls": [3.0], "plan": ["gold"]})
    >>> origins = {name: Origin("customers", "attribute", name) for name in one}
    >>> long_table(pd.DataFrame({"calls": [0.5], "plan": [-0.2]}), one, origins).iloc[:, :5]
       row feature value  number  contribution
    0    0   calls     3     3.0           0.5
    1    0    plan  gold     NaN          -0.2
    """
    n, p = contributions.shape
    index = contributions.index
    names = ["row"] if index.nlevels == 1 else [f"row_{k}" for k in range(index.nlevels)]
    names = [new if name is None else name for name, new in zip(index.names, names, strict=True)]
    table = index.to_frame(index=False).set_axis(names, axis=1)
    table = table.take(np.repeat(np.arange(n), p)).reset_index(drop=True)
    place = np.tile(np.arange(p), n)
    columns = [values.iloc[:, k] for k in range(p)]
    table["feature"] = pd.Categorical.from_codes(place, list(origins))
    table["value"] = pd.Series(np.stack([_text(c) for c in columns], 1).ravel(), dtype="str")
    table["number"] = np.stack([_number(c) for c in columns], axis=1).ravel()
    table["contribution"] = contributions.to_numpy().ravel()
    for what in GROUPS:
        table[what] = pd.Categorical(group_names(origins, what)).take(place)
    return table


def _text(column: pd.Series) -> npt.NDArray[np.object_]:
    codes, levels = pd.factorize(column)
    words = [f"{v:.15g}" if isinstance(v, (float, np.floating)) else str(v) for v in levels]
    known = np.array([*words, None], dtype=object)
    return np.asarray(known[codes])


def _number(column: pd.Series) -> Floats:
    if not pd.api.types.is_numeric_dtype(column):
        return np.full(len(column), np.nan)
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))


def segment_labels(by: Any, values: pd.DataFrame) -> pd.Series:
    """Read the segment of each explained row.

    Parameters
    ----------
    by : Series or str
        One value for each row, by its index; or the name of a feature or a level of the index.
    values : DataFrame
        The explained rows.

    Returns
    -------
    Series of str
        With the index of `values`; gaps are the segment ``(missing)``.

    Raises
    ------
    DataError
        There is no such column, the index does not fit, or there are more than 50 segments.
    """
    if isinstance(by, str):
        labels = _column(by, values)
    elif isinstance(by, pd.Series):
        labels = _of_rows(by, values.index)
    else:
        raise DataError(
            f"by: expected a Series with the index of X or a column's name, got {type(by).__name__}"
        )
    known = labels.astype(object).where(labels.notna(), MISSING).astype("str")
    if known.nunique() > MOST_SEGMENTS:
        raise DataError(
            f"by has {known.nunique():,} different values; expected at most {MOST_SEGMENTS} "
            "segments. Cut numbers into groups, for example with pandas.qcut."
        )
    return known


def _column(name: str, values: pd.DataFrame) -> pd.Series:
    if name in values.columns:
        return values[name]
    if name in values.index.names:
        return pd.Series(values.index.get_level_values(name), index=values.index)
    raise DataError(
        f"by: expected a feature or a level of the index, found none called {name!r}. Pass a "
        "Series with the index of X."
    )


def _of_rows(by: pd.Series, index: pd.Index) -> pd.Series:
    if by.index.equals(index):
        return by
    if not by.index.is_unique:
        raise DataError("by: its index repeats itself and is not that of the explained rows.")
    same = by.index.nlevels == index.nlevels
    unknown = int((~index.isin(by.index)).sum()) if same else len(index)
    if unknown:
        raise DataError(
            f"by: {unknown:,} of {len(index):,} explained rows have no entry; expected a Series "
            "with the index of X."
        )
    return by.reindex(index)


def segment_table(
    signed: Floats,
    labels: pd.DataFrame,
    segments: pd.Series,
    customers: Codes,
    *,
    level: float,
    random_state: int,
) -> pd.DataFrame:
    """Measure drivers within each segment of customers.

    Parameters
    ----------
    signed : ndarray, shape (n, m)
        Contributions of features or groups, log-odds.
    labels : DataFrame, m rows
        What to write beside each driver.
    segments : Series of str, length n
        Segment of each row.
    customers : ndarray of int64, shape (n,)
        Customer of each row.
    level : float in (0, 1)
        Level of the intervals.
    random_state : int
        Seed of the draws.

    Returns
    -------
    DataFrame
        By segment, the strongest driver first: ``segment``, ``n`` (customers), ``suppressed``, the
        labels, ``mean`` (signed, log-odds) and the columns of
        `cxpredict.drivers.grouping.importance`. A suppressed segment has one row without numbers.
    """
    code, names = pd.factorize(segments, sort=True)
    members = [np.unique(customers[code == k]) for k in range(len(names))]
    sizes = [len(who) for who in members]
    found = []
    for k, hidden in enumerate(hidden_groups(sizes, members)):
        head = {"segment": str(names[k]), "n": sizes[k], "suppressed": bool(hidden)}
        if hidden:
            found.append(pd.DataFrame({**head, "n": pd.NA}, index=[0]))
            continue
        rows = code == k
        measured = importance(signed[rows], customers[rows], level=level, random_state=random_state)
        measured.insert(0, "mean", signed[rows].mean(axis=0))
        table = labels.join(measured).sort_values("rank", kind="stable")
        for place, (name, value) in enumerate(head.items()):
            table.insert(place, name, value)
        found.append(table)
    whole = pd.concat([part.astype({"n": "Int64"}) for part in found], ignore_index=True)
    order = ["segment", "n", "suppressed", *labels.columns, "mean", "importance", "share"]
    order += ["low", "high", "rank", "rank_low", "rank_high"]
    ranks = dict.fromkeys(("rank", "rank_low", "rank_high"), "Int64")
    return whole.reindex(columns=order).astype(ranks).astype({"segment": "str"})
