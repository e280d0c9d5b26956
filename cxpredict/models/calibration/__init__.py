"""From margins to probabilities: calibration chosen by cross-fitted log loss, with intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from cxpredict.errors import ModelError
from cxpredict.models.calibration.curves import (
    METHODS,
    Binned,
    Curve,
    Method,
    equal_mass,
    fit_curve,
    platt_lines,
)
from cxpredict.models.resampling import bootstrap_counts, grouped_folds

__all__ = ["Calibration", "fit_calibration"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

N_DRAWS = 200
N_GRID = 41
FEW_ROWS = 3_000
_PRICE = 0.5
"""Log-likelihood that each step of complexity must gain over the held-out rows."""


@dataclass(frozen=True)
class Calibration:
    """A strictly increasing map from margin to probability, as plain numbers.

    Parameters
    ----------
    method : {"none", "platt", "beta", "isotonic", "venn_abers"}
        How the map was found.
    knots, log_odds : tuple of float
        Margins and calibrated log-odds at them. Linear in between, and beyond the ends with
        slope `tail_slope`.
    tail_slope : float
        Slope of the log-odds outside the knots, above 0.
    grid : tuple of float
        Margins at which the bootstrapped maps are stored.
    draws : tuple of tuple of float, shape (n_draws, len(grid))
        Log-odds of bootstrapped maps minus those of this map, sorted at each margin.
    """

    method: Method
    knots: tuple[float, ...]
    log_odds: tuple[float, ...]
    tail_slope: float
    grid: tuple[float, ...] = ()
    draws: tuple[tuple[float, ...], ...] = ()

    def probability(self, margin: Floats) -> Floats:
        """Return the calibrated probability of each margin."""
        return np.asarray(expit(self._log_odds(margin)), dtype=np.float64)

    def interval(self, margin: Floats, *, level: float = 0.95) -> Floats:
        """Return low and high of each probability, shape (n, 2).

        Parameters
        ----------
        margin : ndarray of float, shape (n,)
            Margins before calibration.
        level : float
            Confidence level, inside (0, 1).

        Returns
        -------
        ndarray of float, shape (n, 2)
            Percentile interval over the stored bootstrap draws; contains the probability.
        """
        if not 0.0 < level < 1.0:
            raise ModelError(f"level must be between 0 and 1, for example .95; got {level}.")
        tails = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
        at_grid = np.quantile(np.array(self.draws), tails, axis=0)
        centre = self._log_odds(margin)
        low = centre + np.minimum(np.interp(margin, self.grid, at_grid[0]), 0.0)
        high = centre + np.maximum(np.interp(margin, self.grid, at_grid[1]), 0.0)
        return np.column_stack([expit(low), expit(high)])

    def to_state(self) -> dict[str, Any]:
        """Return the map as lists, strings and numbers."""
        return {
            "method": self.method,
            "knots": list(self.knots),
            "log_odds": list(self.log_odds),
            "tail_slope": self.tail_slope,
            "grid": list(self.grid),
            "draws": [list(draw) for draw in self.draws],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Calibration:
        """Rebuild a map from `to_state`."""
        return cls(
            method=state["method"],
            knots=tuple(state["knots"]),
            log_odds=tuple(state["log_odds"]),
            tail_slope=state["tail_slope"],
            grid=tuple(state["grid"]),
            draws=tuple(tuple(draw) for draw in state["draws"]),
        )

    def _log_odds(self, margin: Floats) -> Floats:
        return Curve(np.array(self.knots), np.array(self.log_odds), self.tail_slope).at(margin)


def fit_calibration(
    margin: Floats,
    y: Floats,
    groups: Ints,
    *,
    weight: Floats,
    rng: np.random.Generator,
    with_draws: bool = True,
) -> Calibration:
    """Choose and fit the map from out-of-fold margins to probabilities.

    Parameters
    ----------
    margin : ndarray of float, shape (n,)
        Out-of-fold log-odds: each from a model that has not seen the row's customer.
    y : ndarray of {0., 1.}, shape (n,)
        Target.
    groups : ndarray of int, shape (n,)
        Customer of each row.
    weight : ndarray of float, shape (n,)
        Sample weights, mean 1.
    rng : numpy.random.Generator
        Source of folds and bootstrap draws.
    with_draws : bool, default True
        Store the bootstrap draws that `Calibration.interval` needs.

    Returns
    -------
    Calibration
        The map with the lowest cross-fitted log loss among none (margins are log-odds already),
        Platt scaling, beta calibration, isotonic regression and, under 3,000 rows, Venn-Abers;
        fitted on all rows. A more complex map must gain half a unit of log-likelihood.

    Notes
    -----
    Platt scaling is shrunk towards no change by a penalty worth one observation. The isotonic map
    joins the means of its blocks on the log-odds scale, so that it never ties what the margin
    tells apart. The interval comes from refitting the map on bootstrap samples of customers: it
    holds the uncertainty of the map, not that of the margin itself.

    References
    ----------
    Platt (1999), Probabilistic outputs for support vector machines.
    Kull, Silva Filho, Flach (2017), Beta calibration.
    Vovk, Petej (2014), Venn-Abers predictors.
    Zadrozny, Elkan (2002), Transforming classifier scores into accurate multiclass probabilities.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> margin = rng.normal(size=2000)
    >>> y = (rng.random(2000) < expit(0.5 * margin)).astype(float)  # margins twice too far out
    >>> fitted = fit_calibration(margin, y, np.arange(2000), weight=np.ones(2000), rng=rng)
    >>> p = float(fitted.probability(np.array([2.0]))[0])           # the truth is .73
    >>> bool(0.68 < p < 0.78)
    True
    """
    bins = equal_mass(margin)
    table = Binned.of(bins, margin, y, weight)
    method = _choose(margin, y, groups, weight, rng)
    curve = fit_curve(method, table)
    fitted = Calibration(
        method, tuple(curve.knots.tolist()), tuple(curve.log_odds.tolist()), curve.tail_slope
    )
    if not with_draws:
        return fitted
    grid = np.unique(np.quantile(margin, np.linspace(0.0, 1.0, N_GRID)))
    counts = bootstrap_counts(groups, n_draws=N_DRAWS, rng=rng)
    drawn = [Binned.of(bins, margin, y, weight * count) for count in counts]
    spread = np.sort(_redrawn(method, table, drawn, grid), axis=0)
    return replace(
        fitted, grid=tuple(grid.tolist()), draws=tuple(tuple(row) for row in spread.tolist())
    )


def _redrawn(method: Method, table: Binned, drawn: list[Binned], grid: Floats) -> Floats:
    """Log-odds at the grid from each bootstrap sample, less those of all rows."""
    if method in ("none", "platt"):
        # A map left as it is was estimated all the same: Platt scaling shows how surely.
        positive, total = (
            np.array([getattr(d, name) for d in drawn]) for name in ("positive", "total")
        )
        lines = platt_lines(table.margin, positive, total)
        centre = fit_curve("platt", table).at(grid)
        return np.asarray(lines[:, :1] + lines[:, 1:] * grid - centre)
    # The truth was no line: steps, which assume the least, show how surely it is known.
    centre = fit_curve(method, table).at(grid)
    return np.array([fit_curve("isotonic", again).at(grid) - centre for again in drawn])


def _choose(
    margin: Floats, y: Floats, groups: Ints, weight: Floats, rng: np.random.Generator
) -> Method:
    """Return the method with the lowest cross-fitted log loss; a simpler one if it is near."""
    n_folds = min(5, len(np.unique(groups)))
    fold = grouped_folds(y, groups, n_folds=n_folds, rng=rng)
    # Steps averaged over both outcomes differ from plain steps only where rows are few.
    methods = METHODS if len(y) < FEW_ROWS else METHODS[:-1]
    loss = np.zeros(len(methods))
    for k in range(n_folds):
        train, test = fold != k, fold == k
        bins = equal_mass(margin[train])
        table = Binned.of(bins, margin[train], y[train], weight[train])
        for i, method in enumerate(methods):
            log_odds = fit_curve(method, table).at(margin[test])
            row_loss = np.logaddexp(0.0, log_odds) - y[test] * log_odds
            loss[i] += float(weight[test] @ row_loss)
    worth = loss + _PRICE * np.arange(len(methods))
    return methods[int(np.argmin(worth))]
