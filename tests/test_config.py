from pathlib import Path

import pytest

from cxpredict.config import load_config
from cxpredict.errors import ConfigError

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs").glob("*.yaml"))

GOOD = """
name: shop
simulate: {n_customers: 100, seed: 1}
problems:
  churn: {cancelled: cancellation, horizon_days: 30}
split: {test_at: 2024-06-01, every_days: 30}
bands: {churn: {medium: 0.1, high: 0.3}}
random_state: 7
"""


def read(folder, text):
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_configurations_of_the_project_are_valid(path):
    assert load_config(path).name.replace("-", "_") == path.stem


def test_paths_are_relative_to_the_file(tmp_path):
    assert read(tmp_path, GOOD).path("x.csv") == tmp_path.resolve() / "x.csv"


def test_49_all_problems_come_in_one_message_with_the_nearest_key(tmp_path):
    text = GOOD.replace("horizon_days: 30", "horizon_day: 30").replace("0.3", "3e-2x")
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, text.replace("random_state: 7", "random_state: 1.5"))
    message = str(raised.value)
    assert "problems.churn.horizon_day: unknown key, did you mean 'horizon_days'?" in message
    assert "bands.churn.high" in message
    assert "random_state" in message


def test_49_no_stays_text_and_1e_minus_3_is_a_number(tmp_path):
    config = read(tmp_path, GOOD.replace("shop", "no").replace("medium: 0.1", "medium: 1e-3"))
    assert config.name == "no"
    assert config.bands.churn.medium == 0.001


def test_49_a_key_given_twice_is_named_with_its_line(tmp_path):
    with pytest.raises(ConfigError, match="line 9: key 'name' stands twice"):
        read(tmp_path, GOOD + "name: other\n")


def test_54_yaml_tags_run_nothing(tmp_path):
    with pytest.raises(ConfigError, match="not valid YAML"):
        read(tmp_path, GOOD + "extra: !!python/object/apply:os.system ['echo']\n")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("simulate: {n_customers: 100, seed: 1}", "", "exactly one of 'sources' and 'simulate'"),
        ("high: 0.3", "high: 0.05", "'medium' must be below 'high'"),
        ("cancelled: cancellation, ", "", "exactly one of 'cancelled', 'inactive' and 'label'"),
        ("cancelled: cancellation", "label: left", "goes with split.test_share"),
        ("random_state: 7", "random_state: 7\noffer: {}", "contact_cost: is missing"),
        ("random_state: 7", "", "random_state: is missing"),
    ],
)
def test_what_does_not_fit_together_is_said(tmp_path, old, new, expected):
    with pytest.raises(ConfigError, match=expected):
        read(tmp_path, GOOD.replace(old, new))


def test_a_source_of_events_must_name_its_time_zone(tmp_path):
    source = "sources: {a: {path: a.csv, table: transactions, columns: {}%s}}"
    text = GOOD.replace("simulate: {n_customers: 100, seed: 1}", source)
    with pytest.raises(ConfigError, match="timezone"):
        read(tmp_path, text % "")
    with pytest.raises(ConfigError, match="did you mean 'Europe/Berlin'"):
        read(tmp_path, text % ", timezone: Europe/Berlinn")


@pytest.mark.parametrize("content", ["", "- a\n", "name: [", "\xff"])
def test_a_file_of_another_form_is_refused(tmp_path, content):
    with pytest.raises(ConfigError):
        read(tmp_path, content)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "absent.yaml")
