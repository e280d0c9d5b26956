"""Importance of features and of groups of features, with intervals over customers."""

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.suppression import MIN_RESPONDENTS
from cxpredict.errors import ConfigError
from cxpredict.features.origin import Origin
from cxpredict.models.resampling import bootstrap_counts

N_DRAWS = 200
FIELDS = ("source", "measure", "column", "window_days", "touchpoint", "channel")
FILTERS = ("kind", "metric", "outcome", "theme")

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


def group_names(origins: Mapping[str, Origin], what: str) -> list[str]:
    """Name the group of every feature.

    Parameters
    ----------
    origins : mapping of str to Origin
        Features in order.
    what : str
        A field of the origin (source, measure, column, window_days, touchpoint, channel) or a
        column it filters on (kind, metric, outcome, theme).

    Returns
    -------
    list of str
        One name per feature. Features of the customer table that belong nowhere are
        ``"customer profile"``, other features ``"(none)"``.

    Raises
    ------
    ConfigError
        There is no such grouping.

    Examples
    --------
    >>> complaints = Origin("interactions", "count", filters=(("kind", "complaint"),))
    >>> origins = {"complaint_count": complaints, "tenure_days": Origin("customers", "tenure")}
    >>> group_names(origins, "kind")
    ['complaint', 'customer profile']
    """
    if what not in FIELDS + FILTERS:
        raise ConfigError(
            f"drivers are grouped by one of {', '.join(FIELDS + FILTERS)}, not by {what!r}."
        )
    return [_group(origin, what) for origin in origins.values()]


def _group(origin: Origin, what: str) -> str:
    name = getattr(origin, what) if what in FIELDS else dict(origin.filters).get(what)
    if name:
        return str(name)
    return "customer profile" if origin.source == "customers" else "(none)"


def sum_by_group(contributions: Floats, groups: Sequence[str]) -> tuple[Floats, list[str]]:
    """Add up the signed contributions of each group.

    Parameters
    ----------
    contributions : ndarray, shape (n, p)
        Log-odds.
    groups : sequence of str, length p
        Group of each column.

    Returns
    -------
    sums : ndarray, shape (n, number of groups)
    names : list of str
        Groups in the order of their first column.

    Notes
    -----
    Signs first: two features that cancel out for a customer move nothing together, while a sum of
    their magnitudes would count both.

    Examples
    --------
    >>> sum_by_group(np.array([[2.0, -2.0, 1.0]]), ["calls", "calls", "visits"])
    (array([[0., 1.]]), ['calls', 'visits'])
    """
    codes, names = pd.factorize(np.asarray(groups, dtype=object))
    belongs = np.zeros((len(codes), len(names)))
    belongs[np.arange(len(codes)), codes] = 1.0
    return contributions @ belongs, [str(name) for name in names]


def importance(
    signed: Floats, customers: Codes, *, level: float, random_state: int
) -> pd.DataFrame:
    """Measure how much each column moves the score, with a bootstrap interval over customers.

    Parameters
    ----------
    signed : ndarray, shape (n, m)
        Contributions of features or of groups, log-odds.
    customers : ndarray of int64, shape (n,)
        Customer of each row; all rows of a customer are drawn together.
    level : float in (0, 1)
        Level of the interval.
    random_state : int
        Seed of the draws.

    Returns
    -------
    DataFrame, m rows in the order of the columns
        ``importance`` (mean magnitude, log-odds), ``share`` (of the sum of importances), ``low``,
        ``high`` (percentiles of 200 draws of customers), ``rank`` (1 is the strongest; equal ones
        share the better rank), ``rank_low``, ``rank_high``.

    Notes
    -----
    The intervals say how the figures would vary with other customers and *the same* model; they
    do not hold the variation from fitting the model anew (`cxpredict.driver_stability` does).

    Examples
    --------
    >>> importance(np.array([[1.0], [-1.0]]), np.array([0, 1]), level=0.95, random_state=0)
       importance  share  low  high  rank  rank_low  rank_high
    0         1.0    1.0  1.0   1.0     1         1          1
    """
    size = np.abs(signed)
    mean = size.mean(axis=0)
    rng = np.random.default_rng(random_state)
    draws = bootstrap_counts(customers.astype(np.intp), n_draws=N_DRAWS, rng=rng)
    means = []
    while block := list(islice(draws, 20)):  # one product for many draws is several times faster
        counts = np.stack(block)
        means.append(counts @ size / counts.sum(axis=1, keepdims=True))
    drawn = np.concatenate(means)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    share = mean / mean.sum() if mean.sum() > 0 else np.zeros_like(mean)
    sizes = pd.DataFrame({"importance": mean, "share": share, "low": low, "high": high})
    return sizes.join(rank_table(mean, drawn, level=level))


def rank_table(sizes: Floats, drawn: Floats, *, level: float) -> pd.DataFrame:
    """Rank sizes, the largest first, with the interval that the ranks of other draws span.

    Parameters
    ----------
    sizes : ndarray, shape (m,)
        Sizes to rank.
    drawn : ndarray, shape (draws, m)
        The same from bootstrap samples or refits.
    level : float in (0, 1)
        Level of the interval.

    Returns
    -------
    DataFrame, m rows
        ``rank``, ``rank_low``, ``rank_high``: whole numbers, 1 is the largest; equal sizes share
        the better rank.

    Examples
    --------
    >>> rank_table(np.array([2.0, 1.0]), np.array([[2.0, 1.0], [0.0, 3.0]]), level=0.95)
       rank  rank_low  rank_high
    0     1         1          2
    1     2         1          2
    """
    from scipy.stats import rankdata

    ranks = rankdata(-drawn, method="min", axis=1)
    edges = (1 - level) / 2, (1 + level) / 2
    low = np.quantile(ranks, edges[0], axis=0, method="lower")
    high = np.quantile(ranks, edges[1], axis=0, method="higher")
    table = {"rank": rankdata(-sizes, method="min"), "rank_low": low, "rank_high": high}
    return pd.DataFrame(table).astype("int64")


def directions(X: pd.DataFrame, contributions: Floats, customers: Codes) -> list[str]:
    """Say in which direction each feature pushes.

    Parameters
    ----------
    X : DataFrame, shape (n, p)
    contributions : ndarray, shape (n, p)
    customers : ndarray of int64, shape (n,)
        Customer of each row.

    Returns
    -------
    list of str
        ``"higher raises"`` or ``"higher lowers"`` (sign of Spearman's rank correlation of value
        and contribution), ``"highest with <level>"`` for categories (of levels with 11 customers
        or more, so that no single customer shows), ``""`` where there is none.

    Examples
    --------
    >>> X = pd.DataFrame({"visits": [1, 2, 3]})
    >>> directions(X, np.array([[0.2], [0.1], [-0.4]]), np.arange(3))
    ['higher lowers']
    """
    columns = ((X.iloc[:, place], contributions[:, place]) for place in range(X.shape[1]))
    return [_direction(*column, customers) for column in columns]


def _direction(values: pd.Series, contribution: Floats, customers: Codes) -> str:
    pushed = pd.Series(contribution, index=values.index)
    if pd.api.types.is_numeric_dtype(values):
        known = values.notna().to_numpy()
        ranks = values[known].astype("float64").rank()
        pushes = pushed[known].rank()
        covariance = float(((ranks - ranks.mean()) * (pushes - pushes.mean())).sum())
        return "higher raises" if covariance > 0 else "higher lowers" if covariance < 0 else ""
    levels = values.astype("str").to_numpy()
    by_level = pushed.groupby(levels).mean()
    by_level = by_level[pd.Series(customers).groupby(levels).nunique() >= MIN_RESPONDENTS]
    if len(by_level) < 2 or by_level.max() <= by_level.min():
        return ""
    return f"highest with {by_level.idxmax()}"
