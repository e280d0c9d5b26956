"""The files of a score job: Parquet, or CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

FORMULA = r"^('*[=+\-@\t\r\n＝＋－＠])"
"""Cells that begin so are formulas to a spreadsheet, or would be without their apostrophes."""
GROUP_ROWS = 65_536


def write_tables(tables: Iterable[pa.Table], path: Path, schema: pa.Schema) -> None:
    """Write a stream of tables as one file, Parquet or CSV by its name.

    Parameters
    ----------
    tables : iterable of Table
        Each becomes a row group of Parquet.
    path : Path
        Ends with ``.parquet`` or ``.csv``.
    schema : Schema
        Of the tables; a stream without tables gives an empty, typed file.

    Notes
    -----
    In CSV a time at midnight is a date, and a text or a column name that begins with ``=``,
    ``+``, ``-``, ``@`` (full-width ones too), a tab or the end of a line gets an apostrophe in
    front, ids too. So does one that begins with apostrophes before these: where ids are joined,
    `told_back` takes exactly one away again; or read Parquet. Numbers are never changed.
    """
    if path.suffix == ".csv":
        _write_csv(tables, path, schema)
        return
    with pq.ParquetWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(table)


def write_rejects(rejects: ir.Table, path: Path) -> None:
    """Write rejected rows with their rule, in the order of their sources, as a stream."""
    from cxpredict.jobs.scoring.batches import regroup

    rows = rejects.order_by("source", "row").to_pyarrow_batches(chunk_size=GROUP_ROWS)
    with rows:
        parts = regroup((pa.Table.from_batches([batch]) for batch in rows), GROUP_ROWS)
        write_tables(parts, path, rows.schema)


def _write_csv(tables: Iterable[pa.Table], path: Path, schema: pa.Schema) -> None:
    empty = inert(schema.empty_table())
    with pcsv.CSVWriter(path, empty.schema) as writer:
        for table in tables:
            writer.write_table(inert(table))


def inert(table: pa.Table) -> pa.Table:
    """Put an apostrophe before every text and name that a spreadsheet takes for a formula.

    Examples
    --------
    >>> table = inert(pa.table({"=1+1": ["@SUM(A1)", "plain"], "gain": [-2.5, 1.0]}))
    >>> table.column_names, table.column(0).to_pylist(), table.column(1).to_pylist()
    (["'=1+1", 'gain'], ["'@SUM(A1)", 'plain'], [-2.5, 1.0])
    """
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        safe = pc.replace_substring_regex(name, FORMULA, r"'\1").as_py()
        if pa.types.is_string(column.type):
            column = pc.replace_substring_regex(column, FORMULA, r"'\1")
        elif pa.types.is_timestamp(column.type):
            column = column.cast(pa.date32())
        columns[safe] = column
    return pa.table(columns)


def told_back(texts: pd.Series) -> pd.Series:
    """Take away the apostrophes that a CSV file of scores has before what looks like a formula.

    Parameters
    ----------
    texts : Series of str
        A column of the file, such as its ids.

    Returns
    -------
    Series of str
        As they were before they were written.

    Examples
    --------
    >>> told_back(pd.Series(["'=1+1", "''=1+1", "'s-Gravenhage", "plain"])).tolist()
    ['=1+1', "'=1+1", "'s-Gravenhage", 'plain']
    """
    return texts.str.replace(FORMULA.replace("^(", "^'("), r"\1", regex=True)
