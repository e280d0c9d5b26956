"""The model registry: champions and challengers, logged and loaded as bundles."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from cxpredict.errors import ModelError
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.results import TrainedModel
from cxpredict.jobs.tracking import Store, describe, gate_tags, quiet


def register(store: Store, trained: TrainedModel, X: pd.DataFrame) -> tuple[str, str, str]:
    """Log a bundle to the active run as a pyfunc model and register it.

    Parameters
    ----------
    store : Store
        Where.
    trained : TrainedModel
        The model with its evidence, which describes the version.
    X : DataFrame
        Features it was trained on: their names and kinds make the signature.

    Returns
    -------
    version, alias, digest : str
        Alias ``refused`` if the gate did not let it pass, else ``champion`` if the name has none
        yet, else ``challenger``; SHA-256 of the bundle.
    """
    import mlflow

    from cxpredict import __version__

    bundle, client = trained.bundle, store.client
    with TemporaryDirectory() as folder:
        saved = Path(folder) / "bundle"
        digest = bundle.save(saved)
        model = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("pyfunc.py")),
            artifacts={"bundle": str(saved)},
            pip_requirements=[f"cxpredict=={__version__}"],
            signature=_signature(bundle, X),
        )
    if not client.search_registered_models(f"name = '{bundle.name}'"):
        client.create_registered_model(bundle.name)
    version = client.create_model_version(
        bundle.name,
        source=model.model_uri,
        run_id=mlflow.active_run().info.run_id,
        tags={"bundle_sha256": digest, "kind": bundle.kind, **gate_tags(trained.gate)},
        description=describe(trained),
        model_id=model.model_id,
    ).version
    aliases = client.get_registered_model(bundle.name).aliases
    passed = "challenger" if "champion" in aliases else "champion"
    alias = passed if trained.gate.passed else "refused"
    client.set_registered_model_alias(bundle.name, alias, version)
    return str(version), alias, digest


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


def load_bundle(
    source: str | Path,
    *,
    digest: str | None = None,
    key: str | Path | None = None,
    artifacts: str | Path = "artifacts",
) -> Bundle:
    """Load a model bundle from a folder or from the registry.

    Parameters
    ----------
    source : str or Path
        A bundle folder, or ``models:/name@alias`` or ``models:/name/version``.
    digest : str, optional
        SHA-256 that `Bundle.save` returned. A folder needs it, or the key; a registered version
        has it as its tag ``bundle_sha256``, which must be the same if both are there.
    key : str or Path, optional
        File with the secret that the bundle was signed with, or ``env:NAME``.
    artifacts : str or Path, default "artifacts"
        The artifacts folder whose registry is asked.

    Returns
    -------
    Bundle
        With its registry version, or the beginning of its digest, as `version`.

    Raises
    ------
    ModelError
        There is no such model, nobody vouches for the bundle, or it was changed.
    ConfigError
        There is no key, or it is too short.

    Notes
    -----
    Digests are checked before any parser sees a byte, against what is kept outside the bundle.
    Whoever can write both the files and the registry's database can still replace a model; a key
    kept elsewhere finds that too.
    """
    if not str(source).startswith("models:/"):
        return Bundle.load(source, digest=digest, key=key)
    store = Store(Path(artifacts).resolve())
    name, version = _parse_model_uri(str(source))
    if not (store.folder / "mlflow.db").is_file():
        raise ModelError(f"{source}: no model store under {store.folder.name}/; train first")
    with quiet():
        found = _find_version(store, name, version)
        folder = _fetch(store, found)
    kept = found.tags.get("bundle_sha256")
    if kept is None:
        raise ModelError(f"{source}: the version has no tag bundle_sha256; train it again")
    if digest is not None and digest.lower() != kept:
        raise ModelError(f"{source}: the registered version has another digest than the one given")
    return Bundle.load(folder, digest=kept, key=key, version=str(found.version))


def _find_version(store: Store, name: str, version: str) -> Any:
    """Ask the registry for a version by number or alias."""
    from mlflow.exceptions import MlflowException

    try:
        if version.startswith("@"):
            return store.client.get_model_version_by_alias(name, version[1:])
        return store.client.get_model_version(name, version)
    except MlflowException as error:
        mark = version if version.startswith("@") else f"/{version}"
        raise ModelError(f"models:/{name}{mark}: {_absent(store, name, version)}") from error


def _fetch(store: Store, found: Any) -> Path:
    """Bring the bundle of a version to this machine, if it is not here already."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        logged = store.client.get_logged_model(found.source.removeprefix("models:/"))
        place = f"{logged.artifact_location}/artifacts/bundle"
        return Path(mlflow.artifacts.download_artifacts(place, tracking_uri=store.uri))
    except (MlflowException, OSError) as error:
        raise ModelError(
            f"models:/{found.name}/{found.version}: its files are gone; train it again"
        ) from error


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
