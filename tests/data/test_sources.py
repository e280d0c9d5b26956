"""What a bad file gets: see the numbers of the bad-input list in the test names."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from one_source import COLUMNS, open_sales, rows, run_of

from cxpredict.config import parse_config
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError, EmptyDataError, RejectShareError


def open_file(folder: Path, content: str | bytes, *, limit: float = 1.0, **source):
    """Write a CSV file and open a log on it."""
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / "sales.csv").write_bytes(raw)
    return open_source(folder, limit=limit, **source)


def open_source(folder: Path, **source):
    return open_sales(folder, **{"path": "sales.csv", **source})


def test_a_plain_file_is_read(tmp_path):
    log = open_file(tmp_path, "id,at,amount\na,2024-01-31,9.50\n")
    row = rows(log).iloc[0]
    assert (row.customer_id, row.amount, str(row.occurred_at)) == ("a", 9.5, "2024-01-31 00:00:00")


def test_01_a_byte_order_mark_is_accepted(tmp_path):
    log = open_file(tmp_path, b"\xef\xbb\xbfid,at,amount\na,2024-01-31,1\n")
    assert len(rows(log)) == 1


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_02_03_another_encoding_names_the_option_and_works_with_it(tmp_path, encoding):
    content = "id,at,amount\nJosé,2024-01-31,1\n".encode(encoding)
    with pytest.raises(DataError, match="encoding"):
        open_file(tmp_path, content)
    log = open_file(tmp_path, content, encoding=encoding)
    assert rows(log).customer_id.tolist() == ["José"]


def test_03_a_wrong_byte_far_down_the_file_names_the_option(tmp_path):
    content = b"id,at,amount\n" + b"a,2024-01-31,1\n" * 20_000 + b"Jos\xe9,2024-01-31,1\n"
    with pytest.raises(DataError, match="encoding"):
        open_file(tmp_path, content)


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_04_another_delimiter_names_the_option_and_works_with_it(tmp_path, delimiter):
    content = (
        delimiter.join(["id", "at", "amount"]) + "\n" + delimiter.join(["a", "2024-01-31", "1"])
    )
    with pytest.raises(DataError, match="delimiter"):
        open_file(tmp_path, content)
    assert len(rows(open_file(tmp_path, content, delimiter=delimiter))) == 1


def test_05_decimal_commas_name_the_option_and_work_with_it(tmp_path):
    content = 'id;at;amount\na;2024-01-31;9,50\nb;2024-01-31;"1.234,5"\n'
    with pytest.raises(DataError, match="decimal"):
        open_file(tmp_path, content, delimiter=";")
    log = open_file(tmp_path, content, delimiter=";", decimal=",")
    assert sorted(rows(log).amount) == [9.5, 1234.5]


def test_06_a_row_longer_than_the_header_is_an_error(tmp_path):
    with pytest.raises(DataError, match="row 1 has 4 values, the header 3"):
        open_file(tmp_path, "id,at,amount\na,2024-01-31,1,2\n")


def test_06_so_is_one_far_down_and_no_value_is_shown(tmp_path):
    content = "id,at,amount\n" + "a,2024-01-31,1\n" * 200 + "secret-id,2024-01-31,1,2\n"
    with pytest.raises(DataError) as raised:
        open_file(tmp_path, content)
    assert "secret-id" not in str(raised.value)


def test_07_a_header_that_names_a_column_twice_is_an_error(tmp_path):
    with pytest.raises(DataError, match="twice: amount"):
        open_file(tmp_path, "id,at,amount,amount\na,2024-01-31,1,2\n")


def test_08_an_empty_file_has_its_own_error(tmp_path):
    with pytest.raises(EmptyDataError, match="empty"):
        open_file(tmp_path, "")


def test_09_a_header_only_file_gives_a_typed_empty_table(tmp_path):
    log = open_file(tmp_path, "id,at,amount\n")
    assert len(rows(log)) == 0
    assert str(rows(log).dtypes["occurred_at"]) == "datetime64[us]"
    assert str(rows(log).dtypes["amount"]) == "float64"


def test_10_a_row_with_a_nul_byte_is_rejected(tmp_path):
    log = open_file(tmp_path, b"id,at,amount\na\x00,2024-01-31,1\nb,2024-01-31,1\n")
    assert rows(log).customer_id.tolist() == ["b"]
    assert log.rules.rule.tolist() == ["customer_id: NUL byte"]


def test_11_12_13_ids_stay_the_text_they_are(tmp_path):
    ids = ["007", "9007199254740993", "NA", "None", "null", "nan", "1e5"]
    log = open_file(tmp_path, "id,at,amount\n" + "".join(f"{i},2024-01-31,1\n" for i in ids))
    assert rows(log).customer_id.tolist() == ids


def test_12_an_id_column_stored_as_decimal_numbers_beyond_its_digits_is_rejected(tmp_path):

    frame = pd.DataFrame({"id": [2.0**53, 17850.0, None], "at": "2024-01-31", "amount": 1.0})
    frame.to_parquet(tmp_path / "sales.parquet")
    log = open_source(tmp_path, path="sales.parquet")
    assert rows(log).customer_id.tolist() == ["17850"]
    assert sorted(log.rules.rule) == [
        "customer_id: digits lost: an id stored as a decimal number",
        "customer_id: is missing",
    ]


def test_15_two_spellings_of_one_id_are_one_customer(tmp_path):
    log = open_file(tmp_path, "id,at,amount\n\u00e9,2024-01-31,1\ne\u0301,2024-01-31,1\n")
    assert rows(log).customer_id.nunique() == 1


def test_17_repeated_events_are_dropped_by_event_id_and_counted(tmp_path):
    content = (
        "id,at,amount,nr\na,2024-01-31,1,x\na,2024-01-31,1,x\na,2024-01-31,1,y\na,2024-01-31,1,\n"
    )
    log = open_file(tmp_path, content, columns={**COLUMNS, "event_id": "nr"})
    assert len(rows(log)) == 3
    assert log.quality.duplicates.tolist() == [1]


def test_17_repeated_rows_are_dropped_only_where_declared(tmp_path):
    content = "id,at,amount\na,2024-01-31,1\na,2024-01-31,1\n"
    assert len(rows(open_file(tmp_path, content))) == 2
    log = open_file(tmp_path, content, drop_duplicate_rows=True)
    assert len(rows(log)) == 1
    assert log.quality.iloc[0][["read", "duplicates", "rejected", "kept"]].tolist() == [2, 1, 0, 1]


def test_18_19_naive_zoned_and_mixed_offsets_become_utc(tmp_path):
    content = (
        "id,at,amount\n"
        "a,2024-07-01 12:00:00,1\n"
        "b,2024-07-01T12:00:00Z,1\n"
        "c,2024-07-01T12:00+05:30,1\n"
        "d,2024-07-01T12:00:00-0400,1\n"
    )
    log = open_file(tmp_path, content, timezone="Europe/Berlin")
    hours = rows(log).set_index("customer_id").occurred_at.dt.strftime("%H:%M").to_dict()
    assert hours == {"a": "10:00", "b": "12:00", "c": "06:30", "d": "16:00"}


def test_22_day_first_dates_are_never_guessed(tmp_path):
    content = "id,at,amount\na,03/04/2024,1\nb,13/04/2024,1\n"
    with pytest.raises(RejectShareError, match="time_format"):
        open_file(tmp_path, content, limit=0.01)
    log = open_file(tmp_path, content, time_format="%d/%m/%Y")
    assert rows(log).occurred_at.dt.strftime("%m-%d").tolist() == ["04-03", "04-13"]


def test_23_numbers_where_times_should_be_are_an_error(tmp_path):

    frame = pd.DataFrame({"id": ["a"], "at": [1_706_659_200_000], "amount": [1.0]})
    frame.to_parquet(tmp_path / "sales.parquet")
    with pytest.raises(DataError, match="expected times, found numbers"):
        open_source(tmp_path, path="sales.parquet")


def test_24_years_out_of_range_are_rejected(tmp_path):
    log = open_file(tmp_path, "id,at,amount\na,0001-01-01,1\nb,9999-12-31,1\nc,2024-01-31,1\n")
    assert rows(log).customer_id.tolist() == ["c"]


def test_27_events_of_the_future_are_rejected_and_beyond_the_limit_the_run_fails(tmp_path):
    content = "id,at,amount\na,2024-01-31,1\nb,2093-01-01,1\n"
    log = open_file(tmp_path, content)
    assert log.rules.rule.tolist() == ["occurred_at: lies in the future"]
    with pytest.raises(RejectShareError, match="future: 1 rows, first rows \\[2\\]"):
        open_file(tmp_path, content, limit=0.01)


def test_44_infinite_and_overflowing_amounts_are_rejected(tmp_path):
    log = open_file(
        tmp_path, "id,at,amount\na,2024-01-31,1e400\nb,2024-01-31,-inf\nc,2024-01-31,2\n"
    )
    assert rows(log).customer_id.tolist() == ["c"]


def test_nothing_is_lost_every_row_is_kept_dropped_or_rejected_with_its_rule(tmp_path):
    content = "id,at,amount\na,2024-01-31,1\n,2024-01-31,1\nb,nonsense,1\nc,2024-01-31,x\n"
    log = open_file(tmp_path, content)
    counts = log.quality.iloc[0]
    assert counts.read == counts.kept + counts.duplicates + counts.rejected == 4
    rejects = log.rejects.to_pandas()
    assert rejects.row.tolist() == [2, 3, 4]
    assert '"amount":"x"' in rejects.record.iloc[-1]


@pytest.mark.parametrize("comment", ["said", {"expression": "coalesce(said, title)"}])
def test_a_rejected_row_keeps_no_comment(tmp_path, comment):
    columns = {"customer_id": "id", "occurred_at": "at", "score": "score", "comment": comment}
    columns["metric"] = {"value": "csat"}
    content = "id,at,score,said,title\na,2024-01-31,9,ring Bo on 555 0199,ok\nb,2024-01-31,9,,ok\n"
    log = open_file(tmp_path, content, table="feedback", columns=columns)
    first, second = log.rejects.to_pandas().record
    assert "Bo" not in first
    assert '"score":"9","said":"[comment]"' in first
    assert '"said":null' in second
    assert ('"title":"ok"' in first) == (comment == "said")


def test_a_missing_file_and_a_missing_column_are_named(tmp_path):
    with pytest.raises(DataError, match=r"sales.csv: no such file"):
        open_source(tmp_path)
    with pytest.raises(ConfigError, match="no column 'amount', did you mean 'amounts'"):
        open_file(tmp_path, "id,at,amounts\na,2024-01-31,1\n")


@pytest.mark.parametrize(
    "expression",
    ["read_text('/etc/passwd')", "(SELECT 1)", "amount; DROP TABLE x", "getenv('HOME')"],
)
def test_54_an_expression_computes_on_the_row_and_nothing_else(tmp_path, expression):
    columns = {**COLUMNS, "amount": {"expression": expression}}
    with pytest.raises(ConfigError):
        open_file(tmp_path, "id,at,amount\na,2024-01-31,1\n", columns=columns)


def test_an_expression_and_a_join_fill_columns(tmp_path):
    (tmp_path / "prices.csv").write_text("item,price\nx,2.5\ny,4\n")
    columns = {
        **COLUMNS,
        "amount": {"expression": "CAST(amount AS DOUBLE) * CAST(price AS DOUBLE)"},
        "kind": {"value": "purchase"},
    }
    log = open_file(
        tmp_path,
        "id,at,amount,item\na,2024-01-31,2,x\n",
        columns=columns,
        join=[{"path": "prices.csv", "on": "item"}],
    )
    assert rows(log)[["amount", "kind"]].iloc[0].tolist() == [5.0, "purchase"]


def test_a_join_that_would_multiply_rows_is_an_error(tmp_path):
    (tmp_path / "prices.csv").write_text("item,price\nx,2.5\nx,4\n")
    with pytest.raises(DataError, match="m:1"):
        open_file(
            tmp_path,
            "id,at,amount,item\na,2024-01-31,2,x\n",
            join=[{"path": "prices.csv", "on": "item"}],
        )


def test_a_declared_delay_moves_the_time_of_knowledge(tmp_path):
    log = open_file(tmp_path, "id,at,amount\na,2024-01-31,1\n", delay_hours=36.0)
    assert str(rows(log).known_at.iloc[0]) == "2024-02-01 12:00:00"


def test_19_an_offset_counts_in_a_declared_format_and_as_a_word(tmp_path):
    zone = {"timezone": "America/Sao_Paulo"}
    log = open_file(
        tmp_path,
        "id,at,amount\na,2024-01-31 10:00:00+0200,1\nb,2024-01-31 10:00:00+0000,1\n",
        time_format="%Y-%m-%d %H:%M:%S%z",
        **zone,
    )
    assert rows(log).occurred_at.dt.hour.tolist() == [8, 10]
    log = open_file(
        tmp_path,
        "id,at,amount\na,2024-01-31 10:00:00 UTC,1\nb,2024-01-31T10:00:00z,1\n"
        "c,2024-01-31 10:00,1\nd,2024-01-31 10:00:00 PST,1\n",
        **zone,
    )
    hours = rows(log).set_index("customer_id").occurred_at.dt.hour.to_dict()
    assert hours == {"a": 10, "b": 10, "c": 13}


def test_05_a_point_under_decimal_commas_is_rejected_and_never_a_hundredfold(tmp_path):
    content = "id;at;amount\na;2024-01-31;1,5\nb;2024-01-31;12.50\nc;2024-01-31;1.234,5\n"
    log = open_file(tmp_path, content, delimiter=";", decimal=",")
    assert rows(log).set_index("customer_id").amount.to_dict() == {"a": 1.5, "c": 1234.5}
    assert log.rules.rule.tolist() == ["amount: is not a number"]


def test_10_a_line_that_duckdb_quotes_is_never_shown(tmp_path):
    content = "id,at,amount\n" + "a,2024-01-31,1\n" * 150 + '"SECRET\nNAME",2024-01-31,1.5,9\n'
    with pytest.raises(DataError, match="expected 3 values, found 4") as raised:
        open_file(tmp_path, content)
    assert "NAME" not in str(raised.value)


def test_an_open_quote_is_named(tmp_path):
    with pytest.raises(DataError):
        open_file(tmp_path, 'id,at,amount\n"a,2024-01-31,1\n' + "b,2024-01-31,1\n" * 20_000)


def test_54_a_comment_in_an_expression_hides_nothing(tmp_path):
    (tmp_path / "secret.txt").write_text("top")
    content = "id,at,amount\na,2024-01-31,1\n"
    secret = f"read_text('{tmp_path / 'secret.txt'}')"
    hidden = f"id = 'a' -- */ AND (SELECT first(content) FROM {secret}) = 'wrong' /* "
    log = open_file(tmp_path, content, where=hidden)
    assert len(rows(log)) == 1  # the hidden part would keep none


def test_a_cast_that_fails_rejects_the_row(tmp_path):
    columns = {**COLUMNS, "amount": {"expression": "CAST(amount AS DOUBLE) * 2"}}
    log = open_file(tmp_path, "id,at,amount\na,2024-01-31,4\nb,2024-01-31,four\n", columns=columns)
    assert log.quality.kept.tolist() == [1]
    assert log.rules.rule.tolist() == ["amount: is missing"]


def test_17_a_rejected_row_does_not_hide_its_good_copy(tmp_path):
    content = "id,at,amount,nr\na,2024-01-31,bad,1\na,2024-01-31,5,1\n"
    log = open_file(tmp_path, content, columns={**COLUMNS, "event_id": "nr"})
    assert rows(log).amount.tolist() == [5]


def test_12_missing_float_ids_are_missing_and_not_an_error(tmp_path):

    table = pa.table(
        {"id": pa.array([1.0, float("nan")]), "at": ["2024-01-31"] * 2, "amount": [1, 1]}
    )
    pq.write_table(table, tmp_path / "sales.parquet")
    assert pd.isna(pq.read_table(tmp_path / "sales.parquet").to_pandas().id[1])
    log = open_source(tmp_path, path="sales.parquet")
    assert rows(log).customer_id.tolist() == ["1"]
    assert log.rules.rule.tolist() == ["customer_id: is missing"]


def test_16_a_customer_in_two_sources_is_refused(tmp_path):
    for name in ("old", "new"):
        (tmp_path / f"{name}.csv").write_text(f"id,plan\na,{name}\n")
    columns = {"customer_id": "id"}
    sources = {
        name: {"path": f"{name}.csv", "table": "customers", "columns": columns}
        for name in ("old", "new")
    }
    config = parse_config({**run_of({}), "sources": sources}, directory=tmp_path)
    with pytest.raises(DataError, match="more than one source"):
        CustomerLog.open(config)
