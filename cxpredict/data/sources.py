"""Opening source files: what the file must look like before a row of it is believed."""

import csv
import itertools
import re
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import sqlglot
from sqlglot import exp

from cxpredict.config import Column, Config, Source
from cxpredict.config.reading import nearest
from cxpredict.data.contracts import TABLES
from cxpredict.errors import ConfigError, DataError, EmptyDataError

ROW = "_row"
_WRONG_ENCODING = "not in the declared encoding; set encoding: latin-1 or utf-16"
_BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_SAFE = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Binary,
    exp.Unary, exp.Case, exp.If, exp.In, exp.Between, exp.Cast, exp.DataType, exp.Coalesce, exp.Abs,
    exp.Round,
    exp.Lower, exp.Upper, exp.Trim, exp.Substring, exp.Concat, exp.Nullif, exp.Greatest, exp.Least,
    exp.StartsWith, exp.Length, exp.DateDiff, exp.Var, exp.Interval,
)  # fmt: skip


def open_source(connection: Any, name: str, source: Source, config: Config) -> ir.Table:
    """Open a file, look up its joins and map its columns to the names of the log.

    Parameters
    ----------
    connection : ibis.backends.duckdb.Backend
        Where the table is registered.
    name : str
        Name of the source, for messages.
    source : Source
        Its settings.
    config : Config
        The run, against whose folder paths resolve.

    Returns
    -------
    ibis Table
        The mapped columns as they came (uncast), the source's own columns as ``raw: …`` and the
        number of each row, from 1, as ``_row``.

    Raises
    ------
    ConfigError
        An expression is not allowed or names a column that is not there.
    DataError, EmptyDataError
        The file cannot be read as declared.
    """
    table = _load(connection, name, config.path(source.path), source)
    for number, join in enumerate(source.join):
        right = _load(connection, f"{name}_join_{number}", config.path(join.path), source)
        table = _look_up(connection, f"{name}_{number}", table, right.drop(ROW), join.on, name)
    return map_columns(connection, name, table, source)


def _load(connection: Any, name: str, path: Path, source: Source) -> ir.Table:
    """Read a Parquet or CSV file; CSV values stay text until their contract is known."""
    if not path.is_file():
        raise DataError(f"{path.name}: no such file; mend 'path' (relative to the configuration)")
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            return number_rows(connection, name, connection.read_parquet(path))
        return number_rows(connection, name, _read_csv(connection, path, source))
    except (duckdb.Error, OSError) as error:
        raise DataError(f"{path.name}: cannot be read: {_reason(error)}") from error


def _read_csv(connection: Any, path: Path, source: Source) -> ir.Table:
    header = _check_head(path, source)
    return connection.read_csv(
        path,
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
    except UnicodeDecodeError as error:
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


def number_rows(connection: Any, name: str, table: ir.Table) -> ir.Table:
    """Keep a table in memory with its rows numbered from 1, so that messages can name them."""
    if ROW in table.columns:
        raise DataError(f"{name}: the column name {ROW!r} is reserved; rename it")
    folded = [column.casefold() for column in table.columns]
    twice = [column for column in table.columns if folded.count(column.casefold()) > 1]
    if twice:
        raise DataError(
            f"{name}: columns {', '.join(twice[:5])} differ only in the case of letters; rename one"
        )
    untyped = [c for c in table.columns if table[c].type().is_null()]
    table = table.mutate(**{c: ibis.null("string") for c in untyped})
    numbered = table.mutate(**{ROW: ibis.row_number() + 1})
    return connection.create_table(f"source_{name}", numbered)


def _look_up(
    connection: Any, name: str, left: ir.Table, right: ir.Table, on: str | list[str], source: str
) -> ir.Table:
    keys = [on] if isinstance(on, str) else on
    for key in keys:
        for side in (left, right):
            if key not in side.columns:
                raise ConfigError(
                    f"sources.{source}.join: no column {key!r}{nearest(key, side.columns)}"
                )
    repeated = (
        right.group_by(keys)
        .having(lambda t: t.count() > 1)
        .agg(n=lambda t: t.count())
        .count()
        .execute()
    )
    if repeated:
        raise DataError(
            f"sources.{source}.join: {repeated:,} keys stand more than once; a join must be m:1"
        )
    new = [column for column in right.columns if column not in left.columns or column in keys]
    return connection.create_table(
        f"source_{name}",
        left.left_join(right.select(new), keys).select(
            *[left[c] for c in left.columns], *[right[c] for c in new if c not in keys]
        ),
    )


def map_columns(connection: Any, name: str, table: ir.Table, source: Source) -> ir.Table:
    """Select the mapped columns under the log's names, beside the raw ones."""
    known = {field.name for field in TABLES[source.table]}
    for column in source.columns:
        if column not in known:
            raise ConfigError(
                f"sources.{name}.columns: {source.table} has no column {column!r}"
                + nearest(column, known)
            )
    missing = [f.name for f in TABLES[source.table] if f.required and f.name not in source.columns]
    if missing:
        raise ConfigError(f"sources.{name}.columns: {', '.join(missing)} must be mapped")
    mapped = {column: _expression(name, table, how) for column, how in source.columns.items()}
    raw = [f"{_quoted(c)} AS {_quoted(c if c == ROW else f'raw: {c}')}" for c in table.columns]
    select = ", ".join([*raw, *(f"({sql}) AS {_quoted(column)}" for column, sql in mapped.items())])
    where = f" WHERE {_checked(name, table, source.where)}" if source.where else ""
    try:
        return connection.sql(f"SELECT {select} FROM {_quoted(table.op().name)}{where}")
    except duckdb.Error as error:
        raise ConfigError(f"sources.{name}: an expression fails: {_reason(error)}") from error


def columns_in(how: Column) -> set[str]:
    """Name the columns of the source that fill a column of the log.

    Examples
    --------
    >>> sorted(columns_in(Column(expression="coalesce(title, body)")))
    ['body', 'title']
    """
    if how.expression is None:
        return set() if how.name is None else {how.name}
    tree = sqlglot.parse_one(how.expression, dialect="duckdb")
    return {node.name for node in tree.find_all(exp.Column)}


def _expression(name: str, table: ir.Table, how: Column) -> str:
    if how.value is not None:
        return exp.convert(how.value).sql("duckdb")
    if how.expression is not None:
        return _checked(name, table, how.expression)
    assert how.name is not None
    if how.name not in table.columns:
        raise ConfigError(
            f"sources.{name}.columns: the source has no column {how.name!r}"
            + nearest(how.name, table.columns)
        )
    return _quoted(how.name)


def _checked(name: str, table: ir.Table, text: str) -> str:
    """Allow arithmetic, comparisons, CASE and a few functions of the row: nothing else."""
    try:
        tree, *more = sqlglot.parse(text, dialect="duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise ConfigError(f"sources.{name}: {text!r} is not an SQL expression") from error
    if tree is None or more:
        raise ConfigError(f"sources.{name}: expected one SQL expression, found {text!r}")
    for node in tree.walk():
        if not isinstance(node, _SAFE):
            raise ConfigError(f"sources.{name}: {type(node).__name__} is not allowed in {text!r}")
        if isinstance(node, exp.Column) and node.name not in table.columns:
            raise ConfigError(
                f"sources.{name}: the source has no column {node.name!r}"
                + nearest(node.name, table.columns)
            )
    # a cast that fails gives null, so that the row meets its rule; a comment could hide more SQL
    safe = tree.transform(lambda n: exp.TryCast(**n.args) if type(n) is exp.Cast else n)
    return str(safe.sql("duckdb", comments=False))


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql("duckdb")


def _reason(error: Exception) -> str:
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
