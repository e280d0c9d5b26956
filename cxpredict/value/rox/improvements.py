"""What a company might do better: the improvements whose return can be estimated."""

from dataclasses import dataclass

from cxpredict.config import SCALES
from cxpredict.data.checks import in_range
from cxpredict.errors import DataError
from cxpredict.value.checks import above_zero, number


@dataclass(frozen=True)
class ShareShift:
    """Move shares of all customers between NPS groups.

    Parameters
    ----------
    promoter, passive, detractor : float in [-1, 1]
        Change of the share of each group; together 0. Out of one group or into one.

    Examples
    --------
    >>> ShareShift(detractor=-0.05, passive=0.05).shift
    {'passive': 0.05, 'detractor': -0.05}
    """

    promoter: float = 0.0
    passive: float = 0.0
    detractor: float = 0.0

    @property
    def shift(self) -> dict[str, float]:
        """The groups whose share changes."""
        steps = {"promoter": self.promoter, "passive": self.passive, "detractor": self.detractor}
        return {name: step for name, step in steps.items() if step != 0}


@dataclass(frozen=True)
class AnswerWithin:
    """Answer a share of requests within so many hours.

    Requests without hours have not been answered; they are late once `hours` have passed.

    Parameters
    ----------
    hours : float > 0
        An answer within them is in time.
    share : float in (0, 1]
        Share of requests that will be answered in time.
    kind : str
        Kind of interaction that is a request; its ``value`` is the hours until the answer.

    Raises
    ------
    DataError
        If hours or share is out of range.

    Examples
    --------
    >>> AnswerWithin(hours=24, share=0.9, kind="service_request").share
    0.9
    """

    hours: float
    share: float
    kind: str

    def __post_init__(self) -> None:
        above_zero("hours", self.hours)
        hint = "A share, not a percentage: 0.6 means 60 %."
        above_zero("share", number("share", self.share, 0.0, 1.0, hint=hint))
        if not isinstance(self.kind, str):
            raise DataError(f"kind: expected a kind of interaction, got {self.kind!r}.")


@dataclass(frozen=True)
class RaiseScore:
    """Raise what customers answer at a touchpoint by so many points.

    Parameters
    ----------
    metric : {"nps", "csat", "ces"}
        The survey.
    points : float > 0
        Points of its scale that every answer rises by, up to the top of the scale.
    touchpoint : str, optional
        Only answers at this touchpoint; by default all of the survey.

    Raises
    ------
    DataError
        If the metric is another, or points is not above 0.

    Examples
    --------
    >>> RaiseScore(metric="csat", points=1, touchpoint="support").points
    1
    """

    metric: str
    points: float
    touchpoint: str | None = None

    def __post_init__(self) -> None:
        if self.metric not in tuple(SCALES):
            raise DataError(f"metric: expected nps, csat or ces, got {self.metric!r}.")
        above_zero("points", self.points)

    @property
    def highest(self) -> int:
        """The top of the scale."""
        return SCALES[self.metric][1]


@dataclass(frozen=True)
class TestedEffect:
    """Do what a randomised test has shown to work.

    Parameters
    ----------
    retention, margin, cost_to_serve, referral_value : tuple of float, optional
        Effect on the average customer concerned, and its standard error: of retention as a share,
        of the others in money of a period, of stayers and leavers together, as tests measure it.
        So the effect on margin holds what customers who stay longer bring, which is not counted
        again. What the test did not measure is left out, and keeps its level while customers are
        there. Several effects are taken to come from one test.

    Raises
    ------
    DataError
        If nothing is given, or a standard error is not above 0.

    Examples
    --------
    >>> TestedEffect(retention=(0.02, 0.008)).measured
    {'retention': (0.02, 0.008)}
    """

    __test__ = False  # no test, whatever its name says

    retention: tuple[float, float] | None = None
    margin: tuple[float, float] | None = None
    cost_to_serve: tuple[float, float] | None = None
    referral_value: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.measured:
            raise DataError("TestedEffect: expected an effect with its standard error, got none.")
        for name, pair in self.measured.items():
            if in_range(name, pair).shape != (2,) or not pair[1] > 0:
                raise DataError(f"{name}: expected (effect, standard error > 0), got {pair!r}.")

    @property
    def measured(self) -> dict[str, tuple[float, float]]:
        """The quantities that the test measured."""
        pairs = {
            "retention": self.retention,
            "margin": self.margin,
            "cost_to_serve": self.cost_to_serve,
            "referral_value": self.referral_value,
        }
        return {name: pair for name, pair in pairs.items() if pair is not None}


Improvement = ShareShift | AnswerWithin | RaiseScore | TestedEffect
