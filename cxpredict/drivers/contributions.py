"""Drivers of a model: features, groups and segments with intervals, reasons, plots."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxpredict.data.checks import check_count
from cxpredict.drivers.flags import (
    Flags,
    clocks_of,
    is_actionable,
    is_clock,
    proxies_of_time,
)
from cxpredict.drivers.grouping import (
    Codes,
    Floats,
    directions,
    group_names,
    importance,
    sum_by_group,
)
from cxpredict.drivers.reasons import ReasonBasis, plain_value, reasons_in_words, typical_value
from cxpredict.drivers.single import dependence_table, waterfall_table
from cxpredict.drivers.subjects import as_columns
from cxpredict.drivers.tables import long_table, segment_labels, segment_table
from cxpredict.drivers.wording import describe_feature, phrase
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.audit.split import customer_codes
from cxpredict.features.origin import Origin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALE = "Contributions add up to log-odds of the model's score. They describe it, not causes."


@dataclass(frozen=True, eq=False)
class Drivers:
    """What moves a model's score, for each customer and over all.

    Attributes
    ----------
    contributions : DataFrame, shape (n, p)
        Log-odds that each feature adds for each row; index of X.
    base : float
        Log-odds before any contribution.
    values : DataFrame, shape (n, p)
        The features that were explained.
    origins : dict of str to Origin
        Where each feature comes from.
    level : float
        Level of the intervals.
    random_state : int
        Seed of the bootstrap.
    actionable : tuple of str
        What the company can change.

    Notes
    -----
    Drivers describe the model on the log-odds scale, not causes: changing a driver need not change
    what the customer does. An actionable driver is one that the company *could* change.
    """

    contributions: pd.DataFrame
    base: float
    values: pd.DataFrame
    origins: dict[str, Origin]
    level: float
    random_state: int
    actionable: tuple[str, ...] = ()

    @cached_property
    def table(self) -> pd.DataFrame:
        """Features, the strongest first.

        Columns: ``feature``, ``description`` (in words), ``direction``, ``importance`` (mean
        magnitude of the contribution, log-odds), ``share``, ``low`` and ``high`` (bootstrap
        interval over customers, the model as it is), ``rank`` with ``rank_low`` and ``rank_high``,
        ``actionable`` (the company can change it) and ``proxy_of_time`` (it mostly says when the
        row is, or how long ago the customer started: the month, the tenure, or what these tell
        half or more of, see `cxpredict.drivers.flags.proxies_of_time`).
        """
        signed = self.contributions.to_numpy()
        table = self._labels.assign(direction=directions(self.values, signed, self._customers))
        table = table.astype({"direction": "str"}).join(self._importance(signed))
        table["actionable"] = self._actionable
        clocks = [is_clock(origin) for origin in self.origins.values()]
        columns = as_columns(self.values, signed)
        table["proxy_of_time"] = self._told_by_time(columns, self._clocks) | clocks
        return _strongest_first(table)

    def by(self, what: str) -> pd.DataFrame:
        """Group the drivers: signed contributions are added first, then magnitudes taken.

        Parameters
        ----------
        what : str
            source, measure, column, window_days, touchpoint, channel, kind, metric, outcome or
            theme.

        Returns
        -------
        DataFrame, the strongest group first
            ``what``, ``n_features``, ``importance`` (log-odds), ``share``, ``low``, ``high``,
            ``rank``, ``rank_low``, ``rank_high``, ``actionable`` (one of its features is),
            ``proxy_of_time`` (its summed contributions are). Shares are of the groups' own
            importances, which add up to less than those of the features wherever features of a
            group pull against each other.

        Raises
        ------
        ConfigError
            There is no such grouping.
        """
        groups = group_names(self.origins, what)
        sums, names = sum_by_group(self.contributions.to_numpy(), groups)
        counts = [groups.count(name) for name in names]
        labels = pd.DataFrame({what: pd.Series(names, dtype="str"), "n_features": counts})
        table = labels.join(self._importance(sums))
        mine = {g for g, flag in zip(groups, self._actionable, strict=True) if flag}
        table["actionable"] = [name in mine for name in names]
        table["proxy_of_time"] = self._told_by_time(sums, self._clocks)
        return _strongest_first(table)

    def segments(self, by: "pd.Series | str", *, what: str | None = None) -> pd.DataFrame:
        """Measure the drivers of each segment of customers.

        Parameters
        ----------
        by : Series or str
            Segment of each row, with the index of X; or the name of a feature or index level.
        what : str, optional
            A grouping as in `by`; default single features.

        Returns
        -------
        DataFrame
            By segment, the strongest driver first: ``segment``, ``n`` (customers), ``suppressed``,
            ``feature`` and ``description`` (or the grouping), ``mean`` (signed contribution: how
            far the driver moves this segment's log-odds from the base), ``importance``, ``share``,
            ``low``, ``high``, ``rank``, ``rank_low``, ``rank_high`` within the segment. Segments
            of fewer than 11 customers, and the next smallest if only one is, have no numbers.

        Raises
        ------
        DataError
            There is no such column, the index does not fit, or there are more than 50 segments.
        ConfigError
            There is no such grouping.
        """
        signed, labels = self.contributions.to_numpy(), self._labels
        if what is not None:
            signed, names = sum_by_group(signed, group_names(self.origins, what))
            labels = pd.DataFrame({what: pd.Series(names, dtype="str")})
        return segment_table(
            signed,
            labels,
            segment_labels(by, self.values),
            self._customers,
            level=self.level,
            random_state=self.random_state,
        )

    def long(self) -> pd.DataFrame:
        """Write the contributions as a long table, one row per customer, date and feature.

        Returns
        -------
        DataFrame, n × p rows
            The levels of the index (``customer_id``, ``as_of``), ``feature``, ``value`` (text),
            ``number`` (missing for text), ``contribution`` (log-odds), ``source``, ``touchpoint``,
            ``channel``, ``theme``.
        """
        return long_table(self.contributions, self.values, self.origins)

    def reasons(self, top: int = 3) -> pd.DataFrame:
        """Name what pushes each customer's risk up the most, in words.

        Parameters
        ----------
        top : int, 1 or more
            How many reasons.

        Returns
        -------
        DataFrame, index of X
            ``reason_1`` … ``reason_<top>``; empty text where nothing more pushes the risk up. See
            `cxpredict.drivers.reasons.reasons_in_words`.
        """
        return reasons_in_words(self.contributions.to_numpy(), self.values, self.basis, top=top)

    @cached_property
    def basis(self) -> ReasonBasis:
        """What these rows tell about typical values and subjects, see `ReasonBasis`."""
        values = self.contributions.to_numpy()
        return ReasonBasis.learn(self.values, self.origins, contributions=values)

    def plot(self, top: int = 15) -> "Figure":
        """Draw the strongest drivers as bars with their intervals.

        Parameters
        ----------
        top : int
            How many drivers.

        Returns
        -------
        matplotlib Figure
        """
        from cxpredict.drivers.plots import bar_plot

        check_count("top", top)
        return bar_plot(self.table.head(top), level=self.level)

    def beeswarm(self, top: int = 15) -> "Figure":
        """Draw shap's beeswarm: one dot per customer and driver, coloured by the value.

        Parameters
        ----------
        top : int
            How many drivers.

        Returns
        -------
        matplotlib Figure
        """
        from cxpredict.drivers.plots import beeswarm_plot

        check_count("top", top)
        labels = [describe_feature(name, origin) for name, origin in self.origins.items()]
        return beeswarm_plot(self.contributions, self.values, self.base, labels=labels, top=top)

    def dependence(self, feature: str) -> "Figure":
        """Draw the contribution of one feature against its value, one dot per row.

        Parameters
        ----------
        feature : str
            Name of the feature.

        Returns
        -------
        matplotlib Figure
            With the mean contribution of ten bins of values (or of each category) of 11 customers
            or more, and the typical value. Its dots are single rows: personal data.

        Raises
        ------
        ConfigError
            The model has no such feature.
        """
        from cxpredict.drivers.plots_single import dependence_plot

        if feature not in self.origins:
            raise ConfigError(f"the model has no feature {feature!r}.")
        values, pushed = self.values[feature], self.contributions[feature]
        table = dependence_table(values, pushed, self._customers)
        return dependence_plot(
            values,
            pushed,
            table,
            label=describe_feature(feature, self.origins[feature]),
            typical=typical_value(values),
        )

    def waterfall(self, row: Any, top: int = 8) -> "Figure":
        """Draw how the score of one customer comes about, from the base to the margin.

        Parameters
        ----------
        row : object
            Label of the row in the index of X, such as ``("c17", "2025-09-30")``.
        top : int
            How many features have a bar of their own; the others share one.

        Returns
        -------
        matplotlib Figure
            Its title gives the margin in log-odds and the probability they stand for *before*
            calibration.

        Raises
        ------
        DataError
            There is no such row among those explained, or more than one.
        """
        from cxpredict.drivers.plots_single import waterfall_plot

        check_count("top", top)
        place = _place_of(row, self.values.index)
        typical = [typical_value(self.values[name]) for name in self.values]
        words = [
            phrase(name, origin, plain_value(self.values[name].iloc[place]), level)
            for (name, origin), level in zip(self.origins.items(), typical, strict=True)
        ]
        contributions = self.contributions.iloc[place].to_numpy()
        return waterfall_plot(waterfall_table(contributions, self.base, words, top=top))

    @cached_property
    def _customers(self) -> Codes:
        return customer_codes(self.contributions)

    @property
    def _labels(self) -> pd.DataFrame:
        words = [describe_feature(*feature) for feature in self.origins.items()]
        return pd.DataFrame({"feature": list(self.origins), "description": words}, dtype="str")

    @property
    def _actionable(self) -> list[bool]:
        return [is_actionable(*feature, self.actionable) for feature in self.origins.items()]

    @cached_property
    def _clocks(self) -> pd.DataFrame:
        return clocks_of(self.values, self.origins)

    def _told_by_time(self, columns: Floats, clocks: pd.DataFrame) -> Flags:
        return proxies_of_time(columns, clocks, self._customers)

    def _importance(self, signed: Floats) -> pd.DataFrame:
        return importance(signed, self._customers, level=self.level, random_state=self.random_state)

    def _repr_html_(self) -> str:
        table = self.table.head(20).to_html(index=False, float_format="{:.3f}".format)
        return f"<p>{SCALE}</p>{table}"


def _place_of(row: Any, index: pd.Index) -> int:
    try:
        found = np.atleast_1d(np.arange(len(index))[index.get_loc(row)])
    except (KeyError, TypeError, pd.errors.InvalidIndexError):
        found = np.array([], dtype=int)
    if len(found) != 1:
        raise DataError(
            f"row: expected the label of one explained row, {len(found):,} of {len(index):,} fit. "
            f"Labels have the levels {[str(name) for name in index.names]}; `max_rows` leaves rows "
            "out."
        )
    return int(found[0])


def _strongest_first(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)
