"""Tables of other engines held against their contract, by the types of their columns alone."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from cxpredict.data.contracts import TABLES, VERSIONS
from cxpredict.errors import DataError


def empty_table(columns: Mapping[str, str]) -> ir.Table:
    """Make a table without rows."""
    schema = ibis.schema(columns)
    return ibis.memtable(schema.to_pyarrow().empty_table(), schema=schema)


def typed_table(name: str, table: ir.Table | None) -> ir.Table:
    """Hold a table against its contract, by the types of its columns alone."""
    contract = {field.name: field.dtype for field in TABLES[name]}
    if table is None:
        return empty_table(contract)
    columns: dict[str, ir.Value] = {c: table[c] for c in table.columns}
    problems = []
    for wanted in (*TABLES[name], *VERSIONS):
        column = columns.get(wanted.name)
        if column is not None and not _fits(column, wanted.kind):
            problems.append(f"{wanted.name} is {column.type()}, expected {wanted.dtype}")
        elif column is not None:
            columns[wanted.name] = column.cast(wanted.dtype)
        elif wanted.required:
            problems.append(f"{wanted.name} is missing")
        elif wanted.name in contract:
            columns[wanted.name] = ibis.null(wanted.dtype)
    if "replaced_at" in columns and "version" not in columns:
        problems.append("version is missing beside replaced_at")
    if problems:
        raise DataError(f"{name}: {'; '.join(problems)}; rename or cast the columns")
    if name == "customers":
        columns["weight"] = columns["weight"].fill_null(1.0)
    elif "known_at" not in table.columns:
        columns["known_at"] = columns["occurred_at"]
    return table.select(**columns)


def _fits(column: ir.Value, kind: str) -> bool:
    given = column.type()
    if kind == "time":
        return bool(given.is_timestamp() and given.timezone in (None, "UTC"))
    return bool(given.is_numeric() if kind == "number" else given.is_string())
