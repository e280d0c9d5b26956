"""Hostile texts stay texts, and nothing of a customer is left where it is not meant to be."""

from dataclasses import replace
from itertools import cycle

import pandas as pd
import pyarrow as pa
import pytest
from bad_shop import write_config
from clean_command import cxpredict
from faults_canary import BY_DESIGN, contents
from faults_inputs import checked, run_case
from faults_text import coverage, new_parts, rendered
from hostile_words import FORMULAS, HOSTILE, marked
from hypothesis import given, settings
from random_log import PLAIN

import cxpredict as cx
from cxpredict.jobs.registry.recording import as_markdown
from cxpredict.jobs.scoring.outputs import read_csv, write_tables
from cxpredict.jobs.training.experience.survey import _segments
from cxpredict.models.columns import learn_columns
from cxpredict.report.write import write_report


@pytest.fixture(scope="module")
def page(run):
    return write_report(run)


def test_50_hostile_texts_in_every_table_of_a_page_stay_texts(run, page, tmp_path):
    words = cycle([marked("id", word) for word in HOSTILE])
    models = []
    for model in run.models:
        scores = model.at_risk.astype({"customer_id": "object", "reason_1": "object"})
        scores["customer_id"] = [f"{next(words)} {next(words)} {next(words)}" for _ in scores.index]
        scores["reason_1"] = scores["customer_id"]
        models.append(replace(model, at_risk=scores, notes=tuple(HOSTILE)))
    nasty = replace(run, models=tuple(models), folder=tmp_path / "hostile")
    pages = {
        name: {"page": path.read_text(encoding="utf-8")}
        for name, path in {"hostile": write_report(nasty), "harmless": page}.items()
    }
    assert new_parts(pages["hostile"], pages["harmless"]) == []
    assert coverage(pages["hostile"], HOSTILE)["id"] >= 45


def test_50_markdown_of_notes_holds_no_element_of_its_own():
    notes = {"note": "".join(rendered([f"- {as_markdown(word)}" for word in HOSTILE]).values())}
    assert new_parts(notes, {"note": "<ul><li>word</li></ul>"}) == []


def test_50_formulas_in_csv_are_told_back_as_they_were(tmp_path):
    ids = [*FORMULAS, "NA", "'s-Gravenhage", "plain"]
    table = pa.table({"customer_id": ids, "gain": [-1.0] * len(ids)})
    write_tables([table], tmp_path / "scores.csv", table.schema)
    assert read_csv(tmp_path / "scores.csv", table.schema).equals(table)
    # by hand: one apostrophe more before each formula, whatever it had; others as they were
    raw = pd.read_csv(tmp_path / "scores.csv", keep_default_na=False)["customer_id"]
    assert raw.tolist()[-3:] == ids[-3:]
    assert raw.tolist()[:-3] == [f"'{each}" for each in FORMULAS]


def test_50_a_terminal_gets_no_control_characters(tmp_path):
    path = write_config(tmp_path, {"path": "a\x1b[31m\u202e[red].csv", "table": "customers",
                                   "columns": {"customer_id": "id"}})  # fmt: skip
    done = cxpredict("check", path)
    assert done.code != 0
    assert r"a\x1b[31m\u202e[red].csv" in done.err
    assert "\x1b" not in done.out + done.err


def test_a_level_of_one_customer_is_not_learnt():
    # "solo" has 3 rows of one customer, "pair" 2 rows of two: only the first is personal
    index = pd.MultiIndex.from_arrays(
        [["a", "a", "a", "b", "c", "d", "e"], range(7)], names=["customer_id", "as_of"]
    )
    levels = ["solo", "solo", "solo", "pair", "pair", "many", "many"]
    plan, _ = learn_columns(pd.DataFrame({"x": levels, "y": range(7)}, index=index))
    assert plan.columns[0].levels == ("many", "pair")
    plan, _ = learn_columns(pd.DataFrame({"x": levels, "y": range(7)}))
    assert plan.columns[0].levels == ("many", "pair", "solo")


def test_no_file_of_a_run_names_anybody_it_need_not(run, page):
    folder = run.config.path(run.config.artifacts)
    customers = set(run.log.customers.customer_id.to_pandas().head(300).str.encode("ascii"))
    events = {b"E00000%03d" % number for number in range(100, 300)}
    found, seen = [], 0
    for path in folder.rglob("*"):
        if path.is_file():
            seen += 1
            names = events if path.name in BY_DESIGN else events | customers
            parts = b"\n".join(contents(path.name, path.read_bytes()))
            found += [path.name] if any(name in parts for name in names) else []
    assert page.is_file()
    assert seen > 20
    assert found == []


@pytest.fixture
def empty_folder(tmp_path_factory):
    return lambda: tmp_path_factory.mktemp("case")


@settings(PLAIN, max_examples=20)
@given(case=checked)
def test_mutated_inputs_are_read_or_refused(empty_folder, case):
    faults, _ = run_case(case, empty_folder(), None)
    assert faults == []


def test_a_segment_of_a_few_customers_is_not_named(company):
    customers = company.log.customers.to_pandas().head(40).assign(segment="large")
    customers.loc[:10, "segment"], customers.loc[11:13, "segment"] = "eleven", "three"
    customers.loc[14, "segment"] = "one"
    log = cx.CustomerLog.from_frames(customers=customers)
    index = pd.MultiIndex.from_product([customers["customer_id"], [pd.Timestamp("2024-01-01")]])
    index.names = ["customer_id", "as_of"]
    # 11 in "eleven", 25 in "large", 3 + 1 in segments that are not named
    found = _segments(log, index).value_counts().to_dict()
    assert found == {"large": 25, "eleven": 11, "(other)": 4}
