"""Bad rows are data: every rejected row is kept with the rule that it broke, and counted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from cxpredict.config import SCALES
from cxpredict.config.sources import Source
from cxpredict.data.casting import Cast, Rule, cast_attribute, cast_column
from cxpredict.data.contracts import RESERVED, TABLES
from cxpredict.data.sources import ROW, columns_in
from cxpredict.errors import ConfigError, DataError


@dataclass(frozen=True)
class Checked:
    """A source after the check: the rows that are believed, the others, and the counts."""

    kept: ir.Table
    rejects: ir.Table
    counts: dict[str, int]
    rules: pd.DataFrame
    changes: pd.DataFrame


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
        `rejects` has source, row, rule and the row itself as JSON text, with ``[comment]`` in place
        of comments: they may hold personal data, and rejected rows are written to files.

    Raises
    ------
    DataError
        A whole column is of another form than declared (decimal comma, Excel or epoch numbers).
    """
    casts = {
        field.name: cast_column(name, source, field, mapped)
        if field.name in source.columns
        else Cast(ibis.null(field.dtype))
        for field in TABLES[source.table]
    }
    columns = {column: cast.value for column, cast in casts.items()}
    rules = [rule for cast in casts.values() for rule in cast.rules]
    rules += _table_rules(source, columns, now)
    attributes = _attributes(name, source, mapped)
    changes = [change for c in (*casts.values(), *attributes.values()) for change in c.changes]
    rule = ibis.cases(*((bad, f"{column}: {what}") for column, what, bad in rules))
    checked = connection.create_table(
        f"checked_{name}",
        mapped.select(
            mapped[ROW],
            _rule=rule,
            **columns,
            **{column: cast.value for column, cast in attributes.items()},
        ),
    )
    valid = checked.filter(checked._rule.isnull())
    repeats = _repeats(source, mapped if source.drop_duplicate_rows else valid)
    repeats = connection.create_table(f"repeats_{name}", repeats)
    unique = checked.anti_join(repeats, ROW)
    if source.table == "customers":
        unique = _refuse_conflicts(unique)
    kept = unique.filter(unique._rule.isnull()).drop("_rule")
    kept = connection.create_table(f"kept_{name}", _versions(source, kept).drop(ROW))
    rejects = _rejects(connection, name, source, unique.filter(unique._rule.notnull()), mapped)
    counts = {
        "read": mapped.count().execute(),
        "duplicates": repeats.count().execute(),
        "rejected": rejects.count().execute(),
        "kept": kept.count().execute(),
        "corrected": _corrected(kept),
    }
    for table in (checked, repeats):
        connection.drop_table(table.op().name)
    counted = _count_changes(name, mapped, changes)
    return Checked(kept, rejects, counts, _count_rules(rejects), counted)


def _table_rules(source: Source, columns: dict[str, ir.Value], now: datetime) -> list[Rule]:
    """Complete columns that have a default and give the rules that span columns."""
    if source.table == "customers":
        if "weight" not in source.columns:
            columns["weight"] = ibis.literal(1.0)
        return [("weight", "is not positive", columns["weight"] <= 0)]
    occurred = columns["occurred_at"]
    delay = ibis.interval(seconds=round(source.delay_hours * 3600))
    columns["known_at"] = columns["known_at"].fill_null(occurred + delay)
    rules = [("occurred_at", "lies in the future", occurred >= now)]
    if source.table == "feedback":
        rules += _score_rules(columns)
    if source.table == "contacts":
        arm = columns["arm"]
        rules.append(("arm", "expected treated or held_out", ~arm.isin(["treated", "held_out"])))
    return rules


def _score_rules(columns: dict[str, ir.Value]) -> list[Rule]:
    metric, score = columns["metric"], columns["score"]
    unanswered = score.isnull() & columns["invited_at"].isnull()
    rules: list[Rule] = [
        ("metric", f"expected one of {', '.join(SCALES)}", ~metric.isin(list(SCALES))),
        ("score", "is missing, and so is invited_at", unanswered),
        ("score", "is not a whole number", score != score.round()),
    ]
    for one, (low, high) in SCALES.items():
        outside = (metric == one) & ~score.between(low, high)
        rules.append(("score", f"outside {low:g}–{high:g} (metric {one})", outside))
    return rules


def _attributes(name: str, source: Source, mapped: ir.Table) -> dict[str, Cast]:
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
        if column.casefold() in RESERVED:
            raise ConfigError(f"sources.{name}.attributes: the name {column!r} is reserved")
    return {column: cast_attribute(name, source, column, raw[column]) for column in wanted}


def _repeats(source: Source, table: ir.Table) -> ir.Table:
    """Rows that say the same as another: by event id, or whole rows where declared.

    An event that becomes known again at another time, where that time is mapped, is a correction
    and no repeat. Which of several repeats stays depends on what they say, never on their order.
    """
    if source.drop_duplicate_rows or source.table == "customers":
        keys = [c for c in table.columns if c != ROW]
    elif "event_id" in source.columns:
        keys = ["event_id", "known_at"] if "known_at" in source.columns else ["event_id"]
        table = table.filter(table.event_id.notnull())
    else:
        return table.filter(ibis.literal(False)).select(ROW)
    rest = [c for c in table.columns if c not in {*keys, ROW}]
    window = ibis.window(group_by=keys, order_by=[*rest, ROW])
    copies = table.mutate(_copy=ibis.row_number().over(window))
    return copies.filter(copies._copy > 0).select(ROW)


def _versions(source: Source, kept: ir.Table) -> ir.Table:
    """Say of each version of an event which it is and when the next one became known."""
    if not {"event_id", "known_at"} <= set(source.columns):
        return kept
    identified = kept.filter(kept.event_id.notnull())
    if identified.count().execute() == identified.event_id.nunique().execute():
        return kept
    window = ibis.window(group_by="event_id", order_by="known_at")
    versions = identified.mutate(
        version=(ibis.row_number().over(window) + 1).cast("float64"),
        replaced_at=identified.known_at.lead().over(window),
    )
    alone = kept.filter(kept.event_id.isnull())
    alone = alone.mutate(version=ibis.literal(1.0), replaced_at=ibis.null("timestamp(6)"))
    return versions.union(alone, distinct=False)


def _corrected(kept: ir.Table) -> int:
    """Count the versions that a later one replaced."""
    return int(kept.replaced_at.count().execute()) if "replaced_at" in kept.columns else 0


def _refuse_conflicts(checked: ir.Table) -> ir.Table:
    """Refuse every row of a customer who has several: which of them is right, nobody knows."""
    rows = checked.count().over(ibis.window(group_by="customer_id"))
    several = "customer_id: stands on several rows that differ"
    return checked.mutate(
        _rule=checked._rule.coalesce(ibis.ifelse(rows > 1, several, ibis.null(str)))
    )


def _rejects(
    connection: Any, name: str, source: Source, broken: ir.Table, mapped: ir.Table
) -> ir.Table:
    raw: dict[str, ir.Value] = {
        c.removeprefix("raw: "): mapped[c] for c in mapped.columns if c.startswith("raw: ")
    }
    spoken = {column for column in raw if column.casefold() == "comment"}
    if "comment" in source.columns:
        spoken |= columns_in(source.columns["comment"])
    for column in spoken:
        raw[column] = ibis.ifelse(raw[column].isnull(), ibis.null(str), "[comment]")
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


def _count_changes(name: str, mapped: ir.Table, changes: list[Rule]) -> pd.DataFrame:
    """Count the values that were read otherwise than they stand."""
    said = [f"{column}: {what}" for column, what, _ in changes]
    if changes:
        row = mapped[ROW].notnull()  # what is false of every row is a column too
        totals = {f"n{i}": (row & where).sum() for i, (_, _, where) in enumerate(changes)}
        rows = mapped.aggregate(**totals).to_pandas().iloc[0].fillna(0).astype(int)
    else:
        rows = []
    table = pd.DataFrame({"source": name, "change": said, "rows": list(rows)})
    return table[table["rows"] > 0].reset_index(drop=True)
