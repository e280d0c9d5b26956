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
    """Fit the calibration on rows that each member has not seen."""
    periods = outcomes.margin.shape[1]
    predicted = [member.predict(codes, periods) for member in curves.members]
    own = (fold, np.arange(len(fold)))
    asked = np.array([p for p, _ in predicted])
    margin = np.array([m for _, m in predicted])
    weight = rows.weight
    came = outcomes.there if curves.churn == "silence" else 1.0 - outcomes.there
    w_asked = weight[:, None] * outcomes.asked
    expected_asked = (w_asked * asked[own]).sum(axis=0)
    seen = (w_asked * np.nan_to_num(came)).sum(axis=0)
    factor = np.where(expected_asked > 0, seen / np.where(expected_asked > 0, expected_asked, 1), 1)
    each = [curves.of(a, m, factor) for a, m in zip(asked, margin, strict=True)]
    q, d = np.array([e[1] for e in each]), np.array([e[2] for e in each])
    mean_q = np.einsum("n,mnk->mk", weight, q)
    alignment = _ratio(mean_q.mean(axis=0) - mean_q, np.einsum("n,mnk->mk", weight, d))
    q_out, d_out = _moved(q[own], d[own], alignment[fold], curves.squared)
    w = outcomes.weights(weight)
    known = np.nan_to_num(outcomes.margin)
    size = (w * d_out).sum(axis=0)
    shift = _ratio((w * (known - q_out)).sum(axis=0), size)
    expected = q_out + shift * d_out
    error = w * (known - expected)
    influence = np.zeros((int(rows.groups.max()) + 1, periods))
    np.add.at(influence, rows.groups, _ratio(error, size))
    n = len(np.unique(rows.groups))
    covariance = influence.T @ influence * n / max(n - 1, 1)
    whole = w[:, -1] > 0
    value, residual = (expected[whole] @ discount), ((known - expected)[whole] @ discount)
    drift = _drift(error, w * expected, outcomes.asked, rows, seasons)
    chance = learn_chance(value, residual, w[whole, -1])
    return Calibration(curves, factor, alignment, shift, covariance, chance, drift)


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
