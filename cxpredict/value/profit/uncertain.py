"""Terms of an offer that are not known for sure: quantiles and draws of the gain."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from cxpredict.data.checks import Floats, check_level, common_index, in_range
from cxpredict.errors import DataError
from cxpredict.value.profit.acceptance import Beta, one_acceptance
from cxpredict.value.profit.terms import read_terms, tails

_DRAWS = 4096
_CELLS_PER_BLOCK = 200_000


@dataclass(frozen=True)
class UncertainTerms:
    """Terms of every customer, and how far off they may be.

    Parameters
    ----------
    p, v, d, f, psi : ndarray of float, shape (n,)
        As in `expected_gain`.
    acceptance : Beta or float
        Of all customers.
    p_interval, v_interval : ndarray of float, shape (n, 2), or None
        Low and high of probabilities and values; None where they count as known.
    level : float
        Level of these intervals.
    """

    p: Floats
    v: Floats
    d: Floats
    f: Floats
    psi: Floats
    acceptance: Any
    p_interval: Floats | None
    v_interval: Floats | None
    level: float

    @property
    def known(self) -> bool:
        """Whether acceptance alone is uncertain."""
        return self.p_interval is None and self.v_interval is None

    def at_estimates(self) -> Floats:
        """Compute the expected gain of each customer."""
        gain: Floats = self.gain(np.zeros((1, 3)), np.array([one_acceptance(self.acceptance)]))[0]
        return gain

    def gain(self, shocks: Floats, gamma: Floats) -> Floats:
        """Compute expected gains, draws × customers."""
        p, v = self._off(shocks)
        gained: Floats = p * gamma[:, None] * (v - self.d) - (1 - p) * self.psi * self.d - self.f
        return gained

    def ends(self) -> tuple[Floats, Floats, Floats]:
        """Find low and high of each gain, and the probability that it is positive."""
        return self._exact() if self.known else self._simulated()

    def _exact(self) -> tuple[Floats, Floats, Floats]:
        ends = self.gain(np.zeros((2, 3)), np.array(self.acceptance.interval(self.level)))
        slope, fixed = self.p * (self.v - self.d), (1 - self.p) * self.psi * self.d + self.f
        rises = slope > 0
        least = np.where(rises, fixed / np.where(rises, slope, 1.0), np.inf)
        return ends.min(axis=0), ends.max(axis=0), self.acceptance.above(least)

    def _simulated(self) -> tuple[Floats, Floats, Floats]:
        shocks, gamma = self._draws()
        size = max(1, _CELLS_PER_BLOCK // _DRAWS)
        parts = []
        for start in range(0, len(self.p), size):
            gains = self._rows(slice(start, start + size)).gain(shocks, gamma)
            parts.append([*np.quantile(gains, tails(self.level), axis=0), (gains > 0).mean(axis=0)])
        low, high, positive = np.concatenate(parts, axis=1) if parts else np.empty((3, 0))
        return low, high, positive

    def totals(self) -> tuple[Floats, Floats, Floats]:
        """Draw expected totals, the variance of outcomes around each, and normal chance."""
        shocks, gamma = self._draws()
        parts = [self._sums(shocks[rows], gamma[rows]) for rows in self._blocks()]
        total, variance = (np.concatenate(part) for part in zip(*parts, strict=True))
        return total, variance, shocks[:, 2]

    def _sums(self, shocks: Floats, gamma: Floats) -> tuple[Floats, Floats]:
        p, v = self._off(shocks)
        leaver, stayer = p * (v - self.d), (1 - p) * self.psi * self.d
        total = gamma * leaver.sum(axis=1) - stayer.sum(axis=1) - self.f.sum()
        squares = gamma * (leaver * (v - self.d)).sum(axis=1) + (stayer * self.d).sum(axis=1)
        means = gamma**2 * (leaver**2).sum(axis=1) - 2 * gamma * (leaver * stayer).sum(axis=1)
        variance = squares - means - (stayer**2).sum(axis=1)
        return total, np.maximum(variance, 0.0)

    def _blocks(self) -> Iterator[slice]:
        size = _DRAWS if self.known else max(1, _CELLS_PER_BLOCK // max(1, len(self.p)))
        for start in range(0, _DRAWS, size):
            yield slice(start, start + size)

    def _off(self, shocks: Floats) -> tuple[Floats, Floats]:
        """Move probabilities and values off; a shock of the quantile reaches the end."""
        unit = float(stats.norm.ppf((1 + self.level) / 2))
        p = _moved(self.p, self.p_interval, shocks[:, :1] / unit)
        return np.clip(p, 0.0, 1.0), _moved(self.v, self.v_interval, shocks[:, 1:2] / unit)

    def _draws(self) -> tuple[Floats, Floats]:
        uniform = stats.qmc.Sobol(4, rng=0).random(_DRAWS)
        shocks = stats.norm.ppf(uniform[:, 1:])
        if isinstance(self.acceptance, Beta):
            return shocks, self.acceptance.quantile(uniform[:, 0])
        return shocks, np.full(_DRAWS, one_acceptance(self.acceptance))

    def _rows(self, rows: slice) -> "UncertainTerms":
        own = {name: getattr(self, name)[rows] for name in ("p", "v", "d", "f", "psi")}
        return UncertainTerms(
            **own,
            acceptance=self.acceptance,
            p_interval=None if self.p_interval is None else self.p_interval[rows],
            v_interval=None if self.v_interval is None else self.v_interval[rows],
            level=self.level,
        )


def read_uncertain(
    p: Any, value: Any, incentive: Any, contact_cost: Any, acceptance: Any, stayers: Any,
    p_interval: Any, v_interval: Any, level: float,
) -> tuple[Any, UncertainTerms]:  # fmt: skip
    """Check terms and intervals; return their index and their numbers, one per customer."""
    one_acceptance(acceptance)
    if not isinstance(acceptance, Beta) and p_interval is None and v_interval is None:
        raise DataError(
            "acceptance: expected a distribution such as Beta(6, 14), or an interval of the "
            "probabilities or values. With everything known use expected_gain."
        )
    _, arrays = read_terms(
        churn_probability=p,
        value=value,
        incentive=incentive,
        contact_cost=contact_cost,
        stayer_acceptance=stayers,
    )
    given = {"churn_probability": p, "value": value, "incentive": incentive,
             "contact_cost": contact_cost, "stayer_acceptance": stayers,
             "probability_interval": p_interval, "value_interval": v_interval}  # fmt: skip
    index = common_index(**given)
    shape = np.broadcast_shapes(*(array.shape for array in arrays)) or (1,)
    chance, v, d, f, psi = (np.broadcast_to(array, shape) for array in arrays)
    return index, UncertainTerms(
        chance, v, d, f, psi, acceptance,
        _interval("probability_interval", p_interval, chance, 0.0, 1.0),
        _interval("value_interval", v_interval, v),
        check_level(level),
    )  # fmt: skip


def _interval(
    name: str, given: Any, middle: Floats, least: float = -np.inf, most: float = np.inf
) -> Floats | None:
    if given is None:
        return None
    ends = in_range(name, given, least, most)
    if ends.shape != (len(middle), 2):
        raise DataError(
            f"{name}: expected low and high of each of {len(middle)} customers, got shape "
            f"{ends.shape}."
        )
    outside = (ends[:, 0] > middle + 1e-9) | (ends[:, 1] < middle - 1e-9)
    if outside.any():
        raise DataError(
            f"{name}: {int(outside.sum())} of {len(middle)} intervals do not hold their estimate, "
            f"first at row {int(np.flatnonzero(outside)[0])}. Give low and high of the same "
            "customers, in the same order."
        )
    return ends


def _moved(middle: Floats, ends: Floats | None, by: Floats) -> Floats:
    if ends is None:
        return middle[None, :]
    moved: Floats = middle + np.where(
        by < 0, by * (middle - ends[:, 0]), by * (ends[:, 1] - middle)
    )
    return moved
