"""Metrics of predictions, computed for many weightings of the same rows at once.

Rows with equal predictions are summed to one cell, so that ties are ties in every metric. All
functions take `positive` and `total`: mass of the events and of all rows, shape (draws, cells),
cells in rising order of the prediction.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxpredict.models.calibration.logistic import recalibration

__all__ = ["binary", "equal_mass_bins", "score_losses"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

_TINY = 1e-15


def equal_mass_bins(cell: Ints, weight: Floats, n_bins: int) -> Ints:
    """Return the bin 0 … n_bins − 1 of each cell, by the middle of its cumulated mass.

    Parameters
    ----------
    cell : ndarray of int, shape (n,)
        Cell of each row, numbered in rising order of the prediction.
    weight : ndarray of float, shape (n,)
        Weights of the rows.
    n_bins : int
        Number of bins.

    Returns
    -------
    ndarray of int, shape (cells,)
        Bins; a cell is never divided.

    Examples
    --------
    >>> equal_mass_bins(np.array([3, 2, 1, 0]), np.array([3.0, 1.0, 1.0, 1.0]), 2).tolist()
    [0, 0, 0, 1]
    """
    mass: Floats = np.bincount(cell, weight).astype(np.float64)
    middle = np.cumsum(mass) - mass / 2.0
    bins: Ints = np.minimum(middle / mass.sum() * n_bins, n_bins - 1).astype(np.intp)
    return bins


def binary(
    p: Floats, positive: Floats, total: Floats, *, bins: Ints, start: Floats
) -> dict[str, Floats]:
    """Compute the metrics of a probability of an event.

    Parameters
    ----------
    p : ndarray of float, shape (cells,)
        Distinct predictions, ascending.
    positive, total : ndarray of float, shape (draws, cells)
        Mass of the events and of all rows.
    bins : ndarray of int, shape (cells,)
        Bin of each cell for the calibration error.
    start : ndarray of float, shape (3,)
        Start of `recalibration`.

    Returns
    -------
    dict of str to ndarray of float, shape (draws,)
        Metrics by name; NaN where a draw lacks one of the outcomes.

    Examples
    --------
    >>> found = binary(np.array([0.2, 0.8]), np.array([[1.0, 3.0]]), np.array([[4.0, 4.0]]),
    ...                bins=np.array([0, 1]), start=np.array([0.0, 0.0, 1.0]))
    >>> float(found["roc_auc"][0]), round(float(found["ece"][0]), 3)
    (0.75, 0.05)
    """
    mass, events = total.sum(axis=1), positive.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        capture = _capture(positive, total, 0.1) / events
        safe = p.clip(_TINY, 1.0 - _TINY)
        log_loss = -(positive @ np.log(safe) + (total - positive) @ np.log1p(-safe)) / mass
        brier = (positive @ (1.0 - p) ** 2 + (total - positive) @ p**2) / mass
        refit = recalibration(p, positive, total, start)
        found = {
            "roc_auc": _auc(positive, total),
            "average_precision": _average_precision(positive, total),
            "log_loss": log_loss,
            "brier": brier,
            "ece": _calibration_error(p, positive, total, bins),
            "calibration_slope": refit[:, 2],
            "calibration_intercept": refit[:, 0],
            "lift_at_10pct": capture / 0.1,
            "capture_at_10pct": capture,
            "base_rate": events / mass,
            "mean_prediction": total @ p / mass,
        }
    both = (events > 0) & (events < mass)
    return {name: np.where(both, values, np.nan) for name, values in found.items()}


def score_losses(code: Ints, share: Floats, levels: Floats) -> dict[str, Floats]:
    """Compute, per row, what the metrics of a score's distribution average.

    Parameters
    ----------
    code : ndarray of int, shape (n,)
        Position of the given score in `levels`.
    share : ndarray of float, shape (n, K)
        Predicted probability of each level.
    levels : ndarray of float, shape (K,)
        Levels of the scale, ascending.

    Returns
    -------
    dict of str to ndarray of float, shape (n,)
        mean_absolute_error, ranked_probability_score, score_log_loss, mean_score,
        mean_expected_score.

    Examples
    --------
    >>> losses = score_losses(np.array([2]), np.array([[0.2, 0.3, 0.5]]), np.array([1.0, 2, 3]))
    >>> round(float(losses["ranked_probability_score"][0]), 3)      # (.2² + .5²) / 2
    0.145
    """
    expected = share @ levels
    below = np.arange(len(levels) - 1)[None, :] >= code[:, None]
    squares = (np.cumsum(share, axis=1)[:, :-1] - below) ** 2
    chosen = share[np.arange(len(code)), code].clip(_TINY)
    return {
        "mean_absolute_error": np.abs(expected - levels[code]),
        "ranked_probability_score": squares.sum(axis=1) / max(len(levels) - 1, 1),
        "score_log_loss": -np.log(chosen),
        "mean_score": levels[code],
        "mean_expected_score": expected,
    }


def _auc(positive: Floats, total: Floats) -> Floats:
    negative = total - positive
    below = np.cumsum(negative, axis=1) - negative
    pairs = np.sum(positive * (below + negative / 2.0), axis=1)
    return np.asarray(pairs / (positive.sum(axis=1) * negative.sum(axis=1)))


def _average_precision(positive: Floats, total: Floats) -> Floats:
    hits = np.cumsum(positive[:, ::-1], axis=1)
    seen = np.cumsum(total[:, ::-1], axis=1)
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return np.asarray(np.sum(precision * positive[:, ::-1], axis=1) / hits[:, -1])


def _capture(positive: Floats, total: Floats, share: float) -> Floats:
    """Mass of events among the `share` of rows with the highest predictions."""
    hits = np.cumsum(positive[:, ::-1], axis=1)
    seen = np.cumsum(total[:, ::-1], axis=1)
    wanted = share * seen[:, -1]
    return np.array(
        [
            np.interp(w, np.append(0.0, s), np.append(0.0, h))
            for w, s, h in zip(wanted, seen, hits, strict=True)
        ]
    )


def _calibration_error(p: Floats, positive: Floats, total: Floats, bins: Ints) -> Floats:
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    gap = np.add.reduceat(positive - total * p, starts, axis=1)
    return np.asarray(np.abs(gap).sum(axis=1) / total.sum(axis=1))
