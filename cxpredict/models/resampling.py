"""Folds and bootstrap samples that keep all rows of a customer together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.errors import ModelError

__all__ = ["bootstrap_counts", "customer_groups", "grouped_folds", "validation_splits"]

FEWEST_PER_SIDE = 100
"""Rows of each outcome, early and late, without which validation is by customer alone."""

Ints = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]


def customer_groups(*tables: Any, n_rows: int) -> Ints:
    """Give every row the number of its customer.

    Parameters
    ----------
    *tables : object
        Frames or series; the first whose index has a level ``customer_id`` decides.
    n_rows : int
        Number of rows; without such an index every row is a customer of its own.

    Returns
    -------
    ndarray of int, shape (n_rows,)
        Codes 0, 1, … in order of first appearance.

    Examples
    --------
    >>> index = pd.MultiIndex.from_tuples([("a", 1), ("b", 1), ("a", 2)],
    ...                                   names=["customer_id", "as_of"])
    >>> customer_groups(pd.Series([0, 1, 0], index=index), n_rows=3).tolist()
    [0, 1, 0]
    """
    for table in tables:
        index = getattr(table, "index", None)
        if isinstance(index, pd.Index) and "customer_id" in index.names:
            codes, known = pd.factorize(index.get_level_values("customer_id"))
            # Nobody knows whether two rows without an id are one customer.
            codes[codes < 0] = len(known) + np.arange((codes < 0).sum())
            return np.asarray(codes, dtype=np.intp)
    return np.arange(n_rows, dtype=np.intp)


def grouped_folds(
    y: npt.NDArray[Any], groups: Ints, *, n_folds: int, rng: np.random.Generator
) -> Ints:
    """Deal customers into folds, balanced by target and by number of rows.

    Parameters
    ----------
    y : ndarray of numbers, shape (n,)
        Target; customers are ordered by the mean of theirs before they are dealt out.
    groups : ndarray of int, shape (n,)
        Customer of each row. All rows of a customer (at whatever date) get the same fold.
    n_folds : int
        Number of folds, at least 2.
    rng : numpy.random.Generator
        Breaks ties between customers.

    Returns
    -------
    ndarray of int, shape (n,)
        Fold 0 … n_folds − 1 of each row.

    Examples
    --------
    >>> y, groups = np.array([0, 0, 1, 1, 0, 1]), np.array([0, 0, 1, 1, 2, 3])
    >>> fold = grouped_folds(y, groups, n_folds=2, rng=np.random.default_rng(0))
    >>> fold[0] == fold[1], fold[2] == fold[3]
    (np.True_, np.True_)
    """
    _, codes = np.unique(groups, return_inverse=True)
    size = np.bincount(codes)
    mean = np.bincount(codes, weights=y) / size
    order = np.lexsort((rng.random(len(size)), size, mean))
    fold_of_group = np.empty(len(size), dtype=np.intp)
    fold_of_group[order] = np.arange(len(size)) % n_folds
    return fold_of_group[codes]


def validation_splits(
    event: Floats,
    groups: Ints,
    *,
    dates: npt.NDArray[Any] | None = None,
    n_folds: int,
    n_repeats: int,
    rng: np.random.Generator,
    counts: str,
) -> tuple[list[list[tuple[Ints, Ints]]], list[tuple[Ints, Ints]] | None]:
    """Divide rows into inner folds by customer, and by time where the rows have dates.

    Parameters
    ----------
    event : ndarray of {0., 1.}, shape (n,)
        Outcome; each fold gets its share of both.
    groups : ndarray of int, shape (n,)
        Customer of each row.
    dates : ndarray, shape (n,), optional
        Date of each row. With more than one, rows are judged at the latest third of the dates,
        by members that have seen other customers at earlier dates alone.
    n_folds : int
        Number of folds; fewer if an outcome is rarer than that.
    n_repeats : int
        Number of divisions to make.
    rng : numpy.random.Generator
        Source of the divisions.
    counts : str
        Rows per class, for the message.

    Returns
    -------
    tuple of (list of list of (train, valid), list of (train, valid) or None)
        Per division and fold, the rows to learn from and the rows to be judged on. And, if time
        divides them, one division by customer alone, in which every row is judged once.

    Raises
    ------
    ModelError
        An outcome occurs for fewer than two customers.

    Examples
    --------
    >>> day, event = np.repeat([1, 2], 200), np.tile([0.0, 1.0], 200)
    >>> splits = validation_splits(event, np.arange(400), dates=day, n_folds=5,
    ...                            n_repeats=1, rng=np.random.default_rng(0),
    ...                            counts="0: 200, 1: 200")
    >>> all(day[train].max() < day[valid].min() for train, valid in splits[0][0])
    True
    """
    customers = min(len(np.unique(groups[event == label])) for label in (0.0, 1.0))
    if customers < 2:
        raise ModelError(
            "Each of the two outcomes needs at least 2 customers to validate on; rows per class: "
            f"{counts}."
        )
    k = min(n_folds, customers)
    folds = [grouped_folds(event, groups, n_folds=k, rng=rng) for _ in range(n_repeats)]
    everyone = np.ones(len(event), dtype=bool)
    by_customer = [_splits(fold, everyone, everyone) for fold in folds]
    sides = _by_time(event, dates)
    if sides is None:
        return by_customer, None
    dated = [_splits(fold, *sides) for fold in folds]
    parts = [event[rows] for splits in dated for split in splits for rows in split]
    if any(len(np.unique(part)) < 2 for part in parts):
        return by_customer, None
    return dated, by_customer[0]


def _splits(
    fold: Ints, early: npt.NDArray[np.bool_], late: npt.NDArray[np.bool_]
) -> list[tuple[Ints, Ints]]:
    return [
        (np.flatnonzero((fold != k) & early), np.flatnonzero((fold == k) & late))
        for k in range(int(fold.max()) + 1)
    ]


def _by_time(
    event: Floats, dates: npt.NDArray[Any] | None
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None:
    """Rows to learn from and rows to judge on; nothing where time cannot divide them."""
    if dates is None or len(known := np.unique(dates)) < 2:
        return None
    late = dates >= known[-max(1, len(known) // 3)]
    counts = [np.bincount(event[side].astype(int), minlength=2) for side in (late, ~late)]
    return (~late, late) if np.min(counts) >= FEWEST_PER_SIDE else None


def bootstrap_counts(groups: Ints, *, n_draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Draw customers with replacement; yield how often each row is in the sample.

    Parameters
    ----------
    groups : ndarray of int, shape (n,)
        Customer of each row.
    n_draws : int
        Number of bootstrap samples.
    rng : numpy.random.Generator
        Source of the draws.

    Yields
    ------
    ndarray of float, shape (n,)
        Multiplicity of each row; equal for all rows of a customer.

    Examples
    --------
    >>> counts = next(bootstrap_counts(np.array([0, 0, 1]), n_draws=1,
    ...                                rng=np.random.default_rng(0)))
    >>> counts[0] == counts[1]
    np.True_
    """
    unique, codes = np.unique(groups, return_inverse=True)
    for _ in range(n_draws):
        picked = rng.integers(0, len(unique), size=len(unique))
        yield np.bincount(picked, minlength=len(unique)).astype(np.float64)[codes]
