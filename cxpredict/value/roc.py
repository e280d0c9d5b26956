"""The ROC curve in shares of all customers, and its convex hull."""

from typing import Any

import numpy as np

from cxpredict.errors import DataError
from cxpredict.value.checks import Floats, common_index, in_range


def cumulative_shares(y: Any, p: Any) -> tuple[Floats, Floats, Floats]:
    """Shares of all customers that are leavers and stayers at or above each threshold."""
    common_index(y=y, p=p)
    outcome, score = in_range("y", y, 0.0, 1.0), in_range("p", p)
    if outcome.ndim != 1 or outcome.shape != score.shape:
        raise DataError(f"y and p: expected equal lengths, got {outcome.shape}, {score.shape}.")
    if set(np.unique(outcome)) != {0.0, 1.0}:
        raise DataError("y: expected both 0 (stayed) and 1 (left), and nothing else.")
    thresholds, inverse = np.unique(-score, return_inverse=True)
    leavers = np.bincount(inverse, weights=outcome) / len(outcome)
    stayers = np.bincount(inverse, weights=1 - outcome) / len(outcome)
    return (
        np.concatenate([[0.0], leavers.cumsum()]),
        np.concatenate([[0.0], stayers.cumsum()]),
        np.concatenate([[np.inf], -thresholds]),
    )


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
