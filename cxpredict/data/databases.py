"""Reading tables of databases through Ibis, without ever writing to one."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from cxpredict.config import Config
from cxpredict.config.reading import nearest
from cxpredict.config.sources import Place
from cxpredict.data.addresses import fill_variables
from cxpredict.errors import ConfigError, CxPredictError, DataError

_BATCH = 50_000


def read_database(connection: Any, name: str, place: Place, config: Config) -> ir.Table:
    """Copy a table of a database into the embedded engine, its rows in the order of their values.

    Parameters
    ----------
    connection : ibis.backends.duckdb.Backend
        Receives the copy.
    name : str
        Name of the source, for messages.
    place : Place
        Its `connect` and `database_table`; of SQLite and DuckDB the path is relative to the
        configuration (``sqlite://shop.db``) or absolute (``sqlite:////srv/shop.db`` or
        ``sqlite:///srv/shop.db``).
    config : Config
        The run, against whose folder paths resolve.

    Returns
    -------
    ibis Table
        Ordered by all columns, left one first: a database promises no order, and the numbers of
        rows in messages must not change from run to run. Values of SQLite, whose columns hold
        any type, are text until their contract is known, as those of a CSV file.

    Raises
    ------
    ConfigError
        A variable is not set, the kind of database is unknown or its driver is absent.
    DataError
        There is no connection or no such table, or its rows cannot be read.

    Notes
    -----
    Files of SQLite and DuckDB are opened read-only. To other databases nothing but queries is
    sent; give a user who may only read. Messages tell the kind of an error and never its text,
    which may hold a secret or a customer's data.
    """
    url = fill_variables(place.connect or "", f"sources.{name}.connect")
    try:
        database = _open(name, url, config)
        try:
            table = _find(database, name, place)
            return _copy(connection, f"source_{name}_copy", _batches(database, table))
        finally:
            database.disconnect()
    except CxPredictError:
        raise
    except Exception as error:
        # drivers have error classes of their own, whose texts may hold an address or a value
        raise DataError(
            f"sources.{name}: {place.database_table!r} cannot be read ({type(error).__name__}); "
            "check 'connect', the rights of its user and the network"
        ) from None


def _copy(connection: Any, name: str, batches: pa.RecordBatchReader) -> ir.Table:
    connection.con.register(f"{name}_stream", batches)
    try:
        copy = connection.create_table(name, connection.table(f"{name}_stream"))
    finally:
        connection.con.unregister(f"{name}_stream")
    return copy.order_by(copy.columns)


def _open(name: str, url: str, config: Config) -> Any:
    kind, _, rest = url.partition("://")
    if kind in ("sqlite", "duckdb"):
        path = config.path(unquote(rest))
        if not path.is_file():
            raise DataError(
                f"sources.{name}.connect: {path.name}: no such file; two slashes and a path "
                f"relative to the configuration are expected: {kind}://folder/shop.db"
            )
        return _open_sqlite(path) if kind == "sqlite" else ibis.duckdb.connect(path, read_only=True)
    backend = kind.replace("postgresql", "postgres")
    known = sorted(entry.name for entry in ibis.util.backend_entry_points())
    if backend not in known:
        raise ConfigError(
            f"sources.{name}.connect: expected one of {', '.join(known)} before '://'"
            + nearest(backend, known)
        )
    try:
        getattr(ibis, backend)
    except ImportError:
        raise ConfigError(
            f"sources.{name}.connect: the driver is not installed; "
            f"pip install 'ibis-framework[{backend}]'"
        ) from None
    return ibis.connect(url)


def _open_sqlite(path: Path) -> Any:
    file = f"{path.as_uri()}?mode=ro"
    # DuckDB asks for the rows from a thread of its own
    return ibis.sqlite.from_connection(sqlite3.connect(file, uri=True, check_same_thread=False))


def _find(database: Any, name: str, place: Place) -> ir.Table:
    schema, _, wanted = (place.database_table or "").rpartition(".")
    where = {"database": schema} if schema else {}
    known = database.list_tables(**where)
    if wanted not in known:
        raise DataError(
            f"sources.{name}.database_table: no table {wanted!r}{nearest(wanted, known)}"
        )
    return database.table(wanted, **where)


def _batches(database: Any, table: ir.Table) -> pa.RecordBatchReader:
    if database.name == "sqlite":
        return _text_batches(database, table)
    batches = table.to_pyarrow_batches(chunk_size=_BATCH)
    plain = (batch.cast(batches.schema) for batch in batches)  # enums come as dictionaries
    return pa.RecordBatchReader.from_batches(batches.schema, plain)


def _text_batches(database: Any, table: ir.Table) -> pa.RecordBatchReader:
    """Read a table of SQLite as text: what a column declares says little of what it holds."""
    schema = pa.schema([(column, pa.string()) for column in table.columns])
    cursor = database.raw_sql(ibis.to_sql(table, dialect="sqlite"))

    def read() -> Iterator[pa.RecordBatch]:
        while rows := cursor.fetchmany(_BATCH):
            columns = [
                pa.array(map(_text, values), pa.string()) for values in zip(*rows, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, read())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        raise TypeError("bytes")
    if isinstance(value, float) and value.is_integer():  # an id beside a gap: 7.0 is 7
        return str(int(value)) if abs(value) < 2**53 else f"{value:.16e}"
    return repr(value)
