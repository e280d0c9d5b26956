"""Bad rows are data: every rejected row is kept with the rule that it broke, and counted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandas as pd

from cxpredict.config import SCALES, Source
from cxpredict.data.contracts import TABLES, Field
from cxpredict.data.sources import ROW
from cxpredict.errors import ConfigError, DataError

EARLIEST = datetime(1990, 1, 1)
LARGEST = 1e12
_OFFSET = r"(Z|[+-]\d{2}(:?\d{2})?)$"
_NO_SECONDS = r"^(\d{4}-\d\d-\d\d[T ]\d\d:\d\d)(Z|[+-].*)$"
_DECIMAL_COMMA = r"^[-+]?\d+(\.\d{3})*,\d+$"

Rule = tuple[str, str, ir.BooleanValue]
"""Column, what is wrong with it, and where it is."""


@ibis.udf.scalar.builtin(name="timezone", signature=((str, dt.timestamp), dt.Timestamp("UTC")))
def _in_zone(zone, time):  # type: ignore[no-untyped-def]
    """Read a local time in its zone (DuckDB's `timezone`)."""


@ibis.udf.scalar.builtin(name="try_strptime", signature=((str, str), dt.timestamp))
def _parse_time(text, time_format):  # type: ignore[no-untyped-def]
    """Parse a time by its format, null where it does not fit (DuckDB's `try_strptime`)."""


@ibis.udf.scalar.builtin(name="nfc_normalize", signature=((str,), str))
def _nfc(text):  # type: ignore[no-untyped-def]
    """Give equal spellings of one text the same characters (DuckDB's `nfc_normalize`)."""


@dataclass(frozen=True)
class Checked:
    """A source after the check: the rows that are believed, the others, and the counts."""

    kept: ir.Table
    rejects: ir.Table
    counts: dict[str, int]
    rules: pd.DataFrame


def check_rows(
    connection: Any, name: str, source: Source, mapped: ir.Table, *, now: datetime
) -> Checked:
    """Cast the mapped columns of a source to their contract and part good rows from bad.

    Parameters
    ----------
    connection : ibis.backends.duckdb.Backend
        Where the checked rows are kept.
    name : str
        Name of the source.
    source : Source
        Its settings: zone, formats, scale, attributes, declared duplicates.
    mapped : ibis Table
        What `open_source` gives.
    now : datetime
        UTC; an event after it cannot have happened.

    Returns
    -------
    Checked
        `kept` has all columns of the table's contract (null where unmapped) and the attributes;
        `rejects` has source, row, rule and the row itself as JSON text.

    Raises
    ------
    DataError
        A whole column is of another form than declared (decimal comma, Excel or epoch numbers).
    """
    rules: list[Rule] = []
    columns: dict[str, ir.Value] = {}
    for field in TABLES[source.table]:
        if field.name not in source.columns:
            columns[field.name] = ibis.null(field.dtype)
            continue
        columns[field.name], broken = _cast(name, source, field, mapped)
        rules += broken
    rules += _table_rules(source, columns, now)
    attributes = _attributes(name, source, mapped)
    rule = ibis.cases(*((bad, f"{column}: {what}") for column, what, bad in rules))
    checked = connection.create_table(
        f"checked_{name}",
        mapped.select(mapped[ROW], _rule=rule, **columns, **attributes),
    )
    repeats = _repeats(source, mapped if source.drop_duplicate_rows else checked)
    checked = checked.anti_join(repeats, ROW)
    if source.table == "customers":
        checked = _refuse_conflicts(checked)
    kept = checked.filter(checked._rule.isnull()).drop("_rule")
    kept = connection.create_table(f"kept_{name}", kept)
    rejects = _rejects(connection, name, checked.filter(checked._rule.notnull()), mapped)
    counts = {
        "read": mapped.count().execute(),
        "duplicates": repeats.count().execute(),
        "rejected": rejects.count().execute(),
        "kept": kept.count().execute(),
    }
    return Checked(kept.drop(ROW), rejects, counts, _count_rules(rejects))


def _cast(name: str, source: Source, field: Field, mapped: ir.Table) -> tuple[ir.Value, list[Rule]]:
    raw = mapped[field.name]
    if field.kind == "time":
        value, rules = _time(name, source, field.name, raw)
    elif field.kind == "number":
        value, rules = _number(name, source, field.name, raw)
    else:
        value, rules = _text(field.name, raw)
    if field.required:
        rules.insert(0, (field.name, "is missing", raw.isnull()))
    return value, rules


def _text(name: str, raw: ir.Value) -> tuple[ir.Value, list[Rule]]:
    if raw.type().is_floating():
        lost = (raw != raw.round()) | (raw.abs() >= 2**53)
        text = raw.try_cast("int64").cast("string")
        return text, [(name, "digits lost: an id stored as a decimal number", lost)]
    text = _nfc(raw.cast("string"))
    return text, [(name, "NUL byte", text.re_search(r"\x00")), (name, "is empty", text == "")]


def _number(name: str, source: Source, column: str, raw: ir.Value) -> tuple[ir.Value, list[Rule]]:
    if raw.type().is_boolean() or raw.type().is_temporal():
        raise ConfigError(f"sources.{name}.columns.{column}: expected numbers, found {raw.type()}")
    value = raw
    if raw.type().is_string():
        if source.decimal == ",":
            value = raw.replace(".", "").replace(",", ".")
        elif _mostly(raw, _DECIMAL_COMMA):
            raise DataError(f"{name}.{column}: decimal commas; set decimal: ','")
    value = value.try_cast("float64")
    return value, [
        (column, "is not a number", raw.notnull() & value.isnull()),
        (column, "is not finite", value.isinf() | value.isnan()),
        (column, f"beyond ±{LARGEST:.0e}", value.abs() > LARGEST),
    ]


def _time(name: str, source: Source, column: str, raw: ir.Value) -> tuple[ir.Value, list[Rule]]:
    zone = source.timezone or "UTC"
    kind = raw.type()
    if kind.is_numeric():
        raise DataError(
            f"{name}.{column}: expected times, found numbers; map an expression that makes times"
        )
    if kind.is_string():
        aware = raw.re_search(_OFFSET) & raw.contains(":")
        raw = raw.re_replace(_NO_SECONDS, r"\1:00\2")
        local = (
            _parse_time(raw, source.time_format)
            if source.time_format
            else raw.try_cast("timestamp")
        )
        utc = ibis.cases(
            (aware & (source.time_format is None), raw.try_cast(dt.Timestamp("UTC"))),
            else_=_in_zone(zone, local),
        )
    elif kind.is_timestamp() and kind.timezone:
        utc = raw
    else:
        utc = _in_zone(zone, raw.cast("timestamp"))
    value = utc.cast(dt.Timestamp("UTC")).cast("timestamp(6)")
    form = source.time_format or "ISO 8601; set time_format"
    return value, [
        (column, f"is not a time ({form})", raw.notnull() & value.isnull()),
        (column, f"before {EARLIEST.year}", value < EARLIEST),
        (column, "after 2100", value >= datetime(2100, 1, 1)),
    ]


def _mostly(raw: ir.StringValue, pattern: str) -> bool:
    share = raw.re_search(pattern).mean().execute()
    return bool(pd.notna(share) and share > 0.5)


def _table_rules(source: Source, columns: dict[str, ir.Value], now: datetime) -> list[Rule]:
    """Complete columns that have a default and give the rules that span columns."""
    if source.table == "customers":
        if "weight" not in source.columns:
            columns["weight"] = ibis.literal(1.0)
        return [("weight", "is not positive", columns["weight"] <= 0)]
    occurred = columns["occurred_at"]
    delay = ibis.interval(seconds=round(source.delay_hours * 3600))
    columns["known_at"] = columns["known_at"].fill_null(occurred + delay)
    rules = [("occurred_at", "lies in the future", occurred > now)]
    if source.table == "feedback":
        rules += _score_rules(source, columns)
    if source.table == "contacts":
        arm = columns["arm"]
        rules.append(("arm", "expected treated or held_out", ~arm.isin(["treated", "held_out"])))
    return rules


def _score_rules(source: Source, columns: dict[str, ir.Value]) -> list[Rule]:
    metric, score = columns["metric"], columns["score"]
    scales = dict.fromkeys(SCALES, source.scale) if source.scale else SCALES
    unanswered = score.isnull() & columns["invited_at"].isnull()
    rules: list[Rule] = [
        ("metric", f"expected one of {', '.join(SCALES)}", ~metric.isin(list(SCALES))),
        ("score", "is missing, and so is invited_at", unanswered),
        ("score", "is not a whole number", score != score.round()),
    ]
    for one, (low, high) in scales.items():
        outside = (metric == one) & ~score.between(low, high)
        rules.append(("score", f"outside {low:g}–{high:g} (metric {one})", outside))
    return rules


def _attributes(name: str, source: Source, mapped: ir.Table) -> dict[str, ir.Value]:
    """Give the customers' further columns as numbers where every value is one, else as text."""
    if source.table != "customers":
        return {}
    raw = {c.removeprefix("raw: "): mapped[c] for c in mapped.columns if c.startswith("raw: ")}
    used = {how.name for how in source.columns.values()}
    wanted = [c for c in raw if c not in used] if source.attributes == "*" else source.attributes
    for column in wanted:
        if column not in raw:
            raise ConfigError(f"sources.{name}.attributes: no column {column!r}")
        if raw[column].type().is_temporal():
            raise DataError(
                f"sources.{name}: attribute {column!r} is a time; map it to 'since' or to events"
            )
        if column in {f.name for f in TABLES["customers"]}:
            raise ConfigError(f"sources.{name}.attributes: map {column!r} under 'columns'")
    return {column: _attribute(source, raw[column]) for column in wanted}


def _attribute(source: Source, raw: ir.Value) -> ir.Value:
    if raw.type().is_decimal():
        return raw.cast("float64")
    if not raw.type().is_string():
        return raw
    raw = raw.strip().nullif("")
    number = raw.replace(",", ".") if source.decimal == "," else raw
    number = number.try_cast("float64")
    text_left = (raw.notnull() & number.isnull()).any().execute()
    return raw if text_left or pd.isna(text_left) else number


def _repeats(source: Source, table: ir.Table) -> ir.Table:
    """Rows that say the same as an earlier row: by event id, or whole rows where declared."""
    if source.drop_duplicate_rows or source.table == "customers":
        keys = [c for c in table.columns if c != ROW]
    elif "event_id" in source.columns:
        keys = ["event_id"]
    else:
        return table.filter(ibis.literal(False)).select(ROW)
    window = ibis.window(group_by=keys, order_by=ROW)
    copies = table.mutate(_copy=ibis.row_number().over(window))
    not_missing = copies[keys[0]].notnull() if keys == ["event_id"] else ibis.literal(True)
    return copies.filter((copies._copy > 0) & not_missing).select(ROW)


def _refuse_conflicts(checked: ir.Table) -> ir.Table:
    """Refuse every row of a customer who has several: which of them is right, nobody knows."""
    rows = checked.count().over(ibis.window(group_by="customer_id"))
    several = "customer_id: stands on several rows that differ"
    return checked.mutate(
        _rule=checked._rule.coalesce(ibis.ifelse(rows > 1, several, ibis.null(str)))
    )


def _rejects(connection: Any, name: str, broken: ir.Table, mapped: ir.Table) -> ir.Table:
    raw = {c.removeprefix("raw: "): mapped[c] for c in mapped.columns if c.startswith("raw: ")}
    records = mapped.select(ROW, record=ibis.struct(raw).cast("json").cast("string"))
    rejects = broken.select(ROW, rule=broken._rule).join(records, ROW)
    rejects = rejects.select(
        source=ibis.literal(name), row=rejects[ROW], rule="rule", record="record"
    )
    return connection.create_table(f"rejects_{name}", rejects.order_by("row"))


def _count_rules(rejects: ir.Table) -> pd.DataFrame:
    """Count the rejected rows by rule, with the first few row numbers."""
    by_rule = rejects.group_by("source", "rule").agg(
        rows=rejects.count(), first_rows=rejects.row.collect(order_by="row")[:5].cast("string")
    )
    return by_rule.order_by("rule").to_pandas()
