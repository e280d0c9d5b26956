"""From when on drift and performance of a model in use are worth an alert."""

from typing import Annotated

from pydantic import Field

from cxpredict.config.features import Settings


class MonitorSettings(Settings):
    """Limits of the drift table of a score job, and of the performance of a model in use.

    Parameters
    ----------
    max_psi : float ≥ 0, default .25
        Population stability index from which a detectable shift of a feature, or of the score, is
        an alert. Siddiqi (2006), Credit risk scorecards: below .1 no change, from .25 on a major
        shift. Where training dates differ by more among themselves, that counts instead.
    max_unseen : float in [0, 1], default .05
        Share of scored customers from which levels that no training row had are an alert: the model
        takes them for gaps.
    level : float in (0, 1), default .95
        Probability that one table of drift, or one page of performance, holds no false alarm.
    segments : list of str
        Columns (attributes of customers) whose values are shown apart; numbers of more than ten
        values are cut into quarters. Without it, `gate.segments` that are attributes.

    Examples
    --------
    >>> MonitorSettings(max_psi=0.1).level
    0.95
    """

    max_psi: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.25
    max_unseen: Annotated[float, Field(ge=0, le=1)] = 0.05
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    segments: list[str] = Field(default_factory=list)
