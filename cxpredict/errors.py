"""Every error cxpredict raises on purpose, with the exit code it has at the command line.

CxPredictError (1)
├── ConfigError (2)         the configuration file is wrong
├── DataError (3)           the data is not what the configuration promises
│   ├── EmptyDataError (7)      there are no rows to work on
│   └── RejectShareError (8)    more rows were rejected than `max_reject_share` allows
├── LeakageError (4)        a feature knows the answer
├── ModelError (5)          a model cannot be fitted, loaded or applied
├── PublishError (6)        a result could not be written or registered
├── DriftError (9)          scored rows are not like those of training; the scores are published
└── PerformanceError (10)   a model performs outside its reference band; the page is published
"""

from typing import Any, ClassVar


class CxPredictError(Exception):
    """Base of all errors of this library: what was expected, what came, how to mend it."""

    exit_code: ClassVar[int] = 1


class ConfigError(CxPredictError, ValueError):
    """The configuration is wrong; the message lists every problem at once."""

    exit_code: ClassVar[int] = 2


class DataError(CxPredictError, ValueError):
    """The data is not what the configuration promises."""

    exit_code: ClassVar[int] = 3


class EmptyDataError(DataError):
    """There are no rows to work on."""

    exit_code: ClassVar[int] = 7


class RejectShareError(DataError):
    """More rows were rejected than `max_reject_share` allows; `rejects` holds them."""

    exit_code: ClassVar[int] = 8
    rejects: Any = None


class LeakageError(CxPredictError, ValueError):
    """A feature knows the answer."""

    exit_code: ClassVar[int] = 4


class ModelError(CxPredictError, ValueError):
    """A model cannot be fitted, loaded or applied."""

    exit_code: ClassVar[int] = 5


class PublishError(CxPredictError, OSError):
    """A result could not be written or registered."""

    exit_code: ClassVar[int] = 6


class DriftError(CxPredictError):
    """The scored rows are not like those of training; the scores are published all the same."""

    exit_code: ClassVar[int] = 9


class PerformanceError(CxPredictError):
    """A model performs worse than in its test; the page that shows it is published."""

    exit_code: ClassVar[int] = 10
