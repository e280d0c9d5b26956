"""Hide small groups, so that no table tells about a handful of customers."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

MIN_RESPONDENTS = 11
"""Groups of fewer answers, or customers, than this are not shown."""


def hidden_groups(sizes: Any) -> npt.NDArray[np.bool_]:
    """Mark the groups of one table that must not be shown.

    Parameters
    ----------
    sizes : array-like of int
        Answers, or customers, in each group.

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
    """
    counts = np.asarray(sizes, dtype=np.float64)
    hidden = counts < MIN_RESPONDENTS
    if hidden.any():
        for position in np.argsort(counts, kind="stable"):
            if hidden.sum() >= 2 and counts[hidden].sum() >= MIN_RESPONDENTS:
                break
            hidden[position] = True
    return hidden


def blank(table: pd.DataFrame) -> pd.DataFrame:
    """Remove every number of the rows marked ``suppressed``."""
    table.loc[table["suppressed"], table.columns != "suppressed"] = pd.NA
    return table
