"""Reading files: CSV held strictly to its header, Parquet alone or as a lake of many files."""

import csv
import glob
import itertools
import re
from pathlib import Path
from typing import Any

import duckdb
import ibis.expr.types as ir

from cxpredict.config import Config
from cxpredict.config.sources import Place, Source
from cxpredict.data.addresses import fill_variables
from cxpredict.errors import DataError, EmptyDataError

_WRONG_ENCODING = "not in the declared encoding; set encoding: latin-1 or utf-16"
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_PARQUET = {".parquet", ".pq"}
_MOST_FILES = 100_000


def read_files(connection: Any, place: Place, source: Source, config: Config) -> ir.Table:
    """Read a CSV or Parquet file, or all Parquet files of a folder, a glob or a URL.

    Parameters
    ----------
    connection : ibis.backends.duckdb.Backend
        What reads.
    place : Place
        The path; a URL is read as far as DuckDB's own file systems and stored secrets reach.
    source : Source
        Encoding, delimiter; CSV values stay text until their contract is known.
    config : Config
        The run, against whose folder paths resolve.

    Returns
    -------
    ibis Table
        Lazy. Files of one lake are united by the names of their columns: one that a file lacks
        is missing in its rows. Folders named ``column=value`` give columns of text.

    Raises
    ------
    DataError, EmptyDataError
        There is no such file, or its head is not as declared.
    duckdb.Error, OSError
        It cannot be read, now or when the rows are asked for: see `unreadable`.
    """
    if place.remote:
        return _read_remote(connection, place)
    files = local_files(place, config)
    if files[0].suffix.lower() in _PARQUET:
        return _read_parquet(connection, files, config.path(place.label))
    return _read_csv(connection, files[0], source)


def local_files(place: Place, config: Config) -> list[Path]:
    """List the files of a path in the order of their names, or refuse: there are none."""
    path, name = config.path(place.label), Path(place.label).name
    if path.is_file():
        return [path]
    if path.is_dir():
        every = list(itertools.islice(path.rglob("*"), _MOST_FILES + 1))
        if len(every) > _MOST_FILES:
            raise DataError(f"{name or path}: a folder of over {_MOST_FILES:,} files; name a part")
        found = [file for file in sorted(every) if _is_data(file.relative_to(path))]
    elif glob.has_magic(place.label):
        # Path.glob raises on patterns that this takes
        found = [Path(f) for f in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207
    else:
        raise DataError(f"{name}: no such file; mend 'path' (relative to the configuration)")
    found = [file for file in found if file.is_file()]
    if not found:
        raise EmptyDataError(f"{name}: no Parquet file there; mend 'path'")
    other = [file.name for file in found if file.suffix.lower() not in _PARQUET]
    if other:
        raise DataError(f"{name}: only Parquet files can be read together; found {other[0]!r}")
    return found


def _is_data(inside: Path) -> bool:
    """Leave out what engines write beside the data: ``_SUCCESS``, ``_temporary``, checksums."""
    hidden = any(part.startswith(("_", ".")) for part in inside.parts)
    return not hidden and inside.suffix.lower() in _PARQUET


def _read_parquet(connection: Any, files: list[Path], root: Path) -> ir.Table:
    partitioned = root.is_dir() and any(
        "=" in part for file in files for part in file.relative_to(root).parts[:-1]
    )
    paths = [glob.escape(str(file)) for file in files]
    table = connection.read_parquet(
        paths,
        union_by_name=True,
        hive_partitioning=partitioned,
        **({"hive_types_autocast": False} if partitioned else {}),
    )
    _refuse_mixed_zones(connection, root.name, paths, table)
    return table


def _read_remote(connection: Any, place: Place) -> ir.Table:
    url = fill_variables(place.label, "path")
    if not url.split("?")[0].lower().endswith(tuple(_PARQUET)):
        url = url.rstrip("/") + "/**/*.parquet"
    table = connection.read_parquet(url, union_by_name=True, hive_types_autocast=False)
    _refuse_mixed_zones(connection, place.label, [url], table)
    return table


def _refuse_mixed_zones(connection: Any, name: str, paths: list[str], table: ir.Table) -> None:
    """Refuse times with a zone beside such without: united, the latter would be read as UTC."""
    zoned = [
        column.lower()
        for column, kind in table.schema().items()
        if kind.is_timestamp() and kind.timezone
    ]
    if not zoned:
        return
    query = (
        "SELECT any_value(name) FROM parquet_schema(?) WHERE lower(name) IN (SELECT unnest(?)) "
        "GROUP BY lower(name) HAVING count(DISTINCT coalesce(logical_type, '') "
        "LIKE '%isAdjustedToUTC=1%') > 1 ORDER BY 1"
    )
    mixed = [column for (column,) in connection.con.execute(query, [paths, zoned]).fetchall()]
    if mixed:
        raise DataError(
            f"{name}: the times in {', '.join(mixed[:5])} have a zone in some files and none in "
            "others; write them alike, or read the files as two sources"
        )


def unreadable(place: Place, error: Exception) -> DataError:
    """Say that a place cannot be read without a secret of its address or a line of its data."""
    if place.remote:
        return DataError(
            f"{place.label}: cannot be read ({type(error).__name__}); DuckDB reads URLs with its "
            "extension httpfs and the secrets stored in it"
        )
    return DataError(f"{Path(place.label).name}: cannot be read: {reason(error)}")


def _read_csv(connection: Any, path: Path, source: Source) -> ir.Table:
    header = _check_head(path, source)
    return connection.read_csv(
        glob.escape(str(path)),
        columns=dict.fromkeys(header, "VARCHAR"),
        auto_detect=False,
        header=True,
        delim=source.delimiter,
        quote='"',
        escape='"',
        nullstr=[""],
        encoding=source.encoding,
    )


def _check_head(path: Path, source: Source) -> list[str]:
    """Read the header strictly: encoding, delimiter, duplicates, first rows no longer than it."""
    with path.open("rb") as file:
        start = file.read(65536)
    if not start.strip():
        raise EmptyDataError(f"{path.name}: the file is empty; expected a header and rows")
    if start[:2] in _BOMS and source.encoding != "utf-16":
        raise DataError(f"{path.name}: the file is UTF-16; set encoding: utf-16")
    encoding = "utf-8-sig" if source.encoding == "utf-8" else source.encoding
    try:
        with path.open(encoding=encoding, newline="") as text:
            rows = csv.reader(text, delimiter=source.delimiter)
            header = next(rows)
            first = list(itertools.islice(rows, 100))
    except UnicodeError as error:
        raise DataError(f"{path.name}: {_WRONG_ENCODING}") from error
    except csv.Error as error:
        raise DataError(
            f"{path.name}: not a CSV file as declared; look for an open quote"
        ) from error
    if len(header) == 1 and (other := next((c for c in ";\t|," if c in header[0]), None)):
        raise DataError(f"{path.name}: one column, but {other!r} in it; set delimiter: {other!r}")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise DataError(f"{path.name}: header names twice: {', '.join(twice[:5])}; rename them")
    for number, row in enumerate(first, start=1):
        if row and len(row) != len(header):
            raise DataError(
                f"{path.name}: row {number} has {len(row)} values, the header {len(header)}; "
                "quote values that hold the delimiter"
            )
    return header


def reason(error: Exception) -> str:
    """Say what DuckDB found wrong without the line it quotes (a customer's data)."""
    text = str(error)
    if "unicode" in text:
        return _WRONG_ENCODING
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException):
        return text.splitlines()[0]
    line = re.search(r"CSV Error on Line: (\d+)", text)
    counts = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    found = [f"line {line[1]}"] if line else []
    found += [f"expected {counts[1]} values, found {counts[2]}"] if counts else []
    return ": ".join(found) or f"not as declared ({type(error).__name__})"
