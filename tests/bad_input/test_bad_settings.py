"""Rows 49, 50 and 54: configurations, and what tries to run code."""

import pandas as pd
import pytest
from bad_shop import SALES, accepted, refused, write_config
from clean_command import cxpredict

import cxpredict as cx

CONTENT = "id,at,amount\ncanary-1,2024-01-31,1\n"


def check_text(folder, old, new):
    """Check a configuration one of whose lines is another."""
    (folder / "sales.csv").write_text(CONTENT)
    path = write_config(folder, SALES)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return cxpredict("check", path)


def test_49_a_word_that_yaml_1_1_reads_as_false_stays_a_word(tmp_path):
    assert check_text(tmp_path, "name: shop", "name: no").code == 0
    done = check_text(tmp_path, "random_state: 7", "random_state: yes")
    assert "random_state" in done.said
    assert "found 'yes'" in done.said


def test_49_a_number_with_an_exponent_is_a_number(tmp_path):
    assert check_text(tmp_path, "max_reject_share: 0.5", "max_reject_share: 1e-3").code == 0


def test_49_all_problems_come_in_one_message_with_the_nearest_key(tmp_path):
    done = check_text(
        tmp_path, "random_state: 7", "random_stat: 7\nmax_rejects: 1\neffort: fastest"
    )
    assert done.code == 2
    for words in (
        "did you mean 'random_state'?",
        "max_rejects: unknown key",
        "effort: Input should",
    ):
        assert words in done.said


def test_49_a_key_that_stands_twice_is_named_with_its_line(tmp_path):
    done = check_text(tmp_path, "random_state: 7", "random_state: 7\nrandom_state: 8")
    assert done.code == 2
    assert "key 'random_state' stands twice" in done.said


def test_54_yaml_tags_run_nothing(tmp_path):
    tag = f"!!python/object/apply:os.mkdir ['{tmp_path / 'made'}']"
    done = check_text(tmp_path, "random_state: 7", f"random_state: {tag}")
    assert done.code == 2
    assert "not valid YAML" in done.said
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "expression",
    [
        "read_text('/etc/passwd')",
        "(SELECT 1)",
        "amount; COPY (SELECT 1) TO 'made.csv'",
        "getenv('HOME')",
        "getvariable('x')",
    ],
)
def test_54_an_expression_computes_on_its_row_and_nothing_else(tmp_path, expression):
    columns = {**SALES["columns"], "amount": {"expression": expression}}
    refused(tmp_path, CONTENT, 2, "sources.sales", columns=columns)
    refused(tmp_path, CONTENT, 2, "sources.sales", where=expression)


@pytest.mark.parametrize("name", ["../shop", "/etc/shop", "shop/../..", "shop name", "..", ""])
def test_54_a_name_leads_out_of_no_folder(tmp_path, name):
    done = check_text(tmp_path, "name: shop", f"name: '{name}'")
    assert done.code == 2
    assert "name: String should match pattern" in done.said


@pytest.mark.parametrize("name", ['a"b', "../x", "x'; DROP TABLE y; --", "a b", "é", "$$"])
def test_54_a_source_may_be_called_anything(tmp_path, name):
    (tmp_path / "sales.csv").write_text(CONTENT)
    path = write_config(tmp_path, {}, sources={name: {"path": "sales.csv", **SALES}})
    done = cxpredict("check", path)
    assert done.code == 0, done.said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sales.csv", "shop.yaml"]


def test_50_a_formula_as_an_id_stays_text_on_its_way_through(tmp_path):
    ids = ["=1+1", "+1", "-1", "@x", "\tx"]
    frame = pd.DataFrame({"id": ids, "at": "2024-01-31", "amount": 1.0})
    accepted(tmp_path, frame, kept=len(ids))
    log = cx.CustomerLog.open(tmp_path / "shop.yaml")
    assert sorted(log.transactions.customer_id.to_pandas()) == sorted(i.strip() for i in ids)
