"""Opening the records of a run: no rejected row is lost, no name stays unknown."""

from collections.abc import Iterator
from pathlib import Path

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from cxpredict.config import Config
from cxpredict.config.reading import nearest
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, RejectShareError
from cxpredict.jobs.publish import publishing

REJECTS = "rejects.parquet"
GROUP_ROWS = 65_536
"""Rows of a row group, whatever the chunks they come in."""


def open_records(config: Config) -> CustomerLog:
    """Open the log of a run and write its rejected rows, also when there are too many.

    Parameters
    ----------
    config : Config
        The run; the rows go to ``rejects/<name>/rejects.parquet`` among its artifacts.

    Returns
    -------
    CustomerLog

    Raises
    ------
    RejectShareError
        Names the file that holds the rejected rows.
    """
    folder = config.path(config.artifacts) / "rejects" / config.name
    try:
        log = CustomerLog.open(config)
    except RejectShareError as error:
        _publish(error.rejects, folder)
        raise RejectShareError(f"{error}\nThe rows are in {folder / REJECTS}.") from error
    if log.quality["rejected"].any():
        _publish(log.rejects, folder)
    return log


def check_names(config: Config, log: CustomerLog) -> None:
    """Refuse kinds, touchpoints and columns of the `rox` and `value` sections that nothing has.

    Raises
    ------
    ConfigError
        Lists every name that the records do not know, with the nearest they do.
    """
    problems = [
        f"{key}: the records have no {name!r}{nearest(name, known)}"
        for key, names, known in _named(config, log)
        for name in names
        if name not in known
    ]
    if problems:
        raise ConfigError(f"{len(problems)} problem(s)\n  " + "\n  ".join(problems))


def _named(config: Config, log: CustomerLog) -> Iterator[tuple[str, list[str], list[str]]]:
    if config.value is not None and config.value.column is not None:
        yield "value.column", [config.value.column], list(log.customers.columns)
    rox = config.rox
    if rox is None:
        return
    kinds = _distinct(log.interactions.kind)
    yield "rox.prices", list(rox.prices), kinds
    if rox.answer_within is not None:
        yield "rox.answer_within.kind", [rox.answer_within.kind], kinds
    if rox.referral is not None:
        yield "rox.referral.kind", [rox.referral.kind], kinds
    if rox.raise_score is not None and rox.raise_score.touchpoint is not None:
        touchpoints = _distinct(log.feedback.touchpoint)
        yield "rox.raise_score.touchpoint", [rox.raise_score.touchpoint], touchpoints


def _distinct(column: ir.StringColumn) -> list[str]:
    values = column.name("name").as_table().distinct().to_pyarrow()["name"].to_pylist()
    return sorted(value for value in values if value is not None)


def _publish(rejects: ir.Table, folder: Path) -> None:
    with publishing(folder) as new:
        write_rejects(rejects, new / REJECTS)


def write_rejects(rejects: ir.Table, path: Path) -> None:
    """Write rejected rows with their rule, in the order of their sources, as a stream."""
    rows = rejects.order_by("source", "row").to_pyarrow_batches(chunk_size=GROUP_ROWS)
    with rows, pq.ParquetWriter(path, rows.schema) as writer:
        for part in regroup((pa.Table.from_batches([batch]) for batch in rows), GROUP_ROWS):
            writer.write_table(part)


def regroup(tables: Iterator[pa.Table], group_rows: int) -> Iterator[pa.Table]:
    """Cut a stream of tables anew, so that its cuts depend on nothing but the rows."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        while sum(len(part) for part in held) >= group_rows:
            joined = pa.concat_tables(held)
            yield joined.slice(0, group_rows).combine_chunks()
            held = [joined.slice(group_rows)]
    if held and sum(len(part) for part in held):
        yield pa.concat_tables(held).combine_chunks()
