"""What a feature is: where it comes from and how it is computed."""

from dataclasses import asdict, dataclass
from typing import Any, Self, get_args

import pandas as pd

from cxpredict.config.features import ANSWER_DAYS, OF_VALUES, Aggregation
from cxpredict.errors import ConfigError

_HOMES = {
    "attribute": "customers",
    "tenure": "customers",
    "month": "calendar",
    "unanswered": "feedback",
}
MEASURES = ("attribute", "tenure", "month", *get_args(Aggregation))


@dataclass(frozen=True)
class Origin:
    """Where one feature comes from; for an aggregate this is also its declaration.

    Attributes
    ----------
    source : str
        Table of the log: interactions, feedback (its answers), transactions or contacts;
        ``records`` for the first three together, ``customers`` or ``calendar``.
    measure : str
        What is computed over the rows:

        ========== =====================================================================
        count      rows
        sum, mean, of a column; 0 and missing without rows
        min, max
        last       the latest value; of equal times the highest
        change     the latest value less the one before it in time
        days_since days since the latest row
        days       different days (UTC) with a row
        mean_gap   mean days between such days
        gap_std    standard deviation of the days between successive such days, in the
                   order in which they became known
        overdue    days since the last such day, in mean gaps
        distinct   different values of a column
        share      part of all rows of the source
        trend      sum of a column (or count) in the window, in thirds of that of the
                   window three times as long
        slope      least-squares slope of a column, per day
        unanswered invitations (feedback) of the window that are more than 14 days old
                   and not answered; younger ones are still open, and later answers
                   are taken not to come
        attribute, tenure of customers; ``month`` of the calendar, 1 to 12
        ========== =====================================================================
    column : str
        The attribute, or the column that is measured.
    filters : tuple of (column, value)
        Which rows count: those that have all these values.
    window_days : int or None
        Rows of the last so many days before `as_of`; None for all. A row exactly so many days old
        counts; a day (UTC) counts where it began within the window.
    touchpoint, channel : str
        Where in the journey the rows belong, empty if nowhere in particular.
    label : str
        What the measured values are, in words with their unit: ``minutes of failure``.
    alias : str
        The name of the feature where the usual one is taken.

    Raises
    ------
    ConfigError
        The measure is unknown, lacks its column or its window, or the window is below 1.

    Examples
    --------
    >>> Origin("interactions", "count", filters=(("kind", "complaint"),), window_days=30).name
    'complaint_count_30d'
    >>> Origin("feedback", "last", "score", (("metric", "nps"),)).name
    'nps_last'
    """

    source: str
    measure: str
    column: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    window_days: int | None = None
    touchpoint: str = ""
    channel: str = ""
    label: str = ""
    alias: str = ""

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ConfigError(
                f"unknown measure {self.measure!r}; expected one of {', '.join(MEASURES)}"
            )
        home = _HOMES.get(self.measure)
        if home is not None and self.source != home:
            raise ConfigError(f"measure {self.measure!r} belongs to {home}, not to {self.source!r}")
        if home is None and self.source in ("customers", "calendar"):
            raise ConfigError(f"{self.source} has no measure {self.measure!r}")
        if self.measure in OF_VALUES and not self.column:
            raise ConfigError(f"measure {self.measure!r} needs the column that it measures")
        if self.measure == "trend" and self.window_days is None:
            raise ConfigError(f"measure {self.measure!r} needs window_days")
        least = ANSWER_DAYS + 1 if self.measure == "unanswered" else 1
        if self.window_days is not None and self.window_days < least:
            raise ConfigError(
                f"{self.measure}: expected window_days of {least} or more, found {self.window_days}"
            )

    @property
    def name(self) -> str:
        """The name of the feature, made of letters, digits and underscores for aggregates."""
        if self.alias:
            return self.alias
        if self.measure == "attribute":
            return self.column
        if self.measure == "tenure":
            return "tenure_days"
        subject = [_safe(value) for _, value in self.filters] or [self.source]
        column = [_safe(self.column)] if self.column not in ("", "value", "score") else []
        window = [f"{self.window_days}d"] if self.window_days else []
        measure = "count_trend" if self.measure == "trend" and not self.column else self.measure
        return "_".join([*subject, *column, measure, *window])

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Read what `to_dict` gave, also after JSON made lists of its tuples."""
        filters = tuple((column, value) for column, value in fields["filters"])
        return cls(**{**fields, "filters": filters})


def origins_of(X: pd.DataFrame) -> dict[str, Origin]:
    """Return the origin of every column of a feature frame.

    Parameters
    ----------
    X : DataFrame
        What `build_features` gave, or any other frame.

    Returns
    -------
    dict of str to Origin
        A column that `build_features` did not make counts as an attribute of customers.

    Examples
    --------
    >>> origins_of(pd.DataFrame({"age": [31]}))["age"].measure
    'attribute'
    """
    known = X.attrs.get("origins", {})
    return {
        str(name): Origin.from_dict(known[name])
        if name in known
        else Origin("customers", "attribute", str(name))
        for name in X.columns
    }


def _safe(value: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in value.lower()).strip("_")
