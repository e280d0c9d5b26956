"""Single settings on their way to money: one number, one whole number; results with their index."""

from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.data.checks import Floats, in_range
from cxpredict.errors import DataError


def number(
    name: str, value: Any, low: float = -np.inf, high: float = np.inf, *, hint: str = ""
) -> float:
    """Return `value` as a float, or refuse what is not one finite number in range."""
    try:
        if isinstance(value, Real) and not isinstance(value, bool):
            return float(in_range(name, float(value), low, high, hint=hint or "Correct it."))
    except OverflowError:
        pass
    raise DataError(f"{name}: expected one number, got {_shown(value)}.")


def above_zero(name: str, value: Any) -> float:
    """Return `value` as a float, or refuse what is not one finite number above 0."""
    found = number(name, value, 0.0)
    if found == 0:
        raise DataError(f"{name}: expected more than 0, got 0.")
    return found


def whole_number(name: str, value: Any, low: int, high: int) -> int:
    """Return `value` as an int, or refuse what is not one whole number from low to high."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or not low <= int(value) <= high:
        raise DataError(
            f"{name}: expected a whole number from {low:,} to {high:,}, got {_shown(value)}."
        )
    return int(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if isinstance(value, str | int | float) and len(text) < 30 else type(value).__name__


def labelled(values: Floats, index: Any, name: str) -> Any:
    """Return a Series on `index` if there is one, a float for a single number, else the array."""
    if index is not None:
        return pd.Series(np.broadcast_to(values, len(index)).copy(), index=index, name=name)
    return float(values) if np.ndim(values) == 0 else values
