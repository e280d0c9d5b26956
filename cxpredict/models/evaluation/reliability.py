"""Predicted against observed rates, bin by bin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from cxpredict.models.evaluation import inputs, metrics
from cxpredict.models.evaluation.intervals import N_BINS

__all__ = ["calibration_noise", "calibration_table"]


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
        As in `evaluate`.

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
    _, cell = np.unique(probability, return_inverse=True)
    bins = metrics.equal_mass_bins(cell, weight, n_bins)
    _, row_bin = np.unique(bins[cell], return_inverse=True)
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
    _, cell = np.unique(probability, return_inverse=True)
    bins = metrics.equal_mass_bins(cell, weight, N_BINS)
    variance = np.bincount(bins[cell], weight**2 * probability * (1.0 - probability))
    return float(np.sqrt(2.0 * variance / np.pi).sum() / weight.sum())
