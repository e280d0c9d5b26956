"""Metrics of predictions, computed for many weightings of the same rows at once.

Rows with equal predictions are summed to one cell, so that ties are ties in every metric. All
functions take `positive` and `total`: mass of the events and of all rows, shape (draws, cells),
cells in rising order of the prediction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cxpredict.models.calibration.logistic import recalibration

__all__ = ["COMPARABLE", "SIGN", "binary", "equal_mass_bins", "loss", "score_losses"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

_TINY = 1e-15
_SHARES = {"1pct": 0.01, "5pct": 0.05, "10pct": 0.1, "20pct": 0.2}

SIGN = {
    "roc_auc": -1.0,
    "average_precision": -1.0,
    "log_loss": 1.0,
    "log_loss_skill": -1.0,
    "brier": 1.0,
    "brier_reliability": 1.0,
    "brier_resolution": -1.0,
    "ece": 1.0,
    "calibration_slope": 1.0,
    "calibration_intercept": 1.0,
    **{f"{what}_at_{share}": -1.0 for what in ("lift", "capture") for share in _SHARES},
    "precision_at_capacity": -1.0,
    "mean_gain": -1.0,
}
"""Metrics with a better direction: 1 where less is better (of the distance to the ideal for
calibration slope and intercept), −1 where more is."""

COMPARABLE = ("roc_auc", "log_loss_skill", "calibration_slope", "calibration_intercept")
"""Metrics that may be compared between segments of different size and base rate (the calibration
error grows by chance where rows are few)."""

_IDEAL = {"calibration_slope": 1.0, "calibration_intercept": 0.0}


def loss(name: str, values: Floats) -> Floats:
    """Turn a metric around where needed, so that less is better.

    Examples
    --------
    >>> float(loss("roc_auc", np.array(0.8))), float(loss("calibration_slope", np.array(0.75)))
    (-0.8, 0.25)
    """
    if name in _IDEAL:
        return np.asarray(np.abs(values - _IDEAL[name]))
    return np.asarray(SIGN[name] * values)


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
    p: Floats,
    positive: Floats,
    total: Floats,
    *,
    bins: Ints,
    start: Floats,
    capacity: float | None = None,
) -> dict[str, Floats]:
    """Compute the metrics of a probability of an event.

    Parameters
    ----------
    p : ndarray of float, shape (cells,)
        Distinct predictions, ascending.
    positive, total : ndarray of float, shape (draws, cells)
        Mass of the events and of all rows.
    bins : ndarray of int, shape (cells,)
        Bin of each cell for the calibration error and the parts of the Brier score.
    start : ndarray of float, shape (3,)
        Start of `recalibration`.
    capacity : float in (0, 1], optional
        Share of the rows that can be contacted; adds precision_at_capacity.

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
    both = _has_both(positive, total)
    if not both.all():  # an empty draw would stop the iterations of all others
        positive = np.where(both[:, None], positive, 0.5)
        total = np.where(both[:, None], total, 1.0)
    mass, events = total.sum(axis=1), positive.sum(axis=1)
    base = events / mass
    hits, seen = np.cumsum(positive[:, ::-1], axis=1), np.cumsum(total[:, ::-1], axis=1)
    shares = [*_SHARES.values(), *([] if capacity is None else [capacity])]
    with np.errstate(divide="ignore", invalid="ignore"):
        top = _hits_at(hits, seen, shares)
        capture = {name: top[:, i] / events for i, name in enumerate(_SHARES)}
        safe = p.clip(_TINY, 1.0 - _TINY)
        log_loss = -(positive @ np.log(safe) + (total - positive) @ np.log1p(-safe)) / mass
        entropy = -(base * np.log(base) + (1.0 - base) * np.log1p(-base))
        brier = (positive @ (1.0 - p) ** 2 + (total - positive) @ p**2) / mass
        refit = recalibration(p, positive, total, start)
        found = {
            "roc_auc": _auc(positive, total, hits, seen),
            "average_precision": _average_precision(positive, hits, seen),
            "log_loss": log_loss,
            "log_loss_skill": 1.0 - log_loss / entropy,
            "brier": brier,
            **_calibration(p, positive, total, bins, brier),
            "calibration_slope": refit[:, 2],
            "calibration_intercept": refit[:, 0],
            **{f"lift_at_{name}": capture[name] / share for name, share in _SHARES.items()},
            **{f"capture_at_{name}": capture[name] for name in _SHARES},
            "base_rate": base,
            "mean_prediction": total @ p / mass,
        }
    if capacity is not None:
        found["precision_at_capacity"] = top[:, -1] / (capacity * mass)
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


def _has_both(positive: Floats, total: Floats) -> npt.NDArray[np.bool_]:
    """Tell the draws with mass on both outcomes."""
    return np.asarray((positive > 0).any(axis=1) & (total > positive).any(axis=1))


def _auc(positive: Floats, total: Floats, hits: Floats, seen: Floats) -> Floats:
    """Share of pairs in the right order, a tie as half a pair."""
    others = seen - hits
    below = others[:, -1:] - others + (total - positive)[:, ::-1] / 2.0
    pairs = np.sum(positive[:, ::-1] * below, axis=1)
    return np.asarray(pairs / (hits[:, -1] * others[:, -1]))


def _average_precision(positive: Floats, hits: Floats, seen: Floats) -> Floats:
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return np.asarray(np.sum(precision * positive[:, ::-1], axis=1) / hits[:, -1])


def _hits_at(hits: Floats, seen: Floats, shares: Sequence[float]) -> Floats:
    """Mass of events among each share of rows with the highest predictions; ties in proportion."""
    found = np.empty((len(seen), len(shares)))
    for row, (h, s) in enumerate(zip(hits, seen, strict=True)):
        wanted = np.asarray(shares) * s[-1]
        last = np.minimum(np.searchsorted(s, wanted), len(s) - 1)
        before = np.where(last > 0, s[last - 1], 0.0), np.where(last > 0, h[last - 1], 0.0)
        part = (wanted - before[0]) / (s[last] - before[0])
        found[row] = before[1] + part * (h[last] - before[1])
    return found


def _calibration(
    p: Floats, positive: Floats, total: Floats, bins: Ints, brier: Floats
) -> dict[str, Floats]:
    """Calibration error and the parts of the Brier score over bins (Murphy, Stephenson)."""
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    events = np.add.reduceat(positive, starts, axis=1)
    expected = np.add.reduceat(total * p, starts, axis=1)
    rows = np.add.reduceat(total, starts, axis=1)
    mass = rows.sum(axis=1)
    base = events.sum(axis=1) / mass
    filled = np.where(rows > 0, rows, 1.0)
    reliability = np.sum((expected - events) ** 2 / filled, axis=1) / mass
    resolution = np.sum((events - rows * base[:, None]) ** 2 / filled, axis=1) / mass
    uncertainty = base * (1.0 - base)
    return {
        "brier_reliability": reliability,
        "brier_resolution": resolution,
        "brier_uncertainty": uncertainty,
        "brier_within_bins": brier - (reliability - resolution + uncertainty),
        "ece": np.abs(events - expected).sum(axis=1) / mass,
    }
