"""The touchpoints of the journey that a configuration describes, from a run's log."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd

from cxpredict.config import ChurnSettings, Config
from cxpredict.data.log import CustomerLog
from cxpredict.drivers.survey.touchpoint_table import touchpoint_table
from cxpredict.errors import DataError
from cxpredict.features.problem import ChurnProblem

N_DATES = 4
"""Dates whose outcomes are compared: the latest that are known whole, a horizon apart."""


def audit_touchpoints(
    config: Config, log: CustomerLog
) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """Tabulate the configured stages, or say why that is not possible."""
    if not config.stages:
        return None, ()
    churn, end = config.problems.churn, log.span[1]
    try:
        if churn is None or churn.label is not None:
            return touchpoint_table(log, stages=config.stages, until=end), ()
        problem = ChurnProblem(**churn.model_dump())
        dates = _dates(log, churn)
        return touchpoint_table(
            log, stages=config.stages, until=end, churn=problem, as_of=dates
        ), ()
    except DataError as error:
        return None, (f"The touchpoints are not audited: {error}",)


def _dates(log: CustomerLog, churn: ChurnSettings) -> list[pd.Timestamp]:
    start, end = log.span
    horizon = churn.horizon_days or 0
    last = end - timedelta(days=horizon + churn.gap_days)
    dates = [last - timedelta(days=horizon * step) for step in range(N_DATES)]
    return [date for date in dates if date > start] or [last]
