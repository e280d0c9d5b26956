"""Settings of what customers are worth, offers, surveys and improvements."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from cxpredict.config.features import Days, Settings

Share = Annotated[float, Field(ge=0, le=1)]
Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ValueSettings(Settings):
    """What a customer is worth: margin per period over a horizon, discounted."""

    currency: str
    horizon_days: Days
    period_days: Days
    yearly_discount_rate: Annotated[float, Field(ge=0, lt=1)]
    column: str | None = None
    lookback_days: Days | None = None
    margin_rate: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.column is None) == (self.lookback_days is None):
            raise ValueError(
                "give exactly one of 'column' (revenue per period, a customer attribute) and "
                "'lookback_days' (transactions of so many days)"
            )
        if self.column is not None and self.margin_rate is None:
            raise ValueError("'column' needs 'margin_rate': margin = revenue x rate")
        if self.horizon_days < self.period_days:
            raise ValueError("'horizon_days' must be at least one period")
        return self


class BetaSettings(Settings):
    """A share that is not known for sure: parameters of its Beta distribution."""

    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    beta: Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _kind_of_acceptance(given: Any) -> str:
    return "(distribution)" if isinstance(given, Mapping | BetaSettings) else "(number)"


Acceptance = Annotated[
    Annotated[Share, Tag("(number)")] | Annotated[BetaSettings, Tag("(distribution)")],
    Discriminator(_kind_of_acceptance),
]


class OfferSettings(Settings):
    """The retention offer whose expected gain ranks customers."""

    contact_cost: Money
    incentive: Money
    acceptance: Acceptance
    holdout_share: Share

    @property
    def mean_acceptance(self) -> float:
        """Share of would-be leavers expected to accept."""
        given = self.acceptance
        if isinstance(given, BetaSettings):
            return given.alpha / (given.alpha + given.beta)
        return given


class AnswerWithinSettings(Settings):
    """Requests of a kind, whose value is hours, are answered in time more often."""

    kind: str
    hours: Annotated[float, Field(gt=0)]
    share: Annotated[float, Field(gt=0, le=1)]


class RaiseScoreSettings(Settings):
    """Answers to a survey, maybe at one touchpoint only, rise by so many points."""

    metric: Literal["nps", "csat", "ces"]
    points: Annotated[float, Field(gt=0)]
    touchpoint: str | None = None


class ReferralSettings(Settings):
    """Which interaction is a recommendation, how often it wins a customer, what one is worth."""

    kind: str
    conversion: Share
    new_customer_value: Money


def _kind_of_cost(given: Any) -> str:
    return "(over time)" if isinstance(given, list) else "(number)"


Cost = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False), Tag("(number)")]
    | Annotated[list[Money], Field(min_length=1), Tag("(over time)")],
    Discriminator(_kind_of_cost),
]


class RoxSettings(Settings):
    """The improvement whose return is estimated, its cost, and what counts beside the margin."""

    shift_points: Annotated[float, Field(gt=0, le=100)] | None = None
    answer_within: AnswerWithinSettings | None = None
    raise_score: RaiseScoreSettings | None = None
    cost: Cost
    period_days: Days
    horizon_periods: Annotated[int, Field(ge=1, le=120)]
    prices: dict[str, Money] = Field(default_factory=dict)
    contact_costs: bool = False
    referral: ReferralSettings | None = None

    @model_validator(mode="after")
    def _one_improvement(self) -> Self:
        ways = [self.shift_points, self.answer_within, self.raise_score]
        if sum(way is not None for way in ways) != 1:
            raise ValueError(
                "give exactly one of 'shift_points', 'answer_within' and 'raise_score'"
            )
        if isinstance(self.cost, list) and not sum(self.cost) > 0:
            raise ValueError("'cost' must be above 0")
        if isinstance(self.cost, list) and len(self.cost) > self.horizon_periods + 1:
            raise ValueError(
                f"'cost' has {len(self.cost)} amounts, but now and the ends of "
                f"{self.horizon_periods} periods are {self.horizon_periods + 1} moments"
            )
        return self


class NpsSettings(Settings):
    """The window of survey invitations that the reported NPS speaks of."""

    window_days: Days
    weighted: bool
    everyone: bool = False
