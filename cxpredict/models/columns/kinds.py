"""Recognise what a column holds, and read it as numbers or as levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.errors import ModelError

__all__ = ["as_levels", "as_numbers", "of_one_customer", "recognise", "unfit_category"]

Floats = npt.NDArray[np.float64]

CUSTOMER = "customer_id"
CERTAIN_LEVELS = 100
"""Up to this many distinct values text is a category without further questions."""
ID_SHARE = 0.9
"""Above it, text with a share of distinct values as large as this is an id."""
WORDS_IN_A_LEVEL = 4.0
"""Above it, text of more words on average is free text."""
RARE_LEVEL = 2
"""Levels of fewer rows than this are pooled, where a category has many."""
LARGEST = 1e100
"""Numbers beyond it are read as infinite: their squares would be."""
NUMERIC_TEXT_LEVELS = 20
"""Text of which (almost) all values are numbers is refused above this many distinct values."""
_TIMES = {"datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period"}
_NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal"}


def recognise(values: pd.Series) -> str:
    """Return the kind of a column, or a phrase that says why it has none."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if pd.api.types.is_bool_dtype(dtype):
        return "flag"
    if pd.api.types.is_complex_dtype(dtype):
        return "holds complex numbers: split them into two columns"
    if pd.api.types.is_numeric_dtype(dtype):
        return "number"
    found = pd.api.types.infer_dtype(values, skipna=True)
    if found in _TIMES:
        return "holds dates or times: use the days between it and as_of instead"
    if found == "boolean":
        return "flag"
    if found in _NUMBERS:
        return "number"
    if found in ("string", "empty"):
        return "category"
    return f"holds mixed values ({found}): convert it to numbers or to text"


def unfit_category(values: pd.Series) -> str:
    """Return a phrase that says why text is no category, or nothing."""
    declared = isinstance(values.dtype, pd.CategoricalDtype)
    if not declared and recognise(values) != "category":
        return ""
    known = values.dropna()
    levels = pd.Series(known.unique(), dtype=object)
    undeclared = not declared and len(levels) > NUMERIC_TEXT_LEVELS
    if undeclared and pd.to_numeric(levels, errors="coerce").notna().mean() >= 0.9:
        return "holds numbers as text: convert it with pd.to_numeric(column, errors='coerce')"
    if len(levels) <= CERTAIN_LEVELS:
        return ""
    if len(levels) >= ID_SHARE * len(known):
        return f"has {len(levels):,} distinct text values in {len(known):,} rows, an id: drop it"
    words = levels.astype(str).str.split().str.len().mean()
    if words > WORDS_IN_A_LEVEL:
        return (
            f"is free text ({len(levels):,} distinct values of {words:.0f} words on average): "
            "drop it, or turn it into themes first"
        )
    return ""


def as_numbers(values: pd.Series) -> Floats:
    """Return numbers or flags as float64, gaps as NaN, what is beyond 1e100 as infinite."""
    try:
        numbers = np.array(values.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    except (ArithmeticError, TypeError, ValueError):
        numbers = np.array([np.nan if pd.isna(v) else _as_float(v) for v in values], dtype=float)
    numbers[np.abs(numbers) > LARGEST] = np.inf
    return numbers


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def as_levels(values: pd.Series) -> tuple[npt.NDArray[np.intp], list[str]]:
    """Return the position of each value in a list of spelled levels (−1 for gaps), and the list.

    3, 3.0 and "3" are spelled alike, whatever the dtype was.
    """
    try:
        codes, levels = pd.factorize(values)
    except TypeError:
        raise ModelError(
            f"Column {values.name!r} holds lists or other containers: convert it to text."
        ) from None
    return np.asarray(codes, dtype=np.intp), [_spell(level) for level in levels]


def of_one_customer(
    positions: npt.NDArray[np.intp], spelled: list[str], index: pd.Index
) -> list[str]:
    """List the levels that a single customer has, where the index names customers."""
    if CUSTOMER not in index.names:
        return []
    found = pd.DataFrame({"place": positions, CUSTOMER: index.get_level_values(CUSTOMER)})
    found = found[found["place"] >= 0]
    found["level"] = [spelled[place] for place in found["place"]]
    customers = found.groupby("level")[CUSTOMER].nunique()
    return list(customers.index[customers == 1])


def _spell(level: Any) -> str:
    if isinstance(level, float | np.floating) and float(level).is_integer():
        return str(int(level))
    return str(level)
