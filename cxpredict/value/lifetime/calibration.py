"""Bring the members' curves to what held-out customers did, and say how surely that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxpredict.value.lifetime.forecast import Chance, Drift, learn_chance
from cxpredict.value.lifetime.members import Member
from cxpredict.value.lifetime.target import Churn, Flags, Floats, Outcomes

Ints = npt.NDArray[np.intp]
_ARRAYS = ("factor", "alignment", "shift", "covariance")


@dataclass(frozen=True)
class Curves:
    """Curves of one or more members, before and after calibration.

    Parameters
    ----------
    members : sequence of Member
        Fitted without one fold each.
    squared : bool
        Whether margins were learnt by squared error: they are then shifted, else scaled.
    churn : {"event", "silence"}
        What presence is.
    """

    members: Sequence[Member]
    squared: bool
    churn: Churn

    def of(self, asked: Floats, margin: Floats, factor: Floats) -> tuple[Floats, Floats, Floats]:
        """Return presence, expected margin and what a shift of margin moves it by, (n, K) each."""
        asked = np.clip(asked * factor, 0.0, 1.0)
        if self.churn == "silence":
            presence = exposure = asked
        else:
            presence = np.cumprod(1.0 - asked, axis=1, dtype=np.float64)
            exposure = np.hstack([np.ones((len(asked), 1)), presence[:, :-1]])
        expected = exposure * margin
        return presence, expected, exposure if self.squared else expected


@dataclass(frozen=True)
class Applied:
    """Calibrated curves: (n, K) each, members (M, n, K)."""

    presence: Floats
    margin: Floats
    direction: Floats
    members: Floats


@dataclass(frozen=True)
class Calibration:
    """Fitted calibration.

    Parameters
    ----------
    curves : Curves
        What is calibrated.
    factor : ndarray of float, shape (K,)
        Of the probabilities asked about presence.
    alignment : ndarray of float, shape (M, K)
        Shift of each member that brings it to the mean of all on training rows.
    shift : ndarray of float, shape (K,)
        Common shift, from held-out rows.
    covariance : ndarray of float, shape (K, K)
        Of `shift`, by customer.
    chance, drift
        See `ValueForecast`.
    """

    curves: Curves
    factor: Floats
    alignment: Floats
    shift: Floats
    covariance: Floats
    chance: Chance
    drift: Drift | None

    def to_state(self) -> dict[str, Any]:
        """Return the calibration, members included, as text, numbers and lists."""
        arrays = {name: getattr(self, name).tolist() for name in _ARRAYS}
        chance = {
            "edges": self.chance.edges.tolist(),
            "residuals": [part.tolist() for part in self.chance.residuals],
            "weights": [part.tolist() for part in self.chance.weights],
        }
        return {
            **arrays,
            "members": [member.to_state() for member in self.curves.members],
            "squared": self.curves.squared,
            "churn": self.curves.churn,
            "chance": chance,
            "drift": None if self.drift is None else asdict(self.drift),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Calibration:
        """Rebuild a calibration from `to_state`."""
        members = tuple(Member.from_state(entry) for entry in state["members"])
        chance = state["chance"]
        return cls(
            curves=Curves(members, state["squared"], state["churn"]),
            **{name: np.array(state[name], dtype=np.float64) for name in _ARRAYS},
            chance=Chance(
                np.array(chance["edges"], dtype=np.float64),
                [np.array(part) for part in chance["residuals"]],
                [np.array(part) for part in chance["weights"]],
            ),
            drift=None if state["drift"] is None else Drift(**state["drift"]),
        )

    def apply(self, codes: Floats) -> Applied:
        """Return the calibrated curves of rows."""
        presence, members, directions = [], [], []
        for member, alignment in zip(self.curves.members, self.alignment, strict=True):
            p, q, d = self.curves.of(*member.predict(codes, len(self.factor)), self.factor)
            q, d = _moved(q, d, alignment, self.curves.squared)
            presence.append(p)
            members.append(q + self.shift * d)
            directions.append(d)
        found = np.array(members)
        return Applied(
            np.mean(presence, axis=0), found.mean(axis=0), np.mean(directions, axis=0), found
        )


def calibrate(
    curves: Curves,
    codes: Floats,
    outcomes: Outcomes,
    rows: Any,
    fold: Ints,
    discount: Floats,
    *,
    seasons: int,
) -> Calibration:
    """Fit the calibration on rows that each member has not seen.

    Parameters
    ----------
    curves : Curves
        Members, not calibrated.
    codes, outcomes, rows, fold
        What they were fitted on, and without which fold.
    discount : ndarray of float, shape (K,)
        What money of each period is worth today.
    seasons : int
        Periods side by side in the training data.

    Returns
    -------
    Calibration
        With Σ w·(margin − expected) = 0 in every period over held-out rows.

    Notes
    -----
    An estimating equation: the covariance of the shifts is the sum over customers of the squares
    of what each adds to them (influence), so that a customer at several dates counts once.
    """
    periods, weight = outcomes.margin.shape[1], rows.weight
    predicted = [member.predict(codes, periods) for member in curves.members]
    own = fold, np.arange(len(fold))
    factor = _presence_factor(np.array([asked for asked, _ in predicted])[own], outcomes, weight)
    each = [curves.of(asked, margin, factor) for asked, margin in predicted]
    q, d = np.array([e[1] for e in each]), np.array([e[2] for e in each])
    mean = np.einsum("n,mnk->mk", weight, q)
    alignment = _ratio(mean.mean(axis=0) - mean, np.einsum("n,mnk->mk", weight, d))
    q_out, d_out = _moved(q[own], d[own], alignment[fold], curves.squared)
    w, came = outcomes.weights(weight), np.nan_to_num(outcomes.margin)
    size = (w * d_out).sum(axis=0)
    shift = _ratio((w * (came - q_out)).sum(axis=0), size)
    expected = q_out + shift * d_out
    error = w * (came - expected)
    influence = _by_customer(_ratio(error, size), rows.groups)
    whole = w[:, -1] > 0
    return Calibration(
        curves,
        factor,
        alignment,
        shift,
        influence.T @ influence,
        learn_chance(expected[whole] @ discount, (came - expected)[whole] @ discount, w[whole, -1]),
        _drift(error, w * expected, outcomes.asked, rows, seasons),
    )


def _presence_factor(asked: Floats, outcomes: Outcomes, weight: Floats) -> Floats:
    """Divide what held-out rows did in each period by what was predicted of them."""
    met = outcomes.there if outcomes.churn == "silence" else 1.0 - outcomes.there
    w = weight[:, None] * outcomes.asked
    expected = (w * asked).sum(axis=0)
    factor: Floats = np.where(
        expected > 0, (w * np.nan_to_num(met)).sum(axis=0) / np.where(expected > 0, expected, 1), 1
    )
    return factor


def _by_customer(influence: Floats, groups: Ints) -> Floats:
    """Sum what each customer adds to the shifts, shape (customers, K)."""
    _, customer = np.unique(groups, return_inverse=True)
    n = int(customer.max()) + 1
    summed = np.zeros((n, influence.shape[1]))
    np.add.at(summed, customer, influence)
    return np.asarray(summed * np.sqrt(n / max(n - 1, 1)))


def _moved(q: Floats, d: Floats, by: Floats, squared: bool) -> tuple[Floats, Floats]:
    moved = q + by * d
    return moved, d if squared else moved


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.where(below != 0, above / np.where(below != 0, below, 1.0), 0.0))


def _drift(
    error: Floats, expected: Floats, watched: Flags, rows: Any, seasons: int
) -> Drift | None:
    """Spread of realised by expected margin between cells of date and period, less chance."""
    if rows.dates is None or len(np.unique(rows.dates)) < 2:
        return None
    squares, chance = [], []
    for date in np.unique(rows.dates):
        at = rows.dates == date
        # Of a period that is not over, only those who left are known.
        size = np.where(watched[at].any(axis=0), expected[at].sum(axis=0), 0.0)
        squares.append(_ratio(error[at].sum(axis=0), size)[size > 0] ** 2)
        chance.append(_ratio((error[at] ** 2).sum(axis=0), size**2)[size > 0])
    if not sum(len(cells) for cells in squares):
        return None
    excess = np.concatenate(squares).mean() - np.concatenate(chance).mean()
    return Drift(float(np.sqrt(max(0.0, excess))), seasons)
