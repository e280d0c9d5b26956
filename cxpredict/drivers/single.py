"""One feature over all customers, and all features of one customer, ready to draw."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cxpredict.drivers.grouping import Floats

N_BINS = 10
MOST_LEVELS = 20


def dependence_table(values: pd.Series, contribution: pd.Series) -> pd.DataFrame:
    """Average the contribution of a feature over bins of its values.

    Parameters
    ----------
    values : Series, length n
        Values of the feature.
    contribution : Series, length n
        Log-odds, with the same index.

    Returns
    -------
    DataFrame, by value
        ``value`` (median of a bin, or the level), ``contribution`` (mean, log-odds), ``n`` (rows).
        Numbers of more than ten different values are cut into at most ten bins of about equal
        size; of categories the 20 most frequent are kept. Gaps and infinite values are left out.

    Examples
    --------
    >>> dependence_table(pd.Series([0.0, 0.0, 3.0]), pd.Series([-0.2, -0.4, 0.5]))
       value  contribution  n
    0    0.0          -0.3  2
    1    3.0           0.5  1
    """
    known = values.notna().to_numpy()
    if pd.api.types.is_numeric_dtype(values):
        known = np.isfinite(values.to_numpy(dtype=np.float64, na_value=np.nan))
    values, pushed = values[known], contribution.to_numpy()[known]
    if not pd.api.types.is_numeric_dtype(values):
        words = values.astype("str").to_numpy()
        table = pd.DataFrame({"value": words, "contribution": pushed})
        table = table.groupby("value")["contribution"].agg(["mean", "size"])
        table = table.nlargest(MOST_LEVELS, "size").sort_values("mean", kind="stable")
        found = table.reset_index()
    else:
        numbers = values.to_numpy(dtype=np.float64)
        few = len(np.unique(numbers)) <= N_BINS
        bins = numbers if few else pd.qcut(numbers, N_BINS, labels=False, duplicates="drop")
        table = pd.DataFrame({"value": numbers, "contribution": pushed})
        grouped = table.groupby(np.asarray(bins))
        found = pd.DataFrame(
            {
                "value": grouped["value"].median(),
                "mean": grouped["contribution"].mean(),
                "size": grouped.size(),
            }
        ).reset_index(drop=True)
    return found.rename(columns={"mean": "contribution", "size": "n"})


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
