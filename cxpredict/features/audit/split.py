"""What stands on both sides of a split: rows, customers, repeated values."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.util import hash_array, hash_pandas_object

from cxpredict.errors import DataError
from cxpredict.features.audit.checks import Finding
from cxpredict.features.audit.power import Codes, Floats, as_numbers


def customer_codes(X: pd.DataFrame) -> Codes:
    """Give each row the number of its customer, in the order of their ids.

    Parameters
    ----------
    X : DataFrame
        With an index level ``customer_id``; without one each index value is a customer.

    Returns
    -------
    ndarray of int64, shape (n,)
        0, 1, 2, …; the order of the rows does not matter.

    Examples
    --------
    >>> customer_codes(pd.DataFrame({"age": [40, 31]}, index=["b", "a"])).tolist()
    [1, 0]
    """
    index = X.index
    if "customer_id" in index.names:
        index = index.get_level_values("customer_id")
    codes, _ = pd.factorize(index, sort=True)
    return np.asarray(codes, dtype=np.int64)


def split_overlap(
    X: pd.DataFrame, y: Floats, X_test: pd.DataFrame, y_test: Floats | None
) -> list[Finding]:
    """Find rows and customers that stand on both sides of a split.

    Parameters
    ----------
    X, X_test : DataFrame
        The two sides, with the same columns.
    y, y_test : ndarray of float64
        Their labels; without ``y_test`` only the features of repeated rows are compared.

    Returns
    -------
    list of Finding
        Medium for the same (customer, as_of) on both sides, low for the same customer at another
        date (legitimate in a split by time) and for rows with equal values.

    Raises
    ------
    DataError
        The two sides have different columns.
    """
    if set(X_test.columns) != set(X.columns):
        odd = sorted(map(str, set(X_test.columns) ^ set(X.columns)))
        raise DataError(f"X and X_test need the same columns; only on one side: {odd[:5]}.")
    found = []
    if "customer_id" in X.index.names and "customer_id" in X_test.index.names:
        both = int(X_test.index.isin(X.index).sum())
        if both:
            evidence = f"{both:,} of {len(X_test):,} test rows are training rows (same index)"
            advice = "Split again: a row must be on one side only."
            found.append(Finding("(rows)", "split overlap", "medium", evidence, advice))
        ids = X_test.index.get_level_values("customer_id").unique()
        shared = int(ids.isin(X.index.get_level_values("customer_id")).sum())
        if shared:
            evidence = f"{shared:,} of {len(ids):,} test customers are in training too"
            advice = "Legitimate in a split by time with embargo; else group the split by customer."
            found.append(Finding("(rows)", "customer overlap", "low", evidence, advice))
    train_hash, test_hash = _row_hashes(X, X_test)
    repeated = np.isin(test_hash, train_hash)
    if repeated.any():
        evidence = f"{int(repeated.sum()):,} of {len(X_test):,} test rows repeat a training row"
        if y_test is not None:
            labelled = np.isin(test_hash + hash_array(y_test), train_hash + hash_array(y))
            evidence += f", {int(labelled.sum()):,} of them with its label"
        advice = "Normal for tables of few levels; else look for rows loaded twice."
        found.append(Finding("(rows)", "repeated rows", "low", evidence, advice))
    return found


def window_overlap(X: pd.DataFrame, X_test: pd.DataFrame, label_days: int | None) -> list[Finding]:
    """Find training rows whose label window reaches past the first test date.

    Parameters
    ----------
    X, X_test : DataFrame
        With an index level ``as_of``; without one nothing is found.
    label_days : int or None
        Days from ``as_of`` to the end of the label window.

    Returns
    -------
    list of Finding
        One of severity medium, or none.
    """
    both = (X, X_test)
    if label_days is None or not all("as_of" in part.index.names for part in both):
        return []
    ends = X.index.get_level_values("as_of") + pd.Timedelta(days=label_days)
    late = int((ends > X_test.index.get_level_values("as_of").min()).sum())
    if not late:
        return []
    evidence = f"the label window of {late:,} of {len(X):,} training rows ends in the test period"
    advice = f"Leave {label_days} days between the last training date and the first test date."
    return [Finding("(rows)", "window overlap", "medium", evidence, advice)]


def _row_hashes(
    X: pd.DataFrame, X_test: pd.DataFrame
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    stacked = pd.concat([X, X_test[X.columns]], ignore_index=True)
    for name in stacked.columns:
        numbers = as_numbers(stacked[name])
        stacked[name] = stacked[name].astype("str") if numbers is None else numbers
    hashes = hash_pandas_object(stacked, index=False).to_numpy(dtype=np.uint64)
    return hashes[: len(X)], hashes[len(X) :]
