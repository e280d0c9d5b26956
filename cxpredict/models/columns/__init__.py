"""What a model knows about the columns it was fitted on, and how it reads others.

At fit every column is recognised as number, flag or category, or refused by name. At prediction
columns are aligned by name and read with the stored levels, never by position.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.errors import ModelError
from cxpredict.models.columns.kinds import (
    CERTAIN_LEVELS,
    LARGEST,
    RARE_LEVEL,
    as_levels,
    as_numbers,
    of_one_customer,
    recognise,
    unfit_category,
)

__all__ = ["Column", "ColumnPlan", "learn_columns"]

Floats = npt.NDArray[np.float64]
Kind = Literal["number", "flag", "category"]
ROWS_TO_COUNT = 100
"""Fewer rows than this may well have a different whole number each by chance."""


@dataclass(frozen=True)
class Column:
    """One column as it was at fit.

    Parameters
    ----------
    name : str
        The user's name of the column.
    kind : {"number", "flag", "category"}
        How its values are read.
    levels : tuple of str
        Sorted levels of a category; one of over 100 levels keeps those of at least 2 rows. A level
        of one customer (by `customer_id` of the index) is personal and is never kept.
    fill : float or None
        What a gap at prediction is read as, in a column without gaps at fit, because LightGBM
        would read it as zero: the median of a number or flag, the more frequent level of a
        category of two. None if the column had gaps, or has more levels.
    pooled : bool
        Whether rare levels, and those unknown at fit, count as one more level.
    dropped : str
        Why the column says nothing, and is not even read; empty if it is used.
    """

    name: str
    kind: Kind
    levels: tuple[str, ...] = ()
    fill: float | None = None
    pooled: bool = False
    dropped: str = ""

    @property
    def n_levels(self) -> int:
        """Number of levels, that of the pooled ones included; 0 if it is no category."""
        return len(self.levels) + self.pooled

    def read(self, values: pd.Series) -> tuple[Floats, int, int]:
        """Read values as float64: numbers, 0/1, or positions in `levels`; gaps as NaN.

        Returns
        -------
        tuple of (ndarray of float, int, int)
            Codes, number of infinite values, number of values whose level is unknown.
        """
        if self.dropped:
            return np.zeros(len(values)), 0, 0
        if self.kind == "category":
            positions, spelled = as_levels(values)
            known = {level: float(i) for i, level in enumerate(self.levels)}
            # Position −1, a gap, takes the last entry.
            codes = np.array([*(known.get(level, np.nan) for level in spelled), np.nan])[positions]
            unknown = np.isnan(codes) & (positions >= 0)
            if self.pooled:
                codes[unknown] = float(len(self.levels))
            return codes, 0, int(unknown.sum())
        kind = recognise(values)
        if kind == "category" and values.notna().any():
            raise ModelError(
                f"Column {self.name!r} was a {self.kind} at fit and is text now. "
                "Convert it, for example with pd.to_numeric(column, errors='coerce')."
            )
        if kind not in ("number", "flag", "category"):
            raise ModelError(f"Column {self.name!r} was a {self.kind} at fit and now {kind}.")
        numbers = as_numbers(values)
        infinite = np.isinf(numbers)
        numbers[infinite] = np.nan
        return numbers, int(infinite.sum()), 0


@dataclass(frozen=True)
class ColumnPlan:
    """The columns of a fitted model, in order.

    Parameters
    ----------
    columns : tuple of Column
        One entry per column of the training frame.
    """

    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Names of the columns in order."""
        return [column.name for column in self.columns]

    @property
    def n_levels(self) -> list[int]:
        """Levels of each category; 0 for numbers and flags."""
        return [column.n_levels for column in self.columns]

    def encode(self, X: pd.DataFrame) -> Floats:
        """Read a frame by column name.

        Parameters
        ----------
        X : DataFrame
            Columns in any order; extra columns are ignored.

        Returns
        -------
        ndarray of float, shape (len(X), number of columns)
            Numbers, flags as 0/1, categories as positions in their levels; gaps, infinite
            values and unknown levels as NaN, gaps in columns complete at fit as their median.

        Raises
        ------
        ModelError
            A column is missing, duplicated, or holds something other than at fit.
        """
        X = self._aligned(X)
        matrix = np.zeros((len(X), len(self.columns)))
        used = [i for i, column in enumerate(self.columns) if not column.dropped]
        together = self._plain_numbers(X, used)
        if together:  # at once: a column at a time costs more than all the rest for one row
            numbers = X.iloc[:, together].to_numpy(dtype=np.float64)
            matrix[:, [used[place] for place in together]] = numbers
            matrix[np.abs(matrix) > LARGEST] = np.nan
        for place in sorted(set(range(len(used))) - set(together)):
            matrix[:, used[place]] = self.columns[used[place]].read(X.iloc[:, place])[0]
        gaps = np.isnan(matrix)
        fills = [0.0 if column.fill is None else column.fill for column in self.columns]
        gaps[:, [column.fill is None for column in self.columns]] = False
        return np.where(gaps, fills, matrix) if gaps.any() else matrix

    def _plain_numbers(self, X: pd.DataFrame, used: list[int]) -> list[int]:
        """Return the places in X of numbers and flags that numpy holds as such."""
        return [
            place
            for place, dtype in enumerate(X.dtypes)
            if isinstance(dtype, np.dtype)
            and dtype.kind in "fiub"
            and self.columns[used[place]].kind != "category"
        ]

    def check(self, X: pd.DataFrame) -> pd.DataFrame:
        """Compare a frame with the columns known from fit, without failing.

        Returns
        -------
        DataFrame
            One row per column of either side: column, status (present, missing, extra, changed),
            kind at fit, n_missing, n_infinite, n_unseen (levels unknown at fit; of a category of
            over 100 levels also those of a single row, which it does not store).
        """
        names = _names(X)
        rows: list[tuple[str, str, str, int, int, int]] = []
        for column in self.columns:
            if column.name not in names:
                rows.append((column.name, "missing", column.kind, 0, 0, 0))
                continue
            values = X.iloc[:, names.index(column.name)]
            gaps = int(values.isna().sum())
            try:
                _, infinite, unseen = column.read(values)
            except ModelError:
                rows.append((column.name, "changed", column.kind, gaps, 0, 0))
            else:
                rows.append((column.name, "present", column.kind, gaps, infinite, unseen))
        known = set(self.names)
        rows += [(name, "extra", "", 0, 0, 0) for name in names if name not in known]
        header = ["column", "status", "kind", "n_missing", "n_infinite", "n_unseen"]
        return pd.DataFrame(rows, columns=header)

    def to_state(self) -> list[dict[str, Any]]:
        """Return the plan as lists, strings and numbers."""
        return [{**asdict(column), "levels": list(column.levels)} for column in self.columns]

    @classmethod
    def from_state(cls, state: list[dict[str, Any]]) -> ColumnPlan:
        """Rebuild a plan from `to_state`."""
        return cls(tuple(Column(**{**entry, "levels": tuple(entry["levels"])}) for entry in state))

    def _aligned(self, X: pd.DataFrame) -> pd.DataFrame:
        names = _unique_names(X)
        position = {name: i for i, name in enumerate(names)}
        used = [column.name for column in self.columns if not column.dropped]
        missing = [name for name in used if name not in position]
        if missing:
            raise ModelError(
                f"{len(missing)} of the {len(self.columns)} columns known from fit are missing: "
                f"{_some(missing)}. Add them (with missing values if they are unknown); "
                "renamed columns need their old name back."
            )
        return X if names == used else X.iloc[:, [position[name] for name in used]]


def learn_columns(X: pd.DataFrame) -> tuple[ColumnPlan, pd.DataFrame]:
    """Recognise the columns of a training frame.

    Parameters
    ----------
    X : DataFrame
        Numbers, flags, categories and text that repeats itself, nullable or not.

    Returns
    -------
    tuple of (ColumnPlan, DataFrame)
        The plan, and a report with one row per column: column, kind, n_levels (distinct values
        of a category), n_missing, n_infinite, dropped (constant, a row number, the same as an
        earlier column; empty if it is used).

    Raises
    ------
    ModelError
        Names every column that cannot be used, and how to mend it: duplicated names, dates,
        numbers as text, ids and free text, mixed objects.

    Examples
    --------
    >>> X = pd.DataFrame({"plan": ["basic", "gold", None], "calls": [1, 2, 4]})
    >>> plan, report = learn_columns(X)
    >>> report[["column", "kind", "n_missing"]].values.tolist()
    [['plan', 'category', 1], ['calls', 'number', 0]]
    >>> plan.encode(pd.DataFrame({"calls": [3], "plan": ["gold"]})).tolist()
    [[1.0, 3.0]]
    """
    names = _unique_names(X)
    if not names:
        raise ModelError("0 feature(s) (the training frame has no columns): add features.")
    columns, report, refused = [], [], []
    seen: dict[bytes, str] = {}
    for i, name in enumerate(names):
        values = X.iloc[:, i]
        kind = recognise(values)
        reason = kind if kind not in ("number", "flag", "category") else unfit_category(values)
        if reason:
            refused.append(f"{name!r} {reason}")
            continue
        column, codes, infinite = _learn(name, kind, values)
        dropped = _says_nothing(column, codes) or _repeats(name, kind, codes, seen)
        columns.append(replace(column, dropped=dropped))
        n_levels = values.nunique() if kind == "category" else 0
        report.append((name, kind, n_levels, int(values.isna().sum()), infinite, dropped))
    if refused:
        raise ModelError(f"{len(refused)} column(s) cannot be used: {_some(refused, sep='; ')}.")
    header = ["column", "kind", "n_levels", "n_missing", "n_infinite", "dropped"]
    return ColumnPlan(tuple(columns)), pd.DataFrame(report, columns=header)


def _learn(name: str, kind: str, values: pd.Series) -> tuple[Column, Floats, int]:
    """Return the column, what it holds, and its number of infinite values."""
    if kind == "category":
        positions, spelled = as_levels(values)
        count = pd.Series(np.bincount(positions[positions >= 0]), index=spelled, dtype=int)
        count = count.groupby(level=0).sum()
        pooled = len(count) > CERTAIN_LEVELS
        kept = count[count >= RARE_LEVEL] if pooled else count
        kept = kept.drop(of_one_customer(positions, spelled, values.index), errors="ignore")
        column = Column(name, "category", tuple(sorted(kept.index)), pooled=pooled)
        codes = column.read(values)[0]
        if len(kept) == 2 and not np.isnan(codes).any():
            column = replace(column, fill=float(codes.mean() > 0.5))
        return column, codes, 0
    column = Column(name, "flag" if kind == "flag" else "number")
    numbers, infinite, _ = column.read(values)
    if len(numbers) and not np.isnan(numbers).any():
        column = replace(column, fill=float(np.median(numbers)))
    return column, numbers, infinite


def _says_nothing(column: Column, codes: Floats) -> str:
    known = codes[~np.isnan(codes)]
    if len(known) == 0 or (len(known) == len(codes) and known.min() == known.max()):
        return "constant"
    if column.kind == "number" and len(known) == len(codes) > ROWS_TO_COUNT:
        whole = bool((codes == np.round(codes)).all())
        dense = codes.max() - codes.min() < 2 * len(codes)
        if whole and dense and len(np.unique(codes)) == len(codes):
            return "a row number"
    return ""


def _repeats(name: str, kind: str, codes: Floats, seen: dict[bytes, str]) -> str:
    """Say of which earlier column this is a copy, if it is one."""
    first = seen.setdefault(kind.encode() + sha256(codes.tobytes()).digest(), name)
    return "" if first == name else f"the same as {first}"


def _names(X: pd.DataFrame) -> list[str]:
    return [str(name) for name in X.columns]


def _unique_names(X: pd.DataFrame) -> list[str]:
    names = _names(X)
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ModelError(
            f"Column names must be unique; {len(twice)} occur more than once: {_some(twice)}. "
            "Rename or drop the duplicates."
        )
    return names


def _some(items: list[str], sep: str = ", ") -> str:
    shown = sep.join(items[:5])
    return shown if len(items) <= 5 else f"{shown} and {len(items) - 5} more"
