"""Who was a customer at a date, by what was known before it."""

import hashlib
from collections.abc import Sequence
from datetime import date
from typing import TypeAlias

import ibis
import ibis.expr.types as ir
import pandas as pd

from cxpredict.data.log import CustomerLog

Date: TypeAlias = str | date


def seen_before(dates: ir.Table, events: ir.Table, *, within_days: int | None = None) -> ir.Table:
    """Find the customers with a known event before each date."""
    rows = dates.cross_join(events)
    seen = (rows.occurred_at < rows.as_of) & (rows.known_at < rows.as_of)
    if within_days is not None:
        seen = seen & (rows.occurred_at >= rows.as_of - ibis.interval(days=within_days))
    return rows.filter(seen).select("customer_id", "as_of").distinct()


def sightings(log: CustomerLog) -> ir.Table:
    """List every time at which a customer was there: first date, interaction, answer, purchase."""
    since = log.customers.filter(log.customers.since.notnull())
    first = since.select("customer_id", occurred_at=since.since, known_at=since.since)
    columns = ["customer_id", "occurred_at", "known_at"]
    answers = log.feedback.filter(log.feedback.score.notnull())
    events = (log.interactions, log.transactions, answers)
    return ibis.union(first, *(table.select(columns) for table in events))


def to_dates(as_of: Date | Sequence[Date]) -> list[pd.Timestamp]:
    """Read one date or several."""
    days = [as_of] if isinstance(as_of, str | date) else as_of
    return [pd.Timestamp(day) for day in days]


def to_index(rows: ir.Table) -> pd.MultiIndex:
    """Bring rows of (customer_id, as_of) into memory as an index."""
    frame = rows.to_pyarrow().to_pandas()
    return pd.MultiIndex.from_arrays(
        [frame["customer_id"].astype("str"), frame["as_of"].astype("datetime64[us]")],
        names=["customer_id", "as_of"],
    )


def uniform(customer_id: str) -> float:
    """Draw a number in [0, 1) that belongs to the customer, whatever the order of rows."""
    return int.from_bytes(hashlib.sha256(customer_id.encode()).digest()[:8], "big") / 2**64
