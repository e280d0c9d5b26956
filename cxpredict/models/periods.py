"""Durations until an event, some of them censored, as yes-or-no questions about periods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.errors import ModelError

__all__ = [
    "Durations",
    "PeriodCases",
    "checked_horizons",
    "expect_both_outcomes",
    "period_cases",
    "read_durations",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

_SHOWN = 3
_FEWEST = 2


@dataclass(frozen=True)
class Durations:
    """Days to the event or to the end of observation, row by row.

    Parameters
    ----------
    days : ndarray of float, shape (n,)
        Days from the start of the window; NaN where nothing is known.
    event : ndarray of {0., 1., NaN}, shape (n,)
        1 the event ended them, 0 observation did.
    position : Series or ndarray, shape (n,)
        0 … n − 1, with the index of the durations if they have one; missing in a frame where days
        or event are.
    """

    days: Floats
    event: Floats
    position: Any


@dataclass(frozen=True)
class PeriodCases:
    """What durations say about each period.

    Parameters
    ----------
    position : ndarray of int, shape (m,)
        The row of each case; a row whose event counts in part appears twice.
    event : ndarray of {0., 1., NaN}, shape (m, K)
        1 the event lies in the period, 0 the period passed without it, NaN not asked.
    weight : ndarray of float, shape (m,)
        Sample weight, of a partial event times its share.
    """

    position: Ints
    event: Floats
    weight: Floats

    def life_table(self, horizons: Floats) -> pd.DataFrame:
        """Return the hazard and the survival of all rows together, one line per period.

        Returns
        -------
        DataFrame
            from_day, to_day (the period), at_risk and events (summed weights), hazard (events /
            at_risk) and survival (share without the event until to_day).
        """
        weight = self.weight[:, None] * ~np.isnan(self.event)
        at_risk = weight.sum(axis=0)
        events = (np.nan_to_num(self.event) * weight).sum(axis=0)
        hazard = events / at_risk
        return pd.DataFrame(
            {
                "from_day": np.concatenate([[0.0], horizons[:-1]]),
                "to_day": horizons,
                "at_risk": at_risk,
                "events": events,
                "hazard": hazard,
                "survival": np.cumprod(1.0 - hazard),
            }
        )


def checked_horizons(given: Sequence[float]) -> npt.NDArray[Any]:
    """Return the ends of the periods, whole numbers as they are.

    Raises
    ------
    ModelError
        There is none, or they are not positive and ascending.

    Examples
    --------
    >>> checked_horizons([30, 60]).tolist()
    [30, 60]
    """
    horizons = np.asarray(given)
    numbers = horizons.ndim == 1 and len(horizons) > 0 and horizons.dtype.kind in "iuf"
    # A gap fails every comparison.
    if not numbers or not (np.diff(horizons, prepend=0) > 0).all() or np.isinf(horizons).any():
        raise ModelError(
            f"horizons_days must be positive and ascending, each once, as (30, 60, 90); "
            f"got {tuple(np.atleast_1d(horizons).tolist())}."
        )
    return horizons


def read_durations(y: Any) -> Durations:
    """Read a frame with columns days and event, a structured array, or one of two columns.

    Raises
    ------
    ModelError
        A column is missing, days are negative or infinite, an event lies at day 0 or earlier,
        an event is neither 0 nor 1, or an array has gaps.

    Examples
    --------
    >>> read_durations(np.array([[12.5, 1], [90.0, 0]])).event.tolist()
    [1.0, 0.0]
    """
    if not isinstance(y, pd.DataFrame) and hasattr(y, "to_pandas"):
        y = y.to_pandas()
    labelled = isinstance(y, pd.DataFrame)
    table = y if labelled else _table(y)
    absent = [name for name in ("days", "event") if name not in table.columns]
    if absent:
        raise ModelError(
            f"y has no column {' and no column '.join(absent)}; expected days (to the event, or "
            "to the end of observation) and event (1 or 0), as ChurnProblem.durations gives them."
        )
    days, event = (_numbers(table[name]) for name in ("days", "event"))
    missing = np.isnan(days) | np.isnan(event)
    if not labelled:
        _refuse(missing, "days and event: {} missing; leave these rows out, or pass a DataFrame")
    _refuse(days < 0, "days: {} negative; days count from the start of the label window")
    _refuse(np.isinf(days), "days: {} infinite; give the days observed, with event 0")
    _refuse(~missing & (event != 0) & (event != 1), "event: {} neither 0 (censored) nor 1")
    _refuse(
        (days == 0) & (event == 1),
        "days: {} events at day 0; the window opens after it, so leave out who had left before",
    )
    position = np.arange(len(table))
    if labelled:
        return Durations(days, event, pd.Series(position, index=table.index).mask(missing))
    return Durations(days, event, position)


def period_cases(
    days: Floats, event: Floats, weight: Floats, strata: npt.NDArray[Any] | None, horizons: Floats
) -> PeriodCases:
    """Ask of every row, for each period it was observed through, whether the event came.

    Parameters
    ----------
    days, event : ndarray of float, shape (n,)
        Durations without gaps.
    weight : ndarray of float, shape (n,)
        Sample weights.
    strata : ndarray or None, shape (n,)
        Rows within which the end of observation has nothing to do with the event: their dates.
    horizons : ndarray of float, shape (K,)
        Ends of the periods (0, h₁], (h₁, h₂], …

    Returns
    -------
    PeriodCases
        Rows without any case are left out.

    Notes
    -----
    A row whose observation ends inside a period is no case of it. Had it met the event before, it
    would be one: events would be over-represented. So an event at T in a period that ends at h
    counts by P(C ≥ h | C ≥ T), the Kaplan–Meier estimate of the share still observed at h.
    With these shares the life table is the Kaplan–Meier estimate at the horizons, exactly. Where
    all rows of a date are observed equally long, the share is 1, or 0 if the period is not over.

    References
    ----------
    Satten, Datta (2001), The Kaplan–Meier estimator as an inverse-probability-of-censoring
    weighted average.

    Examples
    --------
    Ten rows: two events, one censoring between them (one of the nine left, so that 8/9 are still
    observed), and seven observed to the end. Kaplan–Meier: 9/10 · 7/8.

    >>> days = np.array([10.0, 15.0, 20.0] + [30.0] * 7)
    >>> event = np.array([1.0, 0.0, 1.0] + [0.0] * 7)
    >>> cases = period_cases(days, event, np.ones(10), None, np.array([30.0]))
    >>> round(float(cases.life_table(np.array([30.0]))["survival"][0]), 6)
    0.7875
    """
    came = event[:, None] == 1
    passed = np.where(came, days[:, None] > horizons, days[:, None] >= horizons)
    starts = np.concatenate([[0.0], horizons[:-1]])
    hit = came & (days[:, None] > starts) & (days[:, None] <= horizons)
    answers = np.select([passed, hit], [0.0, 1.0], np.nan)
    row, period = np.nonzero(hit)
    share = _shares(days, event, weight, strata, row, horizons[period])
    answers[row[share < 1], period[share < 1]] = np.nan
    partly = (share > 0) & (share < 1)
    extra = np.full((int(partly.sum()), len(horizons)), np.nan)
    extra[np.arange(len(extra)), period[partly]] = 1.0
    position = np.concatenate([np.arange(len(days)), row[partly]])
    factor = np.concatenate([np.ones(len(days)), share[partly]])
    answers = np.concatenate([answers, extra])
    asked = ~np.isnan(answers).all(axis=1)
    position = position[asked]
    return PeriodCases(position, answers[asked], weight[position] * factor[asked])


def expect_both_outcomes(cases: PeriodCases, groups: Ints, horizons: Floats) -> None:
    """Refuse a period about which too little is known.

    Parameters
    ----------
    cases : PeriodCases
        Answers.
    groups : ndarray of int, shape (m,)
        Customer of each case.
    horizons : ndarray of float, shape (K,)
        Ends of the periods.

    Raises
    ------
    ModelError
        Fewer than two customers had the event in a period, or passed it without.
    """
    problems = []
    for k, end in enumerate(horizons):
        counts = [len(np.unique(groups[cases.event[:, k] == value])) for value in (1.0, 0.0)]
        if min(counts) < _FEWEST:
            start = horizons[k - 1] if k else 0.0
            problems.append(f"({start:g}, {end:g}]: {counts[0]:,} with, {counts[1]:,} without")
    if problems:
        raise ModelError(
            f"Each period needs at least {_FEWEST} customers with the event and {_FEWEST} observed "
            f"through it without. Too few in days {'; '.join(problems)}. Leave out a horizon, so "
            "that periods merge, or give more rows or a longer observation."
        )


def _shares(
    days: Floats,
    event: Floats,
    weight: Floats,
    strata: npt.NDArray[Any] | None,
    row: Ints,
    until: Floats,
) -> Floats:
    """Of each event, the share of rows like it that would still be observed at `until`."""
    strata = np.zeros(len(days), dtype=np.intp) if strata is None else strata
    share = np.ones(len(row))
    for stratum in np.unique(strata[row]):
        inside, own = strata == stratum, strata[row] == stratum
        share[own] = _still_observed(
            days[inside], event[inside], weight[inside], days[row[own]], until[own]
        )
    return share


def _still_observed(
    days: Floats, event: Floats, weight: Floats, since: Floats, until: Floats
) -> Floats:
    """Kaplan–Meier estimate of P(C ≥ until | C ≥ since) for ends of observation C."""
    censored = event == 0
    ends, place = np.unique(days[censored], return_inverse=True)
    leaving = np.bincount(place, weight[censored], minlength=len(ends))
    order = np.argsort(days, kind="stable")
    later = np.append(np.cumsum(weight[order][::-1])[::-1], 0.0)
    # Of equal times the event comes first: whoever met it cannot be censored any more.
    staying = later[np.searchsorted(days[order], ends, side="right")]
    observed = np.concatenate([[1.0], np.cumprod(staying / (staying + leaving))])
    at = np.searchsorted(ends, until, side="left"), np.searchsorted(ends, since, side="left")
    return np.asarray(observed[at[0]] / observed[at[1]])


def _table(y: Any) -> pd.DataFrame:
    values = np.asarray(y)
    if values.dtype.names is not None:
        return pd.DataFrame({name: values[name] for name in values.dtype.names})
    if values.ndim != 2 or values.shape[1] != 2:
        raise ModelError(
            "y must have two columns, days and event, as a DataFrame or an array of shape (n, 2); "
            f"got shape {values.shape}."
        )
    return pd.DataFrame(values, columns=["days", "event"])


def _numbers(column: pd.Series) -> Floats:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "mM":
        raise ModelError(f"y column {column.name} holds {column.dtype}; give days as numbers.")
    try:
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise ModelError(f"y column {column.name} is not numeric: {column.dtype}.") from error


def _refuse(wrong: npt.NDArray[np.bool_], message: str) -> None:
    if not wrong.any():
        return
    rows = np.flatnonzero(wrong)
    shown = ", ".join(str(row) for row in rows[:_SHOWN])
    found = f"{len(rows):,} of {len(wrong):,} rows (first: {shown})"
    raise ModelError(f"y {message.format(found)}.")
