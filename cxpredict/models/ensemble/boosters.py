"""LightGBM boosters: cross-fitted in step, stopped early, refitted on all rows."""

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

from cxpredict.models.ensemble.recipes import MAX_ROUNDS, PATIENCE

__all__ = ["FoldData", "cross_fit", "dataset", "n_threads", "pool", "raw_margin", "refit"]

Floats = npt.NDArray[np.float64]
Run = Callable[..., Any]

_WORTHWHILE = 0.05
"""Log-likelihood, summed over the rows, that `PATIENCE` more rounds must gain."""
_NEGLIGIBLE = 0.005
"""Mean log loss that needs no improvement."""
_STEP = 5
"""Rounds between two looks at the held-out loss."""
_ROWS_FOR_THREADS = 2_000
_DATA = {
    "objective": "binary",
    "max_bin": 127,
    "feature_pre_filter": False,
    "deterministic": True,
    "force_col_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


@dataclass(frozen=True)
class FoldData:
    """One inner fold: what to learn from, and what to be judged on.

    Parameters
    ----------
    train, valid : lightgbm.Dataset
        Binned rows.
    matrix : ndarray of float
        Features of the rows to be judged on.
    weight : float
        Sum of their weights.
    """

    train: lgb.Dataset
    valid: lgb.Dataset
    matrix: Floats
    weight: float


def dataset(
    matrix: Floats,
    y: Floats,
    *,
    weight: Floats,
    offset: Floats,
    reference: lgb.Dataset | None = None,
) -> lgb.Dataset:
    """Bin rows once for all boosters."""
    data = lgb.Dataset(
        matrix, y, weight=weight, init_score=offset, params=dict(_DATA), reference=reference
    )
    return data.construct()


def cross_fit(
    folds: Sequence[FoldData],
    shapes: Sequence[dict[str, Any]],
    seed: int,
    run: Run,
    *,
    rounds: Sequence[int] | None = None,
) -> tuple[list[list[Floats]], list[int]]:
    """Boost every shape on every fold in step until its mean held-out loss stops falling.

    Parameters
    ----------
    folds : sequence of FoldData
        Inner folds.
    shapes : sequence of dict
        LightGBM parameters.
    seed : int
        Seed of the first shape; the others count upwards.
    run : callable
        A `map`, perhaps in threads.
    rounds : sequence of int, optional
        Rounds of each shape, if they are known already.

    Returns
    -------
    tuple of (list of list of ndarray, list of int)
        Per shape and fold the held-out margins without offset, and per shape the round with the
        lowest mean loss.

    Notes
    -----
    Every booster is trained on one thread and boosters run in parallel, so that sums of gradients
    never depend on the number of threads.
    """
    boosters = [
        [_booster(fold, {**shape, "seed": seed + i}) for fold in folds]
        for i, shape in enumerate(shapes)
    ]
    counts = list(rounds) if rounds is not None else _best_rounds(boosters, folds, run)
    tasks = [
        (booster, fold.matrix, count)
        for row, count in zip(boosters, counts, strict=True)
        for booster, fold in zip(row, folds, strict=True)
    ]
    margins = list(run(_held_out, tasks))
    k = len(folds)
    return [margins[i * k : (i + 1) * k] for i in range(len(shapes))], counts


def _best_rounds(
    boosters: list[list[lgb.Booster]], folds: Sequence[FoldData], run: Run
) -> list[int]:
    """Boost in step until the mean held-out loss of no shape falls; return the best rounds."""
    share = np.array([fold.weight for fold in folds])
    n_rows = sum(len(fold.matrix) for fold in folds)
    losses: list[list[float]] = [[] for _ in boosters]
    going = list(range(len(boosters)))
    while going:
        curves = iter(list(run(_advance, [b for i in going for b in boosters[i]])))
        for i in list(going):
            losses[i] += list(share @ np.array([next(curves) for _ in folds]) / share.sum())
            if _finished(losses[i], n_rows):
                going.remove(i)
    return [_STEP * (int(np.argmin(curve)) + 1) for curve in losses]


def refit(
    data: lgb.Dataset, shapes: Sequence[dict[str, Any]], rounds: Sequence[int], run: Run
) -> list[str]:
    """Fit every shape on all rows for its number of rounds; return LightGBM model texts."""

    def fit(i: int) -> str:
        booster = lgb.Booster({**_DATA, **shapes[i]}, data)
        for _ in range(rounds[i]):
            booster.update()
        return str(booster.model_to_string())

    return list(run(fit, range(len(shapes))))


def raw_margin(booster: lgb.Booster, matrix: Floats, *, n_jobs: int | None) -> Floats:
    """Return the raw score of each row; one thread for few rows, which is faster."""
    if len(matrix) == 0:
        return np.zeros(0)
    threads = n_threads(n_jobs) if len(matrix) >= _ROWS_FOR_THREADS else 1
    return np.asarray(booster.predict(matrix, raw_score=True, num_threads=threads))


def n_threads(n_jobs: int | None) -> int:
    """Return the number of threads meant by `n_jobs` (None or negative: every core)."""
    if n_jobs is not None and n_jobs > 0:
        return n_jobs
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def pool(n_jobs: int | None, n_rows: int) -> Iterator[Run]:
    """Yield a `map` that runs in threads (LightGBM releases the interpreter lock)."""
    if n_rows < _ROWS_FOR_THREADS or n_threads(n_jobs) == 1:
        yield map
        return
    with ThreadPoolExecutor(n_threads(n_jobs), initializer=_be_quiet) as threads:
        yield threads.map


def _booster(fold: FoldData, shape: dict[str, Any]) -> lgb.Booster:
    booster = lgb.Booster({**_DATA, **shape}, fold.train)
    booster.add_valid(fold.valid, "held_out")
    return booster


def _finished(losses: list[float], n_rows: int) -> bool:
    patience = PATIENCE // _STEP
    gain = min(losses[:-patience], default=np.inf) - min(losses[-patience:])
    # On separable data the loss would fall for ever.
    flat = gain < max(1e-5, _WORTHWHILE / n_rows) or losses[-1] < _NEGLIGIBLE
    return flat or _STEP * len(losses) >= MAX_ROUNDS


def _advance(booster: lgb.Booster) -> list[float]:
    losses = []
    for _ in range(2):
        for _ in range(_STEP):
            booster.update()
        losses.append(float(booster.eval_valid()[0][2]))
    return losses


def _held_out(task: tuple[lgb.Booster, Floats, int]) -> Floats:
    booster, matrix, rounds = task
    # A booster that finds no split any more stops counting.
    for _ in range(rounds - booster.current_iteration()):
        if booster.update():
            break
    raw = booster.predict(matrix, raw_score=True, num_iteration=rounds, num_threads=1)
    return np.asarray(raw, dtype=np.float64)


def _be_quiet() -> None:
    """Set LightGBM's verbosity, which it keeps per thread and only reads from parameters."""
    lgb.Dataset(np.zeros((2, 1)), params={"verbosity": -1, "num_threads": 1}).construct()
