"""Local times become UTC, also where clocks are put forward or back."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

_DAY = 86_400_000_000


@ibis.udf.scalar.builtin(name="timezone", signature=((str, dt.timestamp), dt.Timestamp("UTC")))
def _in_zone(zone, time):  # type: ignore[no-untyped-def]
    """Read a local time in its zone (DuckDB's `timezone`)."""


@ibis.udf.scalar.builtin(name="timezone", signature=((str, dt.Timestamp("UTC")), dt.timestamp))
def _clock(zone, time):  # type: ignore[no-untyped-def]
    """Tell what a clock of the zone shows."""


@ibis.udf.scalar.builtin(name="epoch_us", signature=((dt.timestamp,), int))
def _micros(time):  # type: ignore[no-untyped-def]
    """Count microseconds since 1970 (DuckDB's `epoch_us`)."""


@ibis.udf.scalar.builtin(name="make_timestamp", signature=((int,), dt.timestamp))
def _time(micros):  # type: ignore[no-untyped-def]
    """Make a time of microseconds since 1970."""


def to_utc(
    zone: str, local: ir.TimestampValue, clock_change: str
) -> tuple[ir.TimestampValue, ir.BooleanValue]:
    """Read local times in their zone.

    Parameters
    ----------
    zone : str
        Name of a time zone.
    local : ibis Timestamp
        What the clock showed.
    clock_change : {"reject", "earlier", "later"}
        What becomes of times that a clock skips or shows twice: missing, or the earlier or later
        of the two readings by the offsets before and after the change.

    Returns
    -------
    utc : ibis Timestamp (UTC)
        Midnight is the start of its day, whatever the clocks do.
    changed : ibis Boolean
        Where a clock skips the time or shows it twice, midnight apart.

    Notes
    -----
    A time read by the offsets of a day earlier and of a day later gives two instants. Both are
    right where the clock shows it twice, none where it skips it, else one.
    """
    plain = _in_zone(zone, local)
    if _never_changes(zone):
        return plain, ibis.literal(False)
    micros, around = _micros(local), _micros(plain.cast("timestamp"))
    before, after = (_by_offset_at(zone, micros, around + step) for step in (-_DAY, _DAY))
    before_right, after_right = (
        _micros(_clock(zone, _utc(instant))) == micros for instant in (before, after)
    )
    doubtful, midnight = before_right == after_right, micros % _DAY == 0
    earlier, later = ibis.least(before, after), ibis.greatest(before, after)
    start_of_day = ibis.ifelse(before_right, earlier, later)
    wanted = {"earlier": earlier, "later": later}.get(clock_change, ibis.null("int64"))
    chosen = ibis.cases(
        (doubtful & midnight, start_of_day),
        (doubtful, wanted),
        else_=ibis.ifelse(before_right, before, after),
    )
    near = before != after
    changed = ibis.ifelse(near, doubtful & ~midnight, ibis.literal(False))
    return ibis.ifelse(near, _utc(chosen), plain), changed


def _by_offset_at(zone: str, micros: ir.IntegerValue, instant: ir.IntegerValue) -> ir.IntegerValue:
    """Read a local time by the offset that the zone has at an instant."""
    return micros - (_micros(_clock(zone, _utc(instant))) - instant)


def _utc(micros: ir.IntegerValue) -> ir.TimestampValue:
    return _time(micros).cast(dt.Timestamp("UTC"))


@cache
def _never_changes(zone: str) -> bool:
    """Tell a zone of one offset from 1900 to 2100, looking every thirty days."""
    info, start = ZoneInfo(zone), datetime(1900, 1, 1, tzinfo=UTC)
    times = (start + timedelta(days=30 * n) for n in range(2435))
    return len({time.astimezone(info).utcoffset() for time in times}) == 1
