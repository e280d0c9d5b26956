"""Predicted against observed rates, bin by bin."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from cxpredict.errors import ModelError
from cxpredict.models.evaluation import inputs, metrics
from cxpredict.models.evaluation.intervals import N_BINS

__all__ = ["calibration_noise", "calibration_table", "interval_table"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


def calibration_table(
    y: Any, p: Any, *, n_bins: int = 10, weights: Any = None, level: float = 0.95
) -> pd.DataFrame:
    """Compare predicted with observed rates in bins of equal mass.

    Parameters
    ----------
    y, p, weights
        As in `evaluate`.
    n_bins : int, default 10
        Number of bins; equal predictions stay in one bin, so that there may be fewer.
    level : float, default .95
        Confidence level of the interval of the observed rate.

    Returns
    -------
    DataFrame
        Columns bin (1, 2, … by rising prediction), n (rows), mean_predicted, observed, low,
        high (Wilson interval with the effective number of rows).

    Raises
    ------
    ModelError
        As in `evaluate`; or `n_bins` is no whole number from 1 on.

    Notes
    -----
    Rows without weight belong to no bin.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference.

    Examples
    --------
    >>> table = calibration_table([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], n_bins=2)
    >>> table[["n", "mean_predicted", "observed"]].values.tolist()
    [[2.0, 0.2, 0.5], [2.0, 0.9, 1.0]]
    """
    probability = inputs.probabilities(p)
    event = inputs.events(y)
    weight, _ = inputs.aligned(None, weights, y=y, p=p)
    rows, row_bin = _bins(probability, weight, n_bins)
    probability, event, weight = probability[rows], event[rows], weight[rows]
    total = np.bincount(row_bin, weight)
    observed = np.bincount(row_bin, weight * event) / total
    effective = total**2 / np.bincount(row_bin, weight**2)
    z2 = float(ndtri((1.0 + level) / 2.0)) ** 2
    centre = (observed + z2 / (2 * effective)) / (1 + z2 / effective)
    variance = observed * (1 - observed) / effective + z2 / (4 * effective**2)
    half = np.sqrt(z2 * variance) / (1 + z2 / effective)
    return pd.DataFrame(
        {
            "bin": np.arange(1, len(total) + 1),
            "n": np.bincount(row_bin),
            "mean_predicted": np.bincount(row_bin, weight * probability) / total,
            "observed": observed,
            "low": np.clip(centre - half, 0.0, observed),
            "high": np.clip(centre + half, observed, 1.0),
        }
    )


def _bins(probability: Floats, weight: Floats, n_bins: int) -> tuple[Ints, Ints]:
    """Give the rows that have a weight, and the bin of equal mass (0, 1, …) of each."""
    inputs.check_bins(n_bins)
    rows = np.flatnonzero(weight > 0)
    _, cell = np.unique(probability[rows], return_inverse=True)
    bins = metrics.equal_mass_bins(cell, weight[rows], n_bins)
    _, row_bin = np.unique(bins[cell], return_inverse=True)
    return rows, row_bin


def calibration_noise(p: Any, *, weights: Any = None) -> float:
    """Return the calibration error that a perfectly calibrated model shows by chance.

    Parameters
    ----------
    p, weights
        As in `evaluate`.

    Returns
    -------
    float
        Expectation of the metric ece when each outcome is drawn with its probability p.

    Notes
    -----
    Σₖ √(2Vₖ/π) ÷ Σw with Vₖ = Σw²p(1 − p) over the rows of bin k: the mean absolute value of a
    normal variable. Rows count as independent, so that it is too small where customers repeat.

    References
    ----------
    Bröcker, Smith (2007), Increasing the reliability of reliability diagrams.

    Examples
    --------
    >>> round(calibration_noise([0.5] * 100), 4)      # one bin: √(2 · 25 / π) / 100
    0.0399
    """
    probability = inputs.probabilities(p)
    weight, _ = inputs.aligned(None, weights, p=p)
    rows, row_bin = _bins(probability, weight, N_BINS)
    share, mass = probability[rows], weight[rows]
    variance = np.bincount(row_bin, mass**2 * share * (1.0 - share))
    return float(np.sqrt(2.0 * variance / np.pi).sum() / weight.sum())


def interval_table(
    y: Any, p: Any, interval: Any, *, n_bins: int = 10, weights: Any = None
) -> pd.DataFrame:
    """Compare intervals of probabilities with the observed rates in bins of equal mass.

    Parameters
    ----------
    y, p, weights
        As in `evaluate`.
    interval : array-like of shape (n, 2)
        Low and high of each probability, as from `ChurnModel.predict_interval`.
    n_bins : int, default 10
        Number of bins; equal predictions stay in one bin.

    Returns
    -------
    DataFrame
        Columns bin (1, 2, … by rising prediction), n (rows), mean_low, mean_high, width, observed,
        covered (whether the observed rate lies between the means).

    Raises
    ------
    ModelError
        As in `calibration_table`; or the interval has another shape or index, gaps, or does not
        hold its probability.

    Notes
    -----
    The observed rate is itself uncertain, so that even right intervals cover less than their
    level: the more so the fewer rows a bin has.

    Examples
    --------
    >>> bounds = [[0.1, 0.6], [0.1, 0.6], [0.8, 0.9], [0.8, 0.9]]
    >>> table = interval_table([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], bounds, n_bins=2)
    >>> table[["observed", "covered"]].values.tolist()
    [[0.5, True], [1.0, False]]
    """
    table = calibration_table(y, p, n_bins=n_bins, weights=weights)
    probability = inputs.probabilities(p)
    labelled = {"interval": interval} if isinstance(interval, pd.DataFrame) else {}
    weight, _ = inputs.aligned(None, weights, y=y, p=p, **labelled)
    bounds = _bounds(interval, probability)
    rows, row_bin = _bins(probability, weight, n_bins)
    weight, bounds = weight[rows], bounds[rows]
    low, high = (
        np.bincount(row_bin, weight * side) / np.bincount(row_bin, weight) for side in bounds.T
    )
    observed = table["observed"].to_numpy()
    return pd.DataFrame(
        {
            "bin": table["bin"],
            "n": table["n"],
            "mean_low": low,
            "mean_high": high,
            "width": high - low,
            "observed": observed,
            "covered": (low <= observed) & (observed <= high),
        }
    )


def _bounds(interval: Any, probability: Floats) -> Floats:
    """Read the interval of each probability."""
    bounds = inputs.floats(interval, "interval")
    if bounds.shape != (len(probability), 2) or not np.isfinite(bounds).all():
        raise ModelError(
            f"interval must have shape ({len(probability):,}, 2) without gaps; got {bounds.shape}."
        )
    outside = ~((bounds[:, 0] <= probability) & (probability <= bounds[:, 1]))
    if outside.any():
        raise ModelError(
            f"interval: expected low ≤ p ≤ high, {outside.sum():,} of {len(bounds):,} rows are "
            "otherwise; pass the interval of the same model and rows, low first."
        )
    return bounds
