"""What customers are expected to bring, how surely that is known, and what may come of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from cxpredict.data.checks import check_level
from cxpredict.value.lifetime.target import Floats

_BINS = 20
_DRAWS = 4000


@dataclass(frozen=True)
class Chance:
    """How far what customers brought lies from what was expected of them.

    Parameters
    ----------
    edges : ndarray of float, shape (bins − 1,)
        Values that part the bins.
    residuals : list of ndarray of float
        Per bin, held-out realised less expected value of customers observed to the horizon,
        centred.
    weights : list of ndarray of float
        Per bin, the share of each residual.
    """

    edges: Floats
    residuals: list[Floats]
    weights: list[Floats]

    def draw(self, value: Floats, rng: np.random.Generator) -> Floats:
        """Draw what the total of these customers may differ from its expectation."""
        counts = np.bincount(
            np.searchsorted(self.edges, value, side="right"), minlength=len(self.residuals)
        )
        total = np.zeros(_DRAWS)
        for n, residual, weight in zip(counts, self.residuals, self.weights, strict=True):
            if n:
                total += rng.multinomial(n, weight, size=_DRAWS) @ residual
        return total


def learn_chance(value: Floats, residual: Floats, weight: Floats) -> Chance:
    """Part residuals into bins of like value, at least 20 in each."""
    order = np.argsort(value, kind="stable")
    parts = np.array_split(order, max(1, min(_BINS, len(value) // 20)))
    edges = np.array([value[part[0]] for part in parts[1:]])
    shares = [weight[part] / weight[part].sum() for part in parts]
    centred = [
        residual[part] - share @ residual[part] for part, share in zip(parts, shares, strict=True)
    ]
    return Chance(edges, centred, shares)


@dataclass(frozen=True)
class Drift:
    """How much dates differ from each other beyond chance.

    Parameters
    ----------
    spread : float
        Standard deviation of realised ÷ expected margin between dates and periods.
    seasons : int
        Periods side by side that the training dates and their horizons cover.
    """

    spread: float
    seasons: int


@dataclass(frozen=True, eq=False)
class ValueForecast:
    """Expected discounted margin of customers over the horizon of a `CustomerValueModel`.

    Parameters
    ----------
    value : Series
        Expected value of each customer, in money of the date of X.
    survival : DataFrame
        Per period, the probability to be still a customer at its end (``churn="event"``) or to be
        active in it (``"silence"``); columns 1 … K.
    margin : DataFrame
        Per period, the expected margin, absence included, not discounted; columns 1 … K.
    gradient : ndarray of float, shape (n, K)
        What the value changes by if a period's calibration does.
    covariance : ndarray of float, shape (K, K)
        Of the calibrations, by customer.
    members : ndarray of float, shape (M, n)
        Value of each customer by each member, all brought to the same mean in training.
    chance : Chance
        Spread of what came about what was expected.
    drift : Drift or None
        Differences between dates; None where all training rows have one date, or none.
    seed : int
        Of the draws.
    lowest : float
        No interval reaches below: 0 where no margin was negative, else minus infinity.
    """

    value: pd.Series
    survival: pd.DataFrame
    margin: pd.DataFrame
    gradient: Floats
    covariance: Floats
    members: Floats
    chance: Chance
    drift: Drift | None
    seed: int
    lowest: float = -np.inf

    def table(self, *, level: float = 0.95) -> pd.DataFrame:
        """Return each customer's expected value with an interval of this expectation.

        Parameters
        ----------
        level : float in (0, 1), default 0.95
            Confidence level.

        Returns
        -------
        DataFrame
            Index of X: value, low, high.

        Notes
        -----
        The interval says how surely the *expectation* is known: it holds the sampling error of the
        calibration and of the trees (delete-a-group jackknife over the members). It does not say
        within which limits the margin of one customer will lie, which is far wider, nor does it
        hold what trees smooth away.
        """
        variance = np.einsum("ik,kl,il->i", self.gradient, self.covariance, self.gradient)
        error = _normal(level) * np.sqrt(variance + _jackknife(self.members))
        value = self.value.to_numpy()
        columns = {
            "value": value,
            "low": np.maximum(value - error, self.lowest),
            "high": value + error,
        }
        return pd.DataFrame(columns, index=self.value.index)

    def total(self, *, level: float = 0.95) -> pd.DataFrame:
        """Return the total over all customers, as expected and as it may be realised.

        Parameters
        ----------
        level : float in (0, 1), default 0.95
            Level of the intervals.

        Returns
        -------
        DataFrame
            Rows ``expected`` and ``realised``; columns total, low, high. ``expected``: confidence
            interval of the expected total. ``realised``: prediction interval of what the customers
            will bring, with the chance of each and, where training dates differ, their drift.

        Notes
        -----
        Customers count as independent given the date. Their chance is drawn from held-out
        residuals of customers of like value, so that heavy tails stay heavy. Drift is taken to
        last for the whole horizon, which is cautious, and multiplies the total. It can only be as
        large as the past dates show: a season that was never seen is not in it.
        """
        z = _normal(level)
        total = float(self.value.sum())
        slope = self.gradient.sum(axis=0)
        composition = float(_jackknife(self.members.sum(axis=1)[:, None])[0])
        error = float(np.sqrt(slope @ self.covariance @ slope + composition))
        rng = np.random.default_rng(self.seed)
        draws = total + self.chance.draw(self.value.to_numpy(), rng)
        draws += error * rng.standard_normal(len(draws))
        if self.drift is not None and self.drift.seasons > 1:
            seasons = self.drift.seasons
            shock = self.drift.spread * np.sqrt(1 + 1 / seasons)
            draws += total * shock * rng.standard_t(seasons - 1, len(draws))
        draws = np.maximum(draws, self.lowest)
        tail = (1 - level) / 2
        low, high = np.quantile(draws, [tail, 1 - tail])
        rows = [(total, max(total - z * error, self.lowest), total + z * error), (total, low, high)]
        return pd.DataFrame(rows, index=["expected", "realised"], columns=["total", "low", "high"])


def _jackknife(members: Floats) -> Floats:
    m = len(members)
    spread: Floats = (m - 1) / m * ((members - members.mean(axis=0)) ** 2).sum(axis=0)
    return spread


def _normal(level: float) -> float:
    level = check_level(level)
    return float(stats.norm.ppf((1 + level) / 2))
