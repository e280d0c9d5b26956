"""How much one feature alone tells about the label, cross-fitted over customers."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

MAX_BINS = 128
MIN_ROWS_PER_BIN = 40

Codes: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Rows that one feature alone singles out.

    Attributes
    ----------
    count : float
        How many rows.
    share : float
        Share of the class in question among them.
    rate : float
        Rate of the class looked for among them; NaN without rows.
    """

    count: float
    share: float
    rate: float


@dataclass(frozen=True)
class FeaturePower:
    """What one feature alone tells about one class of a binary label, measured out of fold.

    Attributes
    ----------
    reading : str
        How the column was read, see `readings`.
    looked_for : str
        The class looked for: ``"positives"`` or ``"negatives"``.
    base : float
        Overall rate of that class.
    auc, auc_error : float
        Area under the ROC curve of the out-of-fold rates, and its standard error.
    accuracy : float
        Share of rows whose label is right when the out-of-fold rate is cut at one half.
    likely, certain : Rows
        Rows to which the other folds give the class a rate of .90 (.95) or more, and the share of
        the class among them.
    never : Rows
        Rows to which the other folds give less than 1/20 of the overall rate, and the share of the
        other class among them.
    """

    reading: str
    looked_for: str
    base: float
    auc: float
    auc_error: float
    accuracy: float
    likely: Rows
    certain: Rows
    never: Rows


def readings(column: pd.Series) -> dict[str, Codes]:
    """Read one column as integer codes, in every way in which a label may hide in it.

    Parameters
    ----------
    column : Series of any dtype
        Numbers, dates, booleans, categories or text. Missing values are a level of their own.

    Returns
    -------
    dict of str to ndarray of int64
        ``"value"`` always; ``"missing"`` (filled in or not) when some values are missing; ``"usual
        value"`` (the most frequent one or not) when it fills half the rows; ``"last digit"`` for
        integers of many different values; ``"text pattern"`` (numbers masked) for text of many
        levels.

    Notes
    -----
    Numbers with more values than bins are cut at quantiles; a value so frequent that it is a
    quantile more than once keeps a bin of its own, so zero-inflated counts stay readable.

    Examples
    --------
    >>> readings(pd.Series([3.0, None, 3.0, 7.0]))["missing"].tolist()
    [0, 1, 0, 0]
    """
    missing = column.isna().to_numpy(dtype=bool)
    found: dict[str, Codes] = {}
    numbers = as_numbers(column)
    if numbers is not None:
        found["value"] = _bins(numbers)
        present = numbers[~np.isnan(numbers)]
        limit = _bin_limit(len(numbers))
        if np.all(present == np.floor(present)) and len(np.unique(present)) > max(limit, 10):
            found["last digit"] = np.where(missing, 10, np.nan_to_num(numbers) % 10).astype(
                np.int64
            )
    else:
        text = column.astype("object").where(~missing, None)
        text = text.map(str, na_action="ignore")
        found["value"] = _factorize(text)
        if len(np.unique(found["value"])) > len(column) / 10:
            pattern = text.astype("str").str.replace(r"\d+", "0", regex=True)
            found["text pattern"] = _factorize(pattern)
    if missing.any() and not missing.all():
        found["missing"] = missing.astype(np.int64)
    counts = np.bincount(found["value"])
    if 2 * counts.max() >= len(column) and (counts > 0).sum() > 2:
        found["usual value"] = (found["value"] == counts.argmax()).astype(np.int64)
    return found


def as_numbers(column: pd.Series) -> Floats | None:
    """Return a column as floats (dates in seconds, missing NaN), or None for text.

    Parameters
    ----------
    column : Series of any dtype

    Returns
    -------
    ndarray of float64, or None

    Examples
    --------
    >>> as_numbers(pd.Series([True, False])).tolist()
    [1.0, 0.0]
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return None
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_timedelta64_dtype(column):
        origin = pd.Timedelta(0) if column.dtype.kind == "m" else pd.Timestamp(0, tz=column.dt.tz)
        return np.asarray((column - origin).dt.total_seconds(), dtype=np.float64)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_complex_dtype(column):
        numbers: Floats = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return numbers
    return None


def measure(
    codes: Codes,
    target: Codes,
    fold: Codes,
    *,
    reading: str = "value",
    looked_for: str = "positives",
) -> FeaturePower:
    """Measure what the codes of one feature alone tell about a binary target.

    Parameters
    ----------
    codes : ndarray of int64, shape (n,)
        Levels 0, 1, 2, … of the feature.
    target : ndarray of int64, shape (n,)
        0 or 1, both present.
    fold : ndarray of int64, shape (n,)
        Fold of each row; all rows of one customer share a fold.
    reading, looked_for : str
        Passed on to the result.

    Returns
    -------
    FeaturePower

    Notes
    -----
    The rate of a level is (k + π) / (n + 1) over the *other* folds, π being the overall rate, so
    nothing here is measured on rows it was learned from, and a column of unique ids stays at .5.
    The standard error of the AUC is Hanley and McNeil's.

    References
    ----------
    Hanley, McNeil (1982): The meaning and use of the area under a receiver operating
    characteristic (ROC) curve. Radiology 143.

    Examples
    --------
    >>> y = np.array([0, 1] * 50)
    >>> measure(y, y, np.arange(100) // 25).auc
    1.0
    """
    score, positive, negative = _out_of_fold(codes, target, fold)
    n, n_positive = len(target), int(target.sum())
    base, auc = n_positive / n, weighted_auc(score, positive, negative)

    def pool(chosen: npt.NDArray[np.bool_], of: Floats) -> Rows:
        hits, misses = float(positive[chosen].sum()), float(negative[chosen].sum())
        count = hits + misses
        share = float(of[chosen].sum() / of.sum())
        return Rows(count, share, hits / count if count else float("nan"))

    return FeaturePower(
        reading,
        looked_for,
        base,
        auc,
        auc_standard_error(auc, n_positive, n - n_positive),
        float(np.where(score >= 0.5, positive, negative).sum() / n),
        likely=pool(score >= 0.90, positive),
        certain=pool(score >= 0.95, positive),
        never=pool(score <= base / 20, negative),
    )


def weighted_auc(score: Floats, positive: Floats, negative: Floats) -> float:
    """Return the AUC of grouped rows: share of (positive, negative) pairs in order, ties half.

    Parameters
    ----------
    score, positive, negative : ndarray of float64, shape (m,)
        Score of each group of rows, and how many positives and negatives it holds.

    Returns
    -------
    float in [0, 1]

    Examples
    --------
    >>> weighted_auc(np.array([.1, .9]), np.array([1.0, 3.0]), np.array([3.0, 1.0]))
    0.75
    """
    levels, position = np.unique(score, return_inverse=True)
    wins = np.bincount(position, weights=positive, minlength=len(levels))
    losses = np.bincount(position, weights=negative, minlength=len(levels))
    below = np.cumsum(losses) - losses / 2
    return float((wins * below).sum() / (wins.sum() * losses.sum()))


def auc_standard_error(auc: float, n_positive: int, n_negative: int) -> float:
    """Return Hanley and McNeil's standard error of an AUC.

    Parameters
    ----------
    auc : float in [0, 1]
    n_positive, n_negative : int, 1 or more

    Returns
    -------
    float

    Examples
    --------
    >>> round(auc_standard_error(0.9, 100, 400), 4)
    0.0212
    """
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n_positive - 1) * (q1 - auc**2) + (n_negative - 1) * (q2 - auc**2)
    return float(np.sqrt(max(variance, 0.0) / (n_positive * n_negative)))


def _out_of_fold(codes: Codes, target: Codes, fold: Codes) -> tuple[Floats, Floats, Floats]:
    levels, folds = int(codes.max()) + 1, int(fold.max()) + 1
    cell = fold * levels + codes
    shape = (folds, levels)
    count = np.bincount(cell, minlength=folds * levels).reshape(shape).astype(np.float64)
    weights = target.astype(np.float64)
    positive = (
        np.bincount(cell, weights=weights, minlength=folds * levels)
        .reshape(shape)
        .astype(np.float64)
    )
    others, hits = count.sum(axis=0) - count, positive.sum(axis=0) - positive
    score: Floats = (hits + target.mean()) / (others + 1.0)
    used = count > 0
    negative: Floats = (count - positive)[used]
    return score[used], positive[used], negative


def _bin_limit(n: int) -> int:
    return int(np.clip(n // MIN_ROWS_PER_BIN, 8, MAX_BINS))


def _bins(numbers: Floats) -> Codes:
    present = numbers[~np.isnan(numbers)]
    limit = _bin_limit(len(numbers))
    edges = np.unique(present)
    if len(edges) > limit:
        cuts = np.quantile(present, np.linspace(0, 1, limit + 1), method="inverted_cdf")
        edges, times = np.unique(cuts, return_counts=True)
        edges = np.unique(np.r_[edges, np.nextafter(edges[times > 1], -np.inf)])
    codes = np.searchsorted(edges, numbers, side="left")
    return np.where(np.isnan(numbers), len(edges), codes).astype(np.int64)


def _factorize(text: pd.Series) -> Codes:
    codes, _ = pd.factorize(text, use_na_sentinel=False)
    return np.asarray(codes, dtype=np.int64)
