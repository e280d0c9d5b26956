"""The NPS of a run: of those who answered, weighted for the silent, and of everyone invited."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import ibis
import pandas as pd

from cxpredict.config import Config
from cxpredict.config.value import NpsSettings
from cxpredict.data.log import CustomerLog
from cxpredict.data.suppression import MIN_RESPONDENTS
from cxpredict.errors import DataError
from cxpredict.features.aggregates import aggregates_of
from cxpredict.features.build import build_features
from cxpredict.jobs.results import Experience
from cxpredict.value.nps import nps
from cxpredict.value.nps.everyone import NpsOfEveryone, nps_of_everyone
from cxpredict.value.nps.response import ResponseWeights, response_weights

_SCALE = (0, 10)
"""What the metric ``nps`` of a log declares."""


def measure_nps(config: Config, settings: NpsSettings, log: CustomerLog) -> Experience:
    """Estimate the NPS of the last invitations as the configuration asks."""
    end = log.span[1]
    invited = _invitations(log, end - timedelta(days=settings.window_days), end)
    if invited["score"].notna().sum() == 0:
        return Experience(notes=("Nobody answered an NPS invitation in the window.",))
    scores, sampling = invited["score"], invited["weight"]
    wanted = settings.weighted or settings.everyone
    X = _features(config, log, invited.index) if wanted else None
    weighting, notes = _weighting(config, settings, X, scores.notna())
    weights = sampling.copy()
    if weighting is not None:
        weights[scores.notna()] *= weighting.weights
    segments = _segments(log, scores.index)
    everyone, more = _everyone(config, settings, X, scores, sampling)
    return Experience(
        nps=_by_segment(scores, weights, segments),
        unweighted=nps(scores, weights=sampling, scale=_SCALE),
        weighting=weighting,
        invited=len(invited),
        everyone=everyone,
        notes=(*notes, *more),
    )


def _weighting(
    config: Config, settings: NpsSettings, X: pd.DataFrame | None, answered: pd.Series
) -> tuple[ResponseWeights | None, tuple[str, ...]]:
    """Weight the answers for non-response, or say why they are not weighted."""
    off = "The NPS speaks of those who answered: the non-response weighting is off"
    if not settings.weighted or X is None:
        return None, (f"{off}.",)
    try:
        return response_weights(X, answered, random_state=config.random_state), ()
    except DataError as error:
        return None, (f"{off}, because it is not possible: {error}",)


def _everyone(
    config: Config,
    settings: NpsSettings,
    X: pd.DataFrame | None,
    scores: pd.Series,
    sampling: pd.Series,
) -> tuple[NpsOfEveryone | None, tuple[str, ...]]:
    """Estimate what everyone invited would say, or say why that is not known."""
    if not settings.everyone or X is None:
        return None, ()
    options: dict[str, Any] = {"scale": _SCALE, "random_state": config.random_state}
    try:
        return nps_of_everyone(X, scores, weights=sampling, **options), ()
    except DataError as error:
        return None, (f"What everyone invited would say is not estimated: {error}",)


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


def _segments(log: CustomerLog, index: pd.MultiIndex) -> pd.Series | None:
    """Segment of the customer of each row, if there are several; those of a few are not named."""
    segments = log.customers.select("customer_id", "segment").to_pandas()
    of_customer = segments.set_index("customer_id")["segment"].dropna()
    size = of_customer.map(of_customer.value_counts())
    of_customer = of_customer.where(size >= MIN_RESPONDENTS, "(other)")
    if of_customer.nunique() < 2:
        return None
    by = index.get_level_values("customer_id").map(of_customer)
    return pd.Series(by.fillna("(unknown)").astype("str"), index=index, name="segment")


def _by_segment(scores: pd.Series, weights: pd.Series, segments: pd.Series | None) -> pd.DataFrame:
    everyone = nps(scores, weights=weights, scale=_SCALE)
    if segments is None:
        return everyone
    return pd.concat([everyone, nps(scores, weights=weights, by=segments, scale=_SCALE)])


def _features(config: Config, log: CustomerLog, index: pd.MultiIndex) -> pd.DataFrame:
    until = index.get_level_values("as_of").max()
    aggregates = aggregates_of(log, config.features, until=until)
    exclude = config.features.exclude
    return build_features(log, index, aggregates=aggregates, exclude=exclude)
