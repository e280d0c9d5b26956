"""What the fitted models store in common, as strings, numbers and lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cxpredict.errors import ModelError
from cxpredict.models.columns import ColumnPlan
from cxpredict.models.ensemble import Ensemble

__all__ = ["expect_state", "restore_shared", "shared_state"]


def shared_state(model: Any) -> dict[str, Any]:
    """Return columns, members and settings of a fitted model as JSON-able dict."""
    return {
        "effort": model.effort,
        "random_state": _whole(model.random_state),
        "n_jobs": _whole(model.n_jobs),
        "named": hasattr(model, "feature_names_in_"),
        "columns": model.columns_.to_state(),
        "column_report": model.column_report_.to_dict(orient="list"),
        "n_missing_target": model.n_missing_target_,
        "members": model.members_.to_dict(orient="list"),
        "ensemble": model.ensemble_.to_state(),
    }


def _whole(value: Any) -> int | None:
    """Return a whole number as int; a generator cannot be written down."""
    return int(value) if isinstance(value, int | np.integer) else None


def restore_shared(model: Any, state: dict[str, Any]) -> None:
    """Set the fitted attributes of a model from `shared_state`."""
    model.columns_ = ColumnPlan.from_state(state["columns"])
    model.n_features_in_ = len(model.columns_.columns)
    if state["named"]:
        model.feature_names_in_ = np.array(model.columns_.names, dtype=object)
    model.column_report_ = pd.DataFrame(state["column_report"])
    model.n_missing_target_ = state["n_missing_target"]
    model.members_ = pd.DataFrame(state["members"])
    model.ensemble_ = Ensemble.from_state(state["ensemble"])


def expect_state(state: dict[str, Any], name: str) -> None:
    """Raise ModelError unless the state was written by the model of this name."""
    found = state.get("model") if isinstance(state, dict) else type(state).__name__
    if found != name:
        raise ModelError(f"Expected the state of a {name}; got that of {found!r}.")
