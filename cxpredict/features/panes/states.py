"""Partial states: what must be remembered of some rows so that features can be put together.

Every state is a sum, a least or a greatest, so states of parts merge into the state of the whole in
any order. Values are summed in three limbs (whole part, and twice 26 bits of the fraction), each of
them whole numbers that floating point adds exactly: no order of rows, chunks or partitions changes
a digit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import ibis
import ibis.expr.types as ir

from cxpredict.config.features import ANSWER_DAYS
from cxpredict.features.events import Filters, about_text, passes
from cxpredict.features.origin import Origin

DAY = 86_400_000_000
LIMBS = {"whole": 1.0, "part": 2.0**26, "rest": 2.0**52}
"""What one unit of each limb of a value stands for, as a divisor."""

_EPOCH = ibis.literal("2020-01-01").cast("timestamp(6)")
_MERGED_BY = {
    "least": "min", "first": "min",
    "greatest": "max", "latest": "max", "last": "max", "seen": "max",
}  # fmt: skip

Levels = Mapping[str, tuple[Sequence[str], int | None]]
"""All values of each column whose different values are counted, and the widest window asked for."""

Lookup = Callable[["State", int | None], ir.Value]
"""Gives the merged state of the rows of a window (None: of all)."""


@dataclass(frozen=True)
class State:
    """One partial state.

    Attributes
    ----------
    of : str
        ``count`` of rows, ``values`` (rows that have one), ``least``, ``greatest``, ``last`` (time
        and value), ``first`` and ``latest`` (time), ``seen`` (latest time of a level); sums of
        values by limb, ``whole``, ``part``, ``rest``; for a slope ``day``, ``day_squared`` and
        the limbs of day times value, ``day_whole``, ``day_part``, ``day_rest``.
    column : str
        The column that is measured.
    filters : tuple of (column, value)
        Which rows count.
    level : str
        The level of `column` that ``seen`` looks for.
    """

    of: str
    column: str = ""
    filters: Filters = ()
    level: str = ""

    @property
    def name(self) -> str:
        """A column name that belongs to this state alone, on any engine and at any time."""
        return f"{self.of}_{sha256(repr(self).encode()).hexdigest()[:12]}"

    def lift(self, rows: ir.Table) -> ir.Value:
        """Give the state of each single row."""
        mask = passes(rows, self.filters)
        if self.of == "count":
            return mask.cast("float64")
        if self.of in ("first", "latest"):
            return self._where(mask, rows.occurred_at)
        value = rows[self.column]
        match self.of:
            case "seen":
                mask = mask & (value == self.level).fill_null(False)
                return ibis.ifelse(mask, rows.occurred_at, ibis.null("timestamp(6)"))
            case "whole" | "part" | "rest":
                return self._where(mask, _limb(value, self.of))
            case "least" | "greatest":
                return self._where(mask, value)
        mask = mask & value.notnull()
        if self.of == "values":
            return mask.cast("float64")
        if self.of == "last":
            last = ibis.struct({"at": rows.occurred_at, "value": value})
            return ibis.ifelse(mask, last, ibis.null(last.type()))
        day = rows.occurred_at.truncate("D").delta(_EPOCH, unit="day").cast("float64")
        match self.of:
            case "day":
                return ibis.ifelse(mask, day, 0.0)
            case "day_squared":
                return ibis.ifelse(mask, day * day, 0.0)
            case _:
                return self._where(mask, _limb(day * value, self.of.removeprefix("day_")))

    def _where(self, mask: ir.BooleanValue, value: ir.Value) -> ir.Value:
        return ibis.ifelse(mask, value, ibis.null(value.type())) if self.filters else value

    def merge(self, rows: ir.Table, where: ir.BooleanValue | None = None) -> ir.Scalar:
        """Merge the states of many rows or cells into one."""
        state = rows[self.name]
        if where is not None:  # many aggregates with FILTER cost DuckDB the square of their number
            state = ibis.ifelse(where, state, ibis.null(state.type()))
        merged: ir.Scalar = getattr(state, _MERGED_BY.get(self.of, "sum"))()
        return merged


def _limb(value: ir.Value, which: str) -> ir.Value:
    """Take a limb of a number; scaling by powers of two and taking floors are exact."""
    value = value.cast("float64")
    whole = value.floor().cast("float64")
    if which == "whole":
        return whole
    scaled = (value - whole) * LIMBS["part"]
    part = scaled.floor().cast("float64")
    return part if which == "part" else ((scaled - part) * LIMBS["part"]).round().cast("float64")


def measure(origin: Origin, as_of: ir.Value, state: Lookup, levels: Levels) -> ir.Value:
    """Express a feature by the merged states of its windows; durations are in days.

    Parameters
    ----------
    origin : Origin
        The feature.
    as_of : timestamp value
        Its date.
    state : callable
        Gives a merged state, see `Lookup`.
    levels : mapping
        See `Levels`.

    Returns
    -------
    float64 value
        Counts and sums are 0 without rows, other measures missing.
    """
    days, column, filters = origin.window_days, origin.column, origin.filters

    def of(what: str, window: int | None = days) -> ir.Value:
        measured = column if what in _VALUES else ""
        return state(State(what, measured, filters), window)

    def total(prefix: str = "", window: int | None = days) -> ir.Value:
        limbs = [of(prefix + limb, window) / unit for limb, unit in LIMBS.items()]
        return limbs[0] + (limbs[1] + limbs[2])

    def amount(window: int | None) -> ir.Value:
        return (total("", window) if column else of("count", window)).fill_null(0.0)

    match origin.measure:
        case "count":
            value = of("count").fill_null(0.0)
        case "unanswered":
            value = of("count").fill_null(0.0) - of("count", ANSWER_DAYS).fill_null(0.0)
        case "sum":
            value = amount(days)
        case "mean":
            value = total() / of("values").nullif(0.0)
        case "min":
            value = of("least")
        case "max":
            value = of("greatest")
        case "last":
            value = of("last")["value"]
        case "days_since":
            value = _days(as_of, of("latest"))
        case "distinct":
            value = _distinct(origin, as_of, state, levels)
        case "share":
            value = of("count").fill_null(0.0) / state(State("count"), days).nullif(0.0)
        case "trend":
            assert days is not None
            value = amount(days) * 3 / amount(3 * days).nullif(0.0)
        case "slope":
            value = _slope(of, total)
        case _:
            value = _rhythm(origin, as_of, state)
    return value.cast("float64")


def _distinct(origin: Origin, as_of: ir.Value, state: Lookup, levels: Levels) -> ir.Value:
    """Count the levels last seen within the window, so that one state of each serves them all."""
    values, widest = levels[origin.column]
    number = ibis.literal(0.0)
    for level in values:
        seen = state(State("seen", origin.column, origin.filters, level), widest)
        inside = seen.notnull()
        if origin.window_days is not None:
            inside = (seen >= as_of - ibis.interval(days=origin.window_days)).fill_null(False)
        number = number + inside.cast("float64")
    return number


_VALUES = (
    "values", "least", "greatest", "last", "day", "day_squared",
    *LIMBS, *(f"day_{limb}" for limb in LIMBS),
)  # fmt: skip


def _slope(of: Callable[[str], ir.Value], total: Callable[[str], ir.Value]) -> ir.Value:
    n, day, square = of("values"), of("day"), of("day_squared")
    return (n * total("day_") - day * total("")) / (n * square - day * day).nullif(0.0)


def _rhythm(origin: Origin, as_of: ir.Value, state: Lookup) -> ir.Value:
    """Measures of the days on which something happened (`events.day_spans`)."""
    about, window = (("about", about_text(origin.filters)),), origin.window_days

    def of(what: str, column: str = "") -> ir.Value:
        return state(State(what, column, about), window)

    if origin.measure == "days":
        return of("count").fill_null(0.0)
    if origin.measure == "gap_std":
        n, total, square = of("values", "gap"), of("whole", "gap"), of("whole", "gap_squared")
        return spread_of(n, total, square)
    gap = _days(of("latest"), of("first")) / (of("count") - 1).nullif(0.0)
    if origin.measure == "overdue":
        return _days(as_of, of("latest")) / gap
    return gap


def spread_of(n: ir.Value, total: ir.Value, square: ir.Value) -> ir.Value:
    """Express a standard deviation by number, sum and sum of squares; missing for one value."""
    spread = (n * square - total * total).sqrt() / n.nullif(0.0)
    return ibis.ifelse(n >= 2, spread, ibis.null("float64"))


def _days(later: ir.Value, earlier: ir.Value) -> ir.Value:
    return later.delta(earlier, unit="microsecond").cast("float64") / DAY


def needs(origins: Sequence[Origin], levels: Levels) -> list[tuple[State, int | None]]:
    """List the states and windows that some features are made of, each once, in a fixed order."""
    found: dict[tuple[State, int | None], None] = {}

    def note(state: State, window: int | None) -> ir.Value:
        found[state, window] = None
        return ibis.null(_TYPES.get(state.of, "float64"))

    for origin in origins:
        measure(origin, ibis.null("timestamp(6)"), note, levels)
    return list(found)


_TYPES = {
    "first": "timestamp(6)", "latest": "timestamp(6)", "seen": "timestamp(6)",
    "last": "struct<at: timestamp(6), value: float64>",
}  # fmt: skip


def windows_of(origins: Sequence[Origin]) -> tuple[int, ...]:
    """List the windows that some features are made of, in days, ascending."""
    levels: Levels = {o.column: ((), None) for o in origins if o.measure == "distinct"}
    windows = {days for _, days in needs(origins, levels)} | {o.window_days for o in origins}
    return tuple(sorted(days for days in windows if days is not None))
