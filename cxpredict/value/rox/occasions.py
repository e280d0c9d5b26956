"""What an improvement does, from the occasions that a log has of it."""

import ibis
import numpy as np
import pandas as pd

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
    random_state: int | None = None,
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
    random_state : int, optional
        Seed of the folds.

    Returns
    -------
    EffectEconomics
        Baseline and change, with their joint covariance.

    Raises
    ------
    DataError
        If the log cannot tell: no such occasions, too few customers or leavers at one of them, no
        variation left, too little overlap, or nothing to improve.

    Notes
    -----
    The baseline is the mean over all customers active one period before the records end. An
    occasion is a request or an answer to the survey whose following period is in the records;
    its effect on that period is estimated as for NPS groups (`group_economics`): answers in time
    against late ones by augmented inverse-propensity weighting; points of a score by what
    covariates leave of outcome and score (double machine learning), taken to be equally large
    for every point and customer. Covariates are those of `log_economics`, of a request also its
    channel. Of a customer with several occasions in a period one counts, and effects beyond one
    period are left out: both make the estimate smaller, not larger.

    With d the dose and λ the share of customers reached in a period, means become E[Y] + λ·d·θ in
    every period of the horizon. The effect of a test is taken as given, for every customer.

    References
    ----------
    Chernozhukov, V. et al. (2018). Double/debiased machine learning. The Econometrics Journal
    21(1), C1–C68.
    """
    start = outcomes.last_start(log)
    active = outcomes.in_period().to_score(log, start)
    if not len(active):
        raise DataError("nobody was a customer one period before the records end.")
    base = outcomes.after(log, active)
    if isinstance(improvement, TestedEffect):
        return effect_of_test(base, improvement.measured, refused=outcomes.absent)
    what, every = _what(improvement), _occasions(log, improvement)
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
    covariates, rows = outcomes.before(log, frame.index), rows.loc[frame.index]
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


def _occasions(log: CustomerLog, improvement: AnswerWithin | RaiseScore) -> pd.DataFrame:
    """List all occasions: customer_id, as_of, dose (missing where unknown), channel."""
    if isinstance(improvement, AnswerWithin):
        rows = log.interactions.filter(log.interactions.kind == improvement.kind)
        in_time = (rows.value <= improvement.hours).cast("float64")
        rows = rows.mutate(dose=in_time, as_of=rows.occurred_at)
    else:
        rows = log.feedback.filter(log.feedback.metric == improvement.metric)
        if improvement.touchpoint is not None:
            rows = rows.filter(rows.touchpoint == improvement.touchpoint)
        at = ibis.ifelse(
            rows.score.isnull(), rows.invited_at.coalesce(rows.occurred_at), rows.occurred_at
        )
        rows = rows.mutate(dose=rows.score, as_of=at)
    rows = rows.select("customer_id", "as_of", "dose", "channel")
    frame = rows.order_by("customer_id", "as_of", "dose", "channel").to_pyarrow().to_pandas()
    if frame.empty:
        raise DataError(f"{_what(improvement)}: the log has none; correct the improvement.")
    if frame["dose"].isna().all():
        column = "value (hours)" if isinstance(improvement, AnswerWithin) else "score"
        raise DataError(f"{_what(improvement)}: none has a {column}.")
    return frame.assign(as_of=frame["as_of"].astype("datetime64[us]"))


def _step(improvement: AnswerWithin | RaiseScore, latest: pd.Series) -> float:
    if isinstance(improvement, RaiseScore):
        return float(improvement.points)
    share = float(latest.mean()) if len(latest) else np.nan
    if not improvement.share > share:
        raise DataError(
            f"share: {share:.0%} of {_what(improvement)} were answered within "
            f"{improvement.hours:g} hours in the last period already; give a larger share."
        )
    return improvement.share - share
