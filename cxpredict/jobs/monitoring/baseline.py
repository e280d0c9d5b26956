"""What training rows looked like: shares by bin and level, no customer's values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.suppression import MIN_RESPONDENTS
from cxpredict.errors import DataError
from cxpredict.features.origin import origins_of
from cxpredict.jobs.monitoring.cells import Cells, bin_edges
from cxpredict.jobs.monitoring.homogeneity import psi_between
from cxpredict.models.columns.kinds import LARGEST, as_levels, as_numbers, recognise
from cxpredict.models.resampling import customer_groups

if TYPE_CHECKING:
    from cxpredict.jobs.bundle import Bundle

__all__ = ["baseline_of", "learn_baseline"]

Ints = npt.NDArray[np.intp]

MOST_LEVELS = 100


def learn_baseline(X: pd.DataFrame, risk: Any = None, *, trained: Any = None) -> dict[str, Any]:
    """Learn the distributions that later scoring is compared with.

    Parameters
    ----------
    X : DataFrame of shape (n, p)
        Features of the training rows. Rows with equal index level ``customer_id`` are one
        customer's; without it each row is a customer of its own. Rows with equal index level
        ``as_of`` are one date's; without it all are.
    risk : DataFrame, Series or array-like, optional
        Predicted probabilities, or the columns `probability` and `risk_band` as from
        `Bundle.risk`: of rows that the model was *not* trained on, for a model is surer of those
        it was. They need not be the rows of X.

    Returns
    -------
    dict
        Plain JSON values. ``rows`` and ``customers``; ``features``: by name kind, edges or levels,
        shares by cell (the last two of a category: other levels, gaps; the last of a number:
        gaps), rows, clustering: mean and mean square of the design effects of the shares, and
        dates: their number, mean and largest PSI of one against the others (as `psi_between`;
        null with one date), and ``alone`` for what follows from the date alone (the month);
        ``score`` and ``bands``: the same for the probability and the risk band.

    Raises
    ------
    DataError
        There are no rows, names are not unique, or a column is no number, flag or category.

    Notes
    -----
    Personal data: edges lie between values and are rounded; no bin and no named level is held by
    fewer than 11 customers; rarer levels, and those beyond the 100 most frequent, share a cell.

    Examples
    --------
    >>> X = pd.DataFrame({"plan": ["basic"] * 60 + ["gold"] * 30 + ["rare"] * 10})
    >>> entry = learn_baseline(X)["features"]["plan"]
    >>> entry["levels"], entry["shares"]
    (['basic', 'gold'], [0.6, 0.3, 0.1, 0.0])
    """
    if not len(X):
        raise DataError("baseline: expected training rows, found none.")
    names = [str(name) for name in X.columns]
    if len(set(names)) < len(names):
        raise DataError("baseline: column names must be unique; rename or drop the duplicates.")
    groups = customer_groups(X, n_rows=len(X))
    found: dict[str, Any] = {"rows": len(X), "customers": int(groups.max()) + 1}
    alone = {name for name, origin in origins_of(X).items() if origin.measure == "month"}
    found["features"] = {}
    for place, name in enumerate(names):
        entry = _entry(name, X.iloc[:, place], groups)
        dates = _dates(entry, X.iloc[:, place]) | {"alone": name in alone}
        found["features"][name] = entry | {"dates": dates}
    known = scored_columns(trained)
    for part, values in scored_columns(risk).items():
        entry = _entry(part, values, customer_groups(values, n_rows=len(values)))
        found[part] = entry | {"dates": _dates(entry, known.get(part, values)) | {"alone": False}}
    return found


def baseline_of(bundle: Bundle) -> dict[str, Any] | None:
    """Give the baseline that training stored in a bundle; None in one made before there were."""
    return bundle.baseline


def scored_columns(risk: Any) -> Mapping[str, pd.Series]:
    """Give what is compared of the scores: the probability, and the band where there is one."""
    if risk is None:
        return {}
    if isinstance(risk, pd.DataFrame):
        return {"score": risk["probability"], "bands": risk["risk_band"]}
    return {"score": risk if isinstance(risk, pd.Series) else pd.Series(np.asarray(risk))}


def _entry(name: str, values: pd.Series, groups: Ints) -> dict[str, Any]:
    kind = recognise(values)
    if kind == "category":
        cells = Cells("category", levels=_frequent_levels(values, groups))
        described: dict[str, Any] = {"levels": list(cells.levels)}
    elif kind in ("number", "flag"):
        numbers = as_numbers(values)
        known = np.abs(numbers) <= LARGEST
        cells = _held_by_enough(Cells(kind, edges=bin_edges(numbers[known])), values, groups)
        described = {"edges": list(cells.edges)}
    else:
        raise DataError(f"baseline: column {name!r} {kind}.")
    table = customer_counts(cells.place(values).cell, groups, len(cells))
    shares = table.sum(axis=0) / len(values)
    return {
        "kind": kind,
        **described,
        "shares": [float(share) for share in shares],
        "rows": len(values),
        "clustering": list(design_effects(table)),
    }


def _dates(entry: Mapping[str, Any], values: pd.Series) -> dict[str, Any]:
    """Say how many dates there are, and how far each lies from the others."""
    nothing = {"count": 1, "mean_psi": None, "largest_psi": None}
    if "as_of" not in values.index.names:
        return nothing
    date, days = pd.factorize(values.index.get_level_values("as_of"))
    if len(days) < 2:
        return nothing
    table = customer_counts(
        Cells.of(dict(entry)).place(values).cell, date.astype(np.intp), len(entry["shares"])
    )
    apart = psi_between(table.astype(np.intp), entry["clustering"][0])
    return {
        "count": len(days),
        "mean_psi": float(apart.mean()),
        "largest_psi": float(apart.max()),
    }


def _frequent_levels(values: pd.Series, groups: Ints) -> tuple[str, ...]:
    """Name the levels that enough customers have, most frequent first."""
    positions, spelled = as_levels(values)
    rows = pd.DataFrame({"level": positions, "customer": groups})[positions >= 0]
    found = rows.groupby("level")["customer"].agg(["size", "nunique"])
    found["name"] = [spelled[place] for place in found.index]
    found = found.groupby("name", as_index=False)[["size", "nunique"]].sum()
    found = found[found["nunique"] >= MIN_RESPONDENTS]
    found = found.sort_values(["size", "name"], ascending=[False, True])
    return tuple(str(name) for name in found["name"].head(MOST_LEVELS))


def _held_by_enough(cells: Cells, values: pd.Series, groups: Ints) -> Cells:
    """Join bins that fewer than 11 customers are in with the next one."""
    while cells.edges:
        rows = pd.DataFrame({"cell": cells.place(values).cell, "customer": groups})
        held = rows.groupby("cell")["customer"].nunique().reindex(range(len(cells) - 1)).fillna(0)
        few = np.flatnonzero(held.to_numpy() < MIN_RESPONDENTS)
        if not len(few):
            break
        gone = min(int(few[0]), len(cells.edges) - 1)
        cells = Cells(cells.kind, edges=cells.edges[:gone] + cells.edges[gone + 1 :])
    return cells


def customer_counts(cell: Ints, groups: Ints, n_cells: int) -> npt.NDArray[np.float64]:
    """Count rows by customer and cell, shape (customers, cells)."""
    n = int(groups.max()) + 1
    flat = np.bincount(groups * n_cells + cell, minlength=n * n_cells)
    return np.asarray(flat.reshape(n, n_cells), dtype=np.float64)


def design_effects(table: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Say by how much several rows per customer widen the distribution of shares.

    Parameters
    ----------
    table : ndarray of shape (customers, cells)
        Rows of each customer in each cell.

    Returns
    -------
    tuple of float
        Mean, and mean square, of the eigenvalues of D^-½VD^-½·n: V is the covariance of the
        shares with customers as units, D their diagonal. 1 and 1 for one row per customer; k and
        k² where k rows per customer say the same.

    References
    ----------
    Rao, Scott (1984), On chi-squared tests for multiway contingency tables with cell proportions
    estimated from survey data.

    Examples
    --------
    >>> once = np.repeat(np.eye(2), 500, axis=0)
    >>> [round(value, 2) for value in design_effects(once)]
    [1.0, 1.0]
    >>> [round(value, 2) for value in design_effects(3 * once)]
    [3.0, 9.02]
    """
    table = table[:, table.sum(axis=0) > 0]
    size, customers = table.sum(axis=1), len(table)
    if customers < 2 or table.shape[1] < 2 or (size == 1).all():
        return 1.0, 1.0
    n = size.sum()
    share = table.sum(axis=0) / n
    residual = table - size[:, None] * share
    covariance = residual.T @ residual / n * customers / (customers - 1)
    scaled = covariance / np.sqrt(np.outer(share, share))
    free = table.shape[1] - 1
    return float(np.trace(scaled) / free), float((scaled**2).sum() / free)
