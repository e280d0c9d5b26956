"""Importance–performance analysis: where to concentrate, with how sure each quadrant is."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.checks import check_level, check_seed
from cxpredict.drivers.survey.answers import Floats, moments, read_answers
from cxpredict.drivers.survey.decomposition import (
    MOST_EXACT,
    correlations,
    lmg,
    relative_weights,
)
from cxpredict.drivers.survey.key_drivers import N_DRAWS, Measure, around
from cxpredict.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUADRANTS = ("low priority", "possible overkill", "concentrate here", "keep up the good work")


@dataclass(frozen=True, eq=False)
class ImportancePerformance:
    """Attributes in the quadrants of importance and performance.

    Attributes
    ----------
    table : DataFrame
        One row per attribute; see `importance_performance`.
    importance_cut, performance_cut : float
        Where the quadrants meet: percent of R², and units of the attributes.
    level : float
        Level of the intervals.
    """

    table: pd.DataFrame
    importance_cut: float
    performance_cut: float
    level: float

    def plot(self) -> Figure:
        """Draw the importance–performance map with intervals as error bars.

        Returns
        -------
        matplotlib Figure
        """
        from cxpredict.drivers.survey.plots import map_plot

        return map_plot(
            self.table,
            importance_cut=self.importance_cut,
            performance_cut=self.performance_cut,
            level=self.level,
        )

    def _repr_html_(self) -> str:
        table: str = self.table.to_html(index=False, float_format="{:.2f}".format)
        return table


def importance_performance(
    X: pd.DataFrame,
    y: Any,
    *,
    performance_cut: float | str,
    importance_cut: float | str,
    importance: Measure = "relative_weight",
    weights: Any = None,
    customers: Any = None,
    level: float = 0.95,
    random_state: int = 0,
) -> ImportancePerformance:
    """Place attributes by how much they matter and how well they are rated.

    Parameters
    ----------
    X : DataFrame, shape (n, p)
        Two or more numeric attributes on **one** scale. Incomplete rows are left out.
    y : array-like of numbers, length n
        Outcome.
    performance_cut : float or "mean"
        Where good performance begins: a score, such as the middle of the scale, or the mean over
        the attributes.
    importance_cut : float or "mean"
        From which share of R² (percent) an attribute is important; the mean is 100 / p.
    importance : {"relative_weight", "lmg"}
        Measure of importance.
    weights, customers : array-like, optional
        As in `key_drivers`.
    level : float in (0, 1)
        Level of the intervals.
    random_state : int
        Seed of the bootstrap.

    Returns
    -------
    ImportancePerformance
        Its table: ``attribute``; ``importance`` (percent of R²) and ``performance`` (mean score),
        each with ``_low`` and ``_high``; ``quadrant``; ``same_quadrant_share`` (of bootstrap
        samples of customers that put the attribute into the same quadrant; below about .9 the
        quadrant is not settled).

    Raises
    ------
    DataError
        The answers cannot be analysed, there is one attribute only, or a cut is no number.

    Notes
    -----
    Importance is derived from the outcome, not stated by customers. A cut at the mean always
    leaves some attributes above and some below, however alike they are: `same_quadrant_share` is
    then near chance. The map describes associations; it does not say that lifting an attribute
    lifts the outcome.

    References
    ----------
    Martilla, James (1977): Importance–performance analysis. Journal of Marketing 41, 77–79.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"price": rng.integers(1, 4, 300), "staff": rng.integers(3, 6, 300)})
    >>> y = X["price"] + rng.normal(size=300)
    >>> found = importance_performance(X, y, performance_cut=3, importance_cut="mean")
    >>> found.table[["attribute", "quadrant"]].to_numpy().tolist()
    [['price', 'concentrate here'], ['staff', 'possible overkill']]
    """
    check_level(level)
    check_seed(random_state)
    for name, cut in (("performance_cut", performance_cut), ("importance_cut", importance_cut)):
        number = isinstance(cut, Real) and not isinstance(cut, bool)
        if cut != "mean" and not (number and np.isfinite(float(cut))):
            raise DataError(f"{name}: expected a number or 'mean', got {cut!r}.")
    if importance not in ("relative_weight", "lmg"):
        raise DataError(f"importance: expected 'relative_weight' or 'lmg', got {importance!r}.")
    answers = read_answers(X, y, weights=weights, customers=customers)
    p = len(answers.attributes)
    if p < 2 or (importance == "lmg" and p > MOST_EXACT):
        raise DataError(f"expected 2 attributes or more (for lmg at most {MOST_EXACT}), got {p}.")
    centre = np.average(np.column_stack([answers.x, answers.y]), axis=0, weights=answers.weight)
    values = np.column_stack([np.ones(len(answers.y)), answers.x, answers.y]) - [0.0, *centre]
    total, drawn = moments(
        values, answers.weight, answers.customers, n_draws=N_DRAWS, random_state=random_state
    )
    both = np.concatenate([total[None], drawn])
    shares = (relative_weights if importance == "relative_weight" else lmg)(correlations(both))
    shares = 100 * shares / shares.sum(axis=1, keepdims=True)
    means = centre[:-1] + both[:, 0, 1:-1] / both[:, :1, 0]
    cuts = [
        each.mean(axis=1, keepdims=True) if cut == "mean" else np.full((len(each), 1), float(cut))
        for each, cut in ((shares, importance_cut), (means, performance_cut))
    ]
    quadrant = 2 * (shares >= cuts[0]) + (means >= cuts[1])
    table = pd.DataFrame({"attribute": pd.Series(answers.attributes, dtype="str")})
    for name, each in (("importance", shares), ("performance", means)):
        table[name] = each[0]
        table[f"{name}_low"], table[f"{name}_high"] = _interval(each, level)
    table["quadrant"] = pd.Categorical.from_codes(quadrant[0], categories=list(QUADRANTS))
    table["same_quadrant_share"] = (quadrant[1:] == quadrant[0]).mean(axis=0)
    return ImportancePerformance(table, float(cuts[0][0, 0]), float(cuts[1][0, 0]), level)


def _interval(both: Floats, level: float) -> npt.NDArray[np.float64]:
    return around(both[0], np.quantile(both[1:], [(1 - level) / 2, (1 + level) / 2], axis=0))
