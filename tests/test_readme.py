"""What the README shows is run as it stands."""

import doctest
from pathlib import Path
from typing import get_args

import yaml

from cxpredict.config import parse_config
from cxpredict.config.features import Aggregation, FeatureSettings
from cxpredict.config.reading import check_settings

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_notebook_runs():
    result = doctest.testfile(str(README), module_relative=False)
    assert result.attempted > 15
    assert result.failed == 0


def test_the_configuration_it_shows_is_valid():
    text = README.read_text(encoding="utf-8")
    block = text.split("   ```yaml\n")[1].split("   ```")[0]
    assert parse_config(yaml.safe_load(block), directory=README.parent).name == "shop"


def test_the_aggregates_it_declares_are_valid():
    text = README.read_text(encoding="utf-8")
    block = text.split("```yaml\nfeatures:\n")[1].split("```")[0]
    settings = check_settings(FeatureSettings, yaml.safe_load("features:\n" + block)["features"])
    measures = text.split("Measures: ")[1].split(" (")[0].replace("\n", " ")
    assert measures == ", ".join(f"`{name}`" for name in get_args(Aggregation))
    assert len(settings.aggregates) == 4


def test_the_exit_codes_it_lists_are_those_of_the_errors():
    from cxpredict import errors

    text = README.read_text(encoding="utf-8")
    codes = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.CxPredictError)
    }
    for code in codes - {1}:
        assert f"| {code} | " in text


def test_every_file_it_names_exists():
    for name in ("docs/report.png", "CONTRIBUTING.md", "configs", "training", "benchmarks"):
        assert (README.parent / name).exists(), name
