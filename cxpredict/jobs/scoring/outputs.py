"""The files of a score job: Parquet, or CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

FORMULA = r"^('*[=+\-@＝＋－＠\t\r\n])"
"""Cells that begin so are formulas to a spreadsheet, apart from apostrophes in front: those that
have one get another, so that taking one away gives every text back."""


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
    ``+``, ``-``, ``@`` (or their full-width forms), a tab or the end of a line gets an apostrophe
    in front, ids too: join ids as `read_csv` gives them back, or read Parquet. Numbers are never
    changed. A missing text is an empty cell, an empty one ``""``.
    """
    if path.suffix == ".csv":
        _write_csv(tables, path, schema)
        return
    with pq.ParquetWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _write_csv(tables: Iterable[pa.Table], path: Path, schema: pa.Schema) -> None:
    empty = inert(schema.empty_table())
    with pcsv.CSVWriter(path, empty.schema) as writer:
        for table in tables:
            writer.write_table(inert(table))


def read_csv(path: Path, schema: pa.Schema) -> pa.Table:
    """Read what `write_tables` wrote as CSV: the same texts, types and missing values."""
    table = pcsv.read_csv(
        path,
        read_options=pcsv.ReadOptions(use_threads=False),
        parse_options=pcsv.ParseOptions(newlines_in_values=True),
        convert_options=pcsv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    for place, column in enumerate(table.columns):
        if pa.types.is_string(column.type):
            plain = pc.replace_substring_regex(column, f"^'{FORMULA[1:]}", r"\1")
            table = table.set_column(place, table.field(place), plain)
    return table


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
