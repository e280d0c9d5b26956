"""NPS of everyone invited, and the return on an improvement, from a run's log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import ibis
import pandas as pd

from cxpredict.config import Config, RoxSettings, ValueSettings
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.features.aggregates import aggregates_of
from cxpredict.features.build import build_features
from cxpredict.features.problem import ChurnProblem
from cxpredict.jobs.results import Experience
from cxpredict.value.nps import nps
from cxpredict.value.nps.response import ResponseWeights, response_weights
from cxpredict.value.rox import DAYS_PER_MONTH, return_on_experience
from cxpredict.value.rox.answers import log_economics
from cxpredict.value.rox.estimate import RoxEstimate
from cxpredict.value.rox.improvements import AnswerWithin, Improvement, RaiseScore, ShareShift
from cxpredict.value.rox.outcomes import Outcomes


def measure_experience(config: Config, log: CustomerLog) -> Experience:
    """Estimate NPS and ROX as the configuration asks; say what cannot be known.

    Parameters
    ----------
    config : Config
        Its `nps`, `rox` and `value`.
    log : CustomerLog
        The records.

    Returns
    -------
    Experience
        Parts that are not asked for, or that the data cannot tell, are None with a note.
    """
    if config.nps is None:
        return Experience(notes=("No NPS survey is configured: no NPS and no ROX.",))
    end = log.span[1]
    invited = _invitations(log, end - timedelta(days=config.nps.window_days), end)
    if invited["score"].notna().sum() == 0:
        return Experience(notes=("Nobody answered an NPS invitation in the window.",))
    sampling = invited.pop("weight")
    answered = invited["score"].notna()
    unweighted = nps(invited["score"], weights=sampling)
    weighting, notes = _weighting(config, log, answered)
    weights = sampling.copy()
    if weighting is not None:
        weights[answered] *= weighting.weights
    table = _by_segment(log, invited["score"], weights)
    rox, economics, more = _rox(config, log)
    return Experience(table, unweighted, weighting, len(invited), rox, economics, (*notes, *more))


def _weighting(
    config: Config, log: CustomerLog, answered: pd.Series
) -> tuple[ResponseWeights | None, tuple[str, ...]]:
    """Weight the answers for non-response, or say why they are not weighted."""
    off = "The NPS speaks of those who answered: the non-response weighting is off"
    assert config.nps is not None
    if not config.nps.weighted:
        return None, (f"{off}.",)
    X = _features(config, log, answered.index)
    try:
        return response_weights(X, answered, random_state=config.random_state), ()
    except DataError as error:
        return None, (f"{off}, because it is not possible: {error}",)


def _invitations(log: CustomerLog, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """List the NPS invitations of a window with their score, missing where unanswered."""
    surveys = log.feedback.filter(log.feedback.metric == "nps")
    at = surveys.invited_at.coalesce(surveys.occurred_at)
    rows = surveys.mutate(as_of=at).filter(ibis._.as_of >= start, ibis._.as_of < end)
    moments = rows.group_by("customer_id", "as_of").agg(score=rows.score.max())
    weights = log.customers.select("customer_id", "weight")
    frame = moments.left_join(weights, "customer_id").select(*moments.columns, "weight")
    frame = frame.order_by("customer_id", "as_of").to_pyarrow().to_pandas()
    return frame.fillna({"weight": 1.0}).set_index(["customer_id", "as_of"])


def _by_segment(log: CustomerLog, scores: pd.Series, weights: pd.Series) -> pd.DataFrame:
    everyone = nps(scores, weights=weights)
    segments = log.customers.select("customer_id", "segment").to_pandas()
    of_customer = segments.set_index("customer_id")["segment"].dropna()
    if of_customer.nunique() < 2:
        return everyone
    by = scores.index.get_level_values("customer_id").map(of_customer)
    by = pd.Series(by.fillna("(unknown)").astype("str"), index=scores.index, name="segment")
    return pd.concat([everyone, nps(scores, weights=weights, by=by)])


def _rox(
    config: Config, log: CustomerLog
) -> tuple[RoxEstimate | None, pd.DataFrame | None, tuple[str, ...]]:
    settings, value, churn = config.rox, config.value, config.problems.churn
    if settings is None or value is None:
        return None, None, ("No improvement is configured under 'rox': no ROX.",)
    if churn is None or churn.label is not None:
        return None, None, ("ROX needs a churn problem with dates: retention is unknown.",)
    problem, improvement = ChurnProblem(**churn.model_dump()), _improvement(settings)
    outcomes = _outcomes(config, settings, value, problem)
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
            customers=len(problem.to_score(log, log.span[1])),
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
    config: Config, settings: RoxSettings, value: ValueSettings, churn: ChurnProblem
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
        exclude=tuple(config.features.exclude),
    )


def _features(config: Config, log: CustomerLog, index: pd.MultiIndex) -> pd.DataFrame:
    until = index.get_level_values("as_of").max()
    aggregates = aggregates_of(log, config.features, until=until)
    exclude = config.features.exclude
    return build_features(log, index, aggregates=aggregates, exclude=exclude)
