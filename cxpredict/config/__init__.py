"""One YAML file describes one run: strict, typed, every problem in one message."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    model_validator,
)

from cxpredict.config.features import CommentSettings, Days, FeatureSettings, PathText, Settings
from cxpredict.config.gate import GateSettings
from cxpredict.config.monitor import MonitorSettings
from cxpredict.config.reading import check_settings, read_yaml
from cxpredict.config.sources import Source
from cxpredict.config.value import (
    NpsSettings,
    OfferSettings,
    RoxSettings,
    Share,
    ValueSettings,
)
from cxpredict.errors import ConfigError

Stage = Literal["awareness", "consideration", "decision", "retention", "advocacy"]


class Simulation(Settings):
    """The embedded default: a company made by `simulate_company`."""

    n_customers: Annotated[int, Field(ge=1)]
    seed: int


class ChurnSettings(Settings):
    """How churn is recognised: by a cancellation event, by inactivity or by a column."""

    cancelled: str | None = None
    inactive: str | None = None
    label: str | None = None
    positive: str | int = 1
    horizon_days: Days | None = None
    gap_days: Annotated[int, Field(ge=0)] = 0
    active_days: Days | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [self.cancelled, self.inactive, self.label]
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give exactly one of 'cancelled', 'inactive' and 'label'")
        if self.label is None and self.horizon_days is None:
            raise ValueError("'horizon_days' is missing: churn within how many days?")
        return self


SCALES: dict[str, tuple[int, int]] = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
LOW_AT_MOST: dict[str, int] = {"nps": 6, "csat": 2, "ces": 3}


class SatisfactionSettings(Settings):
    """Which score is predicted: the next answer to a survey, or a given column."""

    metric: Literal["nps", "csat", "ces"]
    label: str | None = None
    horizon_days: Days | None = None
    gap_days: Annotated[int, Field(ge=0)] = 0
    active_days: Days | None = None

    @model_validator(mode="after")
    def _horizon(self) -> Self:
        if self.label is None and self.horizon_days is None:
            raise ValueError("'horizon_days' is missing: the next score within how many days?")
        return self

    @property
    def levels(self) -> tuple[int, ...]:
        """All levels of the score, lowest first."""
        low, high = SCALES[self.metric]
        return tuple(range(low, high + 1))

    @property
    def low_at_most(self) -> int:
        """Highest score that still counts as dissatisfied (NPS: detractor)."""
        return LOW_AT_MOST[self.metric]


class Problems(Settings):
    """The models of a run."""

    churn: ChurnSettings | None = None
    satisfaction: SatisfactionSettings | None = None

    @model_validator(mode="after")
    def _any(self) -> Self:
        if self.churn is None and self.satisfaction is None:
            raise ValueError("name at least one of 'churn' and 'satisfaction'")
        return self


class TimeSplit(Settings):
    """Training dates before, one or more test dates after, an embargo between."""

    test_at: date
    test_until: date | None = None
    every_days: Days
    train_from: date | None = None
    train_until: date | None = None
    held_out_share: Annotated[float, Field(gt=0, lt=1)] | None = None


class CustomerSplit(Settings):
    """A table without time: customers drawn at random for the test."""

    as_of: date
    test_share: Annotated[float, Field(gt=0, lt=1)]


def _kind_of_split(split: Any) -> str:
    given = split if isinstance(split, Mapping) else getattr(split, "__dict__", {})
    return "customers" if "test_share" in given else "time"


Split = Annotated[
    Annotated[TimeSplit, Tag("time")] | Annotated[CustomerSplit, Tag("customers")],
    Discriminator(_kind_of_split),
]


class AuditSettings(Settings):
    """What happens to features that know the answer."""

    on_leak: Literal["stop", "drop"] = "stop"
    accept: dict[str, str] = Field(default_factory=dict)


class Bands(Settings):
    """Probabilities from which a customer is called medium or high risk."""

    medium: Share
    high: Share

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.medium >= self.high:
            raise ValueError("'medium' must be below 'high'")
        return self


class RiskBands(Settings):
    """The bands of each model of the run."""

    churn: Bands | None = None
    satisfaction: Bands | None = None


class EngineSettings(Settings):
    """Memory that the embedded engine may use, and where it spills what does not fit."""

    memory_limit_gb: Annotated[float, Field(gt=0)] | None = None
    spill_directory: PathText | None = None


class Config(Settings):
    """A whole run. See `load_config`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    sources: dict[str, Source] = Field(default_factory=dict)
    simulate: Simulation | None = None
    problems: Problems
    split: Split
    bands: RiskBands
    features: FeatureSettings = FeatureSettings()
    comments: CommentSettings | None = None
    audit: AuditSettings = AuditSettings()
    gate: GateSettings = GateSettings()
    monitor: MonitorSettings = MonitorSettings()
    engine: EngineSettings = EngineSettings()
    value: ValueSettings | None = None
    offer: OfferSettings | None = None
    nps: NpsSettings | None = None
    rox: RoxSettings | None = None
    stages: dict[str, Stage] = Field(default_factory=dict)
    actionable: list[str] = Field(default_factory=list)
    observed_until: date | None = None
    max_reject_share: Share = 0.01
    effort: Literal["fast", "standard", "thorough"] = "standard"
    random_state: Annotated[int, Field(ge=0, lt=2**32)]
    artifacts: PathText = "artifacts"

    _directory: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.sources) == (self.simulate is not None):
            raise ValueError("give exactly one of 'sources' and 'simulate'")
        if self.offer is not None and self.value is None:
            raise ValueError("'offer' needs 'value': a gain is counted in the customer's worth")
        if self.rox is not None and self.value is None:
            raise ValueError("'rox' needs 'value'")
        churn = self.problems.churn
        if self.rox is not None and churn is not None and churn.inactive is not None:
            horizon = churn.horizon_days or 0
            if self.rox.period_days < horizon:
                raise ValueError(f"rox.period_days must be at least the churn horizon, {horizon}")
        timeless = isinstance(self.split, CustomerSplit)
        for name in Problems.model_fields:
            problem = getattr(self.problems, name)
            if (problem is None) != (getattr(self.bands, name) is None):
                raise ValueError(f"bands.{name} and problems.{name} go together")
            if problem is not None and (problem.label is not None) != timeless:
                raise ValueError(
                    f"problems.{name}: a 'label' column goes with split.test_share, "
                    "events go with split.test_at"
                )
        return self

    def path(self, relative: str) -> Path:
        """Resolve a path of the file against the folder of the file."""
        return (self._directory / relative).resolve()


def load_config(path: str | Path) -> Config:
    """Read and check the configuration file of a run.

    Parameters
    ----------
    path : str or Path
        A YAML file. Paths inside it are relative to its folder.

    Returns
    -------
    Config
        Frozen and fully checked.

    Raises
    ------
    ConfigError
        The file cannot be read, is not YAML, or has problems: all are listed in one message.
    """
    path = Path(path)
    try:
        content = read_yaml(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name}: cannot be read: {type(error).__name__}") from error
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path.name}: not valid YAML: {str(error) or 'too deep'}") from error
    return parse_config(content, directory=path.resolve().parent, name=path.name)


def parse_config(content: Any, *, directory: Path, name: str = "configuration") -> Config:
    """Check the content of a configuration file; see `load_config`."""
    if not isinstance(content, dict):
        raise ConfigError(f"{name}: expected keys such as 'name' and 'problems', found none")
    config = check_settings(Config, content, name=name)
    config._directory = directory
    return config
