"""What is predicted: churn by cancellation, inactivity or a column; the next score."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from cxpredict.config import ChurnSettings, SatisfactionSettings
from cxpredict.config.reading import check_settings
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError
from cxpredict.features.build import index_rows
from cxpredict.features.problem import labels
from cxpredict.features.problem.dated import DatedProblem
from cxpredict.features.problem.population import (
    Date,
    every_customer,
    records_of_kind,
    seen_before,
    sightings,
    to_dates,
)

__all__ = ["ChurnProblem", "SatisfactionProblem"]


class ChurnProblem(DatedProblem):
    """Predict who leaves: by a cancellation event, by inactivity or by a given column.

    Parameters
    ----------
    cancelled : str, optional
        Kind of the event with which a customer leaves.
    inactive : str, optional
        Kind of the event whose absence through the whole window is churn.
    label : str, optional
        Column of customers that says who left; `positive` is the value of those who did.
    horizon_days, gap_days : int
        The label window is ``(as_of + gap, as_of + gap + horizon]``.
    active_days : int, optional
        The population has a record in so many days before `as_of`; with `inactive` it is such an
        event (default two horizons), with `cancelled` any record (default: ever).

    Raises
    ------
    ConfigError
        Not exactly one of the three ways is given, or the horizon is missing.

    Examples
    --------
    >>> ChurnProblem(inactive="purchase", horizon_days=90, gap_days=7)
    ChurnProblem(inactive='purchase', horizon_days=90, gap_days=7)
    """

    settings: ChurnSettings

    def __init__(
        self,
        *,
        cancelled: str | None = None,
        inactive: str | None = None,
        label: str | None = None,
        positive: str | int = 1,
        horizon_days: int | None = None,
        gap_days: int = 0,
        active_days: int | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self"}
        self.settings = check_settings(ChurnSettings, given)

    @property
    def _kind(self) -> str | None:
        return self.settings.cancelled or self.settings.inactive

    @property
    def churn_by(self) -> Literal["event", "silence"]:
        """Whether an event is churn, as a cancellation, or its absence, as of purchases."""
        return "event" if self.settings.inactive is None else "silence"

    def durations(
        self,
        log: CustomerLog,
        index: pd.MultiIndex,
        *,
        horizon_days: int = 180,
        until: Date | None = None,
    ) -> pd.DataFrame:
        """Look up how long it took customers after each date to leave, or to come back.

        Parameters
        ----------
        log : CustomerLog
            The records; of corrected ones the latest version counts.
        index : MultiIndex (customer_id, as_of)
            For whom and when.
        horizon_days : int, default 180
            Nobody is followed longer; may be longer or shorter than the horizon of the problem.
        until : date, optional
            End observation here if the records go on: at the test date, so that training windows
            never reach beyond it.

        Returns
        -------
        DataFrame
            Indexed by `index`: `days` from ``as_of + gap`` to the event (the cancellation, or with
            `inactive` the next event of that kind) or to the end of observation; `event`, 1 or 0.
            Both are missing for those who had left before the window opened, and where
            observation ends before that.

        Raises
        ------
        ConfigError
            The problem is a label column, which has no times, or the horizon is below 1.

        Notes
        -----
        Agrees with `labels`: where a label is known, its customer cancelled, or came back, within
        the horizon if and only if `event` is 1 and `days` at most the horizon.

        Examples
        --------
        >>> sales = pd.DataFrame(
        ...     {"customer_id": ["a", "b", "b"], "amount": 1.0, "kind": "purchase",
        ...      "occurred_at": ["2024-01-01", "2024-01-01", "2024-02-15"]}
        ... )
        >>> log = CustomerLog.from_frames(transactions=sales)
        >>> churn = ChurnProblem(inactive="purchase", horizon_days=30)
        >>> index = churn.population(log, "2024-01-16")
        >>> churn.durations(log, index, horizon_days=90).to_numpy().tolist()
        [[30.0, 0.0], [30.0, 1.0]]
        """
        if self._kind is None:
            raise ConfigError("a label column has no times: durations need cancelled or inactive")
        if horizon_days < 1:
            raise ConfigError(f"horizon_days: expected 1 or more, found {horizon_days}")
        if not len(index):
            return pd.DataFrame({"days": [], "event": []}, index=index, dtype="float64")
        rows = index_rows(index)
        window = labels.window_of(
            ibis.memtable(rows), gap_days=self.settings.gap_days, horizon_days=horizon_days
        )
        events = labels.events_of_kind(log, self._kind)
        silence = self.churn_by == "silence"
        found = (labels.first_inside if silence else labels.first_ever)(window, events)
        at = found.order_by("_row").at.to_pyarrow().to_pandas()
        opens = rows["as_of"] + timedelta(days=self.settings.gap_days)
        ends = labels.observed_until(log, kind=self._kind)
        if until is not None:
            ends = min(ends, to_dates(until)[0])
        one_day = pd.Timedelta(days=1)
        to_event = ((at - opens) / one_day).to_numpy(dtype="float64")
        observed = ((ends - opens) / one_day).clip(upper=horizon_days).to_numpy(dtype="float64")
        event = (to_event <= observed).astype("float64")
        days = np.where(event == 1, to_event, observed)
        known = ~(to_event <= 0) & (observed >= 0)
        frame = pd.DataFrame({"days": days, "event": event}, index=index)
        frame.loc[~known] = np.nan
        return frame

    def to_score_table(self, log: CustomerLog, as_of: Date) -> ir.Table:
        """Give what `to_score` lists as a lazy table of `customer_id` and `as_of`, in no order."""
        rows = super().to_score_table(log, as_of)
        if self.settings.label is None:
            return rows
        left = self._labels(log, rows).filter(lambda t: t.label == 1)
        return rows.anti_join(left, ["customer_id", "as_of"])

    def _active(self, log: CustomerLog, dates: list[pd.Timestamp]) -> ir.Table:
        if self.settings.inactive is not None:
            days = self.settings.active_days or 2 * self._horizon()
            return seen_before(
                dates, records_of_kind(log, self.settings.inactive), within_days=days
            )
        if self.settings.label is not None:
            return every_customer(log, dates)
        assert self.settings.cancelled is not None
        gone = seen_before(dates, records_of_kind(log, self.settings.cancelled))
        there = seen_before(dates, sightings(log), within_days=self.settings.active_days)
        return there.anti_join(gone, ["customer_id", "as_of"])

    def _labels(self, log: CustomerLog, population: ir.Table) -> ir.Table:
        if self.settings.label is not None:
            return labels.given_column(log, population, self.settings.label, self.settings.positive)
        assert self._kind is not None
        outcome = labels.falls_silent if self.churn_by == "silence" else labels.cancels
        return outcome(self._window(population), labels.events_of_kind(log, self._kind))


class SatisfactionProblem(DatedProblem):
    """Predict the next score that a customer gives, or a given score column.

    Parameters
    ----------
    metric : {"nps", "csat", "ces"}
        The survey; it fixes the levels of the score and which of them are low.
    label : str, optional
        Column of customers that holds the score.
    horizon_days, gap_days : int
        The next score is looked for in ``(as_of + gap, as_of + gap + horizon]``.
    active_days : int, optional
        The population has a record in so many days before `as_of` (default: ever).

    Examples
    --------
    >>> SatisfactionProblem(metric="csat", horizon_days=30).settings.levels
    (1, 2, 3, 4, 5)
    """

    settings: SatisfactionSettings

    def __init__(
        self,
        *,
        metric: str,
        label: str | None = None,
        horizon_days: int | None = None,
        gap_days: int = 0,
        active_days: int | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "self"}
        self.settings = check_settings(SatisfactionSettings, given)

    @property
    def _kind(self) -> None:
        return None

    def _active(self, log: CustomerLog, dates: list[pd.Timestamp]) -> ir.Table:
        if self.settings.label is not None:
            return every_customer(log, dates)
        return seen_before(dates, sightings(log), within_days=self.settings.active_days)

    def _labels(self, log: CustomerLog, population: ir.Table) -> ir.Table:
        if self.settings.label is not None:
            return labels.given_column(log, population, self.settings.label, None)
        return labels.next_score(self._window(population), log.feedback, self.settings.metric)
