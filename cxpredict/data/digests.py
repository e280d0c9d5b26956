"""Digests of what a run reads, for its manifest."""

import os
from hashlib import file_digest, sha256
from pathlib import Path

import ibis
import ibis.expr.types as ir

from cxpredict.config import Config
from cxpredict.config.sources import Place
from cxpredict.data.files import local_files


@ibis.udf.scalar.builtin(name="sha256", signature=((str,), str))
def _sha256(text):  # type: ignore[no-untyped-def]
    """Digest a text (DuckDB's `sha256`)."""


def digest_of_files(place: Place, config: Config) -> str:
    """Return the SHA-256 of a file, or of the names and digests of all files of a lake."""
    path, files = config.path(place.label), local_files(place, config)
    if files == [path]:
        return _digest(path)
    root = path if path.is_dir() else os.path.commonpath([file.parent for file in files])
    lines = sorted(f"{file.relative_to(root).as_posix()} {_digest(file)}\n" for file in files)
    return sha256("".join(lines).encode()).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def digest_of_rows(table: ir.Table) -> str:
    """Return a digest of the names and types of a table's columns and of its rows, in no order.

    Parameters
    ----------
    table : ibis Table
        Of the embedded engine: the rows as they were read.

    Returns
    -------
    str
        SHA-256 of the columns and of the sorted SHA-256 of each row's JSON text.

    Notes
    -----
    A database promises no order of rows, so none counts; a row that stands twice counts twice.
    The digest is of what was read, whatever happens to the source later.
    """
    columns = ", ".join(f"{name} {kind}" for name, kind in table.schema().items())
    whole = sha256(columns.encode())
    row = ibis.struct({name: table[name] for name in table.columns}).cast("json").cast("string")
    rows = table.select(digest=_sha256(row)).order_by("digest")
    for batch in rows.to_pyarrow_batches(chunk_size=100_000):
        whole.update("".join(batch.column(0).to_pylist()).encode())
    return whole.hexdigest()
