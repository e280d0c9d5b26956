"""What a reader must know to judge the figures of a model in use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

import numpy as np

from cxpredict.data.suppression import MIN_RESPONDENTS
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.monitoring.cohorts import Cohort
from cxpredict.jobs.monitoring.realised import MOST_ROWS, enough_held_out

__all__ = ["notes_on"]


def notes_on(bundle: Bundle, parts: Sequence[Cohort], other: int) -> Iterator[str]:
    """Say what was left out, what is missing and what biases the figures."""
    if other:
        yield f"{other} scored date(s) of other versions of the model are left out."
    if not bundle.card.get("metrics"):
        yield "The bundle holds no metrics of a test, so that nothing can be judged."
    if bundle.problem.settings.label is not None:
        yield "The table has no time: most customers were in training, which flatters the model."
    if bundle.kind == "satisfaction":
        yield "Measured on customers who answered alone; estimates speak of everyone scored."
    yield from _immature(bundle, [cohort for cohort in parts if not cohort.mature])
    for cohort in parts:
        yield from _of_one(cohort)
    yield from _contacts([cohort for cohort in parts if cohort.mature])


def _immature(bundle: Bundle, parts: Sequence[Cohort]) -> Iterator[str]:
    if not parts:
        return
    days = timedelta(days=bundle.problem.label_days or 0)
    until = [f"{c.as_of.date()} (until {(c.as_of + days).date()})" for c in parts]
    yield (
        f"Estimated only, for the records do not reach the end of the label window: "
        f"{', '.join(until)}."
    )


def _of_one(cohort: Cohort) -> Iterator[str]:
    day, known = cohort.as_of.date(), cohort.known
    if cohort.gone:
        yield f"{day}: {cohort.gone:,} scored customers are not in today's records; left out."
    if cohort.mature and len(known) < MIN_RESPONDENTS:
        yield f"{day}: fewer than {MIN_RESPONDENTS} outcomes are known; nothing is measured."
    elif cohort.mature and known.nunique() < 2:
        yield f"{day}: all {len(known):,} known outcomes are the same; nothing can be ranked."
    if len(known) > MOST_ROWS:
        yield f"{day}: measured on {MOST_ROWS:,} customers drawn at random."
    if len(known) >= MIN_RESPONDENTS and not (cohort.arm == "treated").any():
        yield from _rate(cohort)


def _rate(cohort: Cohort) -> Iterator[str]:
    """Say so when more or fewer had the outcome than calibrated scores allow."""
    risk = cohort.risk.loc[cohort.known.index]
    expected, observed = float(risk.mean()), float(cohort.known.mean())
    error = float(np.sqrt((risk * (1.0 - risk)).sum())) / len(risk)
    if abs(observed - expected) > 3.0 * error:
        yield (
            f"{cohort.as_of.date()}: predicted were {expected:.1%}, observed {observed:.1%}: the "
            "probabilities are off, whatever the ranking is worth. cxpredict.adjust_base_rate "
            "corrects a rate that is known."
        )


def _contacts(parts: Sequence[Cohort]) -> Iterator[str]:
    """Say what contacting customers does to the figures."""
    contacted = [cohort for cohort in parts if (cohort.arm == "treated").any()]
    enough = [str(c.as_of.date()) for c in contacted if enough_held_out(c)]
    few = [str(c.as_of.date()) for c in contacted if not enough_held_out(c)]
    if enough:
        yield (
            f"{', '.join(enough)}: customers were chosen for contact and others held out; rows "
            "“without contact” show what the model is worth, “everyone” what happened."
        )
    if few:
        yield (
            f"{', '.join(few)}: customers were chosen for contact and too few held out. If "
            "contacting works, fewer left than would have, and the model looks worse than it is; "
            "a larger offer.holdout_share would tell."
        )
