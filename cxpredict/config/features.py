"""What a run computes over its records: windows, declared aggregates, columns left out."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Days = Annotated[int, Field(ge=1, le=3660)]


def _without_nul(path: str) -> str:
    if "\x00" in path:
        raise ValueError("a path holds no NUL character")
    return path


PathText = Annotated[str, AfterValidator(_without_nul)]

Aggregation = Literal[
    "count", "sum", "mean", "min", "max", "last", "change", "days_since", "days", "mean_gap",
    "gap_std", "overdue", "distinct", "share", "trend", "slope", "unanswered",
]  # fmt: skip

OF_VALUES = ("sum", "mean", "min", "max", "last", "change", "distinct", "slope")
"""Aggregations of a column; the others count rows, days or time."""

ANSWER_DAYS = 14
"""Answers to surveys come within so many days: younger invitations are still open."""

_MAIN = {"interactions": "value", "feedback": "score", "transactions": "amount", "contacts": "cost"}


class Settings(BaseModel):
    """Base of all settings: frozen, strictly typed, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class AggregateSettings(Settings):
    """One declared aggregate: measure x table x filter x windows.

    `column` may be left out where a table has one main number (value, score, amount, cost).
    """

    table: Literal["interactions", "feedback", "transactions", "contacts", "records"]
    measure: Aggregation
    column: str = ""
    kind: str | None = None
    channel: str | None = None
    touchpoint: str | None = None
    metric: str | None = None
    outcome: str | None = None
    theme: str | None = None
    windows_days: Annotated[list[Days | Literal["ever"]], Field(min_length=1)] = Field(
        default=["ever"]
    )
    label: str = ""
    name: Annotated[str, Field(pattern=r"^\w*$")] = ""

    @model_validator(mode="before")
    @classmethod
    def _main_column(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("column"):
            return given
        if given.get("measure") not in OF_VALUES or given.get("measure") == "distinct":
            return given
        main = _MAIN.get(str(given.get("table")))
        return {**given, "column": main} if main else given

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.measure in OF_VALUES and not self.column:
            raise ValueError(f"measure {self.measure!r} needs 'column', what it measures")
        if self.measure == "trend" and "ever" in self.windows_days:
            raise ValueError("measure 'trend' needs 'windows_days' in days")
        if self.theme is not None and self.table != "feedback":
            raise ValueError("'theme' is of comments: table must be feedback")
        if self.measure == "unanswered" and self.table != "feedback":
            raise ValueError("measure 'unanswered' counts invitations: table must be feedback")
        short = [w for w in self.windows_days if w != "ever" and int(w) <= ANSWER_DAYS]
        if self.measure == "unanswered" and short:
            raise ValueError(f"measure 'unanswered' needs windows of over {ANSWER_DAYS} days")
        if self.name and len(self.windows_days) > 1:
            raise ValueError("'name' goes with one window; leave it out for several")
        return self

    @property
    def filters(self) -> tuple[tuple[str, str], ...]:
        """The values that rows must have."""
        columns = ("kind", "metric", "channel", "touchpoint", "outcome", "theme")
        given = ((column, getattr(self, column)) for column in columns)
        return tuple((column, value) for column, value in given if value is not None)


class FeatureSettings(Settings):
    """Windows of the default aggregates, declared ones, words for values, columns left out."""

    windows_days: Annotated[list[Days], Field(min_length=1)] = Field(default=[30, 90, 180])
    defaults: bool = True
    aggregates: list[AggregateSettings] = Field(default_factory=list)
    value_names: dict[str, str] = Field(default_factory=dict)
    exclude: list[str] = Field(default_factory=list)


class CommentSettings(Settings):
    """What is made of comments: sentiment, and themes of a codebook or of labelled examples."""

    codebook: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)
    examples: PathText | None = None
    precision: Annotated[float, Field(gt=0, lt=1)] = 0.85
