"""What is predicted: churn by cancellation, inactivity or a column; the next score."""

from __future__ import annotations

import ibis.expr.types as ir
import pandas as pd

from cxpredict.config import ChurnSettings, SatisfactionSettings
from cxpredict.config.reading import check_settings
from cxpredict.data.log import CustomerLog
from cxpredict.features.problem import labels
from cxpredict.features.problem.dated import DatedProblem
from cxpredict.features.problem.population import (
    Date,
    every_customer,
    records_of_kind,
    seen_before,
    sightings,
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

    def to_score(self, log: CustomerLog, as_of: Date) -> pd.MultiIndex:
        """List the customers a batch job scores: the population less those known to have left."""
        index = super().to_score(log, as_of)
        if self.settings.label is None or not len(index):
            return index
        return index[(self.labels(log, index) != 1).to_numpy()]

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
        if self.settings.inactive is not None:
            events = labels.events_of_kind(log, self.settings.inactive)
            return labels.falls_silent(self._window(population), events)
        assert self.settings.cancelled is not None
        return labels.cancels(
            self._window(population), labels.events_of_kind(log, self.settings.cancelled)
        )


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
