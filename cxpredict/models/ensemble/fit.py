"""Fit an ensemble: cross-fit the members, weigh them, refit them on all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from cxpredict.models.ensemble import Ensemble, one_hot_step
from cxpredict.models.ensemble.blend import blend_weights
from cxpredict.models.ensemble.boosters import FoldData, Run, cross_fit, dataset, pool, refit
from cxpredict.models.ensemble.cases import Cases, Split, offsets_of
from cxpredict.models.ensemble.encoding import learn_encoding
from cxpredict.models.ensemble.linear import fit_paths, learn_basis
from cxpredict.models.ensemble.recipes import Recipe
from cxpredict.models.ensemble.tuning import tuned_shape

__all__ = ["HeldOut", "fit_ensemble"]

Floats = npt.NDArray[np.float64]


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
    the drift between the dates is in the rows of the refit, and must not be corrected twice. Nor
    does a shift of the base rate count against a member: it starts from the rate of its own rows,
    and is judged from the rate of the rows it is judged on.
    """
    by_time = calibrate_on is not None
    # The sums of BLAS depend on its threads; one thread makes them the same everywhere.
    with threadpool_limits(1, user_api="blas"), pool(n_jobs, len(cases.codes)) as run:
        if recipe.trials:
            shape = _tuned(cases, n_levels, repeats[0], recipe, by_time, seed, run)
            recipe = replace(recipe, shapes=(*recipe.shapes, shape))
        n_shapes = len(recipe.shapes)
        found = [
            _cross_fit(cases, n_levels, splits, recipe, by_time, seed + r * n_shapes, run)
            for r, splits in enumerate(repeats)
        ]
        margins = np.mean([repeat.margins for repeat in found], axis=0)
        strength, margins = _best_strength(cases, recipe, margins)
        weights = _weigh(cases, margins)
        blended = np.tensordot(weights, margins, axes=1)
        if calibrate_on is not None:
            chosen = replace(recipe, strengths=(strength,))
            again = _cross_fit(
                cases, n_levels, calibrate_on, chosen, False, seed, run, rounds=found[0].rounds
            )
            blended = np.tensordot(weights, again.margins, axes=1)
        ensemble = _refit(cases, n_levels, recipe, found, weights, strength, seed, run)
    members = _describe(cases, recipe, found, margins, weights)
    return ensemble, HeldOut(blended, members)


def _cross_fit(
    cases: Cases,
    n_levels: list[int],
    splits: Sequence[Split],
    recipe: Recipe,
    by_time: bool,
    seed: int,
    run: Run,
    rounds: list[int] | None = None,
) -> _Repeat:
    """Held-out margins of the boosters, then of the regression at each strength."""
    overall = offsets_of(cases)
    starts = [
        (offsets_of(cases, train), offsets_of(cases, valid)) if by_time else (overall, overall)
        for train, valid in splits
    ]

    def prepare(k: int) -> tuple[FoldData, list[Floats]]:
        return _prepare(cases, n_levels, splits[k], recipe, starts[k])

    prepared = list(run(prepare, range(len(splits))))
    folds = [fold for fold, _ in prepared]
    shapes = _constrained(cases, recipe, folds[0].matrix.shape[1])
    margins, counts = cross_fit(folds, shapes, seed, run, rounds=rounds)
    table = np.full((len(recipe.shapes) + len(recipe.strengths), *cases.event.shape), np.nan)
    for k, (_, valid) in enumerate(splits):
        position, step = cases.asked(valid)
        for i in range(len(recipe.shapes)):
            table[i, valid[position], step] = margins[i][k] + starts[k][1][step]
        for i, margin in enumerate(prepared[k][1], start=len(recipe.shapes)):
            table[i, valid[position], step] = margin + (starts[k][1] - starts[k][0])[step]
    return _Repeat(table, counts)


def _tuned(
    cases: Cases,
    n_levels: list[int],
    splits: Sequence[Split],
    recipe: Recipe,
    by_time: bool,
    seed: int,
    run: Run,
) -> dict[str, Any]:
    """Search one more shape on the folds of one repeat."""

    def loss(shape: dict[str, Any]) -> float:
        alone = replace(recipe, shapes=(shape,), strengths=())
        found = _cross_fit(cases, n_levels, splits, alone, by_time, seed, run)
        return _loss(cases, found.margins[0])

    return tuned_shape(loss, recipe.shapes[0], trials=recipe.trials, seed=seed)


def _prepare(
    cases: Cases,
    n_levels: list[int],
    split: Split,
    recipe: Recipe,
    starts: tuple[Floats, Floats],
) -> tuple[FoldData, list[Floats]]:
    train, valid = split
    encoding, numbers = learn_encoding(
        cases.codes[train],
        n_levels,
        cases.target[train],
        cases.weight[train],
        cases.groups[train],
    )
    sides = []
    encoded = (numbers, encoding.apply(cases.codes[valid]))
    for rows, matrix, start in zip(split, encoded, starts, strict=True):
        position, step = cases.asked(rows)
        sides.append(
            (
                cases.at_steps(matrix, position, step),
                cases.event[rows[position], step],
                cases.weight[rows[position]],
                start[step],
            )
        )
    (X, y, weight, offset), (X_valid, y_valid, w_valid, offset_valid) = sides
    data = dataset(X, y, weight=weight, offset=offset)
    held_out = dataset(X_valid, y_valid, weight=w_valid, offset=offset_valid, reference=data)
    margins = []
    X_linear = one_hot_step(X, cases.n_steps)
    judged = one_hot_step(X_valid, cases.n_steps)
    basis = learn_basis(X_linear) if recipe.strengths else None
    fits = [] if basis is None else fit_paths(basis, X_linear, y, weight, recipe.strengths)
    for fit in fits:
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
    found: list[_Repeat],
    weights: Floats,
    strength: float,
    seed: int,
    run: Run,
) -> Ensemble:
    offsets = offsets_of(cases)
    encoding, numbers = learn_encoding(
        cases.codes, n_levels, cases.target, cases.weight, cases.groups
    )
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
