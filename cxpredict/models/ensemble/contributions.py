"""Contributions of the columns to what the trees of one booster say."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from cxpredict.models.ensemble.boosters import n_threads
from cxpredict.models.ensemble.paths import groups_of

__all__ = ["TreeContributions"]

Floats = npt.NDArray[np.float64]

BLOCK = 32_768
"""Rows that are worked on together: enough to look up most patterns, few enough for the cache."""
FEW = 2_048
"""Rows from which another thread pays."""
TOLERANCE = 1e-9
"""Largest difference from LightGBM's own contributions, in log-odds."""
ZERO = float(np.float32(1e-35))
"""LightGBM reads numbers up to this size as 0."""


@dataclass(frozen=True, eq=False)
class TreeContributions:
    """TreeSHAP values of one booster, fast for many rows.

    Attributes
    ----------
    booster : lightgbm.Booster
        What is explained.
    base : float
        Mean log-odds over its training rows.
    groups : tuple of ndarray, or None
        Leaves by questions, see `Groups`; None where they do not give what LightGBM gives, whose
        own contributions, some 30 times slower, are taken then, which `fast` and a warning in
        the log tell.

    Notes
    -----
    Path-dependent SHAP values. What a leaf gives to a feature depends only on which features of
    its path go its way: with o = 1 for those, else 0, and z the share of the training rows that
    did,

        value · (o_i − z_i) · ∫ Π_{j≠i} (z_j (1 − t) + o_j t) dt over t in (0, 1),

    the Shapley weights being the integrals of tᵏ (1 − t)ᵐ. Gauss-Legendre quadrature gives the
    integral of this polynomial exactly. Leaves of a small subtree share a table over the patterns
    of answers to their splits, filled as patterns come up. A row's sums are taken in one order:
    they are the same to the last bit whatever the other rows and the number of threads.

    References
    ----------
    Lundberg et al. (2020), From local explanations to global understanding with explainable AI
    for trees.
    Yang (2022), Fast TreeSHAP: accelerating SHAP value computation for trees.
    Nadel, Wettenstein (2025), From decision trees to Boolean logic: a fast and unified SHAP
    algorithm.
    """

    booster: lgb.Booster
    base: float
    groups: tuple[npt.NDArray[Any], ...] | None

    @classmethod
    def of(cls, booster: lgb.Booster) -> Self:
        """Read the trees of a booster, and compare with LightGBM on rows that lie on splits."""
        read = groups_of(booster.model_to_string())
        if read is None:
            _say_slow("it splits on categories, or takes zeros for missing")
            row = np.zeros((1, booster.num_feature()))
            return cls(booster, float(_by_lightgbm(booster, row, n_jobs=1)[0, -1]), None)
        rows = _hard_rows(read.features, read.high, booster.num_feature())
        exact = _by_lightgbm(booster, rows, n_jobs=1)
        fast = cls(booster, float(exact[0, -1]), read.arrays())
        near = np.abs(fast.values(rows, n_jobs=1) - exact[:, :-1]).max(initial=0.0) <= TOLERANCE
        if near:
            return fast
        _say_slow("the fast ones are not within the tolerance of them")
        return cls(booster, fast.base, None)

    @property
    def fast(self) -> bool:
        """Say whether the tables are used, not LightGBM's own contributions."""
        return self.groups is not None

    def values(self, matrix: Floats, *, n_jobs: int | None = None) -> Floats:
        """Return contributions in log-odds, shape (n, q), for encoded rows of shape (n, q)."""
        if self.groups is None:
            return _by_lightgbm(self.booster, matrix, n_jobs=n_jobs)[:, :-1]
        out = np.empty(matrix.shape)
        threads = n_threads(n_jobs)
        size = int(np.clip(-(-len(matrix) // threads), FEW, BLOCK))
        blocks = [slice(start, start + size) for start in range(0, len(matrix), size)]
        if len(blocks) < 2 or threads == 1:
            for rows in blocks:
                self._fill(matrix, out, rows)
            return out
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda rows: self._fill(matrix, out, rows), blocks))
        return out

    def _fill(self, matrix: Floats, out: Floats, rows: slice) -> None:
        from cxpredict.models.ensemble.kernel import add_contributions, quadrature

        columns = np.array(matrix[rows].T, dtype=np.float64, order="C")
        columns[np.abs(columns) <= ZERO] = 0.0
        found = np.zeros(columns.shape)
        add_contributions(columns, found, *(self.groups or ()), *quadrature())
        out[rows] = found.T


def _say_slow(why: str) -> None:
    logging.getLogger(__name__).warning(
        "reasons take LightGBM's own contributions for one booster, some 30 times slower: %s", why
    )


def _by_lightgbm(booster: lgb.Booster, matrix: Floats, *, n_jobs: int | None) -> Floats:
    """Return contributions and the base as last column; LightGBM refuses no rows."""
    if not len(matrix):
        return np.zeros((0, matrix.shape[1] + 1))
    threads = n_threads(n_jobs)
    return np.asarray(booster.predict(matrix, pred_contrib=True, num_threads=threads))


def _hard_rows(features: list[int], thresholds: list[float], n_features: int) -> Floats:
    """Make rows of gaps, of zeros, of thresholds and of the numbers next to them."""
    rows = np.zeros((8, n_features))
    rows[0] = np.nan
    rows[1] = -ZERO
    known = np.isfinite(thresholds)
    feature, threshold = np.array(features, int)[known], np.array(thresholds)[known]
    for j in np.unique(feature):
        at = np.quantile(threshold[feature == j], [0.1, 0.5, 0.9], method="nearest")
        rows[2:5, j], rows[5:, j] = at, np.nextafter(at, np.inf)
    rows[4, ::2] = np.nan
    return rows
