"""The levels of a score, which of them are low, and where answers lie on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cxpredict.errors import ModelError

__all__ = ["SCALES", "checked_scale", "numeric_levels", "score_codes"]

SCALES: dict[str, tuple[range, int]] = {
    "nps": (range(11), 6),
    "csat": (range(1, 6), 2),
    "ces": (range(1, 8), 3),
}
"""Levels of the usual scales, and the highest low one: detractors, unhappy, with much effort."""


def numeric_levels(levels: Any) -> npt.NDArray[Any]:
    """Return declared levels as an array of numbers.

    Raises
    ------
    ModelError
        They are no sequence of numbers.

    Examples
    --------
    >>> numeric_levels([1.5, 2.5]).tolist()
    [1.5, 2.5]
    """
    found = np.array(list(levels)) if np.iterable(levels) else np.array([])
    if found.ndim != 1 or found.dtype.kind not in "iufb" or len(found) == 0:
        raise ModelError(
            f"levels must be {', '.join(SCALES)} or a sequence of numbers; got "
            f"{type(levels).__name__}."
        )
    return found


def checked_scale(levels: npt.NDArray[Any], low_at_most: Any) -> tuple[npt.NDArray[Any], Any]:
    """Check the levels of a scale and find the highest low one.

    Parameters
    ----------
    levels : ndarray, shape (K,)
        Levels, ascending.
    low_at_most : number or None
        Scores up to this one are low; None takes the lower half of the levels.

    Returns
    -------
    tuple of (ndarray, level)
        The levels, and the highest of them that is low.

    Raises
    ------
    ModelError
        Fewer than two levels, levels out of order, or all of them on one side.

    Examples
    --------
    >>> checked_scale(np.arange(11), 6.5)[1].item()
    6
    """
    if len(levels) < 2:
        raise ModelError(
            f"A score needs at least 2 levels (classes) to learn from; got {len(levels)} class."
        )
    if not np.array_equal(levels, np.unique(levels)):
        raise ModelError("levels must be ascending, each once.")
    low = levels[: len(levels) // 2] if low_at_most is None else levels[levels <= low_at_most]
    if not 0 < len(low) < len(levels):
        raise ModelError(
            f"low_at_most must divide the levels {levels[0]} to {levels[-1]} into low and other "
            f"scores; got {low_at_most}."
        )
    return levels, low[-1]


def score_codes(scores: npt.NDArray[Any], levels: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the position of each score among the levels.

    Parameters
    ----------
    scores : ndarray, shape (n,)
        Answers.
    levels : ndarray, shape (K,)
        Levels, ascending.

    Returns
    -------
    ndarray of int, shape (n,)
        Positions 0 … K − 1.

    Raises
    ------
    ModelError
        Counts the scores that are no level.

    Examples
    --------
    >>> score_codes(np.array([5, 1]), np.array([1, 3, 5])).tolist()
    [2, 0]
    """
    known = np.isin(scores, levels)
    if not known.all():
        raise ModelError(
            f"{int((~known).sum()):,} of {len(scores):,} scores are not among the {len(levels)} "
            f"levels ({levels[0]} to {levels[-1]}). Correct the scores, or the levels."
        )
    return np.searchsorted(levels, scores).astype(np.intp)
