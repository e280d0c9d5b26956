"""How far drivers depend on the customers a model happened to learn from, and on chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxpredict.data.checks import check_count, check_level, check_seed
from cxpredict.drivers.grouping import FIELDS, FILTERS, group_names, rank_table
from cxpredict.drivers.refits import Sizes, measure_refits
from cxpredict.drivers.wording import describe_feature
from cxpredict.errors import ConfigError, DataError, EmptyDataError, ModelError
from cxpredict.features.origin import Origin, origins_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST_REFITS = 20
"""With fewer, "above no effect in 95 % of the refits" cannot be told from "in all"."""


@dataclass(frozen=True, eq=False)
class DriverStability:
    """Size and rank of each driver over refits of the model, against a driver without effect.

    Attributes
    ----------
    sizes : Sizes
        Of the features: importance in each refit, and that of their shadows.
    groups : dict of str to Sizes
        The same for each grouping, signed contributions added first.
    origins : dict of str to Origin
        Where each feature comes from.
    level : float
        Level of the intervals.
    note : str
        What was refitted, and how.
    """

    sizes: Sizes
    groups: dict[str, Sizes]
    origins: dict[str, Origin]
    level: float
    note: str

    @cached_property
    def table(self) -> pd.DataFrame:
        """Features, the strongest first.

        Columns: ``feature``, ``description``, ``importance`` (mean over refits of the mean
        magnitude, log-odds), ``low``, ``high``, ``rank`` (of the importance), ``rank_low``,
        ``rank_high``, ``no_effect_importance`` (mean of the shadow's), ``no_effect_rank`` (median
        rank that the shadow would have among the other features), ``above_no_effect`` (share of
        refits in which the driver is larger than its shadow) and ``no_effect`` (true where the
        stability interval includes "no effect": that share is below the level).
        """
        words = [describe_feature(*feature) for feature in self.origins.items()]
        labels = {"feature": pd.Series(self.sizes.names, dtype="str"), "description": words}
        return self._table(pd.DataFrame(labels), self.sizes)

    def by(self, what: str) -> pd.DataFrame:
        """Give the same for groups of features.

        Parameters
        ----------
        what : str
            source, measure, column, window_days, touchpoint, channel, kind, metric, outcome or
            theme.

        Returns
        -------
        DataFrame, the strongest group first
            ``what``, ``n_features`` and the columns of `table`. Features that say the same share
            their effect by chance in each refit; their group has all of it.

        Raises
        ------
        ConfigError
            There is no such grouping.
        """
        members = group_names(self.origins, what)
        sizes = self.groups[what]
        labels = {
            what: pd.Series(sizes.names, dtype="str"),
            "n_features": [members.count(name) for name in sizes.names],
        }
        return self._table(pd.DataFrame(labels), sizes)

    def plot(self, top: int = 15) -> "Figure":
        """Draw the strongest drivers with their intervals, and what has no effect.

        Parameters
        ----------
        top : int
            How many drivers.

        Returns
        -------
        matplotlib Figure
        """
        from cxpredict.drivers.plots import stability_plot

        check_count("top", top)
        return stability_plot(self.table.head(top), level=self.level)

    def _table(self, labels: pd.DataFrame, sizes: Sizes) -> pd.DataFrame:
        real, shadow = sizes.real, sizes.shadow
        mean = real.mean(axis=0)
        low, high = np.quantile(real, [(1 - self.level) / 2, (1 + self.level) / 2], axis=0)
        above = (real > shadow).mean(axis=0)
        # Features stronger than the shadow of this one, itself left out
        ahead = (real[:, None, :] > shadow[:, :, None]).sum(axis=2) - (real > shadow)
        measured = pd.DataFrame({"importance": mean, "low": low, "high": high}).join(
            rank_table(mean, real, level=self.level)
        )
        measured["no_effect_importance"] = shadow.mean(axis=0)
        measured["no_effect_rank"] = np.median(1 + ahead, axis=0)
        measured["above_no_effect"] = above
        measured["no_effect"] = above < self.level - 1e-9
        return labels.join(measured).sort_values("rank", kind="stable", ignore_index=True)

    def _repr_html_(self) -> str:
        from html import escape

        table = self.table.head(20).to_html(index=False, float_format="{:.3f}".format)
        return f"<p>{escape(self.note)}</p>{table}"


def driver_stability(
    model: Any,
    X: pd.DataFrame,
    y: Any,
    *,
    sample_weight: Any = None,
    explained: pd.DataFrame | None = None,
    origins: Mapping[str, Origin] | None = None,
    refits: int = FEWEST_REFITS,
    effort: str | None = "fast",
    max_rows: int | None = 2_000,
    level: float = 0.95,
    random_state: int = 0,
    n_jobs: int | None = None,
) -> DriverStability:
    """Refit a model on bootstrap samples of customers and see which drivers stay.

    Parameters
    ----------
    model : estimator
        A `ChurnModel`, `SatisfactionModel` or other estimator with ``contributions`` and a ``fit``
        that takes ``sample_weight``; its class and parameters are used, not what it learned.
    X : DataFrame, shape (n, p)
        Training rows; those with the same ``customer_id`` in the index are drawn together.
    y : Series or array-like, shape (n,)
        What the model learns.
    sample_weight : array-like, shape (n,), optional
        Weights of the rows.
    explained : DataFrame, optional
        Rows to explain, the same in all refits, such as the test rows; default X.
    origins : mapping of str to Origin, optional
        Where features come from; default `origins_of` (X).
    refits : int, 20 or more
        Number of refits.
    effort : str or None
        Effort of the refits where the model has one; None leaves the model's own.
    max_rows : int or None
        Explain a random sample of at most so many rows.
    level : float in (0, 1)
        Level of the intervals, and the share of refits in which a driver must be larger than its
        shadow.
    random_state : int
        Seed.
    n_jobs : int or None
        Refits at the same time, in threads; None for one after the other, −1 for every core.

    Returns
    -------
    DriverStability

    Raises
    ------
    ConfigError
        Fewer than 20 refits, or `max_rows` is no number of rows.
    ModelError
        The model cannot be refitted or explained.
    DataError
        `explained` lacks a column of X, or the level or the seed is none; an EmptyDataError
        when there are no rows.

    Notes
    -----
    *No effect* is measured, not assumed: each refit also gets a **shadow** of every feature, the
    same columns dealt to other customers (all shadows by one permutation, so that they hang
    together as the features do; the rows of a customer stay together, in a shifted order). A
    shadow knows nothing of the outcome, but has the distribution of its feature and the same
    chances to be taken for a driver. A feature unrelated to the outcome is as likely below its
    shadow as above it. Its stability interval includes "no effect" unless it is larger than its
    shadow in `level` of the refits.

    This is a statement about one driver; among many drivers without effect a few pass by chance.
    "No effect" is also what an effect looks like that is too small for these data. A feature
    without effect of its own that goes along with a real driver gets part of its credit, and
    may pass. Features that say the same share their credit by chance in each refit: see
    `DriverStability.by`. Sizes are those of the refits: with lower effort, fewer different
    customers and the shadows beside, they are somewhat smaller than those of the model itself.
    Dates that few rows tell apart (month of the year) cannot be judged by drawing customers.

    Drivers describe the model, not causes.

    References
    ----------
    Kursa, Rudnicki (2010), Feature selection with the Boruta package. Journal of Statistical
    Software 36(11).
    Efron, Tibshirani (1993), An introduction to the bootstrap.

    Examples
    --------
    >>> from cxpredict.models.churn import ChurnModel
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"calls": rng.poisson(2, 150), "plan": rng.choice(["a", "b"], 150)})
    >>> y = rng.random(150) < np.where(X["calls"] > 2, 0.9, 0.1)
    >>> found = driver_stability(ChurnModel(), X, y)
    >>> found.table[["feature", "rank_low", "rank_high", "no_effect"]]
      feature  rank_low  rank_high  no_effect
    0   calls         1          1      False
    1    plan         2          2       True
    """
    if refits < FEWEST_REFITS:
        raise ConfigError(f"refits: expected {FEWEST_REFITS} or more, got {refits}.")
    check_level(level)
    check_seed(random_state)
    if max_rows is not None:
        check_count("max_rows", max_rows)
    for needed in ("fit", "get_params", "contributions"):
        if not hasattr(model, needed):
            raise ModelError(
                f"expected an estimator with {needed}, got {type(model).__name__}, which cannot "
                "be refitted and explained."
            )
    rows = X if explained is None else explained
    if not len(X) or not len(rows):
        raise EmptyDataError("there are no rows to learn from or to explain.")
    missing = [name for name in X.columns if name not in rows.columns]
    if missing:
        raise DataError(f"explained lacks {len(missing)} columns of X: {missing[:5]}.")
    known = {**origins_of(X), **(origins or {})}
    of_columns = {str(name): known[str(name)] for name in X.columns}
    groupings: dict[str, list[str]] = {
        what: group_names(of_columns, what) for what in FIELDS + FILTERS
    }
    sizes, groups, said = measure_refits(
        model,
        X,
        y,
        sample_weight,
        rows[list(X.columns)],
        groupings,
        refits=refits,
        effort=effort,
        max_rows=max_rows,
        random_state=random_state,
        n_jobs=n_jobs,
    )
    return DriverStability(sizes, groups, of_columns, level, said)
