"""From what a source holds to what the log promises: ids, text, numbers and times."""

from dataclasses import dataclass, field, replace
from datetime import datetime

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandas as pd

from cxpredict.config.sources import Source
from cxpredict.data.clocks import to_utc
from cxpredict.data.contracts import Field
from cxpredict.errors import ConfigError, DataError

LARGEST = 1e12
_EARLIEST = {"since": datetime(1900, 1, 1)}
_LATEST = datetime(2100, 1, 1)
_ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?$"
_ISO_WITH_OFFSET = (
    r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)? ?(Z|z|UTC|GMT|[+-]\d\d(:?\d\d)?)$"
)
_NO_SECONDS = r"^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d)( ?[^\d:].*)$"
_DECIMAL_COMMA = r"^ *[-+]?\d+(\.\d{3})*,\d+ *$"
_BARE_NUMBER = r"^[-+]?\d+(\.\d+)?$"
_SCIENTIFIC = r"^\d(\.\d+)?[eE]\+\d+$"
_FORMS = [
    (2e4, 7e4, "days since 1899, as Excel counts", "1899-12-30", "1 day"),
    (5e8, 5e9, "seconds since 1970", "1970-01-01", "1 second"),
    (5e11, 5e12, "milliseconds since 1970", "1970-01-01", "1 millisecond"),
    (5e14, 5e15, "microseconds since 1970", "1970-01-01", "1 microsecond"),
]
_COMMA_NUMBER = r"^[-+]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$"

Rule = tuple[str, str, ir.BooleanValue]
"""Column, what is wrong with it or was changed in it, and where it is."""


@dataclass(frozen=True)
class Cast:
    """A column as its contract wants it: null where it cannot be cast.

    `rules` say which rows break the contract; none is cast silently into something else.
    `changes` say which values were read otherwise than they stand; they are counted.
    """

    value: ir.Value
    rules: list[Rule] = field(default_factory=list)
    changes: list[Rule] = field(default_factory=list)


@ibis.udf.scalar.builtin(name="try_strptime", signature=((str, str), dt.timestamp))
def _parse_local(text, time_format):  # type: ignore[no-untyped-def]
    """Parse a local time by its format, null where it does not fit (DuckDB's `try_strptime`)."""


@ibis.udf.scalar.builtin(name="try_strptime", signature=((str, str), dt.Timestamp("UTC")))
def _parse_zoned(text, time_format):  # type: ignore[no-untyped-def]
    """Parse a time whose format holds its offset."""


@ibis.udf.scalar.builtin(name="nfc_normalize", signature=((str,), str))
def _nfc(text):  # type: ignore[no-untyped-def]
    """Give equal spellings of one text the same characters (DuckDB's `nfc_normalize`)."""


def cast_column(name: str, source: Source, contract: Field, mapped: ir.Table) -> Cast:
    """Cast a mapped column to its contract.

    Parameters
    ----------
    name : str
        Name of the source, for messages.
    source : Source
        Its zone, formats and decimal mark.
    contract : Field
        The column of the log.
    mapped : ibis Table
        Holds the column as it came.

    Returns
    -------
    Cast

    Raises
    ------
    ConfigError, DataError
        The whole column is of another form than declared.
    """
    raw = mapped[contract.name]
    _refuse_containers(f"{name}.{contract.name}", raw)
    if contract.kind == "time":
        cast = _time(name, source, contract.name, raw)
    elif contract.kind == "number":
        cast = _number(name, source, contract.name, raw)
    elif contract.kind == "id":
        cast = _id(contract.name, raw)
    else:
        value = _nfc(raw.cast("string")).nullif("")
        cast = Cast(value, [(contract.name, "NUL byte", value.re_search(r"\x00"))])
    if contract.required:
        missing = (contract.name, "is missing", cast.value.isnull() & _absent(raw))
        cast = replace(cast, rules=[missing, *cast.rules])
    return cast


def cast_attribute(name: str, source: Source, column: str, raw: ir.Value) -> Cast:
    """Cast a further column of customers: to numbers where every value is one, else to text."""
    _refuse_containers(f"{name}.{column}", raw)
    kind = raw.type()
    if kind.is_decimal() or kind.is_floating():
        return _finite(column, raw.cast("float64"))
    if not kind.is_string():
        return Cast(raw)
    raw = raw.strip().nullif("")
    number = _as_number(name, source, column, raw)
    text_left = (raw.notnull() & number.isnull()).any().execute()
    if text_left or pd.isna(text_left):
        return Cast(raw)
    return _finite(column, number)


def _finite(column: str, number: ir.FloatingValue) -> Cast:
    infinite = number.isinf()
    value = ibis.ifelse(infinite | number.isnan(), ibis.null("float64"), number)
    return Cast(value, changes=[(column, "infinite values taken as missing", infinite)])


def _refuse_containers(place: str, raw: ir.Value) -> None:
    kind = raw.type()
    if kind.is_nested() or kind.is_binary() or kind.is_interval() or kind.is_geospatial():
        raise DataError(f"{place}: expected numbers, text or times, found {kind}; cast or drop it")


def _absent(raw: ir.Value) -> ir.BooleanValue:
    """Tell missing values from those that could not be read."""
    absent = raw.isnull()
    if raw.type().is_floating():
        absent = absent | raw.isnan()
    return absent | (raw.strip() == "") if raw.type().is_string() else absent


def _id(column: str, raw: ir.Value) -> Cast:
    """Read ids as text: equal spellings are one, blanks around them are none of them."""
    as_text = [(column, "numbers read as text", raw.notnull())] if raw.type().is_numeric() else []
    exact = raw.type().is_decimal() and raw.type().scale == 0
    if raw.type().is_floating() or (raw.type().is_decimal() and not exact):
        number = raw.cast("float64")
        lost = number.notnull() & ~number.isnan() & ((number % 1 != 0) | (number.abs() >= 2**53))
        text = ibis.ifelse(lost | number.isnan(), ibis.null("float64"), number)
        text = text.try_cast("int64").cast("string")
        rule = (column, "digits lost: an id stored as a decimal number", lost)
        return Cast(text, [rule], as_text)
    spelled = raw.cast("string")
    text = _nfc(spelled).strip().nullif("")
    normalised = (column, "spelling normalised (blanks around, Unicode NFC)", spelled != text)
    rules = [
        (column, "NUL byte", text.re_search(r"\x00")),
        (column, "digits lost: an id in scientific notation", text.re_search(_SCIENTIFIC)),
    ]
    return Cast(text, rules, as_text or [normalised])


def _number(name: str, source: Source, column: str, raw: ir.Value) -> Cast:
    kind = raw.type()
    if kind.is_boolean() or kind.is_temporal():
        raise ConfigError(f"sources.{name}.columns.{column}: expected numbers, found {kind}")
    if kind.is_string():
        raw = raw.strip().nullif("")
        value = _as_number(name, source, column, raw)
    else:
        value = raw.try_cast("float64")
    rules = [
        (column, "is not a number", raw.notnull() & value.isnull()),
        (column, "is not finite", value.isinf() | value.isnan()),
        (column, f"beyond ±{LARGEST:.0e}", value.abs() > LARGEST),
    ]
    return Cast(value, rules)


def _as_number(name: str, source: Source, column: str, text: ir.StringValue) -> ir.FloatingValue:
    """Read numbers with the declared decimal mark, null where the text is none."""
    if source.decimal == ",":
        plain = text.replace(".", "").replace(",", ".")
        text = ibis.ifelse(text.re_search(_COMMA_NUMBER), plain, ibis.null("string"))
    elif _mostly(text, _DECIMAL_COMMA):
        raise DataError(
            f"{name}.{column}: commas in numbers; if they are decimal commas set decimal: ',', if "
            "they part thousands write the numbers without them"
        )
    return text.try_cast("float64")


def _mostly(text: ir.StringValue, pattern: str) -> bool:
    share = text.re_search(pattern).mean().execute()
    return bool(pd.notna(share) and share > 0.5)


def _time(name: str, source: Source, column: str, raw: ir.Value) -> Cast:
    zone, kind = source.timezone or "UTC", raw.type()
    if kind.is_numeric() or kind.is_boolean() or kind.is_time():
        raise DataError(
            f"{name}.{column}: expected times, found numbers ({kind}); map an expression that "
            f"makes times{_hint(raw) if kind.is_numeric() else ''}"
        )
    changed = ibis.literal(False)
    if kind.is_string():
        raw = raw.strip().nullif("")
        utc, changed = _parsed(raw, source, zone)
    elif kind.is_timestamp() and kind.timezone:
        utc = raw
    else:
        utc, changed = to_utc(zone, raw.cast("timestamp"), source.clock_change)
    value = utc.cast(dt.Timestamp("UTC")).cast("timestamp(6)")
    earliest = _EARLIEST.get(column, datetime(1990, 1, 1))
    form = source.time_format or "ISO 8601; set time_format"
    unread = raw.notnull() & value.isnull() & ~changed
    number = unread & raw.re_search(_BARE_NUMBER) if kind.is_string() else ibis.literal(False)
    rules = [
        (column, "is a number (epoch, Excel?); map an expression that makes times", number),
        (column, f"is not a time ({form})", unread),
        (column, f"before {earliest.year}", value < earliest),
        (column, f"after {_LATEST.year}", value >= _LATEST),
    ]
    if source.clock_change == "reject":
        skipped = f"skipped or shown twice by the clocks of {zone}; set clock_change"
        return Cast(value, [(column, skipped, changed), *rules])
    read_as = f"skipped or shown twice by the clocks of {zone}: the {source.clock_change} taken"
    return Cast(value, rules, [(column, read_as, changed)])


def _hint(raw: ir.NumericValue) -> str:
    """Say which count of time the numbers look like, and how to read it."""
    middle = raw.cast("float64").median().execute()
    for low, high, what, start, unit in _FORMS:
        if pd.notna(middle) and low < middle < high:
            return (
                f"; if they are {what}: TIMESTAMP '{start}' + CAST(the_column AS DOUBLE) * "
                f"INTERVAL '{unit}'"
            )
    return ""


def _parsed(
    text: ir.StringValue, source: Source, zone: str
) -> tuple[ir.TimestampValue, ir.BooleanValue]:
    """Read times: an offset in the text counts, else the zone of the source."""
    time_format = source.time_format
    if time_format is not None and ("%z" in time_format or "%Z" in time_format):
        return _parse_zoned(text, time_format), ibis.literal(False)
    if time_format is not None:
        return to_utc(zone, _parse_local(text, time_format), source.clock_change)
    whole = text.re_replace(_NO_SECONDS, r"\1:00\2").upper()
    zoned = ibis.cases((text.re_search(_ISO_WITH_OFFSET), whole.try_cast(dt.Timestamp("UTC"))))
    local = ibis.cases((text.re_search(_ISO), text.try_cast("timestamp")))
    utc, changed = to_utc(zone, local, source.clock_change)
    return zoned.coalesce(utc), changed.fill_null(False)
