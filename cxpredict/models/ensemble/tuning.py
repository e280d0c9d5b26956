"""One more shape of booster, whose settings optuna tunes on the held-out loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cxpredict.errors import ModelError

__all__ = ["tuned_shape"]


def tuned_shape(
    loss: Callable[[dict[str, Any]], float], start: dict[str, Any], *, trials: int, seed: int
) -> dict[str, Any]:
    """Search LightGBM parameters with the lowest held-out log loss.

    Parameters
    ----------
    loss : callable
        Held-out log loss of one shape.
    start : dict
        The shape to begin with; settings that are not searched stay.
    trials : int
        Settings to try.
    seed : int
        Seed of the search (tree-structured Parzen estimator).

    Returns
    -------
    dict
        The best shape, `start` among them.

    Raises
    ------
    ModelError
        optuna is not installed.

    References
    ----------
    Akiba et al. (2019), Optuna: a next-generation hyperparameter optimization framework.
    """
    try:
        import optuna
    except ImportError:
        raise ModelError(
            "effort='thorough' needs optuna: pip install 'cxpredict[tune]', or take "
            "effort='standard'."
        ) from None

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial({name: start[name] for name in _SEARCHED if name in start})
    study.optimize(lambda trial: loss({**start, **_suggest(trial)}), n_trials=trials)
    return {**start, **study.best_params}


_SEARCHED = (
    "learning_rate",
    "num_leaves",
    "min_data_in_leaf",
    "lambda_l2",
    "feature_fraction",
    "bagging_fraction",
)


def _suggest(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 3, 64, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 2, 200, log=True),
        "lambda_l2": trial.suggest_float("lambda_l2", 1e-3, 50.0, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.2, 1.0),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.4, 1.0),
    }
