"""What the logged MLflow model answers: one row of results for each row of features."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cxpredict.errors import ModelError
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.registry.logged import RESULTS, TEXTS, VALUE, takes_value
from cxpredict.jobs.scoring.rows import score_rows
from cxpredict.jobs.scoring.table import PROBABILITY
from cxpredict.models.columns.kinds import as_numbers, recognise

__all__ = ["predict_frame", "with_nulls"]


def predict_frame(bundle: Bundle, features: pd.DataFrame) -> pd.DataFrame:
    """Predict as the logged model does.

    Parameters
    ----------
    bundle : Bundle
        The model.
    features : DataFrame
        Columns by name, in any order, others beside them; numbers and flags of any dtype, nullable
        or not, text or categories. A column that had gaps in training may be missing. For churn
        `value_if_kept` is the money a customer who stays brings.

    Returns
    -------
    DataFrame, index of `features`
        probability, low, high (95 % interval), risk_band; for churn value_at_risk (missing where
        `value_if_kept` is), for satisfaction expected_score; reason_1, reason_2, reason_3 (an
        empty text where nothing more raises the risk). What `score_rows` gives, bit for bit.

    Raises
    ------
    ModelError
        A column is missing that had no gaps in training, is there twice, or holds something other
        than in training. The message names columns, never their values.
    """
    X = _complete(bundle, features)
    worth = _worth(bundle, features)
    if not len(X):
        return _no_rows(bundle)
    # neither who nor when enters a prediction
    X.index = pd.MultiIndex.from_arrays(
        [np.arange(len(X)).astype("str"), [pd.NaT] * len(X)], names=["customer_id", "as_of"]
    )
    scores = score_rows(bundle, X, worth=None if worth is None else worth.set_axis(X.index))
    scores = scores.rename(columns={PROBABILITY[bundle.kind]: "probability"})
    return scores[RESULTS[bundle.kind]].set_axis(features.index)


def with_nulls(results: pd.DataFrame) -> pd.DataFrame:
    """Write an unknown value at risk as None: MLflow's server would answer ``NaN``, no JSON."""
    if "value_at_risk" not in results or results["value_at_risk"].notna().all():
        return results
    money = results["value_at_risk"].astype("object")
    return results.assign(value_at_risk=money.where(money.notna(), None))


def _complete(bundle: Bundle, features: pd.DataFrame) -> pd.DataFrame:
    """Take the model's columns; add those that may be missing, as gaps."""
    if not isinstance(features, pd.DataFrame):
        raise ModelError(f"expected a frame of features, found {type(features).__name__}")
    names = bundle.model.columns_.names
    X = features[[name for name in features.columns if name in set(names)]]
    report = bundle.model.column_report_
    optional = report["column"][(report["n_missing"] > 0) | (report["dropped"] != "")]
    absent = [name for name in optional if name not in X.columns]
    missing = [name for name in names if name not in X.columns and name not in set(absent)]
    if missing:
        raise ModelError(
            f"{len(missing)} of the {len(names)} columns of the model are missing: {missing[:5]}; "
            "renamed columns need their old name back"
        )
    gaps = pd.DataFrame(np.nan, index=X.index, columns=absent)
    return pd.concat([_as_floats(bundle, X), gaps], axis=1)


def _as_floats(bundle: Bundle, X: pd.DataFrame) -> pd.DataFrame:
    """Give numbers the dtype they have in a table of features, whatever brought them."""
    numbers = {column.name for column in bundle.model.columns_.columns if column.kind == "number"}
    turned = {
        name: as_numbers(X[name])
        for name in X.columns[X.dtypes != "float64"]
        if name in numbers and recognise(X[name]) == "number"
    }
    return X.assign(**turned)


def _worth(bundle: Bundle, features: pd.DataFrame) -> pd.Series | None:
    if not takes_value(bundle) or VALUE not in features.columns:
        return None
    column = features[VALUE]
    if isinstance(column, pd.DataFrame):
        raise ModelError(f"{VALUE}: expected one column, found {column.shape[1]}")
    try:
        worth = pd.to_numeric(column.astype("object").where(column.notna(), np.nan))
        worth = worth.astype("float64")
    except (TypeError, ValueError):
        raise ModelError(f"{VALUE}: expected numbers, found other values") from None
    if np.isinf(worth).any():
        raise ModelError(f"{VALUE}: expected numbers, found infinite ones")
    return worth


def _no_rows(bundle: Bundle) -> pd.DataFrame:
    return pd.DataFrame(
        {
            name: pd.Series(dtype="str" if name in TEXTS else "float64")
            for name in RESULTS[bundle.kind]
        }
    )
