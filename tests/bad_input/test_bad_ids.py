"""Rows 11 to 17: ids and rows that stand more than once."""

import pandas as pd
import pyarrow.parquet as pq
import pytest
from bad_shop import SALES, accepted, refused, write_config

import cxpredict as cx

TEXT_IDS = ["007", "9007199254740993", "NA", "None", "null", "NaN", "1e5", "true"]


def sales_of(ids, **columns):
    return pd.DataFrame({"id": ids, "at": "2024-01-31", "amount": 1.0, **columns})


def test_11_12_13_ids_are_the_text_they_stand_as(tmp_path):
    accepted(tmp_path, sales_of(TEXT_IDS).to_csv(index=False), kept=len(TEXT_IDS))
    log = cx.CustomerLog.open(tmp_path / "shop.yaml")
    assert log.transactions.customer_id.to_pandas().tolist() == TEXT_IDS


def test_12_an_id_that_lost_digits_is_rejected_and_never_another_customer(tmp_path):
    ids = pd.array([2**53 + 1, None], dtype="Int64")
    accepted(tmp_path, sales_of(ids), "customer_id: is missing", kept=1, rejected=1)
    log = cx.CustomerLog.open(tmp_path / "shop.yaml")
    assert log.transactions.customer_id.to_pandas().tolist() == ["9007199254740993"]
    words = ["customer_id: digits lost", "customer_id: is missing"]
    lossy = sales_of([2.0**53 + 2, None, 7.0])
    accepted(tmp_path, lossy, *words, kept=1, rejected=2, limit=1.0)


def test_14_numbers_and_text_meet_as_text_and_the_cast_is_reported(tmp_path):
    pd.DataFrame({"id": [7, 8]}).to_parquet(tmp_path / "people.parquet")
    sales = {"sales": {"path": "sales.parquet", **SALES}}
    people = {"path": "people.parquet", "table": "customers", "columns": {"customer_id": "id"}}
    sales_of(["7", "8"]).to_parquet(tmp_path / "sales.parquet")
    path = write_config(tmp_path, SALES, sources={**sales, "people": people})
    log = cx.CustomerLog.open(path)
    assert log.customers.join(log.transactions, "customer_id").count().execute() == 2
    assert log.changes.to_numpy().tolist() == [["people", "customer_id: numbers read as text", 2]]


def test_15_two_spellings_of_an_id_are_one_and_counted(tmp_path):
    ids = ["canary-\u00e9", "canary-e\u0301", " canary-\u00e9"]
    words = "customer_id: spelling normalised (blanks around, Unicode NFC) │ 2"
    accepted(tmp_path, sales_of(ids).to_csv(index=False), words, kept=3)
    log = cx.CustomerLog.open(tmp_path / "shop.yaml")
    assert log.transactions.customer_id.nunique().execute() == 1


def test_16_a_customer_described_twice_is_rejected_whoever_is_right(tmp_path):
    people = pd.DataFrame({"id": ["canary-1", "canary-1", "b", "b", "c"], "plan": list("xyxxx")})
    source = {"table": "customers", "columns": {"customer_id": "id"}, "attributes": "*"}
    source["timezone"] = None
    rule = "customer_id: stands on several rows that differ"
    accepted(tmp_path, people, rule, kept=2, rejected=2, duplicates=1, **source)
    refused(tmp_path, people, 8, rule, "[1, 2]", limit=0.01, **source)
    rejects = pq.read_table(tmp_path / "artifacts" / "rejects" / "shop" / "rejects.parquet")
    assert rejects.column("row").to_pylist() == [1, 2]


def test_16_a_join_never_multiplies_rows(tmp_path):
    (tmp_path / "prices.csv").write_text("id,price\ncanary-1,2\ncanary-1,3\n")
    content = sales_of(["canary-1"]).to_csv(index=False)
    join = [{"path": "prices.csv", "on": "id"}]
    refused(tmp_path, content, 3, "1 keys stand more than once; a join must be m:1", join=join)


@pytest.mark.parametrize("declared", ["event_id", "rows", "no"])
def test_17_repeated_events_are_dropped_where_declared_and_counted(tmp_path, declared):
    content = sales_of(["canary-1"] * 3, nr=["x", "x", "y"]).to_csv(index=False)
    settings = {
        "event_id": {"columns": {**SALES["columns"], "event_id": "nr"}},
        "rows": {"drop_duplicate_rows": True},
        "no": {},
    }[declared]
    dropped = 0 if declared == "no" else 1
    accepted(tmp_path, content, kept=3 - dropped, duplicates=dropped, **settings)
