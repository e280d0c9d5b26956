"""Hide small groups, so that no table tells about a handful of customers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

MIN_RESPONDENTS = 11
"""Groups of fewer answers, or customers, than this are not shown."""


def hidden_groups(sizes: Any, members: Sequence[Any] | None = None) -> npt.NDArray[np.bool_]:
    """Mark the groups of one table that must not be shown.

    Parameters
    ----------
    sizes : array-like of int
        Answers, or customers, in each group.
    members : sequence of array-like, optional
        The customers of each group, where one customer can be in several; two groups of the same
        six people hold six, not twelve. Without it groups are taken to share nobody.

    Returns
    -------
    ndarray of bool
        True for groups below 11 and, if there are any, for as many of the next smallest
        as it takes until the hidden groups are two or more and hold 11 together: the
        total less what is shown then belongs to no small group.

    Notes
    -----
    Protects one grouping whose total is known, not the comparison of several groupings.

    Examples
    --------
    >>> hidden_groups([40, 5, 30]).tolist()
    [False, True, True]
    >>> hidden_groups([40, 6, 6, 30], [range(40), range(6), range(6), range(30)]).tolist()
    [False, True, True, True]
    """
    counts = np.asarray(sizes, dtype=np.float64)
    hidden = counts < MIN_RESPONDENTS
    if hidden.any():
        for position in np.argsort(counts, kind="stable"):
            if hidden.sum() >= 2 and _together(counts, members, hidden) >= MIN_RESPONDENTS:
                break
            hidden[position] = True
    return hidden


def _together(counts: Any, members: Sequence[Any] | None, hidden: Any) -> float:
    if members is None:
        return float(counts[hidden].sum())
    return len(set().union(*(members[int(place)] for place in np.flatnonzero(hidden))))


def blank(table: pd.DataFrame) -> pd.DataFrame:
    """Remove every number of the rows marked ``suppressed``."""
    table.loc[table["suppressed"], table.columns != "suppressed"] = pd.NA
    return table
