"""How well a model is expected to do before any outcome is known, from its probabilities alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit, ndtri

from cxpredict.config.value import OfferSettings
from cxpredict.models.evaluation import metrics
from cxpredict.models.evaluation.intervals import N_BINS
from cxpredict.value.profit import expected_gain

__all__ = ["ESTIMATED", "estimated"]

Floats = npt.NDArray[np.float64]

ESTIMATED = ("roc_auc", "average_precision", "log_loss", "brier", "base_rate")
N_DRAWS = 500
MOST_CELLS = 2_000
_EDGE = 1e-9


def estimated(
    risk: pd.Series,
    tested: Mapping[str, Any],
    *,
    worth: pd.Series | None = None,
    offer: OfferSettings | None = None,
    level: float = 0.95,
    random_state: int = 0,
) -> pd.DataFrame:
    """Estimate metrics of scored customers whose outcome is not known yet.

    Parameters
    ----------
    risk : Series
        Predicted probabilities, one row per customer.
    tested : mapping of str to (estimate, low, high)
        The metrics of the test rows, with 95 % intervals, as in the card of a bundle:
        calibration_slope, calibration_intercept and mean_prediction are used.
    worth, offer : optional
        As in `realised`; add mean_gain, what is expected of contacting those it pays for.
    level : float in (0, 1), default .95
        Level of the intervals.
    random_state : int, default 0
        Seed of the draws.

    Returns
    -------
    DataFrame
        Columns metric, estimate, low, high: roc_auc, average_precision, log_loss, brier,
        base_rate, mean_gain. The interval is of the value that will be *measured* on these
        customers.

    Notes
    -----
    If of customers with probability p a share p leaves, the expected metric follows from the
    probabilities: each customer is p of a leaver and 1 − p of a stayer (confidence-based
    performance estimation). How well that holds is known from the test alone: in each draw the
    log-odds of the outcome are x + a + b(x − c), x those of the score, c those of the mean
    prediction of the test, a and b normal around 0 with the mean squares that the test allows: the
    square of the intercept (of the slope less 1) found there, and of its standard error. So a test
    that found probabilities off, in a season say, makes intervals wide, and is not carried on as
    if it had to recur. Outcomes are then drawn for each customer.

    *Assumes that calibration holds*, which no score can show. Who comes may change (covariate
    shift); what a customer like this does may not (concept drift): then the estimate is wrong,
    stays as good as ever while the model fails, and only outcomes can tell. Where the model left
    something out that changes among those with one score, calibration breaks even under a mere
    change of who comes.

    References
    ----------
    Garg et al. (2022), Leveraging unlabeled data to predict out-of-distribution performance.
    Białek et al. (2024), Estimating model performance under covariate shift without labels.

    Examples
    --------
    >>> risk = pd.Series([0.2, 0.8] * 500)
    >>> tested = {"calibration_slope": (1, 1, 1), "calibration_intercept": (0, 0, 0)}
    >>> table = estimated(risk, tested).set_index("metric")
    >>> round(float(table.loc["roc_auc", "estimate"]), 4)           # .8² + .8 · .2 = .8
    0.8
    >>> round(float(table.loc["brier", "estimate"]), 4)             # .2 · .8
    0.16
    """
    rng = np.random.default_rng(random_state)
    lines = _calibrations(tested, rng)
    cells, total = _cells(risk.to_numpy(dtype=np.float64))
    q = _recalibrated(cells, lines)
    outcomes = rng.binomial(total.astype(np.int64), q[1:]).astype(np.float64)
    found = _metrics(cells, np.vstack([total * q[0], outcomes]), total)
    if worth is not None and offer is not None:
        found["mean_gain"] = _gains(risk, worth, offer, lines, rng)
    ends = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
    rows = []
    for name, values in found.items():
        drawn = values[1:][np.isfinite(values[1:])]
        low, high = np.quantile(drawn, ends) if len(drawn) else (np.nan, np.nan)
        rows.append({"metric": name, "estimate": values[0], "low": low, "high": high})
    return pd.DataFrame(rows)


def _calibrations(tested: Mapping[str, Any], rng: np.random.Generator) -> Floats:
    """Draw intercept, slope and pivot of the outcome's log-odds; the first are the ideal."""
    shift = _deviations(tested.get("calibration_intercept"), 0.0, rng)
    tilt = _deviations(tested.get("calibration_slope"), 1.0, rng)
    mean = (tested.get("mean_prediction") or (0.5,))[0]
    pivot = logit(np.clip(mean, _EDGE, 1.0 - _EDGE))
    return np.column_stack([shift, np.maximum(1.0 + tilt, 0.0), np.full(len(shift), pivot)])


def _deviations(interval: Any, ideal: float, rng: np.random.Generator) -> Floats:
    """Draw deviations from the ideal, as large as the test found them; the first is none."""
    estimate, low, high = interval or (None, None, None)
    if estimate is None or low is None or high is None:
        return np.zeros(N_DRAWS + 1)
    error = (high - low) / (2.0 * ndtri(0.975))
    spread = float(np.hypot(error, estimate - ideal))
    return np.append(0.0, spread * rng.standard_normal(N_DRAWS))


def _cells(p: Floats) -> tuple[Floats, Floats]:
    """Sum customers with equal probabilities, many different ones into cells of equal mass."""
    distinct, cell = np.unique(p, return_inverse=True)
    total: Floats = np.bincount(cell).astype(np.float64)
    if len(distinct) <= MOST_CELLS:
        return distinct, total
    bins = metrics.equal_mass_bins(cell, np.ones(len(p)), MOST_CELLS)
    _, place = np.unique(bins, return_inverse=True)
    mass: Floats = np.bincount(place, total).astype(np.float64)
    return np.bincount(place, total * distinct) / mass, mass


def _recalibrated(p: Floats, lines: Floats) -> Floats:
    """Give the probability of the outcome at each score, shape (draws + 1, scores)."""
    x = logit(p.clip(_EDGE, 1.0 - _EDGE))
    a, b, pivot = (lines[:, place, None] for place in range(3))
    return np.asarray(expit(x + a + (b - 1.0) * (x - pivot)))


def _metrics(p: Floats, positive: Floats, total: Floats) -> dict[str, Floats]:
    mass = np.broadcast_to(total, positive.shape)
    bins = metrics.equal_mass_bins(np.arange(len(p), dtype=np.intp), total, N_BINS)
    found = metrics.binary(p, positive, mass, bins=bins, start=np.array([0.0, 0.0, 1.0]))
    return {name: found[name] for name in ESTIMATED}


def _gains(
    risk: pd.Series, worth: pd.Series, offer: OfferSettings, lines: Floats, rng: np.random.Generator
) -> Floats:
    """Draw the mean gain of contacting whom the scores choose."""
    known = worth.notna().to_numpy()
    terms = {
        "value": worth.to_numpy()[known],
        "incentive": offer.incentive,
        "contact_cost": offer.contact_cost,
        "acceptance": offer.mean_acceptance,
    }
    p = risk.to_numpy(dtype=np.float64)[known]
    chosen = expected_gain(p, **terms) > 0
    stays, leaves = (expected_gain(np.full(len(p), y), **terms) * chosen for y in (0.0, 1.0))
    means = np.empty(len(lines))
    for draw, line in enumerate(lines):
        q = _recalibrated(p, line[None, :])[0]
        noise = rng.standard_normal() * (draw > 0)
        spread = np.sqrt(np.sum(q * (1.0 - q) * (leaves - stays) ** 2))
        means[draw] = (np.sum(stays + q * (leaves - stays)) + noise * spread) / len(risk)
    return means
