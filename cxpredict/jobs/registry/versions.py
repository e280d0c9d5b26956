"""The model registry: champions and challengers, logged and loaded as bundles."""

from __future__ import annotations

import filecmp
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cxpredict.errors import ModelError
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.registry.logged import pyfunc_arguments
from cxpredict.jobs.registry.recording import describe, describe_name, model_tags
from cxpredict.jobs.registry.tracking import Store, local_path, quiet, registered
from cxpredict.jobs.results import TrainedModel


def register(
    store: Store, trained: TrainedModel, *, tags: Mapping[str, str] | None = None
) -> tuple[str, str, str]:
    """Register a bundle as a pyfunc model of the active run, unless it is there already.

    Parameters
    ----------
    store : Store
        Where.
    trained : TrainedModel
        The model with its evidence, which describes the version.
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
            version = _add(client, trained, _log(bundle, saved, digest), found)
        alias = _place(client, trained, version)
    return version, alias, digest


def _log(bundle: Bundle, saved: Path, digest: str) -> Any:
    """Log a saved bundle to the active run as a pyfunc model."""
    import mlflow

    return mlflow.pyfunc.log_model(name="model", **pyfunc_arguments(bundle, saved, digest))


def _describe_name(client: Any, bundle: Bundle) -> None:
    words, found = describe_name(bundle), registered(client, bundle.name)
    if found is None:
        client.create_registered_model(bundle.name, {"kind": bundle.kind}, words)
    elif found.description != words:
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


def champion_of(store: Store, name: str) -> Bundle | None:
    """Load the champion of a name; None if it has none."""
    with quiet():
        found = registered(store.client, name)
    if found is None or "champion" not in found.aliases:
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
    found = registered(store.client, name)
    if found is None:
        return "no such model in the registry; train first"
    if version == "@champion" and "refused" in found.aliases:
        return "no version has passed the promotion gate; the report says why"
    known = ", ".join(sorted(found.aliases)[:5]) or "none"
    return f"the model has no such version or alias; its aliases are: {known}"


def _parse_model_uri(uri: str) -> tuple[str, str]:
    rest = uri.removeprefix("models:/")
    for mark in ("@", "/"):
        name, found, version = rest.partition(mark)
        if found and name and version:
            return name, f"@{version}" if mark == "@" else version
    raise ModelError(f"{uri}: expected models:/name@alias or models:/name/version")
