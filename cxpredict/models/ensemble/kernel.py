"""The inner loop of tree contributions, compiled by numba: import this module where it is used."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["add_contributions", "quadrature"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Patterns = npt.NDArray[np.uint64]

MOST_BITS = 14
"""Contributions of patterns with more answers than this are not kept, but worked out per row."""
MOST_PLAYERS = 64


@lru_cache(maxsize=1)
def quadrature() -> tuple[Floats, Floats]:
    """Return Gauss-Legendre nodes and weights on (0, 1), row d exact for polynomials below d.

    Examples
    --------
    >>> nodes, weights = quadrature()
    >>> float((weights[4] * nodes[4] ** 3).sum().round(12))
    0.25
    """
    nodes, weights = np.zeros((2, MOST_PLAYERS + 1, MOST_PLAYERS // 2))
    for d in range(1, MOST_PLAYERS + 1):
        at, weight = np.polynomial.legendre.leggauss((d + 1) // 2)
        nodes[d, : len(at)], weights[d, : len(at)] = (at + 1.0) / 2.0, weight / 2.0
    return nodes, weights


def _compiled(function: Any) -> Any:
    """Compile, and keep the code beside this file or in the user's cache if that can be written."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)


@_compiled
def _answer(values: Floats, low: float, high: float, gaps: bool, bit: Any, patterns: Any) -> None:
    """Set a bit in the pattern of each row whose value is in (low, high]."""
    none = np.uint64(0)
    if gaps:
        for row in range(len(values)):
            x = values[row]
            patterns[row] |= none if (x <= low) | (x > high) else bit
    else:
        for row in range(len(values)):
            x = values[row]
            patterns[row] |= bit if (x <= high) & (not (x <= low)) else none


@_compiled
def _credit(
    pattern: Any,
    value: float,
    player: Ints,
    mask: Patterns,
    wanted: Patterns,
    share: Floats,
    nodes: Floats,
    weights: Floats,
    factor: Floats,
    credit: Floats,
) -> None:
    """Add the SHAP values of one leaf: value * (o - z) * integral of the other features' terms."""
    d = len(player)
    for q in range((d + 1) // 2):
        t = nodes[d, q]
        product = weights[d, q] * value
        for i in range(d):
            goes = (pattern & mask[i]) == wanted[i]
            factor[i] = share[i] * (1.0 - t) + (t if goes else 0.0)
            product *= factor[i]
        for i in range(d):
            goes = (pattern & mask[i]) == wanted[i]
            credit[player[i]] += ((1.0 if goes else 0.0) - share[i]) * product / factor[i]


@_compiled
def add_contributions(
    X: Floats,
    out: Floats,
    question_start: Ints,
    features: Ints,
    low: Floats,
    high: Floats,
    gaps: npt.NDArray[np.bool_],
    column_start: Ints,
    columns: Ints,
    leaf_start: Ints,
    value: Floats,
    player_start: Ints,
    player: Ints,
    mask: Patterns,
    wanted: Patterns,
    share: Floats,
    nodes: Floats,
    weights: Floats,
) -> None:
    """Add contributions of groups (see `Groups`) to `out`; X and out of shape (features, rows)."""
    n_rows = X.shape[1]
    patterns = np.empty(n_rows, np.uint64)
    known = np.empty(1 << MOST_BITS, np.bool_)
    widest = np.max(column_start[1:] - column_start[:-1]) if len(column_start) > 1 else 0
    table = np.empty((widest, 1 << MOST_BITS))
    credit, factor = np.empty(widest), np.empty(widest)
    for group in range(len(question_start) - 1):
        patterns[:] = np.uint64(0)
        first = question_start[group]
        n_bits = question_start[group + 1] - first
        for i in range(n_bits):
            at = first + i
            bit = np.uint64(1) << np.uint64(i)
            _answer(X[features[at]], low[at], high[at], gaps[at], bit, patterns)
        start, width = column_start[group], column_start[group + 1] - column_start[group]
        keep = n_bits <= MOST_BITS
        if keep:
            known[: 1 << n_bits] = False
        for row in range(n_rows):
            pattern = patterns[row]
            if keep and known[pattern]:
                continue
            credit[:width] = 0.0
            for leaf in range(leaf_start[group], leaf_start[group + 1]):
                a, b = player_start[leaf], player_start[leaf + 1]
                _credit(
                    pattern,
                    value[leaf],
                    player[a:b],
                    mask[a:b],
                    wanted[a:b],
                    share[a:b],
                    nodes,
                    weights,
                    factor,
                    credit,
                )
            if keep:
                known[pattern] = True
                for j in range(width):
                    table[j, pattern] = credit[j]
            else:
                for j in range(width):
                    out[columns[start + j], row] += credit[j]
        if keep:
            for j in range(width):
                total, part = out[columns[start + j]], table[j]
                for row in range(n_rows):
                    total[row] += part[patterns[row]]
