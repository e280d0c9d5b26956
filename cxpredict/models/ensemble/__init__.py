"""Boosters of several shapes and a regression on splines, blended on the log-odds scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from cxpredict.models.ensemble.boosters import raw_margin
from cxpredict.models.ensemble.contributions import TreeContributions
from cxpredict.models.ensemble.encoding import Encoding
from cxpredict.models.ensemble.linear import Linear
from cxpredict.models.ensemble.trees import hold_feature

__all__ = ["Ensemble", "one_hot_step"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Ensemble:
    """Members and their weights.

    Parameters
    ----------
    encoding : Encoding
        From codes of columns to numbers.
    boosters : tuple of lightgbm.Booster
        Their raw scores plus the offset are log-odds.
    booster_weights : tuple of float
        Weight of each booster.
    linear : Linear or None
        Regression on splines; None if it has no weight.
    linear_weight : float
        Its weight.
    offsets : tuple of float
        Log-odds at each step where the boosters start.
    """

    encoding: Encoding
    boosters: tuple[lgb.Booster, ...]
    booster_weights: tuple[float, ...]
    linear: Linear | None
    linear_weight: float
    offsets: tuple[float, ...]

    def margin(self, codes: Floats, *, step: int = 0, n_jobs: int | None = None) -> Floats:
        """Return the blended log-odds at a step, shape (n,), for codes of shape (n, p)."""
        matrix = self._matrix(codes, step)
        total = np.full(len(codes), sum(self.booster_weights) * self.offsets[step])
        for booster, weight in zip(self.boosters, self.booster_weights, strict=True):
            total += weight * raw_margin(booster, matrix, n_jobs=n_jobs)
        if self.linear is not None:
            values, base = self.linear.contributions(self._one_hot_step(matrix))
            total += self.linear_weight * (base + values.sum(axis=1))
        return total

    def contributions(
        self, codes: Floats, *, step: int = 0, n_jobs: int | None = None
    ) -> tuple[Floats, float]:
        """Split the margin into what each column adds, shape (n, p), and the base.

        TreeSHAP values of the boosters and terms of the regression, weighted like the members.
        """
        matrix = self._matrix(codes, step)
        parts = np.zeros(matrix.shape)
        base = sum(self.booster_weights) * self.offsets[step]
        for trees, weight in zip(self._trees, self.booster_weights, strict=True):
            parts += weight * trees.values(matrix, n_jobs=n_jobs)
            base += weight * trees.base
        if self.linear is not None:
            values, start = self.linear.contributions(self._one_hot_step(matrix))
            base += self.linear_weight * start
            width = len(self.encoding.column_of)
            parts[:, :width] += self.linear_weight * values[:, :width]
            base += self.linear_weight * self._of_step(step)
        total = np.zeros(codes.shape)
        for encoded, column in enumerate(self.encoding.column_of):
            total[:, column] += parts[:, encoded]
        return total, base

    def held(self, step: int) -> Ensemble:
        """Return the ensemble for one step, its trees without splits on the step."""
        feature = len(self.encoding.column_of)
        texts = [b.model_to_string() for b in self.boosters]
        held = [hold_feature(text, feature=feature, value=float(step)) for text in texts]
        return replace(self, boosters=tuple(lgb.Booster(model_str=text) for text in held))

    def to_state(self) -> dict[str, Any]:
        """Return the ensemble as LightGBM model texts, lists and numbers."""
        return {
            "encoding": self.encoding.to_state(),
            "boosters": [booster.model_to_string() for booster in self.boosters],
            "booster_weights": list(self.booster_weights),
            "linear": None if self.linear is None else self.linear.to_state(),
            "linear_weight": self.linear_weight,
            "offsets": list(self.offsets),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Ensemble:
        """Rebuild an ensemble from `to_state`."""
        return cls(
            encoding=Encoding.from_state(state["encoding"]),
            boosters=tuple(lgb.Booster(model_str=text) for text in state["boosters"]),
            booster_weights=tuple(state["booster_weights"]),
            linear=None if state["linear"] is None else Linear.from_state(state["linear"]),
            linear_weight=state["linear_weight"],
            offsets=tuple(state["offsets"]),
        )

    @cached_property
    def _trees(self) -> tuple[TreeContributions, ...]:
        return tuple(TreeContributions.of(booster) for booster in self.boosters)

    def _of_step(self, step: int) -> float:
        """Return what the regression adds for a step, the same in all rows."""
        if self.linear is None or len(self.offsets) == 1:
            return 0.0
        row = self._one_hot_step(self._matrix(np.zeros((1, len(self.encoding.sources))), step))
        return float(self.linear.contributions(row)[0][0, len(self.encoding.column_of) :].sum())

    def _matrix(self, codes: Floats, step: int) -> Floats:
        matrix = self.encoding.apply(codes)
        if len(self.offsets) == 1:
            return matrix
        return np.column_stack([matrix, np.full(len(matrix), float(step))])

    def _one_hot_step(self, matrix: Floats) -> Floats:
        return one_hot_step(matrix, len(self.offsets))


def one_hot_step(matrix: Floats, n_steps: int) -> Floats:
    """Replace the step, if there is one, by one column per step."""
    if n_steps == 1:
        return matrix
    steps = (matrix[:, -1:] == np.arange(n_steps)).astype(np.float64)
    return np.column_stack([matrix[:, :-1], steps])
