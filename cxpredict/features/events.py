"""The rows that features are computed over, each with the time from which it counts.

Every table here has `customer_id`, `occurred_at`, `visible_at` (from when on the company could have
seen the row) and, where corrections exist, `replaced_at` (from when on another row stands for it).
"""

from collections.abc import Sequence
from functools import reduce
from operator import and_
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError

Filters = tuple[tuple[str, str], ...]


def to_utc(day: Any) -> pd.Timestamp:
    """Read a date or time; one that names its zone is turned to UTC, others are UTC."""
    try:
        time = pd.Timestamp(day)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"expected a date such as 2024-06-30, found {day!r}") from error
    if pd.isna(time):
        raise ConfigError(f"expected a date such as 2024-06-30, found {day!r}")
    return time if time.tz is None else time.tz_convert("UTC").tz_localize(None)


def records(log: CustomerLog, source: str) -> ir.Table:
    """Give the records of a table of the log: of feedback the answers, of ``records`` all three.

    Parameters
    ----------
    log : CustomerLog
        The records.
    source : str
        interactions, feedback, transactions, contacts or ``records``.

    Returns
    -------
    ibis Table
        A row is seen at a date if ``visible_at < as_of`` and not ``replaced_at < as_of``.
    """
    if source == "records":
        tables = [_versions(log, name) for name in ("interactions", "feedback", "transactions")]
        keep = ["customer_id", "occurred_at", "visible_at"]
        keep += ["replaced_at"] if any("replaced_at" in t.columns for t in tables) else []
        tables = [
            t if "replaced_at" in t.columns else t.mutate(replaced_at=ibis.null("timestamp(6)"))
            for t in tables
        ]
        return ibis.union(*(t.select(keep) for t in tables), distinct=False)
    return _versions(log, source)


def _versions(log: CustomerLog, source: str) -> ir.Table:
    rows = log.history(source).drop("version")
    if source == "feedback":
        rows = rows.filter(rows.score.notnull())
    if source == "contacts":  # what came of a contact is known later than the contact
        rows = rows.drop("outcome", "outcome_at")
    rows = rows.mutate(visible_at=ibis.greatest(rows.occurred_at, rows.known_at))
    return rows if source in log.versions else rows.drop("replaced_at")


def invitations(log: CustomerLog) -> ir.Table:
    """Give the invitations to surveys that are not answered, at the time of the invitation.

    One that is answered later is never among them: before its answer is known its row is the
    future's. So that this tells nothing, `unanswered` counts none of the last 14 days, and takes
    it that answers come within them.
    """
    rows = log.history("feedback")
    rows = rows.filter(rows.score.isnull() & rows.invited_at.notnull())
    visible = ibis.greatest(rows.invited_at, rows.occurred_at, rows.known_at)
    rows = rows.mutate(visible_at=visible, occurred_at=rows.invited_at).drop("known_at")
    return rows if "feedback" in log.versions else rows.drop("replaced_at")


def day_spans(rows: ir.Table, abouts: Sequence[Filters]) -> ir.Table:
    """Give one row for each customer and day (UTC) on which something happened.

    Parameters
    ----------
    rows : ibis Table
        What `records` gives.
    abouts : sequence of filters
        What must have happened, each a kind of day of its own.

    Returns
    -------
    ibis Table
        `customer_id`, `about` (text of the filters), `occurred_at` (midnight), `visible_at` and,
        where corrections exist, `replaced_at`: a day can be seen, corrected away, and seen again.
    """
    parts = []
    for filters in abouts:
        happened = rows.filter(passes(rows, filters))
        day = happened.occurred_at.truncate("D").cast("timestamp(6)")
        parts.append(
            _spans(happened.mutate(occurred_at=day)).mutate(about=ibis.literal(about_text(filters)))
        )
    return ibis.union(*parts, distinct=False)


def with_gaps(days: ir.Table) -> ir.Table:
    """Add the days from the day that became known before each, missing for the first."""
    order = ibis.window(group_by=["customer_id", "about"], order_by=["visible_at", "occurred_at"])
    before = days.occurred_at.lag().over(order)
    gap = days.occurred_at.delta(before, unit="day").cast("float64").abs()
    return days.mutate(gap=gap, gap_squared=gap * gap)


def _spans(rows: ir.Table) -> ir.Table:
    """Merge the rows of a customer's day into the spans of time in which one of them is seen."""
    day = ["customer_id", "occurred_at"]
    if "replaced_at" not in rows.columns:
        return rows.group_by(day).agg(visible_at=rows.visible_at.min())
    rows = rows.filter(rows.replaced_at.isnull() | (rows.visible_at < rows.replaced_at))
    begun = rows.select(*day, at=rows.visible_at, step=ibis.literal(1))
    ended = rows.filter(rows.replaced_at.notnull())
    ended = ended.select(*day, at=ended.replaced_at, step=ibis.literal(-1))
    steps = begun.union(ended, distinct=False)
    steps = steps.group_by([*day, "at"]).agg(step=steps.step.sum())
    order: Any = ibis.window(group_by=day, order_by="at")
    steps = steps.mutate(
        seen=steps.step.sum().over(ibis.cumulative_window(group_by=day, order_by="at"))
    )
    steps = steps.mutate(before=steps.seen.lag().over(order).fill_null(0))
    turns = steps.filter((steps.seen > 0) != (steps.before > 0))
    turns = turns.mutate(replaced_at=turns["at"].lead().over(order))
    return turns.filter(turns.seen > 0).select(*day, "replaced_at", visible_at=turns["at"])


def seen_by(rows: ir.Table, population: ir.Table) -> ir.Table:
    """Join rows to the dates of their customer that see them.

    Parameters
    ----------
    rows : ibis Table
        With `customer_id`, `visible_at` and maybe `replaced_at`.
    population : ibis Table
        `customer_id`, `as_of` and further columns.

    Returns
    -------
    ibis Table
        The columns of both, one row for each row and date that sees it.
    """
    seen = population.join(rows, "customer_id")
    seen = seen.filter(seen.visible_at < seen.as_of)
    if "replaced_at" in rows.columns:
        seen = seen.filter(seen.replaced_at.isnull() | (seen.replaced_at >= seen.as_of))
    return seen


def passes(rows: ir.Table, filters: Filters) -> ir.BooleanValue:
    """Tell the rows that have all these values."""
    masks = [(rows[column] == level).fill_null(False) for column, level in filters]
    return reduce(and_, masks, ibis.literal(True))


def about_text(filters: Filters) -> str:
    """Name a set of filters."""
    return " & ".join(f"{column} = {level}" for column, level in filters)
