"""Files without a person: each function writes the rest of a file to another, and counts."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import escape

from cxpredict.jobs.erasing.person import ID, RECORD, Person

Rewrite = Callable[[Path, Path, Person], int]
_THEIRS = f"CAST({ID} AS VARCHAR) IS NOT DISTINCT FROM ?"
_ERASED = '<tr><td colspan="99">A customer stood here and was erased.</td></tr>'


def from_parquet(path: Path, new: Path, person: Person) -> int:
    """Write a Parquet file without the rows of a person, one row group at a time."""
    with pq.ParquetFile(path) as file:
        names = [name for name in (ID, *RECORD) if name in file.schema_arrow.names]
        finder = person.finder(names)
        if finder is None:
            return 0
        groups = range(file.num_row_groups)
        masks = [
            [not finder(row) for row in _rows(file.read_row_group(number, columns=names), names)]
            for number in groups
        ]
        removed = sum(mask.count(False) for mask in masks)
        if not removed:
            return 0
        codec = file.metadata.row_group(0).column(0).compression
        with pq.ParquetWriter(new, file.schema_arrow, compression=codec) as writer:
            for number in groups:
                writer.write_table(file.read_row_group(number).filter(pa.array(masks[number])))
    return removed


def _rows(table: pa.Table, names: list[str]) -> Iterator[tuple[object, ...]]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def from_csv(path: Path, new: Path, person: Person) -> int:
    """Write a CSV file without the rows of a person; not a byte of the others changes."""
    with path.open(encoding="utf-8", newline="") as file:
        header = file.readline().lstrip("\ufeff")
    for delimiter in (",", ";", "\t"):
        names = next(csv.reader([header], delimiter=delimiter), [])
        finder = person.finder(names)
        if finder is not None:
            break
    else:
        return 0
    removed = 0
    with (
        path.open(encoding="utf-8", newline="") as file,
        new.open("w", encoding="utf-8", newline="") as rest,
    ):
        rest.write(file.readline())
        for row, text in _records(file, delimiter):
            if len(row) == len(names) and finder(row):
                removed += 1
            else:
                rest.write(text)
    return removed


def _records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[list[str], str]]:
    """Read records of CSV together with the text they are made of."""
    taken: list[str] = []

    def noting() -> Iterator[str]:
        for line in lines:
            taken.append(line)
            yield line

    for row in csv.reader(noting(), delimiter=delimiter):
        yield row, "".join(taken)
        taken.clear()


def from_logged_table(path: Path, new: Path, person: Person) -> int:
    """Write a table as MLflow logs it (JSON of columns and data) without the rows of a person."""
    text = path.read_text(encoding="utf-8")
    if f'"{ID}"' not in text and f'"{RECORD[1]}"' not in text:
        return 0
    content = json.loads(text)
    if not isinstance(content, dict) or not {"columns", "data"} <= content.keys():
        return 0
    finder = person.finder(content["columns"])
    if finder is None:
        return 0
    kept = [row for row in content["data"] if not finder(row)]
    removed = len(content["data"]) - len(kept)
    if removed:
        content["data"] = kept
        separators = (",", ":")
        new.write_text(json.dumps(content, separators=separators), encoding="utf-8")
    return removed


def from_report(path: Path, new: Path, person: Person) -> int:
    """Write a report with a note in place of each row that names a person."""
    page = path.read_bytes().decode("utf-8")
    row = rf'<tr>\s*<th scope="row">{re.escape(str(escape(person.customer)))}</th>.*?</tr>'
    section = r'<section id="who".*?</section>'
    removed = 0

    def without(found: re.Match[str]) -> str:
        nonlocal removed
        text, count = re.subn(row, _ERASED, found.group(), flags=re.DOTALL)
        removed += count
        return text

    page = re.sub(section, without, page, flags=re.DOTALL)
    if removed:
        new.write_bytes(page.encode("utf-8"))
    return removed


def from_feature_store(path: Path, new: Path, person: Person) -> int:
    """Write a DuckDB file without the rows of a person: deleted rows would stay in its blocks."""
    if path.with_name(f"{path.name}.wal").exists():  # it would be played into the new file
        raise ValueError("in use, or left by a process that was killed")
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH {_quoted(path)} AS old (READ_ONLY)")
        tables = _tables(connection)
        removed = 0
        for table in (table for table, named in tables.items() if named):
            count = f"SELECT count(*) FROM old.{table} WHERE {_THEIRS}"
            removed += connection.execute(count, [person.customer]).fetchall()[0][0]
        if not removed:
            return 0
        connection.execute(f"ATTACH {_quoted(new)} AS new")
        connection.execute("COPY FROM DATABASE old TO new (SCHEMA)")
        for table, named in tables.items():
            condition, given = (f"NOT ({_THEIRS})", [person.customer]) if named else ("true", [])
            rest = f"INSERT INTO new.{table} SELECT * FROM old.{table} WHERE {condition}"
            connection.execute(rest, given)
        connection.execute("DETACH new")
    return int(removed)


def _tables(connection: duckdb.DuckDBPyConnection) -> dict[str, bool]:
    """List the tables of a store, quoted, and whether they name customers."""
    found = connection.execute(
        "SELECT t.table_name, c.column_name IS NOT NULL FROM duckdb_tables() t "
        "LEFT JOIN duckdb_columns() c ON c.database_name = t.database_name "
        "AND c.table_name = t.table_name AND c.column_name = ? WHERE t.database_name = 'old'",
        [ID],
    ).fetchall()
    return {'"' + name.replace('"', '""') + '"': named for name, named in found}


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


REWRITES: dict[str, Rewrite] = {
    ".parquet": from_parquet,
    ".csv": from_csv,
    ".json": from_logged_table,
    ".html": from_report,
    ".duckdb": from_feature_store,
}
