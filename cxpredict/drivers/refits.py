"""Refit a model on bootstrap samples of customers, with shadows of its features beside them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from cxpredict.drivers.grouping import Floats, sum_by_group
from cxpredict.models.ensemble.boosters import n_threads
from cxpredict.models.inputs import checked_weights
from cxpredict.models.resampling import bootstrap_counts, customer_groups

SHADOW = "shadow of "

Ints = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Sizes:
    """Mean magnitudes of contributions in each refit, log-odds.

    Attributes
    ----------
    names : list of str, length m
        Features or groups.
    real, shadow : ndarray, shape (refits, m)
        Sizes of the drivers, and of their shadows.
    """

    names: list[str]
    real: Floats
    shadow: Floats


def measure_refits(
    model: Any,
    X: pd.DataFrame,
    y: Any,
    sample_weight: Any,
    explained: pd.DataFrame,
    groupings: Mapping[str, Sequence[str]],
    *,
    refits: int,
    effort: str | None,
    max_rows: int | None,
    random_state: int,
    n_jobs: int | None,
) -> tuple[Sizes, dict[str, Sizes], str]:
    """Measure features and groups of them, and their shadows, in each refit.

    Parameters
    ----------
    model, X, y, sample_weight, refits, effort, max_rows, random_state, n_jobs
        See `cxpredict.drivers.stability.driver_stability`.
    explained : DataFrame
        Rows to explain, columns as X.
    groupings : mapping of str to sequence of str
        Group of each column, for each grouping.

    Returns
    -------
    tuple of (Sizes, dict of str to Sizes, str)
        Of the features, of the groups of each grouping, and what was refitted in words.
    """
    seeds = np.random.SeedSequence(random_state).spawn(refits + 1)
    rng = np.random.default_rng(seeds[0])
    if max_rows is not None and len(explained) > max_rows:
        explained = explained.iloc[np.sort(rng.choice(len(explained), max_rows, replace=False))]
    weight = checked_weights(sample_weight, X, len(X))
    customers = customer_groups(X, y, n_rows=len(X))
    counts = bootstrap_counts(customers, n_draws=refits, rng=rng)
    parts = {"": [str(name) for name in X.columns], **groupings}

    def once(drawn: Floats, seed: np.random.SeedSequence) -> dict[str, tuple[Floats, Floats]]:
        draws = np.random.default_rng(seed)
        again = _fresh(model, effort, int(draws.integers(2**31)), threads=n_jobs)
        again.fit(_with_shadows(X, customers, draws), y, sample_weight=weight * drawn)
        both = _with_shadows(explained, customer_groups(explained, n_rows=len(explained)), draws)
        signed, _ = again.contributions(both)
        real, shadow = np.hsplit(signed, 2)
        return {what: (_sizes(real, g), _sizes(shadow, g)) for what, g in parts.items()}

    with ThreadPoolExecutor(n_threads(n_jobs or 1)) as threads:
        found = list(threads.map(once, counts, seeds[1:]))
    measured = {
        what: Sizes(
            sum_by_group(np.zeros((1, len(groups))), groups)[1],
            np.stack([each[what][0] for each in found]),
            np.stack([each[what][1] for each in found]),
        )
        for what, groups in parts.items()
    }
    features = measured.pop("")
    return features, measured, _in_words(model, effort, refits, len(explained))


def shadow_rows(customers: Ints, rng: np.random.Generator) -> Ints:
    """Deal the rows of customers to other customers.

    Parameters
    ----------
    customers : ndarray of int, shape (n,)
        Customer of each row, as codes 0, 1, …
    rng : numpy.random.Generator
        Source of the permutation.

    Returns
    -------
    ndarray of int, shape (n,)
        Which row to take the values from. Each customer gets the rows of one other, beginning at
        a random one, and from the first again when they are used up: what is constant for a
        customer stays so, and no row keeps its date by design.

    Examples
    --------
    >>> taken = shadow_rows(np.array([0, 0, 1, 1]), np.random.default_rng(3))
    >>> sorted(taken.tolist())
    [0, 1, 2, 3]
    """
    order = np.argsort(customers, kind="stable")
    size = np.bincount(customers)
    start = np.cumsum(size) - size
    source = rng.permutation(len(size))
    shift = rng.integers(0, size[source])
    owner = customers[order]
    position = np.arange(len(order)) - start[owner]
    taken = np.empty(len(order), dtype=np.intp)
    taken[order] = order[start[source[owner]] + (shift[owner] + position) % size[source[owner]]]
    return taken


def _with_shadows(X: pd.DataFrame, customers: Ints, rng: np.random.Generator) -> pd.DataFrame:
    shadow = X.iloc[shadow_rows(customers, rng)].set_axis(X.index, axis=0)
    names = [f"{SHADOW}{name}" for name in X.columns]
    return pd.concat([X, shadow.set_axis(names, axis=1)], axis=1)


def _sizes(signed: Floats, groups: Sequence[str]) -> Floats:
    sums, _ = sum_by_group(signed, groups)
    return np.asarray(np.abs(sums).mean(axis=0))


def _fresh(model: Any, effort: str | None, seed: int, *, threads: int | None) -> Any:
    """Clone the model with a seed of its own, and with the effort of the refits."""
    settings = {"random_state": seed, "effort": effort or getattr(model, "effort", None)}
    if threads not in (None, 1):  # many refits at once need no threads within each
        settings["n_jobs"] = 1
    known = model.get_params(deep=False)
    return clone(model).set_params(**{k: v for k, v in settings.items() if k in known})


def _in_words(model: Any, effort: str | None, refits: int, rows: int) -> str:
    own = model.get_params(deep=False).get("effort")
    lowered = (
        ""
        if own is None or effort in (None, own)
        else (f" with effort {effort!r} instead of {own!r}")
    )
    return (
        f"{refits} refits of {type(model).__name__}{lowered} on bootstrap samples of customers, "
        f"explained on {rows:,} fixed rows. Sizes are log-odds and describe the model, not causes."
    )
