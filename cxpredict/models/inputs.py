"""What `fit` and `predict` accept: frames, arrays, targets, weights, and their indexes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import column_or_1d, validate_data

from cxpredict.errors import ModelError
from cxpredict.models.resampling import customer_groups

__all__ = [
    "TrainingRows",
    "as_frame",
    "checked_weights",
    "class_counts",
    "entries",
    "generator",
    "training_rows",
]


@dataclass(frozen=True)
class TrainingRows:
    """Rows a model can learn from.

    Parameters
    ----------
    X : DataFrame
        Features of the rows with a target and a positive weight.
    y : ndarray
        Target as given, without gaps.
    weight : ndarray of float
        Sample weights scaled to mean 1.
    groups : ndarray of int
        Customer of each row.
    dates : ndarray or None
        `as_of` of each row, where the index has it.
    n_missing_target : int
        Rows left out because their target is missing.
    """

    X: pd.DataFrame
    y: npt.NDArray[Any]
    weight: npt.NDArray[np.float64]
    groups: npt.NDArray[np.intp]
    dates: npt.NDArray[Any] | None
    n_missing_target: int


def as_frame(estimator: Any, X: Any, *, reset: bool) -> pd.DataFrame:
    """Return X as a pandas frame and keep scikit-learn's record of its features.

    Parameters
    ----------
    estimator : estimator
        Gets `n_features_in_`, and `feature_names_in_` if all names are text, when `reset`.
    X : DataFrame or array-like of shape (n, p)
        pandas, polars or pyarrow table, or an array, whose columns are called x0, x1, …
    reset : bool
        True at fit.
    """
    if not isinstance(X, pd.DataFrame) and hasattr(X, "to_pandas"):
        X = X.to_pandas()
    if isinstance(X, pd.DataFrame):
        X = _without_dictionaries(_without_attrs(X))
    if not isinstance(X, pd.DataFrame):
        X = validate_data(
            estimator,
            X,
            reset=reset,
            dtype="numeric",
            ensure_all_finite=False,
            ensure_min_samples=1 if reset else 0,
        )
        names = getattr(estimator, "feature_names_in_", None)
        names = names if names is not None else [f"x{i}" for i in range(X.shape[1])]
        return pd.DataFrame(X, columns=list(names))
    if reset:
        estimator.n_features_in_ = X.shape[1]
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
        if all(isinstance(name, str) for name in X.columns):
            estimator.feature_names_in_ = np.array(X.columns, dtype=object)
    return X


def _without_attrs(X: pd.DataFrame) -> pd.DataFrame:
    """Leave out the origins of features, which pandas copies deeply with every column it takes."""
    return pd.DataFrame(X) if X.attrs else X


def _without_dictionaries(X: pd.DataFrame) -> pd.DataFrame:
    """Read Arrow's dictionary columns as the categories they are."""
    names = [
        name
        for name, dtype in X.dtypes.items()
        if isinstance(dtype, pd.ArrowDtype) and str(dtype).startswith("dictionary")
    ]
    if not names:
        return X
    return X.astype(dict.fromkeys(names, object)).astype(dict.fromkeys(names, "category"))


def training_rows(X: pd.DataFrame, y: Any, sample_weight: Any, *, source: Any) -> TrainingRows:
    """Check that target and weights belong to X; leave out rows that teach nothing.

    Parameters
    ----------
    X : DataFrame
        Features.
    y : array-like of shape (n,)
        Target. Missing values are left out of a Series and refused in an array.
    sample_weight : array-like of shape (n,) or None
        Weights, not negative; rows of weight 0 are left out.
    source : object
        What the caller was given as X: its index is compared with those of y and the weights.

    Raises
    ------
    ModelError
        Indexes or lengths differ, weights are negative, missing or all zero, no row is left.
    """
    labelled = source if isinstance(source, pd.DataFrame) else None
    groups = customer_groups(labelled, y, n_rows=len(X))
    weight = checked_weights(sample_weight, labelled, len(X))
    target, missing = _target(y, labelled)
    if len(target) != len(X):
        raise ModelError(
            f"X and y have inconsistent numbers of samples: {len(X):,} and {len(target):,}."
        )
    if len(X) == 0:
        raise ModelError("There are 0 rows to learn from: the training set is empty.")
    kept = ~missing & (weight > 0)
    if not kept.any():
        raise ModelError(
            f"There are 0 rows to learn from: of {len(X):,} rows the target is missing in "
            f"{int(missing.sum()):,} and the sample weight is zero in {int((weight == 0).sum()):,}."
        )
    weight = weight[kept]
    y_kept = target[kept]
    if isinstance(y, pd.Series):
        y_kept = y[kept].infer_objects().to_numpy()
    return TrainingRows(
        X=X if kept.all() else X[kept],
        y=y_kept,
        weight=_mean_1(weight),
        groups=groups[kept],
        dates=_dates(kept, labelled, y),
        n_missing_target=int(missing.sum()),
    )


def generator(random_state: Any) -> np.random.Generator:
    """Return a numpy Generator for any `random_state` that scikit-learn accepts."""
    return np.random.default_rng(check_random_state(random_state).randint(2**31))


def class_counts(y: npt.NDArray[Any]) -> str:
    """Write the rows per class for a message, at most five of them."""
    values, counts = np.unique(y, return_counts=True)
    shown = ", ".join(f"{v!s}: {c:,}" for v, c in zip(values[:5], counts[:5], strict=True))
    return shown + (", …" if len(values) > 5 else "")


def _target(y: Any, X: pd.DataFrame | None) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    if y is None:
        raise ModelError(
            "This model requires y to be passed, but the target y is None: pass the labels."
        )
    if isinstance(y, pd.Series):
        _same_index(X, y, "y")
        return np.asarray(y, dtype=object), y.isna().to_numpy()
    values = column_or_1d(y, warn=True)
    if values.dtype.kind in "fc":
        check_array(values, ensure_2d=False, input_name="y")
    return values, np.zeros(len(values), dtype=bool)


def _mean_1(weight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    small = weight / weight.max()
    return np.asarray(small / small.mean())


def _dates(kept: npt.NDArray[np.bool_], *tables: Any) -> npt.NDArray[Any] | None:
    """Look up `as_of` of the kept rows in the first index that has it."""
    for table in tables:
        index = getattr(table, "index", None)
        if isinstance(index, pd.Index) and "as_of" in index.names:
            return _ordered(index.get_level_values("as_of"))[kept]
    return None


def _ordered(dates: pd.Index) -> npt.NDArray[Any]:
    """Return dates as numbers in their order in time."""
    if not pd.api.types.is_numeric_dtype(dates.dtype):
        try:
            dates = pd.DatetimeIndex(pd.to_datetime(dates, format="ISO8601", utc=True))
        except (TypeError, ValueError):
            raise ModelError(
                "as_of in the index must be dates, or text like 2025-06-01; convert it with "
                "pd.to_datetime and the format it has."
            ) from None
    missing = int(dates.isna().sum())
    if missing:
        raise ModelError(f"as_of is missing in {missing:,} of {len(dates):,} rows of the index.")
    return np.asarray(pd.factorize(dates, sort=True)[0])


def entries(given: Any, X: Any, n: int, name: str) -> npt.NDArray[Any]:
    """Return one entry per row of X; the index of a Series must be that of X.

    Raises
    ------
    ModelError
        Index or length differ from those of X.
    """
    if isinstance(given, pd.Series):
        _same_index(X if isinstance(X, pd.DataFrame) else None, given, name)
    values = np.asarray(given)
    if values.shape != (n,):
        raise ModelError(f"{name} must have shape ({n},); got {values.shape}.")
    return values


def checked_weights(given: Any, X: Any, n: int) -> npt.NDArray[np.float64]:
    """Return one weight per row of X, 1 where none is given.

    Raises
    ------
    ModelError
        Index or length differ from those of X; weights are missing, negative or all zero.
    """
    if given is None:
        return np.ones(n)
    one_for_all = isinstance(given, int | float)
    values = entries(np.full(n, given) if one_for_all else given, X, n, "sample_weight")
    try:
        weight = values.astype(np.float64)
    except (TypeError, ValueError):
        raise ModelError("sample_weight must hold numbers.") from None
    bad = int((~np.isfinite(weight) | (weight < 0)).sum())
    if bad:
        raise ModelError(f"sample_weight: {bad:,} of {n:,} values are missing or negative.")
    if n and not weight.any():
        raise ModelError(f"sample_weight: all {n:,} weights are zero; one must be positive.")
    return weight


def _same_index(X: pd.DataFrame | None, other: pd.Series, name: str) -> None:
    if X is None or (len(X) == len(other) and X.index.equals(other.index)):
        return
    shared = len(X.index.intersection(other.index))
    raise ModelError(
        f"X and {name} must have the same index in the same order: X has {len(X):,} rows, "
        f"{name} {len(other):,}, {shared:,} labels are in both. Align them with "
        f"{name}.loc[X.index], or pass {name}.to_numpy() if the rows do match."
    )
