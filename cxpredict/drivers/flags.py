"""What the company can change, and what merely tells the time."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.drivers.grouping import Codes, Floats
from cxpredict.features.origin import Origin

MOSTLY = 0.5
"""A driver is a proxy of time if clocks tell at least this share of the variance of its ranks."""

N_FOLDS = 5
MOST_ROWS = 5_000
"""Of more rows than this, whole customers are left out at random before measuring."""

Flags = npt.NDArray[np.bool_]


def is_actionable(feature: str, origin: Origin, names: Sequence[str]) -> bool:
    """Say whether a feature, its column, kind, touchpoint or channel is among some names.

    Parameters
    ----------
    feature : str
        Name of the feature.
    origin : Origin
        Where it comes from.
    names : sequence of str
        What the company can change.

    Returns
    -------
    bool

    Examples
    --------
    >>> waits = Origin("interactions", "mean", "value", (("kind", "call"),), 30, "support")
    >>> is_actionable("call_mean_30d", waits, ["support"])
    True
    """
    return bool(_own_names(feature, origin) & set(names))


def unknown_names(origins: Mapping[str, Origin], names: Sequence[str]) -> list[str]:
    """List the names that no feature answers to.

    Parameters
    ----------
    origins : mapping of str to Origin
        The features.
    names : sequence of str
        Features, columns, kinds, touchpoints or channels.

    Returns
    -------
    list of str

    Examples
    --------
    >>> unknown_names({"age": Origin("customers", "attribute", "age")}, ["age", "suport"])
    ['suport']
    """
    known = {name for feature in origins.items() for name in _own_names(*feature)}
    return [name for name in names if name not in known]


def _own_names(feature: str, origin: Origin) -> set[str]:
    kind = dict(origin.filters).get("kind", "")
    return {feature, origin.column, origin.touchpoint, origin.channel, kind} - {""}


def clocks_of(X: pd.DataFrame, origins: Mapping[str, Origin]) -> pd.DataFrame:
    """Find what tells the time in X: the date of each row, and how long customers have been there.

    Parameters
    ----------
    X : DataFrame, shape (n, p)
        Features; ``as_of`` in the index is a clock where it has two dates or more.
    origins : mapping of str to Origin
        Where they come from.

    Returns
    -------
    DataFrame, shape (n, number of clocks)
        Numbers without gaps. Tenure is the measure of that name, or a number of the customer
        table whose name has the word tenure in it.

    Examples
    --------
    >>> X = pd.DataFrame({"Tenure in Months": [3, 40], "age": [31, 64]})
    >>> origins = {name: Origin("customers", "attribute", name) for name in X}
    >>> list(clocks_of(X, origins))
    ['Tenure in Months']
    """
    clocks = {
        name: X[name].astype("float64").replace([np.inf, -np.inf], np.nan)
        for name, origin in origins.items()
        if is_tenure(origin) and pd.api.types.is_numeric_dtype(X[name])
    }
    clocks = {
        name: column.fillna(column.median())
        for name, column in clocks.items()
        if column.notna().any()
    }
    if "as_of" in X.index.names:
        dates = X.index.get_level_values("as_of")
        clocks["as_of"] = pd.Series(pd.factorize(dates, sort=True)[0], X.index, dtype="float64")
    found = pd.DataFrame(clocks, index=X.index)
    return found.loc[:, found.nunique() > 1]


def is_clock(origin: Origin) -> bool:
    """Say whether a feature is the time itself: a month, or the time since a customer's start."""
    return origin.measure == "month" or is_tenure(origin)


def is_tenure(origin: Origin) -> bool:
    """Say whether a feature is the time since a customer's start."""
    words = origin.column.lower().replace("_", " ").split()
    return origin.measure == "tenure" or (origin.measure == "attribute" and "tenure" in words)


def proxies_of_time(columns: Floats, clocks: pd.DataFrame, customers: Codes) -> Flags:
    """Mark the columns that mostly say when a row is, or how long ago its customer started.

    Parameters
    ----------
    columns : ndarray, shape (n, m)
        Values of features, or contributions; gaps are taken for the highest value.
    clocks : DataFrame, shape (n, k)
        What tells the time, see `clocks_of`.
    customers : ndarray of int64, shape (n,)
        Customer of each row.

    Returns
    -------
    ndarray of bool, shape (m,)
        False everywhere without clocks, or with fewer than 50 customers.

    Notes
    -----
    The ranks of each column are regressed on cubic splines of the clocks, in five folds that keep
    the rows of a customer together. A column is marked if they tell half or more of the variance
    of its ranks in customers they have not seen. So is a count "so far" that grows with tenure,
    or a season; a feature that time tells in part is not.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> tenure = rng.uniform(0, 1000, 300)
    >>> columns = np.column_stack([rng.poisson(tenure / 50), rng.poisson(9, 300)])
    >>> proxies_of_time(columns, pd.DataFrame({"tenure": tenure}), np.arange(300)).tolist()
    [True, False]
    """
    if not clocks.shape[1] or len(np.unique(customers)) < 10 * N_FOLDS:
        return np.zeros(columns.shape[1], dtype=bool)
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import SplineTransformer

    rows = _thinned(customers)
    columns, clocks, customers = columns[rows], clocks.iloc[rows], customers[rows]
    ranks = pd.DataFrame(columns).rank(na_option="bottom", pct=True).to_numpy()
    model = make_pipeline(
        SplineTransformer(n_knots=5, extrapolation="constant"), LinearRegression()
    )
    told = cross_val_predict(
        model, clocks.to_numpy(), ranks, groups=customers, cv=GroupKFold(N_FOLDS)
    ).reshape(ranks.shape)
    spread = ranks.var(axis=0)
    unexplained = ((ranks - told) ** 2).mean(axis=0)
    return np.asarray((spread > 1e-12) & (unexplained <= (1.0 - MOSTLY) * spread))


def _thinned(customers: Codes) -> npt.NDArray[np.intp]:
    """Choose whole customers, the same each time: every other row might be of one date only."""
    _, codes, sizes = np.unique(customers, return_inverse=True, return_counts=True)
    order = np.random.default_rng(0).permutation(len(sizes))
    enough = max(int((sizes[order].cumsum() <= MOST_ROWS).sum()), 10 * N_FOLDS)
    return np.flatnonzero(np.isin(codes, order[:enough]))
