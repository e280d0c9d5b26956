"""Customers' covariates as numbers: one plain matrix for trees, one smooth for regressions."""

import numpy as np
import pandas as pd

from cxpredict.data.checks import Floats
from cxpredict.errors import DataError
from cxpredict.models.columns.kinds import unfit_category

_MIN_LEVEL_ROWS = 20
_MAX_LEVELS = 30
_QUANTILES = [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99]


def plain_matrix(X: pd.DataFrame) -> pd.DataFrame:
    """Return numbers as they are, yes/no as 0 and 1, categories as one column for each level.

    Levels with fewer than 20 rows, or beyond the 30 most frequent, share one column; a missing
    category is a level of its own; a missing number stays missing. Text that is different in nine
    of ten rows is an id and refused.
    """
    if not isinstance(X, pd.DataFrame):
        raise DataError(
            f"covariates: expected a pandas DataFrame, got {type(X).__module__.split('.')[0]} "
            f"{type(X).__name__}. Convert it with .to_pandas(), or pandas.DataFrame(…) with names."
        )
    if X.shape[1] == 0 or not X.columns.is_unique:
        raise DataError("covariates: expected a DataFrame with one or more columns, each once.")
    columns: dict[str, Floats] = {}
    for name in X.columns:
        column, kind = X[name], X[name].dtype
        if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_numeric_dtype(kind):
            values = column.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
            if np.isinf(values).any():
                raise DataError(
                    f"covariates: {name} has {int(np.isinf(values).sum())} infinite values. "
                    "Leave them missing."
                )
            columns[str(name)] = values
        elif isinstance(kind, pd.CategoricalDtype) or pd.api.types.is_string_dtype(kind):
            if phrase := unfit_category(column):
                raise DataError(f"covariates: {name} {phrase}.")
            columns |= _levels(str(name), column)
        else:
            raise DataError(
                f"covariates: {name} is {kind}; expected numbers, yes/no or categories. "
                "Turn times into numbers, such as days since."
            )
    return pd.DataFrame(columns, index=X.index)


def smooth_matrix(plain: pd.DataFrame) -> Floats:
    """Return a standardised matrix in which a linear model bends with every number.

    Numbers are winsorised at the 1st and 99th percentile and get hinges max(0, x − knot) at five
    quantiles; missing ones become the median, with a column that says so.
    """
    parts: list[Floats] = []
    for name in plain.columns:
        x = plain[name].to_numpy(dtype=float)
        missing = np.isnan(x)
        if missing.all():
            continue
        x = np.where(missing, np.nanmedian(x), x)
        parts.append(x)
        if missing.any():
            parts.append(missing.astype(float))
        if len(np.unique(x)) > 2:
            low, *knots, high = np.quantile(x, _QUANTILES)
            parts[-1 - missing.any()] = x = np.clip(x, low, high)
            parts += [np.maximum(x - knot, 0.0) for knot in np.unique(knots)]
    matrix = np.column_stack(parts) if parts else np.empty((len(plain), 0))
    spread = matrix.std(axis=0)
    matrix, spread = matrix[:, spread > 1e-12], spread[spread > 1e-12]
    standardised: Floats = (matrix - matrix.mean(axis=0)) / spread
    return standardised


def _levels(name: str, column: pd.Series) -> dict[str, Floats]:
    labels = column.astype("object").where(column.notna(), "missing").astype(str)
    counts = labels.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    frequent = counts.index[counts >= _MIN_LEVEL_ROWS][:_MAX_LEVELS]
    dummies = {f"{name}={level}": (labels == level).to_numpy(float) for level in frequent}
    rest = ~labels.isin(frequent).to_numpy()
    return dummies | ({f"{name}=other": rest.astype(float)} if rest.any() else {})
