"""One feature over all customers, and all features of one customer, ready to draw."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxpredict.data.suppression import MIN_RESPONDENTS
from cxpredict.drivers.grouping import Codes, Floats

N_BINS = 10
MOST_LEVELS = 20


def dependence_table(values: pd.Series, contribution: pd.Series, customers: Codes) -> pd.DataFrame:
    """Average the contribution of a feature over bins of its values.

    Parameters
    ----------
    values : Series, length n
        Values of the feature.
    contribution : Series, length n
        Log-odds, with the same index.
    customers : ndarray of int64, shape (n,)
        Customer of each row.

    Returns
    -------
    DataFrame, by value
        ``value`` (median of a bin, or the level), ``contribution`` (mean, log-odds), ``n`` (rows).
        Numbers of more than ten different values are cut into at most ten bins of about equal
        size; of categories the 20 most frequent are kept. Gaps, infinite values, and what fewer
        than 11 customers have in common, are left out.

    Examples
    --------
    >>> values, pushed = pd.Series([0.0, 0.0, 3.0] * 11), pd.Series([-0.2, -0.4, 0.5] * 11)
    >>> dependence_table(values, pushed, np.arange(33)).round(2)
       value  contribution   n
    0    0.0          -0.3  22
    1    3.0           0.5  11
    """
    known = values.notna().to_numpy()
    if pd.api.types.is_numeric_dtype(values):
        known = np.isfinite(values.to_numpy(dtype=np.float64, na_value=np.nan))
    table = pd.DataFrame(
        {
            "value": values.to_numpy()[known],
            "contribution": contribution.to_numpy()[known],
            "customer": customers[known],
        }
    )
    if not pd.api.types.is_numeric_dtype(values):
        table["value"] = table["value"].astype("str")
        levels = _means(table, table["value"], "first")
        found = levels.nlargest(MOST_LEVELS, "n").sort_values("contribution", kind="stable")
    else:
        numbers = table["value"] = table["value"].astype("float64")
        few = numbers.nunique() <= N_BINS
        most = int(np.clip(table["customer"].nunique() // MIN_RESPONDENTS, 1, N_BINS))
        bins = numbers if few else pd.qcut(numbers, most, labels=False, duplicates="drop")
        found = _means(table, bins, "median")
    return found.reset_index(drop=True)


def _means(table: pd.DataFrame, bins: pd.Series, middle: str) -> pd.DataFrame:
    grouped = table.groupby(bins.to_numpy())
    columns = {
        "value": grouped["value"].agg(middle),
        "contribution": grouped["contribution"].mean(),
        "n": grouped.size(),
    }
    return pd.DataFrame(columns)[grouped["customer"].nunique() >= MIN_RESPONDENTS]


def waterfall_table(
    contributions: Floats, base: float, words: Sequence[str], *, top: int
) -> pd.DataFrame:
    """Add the contributions of one customer up, the strongest first.

    Parameters
    ----------
    contributions : ndarray, shape (p,)
        Log-odds.
    base : float
        Log-odds before any contribution.
    words : sequence of str, length p
        What to write beside each.
    top : int, 1 or more
        How many have a step of their own; the others share the last.

    Returns
    -------
    DataFrame
        ``step`` (words), ``start`` and ``change`` (log-odds). The first step is the base, from 0;
        the last one ends at the margin.

    Examples
    --------
    >>> waterfall_table(np.array([0.1, 1.0, -0.2]), -2.0, ["a", "b", "c"], top=1)
                   step  start  change
    0              base    0.0    -2.0
    1                 b   -2.0     1.0
    2  2 other features   -1.0    -0.1
    """
    order = np.argsort(-np.abs(contributions), kind="stable")
    own, rest = order[:top], order[top:]
    steps, changes = ["base", *(words[k] for k in own)], [base, *contributions[own]]
    if len(rest):
        steps.append(f"{len(rest):,} other feature{'s' if len(rest) > 1 else ''}")
        changes.append(contributions[rest].sum())
    change = np.array(changes, dtype=np.float64)
    table = {"step": steps, "start": np.cumsum(change) - change, "change": change}
    return pd.DataFrame(table)
