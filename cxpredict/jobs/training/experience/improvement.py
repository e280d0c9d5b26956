"""The return on the improvement that a configuration names, from a run's log."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cxpredict.config import Config
from cxpredict.config.value import RoxSettings, ValueSettings
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.features.problem import ChurnProblem
from cxpredict.value.rox import DAYS_PER_MONTH, return_on_experience
from cxpredict.value.rox.answers import log_economics
from cxpredict.value.rox.estimate import RoxEstimate
from cxpredict.value.rox.improvements import AnswerWithin, Improvement, RaiseScore, ShareShift
from cxpredict.value.rox.outcomes import Outcomes


def measure_rox(
    config: Config, log: CustomerLog
) -> tuple[RoxEstimate | None, pd.DataFrame | None, tuple[str, ...]]:
    """Estimate the return on the configured improvement and what NPS groups are worth."""
    settings, value, churn = config.rox, config.value, config.problems.churn
    if settings is None or value is None:
        return None, None, ("No improvement is configured under 'rox': no ROX.",)
    if churn is None or churn.label is not None:
        return None, None, ("ROX needs a churn problem with dates: retention is unknown.",)
    problem, improvement = ChurnProblem(**churn.model_dump()), _improvement(settings)
    outcomes = _outcomes(config, settings, value, problem, log)
    groups, notes = None, []
    try:
        groups = log_economics(log, outcomes, random_state=config.random_state)
    except DataError as error:
        if isinstance(improvement, ShareShift):
            return None, None, (f"ROX is not estimated: {error}",)
        notes.append(f"What NPS groups are worth is not estimated: {error}")
    table = None if groups is None else groups.table()
    source: dict[str, Any] = {"source": log, "outcomes": outcomes}
    if isinstance(improvement, ShareShift):
        source = {"source": groups, "period_months": settings.period_days / DAYS_PER_MONTH}
    try:
        rox = return_on_experience(
            **source,
            improvement=improvement,
            customers=len(outcomes.in_period().to_score(log, outcomes.ends(log))),
            cost=settings.cost,
            horizon_periods=settings.horizon_periods,
            discount_rate=(1 + value.yearly_discount_rate) ** (settings.period_days / 365.25) - 1,
            random_state=config.random_state,
        )
    except DataError as error:
        return None, table, (*notes, f"ROX is not estimated: {error}")
    return rox, table, tuple(notes)


def _improvement(settings: RoxSettings) -> Improvement:
    if settings.shift_points is not None:
        points = settings.shift_points / 100
        return ShareShift(detractor=-points, passive=points)
    if settings.answer_within is not None:
        return AnswerWithin(**settings.answer_within.model_dump())
    assert settings.raise_score is not None
    return RaiseScore(**settings.raise_score.model_dump())


def _outcomes(
    config: Config,
    settings: RoxSettings,
    value: ValueSettings,
    churn: ChurnProblem,
    log: CustomerLog,
) -> Outcomes:
    referral = settings.referral
    return Outcomes(
        churn,
        period_days=settings.period_days,
        margin_rate=value.margin_rate,
        revenue_column=value.column,
        revenue_days=None if value.column is None else value.period_days,
        prices=settings.prices,
        contact_costs=settings.contact_costs,
        referral=None if referral is None else referral.kind,
        conversion=None if referral is None else referral.conversion,
        new_customer_value=None if referral is None else referral.new_customer_value,
        exclude=tuple(name for name in config.features.exclude if name in log.customers.columns),
    )
