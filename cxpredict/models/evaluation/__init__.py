"""How good predictions are, with intervals from customers drawn with replacement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from cxpredict.errors import ModelError
from cxpredict.models.calibration.logistic import recalibration
from cxpredict.models.evaluation import inputs, metrics
from cxpredict.models.resampling import bootstrap_counts
from cxpredict.models.scale import score_codes

__all__ = ["calibration_table", "evaluate", "evaluate_scores"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
_CELLS_PER_BLOCK = 200_000


def evaluate(
    y: Any,
    p: Any,
    *,
    groups: Any = None,
    weights: Any = None,
    level: float = 0.95,
    n_bootstrap: int = 300,
    random_state: int = 0,
) -> pd.DataFrame:
    """Measure predicted probabilities of a yes-or-no outcome against what happened.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome: booleans, 0/1, or any two labels of which the larger is the event.
    p : array-like of shape (n,)
        Predicted probability of the event, in [0, 1].
    groups : array-like of shape (n,), optional
        Customer of each row; default is the index level ``customer_id`` of y or p, else each
        row is a customer of its own.
    weights : array-like of shape (n,), optional
        Weights of the rows, not negative.
    level : float, default .95
        Confidence level of the intervals, inside (0, 1).
    n_bootstrap : int, default 300
        Number of bootstrap samples.
    random_state : int, default 0
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        Columns metric, estimate, low, high. Metrics: roc_auc, average_precision, log_loss,
        brier, ece (expected calibration error, 15 bins of equal mass), calibration_slope (1 is
        right, below 1 overconfident), calibration_intercept (at slope 1; 0 is right, in
        log-odds), lift_at_10pct, capture_at_10pct (share of events among the tenth of rows with
        the highest p), base_rate, mean_prediction.

    Raises
    ------
    ModelError
        Lengths or indexes differ, p is outside [0, 1] or missing, the outcome does not have
        exactly two labels, or there are fewer than two customers.

    Notes
    -----
    Intervals are percentiles over bootstrap samples of customers; draws without both outcomes
    are left out. A sample from the sample has more noise than the sample itself, which shifts
    the calibration error upwards: its draws are re-centred at the estimate. Equal predictions
    count as tied: row order never matters.

    References
    ----------
    Van Calster et al. (2019), Calibration: the Achilles heel of predictive analytics.
    Field, Welsh (2007), Bootstrapping clustered data.

    Examples
    --------
    >>> y, p = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.8, 0.9]
    >>> table = evaluate(y, p).set_index("metric")
    >>> round(float(table.loc["roc_auc", "estimate"]), 4)   # 8 of 9 pairs in the right order
    0.8889
    """
    probability = inputs.probabilities(p)
    event = inputs.events(y)
    weight, customer = inputs.aligned(y, p, len(event), len(probability), groups, weights)
    distinct, cell = np.unique(probability, return_inverse=True)

    def cells(mass: Floats) -> tuple[Floats, Floats]:
        return _sums(cell, mass * event, len(distinct)), _sums(cell, mass, len(distinct))

    def measure(mass: Floats) -> dict[str, Floats]:
        return metrics.binary(distinct, *cells(mass), bins=bins, start=start)

    bins = metrics.equal_mass_bins(cell, weight, 15)
    identity = np.array([0.0, 0.0, 1.0])
    start = recalibration(distinct, *cells(weight[None, :]), identity)[0]
    return _table(measure, weight, customer, len(distinct), level, n_bootstrap, random_state)


def evaluate_scores(
    y: Any,
    proba: Any,
    *,
    levels: Sequence[float],
    groups: Any = None,
    weights: Any = None,
    level: float = 0.95,
    n_bootstrap: int = 300,
    random_state: int = 0,
) -> pd.DataFrame:
    """Measure predicted distributions over the levels of a score against the answers.

    Parameters
    ----------
    y : array-like of shape (n,)
        Scores given, each one of `levels`.
    proba : DataFrame or array-like of shape (n, K)
        Probability of each level, columns in the order of `levels`; rows sum to 1.
    levels : sequence of float
        Levels of the scale, ascending (0 … 10 for NPS).
    groups, weights, level, n_bootstrap, random_state
        As in `evaluate`.

    Returns
    -------
    DataFrame
        Columns metric, estimate, low, high. Metrics: mean_absolute_error (of the expected
        score, in points of the scale), ranked_probability_score (0 is perfect),
        score_log_loss, mean_score, mean_expected_score. For a low score see `evaluate`.

    Raises
    ------
    ModelError
        As in `evaluate`; or scores outside `levels`, rows that do not sum to 1.

    Notes
    -----
    Ranked probability score: Σₖ (P(Y ≤ k) − 1[y ≤ k])² ÷ (K − 1), averaged over rows.

    References
    ----------
    Epstein (1969), A scoring system for probability forecasts of ranked categories.

    Examples
    --------
    >>> table = evaluate_scores([1, 2, 2], [[1, 0], [0, 1], [0.5, 0.5]], levels=[1, 2])
    >>> round(float(table.set_index("metric").loc["mean_absolute_error", "estimate"]), 4)
    0.1667
    """
    scale = np.asarray(levels, dtype=np.float64)
    share = inputs.distributions(proba, len(scale))
    code = score_codes(inputs.floats(y, "y"), scale)
    weight, customer = inputs.aligned(y, proba, len(code), len(share), groups, weights)
    losses = metrics.score_losses(code, share, scale)

    def measure(mass: Floats) -> dict[str, Floats]:
        return {name: mass @ loss / mass.sum(axis=-1) for name, loss in losses.items()}

    return _table(measure, weight, customer, len(code), level, n_bootstrap, random_state)


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
    weight, _ = inputs.aligned(y, p, len(event), len(probability), None, weights)
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


def _table(
    measure: Callable[[Floats], dict[str, Floats]],
    weight: Floats,
    customer: Ints,
    n_cells: int,
    level: float,
    n_bootstrap: int,
    random_state: int,
) -> pd.DataFrame:
    """Estimate on all rows; intervals from blocks of bootstrap samples."""
    if not 0.0 < level < 1.0:
        raise ModelError(f"level must be between 0 and 1, for example .95; got {level}.")
    if len(np.unique(customer)) < 2:
        raise ModelError("An interval needs at least 2 customers; there is 1.")
    estimate = measure(weight[None, :])
    counts = bootstrap_counts(
        customer, n_draws=n_bootstrap, rng=np.random.default_rng(random_state)
    )
    block = max(1, _CELLS_PER_BLOCK // max(n_cells, len(weight)))
    draws: dict[str, list[Floats]] = {name: [] for name in estimate}
    for start in range(0, n_bootstrap, block):
        mass = np.array([next(counts) for _ in range(min(block, n_bootstrap - start))])
        for name, values in measure(mass * weight).items():
            draws[name].append(values)
    tails = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
    rows = []
    for name, value in estimate.items():
        drawn = np.concatenate(draws[name])
        drawn = drawn[np.isfinite(drawn)]
        if name == "ece" and len(drawn):
            drawn = np.maximum(drawn - drawn.mean() + value[0], 0.0)
        low, high = np.quantile(drawn, tails) if len(drawn) else (np.nan, np.nan)
        rows.append((name, float(value[0]), float(low), float(high)))
    return pd.DataFrame(rows, columns=["metric", "estimate", "low", "high"])


def _sums(cell: Ints, mass: Floats, n_cells: int) -> Floats:
    return np.array([np.bincount(cell, row, minlength=n_cells) for row in mass])
