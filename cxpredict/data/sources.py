"""Opening source files: what the file must look like before a row of it is believed."""

from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir
import sqlglot
from sqlglot import exp

from cxpredict.config import Config
from cxpredict.config.reading import nearest
from cxpredict.config.sources import Column, Place, Source
from cxpredict.data.contracts import TABLES
from cxpredict.data.databases import read_database
from cxpredict.data.digests import digest_of_files, digest_of_rows
from cxpredict.data.files import read_files, reason, unreadable
from cxpredict.errors import ConfigError, DataError

ROW = "_row"
_SAFE = (
    exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Binary,
    exp.Unary, exp.Case, exp.If, exp.In, exp.Between, exp.Cast, exp.DataType, exp.Coalesce, exp.Abs,
    exp.Round,
    exp.Lower, exp.Upper, exp.Trim, exp.Substring, exp.Concat, exp.Nullif, exp.Greatest, exp.Least,
    exp.StartsWith, exp.Length, exp.DateDiff, exp.Var, exp.Interval,
)  # fmt: skip


def open_source(connection: Any, name: str, source: Source, config: Config) -> ir.Table:
    """Open a place, look up its joins and map its columns to the names of the log.

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
        The place cannot be read as declared.
    """
    table = _load(connection, name, source, source, config)
    for number, join in enumerate(source.join):
        right = _load(connection, join_name(name, number), join, source, config)
        table = _look_up(connection, f"{name}_{number}", table, right.drop(ROW), join.on, name)
    return map_columns(connection, name, table, source)


def _load(connection: Any, name: str, place: Place, source: Source, config: Config) -> ir.Table:
    """Keep the rows of a place in memory, numbered."""
    if place.connect is not None:
        return number_rows(connection, name, read_database(connection, name, place, config))
    try:
        return number_rows(connection, name, read_files(connection, place, source, config))
    except (duckdb.Error, OSError) as error:
        raise unreadable(place, error) from None


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


def input_digests(connection: Any, name: str, source: Source, config: Config) -> dict[str, str]:
    """Return the digests of the places that `open_source` has just read, by their labels.

    Of local files they are of the bytes; of what a database or a URL gave, of the rows read.
    """
    places: dict[str, Place] = {name: source}
    places |= {join_name(name, number): join for number, join in enumerate(source.join)}
    return {
        place.label: digest_of_files(place, config)
        if place.connect is None and not place.remote
        else digest_of_rows(connection.table(f"source_{table}").drop(ROW))
        for table, place in places.items()
    }


def join_name(name: str, number: int) -> str:
    """Name the table of a join."""
    return f"{name}_join_{number}"


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
        raise ConfigError(f"sources.{name}: an expression fails: {reason(error)}") from error


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
    for cast in reversed([node for node in tree.find_all(exp.Cast) if type(node) is exp.Cast]):
        safe = exp.TryCast(**cast.args)
        tree = safe if cast is tree else tree
        cast.replace(safe)
    return str(tree.sql("duckdb", comments=False, identify=True))


def _quoted(name: str) -> str:
    return exp.to_identifier(name, quoted=True).sql("duckdb")
