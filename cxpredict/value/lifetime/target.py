"""What followed, period by period, as questions: was the customer there, and what did it bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.errors import ModelError

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Churn = Literal["event", "silence"]


@dataclass(frozen=True)
class Outcomes:
    """Margin and presence of each row and period.

    Parameters
    ----------
    margin : ndarray of float, shape (n, K)
        Money; NaN where the period was not observed whole.
    there : ndarray of {0., 1., NaN}, shape (n, K)
        Still a customer at the end of the period, or active in it.
    churn : {"event", "silence"}
        Whether customers leave for good, or only fall silent.
    """

    margin: Floats
    there: Floats
    churn: Churn

    @property
    def known(self) -> Flags:
        """Periods whose margin is known."""
        return ~np.isnan(self.margin)

    @property
    def asked(self) -> Flags:
        """Periods that say something of presence: of those who leave for good, until they left."""
        seen = ~np.isnan(self.there)
        return seen & self._there_before if self.churn == "event" else seen

    @property
    def earning(self) -> Flags:
        """Periods in which a margin could arise: there at the start, or active."""
        return self.known & (self._there_before if self.churn == "event" else self.there == 1)

    @property
    def _there_before(self) -> Flags:
        first = np.ones((len(self.there), 1), dtype=bool)
        return np.hstack([first, self.there[:, :-1] == 1])

    @property
    def lost(self) -> Flags:
        """Periods in which somebody who was there is not observed any more."""
        return np.isnan(self.there) & (self._there_before | (self.churn == "silence"))

    def weights(self, weight: Floats) -> Floats:
        """Weigh known periods by the inverse of the share still observed, shape (n, K).

        Notes
        -----
        Of customers who leave for good, what follows is known: nothing. So in later periods those
        who left are all known, of those who stayed only the ones observed so long; weights by the
        inverse of the Kaplan–Meier share still observed put that right.
        """
        if self.churn == "silence":
            return weight[:, None] * self.known
        staying, seen = np.ones(len(weight)), np.ones(len(weight))
        weights = np.zeros(self.known.shape)
        for k in range(self.known.shape[1]):
            at_risk = self._there_before[:, k]
            watched = at_risk & ~np.isnan(self.there[:, k])
            share = (weight * watched).sum() / max((weight * at_risk).sum(), 1e-300)
            staying = np.where(at_risk, staying * share, staying)
            seen = np.where(at_risk, watched, seen)
            weights[:, k] = weight * seen / np.where(seen > 0, staying, 1.0)
        return weights

    def take(self, rows: Any) -> Outcomes:
        """Return some of the rows."""
        return Outcomes(self.margin[rows], self.there[rows], self.churn)


def read_outcomes(y: Any, churn: Churn) -> tuple[Outcomes, pd.Series]:
    """Read a frame of margins and presence, and tell which rows say anything.

    Returns
    -------
    tuple of (Outcomes, Series)
        The outcomes, and the position of each row, missing where no period is known.

    Raises
    ------
    ModelError
        Columns are missing, values are text, infinite or neither 0 nor 1, a period is known though
        an earlier one is not, or customers who left for good come back.
    """
    if not isinstance(y, pd.DataFrame) and hasattr(y, "to_pandas"):
        y = y.to_pandas()
    if not isinstance(y, pd.DataFrame):
        raise ModelError(
            "y must be a DataFrame with columns margin_1, there_1, margin_2, there_2, … as "
            f"margins_by_period gives them; got {type(y).__name__}."
        )
    periods = 0
    while f"margin_{periods + 1}" in y.columns:
        periods += 1
    absent = [f"there_{k}" for k in range(1, periods + 1) if f"there_{k}" not in y.columns]
    if not periods or absent:
        wanted = ", ".join(absent[:5]) or "margin_1"
        raise ModelError(
            f"y has no column {wanted}; each period needs its margin_k and there_k, as "
            "margins_by_period gives them."
        )
    margin, there = (
        np.column_stack([_numbers(y, f"{what}_{k}") for k in range(1, periods + 1)])
        for what in ("margin", "there")
    )
    _refuse(~np.isnan(there) & (there != 0) & (there != 1), "there: {} neither 0 nor 1")
    if churn == "event":
        _refuse(
            (there[:, :-1] == 0) & (there[:, 1:] == 1),
            (
                "there: {} come back after they had left; use churn='silence' where nobody sees "
                "who has left"
            ),
        )
        # What follows for those who left is known: nothing.
        left = np.hstack([np.zeros((len(y), 1), bool), there[:, :-1] == 0])
        left = np.logical_or.accumulate(left, axis=1)
        there = np.where(left, 0.0, there)
        margin = np.where(left & np.isnan(margin), 0.0, margin)
    _refuse(np.isnan(margin) != np.isnan(there), "margin and there: {} know only one of the two")
    gap = np.isnan(margin)
    _refuse(gap[:, :-1] & ~gap[:, 1:], "margin: {} know a period though not the one before it")
    position = pd.Series(np.arange(len(y)), index=y.index).mask(gap.all(axis=1))
    return Outcomes(margin, there, churn), position


def _numbers(y: pd.DataFrame, name: str) -> Floats:
    column = y[name]
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise ModelError(f"y column {name} holds times; expected numbers.")
    try:
        values = np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise ModelError(f"y column {name} is not numeric: {column.dtype}.") from error
    if np.isinf(values).any():
        raise ModelError(f"y column {name} has {int(np.isinf(values).sum()):,} infinite values.")
    return values


def _refuse(wrong: Flags, message: str) -> None:
    rows = np.flatnonzero(wrong.any(axis=1))
    if len(rows):
        shown = ", ".join(str(row) for row in rows[:3])
        raise ModelError(f"y {message.format(f'{len(rows):,} rows (first: {shown})')}.")
