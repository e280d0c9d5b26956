"""How much each member counts: non-negative weights on the log-odds scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

__all__ = ["blend_weights"]

Floats = npt.NDArray[np.float64]

_PENALTY = 10.0
"""Pull towards the mean of the boosters, in observations."""
_NEGLIGIBLE = 0.01


def blend_weights(margins: Floats, prior: Floats, y: Floats, weight: Floats) -> Floats:
    """Find weights of members that minimise the log loss of held-out answers.

    Parameters
    ----------
    margins : ndarray of float, shape (members, n)
        Held-out log-odds of each member.
    prior : ndarray of float, shape (members,)
        Weights towards which few rows are shrunk.
    y : ndarray of {0., 1.}, shape (n,)
        Answers.
    weight : ndarray of float, shape (n,)
        Sample weights.

    Returns
    -------
    ndarray of float, shape (members,)
        Weights, not negative; their sum is free, since margins may be too timid or too bold.
        Members under 1 % count nothing. The level is left to the calibration.

    References
    ----------
    Breiman (1996), Stacked regressions.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> good, noise = rng.normal(size=(2, 4000))
    >>> y = (rng.random(4000) < expit(good)).astype(float)
    >>> weights = blend_weights(np.array([good, noise]), np.array([0.5, 0.5]), y, np.ones(4000))
    >>> bool(weights[0] > 0.8 and weights[1] < 0.1)
    True
    """
    total = weight.sum()

    def loss(x: Floats) -> tuple[float, Floats]:
        w, level = x[:-1], x[-1]
        margin = w @ margins + level
        value = float(weight @ (np.logaddexp(0.0, margin) - y * margin))
        value += _PENALTY * float(np.sum((w - prior) ** 2))
        error = weight * (expit(margin) - y)
        slope = np.append(margins @ error + 2.0 * _PENALTY * (w - prior), error.sum())
        return value / total, slope / total

    bounds = [*[(0.0, None)] * len(prior), (None, None)]
    found = minimize(loss, np.append(prior, 0.0), jac=True, bounds=bounds, method="L-BFGS-B")
    weights = np.asarray(found.x[:-1], dtype=np.float64)
    weights[weights < _NEGLIGIBLE * weights.sum()] = 0.0
    return weights
