"""A bundle as it is logged to MLflow: its inputs and outputs, an example, pinned packages."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxpredict.jobs.bundle import PACKAGES, Bundle

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

__all__ = [
    "DIGEST",
    "RESULTS",
    "TEXTS",
    "VALUE",
    "input_example",
    "pyfunc_arguments",
    "requirements",
    "signature_of",
    "takes_value",
]

VALUE = "value_if_kept"
"""Input column with the money that a customer who stays brings; it may be missing."""
DIGEST = "bundle_sha256"
"""Where a logged model and a registered version keep the digest of the bundle."""
_REASONS = ["reason_1", "reason_2", "reason_3"]
TEXTS = ("risk_band", *_REASONS)
RESULTS = {
    "churn": ["probability", "low", "high", "risk_band", "value_at_risk", *_REASONS],
    "satisfaction": ["probability", "low", "high", "risk_band", "expected_score", *_REASONS],
}
_EXAMPLE_ROWS = 3


def signature_of(bundle: Bundle) -> ModelSignature:
    """Describe the inputs and outputs of the logged model.

    Notes
    -----
    Inputs have MLflow's type ``Any`` and are optional for MLflow: its own check refuses categories
    and whole numbers where it was told a number, and prints rows of the data when it refuses. The
    bundle checks instead, by name and kind, and says which column to mend.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    names = [*bundle.model.columns_.names, *([VALUE] if takes_value(bundle) else [])]
    results = [
        ColSpec("string" if name in TEXTS else "double", name) for name in RESULTS[bundle.kind]
    ]
    inputs = [ColSpec(AnyType(), name, required=False) for name in names]
    return ModelSignature(Schema(inputs), Schema(results))


def input_example(bundle: Bundle) -> pd.DataFrame:
    """Make rows that no customer has: an example to call the logged model with.

    Returns
    -------
    DataFrame, shape (3, number of inputs)
        Numbers are quantiles of the training rows, texts levels that many customers share, both
        from the baseline; without one numbers are medians and texts missing.

    Notes
    -----
    Each column is filled on its own, from what is known of all customers together.
    """
    columns = {
        column.name: _example_values(bundle, column.name, column.kind)
        for column in bundle.model.columns_.columns
    }
    if takes_value(bundle):
        columns[VALUE] = [100.0, 100.0, None]
    return pd.DataFrame(columns)


def pyfunc_arguments(bundle: Bundle, folder: Path, digest: str) -> dict[str, Any]:
    """Give what ``mlflow.pyfunc.log_model`` or ``save_model`` takes to log a saved bundle.

    Parameters
    ----------
    bundle : Bundle
        The model.
    folder : Path
        Where it was saved.
    digest : str
        What `Bundle.save` returned. It is kept with the configuration of the logged model, outside
        the bundle; ``load_model(uri, model_config={"bundle_sha256": digest})`` takes the one that
        the caller knows, such as the tag of the registered version.

    Returns
    -------
    dict
        ``python_model`` (code, no object), ``artifacts``, ``model_config``, ``metadata`` (kind of
        each input), ``pip_requirements``, ``signature`` and ``input_example``.

    Notes
    -----
    Whoever can write the logged folder can change its configuration, and its code, as well: that
    digest finds damage and a bundle taken from elsewhere. Against an attacker give the digest of
    the registry, or load the bundle with `load_bundle`.
    """
    return {
        "python_model": str(Path(__file__).with_name("pyfunc.py")),
        "artifacts": {"bundle": str(folder)},
        "model_config": {DIGEST: digest},
        "metadata": {"columns": _kinds(bundle)},
        "pip_requirements": requirements(),
        "signature": signature_of(bundle),
        "input_example": input_example(bundle),
    }


def requirements() -> list[str]:
    """Pin what a bundle needs to predict, exactly as installed.

    Examples
    --------
    >>> [pin.split("==")[0] for pin in requirements()][:2]
    ['cxpredict', 'lightgbm']
    """
    return [f"{package}=={version(package)}" for package in (*PACKAGES, "mlflow", "pyarrow")]


def takes_value(bundle: Bundle) -> bool:
    """Money is lost with a customer who leaves, and no feature has its name."""
    return bundle.kind == "churn" and VALUE not in bundle.model.columns_.names


def _kinds(bundle: Bundle) -> dict[str, str]:
    """Say what each input holds: number, flag or category."""
    kinds = {column.name: column.kind for column in bundle.model.columns_.columns}
    return {**kinds, **({VALUE: "number"} if takes_value(bundle) else {})}


def _example_values(bundle: Bundle, name: str, kind: str) -> list[Any]:
    """Fill one column of the example with what many customers have in common."""
    known = ((bundle.baseline or {}).get("features") or {}).get(name) or {}
    if kind == "category":
        return _spread(known.get("levels") or [None])
    if kind == "flag":
        return _spread([False, True])
    typical = None if bundle.basis is None else bundle.basis.typical.get(name)
    return _spread(known.get("edges") or [typical])


def _spread(values: list[Any]) -> list[Any]:
    """Take as many values as the example has rows, from the first to the last; rounded."""
    places = np.linspace(0, len(values) - 1, _EXAMPLE_ROWS).round().astype(int)
    chosen = [values[place] for place in places]
    return [float(f"{value:.3g}") if isinstance(value, float) else value for value in chosen]
