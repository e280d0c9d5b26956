"""Bundles on disk: written whole, read once into memory, and only if somebody vouches for them."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from cxpredict.errors import ModelError
from cxpredict.jobs.bundle.manifest import (
    LARGEST_MANIFEST,
    MANIFEST,
    SIGNATURE,
    check_digest,
    check_files,
    check_signature,
    declared,
    sign,
    some,
)
from cxpredict.jobs.publish import publishing

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["read_folder", "write_folder"]

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".whl", ".jar")
_ATTEMPTS, _PAUSE = 5, 0.005
_MOST_ENTRIES = 2_000
_SIGNATURE_BYTES = 64


class _ReplacedError(Exception):
    """The folder is gone, or was replaced by a newer one while it was read."""


def write_folder(folder: Path, files: Mapping[str, bytes], *, key: str | Path | None) -> str:
    """Write files as a folder, whole or not at all; return the SHA-256 of the manifest."""
    signature = None if key is None else sign(files[MANIFEST], key)
    with publishing(folder, ours=_names_of_bundle(folder)) as new:
        for name, content in files.items():
            (new / name).write_bytes(content)
        if signature is not None:
            (new / SIGNATURE).write_bytes(signature)
    return sha256(files[MANIFEST]).hexdigest()


def _names_of_bundle(folder: Path) -> set[str]:
    """List what a bundle that stands there already may hold; anything else is not ours."""
    with suppress(OSError, ModelError):
        return {MANIFEST, SIGNATURE, *declared((folder / MANIFEST).read_bytes())}
    return set()


def read_folder(
    folder: Path, *, digest: str | None = None, key: str | Path | None = None
) -> dict[str, bytes]:
    """Read the files of a bundle once, checked against a digest or a key from outside.

    Parameters
    ----------
    folder : Path
        What `write_folder` wrote.
    digest : str, optional
        SHA-256 of its manifest, kept elsewhere.
    key : str or Path, optional
        The file, or ``env:NAME``, of the key it was signed with. One of both is needed; given
        both, both must fit.

    Returns
    -------
    dict of str to bytes
        Files by name, the manifest among them, without the signature.

    Raises
    ------
    ModelError
        Nobody vouches for the folder, or it holds anything else than what was saved: a changed,
        missing, unknown or oversized file, a link, a folder, a device.

    Notes
    -----
    The folder is opened once and its files through it: should a newer bundle take its place
    meanwhile, all files read are of one of the two.
    """
    if digest is None and key is None:
        raise ModelError(
            f"{folder.name}: a folder is only loaded with its digest or a key: Bundle.save "
            "returned the digest, and the tag bundle_sha256 of a registered version holds it"
        )
    if folder.suffix.lower() in _ARCHIVES and not folder.is_dir():
        raise ModelError(f"{folder.name}: an archive; unpack it and give the folder")
    for _ in range(_ATTEMPTS):
        try:
            return _read(folder, digest, key)
        except _ReplacedError as error:
            cause = error
            time.sleep(_PAUSE)
        except ModelError as error:
            raise ModelError(f"{folder.name}: {error}") from error.__cause__
    raise ModelError(f"{folder.name}: {cause}")


def _read(folder: Path, digest: str | None, key: str | Path | None) -> dict[str, bytes]:
    with _opened(folder) as place:
        names = _names(place)
        if MANIFEST not in names:
            raise ModelError(f"expected a model bundle, found no {MANIFEST}")
        manifest = _content(place, MANIFEST, at_most=LARGEST_MANIFEST)
        if digest is not None:
            check_digest(manifest, digest)
        if key is not None:
            signed = SIGNATURE in names
            signature = _content(place, SIGNATURE, at_most=_SIGNATURE_BYTES) if signed else None
            check_signature(manifest, signature, key)
        sizes = declared(manifest)
        if wrong := sorted((names - {SIGNATURE}) ^ {MANIFEST, *sizes}):
            raise ModelError(f"{some(wrong)}: missing from the bundle, or not part of it")
        read = {name: _content(place, name, at_most=size) for name, size in sizes.items()}
        files = {MANIFEST: manifest, **read}
        check_files(files)
        return files


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Hold a folder open; an error inside is no error if the folder was replaced meanwhile."""
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        raise _ReplacedError("expected the folder of a model bundle, found nothing") from None
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "no path"
        raise ModelError(f"expected the folder of a model bundle: {cause}") from None
    try:
        yield place
    except (OSError, ModelError) as error:
        if _replaced(folder, place):
            raise _ReplacedError("replaced again and again while it was read") from error
        if isinstance(error, OSError):
            raise ModelError(f"the bundle cannot be read: {error.strerror}") from error
        raise
    finally:
        os.close(place)


def _replaced(folder: Path, place: int) -> bool:
    """Tell whether the path now leads to another folder than the one held open."""
    try:
        now = folder.stat()
    except OSError:
        return True
    held = os.fstat(place)
    return (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino)


def _names(place: int) -> set[str]:
    names: set[str] = set()
    with os.scandir(place) as entries:
        for entry in entries:
            names.add(entry.name)
            if len(names) > _MOST_ENTRIES:
                raise ModelError("expected a model bundle, found a folder of very many files")
    return names


def _content(place: int, name: str, *, at_most: int) -> bytes:
    """Read a regular file of the folder; neither a link nor a pipe is followed or waited for."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(name, flags, dir_fd=place)
    except OSError as error:
        raise ModelError(f"{name}: expected a file: {error.strerror}") from error
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise ModelError(f"{name}: expected a file, found a folder or a device")
        if found.st_size > at_most:
            raise ModelError(f"{name}: expected at most {at_most:,} bytes, found more")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(at_most + 1)
    finally:
        os.close(handle)
    if len(content) > at_most:
        raise ModelError(f"{name}: expected at most {at_most:,} bytes, found more")
    return content
