"""Boosters of several shapes and a regression on splines, blended on the log-odds scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from cxpredict.models.ensemble.blend import blend_weights
from cxpredict.models.ensemble.boosters import (
    FoldData,
    Run,
    cross_fit,
    dataset,
    n_threads,
    pool,
    raw_margin,
    refit,
)
from cxpredict.models.ensemble.cases import Cases, Split, offsets_of
from cxpredict.models.ensemble.encoding import Encoding, learn_encoding
from cxpredict.models.ensemble.linear import Linear, fit_paths, learn_basis
from cxpredict.models.ensemble.recipes import Recipe
from cxpredict.models.ensemble.trees import hold_feature

__all__ = ["Ensemble", "HeldOut", "fit_ensemble"]

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
        # LightGBM refuses no rows, but any row knows the base.
        rows = codes if len(codes) else np.zeros((1, codes.shape[1]))
        matrix = self._matrix(rows, step)
        parts = np.zeros(matrix.shape)
        base = sum(self.booster_weights) * self.offsets[step]
        for booster, weight in zip(self.boosters, self.booster_weights, strict=True):
            found = np.asarray(
                booster.predict(matrix, pred_contrib=True, num_threads=n_threads(n_jobs))
            )
            parts += weight * found[:, :-1]
            base += weight * float(found[0, -1])
        if self.linear is not None:
            values, start = self.linear.contributions(self._one_hot_step(matrix))
            base += self.linear_weight * start
            width = len(self.encoding.column_of)
            parts[:, :width] += self.linear_weight * values[:, :width]
            base += self.linear_weight * float(values[0, width:].sum())
        total = np.zeros(rows.shape)
        for encoded, column in enumerate(self.encoding.column_of):
            total[:, column] += parts[:, encoded]
        return total[: len(codes)], base

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

    def _matrix(self, codes: Floats, step: int) -> Floats:
        matrix = self.encoding.apply(codes)
        if len(self.offsets) == 1:
            return matrix
        return np.column_stack([matrix, np.full(len(matrix), float(step))])

    def _one_hot_step(self, matrix: Floats) -> Floats:
        return one_hot_step(matrix, len(self.offsets))


@dataclass(frozen=True)
class HeldOut:
    """What the inner folds know of each answer that was held out.

    Parameters
    ----------
    margin : ndarray of float, shape (n, K)
        Blended log-odds from members that have not seen the row's customer; NaN where the
        answer does not exist or was never held out.
    members : DataFrame
        One row per member: member, rounds, weight, log_loss (held out).
    """

    margin: Floats
    members: pd.DataFrame


@dataclass(frozen=True)
class _Repeat:
    """Margins of every member in one repeat, shape (members, n, K), and rounds per booster."""

    margins: Floats
    rounds: list[int]


def one_hot_step(matrix: Floats, n_steps: int) -> Floats:
    """Replace the step, if there is one, by one column per step."""
    if n_steps == 1:
        return matrix
    steps = (matrix[:, -1:] == np.arange(n_steps)).astype(np.float64)
    return np.column_stack([matrix[:, :-1], steps])


def fit_ensemble(
    cases: Cases,
    n_levels: list[int],
    repeats: Sequence[Sequence[Split]],
    recipe: Recipe,
    *,
    calibrate_on: Sequence[Split] | None = None,
    seed: int,
    n_jobs: int | None = None,
) -> tuple[Ensemble, HeldOut]:
    """Cross-fit the members, weigh them, and refit them on all rows.

    Parameters
    ----------
    cases : Cases
        What to learn from.
    n_levels : list of int
        Levels of each category; 0 for numbers and flags.
    repeats : sequence of sequence of (train, valid)
        Inner folds, per repeat: rows to learn from, and rows to be judged on.
    recipe : Recipe
        Members.
    calibrate_on : sequence of (train, valid), optional
        Folds for the held-out margins, where they should not be those of `repeats`.
    seed : int
        Seed of the first booster; the others count upwards.
    n_jobs : int, optional
        Threads; the result does not depend on it.

    Returns
    -------
    tuple of (Ensemble, HeldOut)
        The members on all rows, and the blended margins of the inner folds.

    Notes
    -----
    Category means, splines, rounds and penalties of an inner fold come from its training rows
    alone. Members without weight are not refitted. Where rows are judged at later dates than they
    are learned from, members and weights are chosen so, but calibrated by customer at all dates:
    the drift between the dates is in the rows of the refit, and must not be corrected twice.
    """
    offsets = offsets_of(cases)
    n_shapes = len(recipe.shapes)
    # The sums of BLAS depend on its threads; one thread makes them the same everywhere.
    with threadpool_limits(1, user_api="blas"), pool(n_jobs, len(cases.codes)) as run:
        found = [
            _cross_fit(cases, n_levels, splits, recipe, offsets, seed + r * n_shapes, run)
            for r, splits in enumerate(repeats)
        ]
        margins = np.mean([repeat.margins for repeat in found], axis=0)
        strength, margins = _best_strength(cases, recipe, margins)
        weights = _weigh(cases, margins)
        blended = np.tensordot(weights, margins, axes=1)
        if calibrate_on is not None:
            chosen = replace(recipe, strengths=(strength,))
            again = _cross_fit(
                cases, n_levels, calibrate_on, chosen, offsets, seed, run, rounds=found[0].rounds
            )
            blended = np.tensordot(weights, again.margins, axes=1)
        ensemble = _refit(cases, n_levels, recipe, offsets, found, weights, strength, seed, run)
    members = _describe(cases, recipe, found, margins, weights)
    return ensemble, HeldOut(blended, members)


def _cross_fit(
    cases: Cases,
    n_levels: list[int],
    splits: Sequence[Split],
    recipe: Recipe,
    offsets: Floats,
    seed: int,
    run: Run,
    rounds: list[int] | None = None,
) -> _Repeat:
    """Held-out margins of the boosters, then of the regression at each strength."""

    def prepare(split: Split) -> tuple[FoldData, list[Floats]]:
        return _prepare(cases, n_levels, split, recipe, offsets)

    prepared = list(run(prepare, splits))
    folds = [fold for fold, _ in prepared]
    shapes = _constrained(cases, recipe, folds[0].matrix.shape[1])
    margins, counts = cross_fit(folds, shapes, seed, run, rounds=rounds)
    table = np.full((len(recipe.shapes) + len(recipe.strengths), *cases.event.shape), np.nan)
    for k, (_, valid) in enumerate(splits):
        position, step = cases.asked(valid)
        for i in range(len(recipe.shapes)):
            table[i, valid[position], step] = margins[i][k] + offsets[step]
        for i, margin in enumerate(prepared[k][1], start=len(recipe.shapes)):
            table[i, valid[position], step] = margin
    return _Repeat(table, counts)


def _prepare(
    cases: Cases, n_levels: list[int], split: Split, recipe: Recipe, offsets: Floats
) -> tuple[FoldData, list[Floats]]:
    train, valid = split
    encoding, numbers = learn_encoding(
        cases.codes[train], n_levels, cases.target[train], cases.groups[train]
    )
    sides = []
    for rows, encoded in ((train, numbers), (valid, encoding.apply(cases.codes[valid]))):
        position, step = cases.asked(rows)
        sides.append(
            (
                cases.at_steps(encoded, position, step),
                cases.event[rows[position], step],
                cases.weight[rows[position]],
                offsets[step],
            )
        )
    (X, y, weight, start), (X_valid, y_valid, w_valid, start_valid) = sides
    data = dataset(X, y, weight=weight, offset=start)
    held_out = dataset(X_valid, y_valid, weight=w_valid, offset=start_valid, reference=data)
    X_linear = one_hot_step(X, cases.n_steps)
    judged = one_hot_step(X_valid, cases.n_steps)
    margins = []
    for fit in fit_paths(learn_basis(X_linear), X_linear, y, weight, recipe.strengths):
        values, base = fit.contributions(judged)
        margins.append(base + values.sum(axis=1))
    return FoldData(data, held_out, X_valid, float(w_valid.sum())), margins


def _constrained(cases: Cases, recipe: Recipe, width: int) -> list[dict[str, Any]]:
    """Shapes in which a later step, the last feature, can only lower the margin, if it must."""
    if not cases.falling or cases.n_steps == 1:
        return list(recipe.shapes)
    rule = {"monotone_constraints": [0] * (width - 1) + [-1]}
    return [{**shape, **rule} for shape in recipe.shapes]


def _best_strength(cases: Cases, recipe: Recipe, margins: Floats) -> tuple[float, Floats]:
    """Keep of all penalties the one with the lowest held-out loss."""
    n_shapes = len(recipe.shapes)
    if not recipe.strengths:
        return 1.0, margins
    losses = [_loss(cases, margin) for margin in margins[n_shapes:]]
    best = int(np.argmin(losses))
    kept = np.concatenate([margins[:n_shapes], margins[n_shapes + best][None]])
    return recipe.strengths[best], kept


def _loss(cases: Cases, margin: Floats) -> float:
    at = ~np.isnan(margin)
    m, y = margin[at], cases.event[at]
    weight = np.broadcast_to(cases.weight[:, None], margin.shape)[at]
    return float(np.average(np.logaddexp(0.0, m) - y * m, weights=weight))


def _weigh(cases: Cases, margins: Floats) -> Floats:
    at = ~np.isnan(margins[0])
    weight = np.broadcast_to(cases.weight[:, None], cases.event.shape)[at]
    prior = np.full(len(margins), 1.0 / len(margins))
    return blend_weights(margins[:, at], prior, cases.event[at], weight)


def _refit(
    cases: Cases,
    n_levels: list[int],
    recipe: Recipe,
    offsets: Floats,
    found: list[_Repeat],
    weights: Floats,
    strength: float,
    seed: int,
    run: Run,
) -> Ensemble:
    encoding, numbers = learn_encoding(cases.codes, n_levels, cases.target, cases.groups)
    position, step = cases.asked(np.arange(len(cases.codes)))
    matrix = cases.at_steps(numbers, position, step)
    y, weight = cases.event[position, step], cases.weight[position]
    data = dataset(matrix, y, weight=weight, offset=offsets[step])
    kept = [i for i in range(len(recipe.shapes)) if weights[i] > 0]
    constrained = _constrained(cases, recipe, matrix.shape[1])
    members = [(r, i) for r in range(len(found)) for i in kept] * recipe.n_refits
    shapes = [{**constrained[i], "seed": seed + k} for k, (_, i) in enumerate(members)]
    rounds = [found[r].rounds[i] for r, i in members]
    texts = refit(data, shapes, rounds, run)
    linear = None
    if recipe.strengths and weights[-1] > 0:
        columns = one_hot_step(matrix, cases.n_steps)
        linear = fit_paths(learn_basis(columns), columns, y, weight, (strength,))[0]
    return Ensemble(
        encoding=encoding,
        boosters=tuple(lgb.Booster(model_str=text) for text in texts),
        booster_weights=tuple(float(weights[i]) * len(kept) / len(members) for _, i in members),
        linear=linear,
        linear_weight=float(weights[-1]) if linear is not None else 0.0,
        offsets=tuple(offsets.tolist()),
    )


def _describe(
    cases: Cases, recipe: Recipe, found: list[_Repeat], margins: Floats, weights: Floats
) -> pd.DataFrame:
    names = [
        f"{'extra trees' if shape.get('extra_trees') else 'boosted trees'}, "
        f"{shape['num_leaves']} leaves"
        for shape in recipe.shapes
    ] + ["splines"] * bool(recipe.strengths)
    rounds: list[float] = [
        float(np.mean([repeat.rounds[i] for repeat in found])) for i in range(len(recipe.shapes))
    ]
    return pd.DataFrame(
        {
            "member": names,
            "rounds": [*rounds, *[0.0] * bool(recipe.strengths)],
            "weight": weights,
            "log_loss": [_loss(cases, margin) for margin in margins],
        }
    )
