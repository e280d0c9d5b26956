"""NPS of everyone invited, and the return on moving customers up, from a run's log."""

from __future__ import annotations

from datetime import timedelta

import ibis
import pandas as pd

from cxpredict.config import Config, ValueSettings
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.features.aggregates import aggregates_of
from cxpredict.features.build import build_features
from cxpredict.features.origin import origins_of
from cxpredict.features.problem import ChurnProblem
from cxpredict.jobs.results import Experience
from cxpredict.value.margins import margin_per_period
from cxpredict.value.nps import nps
from cxpredict.value.nps.response import ResponseWeights, response_weights
from cxpredict.value.nps.scores import nps_group
from cxpredict.value.rox import return_on_experience
from cxpredict.value.rox.economics import GroupEconomics, group_economics
from cxpredict.value.rox.estimate import RoxEstimate

CONFOUNDERS = ("customers", "transactions")
"""Sources whose features before the answer are adjusted for: profile, tenure, prior spend."""


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
    try:
        economics = _economics(config, log, value)
        rate = (1 + value.yearly_discount_rate) ** (settings.period_days / 365.25) - 1
        points = settings.shift_points / 100
        rox = return_on_experience(
            economics.adjusted,
            shift={"detractor": -points, "passive": points},
            customers=len(ChurnProblem(**churn.model_dump()).to_score(log, log.span[1])),
            cost=settings.cost,
            evidence="adjusted",
            horizon_periods=settings.horizon_periods,
            period_months=settings.period_days / 30.4375,
            discount_rate=rate,
            payment="end",
            covariance=economics.covariance,
            random_state=config.random_state,
        )
    except DataError as error:
        return None, None, (f"ROX is not estimated: {error}",)
    return rox, economics.table(), ()


def _economics(config: Config, log: CustomerLog, value: ValueSettings) -> GroupEconomics:
    """Retention and margin in the period after each customer's last answer that allows one."""
    assert config.rox is not None
    assert config.problems.churn is not None
    period = config.rox.period_days
    answers = _last_answers(log, until=log.span[1] - timedelta(days=period))
    churn = config.problems.churn.model_copy(update={"horizon_days": period, "gap_days": 0})
    left = ChurnProblem(**churn.model_dump()).labels(log, answers.index)
    answers = answers[left.notna().to_numpy()]
    X = _features(config, log, answers.index)
    covariates = [name for name, o in origins_of(X).items() if o.source in CONFOUNDERS]
    frame = X[covariates].copy()
    frame["nps group"] = nps_group(answers["score"])
    frame["retained"] = left.loc[answers.index] == 0
    frame["margin of the period"] = _margin_after(log, answers.index, value, period).to_numpy()
    return group_economics(
        frame,
        group="nps group",
        retained="retained",
        margin="margin of the period",
        covariates=covariates,
        random_state=config.random_state,
    )


def _features(config: Config, log: CustomerLog, index: pd.MultiIndex) -> pd.DataFrame:
    until = index.get_level_values("as_of").max()
    aggregates = aggregates_of(log, config.features, until=until)
    exclude = config.features.exclude
    return build_features(log, index, aggregates=aggregates, exclude=exclude)


def _last_answers(log: CustomerLog, *, until: pd.Timestamp) -> pd.DataFrame:
    answers = log.feedback.filter(log.feedback.metric == "nps", log.feedback.score.notnull())
    rows = answers.filter(answers.occurred_at < until).to_pandas()
    rows = rows.sort_values(["occurred_at", "score"]).drop_duplicates("customer_id", keep="last")
    rows = rows.rename(columns={"occurred_at": "as_of"})
    return rows.set_index(["customer_id", "as_of"])[["score"]].sort_index()


def _margin_after(
    log: CustomerLog, index: pd.MultiIndex, value: ValueSettings, period: int
) -> pd.Series:
    """Sum the margin of the period that follows each date."""
    ends = index.get_level_values("as_of") + timedelta(days=period)
    after = pd.MultiIndex.from_arrays([index.get_level_values(0), ends], names=index.names)
    if value.column is not None:
        return margin_per_period(log, after, value) * period / value.period_days
    window = value.model_copy(update={"lookback_days": period, "period_days": period})
    return margin_per_period(log, after, window)
