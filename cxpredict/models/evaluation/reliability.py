"""Predicted against observed rates, bin by bin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from cxpredict.models.evaluation import inputs, metrics

__all__ = ["calibration_table"]


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
