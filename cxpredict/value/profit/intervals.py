"""How surely the gain of contacting is known: for each customer, and for a campaign."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cxpredict.errors import DataError
from cxpredict.value.checks import Floats, common_index, in_range
from cxpredict.value.profit.acceptance import Beta, one_acceptance
from cxpredict.value.profit.terms import check_level, read_terms

_DRAWS = 4096
_CELLS_PER_BLOCK = 200_000


def gain_interval(
    churn_probability: Any,
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: Any,
    stayer_acceptance: Any = 1.0,
    probability_interval: Any = None,
    value_interval: Any = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return the expected gain of contacting each customer with its interval.

    Parameters
    ----------
    churn_probability, value, incentive, contact_cost, stayer_acceptance
        As in `expected_gain`.
    acceptance : Beta or float in [0, 1]
        Share of would-be leavers who take the offer and stay, the same for all customers. A plain
        number counts as known.
    probability_interval, value_interval : array-like of shape (n, 2), optional
        Low and high of each probability (as from `ChurnModel.predict_interval`) and of each
        value, at the same level. Without them these count as known.
    level : float in (0, 1)
        Probability with which the expected gain lies between `low` and `high`.

    Returns
    -------
    DataFrame
        One row per customer: ``expected_gain``, ``low``, ``high``, ``probability_positive``,
        the probability that contacting pays.

    Raises
    ------
    DataError
        As in `expected_gain`; if an interval does not hold its estimate; or if nothing is
        uncertain, for an interval without width would claim too much.

    Notes
    -----
    If acceptance alone is uncertain, the interval is exact: the gain is linear in it. Else it
    holds the quantiles of 4,096 quasi-random draws (Sobol) of acceptance from its distribution
    and of probability and value from a normal distribution in two pieces, through low, estimate
    and high. Of skewed inputs the expected gain need not be the middle of the interval.

    The interval speaks of the expected gain. Whether one customer leaves or accepts is chance on
    top of it. Gains of different customers depend on one acceptance and must not be added up as
    if they were independent: `campaign_gain` adds.

    Examples
    --------
    >>> gain_interval(
    ...     [0.5, 0.1], value=200.0, incentive=10.0, contact_cost=1.0, acceptance=Beta(6, 14)
    ... ).round(2)
       expected_gain   low   high  probability_positive
    0           22.5  5.95  42.64                  1.00
    1           -4.3 -7.61  -0.27                  0.02
    """
    index, terms = _read(
        churn_probability, value, incentive, contact_cost, acceptance, stayer_acceptance,
        probability_interval, value_interval, level,
    )  # fmt: skip
    if probability_interval is None and value_interval is None:
        low, high, positive = terms.exact(level)
    else:
        low, high, positive = terms.simulated(level)
    table = {
        "expected_gain": terms.gain(np.zeros((1, 3)), np.array([terms.acceptance_mean]))[0],
        "low": low,
        "high": high,
        "probability_positive": positive,
    }
    return pd.DataFrame(table, index=index)


def campaign_gain(
    churn_probability: Any,
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: Any,
    stayer_acceptance: Any = 1.0,
    probability_interval: Any = None,
    value_interval: Any = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Return what a campaign brings in all, with its interval.

    Parameters
    ----------
    churn_probability : float or array-like in [0, 1]
        Calibrated probability to leave of the customers who are contacted, and of no others.
    value, incentive, contact_cost, acceptance, stayer_acceptance
        As in `gain_interval`.
    probability_interval, value_interval, level
        As in `gain_interval`.

    Returns
    -------
    DataFrame
        Rows ``expected`` and ``realised``: ``estimate``, ``low``, ``high``, money in all;
        ``probability_positive``. The expected gain is the mean over customers like these; the
        realised one has the chance of who leaves and who accepts in it.

    Raises
    ------
    DataError
        As in `gain_interval`.

    Notes
    -----
    Quantiles of 4,096 quasi-random draws, in each of which all customers have the same
    acceptance, and probabilities that are all off to the same side by as much of their interval;
    so are values. For acceptance that is what the model says: it does not average out, however
    many are contacted. For probabilities and values it is the cautious choice, exact if one
    common error (such as a base rate that has shifted) makes all of it, and too wide if their
    errors are independent.

    The realised gain adds a normal variable with the variance of the outcomes given the draw,
    Σ[pγ(CLV − d)² + (1 − p)ψd² − (pγ(CLV − d) − (1 − p)ψd)²]: customers leave and accept
    independently, given acceptance. With few customers the true distribution is lumpy.

    Customers chosen because their gain looks high have probabilities that are on average too
    high if these are noisy. The interval does not know of the choice.

    Examples
    --------
    >>> campaign_gain(
    ...     [0.5] * 1000, value=200.0, incentive=10.0, contact_cost=1.0, acceptance=Beta(6, 14)
    ... ).round(-2)[["estimate", "low", "high"]]
              estimate     low     high
    expected   22500.0  6000.0  42600.0
    realised   22500.0  5500.0  43200.0
    """
    _, terms = _read(
        churn_probability, value, incentive, contact_cost, acceptance, stayer_acceptance,
        probability_interval, value_interval, level,
    )  # fmt: skip
    estimate = terms.gain(np.zeros((1, 3)), np.array([terms.acceptance_mean])).sum()
    total, variance, chance = terms.totals()
    realised = total + np.sqrt(variance) * chance
    rows = [
        {
            "estimate": float(estimate),
            **dict(zip(("low", "high"), np.quantile(drawn, _tails(level)), strict=True)),
            "probability_positive": float((drawn > 0).mean()),
        }
        for drawn in (total, realised)
    ]
    return pd.DataFrame(rows, index=["expected", "realised"])


@dataclass(frozen=True)
class _Terms:
    """Terms of every customer, and how far off they may be."""

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
    def acceptance_mean(self) -> float:
        return one_acceptance(self.acceptance)

    def gain(self, shocks: Floats, gamma: Floats) -> Floats:
        """Compute expected gains, draws × customers."""
        p, v = self._off(shocks)
        gained: Floats = p * gamma[:, None] * (v - self.d) - (1 - p) * self.psi * self.d - self.f
        return gained

    def exact(self, level: float) -> tuple[Floats, Floats, Floats]:
        ends = self.gain(np.zeros((2, 3)), np.array(self.acceptance.interval(level)))
        slope, fixed = self.p * (self.v - self.d), (1 - self.p) * self.psi * self.d + self.f
        rises = slope > 0
        least = np.where(rises, fixed / np.where(rises, slope, 1.0), np.inf)
        return ends.min(axis=0), ends.max(axis=0), self.acceptance.above(least)

    def simulated(self, level: float) -> tuple[Floats, Floats, Floats]:
        shocks, gamma = self._draws()
        size = max(1, _CELLS_PER_BLOCK // _DRAWS)
        parts = []
        for start in range(0, len(self.p), size):
            gains = self._rows(slice(start, start + size)).gain(shocks, gamma)
            parts.append([*np.quantile(gains, _tails(level), axis=0), (gains > 0).mean(axis=0)])
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
        known = self.p_interval is None and self.v_interval is None
        size = _DRAWS if known else max(1, _CELLS_PER_BLOCK // max(1, len(self.p)))
        for start in range(0, _DRAWS, size):
            yield slice(start, start + size)

    def _off(self, shocks: Floats) -> tuple[Floats, Floats]:
        """Probabilities and values as far off as the shocks say, in units of half an interval."""
        unit = float(stats.norm.ppf((1 + self.level) / 2))
        p = _moved(self.p, self.p_interval, shocks[:, :1] / unit)
        return np.clip(p, 0.0, 1.0), _moved(self.v, self.v_interval, shocks[:, 1:2] / unit)

    def _draws(self) -> tuple[Floats, Floats]:
        uniform = stats.qmc.Sobol(4, rng=0).random(_DRAWS)
        shocks = stats.norm.ppf(uniform[:, 1:])
        if isinstance(self.acceptance, Beta):
            return shocks, self.acceptance.quantile(uniform[:, 0])
        return shocks, np.full(_DRAWS, self.acceptance_mean)

    def _rows(self, rows: slice) -> "_Terms":
        own = {name: getattr(self, name)[rows] for name in ("p", "v", "d", "f", "psi")}
        return _Terms(
            **own,
            acceptance=self.acceptance,
            p_interval=None if self.p_interval is None else self.p_interval[rows],
            v_interval=None if self.v_interval is None else self.v_interval[rows],
            level=self.level,
        )


def _read(
    p: Any, value: Any, incentive: Any, contact_cost: Any, acceptance: Any, stayers: Any,
    p_interval: Any, v_interval: Any, level: float,
) -> tuple[Any, _Terms]:  # fmt: skip
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
    return index, _Terms(
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


def _tails(level: float) -> list[float]:
    return [(1 - level) / 2, (1 + level) / 2]
