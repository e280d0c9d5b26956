"""Local times become UTC, also where clocks are put forward or back."""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

_DAY = 86_400_000_000
# times are microseconds since 1970; `days` says of which day the offset is taken
_MACROS = {
    "clock_offset(zone, instant)": "epoch_us(timezone(zone, timezone('UTC', "
    "make_timestamp(instant)))) - instant",
    "clock_read(zone, clock, days)": "epoch_us(clock) - clock_offset(zone, "
    f"epoch_us(timezone('UTC', timezone(zone, clock))) + days * {_DAY})",
    "clock_shows(zone, clock, instant)": "instant + clock_offset(zone, instant) = epoch_us(clock)",
    "clock_choose(before, later, before_right, later_right, midnight, policy)": "CASE "
    "WHEN before_right <> later_right THEN CASE WHEN before_right THEN before ELSE later END "
    "WHEN midnight THEN CASE WHEN before_right THEN least(before, later) "
    "ELSE greatest(before, later) END "
    "WHEN policy = 'earlier' THEN least(before, later) "
    "WHEN policy = 'later' THEN greatest(before, later) END",
    "clock_pair(zone, clock, before, later, policy)": "CASE "
    "WHEN before = later THEN timezone(zone, clock) "
    "ELSE timezone('UTC', make_timestamp(clock_choose(before, later, "
    "clock_shows(zone, clock, before), clock_shows(zone, clock, later), "
    f"epoch_us(clock) % {_DAY} = 0, policy))) END",
    "clock_utc(zone, clock, policy)": "clock_pair(zone, clock, clock_read(zone, clock, -1), "
    "clock_read(zone, clock, 1), policy)",
    "clock_differs(zone, clock, before, later)": "CASE WHEN before = later THEN false "
    "ELSE clock_shows(zone, clock, before) = clock_shows(zone, clock, later) "
    f"AND epoch_us(clock) % {_DAY} <> 0 END",
    "clock_doubtful(zone, clock)": "coalesce(clock_differs(zone, clock, "
    "clock_read(zone, clock, -1), clock_read(zone, clock, 1)), false)",
}


@ibis.udf.scalar.builtin(name="timezone", signature=((str, dt.timestamp), dt.Timestamp("UTC")))
def _in_zone(zone, clock):  # type: ignore[no-untyped-def]
    """Read a local time in a zone of one offset (DuckDB's `timezone`)."""


@ibis.udf.scalar.builtin(
    name="clock_utc", signature=((str, dt.timestamp, str), dt.Timestamp("UTC"))
)
def _clock_utc(zone, clock, policy):  # type: ignore[no-untyped-def]
    """Read a local time in its zone, by the policy where a clock skips or repeats it."""


@ibis.udf.scalar.builtin(name="clock_doubtful", signature=((str, dt.timestamp), bool))
def _clock_doubtful(zone, clock):  # type: ignore[no-untyped-def]
    """Tell whether a clock skips a time or shows it twice."""


def teach_clocks(connection: Any) -> None:
    """Give an embedded engine the functions that `to_utc` calls."""
    for signature, body in _MACROS.items():
        connection.raw_sql(f"CREATE TEMP MACRO {signature} AS {body}")


def to_utc(
    zone: str, local: ir.TimestampValue, clock_change: str
) -> tuple[ir.TimestampValue, ir.BooleanValue]:
    """Read local times in their zone.

    Parameters
    ----------
    zone : str
        Name of a time zone.
    local : ibis Timestamp
        What the clock showed, on an engine that `teach_clocks` taught.
    clock_change : {"reject", "earlier", "later"}
        What becomes of times that a clock skips or shows twice: missing, or the earlier or later
        of the two readings by the offsets before and after the change.

    Returns
    -------
    utc : ibis Timestamp (UTC)
        Midnight is the start of its day, whatever the clocks do.
    doubtful : ibis Boolean
        Where a clock skips the time or shows it twice, midnight apart.

    Notes
    -----
    A time read by the offsets of a day earlier and of a day later gives two instants. Both are
    right where the clock shows it twice, none where it skips it, else one.
    """
    if _never_changes(zone):
        return _in_zone(zone, local), ibis.literal(False)
    return _clock_utc(zone, local, clock_change), _clock_doubtful(zone, local)


@cache
def _never_changes(zone: str) -> bool:
    """Tell a zone of one offset from 1900 to 2100, looking every thirty days."""
    info, start = ZoneInfo(zone), datetime(1900, 1, 1, tzinfo=UTC)
    times = (start + timedelta(days=30 * n) for n in range(2435))
    return len({time.astimezone(info).utcoffset() for time in times}) == 1
