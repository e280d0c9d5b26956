"""Customers in the order of a score, cumulated; and the upper convex hull of points."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cxpredict.data.checks import Floats, common_index, in_range
from cxpredict.errors import DataError

Ints = npt.NDArray[np.intp]


def outcome_and_score(y: Any, p: Any) -> tuple[Floats, Floats]:
    """Read who left and how high each customer scores; refuse what cannot be ranked."""
    common_index(y=y, p=p)
    outcome, score = in_range("y", y, 0.0, 1.0), in_range("p", p)
    if outcome.ndim != 1 or outcome.shape != score.shape:
        raise DataError(f"y and p: expected equal lengths, got {outcome.shape}, {score.shape}.")
    if set(np.unique(outcome)) != {0.0, 1.0}:
        raise DataError("y: expected both 0 (stayed) and 1 (left), and nothing else.")
    return outcome, score


def falling_thresholds(score: Floats) -> tuple[Floats, Ints]:
    """Give infinity and the distinct scores, falling; and which of these scores each one is."""
    thresholds, place = np.unique(-score, return_inverse=True)
    return np.concatenate([[np.inf], -thresholds]), place


def cumulate(place: Ints, amounts: Floats, n_distinct: int) -> Floats:
    """Sum amounts of all at or above each threshold, 0 above the first."""
    sums = np.bincount(place, weights=amounts, minlength=n_distinct)
    return np.concatenate([[0.0], sums.cumsum()])


def upper_hull(x: Floats, y: Floats) -> list[int]:
    """Positions of the vertices of the upper convex hull of points sorted by x and y."""
    hull: list[int] = []
    for i in range(len(x)):
        while len(hull) >= 2:
            a, b = hull[-2], hull[-1]
            if (x[b] - x[a]) * (y[i] - y[a]) < (y[b] - y[a]) * (x[i] - x[a]):
                break
            hull.pop()
        hull.append(i)
    return hull
