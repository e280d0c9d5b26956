from datetime import date

import ibis
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from cxpredict.config import parse_config
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError, RejectShareError

SALE = {"customer_id": ["007"], "occurred_at": ["2024-01-31T10:00:00"], "amount": [9.5]}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_frames_of_any_library_are_taken(make):
    log = CustomerLog.from_frames(transactions=make(SALE))
    assert log.transactions.to_pandas()[["customer_id", "amount"]].iloc[0].tolist() == ["007", 9.5]


def test_every_table_exists_and_is_typed():
    log = CustomerLog.from_frames(transactions=pd.DataFrame(SALE))
    assert all(len(log.table[name].to_pandas()) == 0 for name in ("feedback", "interactions"))
    assert str(log.feedback.to_pandas().dtypes["score"]) == "float64"


def test_an_unknown_table_is_named():
    with pytest.raises(DataError, match="'sales'"):
        CustomerLog.from_frames(sales=pd.DataFrame(SALE))


def test_14_numeric_and_text_ids_meet():
    log = CustomerLog.from_frames(
        customers=pd.DataFrame({"customer_id": [7]}),
        transactions=pd.DataFrame({**SALE, "customer_id": ["7"]}),
    )
    joined = log.customers.join(log.transactions, "customer_id")
    assert joined.count().execute() == 1


def test_16_conflicting_customer_rows_are_rejected_and_equal_ones_dropped():
    frame = pd.DataFrame(
        {"customer_id": ["a", "a", "b", "b", "c"], "segment": ["x", "y", "x", "x", "x"]}
    )
    log = CustomerLog.from_frames(customers=frame, max_reject_share=1)
    assert sorted(log.customers.to_pandas().customer_id) == ["b", "c"]
    assert log.quality.iloc[0][["duplicates", "rejected", "kept"]].tolist() == [1, 2, 2]
    with pytest.raises(RejectShareError):
        CustomerLog.from_frames(customers=frame)


def answers(**columns):
    return pd.DataFrame({"customer_id": ["a"], "occurred_at": ["2024-01-31"], **columns})


@pytest.mark.parametrize(
    ("metric", "score", "rule"),
    [
        ("nps", -1, "outside 0–10 (metric nps)"),
        ("nps", 11, "outside 0–10 (metric nps)"),
        ("csat", 0, "outside 1–5 (metric csat)"),
        ("csat", 9, "outside 1–5 (metric csat)"),
        ("nps", 7.5, "is not a whole number"),
        ("nps", "seven", "is not a number"),
        ("stars", 3, "expected one of nps, csat, ces"),
    ],
)
def test_30_31_32_scores_off_their_scale_are_rejected_by_rule(metric, score, rule):
    log = CustomerLog.from_frames(
        feedback=answers(metric=metric, score=[score]), max_reject_share=1
    )
    assert len(log.feedback.to_pandas()) == 0
    assert log.rules.rule.iloc[0].endswith(rule)


def test_31_a_score_given_as_text_digits_is_a_number():
    log = CustomerLog.from_frames(feedback=answers(metric="nps", score=["9"]))
    assert log.feedback.to_pandas().score.tolist() == [9.0]


def test_an_unanswered_invitation_is_a_row_without_score():
    frame = answers(metric="nps", score=[None], invited_at=["2024-01-31"])
    assert len(CustomerLog.from_frames(feedback=frame).feedback.to_pandas()) == 1


def test_messages_and_rules_show_no_values():
    frame = pd.DataFrame(
        {"customer_id": ["jane@example.org"], "occurred_at": ["soon"], "amount": [1]}
    )
    with pytest.raises(RejectShareError) as raised:
        CustomerLog.from_frames(transactions=frame)
    assert "jane" not in str(raised.value)
    assert "soon" not in str(raised.value)


def test_attributes_are_numbers_where_every_value_is_one():
    frame = pd.DataFrame(
        {
            "customer_id": ["a", "b"],
            "age": ["31", " "],
            "plan": ["basic", "7"],
            "adult": [True, False],
        }
    )
    dtypes = CustomerLog.from_frames(customers=frame).customers.schema()
    assert dtypes["age"].is_floating()
    assert dtypes["plan"].is_string()
    assert dtypes["adult"].is_boolean()


def test_the_order_of_rows_never_matters(company):
    sales = company.log.transactions.to_pandas()
    shuffled = CustomerLog.from_frames(transactions=sales.sample(frac=1, random_state=1))
    columns = ["customer_id", "occurred_at", "kind", "amount"]
    pd.testing.assert_frame_equal(
        shuffled.transactions.to_pandas()[columns].sort_values(columns, ignore_index=True),
        sales[columns].sort_values(columns, ignore_index=True),
    )


def test_27_the_declared_end_of_the_records_counts_and_not_the_clock():
    frame = pd.DataFrame(
        {
            "customer_id": "a",
            "occurred_at": ["2024-01-30T23:59:59", "2024-01-31"],
            "amount": 1.0,
        }
    )
    until = {"observed_until": date(2024, 1, 31), "max_reject_share": 1}
    log = CustomerLog.from_frames(transactions=frame, **until)
    assert log.rules.rule.tolist() == ["occurred_at: lies in the future"]
    assert log.observed_until == date(2024, 1, 31)
    later = frame.assign(occurred_at=["2199-01-01", "2024-01-01"])
    assert CustomerLog.from_frames(transactions=later, max_reject_share=1).quality.kept[0] == 1


def test_checked_records_go_through_parquet_unchanged(company, tmp_path):
    folder = company.log.to_parquet(tmp_path / "lake")
    connection = ibis.duckdb.connect()
    tables = {n: connection.read_parquet(folder / f"{n}.parquet") for n in company.log.table}
    again = CustomerLog.from_tables(**tables, observed_until=company.log.observed_until)
    for name, table in company.log.table.items():
        pd.testing.assert_frame_equal(again.table[name].to_pandas(), table.to_pandas())
    assert again.span == company.log.span


def test_tables_that_break_their_contract_are_refused_with_all_problems():
    wrong = ibis.memtable({"customer_id": [7], "occurred_at": ["soon"], "value": ["much"]})
    with pytest.raises(DataError) as raised:
        CustomerLog.from_tables(interactions=wrong)
    assert str(raised.value) == (
        "interactions: customer_id is int64, expected string; occurred_at is string, expected "
        "timestamp(6); kind is missing; value is string, expected float64; rename or cast the "
        "columns"
    )
    with pytest.raises(DataError, match="found sales"):
        CustomerLog.from_tables(sales=wrong)
    with pytest.raises(DataError, match="found none"):
        CustomerLog.from_tables()


def test_17_a_corrected_event_keeps_its_versions():
    rows = pd.DataFrame(
        {
            "customer_id": "a",
            "occurred_at": "2024-01-05",
            "known_at": ["2024-01-05", "2024-01-09", "2024-01-07", "2024-01-05"],
            "amount": [1.0, 3.0, 2.0, 1.0],
            "event_id": ["x", "x", "x", "x"],
        }
    )
    log = CustomerLog.from_frames(transactions=rows)
    assert log.transactions.amount.to_pandas().tolist() == [3.0]
    history = log.history("transactions").order_by("version").to_pandas()
    assert history.amount.tolist() == [1.0, 2.0, 3.0]
    assert history.replaced_at.dt.day.tolist()[:2] == [7, 9]
    assert pd.isna(history.replaced_at.iloc[2])
    assert log.quality[["read", "duplicates", "kept", "corrected"]].iloc[0].tolist() == [4, 1, 3, 2]


def test_the_engine_runs_under_its_limit_and_spills_where_it_is_told(tmp_path):
    rows = pd.DataFrame({"id": [f"c{n}" for n in range(10)], "at": "2024-01-31", "amount": 1.0})
    rows.to_parquet(tmp_path / "sales.parquet")
    content = {
        "name": "shop",
        "sources": {
            "sales": {
                "path": "sales.parquet",
                "table": "transactions",
                "timezone": "UTC",
                "columns": {"customer_id": "id", "occurred_at": "at", "amount": "amount"},
            }
        },
        "engine": {"memory_limit_gb": 1.5, "spill_directory": "spill"},
        "problems": {"churn": {"inactive": "purchase", "horizon_days": 90}},
        "split": {"test_at": date(2025, 6, 1), "every_days": 30},
        "bands": {"churn": {"medium": 0.3, "high": 0.6}},
        "random_state": 7,
    }
    log = CustomerLog.open(parse_config(content, directory=tmp_path))
    settings = dict(
        log.connection.raw_sql(
            "SELECT name, value FROM duckdb_settings() "
            "WHERE name IN ('memory_limit', 'temp_directory')"
        ).fetchall()
    )
    assert settings["memory_limit"] == "1.3 GiB"
    assert settings["temp_directory"] == str(tmp_path / "spill" / "cxpredict-spill")
    held = set(log.connection.list_tables())
    assert not {name for name in held if name.startswith(("source_", "checked_", "repeats_"))}
