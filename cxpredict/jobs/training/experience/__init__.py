"""What surveys say of all customers, and what moving them is worth, from a run's log."""

from __future__ import annotations

from dataclasses import replace

from cxpredict.config import Config
from cxpredict.data.log import CustomerLog
from cxpredict.jobs.results import Experience
from cxpredict.jobs.training.experience.improvement import measure_rox
from cxpredict.jobs.training.experience.journey import audit_touchpoints
from cxpredict.jobs.training.experience.survey import measure_nps


def measure_experience(config: Config, log: CustomerLog) -> Experience:
    """Estimate NPS and ROX as the configuration asks; say what cannot be known.

    Parameters
    ----------
    config : Config
        Its `nps`, `rox`, `value` and `stages`.
    log : CustomerLog
        The records.

    Returns
    -------
    Experience
        Parts that are not asked for, or that the data cannot tell, are None with a note.
    """
    touchpoints, notes = audit_touchpoints(config, log)
    found = Experience(notes=("No NPS survey is configured: no NPS.",))
    if config.nps is not None:
        found = measure_nps(config, config.nps, log)
    rox, economics, rox_notes = measure_rox(config, log)
    return replace(
        found,
        rox=rox,
        rox_notes=rox_notes,
        economics=economics,
        touchpoints=touchpoints,
        notes=(*notes, *found.notes),
    )
