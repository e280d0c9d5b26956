"""Comments declared in a configuration."""

import pandas as pd
import pytest

import cxpredict as cx
from cxpredict.config import parse_config
from cxpredict.config.reading import read_yaml
from cxpredict.errors import ConfigError, DataError
from cxpredict.jobs.training.comments import learn_comments

DATES = pd.to_datetime(["2025-03-01", "2025-05-01"])


@pytest.fixture
def declared(demo_config):
    content = read_yaml(demo_config)

    def make(**comments):
        return parse_config({**content, "comments": comments}, directory=demo_config.parent)

    return make


def test_they_are_learnt_before_the_last_training_date_and_only_if_asked(
    demo_config, declared, company
):
    train = pd.MultiIndex.from_product([["C000001"], DATES], names=["customer_id", "as_of"])
    assert learn_comments(cx.load_config(demo_config), company.log, train) is None
    tagger = learn_comments(declared(codebook={"price": ["price*"]}), company.log, train)
    assert tagger.until_ == DATES[1]
    assert tagger.themes_.themes_ == ["price"]
    assert any("not measured" in note for note in tagger.notes())


def test_labelled_examples_come_from_a_file(declared, company, demo_config):
    train = pd.MultiIndex.from_product([["C000001"], DATES], names=["customer_id", "as_of"])
    path = demo_config.parent / "examples.csv"
    rows = [f"price {c},price\nwait {c},waiting" for c in "abcdefgh"]
    path.write_text("\n".join(["comment,theme", *rows]), encoding="utf-8")
    config = declared(examples="examples.csv")
    assert learn_comments(config, company.log, train).themes_.measured_ is True
    path.write_text("comment\nsecret", encoding="utf-8")
    with pytest.raises(DataError, match="theme is missing") as error:
        learn_comments(config, company.log, train)
    assert "secret" not in str(error.value)
    path.write_bytes("comment,theme\nsecrét,price".encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        learn_comments(config, company.log, train)
    path.write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="is no table"):
        learn_comments(config, company.log, train)
    path.unlink()
    with pytest.raises(ConfigError, match="FileNotFoundError"):
        learn_comments(config, company.log, train)


def test_a_mistyped_key_gets_the_nearest_one(declared):
    with pytest.raises(ConfigError, match="did you mean 'codebook'"):
        declared(codebok={"price": ["price*"]})
