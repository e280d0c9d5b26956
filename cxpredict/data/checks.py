"""Check arguments before anything is computed: numbers, indexes, levels, seeds, counts."""

from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.errors import ConfigError, DataError

Floats = npt.NDArray[np.float64]


def in_range(
    name: str, values: Any, low: float = -np.inf, high: float = np.inf, *, hint: str = ""
) -> Floats:
    """Return `values` as floats, or refuse what is text, missing, infinite or out of range."""
    array = _as_floats(name, values)
    bad = ~np.isfinite(array) | (array < low) | (array > high)
    if bad.any():
        rows = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1)) if bad.ndim else np.array([0])
        limits = f"between {low:g} and {high:g}" if np.isfinite(low + high) else f"from {low:g} on"
        limits = "" if np.isinf(low) and np.isinf(high) else f" {limits}"
        first = ", ".join(str(row) for row in rows[:5])
        raise DataError(
            f"{name}: expected finite numbers{limits}; {int(bad.sum())} of {bad.size} values are "
            f"not, first at row {first}. {hint or 'Correct or leave out these rows.'}"
        )
    return array


def _as_floats(name: str, values: Any) -> Floats:
    dtypes = values.dtypes if isinstance(values, pd.DataFrame) else [getattr(values, "dtype", None)]
    try:
        raw = np.asarray(values)
        if raw.dtype.kind in "mM" or any(_is_time(dtype) for dtype in dtypes):
            raise DataError(f"{name}: expected numbers, got times.")
        if raw.dtype.kind == "O" and not all(_is_number(value) for value in raw.flat):
            raise TypeError
        if raw.dtype.kind not in "biufO":
            raise TypeError
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name}: expected numbers without gaps, got other values.") from None


def _is_time(dtype: Any) -> bool:
    types = pd.api.types
    return dtype is not None and (
        types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype)
    )


def _is_number(value: Any) -> bool:
    """Tell numbers and gaps, which are refused as gaps, from all else."""
    return value is None or value is pd.NA or isinstance(value, Real | Decimal | np.bool_)


def common_index(**inputs: Any) -> Any:
    """Return the index the pandas inputs share, None if none is pandas, or refuse a mix."""
    indexed = {name: v for name, v in inputs.items() if isinstance(v, pd.Series | pd.DataFrame)}
    index = None
    for name, value in indexed.items():
        if index is None:
            index, first = value.index, name
        elif not index.equals(value.index):
            raise DataError(
                f"{name} and {first} have different indexes ({len(value)} and {len(index)} rows). "
                "Give both in the same order, for example with .reindex or .loc."
            )
    return index


def one_per_row(name: str, values: Any, n: int, what: str) -> None:
    """Refuse what is not one value for each of n rows."""
    if np.ndim(values) != 1 or len(values) != n:
        raise DataError(
            f"{name}: expected {n:,} values (one for each of the {what}), got shape "
            f"{np.shape(values)}. Of a table give one column."
        )


def check_level(level: Any) -> float:
    """Return a confidence level as float, or refuse it."""
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < float(level) < 1:
        raise DataError(f"level: expected a number between 0 and 1 such as 0.95, got {level!r}.")
    return float(level)


def check_seed(random_state: Any) -> None:
    """Refuse what is no seed; None is one that differs each time."""
    whole = isinstance(random_state, int | np.integer) and not isinstance(random_state, bool)
    if random_state is not None and (not whole or random_state < 0):
        raise DataError(f"random_state: expected a whole number from 0 on, got {random_state!r}.")


def check_count(name: str, count: Any) -> None:
    """Refuse what is no whole number from 1 on."""
    whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
    if not whole or count < 1:
        raise ConfigError(f"{name}: expected a whole number from 1 on, got {count!r}.")
