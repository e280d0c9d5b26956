"""Answers to "how likely are you to recommend us?": the 0–10 scale and its three groups."""

from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.errors import DataError


def nps_group(scores: Any) -> Any:
    """Name the NPS group of each 0–10 score.

    Parameters
    ----------
    scores : array-like of numbers
        Whole numbers 0–10; missing where the customer did not answer.

    Returns
    -------
    Series of ordered category
        ``detractor`` (0–6), ``passive`` (7–8), ``promoter`` (9–10); missing stays missing.

    Raises
    ------
    DataError
        If a score is text, no whole number, or outside 0–10.

    Examples
    --------
    >>> nps_group([6, 7, 10]).tolist()
    ['detractor', 'passive', 'promoter']
    """
    values = nps_scores(scores)
    codes = np.where(values.isna(), -1, (values >= 7).astype(int) + (values >= 9).astype(int))
    dtype = pd.CategoricalDtype(["detractor", "passive", "promoter"], ordered=True)
    groups = pd.Categorical.from_codes(codes, dtype=dtype)
    return pd.Series(groups, index=values.index, name="nps_group")


def nps_scores(scores: Any) -> pd.Series:
    """Return scores 0–10 as a float Series, missing where not answered, or refuse them.

    Parameters
    ----------
    scores : array-like
        One score per row.

    Returns
    -------
    Series of float
        On the index of `scores` if it has one.

    Raises
    ------
    DataError
        If a score is text, yes/no, no whole number, or outside 0–10.

    Examples
    --------
    >>> nps_scores([9, None, 3]).tolist()
    [9.0, nan, 3.0]
    """
    if isinstance(scores, pd.Series):
        values = scores
    else:
        values = pd.Series(list(scores) if not hasattr(scores, "__array__") else np.asarray(scores))
    if values.dtype == object or not pd.api.types.is_numeric_dtype(values.dtype):
        strange = [v for v in values.dropna() if not isinstance(v, Real) or isinstance(v, bool)]
        if strange:
            kinds = ", ".join(sorted({type(v).__name__ for v in strange}))
            raise DataError(
                f"scores: expected whole numbers 0–10; {len(strange)} of {len(values)} are "
                f"{kinds}. Convert the column, for example with pandas.to_numeric."
            )
    elif pd.api.types.is_bool_dtype(values.dtype):
        raise DataError(f"scores: expected whole numbers 0–10, got {len(values)} yes/no values.")
    values = values.astype("Float64").astype("float64")
    bad = values.notna() & ~values.isin(range(11))
    if bad.any():
        rows = ", ".join(str(row) for row in np.flatnonzero(bad)[:5])
        outside = int(((values < 0) | (values > 10)).sum())
        raise DataError(
            f"scores: expected whole numbers 0–10; of {len(values)}, {outside} are outside and "
            f"{int(bad.sum()) - outside} are no whole numbers, first at row {rows}. Correct the "
            "source, or give another scale its own measure: only 0–10 makes an NPS."
        )
    return values
