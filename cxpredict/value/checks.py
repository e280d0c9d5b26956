"""Check numbers before they become money: finite, in range, on one index."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.errors import DataError

Floats = npt.NDArray[np.float64]


def in_range(
    name: str, values: Any, low: float = -np.inf, high: float = np.inf, *, hint: str = ""
) -> Floats:
    """Return `values` as floats, or refuse what is text, missing, infinite or out of range."""
    dtypes = values.dtypes if isinstance(values, pd.DataFrame) else [getattr(values, "dtype", None)]
    if any(dtype is not None and pd.api.types.is_datetime64_any_dtype(dtype) for dtype in dtypes):
        raise DataError(f"{name}: expected numbers, got times.")
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{name}: expected numbers without gaps, got other values.") from None
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


def labelled(values: Floats, index: Any, name: str) -> Any:
    """Return a Series on `index` if there is one, a float for a single number, else the array."""
    if index is not None:
        return pd.Series(np.broadcast_to(values, len(index)).copy(), index=index, name=name)
    return float(values) if np.ndim(values) == 0 else values
