"""The model registry: champions and challengers, logged and loaded as bundles."""

from __future__ import annotations

import filecmp
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from cxpredict import __version__
from cxpredict.errors import ModelError
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.recording import describe, describe_name, model_tags
from cxpredict.jobs.results import TrainedModel
from cxpredict.jobs.tracking import Store, local_path, quiet

PREDICTING = ("lightgbm", "mlflow", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy")
"""Packages that a bundle needs to predict."""


def register(
    store: Store, trained: TrainedModel, X: pd.DataFrame, *, tags: Mapping[str, str] | None = None
) -> tuple[str, str, str]:
    """Register a bundle as a pyfunc model of the active run, unless it is there already.

    Parameters
    ----------
    store : Store
        Where.
    trained : TrainedModel
        The model with its evidence, which describes the version.
    X : DataFrame
        Features it was trained on: their names and kinds make the signature.
    tags : mapping, optional
        Further tags of a new version, such as the key of the run.

    Returns
    -------
    version, alias, digest : str
        Alias ``refused`` if the gate did not let it pass, else ``champion`` if the name has none
        yet, else ``challenger``; SHA-256 of the bundle.

    Notes
    -----
    The same bundle is registered once: its version is found by the digest, under the lock of the
    store. A version that is champion stays as it is; one that was keeps its alias. Any other has
    the alias, and all have the tags, of the gate's latest decision, the one against the champion
    of today.
    """
    bundle, client = trained.bundle, store.client
    with store.writing(), TemporaryDirectory() as folder:
        saved = Path(folder) / "bundle"
        digest = bundle.save(saved)
        _describe_name(client, bundle)
        version = _find(client, bundle.name, digest, saved)
        if version is None:
            found = {"bundle_sha256": digest, **model_tags(trained), **(tags or {})}
            version = _add(client, trained, _log(bundle, saved, X), found)
        alias = _place(client, trained, version)
    return version, alias, digest


def _log(bundle: Bundle, saved: Path, X: pd.DataFrame) -> Any:
    """Log a saved bundle to the active run as a pyfunc model."""
    import mlflow

    return mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(__file__).with_name("pyfunc.py")),
        artifacts={"bundle": str(saved)},
        pip_requirements=requirements(),
        signature=_signature(bundle, X),
    )


def requirements() -> list[str]:
    """Pin what a bundle needs to predict, exactly as installed.

    Examples
    --------
    >>> [pin.split("==")[0] for pin in requirements()][:2]
    ['cxpredict', 'lightgbm']
    """
    return [
        f"cxpredict=={__version__}",
        *(f"{name}=={metadata.version(name)}" for name in PREDICTING),
    ]


def _describe_name(client: Any, bundle: Bundle) -> None:
    words, found = describe_name(bundle), client.search_registered_models(f"name = '{bundle.name}'")
    if not found:
        client.create_registered_model(bundle.name, {"kind": bundle.kind}, words)
    elif found[0].description != words:
        client.update_registered_model(bundle.name, words)


def _find(client: Any, name: str, digest: str, saved: Path) -> str | None:
    """Look up the oldest version that holds a bundle, to the byte: its files may be damaged."""
    from mlflow.exceptions import MlflowException

    found = client.search_model_versions(f"name = '{name}' and tag.bundle_sha256 = '{digest}'")
    for each in sorted(found, key=lambda each: int(each.version)):
        with suppress(MlflowException):  # a logged model may be deleted, its version not
            logged = client.get_logged_model(each.source.removeprefix("models:/"))
            kept = local_path(logged.artifact_location) / "artifacts" / "bundle"
            names = [path.name for path in saved.iterdir()]
            _, different, unread = filecmp.cmpfiles(saved, kept, names, shallow=False)
            if not different and not unread:
                return str(each.version)
    return None


def _add(client: Any, trained: TrainedModel, model: Any, tags: Mapping[str, str]) -> str:
    import mlflow

    added = client.create_model_version(
        trained.bundle.name,
        source=model.model_uri,
        run_id=mlflow.active_run().info.run_id,
        tags=dict(tags),
        description=describe(trained),
        model_id=model.model_id,
    )
    return str(added.version)


def _place(client: Any, trained: TrainedModel, version: str) -> str:
    """Give a version the gate's decision and the alias that goes with it."""
    name = trained.bundle.name
    aliases = {
        alias: str(number) for alias, number in client.get_registered_model(name).aliases.items()
    }
    if aliases.get("champion") == version:  # judged against itself
        return "champion"
    for key, value in model_tags(trained).items():
        client.set_model_version_tag(name, version, key, value)
    client.update_model_version(name, version, describe(trained))
    if aliases.get("archived") == version:
        return "archived"
    passed = "challenger" if "champion" in aliases else "champion"
    placed = passed if trained.gate.passed else "refused"
    for alias in {"challenger", "refused"} - {placed}:
        if aliases.get(alias) == version:
            client.delete_registered_model_alias(name, alias)
    client.set_registered_model_alias(name, placed, version)
    return placed


def _signature(bundle: Bundle, X: pd.DataFrame) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = [
        ColSpec("string" if X[name].dtype == "category" else "double", name, required=False)
        for name in X.columns
    ]
    outputs = bundle.risk(X.head(1))
    kinds = ["string" if outputs[name].dtype == "str" else "double" for name in outputs]
    columns = [ColSpec(kind, name) for kind, name in zip(kinds, outputs, strict=True)]
    return ModelSignature(Schema(inputs), Schema(columns))


def champion_of(store: Store, name: str) -> Bundle | None:
    """Load the champion of a name; None if it has none."""
    with quiet():
        found = store.client.search_registered_models(f"name = '{name}'")
    if not found or "champion" not in found[0].aliases:
        return None
    return load_bundle(f"models:/{name}@champion", artifacts=store.folder)


def load_bundle(source: str | Path, *, artifacts: str | Path = "artifacts") -> Bundle:
    """Load a model bundle from a folder or from the registry.

    Parameters
    ----------
    source : str or Path
        A bundle folder, or ``models:/name@alias`` or ``models:/name/version``.
    artifacts : str or Path, default "artifacts"
        The artifacts folder whose registry is asked.

    Returns
    -------
    Bundle
        With its registry version, or its digest, as `version`.

    Raises
    ------
    ModelError
        There is no such model, or the bundle was changed.
    """
    if not str(source).startswith("models:/"):
        return Bundle.load(Path(source))
    import mlflow
    from mlflow.exceptions import MlflowException

    store = Store(Path(artifacts).resolve())
    name, version = _parse_model_uri(str(source))
    if not (store.folder / "mlflow.db").is_file():
        raise ModelError(f"{source}: no model store under {store.folder.name}/; train first")
    with quiet():
        try:
            if version.startswith("@"):
                found = store.client.get_model_version_by_alias(name, version[1:])
            else:
                found = store.client.get_model_version(name, version)
            logged = store.client.get_logged_model(found.source.removeprefix("models:/"))
            folder = mlflow.artifacts.download_artifacts(
                logged.artifact_location, tracking_uri=store.uri
            )
        except MlflowException as error:
            raise ModelError(f"{source}: {_absent(store, name, version)}") from error
    return Bundle.load(Path(folder) / "artifacts" / "bundle", version=str(found.version))


def _absent(store: Store, name: str, version: str) -> str:
    """Say why there is no such version, and what to do."""
    found = store.client.search_registered_models(f"name = '{name}'")
    if version == "@champion" and found and "refused" in found[0].aliases:
        return "no version has passed the promotion gate; the report says why"
    return "no such model in the registry; train first"


def _parse_model_uri(uri: str) -> tuple[str, str]:
    rest = uri.removeprefix("models:/")
    for mark in ("@", "/"):
        name, found, version = rest.partition(mark)
        if found and name and version:
            return name, f"@{version}" if mark == "@" else version
    raise ModelError(f"{uri}: expected models:/name@alias or models:/name/version")
