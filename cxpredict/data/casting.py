"""From what a source holds to what the log promises: ids, text, numbers and times."""

from datetime import datetime

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandas as pd

from cxpredict.config.sources import Source
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
_COMMA_NUMBER = r"^[-+]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$"

Rule = tuple[str, str, ir.BooleanValue]
"""Column, what is wrong with it, and where it is."""


@ibis.udf.scalar.builtin(name="timezone", signature=((str, dt.timestamp), dt.Timestamp("UTC")))
def _in_zone(zone, time):  # type: ignore[no-untyped-def]
    """Read a local time in its zone (DuckDB's `timezone`)."""


@ibis.udf.scalar.builtin(name="try_strptime", signature=((str, str), dt.timestamp))
def _parse_local(text, time_format):  # type: ignore[no-untyped-def]
    """Parse a local time by its format, null where it does not fit (DuckDB's `try_strptime`)."""


@ibis.udf.scalar.builtin(name="try_strptime", signature=((str, str), dt.Timestamp("UTC")))
def _parse_zoned(text, time_format):  # type: ignore[no-untyped-def]
    """Parse a time whose format holds its offset."""


@ibis.udf.scalar.builtin(name="nfc_normalize", signature=((str,), str))
def _nfc(text):  # type: ignore[no-untyped-def]
    """Give equal spellings of one text the same characters (DuckDB's `nfc_normalize`)."""


def cast_column(
    name: str, source: Source, field: Field, mapped: ir.Table
) -> tuple[ir.Value, list[Rule]]:
    """Cast a mapped column to its contract.

    Parameters
    ----------
    name : str
        Name of the source, for messages.
    source : Source
        Its zone, formats and decimal mark.
    field : Field
        The column of the log.
    mapped : ibis Table
        Holds the column as it came.

    Returns
    -------
    value : ibis Value
        The column, null where it cannot be cast.
    rules : list of (column, what is wrong, where)
        Rows that break the contract; none is cast silently into something else.

    Raises
    ------
    ConfigError, DataError
        The whole column is of another form than declared.
    """
    raw = mapped[field.name]
    if field.kind == "time":
        value, rules = _time(name, source, field.name, raw)
    elif field.kind == "number":
        value, rules = _number(name, source, field.name, raw)
    elif field.kind == "id":
        value, rules = _id(field.name, raw)
    else:
        value = _nfc(raw.cast("string")).nullif("")
        rules = [(field.name, "NUL byte", value.re_search(r"\x00"))]
    if field.required:
        rules.insert(0, (field.name, "is missing", value.isnull() & _absent(raw)))
    return value, rules


def cast_attribute(name: str, source: Source, column: str, raw: ir.Value) -> ir.Value:
    """Cast a further column of customers: to numbers where every value is one, else to text."""
    kind = raw.type()
    if kind.is_decimal() or kind.is_floating():
        number = raw.cast("float64")
        return ibis.ifelse(number.isinf() | number.isnan(), ibis.null("float64"), number)
    if not kind.is_string():
        return raw
    raw = raw.strip().nullif("")
    number = _as_number(name, source, column, raw)
    text_left = (raw.notnull() & number.isnull()).any().execute()
    return raw if text_left or pd.isna(text_left) else number


def _absent(raw: ir.Value) -> ir.BooleanValue:
    """Tell missing values from those that could not be read."""
    absent = raw.isnull()
    if raw.type().is_floating():
        absent = absent | raw.isnan()
    return absent | (raw.strip() == "") if raw.type().is_string() else absent


def _id(name: str, raw: ir.Value) -> tuple[ir.Value, list[Rule]]:
    """Read ids as text: equal spellings are one, blanks around them are none of them."""
    if raw.type().is_floating() or raw.type().is_decimal():
        number = raw.cast("float64")
        lost = number.notnull() & ~number.isnan() & ((number % 1 != 0) | (number.abs() >= 2**53))
        text = ibis.ifelse(lost | number.isnan(), ibis.null("float64"), number)
        text = text.try_cast("int64").cast("string")
        return text, [(name, "digits lost: an id stored as a decimal number", lost)]
    text = _nfc(raw.cast("string")).strip().nullif("")
    return text, [(name, "NUL byte", text.re_search(r"\x00"))]


def _number(name: str, source: Source, column: str, raw: ir.Value) -> tuple[ir.Value, list[Rule]]:
    kind = raw.type()
    if kind.is_boolean() or kind.is_temporal():
        raise ConfigError(f"sources.{name}.columns.{column}: expected numbers, found {kind}")
    if kind.is_string():
        raw = raw.strip().nullif("")
        value = _as_number(name, source, column, raw)
    else:
        value = raw.try_cast("float64")
    return value, [
        (column, "is not a number", raw.notnull() & value.isnull()),
        (column, "is not finite", value.isinf() | value.isnan()),
        (column, f"beyond ±{LARGEST:.0e}", value.abs() > LARGEST),
    ]


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


def _time(name: str, source: Source, column: str, raw: ir.Value) -> tuple[ir.Value, list[Rule]]:
    zone, kind = source.timezone or "UTC", raw.type()
    if kind.is_numeric():
        raise DataError(
            f"{name}.{column}: expected times, found numbers; map an expression that makes times"
        )
    if kind.is_string():
        raw = raw.strip().nullif("")
        utc = _parsed(raw, zone, source.time_format)
    elif kind.is_timestamp() and kind.timezone:
        utc = raw
    else:
        utc = _in_zone(zone, raw.cast("timestamp"))
    value = utc.cast(dt.Timestamp("UTC")).cast("timestamp(6)")
    earliest = _EARLIEST.get(column, datetime(1990, 1, 1))
    form = source.time_format or "ISO 8601; set time_format"
    return value, [
        (column, f"is not a time ({form})", raw.notnull() & value.isnull()),
        (column, f"before {earliest.year}", value < earliest),
        (column, f"after {_LATEST.year}", value >= _LATEST),
    ]


def _parsed(text: ir.StringValue, zone: str, time_format: str | None) -> ir.TimestampValue:
    """Read times: an offset in the text counts, else the zone of the source."""
    if time_format is not None:
        if "%z" in time_format or "%Z" in time_format:
            return _parse_zoned(text, time_format)
        return _in_zone(zone, _parse_local(text, time_format))
    whole = text.re_replace(_NO_SECONDS, r"\1:00\2").upper()
    return ibis.cases(
        (text.re_search(_ISO_WITH_OFFSET), whole.try_cast(dt.Timestamp("UTC"))),
        (text.re_search(_ISO), _in_zone(zone, text.try_cast("timestamp"))),
        else_=ibis.null(dt.Timestamp("UTC")),
    )
