"""Fit the members of a churn or satisfaction model: recipe, inner folds, ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cxpredict.models.ensemble import Ensemble
from cxpredict.models.ensemble.cases import Cases
from cxpredict.models.ensemble.fit import HeldOut, fit_ensemble
from cxpredict.models.ensemble.recipes import recipe_for
from cxpredict.models.inputs import TrainingRows, class_counts
from cxpredict.models.resampling import validation_splits

__all__ = ["fit_members"]

Floats = npt.NDArray[np.float64]


def fit_members(
    model: Any, rows: TrainingRows, cases: Cases, outcome: Floats, rng: np.random.Generator
) -> tuple[Ensemble, HeldOut]:
    """Choose members and inner folds for a model, and fit them.

    Parameters
    ----------
    model : estimator
        With `effort`, `n_jobs` and `columns_`.
    rows : TrainingRows
        Rows to learn from.
    cases : Cases
        The same rows as questions.
    outcome : ndarray of {0., 1.}, shape (n,)
        Churn, or a low score: each inner fold gets its share of both.
    rng : numpy.random.Generator
        Source of folds and seeds.

    Returns
    -------
    tuple of (Ensemble, HeldOut)
        The members on all rows; margins from members that have not seen the row's customer.

    Raises
    ------
    ModelError
        Unknown effort, or an outcome of fewer than two customers.
    """
    rate = float(np.average(outcome, weights=rows.weight))
    recipe = recipe_for(
        model.effort,
        n=len(outcome),
        rate=min(rate, 1.0 - rate),
        n_steps=cases.n_steps,
        n_columns=cases.codes.shape[1],
    )
    repeats, by_customer = validation_splits(
        outcome,
        rows.groups,
        dates=rows.dates,
        n_folds=recipe.n_folds,
        n_repeats=recipe.n_repeats,
        rng=rng,
        counts=class_counts(rows.y),
    )
    return fit_ensemble(
        cases,
        model.columns_.n_levels,
        repeats,
        recipe,
        calibrate_on=by_customer,
        seed=int(rng.integers(2**30)),
        n_jobs=model.n_jobs,
    )
