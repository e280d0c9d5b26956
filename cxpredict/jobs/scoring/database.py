"""Scores as a database table: readers see the old rows or the new ones, never a mixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from cxpredict.config.reading import check_settings
from cxpredict.config.sources import Place
from cxpredict.data.addresses import fill_variables
from cxpredict.errors import ConfigError, PublishError
from cxpredict.jobs.scoring.request import Request
from cxpredict.jobs.scoring.table import schema

ROWS = 10_000


def check_address(to: str, request: Request) -> None:
    """Refuse an address that is none, holds a secret, or would hide a full run behind a try.

    Raises
    ------
    ConfigError
        Says which.
    """
    url, table = _parts(to, request)
    check_settings(Place, {"connect": url, "database_table": table}, name="to")
    address = fill_variables(url, "to")
    if address.rstrip("/") in ("sqlite:", "duckdb:") or address.endswith(":memory:"):
        raise ConfigError("to: a database in memory ends with the job; name a file")
    if not address.startswith("duckdb:"):
        _engine(address).dispose()
    if request.limit is not None:
        raise ConfigError("to: a limited run would take the place of all rows; leave one out")
    if request.format != "parquet":
        raise ConfigError("to: the table is filled from the Parquet file; use format parquet")


def replace_rows(to: str, request: Request, file: Path) -> None:
    """Fill a database table from a file of scores, in one transaction.

    Parameters
    ----------
    to : str
        ``sqlite:///scores.db``, ``duckdb:///scores.duckdb``, or a URL of SQLAlchemy whose driver
        is installed, with secrets as ``${NAME}`` of environment variables. After ``#`` the name
        of the table; by default ``churn_scores`` or ``satisfaction_scores``, made if it is not
        there.
    request : Request
        Rows of its model (whatever version) and date are replaced.
    file : Path
        Scores as Parquet.

    Raises
    ------
    ConfigError
        No such driver is installed, or a variable is not set.
    PublishError
        The database refuses; it holds what it held.

    Notes
    -----
    Repeating a job gives the same rows. Two jobs with one model, date and table but different
    folders do not wait for each other: give them one folder, or run them in turn. Tested on SQLite
    and DuckDB; on MySQL only tables of a transactional engine (InnoDB) keep the promise.
    """
    url, table = _parts(to, request)
    address = fill_variables(url, "to")
    fill = _fill_duckdb if address.startswith("duckdb:") else _fill_sqlalchemy
    fill(address, table, request, file)


def _parts(to: str, request: Request) -> tuple[str, str]:
    url, _, table = to.partition("#")
    return url, table or f"{request.bundle.kind}_scores"


def _fill_duckdb(address: str, table: str, request: Request, file: Path) -> None:
    name = '"' + table.replace('"', '""') + '"'
    path = address.removeprefix("duckdb://").removeprefix("/")
    source = f"read_parquet('{str(file).replace(chr(39), chr(39) * 2)}')"
    try:
        with duckdb.connect(path) as engine:
            engine.execute("SET TimeZone = 'UTC'; BEGIN TRANSACTION")
            engine.execute(f"CREATE TABLE IF NOT EXISTS {name} AS FROM {source} LIMIT 0")
            engine.execute(
                f"DELETE FROM {name} WHERE as_of = ? AND starts_with(model_version, ?)",
                [request.day.to_pydatetime(), f"{request.bundle.name}/"],
            )
            engine.execute(f"INSERT INTO {name} BY NAME FROM {source}")
            engine.execute("COMMIT")
    except duckdb.Error as error:
        raise _refused(table, error) from error


def _fill_sqlalchemy(address: str, table: str, request: Request, file: Path) -> None:
    import sqlalchemy as sql

    engine = _engine(address)
    target = sql.Table(table, sql.MetaData(), *_columns(schema(request.bundle.kind)))
    version = target.c.model_version
    old = (target.c.as_of == request.day.to_pydatetime()) & version.startswith(
        f"{request.bundle.name}/", autoescape=True
    )
    try:
        with engine.begin() as connection:
            target.create(connection, checkfirst=True)
            connection.execute(target.delete().where(old))
            for rows in _rows(file):
                connection.execute(target.insert(), rows)
    except sql.exc.SQLAlchemyError as error:
        raise _refused(table, error) from error
    finally:
        engine.dispose()


def _engine(address: str) -> Any:
    """Make an engine, which does not connect yet; the text of an error may hold the address."""
    import sqlalchemy as sql

    try:
        return sql.create_engine(address)
    except (sql.exc.NoSuchModuleError, ImportError) as error:
        raise ConfigError(
            f"to: no driver for such a URL is installed ({type(error).__name__}); install it"
        ) from error
    except (sql.exc.ArgumentError, ValueError):
        raise ConfigError(
            "to: expected a URL of SQLAlchemy; a file has three slashes: sqlite:///scores.db"
        ) from None


def _columns(columns: pa.Schema) -> list[Any]:
    import sqlalchemy as sql

    kinds: dict[str, Any] = {"customer_id": sql.String(255), "as_of": sql.DateTime()}
    numbers: dict[str, Any] = {
        field.name: sql.Double() for field in columns if field.type == pa.float64()
    }
    kinds = {**dict.fromkeys(columns.names, sql.Text()), **numbers, **kinds}
    return [sql.Column(name, kinds[name]) for name in columns.names]


def _rows(file: Path) -> Iterator[list[dict[str, Any]]]:
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=ROWS):
            yield batch.to_pylist()


def _refused(table: str, error: Exception) -> PublishError:
    """Name the kind of error only: the text of a driver may hold the address or a row."""
    return PublishError(
        f"{table}: the database refused the scores ({type(error).__name__}); it holds what it "
        "held. Check that it can be reached and that the table has the columns of the scores."
    )
