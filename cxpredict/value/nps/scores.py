"""Answers to "how likely are you to recommend us?": the 0–10 scale and its three groups."""

from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.errors import DataError

Scale = tuple[int, int] | None
_SHORTER_SCALES = ((5, 11), (7, 30))
"""Highest score, and the answers it takes to believe that the scale ends there."""


def nps_group(scores: Any, *, scale: Scale = None) -> Any:
    """Name the NPS group of each 0–10 score.

    Parameters
    ----------
    scores : array-like of numbers
        Whole numbers 0–10; missing where the customer did not answer.
    scale : (0, 10), optional
        Declares the scale; see `nps_scores`.

    Returns
    -------
    Series of ordered category
        ``detractor`` (0–6), ``passive`` (7–8), ``promoter`` (9–10); missing stays missing.

    Raises
    ------
    DataError
        As in `nps_scores`.

    Examples
    --------
    >>> nps_group([6, 7, 10]).tolist()
    ['detractor', 'passive', 'promoter']
    """
    values = nps_scores(scores, scale=scale)
    codes = np.where(values.isna(), -1, (values >= 7).astype(int) + (values >= 9).astype(int))
    dtype = pd.CategoricalDtype(["detractor", "passive", "promoter"], ordered=True)
    groups = pd.Categorical.from_codes(codes, dtype=dtype)
    return pd.Series(groups, index=values.index, name="nps_group")


def nps_scores(scores: Any, *, scale: Scale = None) -> pd.Series:
    """Return scores 0–10 as a float Series, missing where not answered, or refuse them.

    Parameters
    ----------
    scores : array-like
        One score per row.
    scale : (0, 10), optional
        Declares that the survey asked for 0–10. Needed only where the scores leave that in doubt.

    Returns
    -------
    Series of float
        On the index of `scores` if it has one.

    Raises
    ------
    DataError
        If a score is text, yes/no, no whole number, or outside 0–10; if another scale is
        declared; or if none is declared and the scores look like another one: 11 or more of them
        and none above 5, or 30 or more and none above 7.

    Notes
    -----
    Scores of a 1–5 or 1–7 survey all lie within 0–10 and would give an NPS near −100 without a
    word. Of 11 honest answers none is above 5 once in 10,000 times where 57 % score higher, and
    of 30 none above 7 where 27 % do; for companies worse than that, declare the scale.

    Examples
    --------
    >>> nps_scores([9, None, 3]).tolist()
    [9.0, nan, 3.0]
    """
    if scale is not None and scale not in ((0, 10), [0, 10]):
        raise DataError(
            f"scale: an NPS is of scores (0, 10), got the scale {scale!r}. Do not stretch another "
            "scale to 0–10; report its mean or its share of satisfied customers instead."
        )
    values = scores if isinstance(scores, pd.Series) else pd.Series(_as_column(scores))
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
    if scale is None:
        _doubt(values.dropna())
    return values


def _as_column(scores: Any) -> Any:
    if hasattr(scores, "__array__"):
        column = np.asarray(scores)
        if column.ndim == 1:
            return column
        raise DataError(
            f"scores: expected one score per row, got shape {column.shape}. Of a table give one "
            "column."
        )
    if isinstance(scores, str | bytes) or not isinstance(scores, Iterable):
        raise DataError(f"scores: expected one score per row, got one {type(scores).__name__}.")
    return list(scores)


def _doubt(answers: pd.Series) -> None:
    """Refuse scores that seem to come from a shorter scale."""
    for highest, enough in _SHORTER_SCALES:
        if len(answers) >= enough and answers.max() <= highest:
            raise DataError(
                f"scores: none of {len(answers)} answers is above {highest}, as in a survey from 1 "
                f"to {highest}, which has no NPS. If customers were asked for 0–10, say so with "
                "scale=(0, 10)."
            )
