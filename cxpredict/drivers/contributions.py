"""Explain a model: contributions, drivers with intervals, groups of drivers, reasons, plots."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from cxpredict.drivers.grouping import (
    Floats,
    directions,
    group_names,
    importance,
    sum_by_group,
)
from cxpredict.drivers.reasons import reasons_in_words
from cxpredict.drivers.wording import describe_feature
from cxpredict.errors import DataError, EmptyDataError, ModelError
from cxpredict.features.audit.split import customer_codes
from cxpredict.features.origin import Origin, origins_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALE = "Contributions add up to log-odds of the model's score. They describe it, not causes."


class ExplainableModel(Protocol):
    """A fitted model that splits its log-odds margin into contributions of its features."""

    @property
    def feature_names_in_(self) -> Any:
        """Names of the features, in order."""

    def contributions(self, X: pd.DataFrame) -> tuple[Floats, float]:
        """Return values of shape (n, p) and the base they start from."""


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

    Notes
    -----
    Drivers describe the model on the log-odds scale, not causes: changing a driver need not change
    what the customer does.
    """

    contributions: pd.DataFrame
    base: float
    values: pd.DataFrame
    origins: dict[str, Origin]
    level: float
    random_state: int

    @cached_property
    def table(self) -> pd.DataFrame:
        """Features, the strongest first.

        Columns: ``feature``, ``description`` (in words), ``direction``, ``importance`` (mean
        magnitude of the contribution, log-odds), ``share``, ``low`` and ``high`` (bootstrap
        interval over customers).
        """
        values = self.contributions.to_numpy()
        names = pd.DataFrame(
            {
                "feature": pd.Series(list(self.origins), dtype="str"),
                "description": [describe_feature(*feature) for feature in self.origins.items()],
                "direction": pd.Series(directions(self.values, values), dtype="str"),
            }
        )
        return _strongest_first(names.join(self._importance(values)))

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
            ``what``, ``n_features``, ``importance`` (log-odds), ``share``, ``low``, ``high``.
            Shares are of the groups' own importances, which add up to less than those of the
            features wherever features of a group pull against each other.

        Raises
        ------
        ConfigError
            There is no such grouping.
        """
        groups = group_names(self.origins, what)
        sums, names = sum_by_group(self.contributions.to_numpy(), groups)
        counts = [groups.count(name) for name in names]
        labels = pd.DataFrame({what: pd.Series(names, dtype="str"), "n_features": counts})
        return _strongest_first(labels.join(self._importance(sums)))

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
        values = self.contributions.to_numpy()
        return reasons_in_words(values, self.values, self.origins, top=top)

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

        labels = [describe_feature(name, origin) for name, origin in self.origins.items()]
        return beeswarm_plot(self.contributions, self.values, self.base, labels=labels, top=top)

    def _importance(self, signed: Floats) -> pd.DataFrame:
        customers = customer_codes(self.contributions)
        return importance(signed, customers, level=self.level, random_state=self.random_state)

    def _repr_html_(self) -> str:
        table = self.table.head(20).to_html(index=False, float_format="{:.3f}".format)
        return f"<p>{SCALE}</p>{table}"


def explain(
    model: ExplainableModel,
    X: pd.DataFrame,
    *,
    origins: Mapping[str, Origin] | None = None,
    max_rows: int | None = None,
    level: float = 0.95,
    random_state: int = 0,
) -> Drivers:
    """Explain what moves a model's score.

    Parameters
    ----------
    model : ExplainableModel
        A fitted `ChurnModel`, `SatisfactionModel` or other model with ``contributions``.
    X : DataFrame, shape (n, p)
        The customers to explain. Rows with the same ``customer_id`` in the index are drawn
        together in the bootstrap.
    origins : mapping of str to Origin, optional
        Where features come from; default `origins_of` (X). A feature without an origin counts as
        an attribute of the customer.
    max_rows : int, optional
        Explain a random sample of at most so many rows; default all.
    level : float in (0, 1)
        Level of the intervals.
    random_state : int
        Seed of the sample and the bootstrap.

    Returns
    -------
    Drivers

    Raises
    ------
    ModelError
        The model has no contributions, or they do not fit X.
    DataError
        X lacks a feature of the model; an EmptyDataError when it has no rows.

    Notes
    -----
    Contributions are SHAP values, additive on the log-odds margin: base + sum = margin. They
    describe the model, not causes.

    References
    ----------
    Lundberg, Lee (2017): A unified approach to interpreting model predictions. NeurIPS.

    Examples
    --------
    >>> class Linear:
    ...     feature_names_in_ = ["complaints"]
    ...
    ...     def contributions(self, X):
    ...         return 0.5 * (X.to_numpy(float) - 1), -2.0
    >>> drivers = explain(Linear(), pd.DataFrame({"complaints": [0, 3]}))
    >>> drivers.table[["feature", "importance", "direction"]]
          feature  importance      direction
    0  complaints        0.75  higher raises
    """
    if not hasattr(model, "contributions"):
        raise ModelError(f"expected a model with contributions, got {type(model).__name__}.")
    if not len(X):
        raise EmptyDataError("there are no rows to explain.")
    names = [str(name) for name in model.feature_names_in_]
    missing = [name for name in names if name not in X.columns]
    if missing:
        raise DataError(f"X lacks {len(missing)} features of the model: {missing[:5]}.")
    known = {**origins_of(X), **(origins or {})}
    if max_rows is not None and len(X) > max_rows:
        rng = np.random.default_rng(random_state)
        X = X.iloc[np.sort(rng.choice(len(X), max_rows, replace=False))]
    values, base = model.contributions(X)
    if values.shape != (len(X), len(names)):
        raise ModelError(
            f"expected contributions of shape {(len(X), len(names))}, got {values.shape}."
        )
    X, of_model = X[names], {name: known[name] for name in names}
    contributions = pd.DataFrame(values, index=X.index, columns=names)
    return Drivers(contributions, float(base), X, of_model, level, random_state)


def _strongest_first(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)
