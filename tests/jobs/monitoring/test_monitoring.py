"""Performance of a model in use: measured, estimated, judged, shown."""

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bs4 import BeautifulSoup

import cxpredict as cx
from cxpredict import cli
from cxpredict.config import Bands, OfferSettings, load_config
from cxpredict.errors import ConfigError, DataError, PerformanceError
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.monitoring.cohorts import Cohort, cohorts, read_scores
from cxpredict.jobs.monitoring.estimated import estimated
from cxpredict.jobs.monitoring.monitor import ASSUMES, monitor
from cxpredict.jobs.monitoring.realised import realised, realised_segments
from cxpredict.jobs.monitoring.verdicts import reference_verdicts
from cxpredict.jobs.scoring import score
from cxpredict.jobs.scoring.table import schema
from cxpredict.report.monitor import write_monitor_report

DAY = pd.Timestamp("2024-01-01")


def cohort(risk, outcome, arm=None, mature=True):
    names = [f"c{number}" for number in range(len(risk))]
    index = pd.MultiIndex.from_product([names, [DAY]], names=["customer_id", "as_of"])
    arm = [None] * len(risk) if arm is None else arm
    series = [pd.Series(values, index) for values in (risk, outcome)]
    arms = pd.Series(arm, index, dtype="object")
    return Cohort(DAY, series[0], arms, series[1], mature=mature, gone=0)


def test_held_out_customers_stand_for_all_who_were_chosen():
    # 100 not chosen, 10 leave; 100 held out, 60 leave; 300 treated, 60 leave
    left = np.r_[
        np.repeat([1, 0], [10, 90]), np.repeat([1, 0], [60, 40]), np.repeat([1, 0], [60, 240])
    ]
    risk = np.repeat([0.1, 0.6, 0.6], [100, 100, 300])
    arm = np.repeat(np.array([None, "held_out", "treated"], dtype=object), [100, 100, 300])
    table = realised(cohort(risk, left.astype(float), arm)).set_index(["rows", "metric"])[
        "estimate"
    ]
    assert table["everyone", "base_rate"] == pytest.approx(130 / 500)
    assert table["held out", "base_rate"] == pytest.approx(0.6)
    # 10 of 100, and 60 of 100 four times
    assert table["without contact", "base_rate"] == pytest.approx(250 / 500)
    assert table["without contact", "calibration_intercept"] == pytest.approx(0.0, abs=1e-6)
    assert table["everyone", "calibration_intercept"] < -1.0


def test_a_few_held_out_customers_stand_for_nobody():
    arm = np.repeat(np.array([None, "held_out", "treated"], dtype=object), [200, 30, 170])
    left = np.tile([1.0, 0.0], 200)
    assert set(realised(cohort(np.full(400, 0.5), left, arm))["rows"]) == {"everyone"}


def test_the_gain_by_hand():
    offer = OfferSettings(contact_cost=1.0, incentive=10.0, acceptance=0.3, holdout_share=0.1)
    some = cohort(np.repeat([0.9, 0.01], 50), np.tile([1.0, 0.0], 50))
    worth = pd.Series(200.0, some.risk.index)
    table = realised(some, worth=worth, offer=offer).set_index("metric")
    # the fifty at .9 are contacted; half leave: .3 · 190 − 1 = 56, half stay: −11
    assert table.loc["mean_gain", "estimate"] == pytest.approx((25 * 56 - 25 * 11) / 100)
    found = estimated(some.risk, {}, worth=worth, offer=offer).set_index("metric")
    assert found.loc["mean_gain", "estimate"] == pytest.approx(50 * (0.9 * 56 - 0.1 * 11) / 100)


@pytest.mark.parametrize("outcome", [[np.nan] * 40, [1.0] * 40, [1.0, 0.0] * 5 + [np.nan] * 30])
def test_where_nothing_can_be_measured_nothing_is(outcome):
    some = cohort(np.linspace(0.1, 0.9, 40), np.array(outcome))
    assert not len(realised(some))
    segments = pd.DataFrame({"plan": "a"}, index=some.risk.index)
    assert not len(realised_segments(some, segments))


def test_small_segments_are_hidden():
    some = cohort(np.linspace(0.1, 0.9, 100), np.tile([1.0, 0.0], 50))
    plan = np.repeat(["large", "middle", "small"], [60, 33, 7])
    table = realised_segments(some, pd.DataFrame({"plan": plan}, index=some.risk.index))
    # seven are too few, and one hidden alone would follow from the total
    assert set(table["segment"]) == {"large"}


def test_an_estimate_knows_how_well_the_test_knew_the_calibration():
    risk = pd.Series(np.random.default_rng(0).beta(1, 4, 3000))
    sure = {"calibration_slope": (1, 0.99, 1.01), "calibration_intercept": (0, -0.01, 0.01)}
    off = {**sure, "calibration_intercept": (0.5, 0.49, 0.51), "mean_prediction": (0.2, 0.2, 0.2)}
    width = {}
    for name, tested in {"none": {}, "sure": sure, "off": off}.items():
        table = estimated(risk, tested).set_index("metric")
        assert table.loc["base_rate", "estimate"] == pytest.approx(risk.mean(), abs=1e-6)
        width[name] = table.loc["base_rate", "high"] - table.loc["base_rate", "low"]
    # outcomes alone: 2 · 1.96 · √(Σp(1 − p)) / n
    chance = 2 * 1.96 * np.sqrt((risk * (1 - risk)).sum()) / 3000
    assert width["none"] == pytest.approx(chance, rel=0.15)
    assert width["sure"] == pytest.approx(chance, rel=0.15)
    assert width["off"] > 5 * chance


def test_estimates_cover_while_calibration_holds_and_fail_when_customers_change():
    rng = np.random.default_rng(3)
    tested = {"calibration_slope": (1, 0.9, 1.1), "calibration_intercept": (0, -0.1, 0.1)}
    covered, fooled = [], []
    for seed in range(20):
        x = rng.normal(rng.normal(0, 0.5), rng.uniform(0.7, 1.3), 600) - 1
        p = 1 / (1 + np.exp(-x))
        row = estimated(pd.Series(p), tested, random_state=seed).set_index("metric").loc["roc_auc"]
        for found, true in ((covered, p), (fooled, 1 / (1 + np.exp(-0.4 * x)))):
            y = rng.random(600) < true
            ranks = pd.Series(p).rank().to_numpy()
            auc = (ranks[y].sum() - y.sum() * (y.sum() + 1) / 2) / (y.sum() * (~y).sum())
            found.append(row["low"] <= auc <= row["high"])
    assert np.mean(covered) >= 0.85
    assert np.mean(fooled) <= 0.2


def measured(metric, estimate, half, day=DAY, rows="everyone"):
    ends = {"estimate": estimate, "low": estimate - half, "high": estimate + half}
    return {"as_of": day, "evidence": "measured", "rows": rows, "metric": metric, **ends}


def test_the_verdict_is_a_test_of_the_difference():
    # standard errors .01 and .01, one comparison: significant from 1.96 · √2 · .01 = .0277 on
    half = 0.01 * 1.959964
    for gap, verdict in ((0.0275, "within"), (0.028, "worse"), (-0.028, "better")):
        rows = pd.DataFrame([measured("roc_auc", 0.7 - gap, half)])
        table = reference_verdicts(rows, {"roc_auc": (0.7, 0.7 - half, 0.7 + half)})
        assert table["verdict"].tolist() == [verdict]
    # two comparisons: each at 97.5 %, z = 2.241, .0317
    both = pd.DataFrame(
        [measured("roc_auc", 0.7 - 0.03, half), measured("log_loss_skill", 0.1, half)]
    )
    table = reference_verdicts(both, {"roc_auc": (0.7, 0.7 - half, 0.7 + half)})
    assert table["verdict"].tolist() == ["within", "no reference"]


def test_the_worse_side_of_a_calibration_is_away_from_its_ideal():
    tested = {"calibration_intercept": (-0.5, -0.55, -0.45), "calibration_slope": (1.2, 1.15, 1.25)}
    rows = pd.DataFrame(
        [measured("calibration_intercept", 0.0, 0.05), measured("calibration_slope", 1.6, 0.05)]
    )
    assert reference_verdicts(rows, tested)["verdict"].tolist() == ["better", "worse"]


def test_rows_without_contact_are_judged_where_there_are_some():
    rows = [measured("roc_auc", 0.5, 0.01), measured("roc_auc", 0.7, 0.01, rows="without contact")]
    table = reference_verdicts(pd.DataFrame(rows), {"roc_auc": (0.7, 0.69, 0.71)})
    assert table[["estimate", "verdict"]].values.tolist() == [[0.7, "within"]]


@pytest.fixture(scope="module")
def published(run, demo_config, tmp_path_factory):
    """Scores of the test date, and of today, in one folder."""
    folder = tmp_path_factory.mktemp("scores")
    version = f"models:/demo-churn/{run.models[0].bundle.version}"
    score(demo_config, model=version, as_of="2025-09-30", out=folder)
    (folder / "as_of=2026-01-01").mkdir()
    write(run.models[0].at_risk, folder / "as_of=2026-01-01")
    return version, folder


def write(scores, folder):
    table = pa.Table.from_pandas(scores, schema=schema("churn"), preserve_index=False)
    pq.write_table(table, folder / "scores.parquet")


@pytest.fixture(scope="module")
def found(demo_config, published):
    return monitor(demo_config, model=published[0], scores=published[1])


def test_the_test_date_is_measured_as_training_measured_it(found, run):
    rows = found.performance[found.performance["as_of"] == "2025-09-30"]
    rows = rows[(rows["evidence"] == "measured") & (rows["rows"] == "everyone")]
    rows, tested = rows.set_index("metric"), run.models[0].metrics.set_index("metric")
    shared = rows.index.intersection(tested.index)
    assert len(shared) == 10
    for column in ("estimate", "low", "high"):
        tolerance = 1e-9 if column == "estimate" else 0.1
        np.testing.assert_allclose(
            rows.loc[shared, column], tested.loc[shared, column], atol=tolerance
        )
    assert set(found.verdicts["verdict"]) == {"within"}
    found.raise_if_outside()


def test_what_is_not_over_yet_is_estimated_only(found, run):
    today = found.performance[found.performance["as_of"] == "2026-01-01"]
    assert set(today["evidence"]) == {ASSUMES}
    assert (today["low"] <= today["estimate"]).all()
    assert (today["estimate"] <= today["high"]).all()
    facts = found.cohorts.set_index("as_of").loc["2026-01-01"]
    assert facts[["mature", "customers", "known"]].tolist() == [
        False,
        len(run.models[0].at_risk),
        0,
    ]
    assert any("2026-01-01 (until 2026-03-02)" in note for note in found.notes)


def test_the_page_and_its_tables_hold_the_figures_and_no_customer(found, run):
    path = write_monitor_report(found)
    text = path.read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser")
    assert not page.find("script")
    assert all(i["src"].startswith("data:") for i in page.find_all("img"))
    auc = found.verdicts.set_index("metric").loc["roc_auc", "estimate"]
    assert f"{auc:.3f}" in page.get_text()
    tables = (path.parent / "monitor.json").read_text()
    assert json.loads(tables) == json.loads(json.dumps(found.content(), allow_nan=False))
    ids = set(run.models[0].at_risk["customer_id"])
    assert not any(customer in text or customer in tables for customer in ids)
    from mlflow import MlflowClient

    logged = MlflowClient(tracking_uri=found.tracking_uri).get_run(found.run_id).data
    assert logged.tags["verdict"] == "within"
    assert {"roc_auc", "roc_auc_low", "roc_auc_high", "estimated_roc_auc_low"} <= set(
        logged.metrics
    )


def test_names_are_only_text_on_the_page(found, tmp_path):
    payload = "<img src=x onerror=alert(1)>"
    rows = {
        "by": payload,
        "segment": payload,
        "customers": 40,
        "estimate": 0.1,
        "low": 0,
        "high": 1,
    }
    segments = pd.DataFrame(
        [{"as_of": DAY, "metric": m, **rows} for m in ("roc_auc", "base_rate", "mean_prediction")]
    )
    hostile = replace(
        found, segments=segments, notes=(payload,), currency=payload, folder=tmp_path / "page"
    )
    page = BeautifulSoup(write_monitor_report(hostile).read_text(encoding="utf-8"), "html.parser")
    assert not page.find_all(onerror=True)


def test_a_model_that_ranks_the_wrong_way_ends_with_exit_code_10(
    run, demo_config, published, tmp_path, monkeypatch, capsys
):
    version, folder = published
    scores = pq.ParquetFile(folder / "as_of=2025-09-30" / "scores.parquet").read().to_pandas()
    scores["churn_probability"] = scores["churn_probability"].to_numpy()[::-1]
    write(scores, tmp_path)
    arguments = ["--config", str(demo_config), "--model", version, "--scores", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["cxpredict", "monitor", *arguments, "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == PerformanceError.exit_code == 10
    printed = capsys.readouterr()
    assert json.loads(printed.out)["alerts"] >= 1
    assert "does worse than in its test: 2025-09-30 roc_auc" in printed.err


def test_scores_that_cannot_be_read_are_refused(run, demo_config, published, tmp_path):
    version, folder = published
    scores = run.models[0].at_risk
    with pytest.raises(DataError, match="score customers first"):
        read_scores([tmp_path], "churn")
    with pytest.raises(DataError, match="stand twice"):
        read_scores([folder, folder / "as_of=2026-01-01"], "churn")
    with pytest.raises(DataError, match="it has no low_score_probability"):
        read_scores([folder], "satisfaction")
    (tmp_path / "scores.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_scores([tmp_path], "churn")
    write(scores.assign(churn_probability=np.nan), tmp_path)
    with pytest.raises(DataError, match="missing or outside"):
        read_scores([tmp_path], "churn")
    for other in (scores.assign(model_version="demo-churn/77"), scores.head(0)):
        write(other, tmp_path)
        with pytest.raises(DataError, match=r"version|expected customers"):
            monitor(demo_config, model=version, scores=tmp_path)
    config = load_config(demo_config)
    wrong = config.model_copy(update={"monitor": type(config.monitor)(segments=["regoin"])})
    wrong._directory = config._directory
    with pytest.raises(ConfigError, match="did you mean 'region'"):
        monitor(wrong, model=version, scores=folder)


def test_customers_without_records_are_counted_not_judged(run):
    bundle = run.models[0].bundle
    risk = run.models[0].risk
    table = risk.rename("risk").reset_index().assign(arm=None, model_version="")
    table.loc[:4, "customer_id"] = [f"erased {number}" for number in range(5)]
    (found,) = cohorts(table, bundle, run.log)
    assert found.gone == 5
    assert len(found.risk) == len(found.known) == len(risk) - 5


def test_a_base_rate_that_fell_from_48_to_38_percent(online_retail):
    """Online retail: a model of spring, tested in June, meets September."""
    problem = cx.ChurnProblem(inactive="purchase", horizon_days=90, active_days=180)
    days = {"train": ["2011-02-26", "2011-03-13"], "test": "2011-06-11", "later": "2011-09-09"}
    X, y = {}, {}
    for part, dates in days.items():
        index = problem.population(online_retail, dates)
        X[part] = cx.build_features(online_retail, index)
        y[part] = problem.labels(online_retail, index)
    model = cx.ChurnModel(effort="fast", random_state=7).fit(X["train"], y["train"])
    risk = {part: pd.Series(model.predict_proba(X[part])[:, 1], X[part].index) for part in X}
    tested = {
        row.metric: (row.estimate, row.low, row.high)
        for row in cx.evaluate(y["test"], risk["test"]).itertuples()
    }
    bundle = Bundle("shop", problem, model, (), (), Bands(medium=0.3, high=0.6), {})
    table = risk["later"].rename("risk").reset_index().assign(arm=None, model_version="")
    (later,) = cohorts(table, bundle, online_retail)
    assert y["test"].mean() == pytest.approx(0.50, abs=0.01)
    assert later.known.mean() == pytest.approx(0.385, abs=0.005)
    rows = realised(later).assign(as_of=later.as_of, evidence="measured")
    verdicts = reference_verdicts(rows, tested).set_index("metric")["verdict"]
    # the ranking is as it was; the rate had been off in June and is right in September
    assert verdicts["roc_auc"] == "within"
    assert verdicts["calibration_intercept"] == "better"
    expected = estimated(later.risk, tested).set_index("metric")
    known = rows.set_index("metric")["estimate"]
    for metric in ("roc_auc", "log_loss", "base_rate"):
        assert expected.loc[metric, "low"] <= known[metric] <= expected.loc[metric, "high"]
    # without the test's warning the rate would have been promised far too surely
    blind = estimated(risk["test"], {}).set_index("metric").loc["base_rate"]
    assert not blind["low"] <= y["test"].mean() <= blind["high"]
    baseline = cx.learn_baseline(X["train"], risk["test"])
    drift = cx.DriftCounts(baseline).add(X["later"], risk["later"]).table()
    drift = drift.set_index("feature")
    # the history is half a year longer: whatever counts since the first day has grown
    assert drift.loc["purchase_days", "status"] == "drifted"
    assert drift.loc["(score)", "status"] in ("stable", "moved")
