"""Who was a customer at a date, by what was known before it."""

import hashlib
from collections.abc import Sequence
from datetime import date, timedelta
from typing import TypeAlias

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.events import records, to_utc
from cxpredict.features.panes.grid import CELL, Grid

Date: TypeAlias = str | date


def seen_before(
    dates: Sequence[pd.Timestamp], events: ir.Table, *, within_days: int | None = None
) -> ir.Table:
    """Find the customers with an event before each date that was known before it.

    Parameters
    ----------
    dates : sequence of Timestamp
        UTC, exclusive.
    events : ibis Table
        With `customer_id`, `occurred_at`, `visible_at` and maybe `replaced_at`.
    within_days : int, optional
        How long before the date the event may lie; by default any time.

    Returns
    -------
    ibis Table
        `customer_id` and `as_of`, each pair once.
    """
    grid = Grid(
        tuple(day.to_pydatetime() for day in sorted(set(dates))),
        () if within_days is None else (within_days,),
    )
    cells = grid.locate(events).select(CELL).distinct()
    give = grid.carry if within_days is None else grid.spread
    seen = give(cells, grid.dates)
    return seen.select("customer_id", "as_of").distinct()


def sightings(log: CustomerLog) -> ir.Table:
    """List every time at which a customer was there: first date, interaction, answer, purchase."""
    since = log.customers.filter(log.customers.since.notnull())
    first = since.select("customer_id", occurred_at=since.since, visible_at=since.since)
    events = records(log, "records")
    if "replaced_at" in events.columns:
        first = first.mutate(replaced_at=ibis.null("timestamp(6)"))
    return first.union(events, distinct=False)


def records_of_kind(log: CustomerLog, kind: str) -> ir.Table:
    """List every record of a kind, in whichever table, as it was known at its time."""
    columns = ["customer_id", "occurred_at", "visible_at", "replaced_at"]
    tables = []
    for name in ("transactions", "interactions"):
        rows = records(log, name)
        if "replaced_at" not in rows.columns:
            rows = rows.mutate(replaced_at=ibis.null("timestamp(6)"))
        tables.append(rows.filter(rows.kind == kind).select(columns))
    events = ibis.union(*tables, distinct=False)
    if not events.count().execute():
        raise DataError(f"no transaction and no interaction is of kind {kind!r}; mend the problem")
    return events


def every_customer(log: CustomerLog, dates: Sequence[pd.Timestamp]) -> ir.Table:
    """List all customers at each date."""
    frame = pd.DataFrame({"as_of": pd.Series(dates, dtype="datetime64[us]")})
    customers = log.customers.select("customer_id")
    return ibis.memtable(frame).cross_join(customers).distinct()


def dates_back(last: pd.Timestamp, first: pd.Timestamp, every_days: int) -> list[pd.Timestamp]:
    """List dates backwards from the last to the first, ascending."""
    steps = range((last - first).days // every_days + 1) if last >= first else range(0)
    return sorted(last - timedelta(days=every_days * step) for step in steps)


def to_dates(as_of: Date | Sequence[Date]) -> list[pd.Timestamp]:
    """Read one date or several."""
    if as_of is None or isinstance(as_of, str | date | np.datetime64):
        return [to_utc(as_of)]
    days = list(as_of)
    if not days:
        raise ConfigError("as_of: expected a date or several, found none")
    return sorted({to_utc(day) for day in days})


def to_index(rows: ir.Table) -> pd.MultiIndex:
    """Bring rows of (customer_id, as_of) into memory as an index."""
    frame = rows.to_pyarrow().to_pandas()
    return pd.MultiIndex.from_arrays(
        [frame["customer_id"].astype("str"), frame["as_of"].astype("datetime64[us]")],
        names=["customer_id", "as_of"],
    )


def drawn(index: pd.MultiIndex, share: float) -> npt.NDArray[np.bool_]:
    """Draw a share of the customers, the same ones whatever the order and the dates."""
    return np.array([uniform(i) < share for i in index.get_level_values(0)], dtype=bool)


def uniform(customer_id: str) -> float:
    """Draw a number in [0, 1) that belongs to the customer, whatever the order of rows."""
    return int.from_bytes(hashlib.sha256(customer_id.encode()).digest()[:8], "big") / 2**64
