"""Cells that a column's values fall into: bins of numbers, levels, one for gaps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.models.columns.kinds import LARGEST, as_levels, as_numbers, recognise

__all__ = ["Cells", "Placed", "bin_edges"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

N_BINS = 10
SMALLEST_BIN = 0.02
OTHER, MISSING = "(other)", "(missing)"


@dataclass(frozen=True)
class Placed:
    """Where values fall: cell of each row (−1: not readable), and names of levels not known."""

    cell: Ints
    unknown: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Cells:
    """The cells of one column, in order; the last one holds the gaps.

    Parameters
    ----------
    kind : {"number", "flag", "category"}
        How values are read.
    edges : tuple of float
        Upper ends of all bins but the last; a value at an edge lies below it.
    levels : tuple of str
        Levels of a category that have a cell; before the gaps all others share one.

    Examples
    --------
    >>> Cells("number", edges=(0.5, 2.5)).place(pd.Series([0, 1, 2.5, 7, None])).cell.tolist()
    [0, 1, 1, 2, 3]
    >>> Cells("category", levels=("gold",)).place(pd.Series(["gold", "new", None])).cell.tolist()
    [0, 1, 2]
    """

    kind: str
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()

    @classmethod
    def of(cls, entry: dict[str, Any]) -> Cells:
        """Read the cells of one entry of a baseline."""
        return cls(entry["kind"], tuple(entry.get("edges", ())), tuple(entry.get("levels", ())))

    def __len__(self) -> int:
        return len(self.levels) + 2 if self.kind == "category" else len(self.edges) + 2

    @property
    def names(self) -> list[str]:
        """Name of each cell, for people."""
        if self.kind == "category":
            return [*self.levels, OTHER, MISSING]
        ends = [f"{edge:g}" for edge in self.edges]
        if not ends:
            return ["any number", MISSING]
        middle = [f"{low} to {high}" for low, high in pairwise(ends)]
        return [f"up to {ends[0]}", *middle, f"above {ends[-1]}", MISSING]

    def place(self, values: pd.Series) -> Placed:
        """Find the cell of each value, one by one: other rows make no difference."""
        if self.kind == "category":
            return self._place_levels(values)
        numbers, readable = _numbers(values)
        gap = ~(np.abs(numbers) <= LARGEST)
        cell = np.searchsorted(self.edges, numbers, side="left")
        cell[gap] = len(self) - 1
        cell[~readable] = -1
        return Placed(np.asarray(cell, dtype=np.intp))

    def _place_levels(self, values: pd.Series) -> Placed:
        positions, spelled = as_levels(values)
        known = {level: place for place, level in enumerate(self.levels)}
        other, gap = len(self.levels), len(self.levels) + 1
        places = np.array([*(known.get(level, other) for level in spelled), gap], dtype=np.intp)
        counts = np.bincount(positions[positions >= 0], minlength=len(spelled))
        unknown: Counter[str] = Counter()
        for level, count in zip(spelled, counts.tolist(), strict=True):
            if level not in known:
                unknown[level] += count
        return Placed(places[positions], unknown)


def _numbers(values: pd.Series) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Read values as numbers; tell those that are none (text, dates), gaps apart."""
    if recognise(values) in ("number", "flag"):
        return as_numbers(values), np.ones(len(values), dtype=bool)
    plain = values.astype("object")
    gap = plain.isna().to_numpy()
    kept = plain.map(lambda v: isinstance(v, int | float | np.number | np.bool_)).to_numpy(bool)
    return as_numbers(plain.where(kept, np.nan)), np.asarray(kept | gap)


def bin_edges(values: Floats) -> tuple[float, ...]:
    """Cut known numbers into about ten bins of equal mass; what is tied stays together.

    Parameters
    ----------
    values : ndarray of float
        Numbers without gaps.

    Returns
    -------
    tuple of float
        Ascending, between values rather than at them, rounded to about a hundredth of the range
        of the middle nine tenths: no edge gives away what one customer has.

    Notes
    -----
    A value that many share, such as no complaint, fills a bin; the bins that are left divide the
    others. No bin is meant to hold under 2 % of the values.

    Examples
    --------
    >>> bin_edges(np.repeat([0.0, 1.0, 2.0, 9.0], [90, 5, 4, 1]))
    (0.5, 1.5)
    >>> bin_edges(np.repeat([-7.0, 0.0, 5.0], [8, 90, 2]))
    (-3.5, 2.5)
    """
    distinct, counts = np.unique(values, return_counts=True)
    seen = np.cumsum(counts)
    if len(distinct) < 2:
        return ()
    low, high = np.quantile(values, [0.05, 0.95])
    edges: list[float] = []
    done, total = 0, int(seen[-1])
    smallest = SMALLEST_BIN * total
    for left in range(N_BINS, 1, -1):
        size = max((total - done) / left, smallest)
        place = int(np.searchsorted(seen, done + size))
        if counts[place] > size and place and seen[place - 1] - done >= smallest:
            place -= 1  # so that what many share has a bin of its own
        if place >= len(distinct) - 1 or total - seen[place] < smallest:
            break
        edges.append(_between(distinct[place], distinct[place + 1], high - low))
        done = int(seen[place])
    return tuple(sorted(set(edges)))


def _between(low: float, high: float, spread: float) -> float:
    """Give a short number in the middle of two neighbours, or near them where they are close."""
    coarsest = max(high - low, spread / 100.0)
    digits = 1 - int(np.floor(np.log10(coarsest)))
    return float(np.round(low + (high - low) / 2.0, digits))
