"""Explain a fitted model on some rows."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from cxpredict.data.checks import check_count, check_level, check_seed
from cxpredict.drivers.contributions import Drivers
from cxpredict.drivers.flags import unknown_names
from cxpredict.drivers.grouping import Floats
from cxpredict.errors import ConfigError, DataError, EmptyDataError, ModelError
from cxpredict.features.origin import Origin, origins_of


class ExplainableModel(Protocol):
    """A fitted model that splits its log-odds margin into contributions of its features."""

    @property
    def feature_names_in_(self) -> Any:
        """Names of the features, in order."""

    def contributions(self, X: pd.DataFrame) -> tuple[Floats, float]:
        """Return values of shape (n, p) and the base they start from."""


def explain(
    model: ExplainableModel,
    X: pd.DataFrame,
    *,
    origins: Mapping[str, Origin] | None = None,
    actionable: Sequence[str] = (),
    max_rows: int | None = None,
    level: float = 0.95,
    random_state: int = 0,
) -> Drivers:
    """Explain what moves a model's score.

    Parameters
    ----------
    model : ExplainableModel
        A fitted `ChurnModel`, `SatisfactionModel` or other model with ``contributions``.
    X : DataFrame, shape (n, p)
        The customers to explain. Rows with the same ``customer_id`` in the index are drawn
        together in the bootstrap.
    origins : mapping of str to Origin, optional
        Where features come from; default `origins_of` (X). A feature without an origin counts as
        an attribute of the customer.
    actionable : sequence of str
        What the company can change: names of features, columns, kinds, touchpoints or channels.
    max_rows : int, optional
        Explain a random sample of at most so many rows; default all.
    level : float in (0, 1)
        Level of the intervals.
    random_state : int
        Seed of the sample and the bootstrap.

    Returns
    -------
    Drivers

    Raises
    ------
    ModelError
        The model has no contributions, or they do not fit X.
    DataError
        X is no DataFrame or lacks a feature of the model, or the level or the seed is none; an
        EmptyDataError when X has no rows.
    ConfigError
        A name in `actionable` belongs to no feature of the model, or `max_rows` is no number of
        rows.

    Notes
    -----
    Contributions are SHAP values, additive on the log-odds margin: base + sum = margin. They
    describe the model, not causes. Intervals hold the model as it is; `cxpredict.driver_stability`
    refits it.

    References
    ----------
    Lundberg, Lee (2017): A unified approach to interpreting model predictions. NeurIPS.

    Examples
    --------
    >>> class Linear:
    ...     feature_names_in_ = ["complaints"]
    ...
    ...     def contributions(self, X):
    ...         return 0.5 * (X.to_numpy(float) - 1), -2.0
    >>> drivers = explain(Linear(), pd.DataFrame({"complaints": [0, 3]}))
    >>> drivers.table[["feature", "importance", "direction"]]
          feature  importance      direction
    0  complaints        0.75  higher raises
    """
    if not hasattr(model, "contributions"):
        raise ModelError(f"expected a model with contributions, got {type(model).__name__}.")
    check_level(level)
    check_seed(random_state)
    if max_rows is not None:
        check_count("max_rows", max_rows)
    if not isinstance(X, pd.DataFrame):
        raise DataError(f"X: expected a DataFrame with named columns, got {type(X).__name__}.")
    if not len(X):
        raise EmptyDataError("there are no rows to explain.")
    names = [str(name) for name in model.feature_names_in_]
    missing = [name for name in names if name not in X.columns]
    if missing:
        raise DataError(f"X lacks {len(missing)} features of the model: {missing[:5]}.")
    known = {**origins_of(X), **(origins or {})}
    of_model = {name: known[name] for name in names}
    if unknown := unknown_names(of_model, actionable):
        raise ConfigError(
            f"actionable: expected names of features, columns, kinds, touchpoints or channels of "
            f"the model; {unknown[:5]} are none."
        )
    if max_rows is not None and len(X) > max_rows:
        rng = np.random.default_rng(random_state)
        X = X.iloc[np.sort(rng.choice(len(X), max_rows, replace=False))]
    values, base = model.contributions(X)
    if values.shape != (len(X), len(names)):
        raise ModelError(
            f"expected contributions of shape {(len(X), len(names))}, got {values.shape}."
        )
    X = X[names]
    contributions = pd.DataFrame(values, index=X.index, columns=names)
    return Drivers(contributions, float(base), X, of_model, level, random_state, tuple(actionable))
