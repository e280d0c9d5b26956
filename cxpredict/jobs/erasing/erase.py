"""Erasing a person from what runs have written, and telling which models were trained with them."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from cxpredict.config import Config, load_config
from cxpredict.errors import ConfigError, DataError, PublishError
from cxpredict.jobs.erasing.files import REWRITES
from cxpredict.jobs.erasing.person import Person
from cxpredict.jobs.publish import digest, publishing, write_json
from cxpredict.jobs.registry.provenance import fingerprint, pseudonyms
from cxpredict.jobs.registry.recording import CUSTOMERS
from cxpredict.jobs.registry.tracking import Store, every

MANIFEST = "manifest.json"
_UNFINISHED = ".new"
_SKIPPED = (".writing", "models")
"""Folders without tables: temporary files of the store; bundles, which no byte may change."""


@dataclass(frozen=True)
class Erasure:
    """What was removed, and what cannot be.

    Attributes
    ----------
    files : DataFrame
        file (within its folder), rows: what was removed where.
    models : DataFrame
        model, version, alias, trained: ``yes`` for versions whose training rows held the
        customer, ``not recorded`` for those that cannot tell.
    unfinished : tuple of str
        Temporary folders, of jobs that run or were killed, which were not opened: to rewrite a
        file while it is written would spoil it. The next job removes those of killed ones.
    """

    files: pd.DataFrame
    models: pd.DataFrame
    unfinished: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether anything held the customer."""
        return bool(len(self.files) or (self.models["trained"] == "yes").any())


def erase(
    config: str | Path | Config, customer: str, *, also: Sequence[str | Path] = ()
) -> Erasure:
    """Remove a person from the artifacts of a run, and list the models trained with them.

    Parameters
    ----------
    config : str, Path or Config
        The run; everything under its artifacts is looked through.
    customer : str
        Id, as in the records.
    also : sequence of str or Path
        Further folders, such as those that ``score --out`` wrote to.

    Returns
    -------
    Erasure
        Empty tables if nothing held the customer; then no byte was changed.

    Raises
    ------
    ConfigError
        The id is empty, or there is no such folder.
    DataError
        Some files could not be read. All others are done; mend or delete the named ones and run
        again.
    PublishError
        A file could not be written; it is as it was.

    Notes
    -----
    Rewritten are tables that name customers (scores, rejected rows, logged tables) in Parquet, CSV
    and JSON, feature stores, and the lists of customers in reports, where a note takes the place
    of the row. The manifest beside a table counts the rows that are left, says how many were
    erased, and has the new digests, so that the page of these scores can be written again; it
    keeps its run key. A score job of the same inputs, configuration and model finds its result
    there and leaves it. One with ``--force``, or of other inputs, scores whom the sources hold:
    erase in the sources first. Every file is the old or the new one, whole.

    Models are not changed. Whether one was trained with a customer is told from keyed hashes of
    its training customers (HMAC-SHA256), kept with its run; the key is the file ``.salt`` of the
    artifacts, outside what MLflow serves. Without the key nobody can tell who is in such a list;
    whoever holds key and list can test any id they can guess. The hash of an erased customer
    stays, for the model still holds what it learnt of them; train anew without them and delete
    the old version to end that. Evaluation tables hold no ids, but rows of outcomes and scores
    that are the customer's: pseudonymous, as numbers.

    Not touched: the sources (erase there first, or the next run writes the customer anew),
    databases that scores were written to, files of other kinds, copies and backups.
    """
    config = config if isinstance(config, Config) else load_config(config)
    person = Person.of(config, customer)
    store = Store(config.path(config.artifacts))
    folders = [*([store.folder] if store.folder.is_dir() else []), *map(Path, also)]
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"also: there is no folder {folder}")
    found: list[tuple[str, int]] = []
    unread: list[str] = []
    unfinished: list[str] = []
    for folder in folders:
        for place, paths in _by_folder(folder, unfinished):
            found += [
                (str((place / name).relative_to(folder)), rows)
                for name, rows in _erase_in(place, paths, person, unread).items()
            ]
    if unread:
        raise DataError(
            f"{len(unread)} file(s) could not be read and may hold the customer: "
            f"{', '.join(unread[:5])}; all others are done"
        )
    files = pd.DataFrame(found, columns=["file", "rows"])
    return Erasure(files, _trained_with(store, person), tuple(unfinished))


def _by_folder(home: Path, unfinished: list[str]) -> Iterator[tuple[Path, list[Path]]]:
    """Walk the files that may name somebody; note the folders that a job may still write to."""
    for place, folders, names in os.walk(home):
        unfinished += [name for name in folders if name.endswith(_UNFINISHED)]
        folders[:] = sorted(
            name for name in folders if name not in _SKIPPED and not name.endswith(_UNFINISHED)
        )
        paths = [Path(place) / name for name in sorted(names) if Path(name).suffix in REWRITES]
        if paths:
            yield Path(place), paths


def _erase_in(
    place: Path, paths: Iterable[Path], person: Person, unread: list[str]
) -> dict[str, int]:
    """Erase from the files of one folder; with its manifest, if there is one, in one step."""
    written: dict[Path, int] = {}
    try:
        for path in paths:
            if path.name != MANIFEST:
                rows = _rewrite(path, person, unread)
                written |= {path: rows} if rows else {}
        removed = {path.name: rows for path, rows in written.items()}
        if removed and (place / MANIFEST).is_file():
            _republish(place, removed)
        else:
            for path in written:
                _replace(path)
    except OSError as error:
        raise PublishError(f"{place.name}: cannot be rewritten: {error.strerror}") from error
    finally:
        for path in written:
            _beside(path).unlink(missing_ok=True)
    return removed


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.erasing")


def _rewrite(path: Path, person: Person, unread: list[str]) -> int:
    """Write a file without a person beside it; nothing is left where it does not name them."""
    _beside(path).unlink(missing_ok=True)
    rows = 0
    try:
        rows = REWRITES[path.suffix](path, _beside(path), person)
    except (ValueError, LookupError, csv.Error, pa.ArrowException, duckdb.Error):
        unread.append(path.name)
    finally:
        if not rows:
            _beside(path).unlink(missing_ok=True)
    return rows


def _replace(path: Path) -> None:
    shutil.copymode(path, _beside(path))
    with _beside(path).open("rb") as file:
        os.fsync(file.fileno())
    _beside(path).replace(path)


def _republish(place: Path, removed: Mapping[str, int]) -> None:
    """Exchange a folder for one with the rewritten files and a manifest that counts them."""
    manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    with publishing(place) as folder:
        shutil.copytree(place, folder, dirs_exist_ok=True)
        for name in removed:
            before = digest(folder / name)
            _beside(folder / name).replace(folder / name)
            manifest = _redigested(manifest, name, before, digest(folder / name))
        write_json(folder / MANIFEST, _counted(manifest, removed))


def _redigested(manifest: Any, name: str, before: str, after: str) -> Any:
    """Give the new digest wherever the old one stands under the name of the file."""
    if not isinstance(manifest, dict):
        return manifest
    return {
        key: after if key == name and told == before else _redigested(told, name, before, after)
        for key, told in manifest.items()
    }


def _counted(manifest: dict[str, Any], removed: Mapping[str, int]) -> dict[str, Any]:
    """Count what is left and what was erased; the counts of what was read stay as they were.

    A table may stand there in several formats, so the largest count is that of rows.
    """
    rejected = max((n for name, n in removed.items() if name.startswith("rejects")), default=0)
    scored = max((n for name, n in removed.items() if not name.startswith("rejects")), default=0)
    rows = manifest.setdefault("rows", {})
    if "scored" in rows:
        rows["scored"] -= scored
    erased = rows.setdefault("erased", {"scored": 0, "rejected": 0})
    erased["scored"] += scored
    erased["rejected"] += rejected
    return manifest


def _trained_with(store: Store, person: Person) -> pd.DataFrame:
    """Ask every registered version whether its training rows held a person."""
    found = []
    if store.database.is_file():
        salt = store.salt if (store.folder / ".salt").is_file() else None
        own = None if salt is None else (fingerprint(salt), *pseudonyms(salt, [person.customer]))
        client = store.client
        aliases = {
            (model.name, str(version)): alias
            for model in every(client.search_registered_models)
            for alias, version in sorted(model.aliases.items())
        }
        for version in every(client.search_model_versions):
            trained = _held(client, version, own)
            if trained != "no":
                alias = aliases.get((version.name, str(version.version)), "")
                found.append((version.name, int(version.version), alias, trained))
    columns = ["model", "version", "alias", "trained"]
    return pd.DataFrame(sorted(found), columns=columns)


def _held(client: Any, version: Any, own: tuple[str, ...] | None) -> str:
    from mlflow.exceptions import MlflowException

    try:
        kept = json.loads(Path(client.download_artifacts(version.run_id, CUSTOMERS)).read_text())
    except (MlflowException, OSError, ValueError):
        return "not recorded"
    if own is None or kept.get("salt") != own[0]:
        return "not recorded"
    return "yes" if own[1] in kept["customers"] else "no"
