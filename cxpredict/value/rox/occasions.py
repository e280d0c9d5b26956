"""What an improvement does, from the occasions that a log has of it."""

from datetime import timedelta

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from cxpredict.data.checks import check_seed
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.value.rox.effects import ARMS, EffectEconomics, effect_of, effect_of_test
from cxpredict.value.rox.improvements import AnswerWithin, RaiseScore, TestedEffect
from cxpredict.value.rox.outcomes import Outcomes


def measure_effect(
    log: CustomerLog,
    improvement: AnswerWithin | RaiseScore | TestedEffect,
    outcomes: Outcomes,
    *,
    random_state: int = 0,
) -> EffectEconomics:
    """Estimate what an improvement changes for an average customer in a period.

    Parameters
    ----------
    log : CustomerLog
        The records.
    improvement : AnswerWithin, RaiseScore or TestedEffect
        What gets better.
    outcomes : Outcomes
        What is counted, and over how long a period.
    random_state : int, default 0
        Seed of the folds.

    Returns
    -------
    EffectEconomics
        Baseline and change, with their joint covariance.

    Raises
    ------
    DataError
        If the log cannot tell: no such occasions, too few customers or leavers at one of them, no
        variation left, too little overlap, or nothing to improve; or as `Outcomes.check`.

    Notes
    -----
    The baseline is the mean over all customers active one period before the records end. An
    occasion is a request or an answer to the survey whose following period is in the records;
    its effect on that period is estimated as for NPS groups (`group_economics`): answers in time
    against late ones by augmented inverse-propensity weighting; points of a score by what
    covariates leave of outcome and score (double machine learning), taken to be equally large
    for every point and customer. Covariates are those of `log_economics`, of a request also its
    channel. Of a customer with several occasions in a period one counts, and effects beyond one
    period are left out.

    A request without hours counts as late once it is older than `AnswerWithin.hours`: nobody may
    drop out because the customer left before the answer. Younger ones are not known yet. Where
    hours are missing, those of earlier requests are no covariate: a gap may tell who left. Surveys
    that were not answered are no occasions: what a better experience does to those who do not
    answer stays unknown, and counts as nothing.

    With d the dose and λ the share of customers reached in a period, means become E[Y] + λ·d·θ in
    every period of the horizon. d is the share of requests more that are answered in time, or the
    mean rise of a score, E[min(points, top of the scale − score)]. The effect of a test is taken
    as given, for every customer.

    References
    ----------
    Chernozhukov, V. et al. (2018). Double/debiased machine learning. The Econometrics Journal
    21(1), C1–C68.
    """
    if not isinstance(improvement, AnswerWithin | RaiseScore | TestedEffect):
        raise DataError(
            "improvement: expected AnswerWithin, RaiseScore or TestedEffect, got "
            f"{type(improvement).__name__}."
        )
    if not isinstance(outcomes, Outcomes):
        raise DataError(f"outcomes: expected Outcomes, got {type(outcomes).__name__}.")
    check_seed(random_state)
    outcomes.check(log)
    start = outcomes.last_start(log)
    active = outcomes.in_period().to_score(log, start)
    if not len(active):
        raise DataError("nobody was a customer one period before the records end.")
    base = outcomes.after(log, active)
    if isinstance(improvement, TestedEffect):
        return effect_of_test(base, improvement.measured, refused=outcomes.absent)
    what, every = _what(improvement), _occasions(log, improvement, outcomes.ends(log))
    latest = every[every["as_of"].gt(start)]
    reached = base.index.get_level_values("customer_id").isin(latest["customer_id"])
    if not reached.any():
        raise DataError(f"{what}: none occurred in the last period of the records.")
    known = every.dropna(subset=["dose"]).drop_duplicates(["customer_id", "as_of"])
    rows = known[known["as_of"] <= start].set_index(["customer_id", "as_of"])
    if rows.empty:
        raise DataError(f"{what}: none can be followed for a period.")
    step = _step(improvement, latest["dose"].dropna())
    frame = outcomes.after(log, pd.MultiIndex.from_frame(rows.index.to_frame()))
    covariates = outcomes.before(log, frame.index, only_counted=_lacking_hours(log, improvement))
    rows = rows.loc[frame.index]
    if rows["channel"].notna().any():
        covariates["channel of the occasion"] = rows["channel"].astype("category").to_numpy()
    return effect_of(
        base,
        reached,
        frame,
        covariates,
        rows["dose"],
        step=step,
        what=what,
        arms=ARMS if isinstance(improvement, AnswerWithin) else None,
        refused=outcomes.absent,
        random_state=random_state,
    )


def _what(improvement: AnswerWithin | RaiseScore) -> str:
    if isinstance(improvement, AnswerWithin):
        return f"interactions of kind {improvement.kind!r}"
    where = f" at {improvement.touchpoint!r}" if improvement.touchpoint else ""
    return f"answers to {improvement.metric}{where}"


def _occasions(
    log: CustomerLog, improvement: AnswerWithin | RaiseScore, end: pd.Timestamp
) -> pd.DataFrame:
    """List all occasions: customer_id, as_of, dose (missing where not known yet), channel."""
    if isinstance(improvement, AnswerWithin):
        rows = log.interactions.filter(log.interactions.kind == improvement.kind)
        _check_hours(improvement, rows)
        known = rows.occurred_at <= end - timedelta(hours=improvement.hours)
        in_time = (rows.value <= improvement.hours).fill_null(False).cast("float64")
        rows = rows.mutate(dose=known.ifelse(in_time, None), as_of=rows.occurred_at)
    else:
        rows = log.feedback.filter(log.feedback.metric == improvement.metric)
        if improvement.touchpoint is not None:
            rows = rows.filter(rows.touchpoint == improvement.touchpoint)
        if rows.count().execute() and not rows.score.count().execute():
            raise DataError(f"{_what(improvement)}: none has a score.")
        rows = rows.filter(rows.score.notnull()).mutate(dose=rows.score, as_of=rows.occurred_at)
    rows = rows.select("customer_id", "as_of", "dose", "channel")
    frame = rows.order_by("customer_id", "as_of", "dose", "channel").to_pyarrow().to_pandas()
    if frame.empty:
        raise DataError(f"{_what(improvement)}: the log has none; correct the improvement.")
    return frame.assign(as_of=frame["as_of"].astype("datetime64[us]"))


def _lacking_hours(log: CustomerLog, improvement: AnswerWithin | RaiseScore) -> list[str]:
    """Name the kind of the requests if some have no hours."""
    if not isinstance(improvement, AnswerWithin):
        return []
    rows = log.interactions.filter(log.interactions.kind == improvement.kind)
    return [improvement.kind] if rows.value.isnull().any().execute() else []


def _check_hours(improvement: AnswerWithin, rows: ir.Table) -> None:
    counts = rows.agg(every=rows.count(), known=rows.value.count(), low=(rows.value < 0).sum())
    every, known, low = counts.to_pyarrow().to_pylist()[0].values()
    if every and not known:
        raise DataError(f"{_what(improvement)}: none has a value (hours).")
    if low:
        raise DataError(f"{_what(improvement)}: {low:,} have hours below 0; correct them.")


def _step(improvement: AnswerWithin | RaiseScore, latest: pd.Series) -> float:
    """Give the change of the mean dose, from the occasions of the last period."""
    what = _what(improvement)
    if latest.empty:
        raise DataError(f"{what}: of none in the last period it is known yet what came of it.")
    mean = float(latest.mean())
    if isinstance(improvement, RaiseScore):
        top = improvement.highest
        if improvement.points > top - mean:
            raise DataError(
                f"points: {what} are {mean:.1f} on average and end at {top}; expected at most "
                f"{top - mean:.1f} points."
            )
        return float(np.minimum(improvement.points, (top - latest).clip(lower=0.0)).mean())
    if not improvement.share > mean:
        raise DataError(
            f"share: {mean:.0%} of {what} were answered within {improvement.hours:g} hours in the "
            "last period already; give a larger share."
        )
    return improvement.share - mean
