"""Segments of the rows: who is in which, which are large enough to be compared, the worst."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.errors import ModelError
from cxpredict.models.evaluation.intervals import Bootstrap

__all__ = ["MISSING", "WHOLE", "Segment", "divide", "of_each_division"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

WHOLE = "(all)"
MISSING = "(missing)"
_MOST_SEGMENTS = 50


@dataclass(frozen=True)
class Segment:
    """Rows that share a value.

    Attributes
    ----------
    by, name : str
        What divides the rows, and the value they share.
    rows : ndarray of int
        Positions of the rows that have a weight.
    customers, events : int
        Customers, and those of them with the event.
    compared : bool
        Whether enough customers have the event, and enough have not, to call it the worst.
    """

    by: str
    name: str
    rows: Ints
    customers: int
    events: int
    compared: bool

    def facts(self, kind: str) -> dict[str, Any]:
        """Give what every row of a table says of the segment."""
        return {
            "kind": kind,
            "by": self.by,
            "segment": self.name,
            "customers": self.customers,
            "events": self.events,
            "compared": self.compared,
        }


def divide(by: Any, event: Floats, setting: Bootstrap, *, fewest: int) -> list[Segment]:
    """Read the segments of rows; the first one is the whole.

    Parameters
    ----------
    by : Series, array-like, DataFrame or mapping
        One value per row, or several columns of them; gaps are a segment of their own.
    event : ndarray of {0., 1.}, shape (n,)
        Outcome.
    setting : Bootstrap
        Weights and customers of the rows.
    fewest : int
        Customers with the event, and without it, that a compared segment has at least.

    Returns
    -------
    list of Segment
        By column, then by value.

    Raises
    ------
    ModelError
        Other length, or more than 50 values.
    """
    found = [_segment("", WHOLE, np.arange(len(event)), event, setting, fewest)]
    for name, values in _columns(by).items():
        if len(values) != len(event):
            raise ModelError(f"by: {name} has {len(values):,} rows and y {len(event):,}.")
        labels = pd.Series(np.asarray(values)).astype("object")
        labels = labels.where(labels.notna(), MISSING).map(str)
        codes, known = pd.factorize(labels, sort=True)
        if len(known) > _MOST_SEGMENTS:
            raise ModelError(
                f"by: {name} has {len(known):,} different values; segments are at most "
                f"{_MOST_SEGMENTS}. Cut numbers into groups, for example with pandas.qcut."
            )
        for code, label in enumerate(known):
            rows = np.flatnonzero((codes == code) & (setting.weight > 0))
            if len(rows):
                found.append(_segment(name, str(label), rows, event, setting, fewest))
    return found


def of_each_division(segments: Sequence[Segment]) -> Iterator[list[int]]:
    """Give, for each column that divides the rows, the places of its compared segments."""
    for by in dict.fromkeys(segment.by for segment in segments[1:]):
        places = [i for i, s in enumerate(segments) if i and s.by == by and s.compared]
        if places:
            yield places


def _columns(by: Any) -> Mapping[str, Any]:
    if isinstance(by, pd.DataFrame):
        return {str(name): by[name] for name in by}
    if isinstance(by, Mapping):
        return {str(name): values for name, values in by.items()}
    name = getattr(by, "name", None)
    return {"segment" if name is None else str(name): by}


def _segment(
    by: str, name: str, rows: Ints, event: Floats, setting: Bootstrap, fewest: int
) -> Segment:
    customer = setting.customer[rows]
    customers = len(np.unique(customer))
    events = len(np.unique(customer[event[rows] > 0]))
    others = len(np.unique(customer[event[rows] == 0]))
    return Segment(by, name, rows, customers, events, min(events, others) >= fewest)
