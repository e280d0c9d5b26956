"""Bootstrap by customer: the same draws for every model and segment, and intervals from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit

from cxpredict.errors import ModelError
from cxpredict.models.calibration.logistic import platt
from cxpredict.models.evaluation import metrics
from cxpredict.models.resampling import bootstrap_counts

__all__ = ["BinaryMeasure", "Bootstrap", "Sample", "largest"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Measure = Callable[[Floats], dict[str, Floats]]
Key = TypeVar("Key")

N_BINS = 15
_CELLS_PER_BLOCK = 200_000
_RECENTRED = ("ece", "brier_reliability", "brier_resolution", "brier_within_bins")
_NOT_NEGATIVE = ("ece", "brier_reliability", "brier_resolution")


@dataclass(frozen=True)
class Sample:
    """A metric on all rows, and on each bootstrap sample (NaN where it is not defined)."""

    name: str
    estimate: float
    drawn: Floats

    def __sub__(self, other: Sample) -> Sample:
        return Sample(self.name, self.estimate - other.estimate, self.drawn - other.drawn)

    @property
    def directed(self) -> bool:
        """Whether one direction of the metric is better."""
        return self.name in metrics.SIGN

    @property
    def loss(self) -> Sample:
        """The same, turned so that less is better."""
        value = float(metrics.loss(self.name, np.asarray(self.estimate)))
        return Sample(self.name, value, metrics.loss(self.name, self.drawn))

    def interval(self, level: float, *, difference: bool = False) -> tuple[float, float]:
        """Give the percentile interval, widened where it would leave its estimate out."""
        drawn = self.drawn[np.isfinite(self.drawn)]
        if not len(drawn):
            return np.nan, np.nan
        if self.name in _RECENTRED:
            drawn = drawn - drawn.mean() + self.estimate
        if self.name in _NOT_NEGATIVE and not difference:
            drawn = np.maximum(drawn, 0.0)
        low, high = np.quantile(drawn, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        return float(min(low, self.estimate)), float(max(high, self.estimate))


@dataclass(frozen=True)
class Bootstrap:
    """Settings of a bootstrap by customer.

    Attributes
    ----------
    weight : ndarray of float, shape (n,)
        Weights of the rows.
    customer : ndarray of int, shape (n,)
        Customer of each row.
    level : float
        Confidence level, inside (0, 1).
    n_draws, random_state : int
        Number of samples and seed.
    """

    weight: Floats
    customer: Ints
    level: float
    n_draws: int
    random_state: int

    def __post_init__(self) -> None:
        if not 0.0 < self.level < 1.0:
            raise ModelError(f"level must be between 0 and 1, for example .95; got {self.level}.")
        if self.n_draws < 1:
            raise ModelError(f"n_bootstrap must be 1 or more, for example 300; got {self.n_draws}.")
        if len(np.unique(self.customer)) < 2:
            raise ModelError("An interval needs at least 2 customers; there is 1.")

    def run(self, measures: Mapping[Key, Measure]) -> dict[Key, dict[str, Sample]]:
        """Take every measure of the rows and of the same samples of customers.

        Parameters
        ----------
        measures : mapping of key to callable
            Each maps masses of the rows, shape (draws, n), to metrics of shape (draws,).

        Returns
        -------
        dict of key to dict of str to Sample
        """
        rng = np.random.default_rng(self.random_state)
        counts = bootstrap_counts(self.customer, n_draws=self.n_draws, rng=rng)
        first = {key: measure(self.weight[None, :]) for key, measure in measures.items()}
        drawn: dict[Key, dict[str, list[Floats]]] = {
            key: {name: [] for name in values} for key, values in first.items()
        }
        block = max(1, _CELLS_PER_BLOCK // len(self.weight))
        for start in range(0, self.n_draws, block):
            size = min(block, self.n_draws - start)
            mass = np.array([next(counts) for _ in range(size)]) * self.weight
            for key, measure in measures.items():
                for name, values in measure(mass).items():
                    drawn[key][name].append(values)
        return {
            key: {
                name: Sample(name, float(value[0]), np.concatenate([*drawn[key][name], []]))
                for name, value in values.items()
            }
            for key, values in first.items()
        }


class BinaryMeasure:
    """Metrics of a probability on some of the rows, for many masses at once.

    Parameters
    ----------
    event, probability, weight : ndarray of float, shape (n,)
        Outcome 0 or 1, prediction and weight of all rows.
    rows : ndarray of int, optional
        Positions of the rows to measure; by default all.
    capacity : float in (0, 1], optional
        Share of the rows that can be contacted.

    Examples
    --------
    >>> half = BinaryMeasure(np.array([0.0, 1.0]), np.array([0.2, 0.9]), np.ones(2))
    >>> half(np.ones((1, 2)))["roc_auc"].tolist()
    [1.0]
    """

    def __init__(
        self,
        event: Floats,
        probability: Floats,
        weight: Floats,
        rows: Ints | None = None,
        capacity: float | None = None,
    ) -> None:
        self._rows, self._capacity = rows, capacity
        if rows is not None:
            event, probability, weight = event[rows], probability[rows], weight[rows]
        self._event = event
        self._distinct, self._cell = np.unique(probability, return_inverse=True)
        self._bins = metrics.equal_mass_bins(self._cell, weight, N_BINS)
        positive, total = self._cells(weight[None, :])
        self._start = _recalibration_start(self._distinct, positive, total)

    def __call__(self, mass: Floats) -> dict[str, Floats]:
        """Give every metric for masses of all rows, shape (draws, n)."""
        positive, total = self._cells(mass if self._rows is None else mass[:, self._rows])
        return metrics.binary(
            self._distinct,
            positive,
            total,
            bins=self._bins,
            start=self._start,
            capacity=self._capacity,
        )

    def _cells(self, mass: Floats) -> tuple[Floats, Floats]:
        n = len(self._distinct)
        sums = [
            np.array([np.bincount(self._cell, row, minlength=n) for row in part])
            for part in (mass * self._event, mass)
        ]
        return sums[0], sums[1]


def _recalibration_start(p: Floats, positive: Floats, total: Floats) -> Floats:
    """Recalibrate on all rows, safely: Newton's bare steps for the draws start from here."""
    if not 0.0 < positive.sum() < total.sum():
        return np.array([0.0, 0.0, 1.0])
    x = logit(p.clip(1e-9, 1.0 - 1e-9))

    def gap(shift: float) -> float:
        return float(np.sum(total * expit(x + shift) - positive))

    shift = brentq(gap, -60.0, 60.0)
    return np.array([shift, *platt(x, positive, total, penalty=1e-3)[0]])


def largest(samples: Sequence[Sample], level: float) -> tuple[int, float, float, float]:
    """Find the largest of several quantities, with an interval that knows it was chosen.

    Parameters
    ----------
    samples : sequence of Sample
        The quantities, from the same bootstrap draws.
    level : float
        Confidence level.

    Returns
    -------
    tuple of (position, estimate, low, high)
        Which one is largest, its estimate, and the interval of the largest true quantity. Those
        that are not finite (such as the slope of a constant) cannot be ranked and are left out;
        where none is finite, the position is 0 and all else missing.

    Notes
    -----
    Simultaneous bands: with c the `level` quantile over draws of maxₛ |d*ₛ − mean d*ₛ| / seₛ, all
    true quantities lie in dₛ ± c·seₛ together with that probability; so the largest of them lies
    in [maxₛ (dₛ − c·seₛ), maxₛ (dₛ + c·seₛ)]. Conservative where one stands out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> two = [Sample("x", 0.0, rng.normal(0, 1, 999)), Sample("x", 1.0, rng.normal(1, 1, 999))]
    >>> place, estimate, low, high = largest(two, 0.95)
    >>> place, estimate, bool(-1.5 < low < -1.0 < 3.0 < high < 3.5)    # c is near 2.24, not 1.96
    (1, 1.0, True)
    """
    ranked = [place for place, sample in enumerate(samples) if np.isfinite(sample.estimate)]
    if not ranked:
        return 0, np.nan, np.nan, np.nan
    estimate = np.array([samples[place].estimate for place in ranked])
    drawn = np.array([samples[place].drawn for place in ranked])
    drawn = drawn[:, np.isfinite(drawn).all(axis=0)]
    first = int(np.argmax(estimate))
    place = ranked[first]
    if drawn.shape[1] < 2:
        return place, float(estimate[first]), np.nan, np.nan
    error = drawn.std(axis=1, ddof=1)
    away = (
        np.abs(drawn - drawn.mean(axis=1, keepdims=True)) / np.where(error > 0, error, 1.0)[:, None]
    )
    reach = float(np.quantile(away.max(axis=0), level)) * error
    return (
        place,
        float(estimate[first]),
        float((estimate - reach).max()),
        float((estimate + reach).max()),
    )
