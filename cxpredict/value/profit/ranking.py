"""Customers contacted in the order of a score: the profit at each threshold as a line."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from cxpredict.data.checks import Floats, common_index
from cxpredict.errors import DataError
from cxpredict.value.profit.terms import read_terms
from cxpredict.value.roc import (
    Ints,
    cumulate,
    falling_thresholds,
    outcome_and_score,
    upper_hull,
)


@dataclass(frozen=True)
class Lines:
    """Profit of contacting down to each threshold, as slope·γ + intercept in acceptance γ.

    Parameters
    ----------
    share, slope, intercept : ndarray of float, shape (n_thresholds,)
        Share of customers contacted; money for each customer in the base.
    """

    share: Floats
    slope: Floats
    intercept: Floats

    def best(self, gamma: float) -> int:
        """Position of the highest profit; of equal profits that of the smallest campaign."""
        # Rounded, so that noise of the sums does not choose.
        scale = np.abs(self.slope).max() + np.abs(self.intercept).max()
        digits = 12 - int(np.ceil(np.log10(scale))) if scale > 0 else 12
        return int(np.argmax(np.round(self.at(gamma), digits)))

    def at(self, gamma: float) -> Floats:
        """Profit at each threshold for one acceptance."""
        return self.slope * gamma + self.intercept

    def envelope(self) -> tuple[Ints, Floats]:
        """Positions that are best for some acceptance, and the acceptances between them."""
        # Equal lines: the smallest campaign, which comes first.
        order = np.lexsort((-np.arange(len(self.share)), self.intercept, self.slope))
        highest = np.append(np.diff(self.slope[order]) > 0, True)
        order = order[highest]
        hull = order[upper_hull(self.slope[order], self.intercept[order])]
        cuts = -np.diff(self.intercept[hull]) / np.diff(self.slope[hull])
        cuts = np.maximum.accumulate(np.concatenate([[0.0], cuts, [1.0]]))
        return hull, np.clip(cuts, 0.0, 1.0)


@dataclass(frozen=True)
class Ranking:
    """Customers in the order of a score, and the money that contacting each would bring.

    Parameters
    ----------
    thresholds : ndarray of float, shape (n_distinct + 1,)
        Infinity, then the distinct scores, falling.
    place : ndarray of int, shape (n,)
        Which distinct score each customer has. Ties are contacted together.
    slope, intercept : ndarray of float, shape (n,)
        Money of contacting each customer, slope·γ + intercept, given who left.
    """

    thresholds: Floats
    place: Ints
    slope: Floats
    intercept: Floats

    @classmethod
    def read(
        cls, y: Any, p: Any, value: Any, incentive: Any, contact_cost: Any, stayers: Any
    ) -> Self:
        """Check and read outcomes, scores and money, one amount for all or one per customer."""
        left, score = outcome_and_score(y, p)
        money = {
            "value": value,
            "incentive": incentive,
            "contact_cost": contact_cost,
            "stayer_acceptance": stayers,
        }
        _, (v, d, f, psi) = read_terms(**money)
        if any(array.ndim and array.shape != left.shape for array in (v, d, f, psi)):
            raise DataError(
                f"{', '.join(money)}: expected one number or one per customer of y, {len(left)}."
            )
        common_index(y=y, **money)
        common_index(p=p, **money)
        if not (v > d).any():
            raise DataError(
                "value: expected amounts above the incentive; an offer worth more than the "
                "customer never pays."
            )
        thresholds, place = falling_thresholds(score)
        return cls(thresholds, place, left * (v - d), -f - (1 - left) * psi * d)

    def lines(self, mass: Floats | None = None) -> Lines:
        """Cumulate from the highest score down; `mass` counts each customer so many times."""
        weight = np.ones(len(self.place)) if mass is None else mass
        weight = weight / weight.sum()
        share, slope, intercept = (
            cumulate(self.place, weight * amount, len(self.thresholds) - 1)
            for amount in (np.ones(len(self.place)), self.slope, self.intercept)
        )
        return Lines(share / share[-1], slope, intercept)  # the last is everybody: 1, not nearly
