"""What a reader must know to judge the figures of a model in use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from cxpredict.data.suppression import MIN_RESPONDENTS
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.monitoring.cohorts import Cohort

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
    for cohort in parts:
        yield from _cohort_notes(bundle, cohort)


def _cohort_notes(bundle: Bundle, cohort: Cohort) -> Iterator[str]:
    day = cohort.as_of.date()
    known = cohort.known
    if cohort.gone:
        yield f"{day}: {cohort.gone:,} scored customers are not in today's records; left out."
    if not cohort.mature:
        closes = cohort.as_of + timedelta(days=bundle.problem.label_days or 0)
        yield f"{day}: estimated only; the records must reach {closes.date()} to measure it."
    elif len(known) < MIN_RESPONDENTS:
        yield f"{day}: fewer than {MIN_RESPONDENTS} outcomes are known; nothing is measured."
    elif known.nunique() < 2:
        yield f"{day}: all {len(known):,} known outcomes are the same; nothing can be ranked."
    treated = int((cohort.arm == "treated").sum())
    held_out = int((cohort.arm == "held_out").sum())
    if treated and held_out >= MIN_RESPONDENTS:
        yield (
            f"{day}: {treated:,} customers were to be contacted and {held_out:,} held out; rows "
            "“without contact” show what the model is worth, “everyone” what happened."
        )
    elif treated:
        yield (
            f"{day}: {treated:,} customers were to be contacted and too few held out "
            f"({held_out:,}): if contacting works, fewer left than would have, and the model looks "
            "worse than it is. Set offer.holdout_share."
        )
