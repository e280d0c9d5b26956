"""How hard the members try: shapes of boosters, penalties of the regression, repeats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from cxpredict.errors import ModelError

__all__ = ["Effort", "Recipe", "recipe_for"]

Effort = Literal["fast", "standard", "thorough"]

FEW_ROWS = 3_000
MANY_ROWS = 20_000
WIDE = 150
"""Columns from which trees see only as many as half of this."""
RARE = 0.05
MAX_ROUNDS = 3_000
PATIENCE = 30


@dataclass(frozen=True)
class Recipe:
    """Members to fit.

    Parameters
    ----------
    shapes : tuple of dict
        LightGBM parameters of each booster.
    strengths : tuple of float
        Inverse penalties to try for the regression on splines, rising.
    n_folds : int
        Inner folds.
    n_repeats : int
        How often each booster is cross-fitted, with another seed and other folds.
    n_refits : int
        How many boosters of each shape and repeat are fitted on all rows, with a seed each.
    trials : int
        Settings that optuna tries for one more booster.
    """

    shapes: tuple[dict[str, Any], ...]
    strengths: tuple[float, ...] = (0.003, 0.03, 0.3, 3.0)
    n_folds: int = 5
    n_repeats: int = 1
    n_refits: int = 1
    trials: int = 0


def recipe_for(effort: str, *, n: int, rate: float, n_steps: int, n_columns: int = 1) -> Recipe:
    """Return the members for a table of this size.

    Parameters
    ----------
    effort : {"fast", "standard", "thorough"}
        One booster and splines; four and splines; or those repeated, and a tuned one.
    n : int
        Rows.
    rate : float
        Share of the rarer outcome.
    n_steps : int
        Answers per row.
    n_columns : int, default 1
        Columns; of many, each tree sees a smaller share.

    Raises
    ------
    ModelError
        Unknown effort.

    Notes
    -----
    Trees are small: churn is mostly additive. One booster draws its thresholds at random (extra
    trees), which errs elsewhere than the others. Under 3,000 rows leaves are smaller and every
    booster is cross-fitted twice; with a rare class (under 5 %) the largest trees stay as
    regularised as the others.

    References
    ----------
    Geurts, Ernst, Wehenkel (2006), Extremely randomized trees.
    """
    if effort not in get_args(Effort):
        raise ModelError(f"effort must be one of {', '.join(get_args(Effort))}; got {effort!r}.")
    leaves = (8, 16, 31) if n >= MANY_ROWS else (4, 8, 16)
    common = _common(n, n_steps)
    share = 1.0 if n_columns <= WIDE else WIDE / 2 / n_columns
    common["feature_fraction"] = min(0.6, share)
    by_node = {"feature_fraction": share, "feature_fraction_bynode": 0.6}
    small, middle, large = ({**common, "num_leaves": k} for k in leaves)
    if n >= FEW_ROWS and rate >= RARE:
        large |= {"learning_rate": 0.03, "lambda_l2": 0.0, **by_node}
    extra = {**middle, "extra_trees": True, "learning_rate": 0.08, **by_node}
    recipe = Recipe(
        (small, middle, large, extra),
        n_folds=3 if n * n_steps >= MANY_ROWS else 5,
        n_repeats=2 if n < FEW_ROWS else 1,
        n_refits=2,
    )
    if effort == "fast":
        return replace(recipe, shapes=(middle,), n_repeats=1)
    if effort == "thorough":
        return replace(recipe, n_repeats=3, trials=30)
    return recipe


def _common(n: int, n_steps: int) -> dict[str, Any]:
    return {
        "learning_rate": 0.05,
        # Answers about one row are not independent: a leaf needs more of them.
        "min_data_in_leaf": int(np.clip(n // 20, 2, 30)) * max(1, n_steps // 2),
        "lambda_l2": 5.0,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
    }
