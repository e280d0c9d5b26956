import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from cxpredict.config import load_config
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError, EmptyDataError, ModelError
from cxpredict.jobs.scoring import score
from cxpredict.jobs.scoring.rows import score_customers
from cxpredict.jobs.scoring.table import schema

CHAMPION = "models:/demo-churn@champion"


@pytest.fixture(scope="module")
def scoring(run, demo_config):
    return score(demo_config, model=CHAMPION, as_of="2026-01-01")


def test_one_explained_row_for_each_active_customer(scoring, run):
    scores = scoring.scores
    assert scores.customer_id.is_unique
    active = run.models[0].bundle.problem.to_score(run.log, "2026-01-01")
    assert set(scores.customer_id) == set(active.get_level_values(0))
    assert (
        (scores.low <= scores.churn_probability) & (scores.churn_probability <= scores.high)
    ).all()
    assert scores.churn_probability.is_monotonic_decreasing
    high = run.config.bands.churn.high
    np.testing.assert_array_equal(scores.risk_band == "high", scores.churn_probability >= high)
    top = scores.head(20)
    assert (top.reason_1 != "").all()
    assert (scores.model_version == f"demo-churn/{run.models[0].bundle.version}").all()


def test_money_follows_from_risk_and_worth(scoring, run):
    scores = scoring.scores
    worth = scores.value_at_risk / scores.churn_probability
    offer = run.config.offer
    gain = (
        scores.churn_probability * offer.acceptance * (worth - offer.incentive)
        - (1 - scores.churn_probability) * offer.incentive
        - offer.contact_cost
    )
    np.testing.assert_allclose(scores.expected_gain, gain, rtol=1e-9, atol=1e-9)
    chosen = scores[scores.arm.notna()]
    assert (chosen.expected_gain > 0).all()
    assert set(chosen.arm) <= {"treated", "held_out"}
    assert (chosen.action == np.where(chosen.arm == "treated", "contact", "none")).all()


def test_a_second_run_gives_the_same_bytes(scoring, demo_config, tmp_path):
    again = score(demo_config, model=CHAMPION, as_of="2026-01-01", out=tmp_path)
    for name in ("scores.parquet", "rejects.parquet", "manifest.json"):
        assert (again.folder / name).read_bytes() == (scoring.folder / name).read_bytes()


def test_the_manifest_adds_up(scoring):
    manifest = json.loads((scoring.folder / "manifest.json").read_text())
    assert manifest["rows"]["scored"] == len(scoring.scores)
    for source in manifest["rows"]["sources"]:
        assert source["read"] == source["kept"] + source["duplicates"] + source["rejected"]
    assert pq.read_schema(scoring.folder / "scores.parquet").names == schema("churn").names


def test_nothing_known_later_enters_an_earlier_score(run):
    day = pd.Timestamp("2025-06-01")
    bundle = run.models[0].bundle
    past = {name: table.to_pandas() for name, table in run.log.table.items()}
    for name, events in past.items():
        if name != "customers":
            past[name] = events[(events.occurred_at < day) & (events.known_at < day)]
    logs = (run.log, CustomerLog.from_frames(**past))
    scores = [
        score_customers(bundle, log, bundle.problem.to_score(log, day), run.config) for log in logs
    ]
    pd.testing.assert_frame_equal(*scores, check_exact=True)


def test_an_empty_file_never_replaces_good_scores(run, demo_config, tmp_path):
    (tmp_path / "sales.csv").write_text("")
    path = tmp_path / "broken.yaml"
    source = "path: sales.csv, table: transactions, timezone: UTC"
    columns = "columns: {customer_id: id, occurred_at: at, amount: amount}"
    text = demo_config.read_text().replace(
        "../artifacts", str(demo_config.parents[1] / "artifacts")
    )
    text = text.replace(
        "simulate: {n_customers: 2500, seed: 7}", f"sources: {{sales: {{{source}, {columns}}}}}"
    )
    path.write_text(text)
    folder = tmp_path / "as_of=2026-01-01"
    with pytest.raises(EmptyDataError):
        score(path, model=CHAMPION, as_of="2026-01-01", out=tmp_path)
    assert pq.read_table(folder / "scores.parquet").num_rows == 0
    good = score(demo_config, model=CHAMPION, as_of="2026-01-01", out=tmp_path)
    with pytest.raises(EmptyDataError):
        score(path, model=CHAMPION, as_of="2026-01-01", out=tmp_path)
    assert pq.read_table(folder / "scores.parquet").num_rows == len(good.scores)


def test_satisfaction_is_scored_too(run, demo_config, tmp_path):
    result = score(
        demo_config, model="models:/demo-satisfaction@champion", as_of="2026-01-01", out=tmp_path
    )
    assert result.scores.low_score_probability.between(0, 1).all()
    assert result.scores.expected_score.between(0, 10).all()


def test_36_nobody_to_score_gives_an_empty_typed_table_and_its_own_error(
    demo_config, run, tmp_path
):
    with pytest.raises(EmptyDataError):
        score(demo_config, model=CHAMPION, as_of="2001-01-01", out=tmp_path)
    table = pq.read_table(tmp_path / "as_of=2001-01-01" / "scores.parquet")
    assert table.num_rows == 0
    assert table.schema.equals(schema("churn"), check_metadata=False)


@pytest.mark.parametrize(
    "model", ["models:/absent@champion", "models:/demo-churn/99", "models:/demo-churn", "nowhere"]
)
def test_a_model_that_is_not_there_is_named(run, demo_config, model):
    with pytest.raises(ModelError):
        score(demo_config, model=model, as_of="2026-01-01")


@pytest.mark.parametrize("as_of", ["soon", "NaT", "", "now", "2026-01-01T12:00"])
def test_a_date_that_is_none_is_refused(run, demo_config, as_of):
    with pytest.raises(ConfigError, match="as_of"):
        score(demo_config, model=CHAMPION, as_of=as_of)


def test_27_a_date_long_after_the_records_is_refused(run, demo_config):
    with pytest.raises(DataError, match="31 days after the records end"):
        score(demo_config, model=CHAMPION, as_of="2099-01-01")


def test_money_is_missing_where_none_is_configured(run, demo_config, tmp_path):
    content = yaml.safe_load(demo_config.read_text())
    for section in ("value", "offer", "rox"):
        del content[section]
    path = demo_config.with_name("no_money.yaml")
    path.write_text(yaml.safe_dump(content))
    assert load_config(path).value is None
    scores = score(path, model=CHAMPION, as_of="2026-01-01", out=tmp_path).scores
    assert scores[["value_at_risk", "expected_gain"]].isna().all().all()
