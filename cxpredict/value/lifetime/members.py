"""Boosted trees that say, period by period, who is there and what they bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from cxpredict.models.ensemble.boosters import pool
from cxpredict.value.lifetime.target import Flags, Floats, Outcomes

Ints = npt.NDArray[np.intp]
Model: TypeAlias = "lgb.Booster | float"
MAX_ROUNDS = 400
PATIENCE = 20
NEGATIVE_SHARE = 0.1
"""Share of negative money from which margins are learnt by squared error."""
_SHAPE: dict[str, Any] = {
    "num_leaves": 8,
    "learning_rate": 0.1,
    "min_data_in_leaf": 30,
    "lambda_l2": 5.0,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
_BINARY: dict[str, Any] = {"objective": "binary"}
_TWEEDIE: dict[str, Any] = {"objective": "tweedie", "tweedie_variance_power": 1.5}
_SQUARED: dict[str, Any] = {"objective": "regression"}


@dataclass(frozen=True)
class Member:
    """One model of presence and one of margin, fitted without one fold of customers.

    Parameters
    ----------
    presence : Booster or float
        Log-odds to leave in a period (of those there), or to be active in it; a number where all
        rows agree.
    margin : Booster or float
        Margin of a period in which the customer is there, in units of `scale`.
    scale : float
        Money per unit.
    """

    presence: Model
    margin: Model
    scale: float

    def predict(self, codes: Floats, periods: int) -> tuple[Floats, Floats]:
        """Return the probability asked about presence, and margin if there, both (n, periods)."""
        period = np.repeat(np.arange(periods, dtype=np.float64), len(codes))
        matrix = np.column_stack([np.tile(codes, (periods, 1)), period])
        asked = _predict(self.presence, matrix).reshape(periods, -1).T
        margin = _predict(self.margin, matrix).reshape(periods, -1).T
        return asked, margin * self.scale

    def to_state(self) -> dict[str, Any]:
        """Return the member as text and numbers."""
        return {
            "presence": _text(self.presence),
            "margin": _text(self.margin),
            "scale": self.scale,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Member:
        """Rebuild a member from `to_state`."""
        return cls(_read(state["presence"]), _read(state["margin"]), state["scale"])


def margins_are_signed(outcomes: Outcomes) -> bool:
    """Tell whether so much of the money is negative that the Tweedie likelihood cannot serve."""
    money = outcomes.margin[outcomes.earning]
    return bool(np.minimum(money, 0.0).sum() < -NEGATIVE_SHARE * np.abs(money).sum()) or not (
        (money > 0).any()
    )


def fit_members(
    codes: Floats,
    outcomes: Outcomes,
    weight: Floats,
    fold: Ints,
    categories: list[int],
    *,
    squared: bool,
    seed: int,
    n_jobs: int | None,
) -> tuple[list[Member], dict[str, int]]:
    """Fit one member per fold on the other folds; rounds are those of the lowest held-out loss.

    Parameters
    ----------
    codes : ndarray of float, shape (n, p)
        Features.
    outcomes : Outcomes
        What followed.
    weight : ndarray of float, shape (n,)
        Weights of the rows.
    fold : ndarray of int, shape (n,)
        Fold of each row; all rows of a customer are in one.
    categories : list of int
        Columns that hold codes of categories.
    squared : bool
        Learn margins by squared error, otherwise by the Tweedie likelihood.
    seed : int
        Seed of the boosters.
    n_jobs : int or None
        Threads; the result does not depend on them.

    Returns
    -------
    tuple of (list of Member, dict)
        One member per fold, and the rounds of presence and margin.
    """
    came = outcomes.there if outcomes.churn == "silence" else 1.0 - outcomes.there
    earned = np.abs(outcomes.margin[outcomes.earning])
    scale = float(earned.mean()) if earned.any() else 1.0
    money = outcomes.margin / scale if squared else np.maximum(outcomes.margin, 0.0) / scale
    loss = _SQUARED if squared else _TWEEDIE
    tasks = [(came, outcomes.asked, _BINARY), (money, outcomes.earning, loss)]

    def cross_fit(task: tuple[Floats, Flags, dict[str, Any]]) -> tuple[list[Model], int]:
        return _cross_fit(codes, *task, weight, fold, categories, seed)

    with pool(n_jobs, len(codes)) as run:
        (presence, rounds), (margin, margin_rounds) = run(cross_fit, tasks)
    members = [Member(p, m, scale) for p, m in zip(presence, margin, strict=True)]
    return members, {"presence": rounds, "margin": margin_rounds}


def _cross_fit(
    codes: Floats,
    target: Floats,
    used: Flags,
    loss: dict[str, Any],
    weight: Floats,
    fold: Ints,
    categories: list[int],
    seed: int,
) -> tuple[list[Model], int]:
    row, period = np.nonzero(used)
    y, w = target[row, period], weight[row]
    n_folds = int(fold.max()) + 1
    folds = [
        (np.flatnonzero(fold[row] != k), np.flatnonzero(fold[row] == k)) for k in range(n_folds)
    ]
    if any(not len(valid) or np.ptp(y[train]) == 0 for train, valid in folds):
        # Too little to learn from: the same for everyone.
        mean = float(np.average(y, weights=w)) if len(y) else 0.0
        return [mean] * n_folds, 0
    matrix = np.column_stack([codes[row], period.astype(np.float64)])
    data = lgb.Dataset(
        matrix, y, weight=w, categorical_feature=categories or "auto", params={"verbosity": -1}
    )
    found = lgb.cv(
        {**_SHAPE, **loss, "seed": seed},
        data,
        num_boost_round=MAX_ROUNDS,
        folds=folds,
        callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
        return_cvbooster=True,
    )["cvbooster"]
    best = int(found.best_iteration)
    return [_trimmed(booster, best) for booster in found.boosters], best


def _text(model: Model) -> str | float:
    return model if isinstance(model, float) else model.model_to_string()


def _read(text: str | float) -> Model:
    return lgb.Booster(model_str=text) if isinstance(text, str) else float(text)


def _trimmed(booster: lgb.Booster, rounds: int) -> lgb.Booster:
    return lgb.Booster(model_str=booster.model_to_string(num_iteration=rounds))


def _predict(model: Model, matrix: Floats) -> Floats:
    if isinstance(model, float):
        return np.full(len(matrix), model)
    if not len(matrix):
        return np.zeros(0)
    return np.asarray(model.predict(matrix, num_threads=1))
