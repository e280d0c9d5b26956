"""Posterior of an NPS under Jeffreys' prior, by quadrature: no draws, the same on every machine."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import interpolate, optimize, special, stats

from cxpredict.data.checks import Floats

_ODDS = special.expit(np.linspace(-12.0, 12.0, 241))
_MASS = _ODDS * (1 - _ODDS) / (_ODDS * (1 - _ODDS)).sum()
_COARSE = slice(None, None, 3)
_REACH = np.linspace(-9.0, 9.0, 301)


@dataclass(frozen=True)
class Posterior:
    """Distribution of p − d, with (p, q, d) ~ Dirichlet(promoters, passives, detractors).

    Parameters
    ----------
    promoters, passives, detractors : float
        Counts of answers plus ½.

    Notes
    -----
    s = p + d and u = p / s are independent Beta variables, and p − d = s(2u − 1). Integrals over
    either are sums over its quantiles, evenly spaced in log-odds.
    """

    promoters: float
    passives: float
    detractors: float

    @classmethod
    def of(cls, shares: list[float], n: float) -> "Posterior":
        """Return the posterior after n answers with these shares."""
        return cls(*(n * share + 0.5 for share in shares))

    @property
    def sd(self) -> float:
        """Standard deviation."""
        total = self.promoters + self.passives + self.detractors
        mean, decided = ((self.promoters + sign * self.detractors) / total for sign in (-1, 1))
        return float(np.sqrt((decided - mean**2) / (total + 1)))

    def below(self, limit: Any) -> Floats:
        """Return the probability below each limit."""
        u = (np.divide.outer(limit, self._decided) + 1) / 2
        cdf = special.betainc(self.promoters, self.detractors, np.clip(u, 0.0, 1.0))
        return np.asarray(cdf @ _MASS)

    def quantile(self, at: float) -> float:
        """Return a quantile."""
        return float(optimize.brentq(lambda t: float(self.below(t)) - at, -1, 1, xtol=1e-8))

    def minus(self, other: "Posterior") -> Any:
        """Return the distribution function of this NPS minus an independent other one.

        Mean of integrating over either, so that exchanging the two only turns the sign.
        """
        one, two = self._minus(other), other._minus(self)
        return lambda limit: (one(limit) + 1 - two(-limit)) / 2

    def _minus(self, other: "Posterior") -> Any:
        liking = stats.beta.ppf(_ODDS[_COARSE], self.promoters, self.detractors)
        points = np.outer(self._decided[_COARSE], 2 * liking - 1)
        mass = np.outer(_MASS[_COARSE], _MASS[_COARSE])
        mass /= mass.sum()
        return lambda limit: float(1 - (mass * other._below_quickly(points - limit)).sum())

    @cached_property
    def _decided(self) -> Floats:
        return np.asarray(stats.beta.ppf(_ODDS, self.promoters + self.detractors, self.passives))

    @cached_property
    def _table(self) -> Any:
        total = self.promoters + self.passives + self.detractors
        mean = (self.promoters - self.detractors) / total
        at = np.unique(np.clip(mean + self.sd * _REACH, -1, 1))
        return interpolate.PchipInterpolator(at, self.below(at))

    def _below_quickly(self, limits: Floats) -> Any:
        at = self._table.x
        return self._table(np.clip(limits, at[0], at[-1]))
