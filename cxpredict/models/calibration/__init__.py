"""From margins to probabilities: calibration chosen by cross-fitted log loss, with intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit
from sklearn.isotonic import isotonic_regression

from cxpredict.errors import ModelError
from cxpredict.models.calibration.logistic import platt
from cxpredict.models.resampling import bootstrap_counts, grouped_folds

__all__ = ["Calibration", "fit_calibration"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Method = Literal["none", "platt", "isotonic"]

N_DRAWS = 200
N_GRID = 41
N_BINS = 256
_MIN_SLOPE = 0.01


@dataclass(frozen=True)
class Calibration:
    """A strictly increasing map from margin to probability, as plain numbers.

    Parameters
    ----------
    method : {"none", "platt", "isotonic"}
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
        inside = np.interp(margin, self.knots, self.log_odds)
        below = np.minimum(margin - self.knots[0], 0.0)
        above = np.maximum(margin - self.knots[-1], 0.0)
        return np.asarray(inside + self.tail_slope * (below + above), dtype=np.float64)


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
        Platt scaling and isotonic regression; fitted on all rows.

    Notes
    -----
    Platt scaling is shrunk towards no change by a penalty worth one observation. The isotonic map
    joins the means of its blocks on the log-odds scale, so that it never ties what the margin
    tells apart. The interval comes from refitting the map on bootstrap samples of customers: it
    holds the uncertainty of the map, not that of the margin itself.

    References
    ----------
    Platt (1999), Probabilistic outputs for support vector machines.
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
    bins = _equal_mass(margin)
    table = _Binned.of(bins, margin, y, weight)
    method = _choose(margin, y, groups, weight, rng)
    fitted = _fit(method, table)
    if not with_draws:
        return fitted
    grid = np.unique(np.quantile(margin, np.linspace(0.0, 1.0, N_GRID)))
    counts = bootstrap_counts(groups, n_draws=N_DRAWS, rng=rng)
    drawn = [_Binned.of(bins, margin, y, weight * count) for count in counts]
    if method == "isotonic":
        log_odds = np.array([_fit(method, again)._log_odds(grid) for again in drawn])
        centre = fitted._log_odds(grid)
    else:
        # A map left as it is was estimated all the same: Platt scaling shows how surely.
        log_odds = _redrawn_platt(table, drawn, grid)
        centre = _fit("platt", table)._log_odds(grid)
    spread = np.sort(log_odds - centre, axis=0)
    return replace(
        fitted, grid=tuple(grid.tolist()), draws=tuple(tuple(row) for row in spread.tolist())
    )


def _equal_mass(margin: Floats) -> Ints:
    edges = np.unique(np.quantile(margin, np.linspace(0.0, 1.0, N_BINS + 1)[1:-1]))
    _, bins = np.unique(np.searchsorted(edges, margin, side="right"), return_inverse=True)
    return np.asarray(bins, dtype=np.intp)


@dataclass(frozen=True)
class _Binned:
    """Margins in bins: mean margin, weight of positives, weight of all; empty bins weigh 0."""

    margin: Floats
    positive: Floats
    total: Floats

    @classmethod
    def of(cls, bins: Ints, margin: Floats, y: Floats, weight: Floats) -> _Binned:
        total: Floats = np.bincount(bins, weight).astype(np.float64)
        positive: Floats = np.bincount(bins, weight * y).astype(np.float64)
        mean = np.bincount(bins, margin) / np.bincount(bins)
        return cls(mean, positive, total)


def _fit(method: Method, table: _Binned) -> Calibration:
    if method == "isotonic":
        return _isotonic(table)
    intercept, slope = (0.0, 1.0)
    if method == "platt":
        intercept, slope = _bounded_platt(table.margin, table.positive[None], table.total[None])[0]
    at = (float(table.margin[0]), float(table.margin[0]) + 1.0)
    line = tuple(float(intercept + slope * m) for m in at)
    return Calibration(method, at, line, float(slope))


def _redrawn_platt(table: _Binned, drawn: list[_Binned], grid: Floats) -> Floats:
    """Log-odds at the grid by Platt scaling of each bootstrap sample, shape (draws, grid)."""
    positive, total = (
        np.array([getattr(d, name) for d in drawn]) for name in ("positive", "total")
    )
    lines = _bounded_platt(table.margin, positive, total)
    return np.asarray(lines[:, :1] + lines[:, 1:] * grid)


def _bounded_platt(margin: Floats, positive: Floats, total: Floats) -> Floats:
    lines = platt(margin, positive, total)
    lines[:, 1] = np.maximum(lines[:, 1], _MIN_SLOPE)
    return lines


def _isotonic(table: _Binned) -> Calibration:
    kept = table.total > 0
    inside = table.margin[kept]
    # One observation against the trend at each end keeps the rates off 0 and 1.
    positive = np.concatenate([[1.0], table.positive[kept], [0.0]])
    total = np.concatenate([[1.0], table.total[kept], [1.0]])
    margin = np.concatenate([inside[:1], inside, inside[-1:]])
    rate = np.asarray(isotonic_regression(positive / total, sample_weight=total))
    block = np.concatenate([[0], np.cumsum(np.diff(rate) > 1e-12)])
    centre = np.bincount(block, total * margin) / np.bincount(block, total)
    level = logit(rate[np.concatenate([[True], np.diff(block) > 0])].clip(1e-9, 1 - 1e-9))
    slope = _bounded_platt(table.margin, table.positive[None], table.total[None])[0, 1]
    return Calibration("isotonic", tuple(centre.tolist()), tuple(level.tolist()), float(slope))


def _choose(
    margin: Floats, y: Floats, groups: Ints, weight: Floats, rng: np.random.Generator
) -> Method:
    """Return the method with the lowest cross-fitted log loss; the simplest of equals."""
    n_folds = min(5, len(np.unique(groups)))
    fold = grouped_folds(y, groups, n_folds=n_folds, rng=rng)
    methods: tuple[Method, ...] = ("none", "platt", "isotonic")
    loss = np.zeros(len(methods))
    for k in range(n_folds):
        train, test = fold != k, fold == k
        bins = _equal_mass(margin[train])
        table = _Binned.of(bins, margin[train], y[train], weight[train])
        for i, method in enumerate(methods):
            log_odds = _fit(method, table)._log_odds(margin[test])
            row_loss = np.logaddexp(0.0, log_odds) - y[test] * log_odds
            loss[i] += float(weight[test] @ row_loss)
    return methods[int(np.argmin(loss))]
