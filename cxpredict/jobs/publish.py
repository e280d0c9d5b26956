"""Results appear whole or not at all."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from hashlib import file_digest
from pathlib import Path
from typing import Any

from cxpredict.errors import PublishError
from cxpredict.jobs.exchange import exchange


@contextmanager
def publishing(target: Path, *, ours: Collection[str] | None = None) -> Iterator[Path]:
    """Give a folder to write into that takes the place of `target` when all went well.

    Parameters
    ----------
    target : Path
        The folder to publish; an older one is replaced.
    ours : collection of str, optional
        Names that an older result may hold. Give them wherever a user names the folder: one that
        holds anything else is theirs, and is refused.

    Yields
    ------
    Path
        A temporary sibling. If the block raises, it is removed and `target` stays as it was.

    Raises
    ------
    PublishError
        The folder cannot be written, or holds what is not ours.

    Notes
    -----
    Files are flushed to the disk, then old and new folder are exchanged in one step: who opens a
    file by its path finds the old or the new one, never none; who holds one open reads on. File
    systems without such a step (NFS, SMB) rename twice: between the two a reader finds no folder,
    and what a kill leaves there is mended by the next run. A killed process leaves at most the
    temporary sibling ``.<name>.new`` and the lock ``.<name>.lock``: the next run removes them.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as place:
    ...     with publishing(Path(place) / "scores") as folder:
    ...         _ = (folder / "a.txt").write_text("whole")
    ...     (Path(place) / "scores" / "a.txt").read_text()
    'whole'
    """
    with holding(target, ours=ours), replacing(target) as folder:
        yield folder


@contextmanager
def holding(
    target: Path,
    waiting: Callable[[], None] | None = None,
    *,
    ours: Collection[str] | None = None,
) -> Iterator[None]:
    """Be the only process that writes `target`; others wait until this one ends or dies.

    Parameters
    ----------
    target : Path
        The folder to publish. What a killed process left of it is cleared away.
    waiting : callable, optional
        Called once if another process holds it.
    ours : collection of str, optional
        As in `publishing`.

    Raises
    ------
    PublishError
        The place cannot be written, or the folder holds what is not ours.
    """
    with _writing(target):
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise NotADirectoryError(0, "expected a folder, found a file or a link")
        target.parent.mkdir(parents=True, exist_ok=True)
        handle = _lock(_sibling(target, "lock"), waiting)
    try:
        with _writing(target):
            _mend(target)
            _check_ours(target, ours)
        yield
    finally:
        with suppress(OSError):
            _sibling(target, "lock").unlink()
        os.close(handle)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Do what `publishing` does, for who holds the target already."""
    folder = _sibling(target, "new")
    try:
        with _writing(target):
            folder.mkdir()
            yield folder
            _flush(folder)
            _put(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except PublishError:
        raise
    except OSError as error:
        raise PublishError(f"{target}: cannot be written: {error.strerror or error}") from error


def _sibling(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name}.{kind}")


def _lock(path: Path, waiting: Callable[[], None] | None) -> int:
    """Lock a file that its holder removes in the end: it must still be the one at its path."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting is not None:
                    waiting()
                    waiting = None
                fcntl.flock(handle, fcntl.LOCK_EX)
            if _same(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _mend(target: Path) -> None:
    """Bring back what an interrupted pair of renames had set aside; clear away leftovers."""
    previous = _sibling(target, "previous")
    if previous.exists() and not target.exists():
        previous.rename(target)
    for leftover in (previous, _sibling(target, "new")):
        if leftover.exists():
            shutil.rmtree(leftover)


def _check_ours(target: Path, ours: Collection[str] | None) -> None:
    """Refuse to replace a folder that holds anything but an older result: it would be lost."""
    if ours is None or not target.exists():
        return
    others = sum(path.name not in ours or path.is_dir() for path in target.iterdir())
    if others:
        raise PublishError(
            f"{target}: the result takes the place of the whole folder, and {others:,} entries of "
            "it belong to no such result; give a folder of its own"
        )


def _put(folder: Path, target: Path) -> None:
    if not target.exists():
        folder.rename(target)
    elif not exchange(folder, target):
        previous = _sibling(target, "previous")
        target.rename(previous)
        try:
            folder.rename(target)
        except BaseException:  # a full disk or a signal between the two must not leave neither
            previous.rename(target)
            raise
        shutil.rmtree(previous, ignore_errors=True)
    _sync(target.parent)


def _flush(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, content: Any) -> None:
    """Write JSON that is the same for the same content, byte for byte."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
