"""Rows 30 to 32, 44 to 47 and 50: scores, numbers and texts."""

import pandas as pd
import pytest
from bad_shop import SALES, accepted, refused

import cxpredict as cx

ANSWERS = {
    "table": "feedback",
    "columns": {"customer_id": "id", "occurred_at": "at", "metric": "metric", "score": "score"},
}
PEOPLE = {
    "table": "customers",
    "timezone": None,
    "columns": {"customer_id": "id"},
    "attributes": "*",
}


def answers(metric, *scores):
    rows = "".join(f"canary-1,2024-01-31,{metric},{score}\n" for score in scores)
    return "id,at,metric,score\n" + rows


@pytest.mark.parametrize(
    ("metric", "bad", "rule"),
    [
        ("nps", "-1", "score: outside 0–10 (metric nps)"),
        ("nps", "11", "score: outside 0–10 (metric nps)"),
        ("nps", "nine", "score: is not a number"),
        ("nps", "7.5", "score: is not a whole number"),
        ("csat", "10", "score: outside 1–5 (metric csat)"),
        ("ces", "0", "score: outside 1–7 (metric ces)"),
        ("stars", "3", "metric: expected one of nps, csat, ces"),
    ],
)
def test_30_31_32_scores_off_their_scale_are_rejected_and_counted(tmp_path, metric, bad, rule):
    good = answers("csat", "3")
    content = good + answers(metric, bad).split("\n", 1)[1]
    accepted(tmp_path, content, rule, kept=1, rejected=1, **ANSWERS)


def test_32_two_scales_in_one_survey_fail_the_run(tmp_path):
    refused(tmp_path, answers("csat", 1, 5, 8, 9, 10), 8, "3 rows, first rows [3, 4, 5]", **ANSWERS)


def test_44_45_infinite_amounts_are_rejected(tmp_path):
    content = "id,at,amount\n" + "".join(
        f"canary-1,2024-01-31,{amount}\n"
        for amount in ("1e400", "-inf", "Infinity", "NaN", 1, 2, 3, 4)
    )
    done = "amount: is not finite"
    accepted(tmp_path, content, done, kept=4, rejected=4)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_44_45_infinite_attributes_are_missing_and_counted(tmp_path, form):
    frame = pd.DataFrame({"id": ["a", "b", "c"], "fee": [1.5, float("inf"), 3.0]})
    content = "id,fee\na,1.5\nb,1e400\nc,3\n" if form == "csv" else frame
    accepted(tmp_path, content, "fee: infinite values taken as missing │ 1", kept=3, **PEOPLE)
    fees = cx.CustomerLog.open(tmp_path / "shop.yaml").customers.order_by("customer_id").fee
    assert fees.to_pandas().fillna(-1).tolist() == [1.5, -1, 3.0]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pd.to_datetime(["2024-01-31", "2024-02-01"]), "attribute 'joined' is a time"),
        ([[1], [2, 3]], "expected numbers, text or times, found array"),
        ([b"x", b"y"], "expected numbers, text or times, found binary"),
    ],
)
def test_46_what_is_no_number_and_no_text_is_named(tmp_path, column, words):
    frame = pd.DataFrame({"id": ["canary-1", "canary-2"], "joined": column})
    refused(tmp_path, frame, 3, words, "joined", **PEOPLE)


def test_47_numbers_as_text_are_numbers_where_all_are_and_else_named(tmp_path):
    frame = pd.DataFrame({"id": ["a", "b"], "fee": ["10", " 9.5 "], "plan": ["1", "gold"]})
    accepted(tmp_path, frame, kept=2, **PEOPLE)
    schema = cx.CustomerLog.open(tmp_path / "shop.yaml").customers.schema()
    assert schema["fee"].is_floating()
    assert schema["plan"].is_string()
    amounts = "id,at,amount\ncanary-1,2024-01-31,ten\ncanary-1,2024-01-31,1\n"
    accepted(tmp_path, amounts, "amount: is not a number", kept=1, rejected=1)


def test_50_formulas_and_markup_in_names_and_values_print_as_they_stand(tmp_path):
    hostile = "[red]=1+1<script>"
    frame = pd.DataFrame({"id": ["a", "b"], "at": "2024-01-31", hostile: [1.0, None]})
    columns = {**SALES["columns"], "amount": hostile}
    accepted(tmp_path, frame, "amount: is missing", kept=1, rejected=1, columns=columns)
    refused(
        tmp_path, frame, 2, f"no column '{hostile}!'", columns={**columns, "kind": f"{hostile}!"}
    )
