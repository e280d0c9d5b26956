"""What the evaluation accepts: outcomes, probabilities, scores, weights and groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.errors import ModelError
from cxpredict.models.resampling import customer_groups

__all__ = [
    "aligned",
    "capacity_share",
    "check_bins",
    "check_weighed",
    "distributions",
    "events",
    "floats",
    "probabilities",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


def aligned(groups: Any, weights: Any, **tables: Any) -> tuple[Floats, Ints]:
    """Check lengths and indexes of the tables; return weights and customers of their rows."""
    sizes = {name: len(table) for name, table in tables.items()}
    first, n = next(iter(sizes.items()))
    for name, size in sizes.items():
        if size != n:
            raise ModelError(
                f"{first} has {n:,} rows and {name} {size:,}; they must be the same rows."
            )
    if n == 0:
        raise ModelError("There are 0 rows to evaluate.")
    given = {**tables, "weights": weights, "groups": groups}
    labelled = {k: t.index for k, t in given.items() if isinstance(t, pd.Series | pd.DataFrame)}
    indexes = list(labelled.values())
    if any(not index.equals(indexes[0]) for index in indexes[1:]):
        raise ModelError(
            f"{', '.join(labelled)} must have the same index in the same order; align them with "
            f".loc[{next(iter(labelled))}.index]."
        )
    weight = np.ones(n) if weights is None else floats(weights, "weights")
    bad = int((~np.isfinite(weight) | (weight < 0)).sum())
    if weight.shape != (n,) or bad or not weight.any():
        raise ModelError(
            f"weights must be {n:,} numbers, not negative, not all zero; got shape "
            f"{weight.shape} with {bad:,} bad values."
        )
    if groups is None:
        return weight, customer_groups(*tables.values(), n_rows=n)
    if len(groups) != n:
        raise ModelError(f"groups has {len(groups):,} rows and y {n:,}.")
    codes, _ = pd.factorize(np.asarray(groups), use_na_sentinel=False)
    return weight, np.asarray(codes, dtype=np.intp)


def check_weighed(event: Floats, weight: Floats) -> None:
    """Refuse outcomes of which one has no weight: for every metric there is but one class."""
    for name, side in (("the event", event > 0), ("the other outcome", event == 0)):
        if not weight[side].any():
            raise ModelError(
                f"y must have exactly two outcomes with a weight above 0; all {side.sum():,} rows "
                f"with {name} have weight 0. Give them a weight or drop the weights."
            )


def check_bins(n_bins: Any) -> None:
    """Refuse what is no number of bins."""
    whole = isinstance(n_bins, int | np.integer) and not isinstance(n_bins, bool)
    if not whole or n_bins < 1:
        raise ModelError(f"n_bins: expected a whole number from 1 on, got {n_bins!r}.")


def capacity_share(capacity: Any, n: int) -> float | None:
    """Return the share of n rows that a capacity covers, at most 1; None without a capacity."""
    if capacity is None:
        return None
    whole = isinstance(capacity, int | np.integer) and not isinstance(capacity, bool)
    if not whole or capacity < 1:
        raise ModelError(
            f"capacity: expected a whole number of rows from 1 on, got {capacity!r}; leave it out "
            "if there is no limit."
        )
    return min(1.0, float(capacity) / n)


def probabilities(p: Any) -> Floats:
    """Return one probability per row, each in [0, 1]."""
    values = floats(p, "p")
    if values.ndim != 1:
        raise ModelError(
            f"p must be one probability per row; got shape {values.shape}. Pass the column of the "
            "event, model.predict_proba(X)[:, 1]."
        )
    bad = int((~((values >= 0.0) & (values <= 1.0))).sum())
    if bad:
        raise ModelError(
            f"p: {bad:,} of {len(values):,} values are missing or outside [0, 1]; pass calibrated "
            "probabilities, not margins or percentages."
        )
    return values


def events(y: Any) -> Floats:
    """Return 1 where the outcome is the larger of two labels, else 0."""
    values = pd.Series(np.asarray(y).ravel() if not isinstance(y, pd.Series) else y.to_numpy())
    missing = int(values.isna().sum())
    if missing:
        raise ModelError(
            f"y: {missing:,} of {len(values):,} outcomes are missing; drop those rows."
        )
    labels, counts = np.unique(values.to_numpy(), return_counts=True)
    if len(labels) != 2:
        shown = ", ".join(f"{c:,}" for c in counts[:5])
        raise ModelError(
            f"y must have exactly two outcomes; got {len(labels)} (rows per outcome: {shown})."
        )
    return np.asarray(values.to_numpy() == labels[1], dtype=np.float64)


def distributions(proba: Any, n_levels: int) -> Floats:
    """Return one distribution per row, shape (n, n_levels)."""
    share = floats(proba, "proba")
    if share.ndim != 2 or share.shape[1] != n_levels:
        raise ModelError(
            f"proba must have one column per level ({n_levels}); got shape {share.shape}."
        )
    bad = int((~(share >= 0.0).all(axis=1) | (np.abs(share.sum(axis=1) - 1.0) > 1e-6)).sum())
    if bad:
        raise ModelError(
            f"proba: {bad:,} of {len(share):,} rows are missing, negative or do not sum to 1."
        )
    return share


def floats(values: Any, name: str) -> Floats:
    """Return numbers as float64, gaps as NaN."""
    try:
        if isinstance(values, pd.Series | pd.DataFrame):
            return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} must hold numbers only: {type(error).__name__}.") from None
