"""Logistic regression on one log-odds column: to calibrate it, and to judge its calibration."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

__all__ = ["platt", "recalibration"]

Floats = npt.NDArray[np.float64]


def platt(margin: Floats, positive: Floats, total: Floats, *, penalty: float = 1.0) -> Floats:
    """Fit intercept and slope of logistic regressions on the margin.

    Parameters
    ----------
    margin : ndarray of float, shape (m,)
        Log-odds.
    positive, total : ndarray of float, shape (draws, m)
        Weight of the positive rows and of all rows at each margin, per regression.
    penalty : float
        Ridge towards intercept 0 and slope 1, in observations; above 0 the answer is finite.

    Returns
    -------
    ndarray of float, shape (draws, 2)
        Intercept and slope of each regression.

    Examples
    --------
    >>> m = np.array([[-1.0, 1.0]])
    >>> platt(m[0], expit(0.3 + 2.0 * m), np.ones((1, 2)), penalty=1e-9).round(6).tolist()
    [[0.3, 2.0]]
    """
    beta = np.tile([0.0, 1.0], (len(total), 1))
    loss = _penalised_loss(beta, margin, positive, total, penalty)
    for _ in range(50):
        fitted = expit(beta[:, :1] + beta[:, 1:] * margin)
        error, info = total * fitted - positive, total * fitted * (1.0 - fitted)
        g0 = error.sum(axis=1) + penalty * beta[:, 0]
        g1 = error @ margin + penalty * (beta[:, 1] - 1.0)
        h0, h1 = info.sum(axis=1) + penalty, info @ margin
        h2 = info @ margin**2 + penalty
        determinant = h0 * h2 - h1**2
        step = np.column_stack([h2 * g0 - h1 * g1, h0 * g1 - h1 * g0]) / determinant[:, None]
        # Newton may overshoot on steep data: halve where the loss does not fall.
        for _ in range(20):
            after = _penalised_loss(beta - step, margin, positive, total, penalty)
            worse = after > loss
            if not worse.any():
                break
            step[worse] /= 2.0
        beta, loss = beta - step, after
        if np.abs(step).max() < 1e-7:
            break
    return beta


def _penalised_loss(
    beta: Floats, margin: Floats, positive: Floats, total: Floats, penalty: float
) -> Floats:
    eta = beta[:, :1] + beta[:, 1:] * margin
    ridge = 0.5 * penalty * (beta[:, 0] ** 2 + (beta[:, 1] - 1.0) ** 2)
    return np.asarray(np.sum(total * np.logaddexp(0.0, eta) - positive * eta, axis=1) + ridge)


def recalibration(p: Floats, positive: Floats, total: Floats, start: Floats) -> Floats:
    """Regress the events on the log-odds of p: intercept at slope 1, then intercept and slope.

    Parameters
    ----------
    p, positive, total
        As in `binary`.
    start : ndarray of float, shape (3,)
        Where Newton's method starts; the answer of all rows is near that of every draw.

    Returns
    -------
    ndarray of float, shape (draws, 3)
        Intercept with the slope held at 1; intercept and slope fitted together (NaN when p is
        constant). Steps are bounded, because separated outcomes have no finite answer.

    Examples
    --------
    >>> p = expit(np.array([-1.0, 1.0]))
    >>> events = expit(np.array([[-2.0, 2.0]])) * 100.0      # the truth is twice as far out
    >>> recalibration(p, events, np.full((1, 2), 100.0), np.array([0.0, 0.0, 1.0])).round(6) + 0.0
    array([[0., 0., 2.]])
    """
    x = logit(p.clip(1e-9, 1.0 - 1e-9))
    shift, a, b = (np.full(len(total), value) for value in start)
    for _ in range(12):
        fitted = expit(x + shift[:, None])
        gap = np.sum(positive - total * fitted, axis=1)
        step = (gap / np.sum(total * fitted * (1 - fitted), axis=1)).clip(-2.0, 2.0)
        shift += step
        if not np.abs(step).max() > 1e-7:
            break
    if len(p) < 2:
        return np.column_stack([shift, np.full((len(total), 2), np.nan)])
    for _ in range(12):
        fitted = expit(a[:, None] + b[:, None] * x)
        error = positive - total * fitted
        info = total * fitted * (1 - fitted)
        h0, h1, h2 = info.sum(axis=1), info @ x, info @ x**2
        g0, g1 = error.sum(axis=1), error @ x
        det = h0 * h2 - h1**2
        da = ((h2 * g0 - h1 * g1) / det).clip(-2.0, 2.0)
        db = ((h0 * g1 - h1 * g0) / det).clip(-2.0, 2.0)
        a, b = a + da, b + db
        if not max(np.abs(da).max(), np.abs(db).max()) > 1e-7:
            break
    return np.column_stack([shift, a, b])
