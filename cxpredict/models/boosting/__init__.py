"""A bag of LightGBM boosters: cross-fitted, early-stopped, refitted on all rows, averaged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from cxpredict.models.boosting.trees import hold_feature
from cxpredict.models.resampling import MANY_ROWS

__all__ = ["Bag", "fit_bag", "n_threads"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

N_MEMBERS = 3
FEW_ROWS = 1_000
MAX_ROUNDS = 3000
PATIENCE = 50
_WORTHWHILE = 0.05
"""Log-likelihood, summed over the rows, that `PATIENCE` more rounds must gain."""
_NEGLIGIBLE = 0.005
"""Mean log loss that needs no improvement."""
_ROUNDS_PER_TASK = 10
_ROWS_FOR_THREADS = 2_000


@dataclass(frozen=True)
class Bag:
    """Boosters whose margins (log-odds) are averaged.

    Parameters
    ----------
    boosters : tuple of lightgbm.Booster
        Members with equal weight.
    """

    boosters: tuple[lgb.Booster, ...]

    @property
    def rounds(self) -> list[int]:
        """Boosting rounds of each member."""
        return [booster.current_iteration() for booster in self.boosters]

    def margin(self, matrix: Floats, *, n_jobs: int | None = None) -> Floats:
        """Return the mean raw score of the members, shape (n,)."""
        if len(matrix) == 0:
            return np.zeros(0)
        total = np.zeros(len(matrix))
        for booster in self.boosters:
            total += _raw(booster, matrix, num_threads=_predict_threads(matrix, n_jobs))
        return total / len(self.boosters)

    def contributions(self, matrix: Floats, *, n_jobs: int | None = None) -> tuple[Floats, float]:
        """Return the mean TreeSHAP values of the members, shape (n, p), and their base."""
        # LightGBM refuses no rows, but any row knows the base.
        rows = matrix if len(matrix) else np.zeros((1, matrix.shape[1]))
        threads = _predict_threads(matrix, n_jobs)
        total = np.zeros((len(rows), matrix.shape[1] + 1))
        for booster in self.boosters:
            total += np.asarray(booster.predict(rows, pred_contrib=True, num_threads=threads))
        total /= len(self.boosters)
        return total[: len(matrix), :-1], float(total[0, -1])

    def held(self, *, feature: int, value: float) -> Bag:
        """Return the bag with one numeric feature held at a value, without splits on it."""
        held = [hold_feature(text, feature=feature, value=value) for text in self.to_state()]
        return Bag.from_state(held)

    def to_state(self) -> list[str]:
        """Return the members as LightGBM model texts."""
        return [booster.model_to_string() for booster in self.boosters]

    @classmethod
    def from_state(cls, state: Sequence[str]) -> Bag:
        """Rebuild a bag from `to_state`."""
        return cls(tuple(lgb.Booster(model_str=text) for text in state))


def n_threads(n_jobs: int | None) -> int:
    """Return the number of threads meant by `n_jobs` (None or negative: every core)."""
    if n_jobs is not None and n_jobs > 0:
        return n_jobs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fit_bag(
    matrix: Floats,
    y: Floats,
    folds: Sequence[Ints],
    *,
    offset: Floats,
    weight: Floats,
    categorical: Sequence[int],
    seed: int,
    settings: dict[str, Any] | None = None,
    n_jobs: int | None = None,
) -> tuple[Bag, Floats]:
    """Fit one booster per entry of `folds` and average them.

    Parameters
    ----------
    matrix : ndarray of float, shape (n, p)
        Encoded features, NaN for gaps.
    y : ndarray of {0., 1.}, shape (n,)
        Target.
    folds : sequence of ndarray of int, each of shape (n,)
        Per member, the inner validation fold of each row.
    offset : ndarray of float, shape (n,)
        Log-odds to start from; not part of the margins of the bag.
    weight : ndarray of float, shape (n,)
        Sample weights, mean 1.
    categorical : sequence of int
        Positions of the categories.
    seed : int
        Seed of the first member; the others count upwards.
    settings : dict, optional
        LightGBM parameters on top of the recipe.
    n_jobs : int, optional
        Threads; the result does not depend on it.

    Returns
    -------
    tuple of (Bag, ndarray of float)
        The bag, and the out-of-fold margin of each row without the offset, shape (n,).

    Notes
    -----
    Per member: all folds boost in step; the round with the lowest mean log loss over the folds
    is taken for all of them, and for the refit on all rows. Members differ in their seed, their
    folds and the size of their trees. Every booster is trained on one thread and folds run in
    parallel, so that sums of gradients never depend on the number of threads.
    """
    bag: list[lgb.Booster] = []
    out_of_fold = np.zeros(len(y))
    with _pool(n_jobs if len(y) >= _ROWS_FOR_THREADS else 1) as run:
        for member, fold in enumerate(folds):
            params = {**_recipe(member, len(y)), "seed": seed + member, **(settings or {})}
            data = lgb.Dataset(
                matrix,
                y,
                weight=weight,
                init_score=offset,
                categorical_feature=list(categorical),
                params=params,
                free_raw_data=False,
            ).construct()
            margin, rounds = _cross_fit(data, matrix, fold, weight, params, run)
            out_of_fold += margin / len(folds)
            bag.append(lgb.train(params, data, num_boost_round=rounds))
    # Through text and back, so that a loaded model is bit for bit the fitted one.
    return Bag.from_state(Bag(tuple(bag)).to_state()), out_of_fold


def _recipe(member: int, n: int) -> dict[str, Any]:
    many = n >= MANY_ROWS
    return {
        "objective": "binary",
        # Small steps pay between the two; below and above they only take longer.
        "learning_rate": 0.05 if FEW_ROWS <= n < MANY_ROWS else 0.1,
        "num_leaves": ((8, 16, 31) if many else (4, 8, 16))[member % 3],
        "min_data_in_leaf": int(np.clip(n // 20, 2, 30)),
        "lambda_l2": 5.0,
        "feature_fraction": 0.6,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "cat_smooth": 20.0,
        "cat_l2": 20.0,
        "max_bin": 127,
        "feature_pre_filter": False,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }


def _cross_fit(
    data: lgb.Dataset,
    matrix: Floats,
    fold: Ints,
    weight: Floats,
    params: dict[str, Any],
    run: Callable[..., Any],
) -> tuple[Floats, int]:
    """Boost all folds in step until their mean loss stops falling."""
    held_out = [np.flatnonzero(fold == k) for k in range(int(fold.max()) + 1)]
    boosters = []
    for rows in held_out:
        train = data.subset(np.flatnonzero(~np.isin(np.arange(len(fold)), rows)), params)
        booster = lgb.Booster(params, train)
        booster.add_valid(data.subset(rows, params), "held_out")
        boosters.append(booster)
    share = np.array([weight[rows].sum() for rows in held_out])
    losses: list[float] = []
    while len(losses) < MAX_ROUNDS:
        curves = np.array(list(run(_advance, boosters)))
        losses += list(share @ curves / share.sum())
        gain = min(losses[:-PATIENCE], default=np.inf) - min(losses[-PATIENCE:])
        # On separable data the loss would fall for ever.
        if gain < max(1e-5, _WORTHWHILE / len(fold)) or losses[-1] < _NEGLIGIBLE:
            break
    rounds = int(np.argmin(losses)) + 1
    margin = np.empty(len(fold))
    for rows, booster in zip(held_out, boosters, strict=True):
        margin[rows] = _raw(booster, matrix[rows], num_iteration=rounds, num_threads=1)
    return margin, rounds


def _predict_threads(matrix: Floats, n_jobs: int | None) -> int:
    """One thread for few rows: waking the others takes longer than the work."""
    return n_threads(n_jobs) if len(matrix) >= _ROWS_FOR_THREADS else 1


def _advance(booster: lgb.Booster) -> list[float]:
    losses = []
    for _ in range(_ROUNDS_PER_TASK):
        booster.update()
        losses.append(float(booster.eval_valid()[0][2]))
    return losses


def _raw(booster: lgb.Booster, matrix: Floats, **options: Any) -> Floats:
    raw = booster.predict(matrix, raw_score=True, **options)
    return np.asarray(raw, dtype=np.float64)


@contextmanager
def _pool(n_jobs: int | None) -> Iterator[Callable[..., Any]]:
    """Yield a `map` that runs in threads (LightGBM releases the interpreter lock)."""
    if n_threads(n_jobs) == 1:
        yield map
        return
    with ThreadPoolExecutor(n_threads(n_jobs), initializer=_be_quiet) as pool:
        yield pool.map


def _be_quiet() -> None:
    """Set LightGBM's verbosity, which it keeps per thread and only reads from parameters."""
    lgb.Dataset(np.zeros((2, 1)), params={"verbosity": -1, "num_threads": 1}).construct()
