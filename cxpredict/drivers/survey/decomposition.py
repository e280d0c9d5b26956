"""Divide the explained variance of a regression among its attributes.

All functions take stacks of correlation matrices of shape (…, p + 1, p + 1) whose last row and
column belong to the outcome.
"""

from __future__ import annotations

from math import factorial

import numpy as np

from cxpredict.drivers.survey.answers import Floats

MOST_EXACT = 14
"""Attributes up to which all subsets are regressed."""
_LEAST = 1e-12
_BLOCK = 4_000_000


def correlations(moments: Floats) -> Floats:
    """Turn cross products of (1, x, y), shape (…, p + 2, p + 2), into correlations.

    Examples
    --------
    >>> z = np.array([[1.0, 1.0, 2.0], [1.0, 2.0, 4.0], [1.0, 3.0, 6.0]])
    >>> correlations(z.T @ z).round(6).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    total = moments[..., :1, :1]
    mean = moments[..., 0, 1:] / total[..., 0]
    covariance = moments[..., 1:, 1:] / total - mean[..., :, None] * mean[..., None, :]
    spread = np.sqrt(np.maximum(np.einsum("...ii->...i", covariance), _LEAST))
    correlation: Floats = covariance / (spread[..., :, None] * spread[..., None, :])
    return correlation


def relative_weights(correlation: Floats) -> Floats:
    """Compute Johnson's relative weights.

    Parameters
    ----------
    correlation : ndarray, shape (…, p + 1, p + 1)

    Returns
    -------
    ndarray, shape (…, p)
        Not negative; the sum is R².

    Notes
    -----
    Λ = R_xx^½, β* = Λ⁻¹ r_xy, ε = Λ² β*² with elementwise squares: the outcome is regressed on
    the orthogonal variables nearest to the attributes, and what each explains is handed back.

    Examples
    --------
    >>> r = np.array([[1.0, 0.0, 0.6], [0.0, 1.0, 0.3], [0.6, 0.3, 1.0]])
    >>> relative_weights(r).round(3).tolist()
    [0.36, 0.09]
    """
    values, vectors = np.linalg.eigh(correlation[..., :-1, :-1])
    root = np.sqrt(np.maximum(values, _LEAST))
    back = np.swapaxes(vectors, -1, -2)
    beta = vectors @ (back @ correlation[..., :-1, -1:] / root[..., None])
    link = vectors * root[..., None, :] @ back
    weights: Floats = (link**2 @ beta**2)[..., 0]
    return weights


def lmg(correlation: Floats) -> Floats:
    """Compute the Shapley value of R² (Lindeman, Merenda and Gold; general dominance).

    Parameters
    ----------
    correlation : ndarray, shape (…, p + 1, p + 1)
        p up to 14.

    Returns
    -------
    ndarray, shape (…, p)
        Not negative; the sum is R².

    Notes
    -----
    The gain of R² by an attribute, averaged over all orders in which attributes may enter:
    Σ_S |S|!(p − |S| − 1)!/p! · (R²(S ∪ j) − R²(S)), exact over all 2^p subsets.

    Examples
    --------
    >>> r = np.array([[1.0, 0.5, 0.6], [0.5, 1.0, 0.3], [0.6, 0.3, 1.0]])
    >>> lmg(r).round(3).tolist()
    [0.315, 0.045]
    """
    p = correlation.shape[-1] - 1
    stack = correlation.reshape(-1, p + 1, p + 1)
    weights = _shapley_weights(p)
    size = max(1, _BLOCK // 2 ** (p + 2))
    parts = [
        _r_squared_of_subsets(stack[start : start + size]) @ weights
        for start in range(0, len(stack), size)
    ]
    shares: Floats = np.concatenate(parts).reshape(*correlation.shape[:-2], p)
    return shares


def betas(correlation: Floats) -> tuple[Floats, Floats]:
    """Compute standardised regression coefficients and variance inflation factors."""
    inverse = np.linalg.inv(correlation[..., :-1, :-1])
    beta = np.einsum("...ij,...j->...i", inverse, correlation[..., :-1, -1])
    return beta, np.einsum("...ii->...i", inverse)


def _r_squared_of_subsets(correlation: Floats) -> Floats:
    """Regress on every subset; bit j of a subset's number says whether attribute j is in it.

    Each attribute in turn is left out, or taken in by the Schur complement of its pivot, so that
    all subsets of one draw share the work of those they contain.
    """
    state, explained = correlation[:, None], np.zeros((len(correlation), 1))
    while state.shape[-1] > 1:
        rest, pivot = state[..., 1:, 1:], state[..., 0, 1:]
        size = np.maximum(state[..., 0, 0], _LEAST)[..., None]
        taken = rest - pivot[..., :, None] * pivot[..., None, :] / size[..., None]
        gain = pivot[..., -1] ** 2 / size[..., 0]
        state = np.concatenate([rest, taken], axis=1)
        explained = np.concatenate([explained, explained + gain], axis=1)
    return explained


def _shapley_weights(p: int) -> Floats:
    inside = (np.arange(2**p)[:, None] >> np.arange(p)) & 1 == 1
    size = inside.sum(axis=1)
    gains = [factorial(k) * factorial(p - 1 - k) / factorial(p) for k in range(p)]
    weight = np.array([0.0, *gains, 0.0])  # at k + 1: of adding one to a subset of k
    weights: Floats = np.where(inside, weight[size][:, None], -weight[size + 1][:, None])
    return weights
