"""Results appear whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from cxpredict.errors import PublishError


@contextmanager
def publishing(target: Path) -> Iterator[Path]:
    """Give a folder to write into that takes the place of `target` when all went well.

    Parameters
    ----------
    target : Path
        The folder to publish; an older one is replaced.

    Yields
    ------
    Path
        A temporary sibling. If the block raises, it is removed and `target` stays as it was.

    Raises
    ------
    PublishError
        The folder cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as place:
    ...     with publishing(Path(place) / "scores") as folder:
    ...         _ = (folder / "a.txt").write_text("whole")
    ...     (Path(place) / "scores" / "a.txt").read_text()
    'whole'
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _restore(target)
        folder = Path(mkdtemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent))
    except OSError as error:
        raise PublishError(f"{target}: cannot be written: {error.strerror}") from error
    try:
        yield folder
        _flush(folder)
        _swap(folder, target)
    except OSError as error:
        raise PublishError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def _swap(folder: Path, target: Path) -> None:
    folder.chmod(0o755)
    if target.exists():
        target.rename(_previous(target))
    folder.rename(target)
    _sync(target.parent)
    shutil.rmtree(_previous(target), ignore_errors=True)


def _restore(target: Path) -> None:
    """Bring back what an interrupted swap had set aside."""
    previous = _previous(target)
    if previous.exists() and not target.exists():
        previous.rename(target)
    shutil.rmtree(previous, ignore_errors=True)


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
    return sha256(path.read_bytes()).hexdigest()
