"""Opening the records of a run so that no rejected row is lost."""

from pathlib import Path

import ibis.expr.types as ir
import pyarrow.parquet as pq

from cxpredict.config import Config
from cxpredict.data.log import CustomerLog
from cxpredict.errors import RejectShareError
from cxpredict.jobs.publish import publishing

REJECTS = "rejects.parquet"


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


def _publish(rejects: ir.Table, folder: Path) -> None:
    with publishing(folder) as new:
        write_rejects(rejects, new / REJECTS)


def write_rejects(rejects: ir.Table, path: Path) -> None:
    """Write rejected rows with their rule, in the order of their sources."""
    pq.write_table(rejects.order_by("source", "row").to_pyarrow(), path)
