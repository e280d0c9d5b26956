"""What a company might do better: the improvements whose return can be estimated."""

from dataclasses import dataclass

from cxpredict.errors import DataError
from cxpredict.value.checks import in_range


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
        if not in_range("hours", self.hours, 0.0).all():
            raise DataError("hours: expected more than 0, got 0.")
        hint = "A share, not a percentage: 0.6 means 60 %."
        if not in_range("share", self.share, 0.0, 1.0, hint=hint).all():
            raise DataError("share: expected more than 0, got 0.")


@dataclass(frozen=True)
class RaiseScore:
    """Raise what customers answer at a touchpoint by so many points.

    Parameters
    ----------
    metric : {"nps", "csat", "ces"}
        The survey.
    points : float > 0
        Points of its scale.
    touchpoint : str, optional
        Only answers at this touchpoint; by default all of the survey.

    Raises
    ------
    DataError
        If points is not above 0.

    Examples
    --------
    >>> RaiseScore(metric="csat", points=1, touchpoint="support").points
    1
    """

    metric: str
    points: float
    touchpoint: str | None = None

    def __post_init__(self) -> None:
        if not in_range("points", self.points, 0.0).all():
            raise DataError("points: expected more than 0, got 0.")


@dataclass(frozen=True)
class TestedEffect:
    """Do what a randomised test has shown to work.

    Parameters
    ----------
    retention, margin, cost_to_serve, referral_value : tuple of float, optional
        Effect on each customer concerned, a period, and its standard error: of retention as a
        share, of the others in money. What the test did not measure is left out.

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
