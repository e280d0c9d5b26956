import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

import cxpredict as cx
from cxpredict.config import load_config
from cxpredict.errors import ConfigError, DataError, LeakageError
from cxpredict.jobs.registry.evaluations import FILE, read_evaluation
from cxpredict.jobs.registry.recording import CUSTOMERS
from cxpredict.jobs.registry.tracking import local_path
from cxpredict.jobs.training.train import train


def test_each_problem_gives_a_registered_champion(run):
    assert [m.bundle.name for m in run.models] == ["demo-churn", "demo-satisfaction"]
    assert [m.alias for m in run.models] == ["champion", "champion"]
    client = MlflowClient(tracking_uri=run.tracking_uri, registry_uri=run.tracking_uri)
    for model in run.models:
        version = client.get_model_version_by_alias(model.bundle.name, "champion")
        assert str(version.version) == model.bundle.version


def test_the_test_rows_are_later_than_every_training_label(run):
    for model in run.models:
        periods = model.periods
        settings = model.bundle.problem.settings
        last = periods.loc[periods.part == "train", "as_of"].max()
        first = periods.loc[periods.part == "test", "as_of"].min()
        assert last + pd.Timedelta(days=settings.gap_days + settings.horizon_days) <= first


def test_metrics_lie_in_their_intervals_and_beat_chance(run):
    for model in run.models:
        table = model.metrics.set_index("metric")
        assert not model.metrics.metric.duplicated().any()
        inside = (table.low <= table.estimate) & (table.estimate <= table.high)
        assert inside.all()
        assert table.loc["roc_auc", "low"] > 0.5


def test_the_run_is_logged_whole(run):
    client = MlflowClient(tracking_uri=run.tracking_uri, registry_uri=run.tracking_uri)
    parent = client.get_run(run.run_id)
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["nps"] == pytest.approx(run.experience.nps.estimate["all"])
    for model in run.models:
        nested = client.get_run(model.run_id)
        assert nested.data.tags["mlflow.parentRunId"] == run.run_id
        auc = model.metrics.set_index("metric").loc["roc_auc"]
        for suffix, value in (("", auc.estimate), ("_low", auc.low), ("_high", auc.high)):
            assert nested.data.metrics[f"roc_auc{suffix}"] == pytest.approx(value)
        assert nested.inputs.dataset_inputs
        logged = {f.path for f in client.list_artifacts(model.run_id, "tables")}
        assert "tables/leak audit.json" in logged
        assert "tables/evaluation.json" in logged
        assert "model_card.json" in {f.path for f in client.list_artifacts(model.run_id)}
        version = client.get_model_version(model.bundle.name, model.bundle.version)
        for tags in (parent.data.tags, nested.data.tags, version.tags):
            assert tags["cxpredict.version"] == cx.__version__
            assert tags["run_key"] == parent.data.tags["run_key"]
            assert tags["mlflow.note.content"] if tags is not version.tags else version.description
        assert version.tags["kind"] == model.bundle.kind
        assert version.tags["gate.champion"] == "none"
        assert "`@champion`" in client.get_registered_model(model.bundle.name).description


def test_evaluation_tables_and_lists_of_customers_hold_no_ids(run):
    client = MlflowClient(tracking_uri=run.tracking_uri, registry_uri=run.tracking_uri)
    for model in run.models:
        version = client.get_model_version(model.bundle.name, model.bundle.version)
        table = read_evaluation(client, version).table
        assert len(table) == len(model.outcome)
        np.testing.assert_allclose(np.sort(table.probability), np.sort(model.risk), atol=1e-9)
        texts = [client.download_artifacts(model.run_id, name) for name in (FILE, CUSTOMERS)]
        texts = [Path(text).read_text(encoding="utf-8") for text in texts]
        for customer in model.outcome.index.get_level_values("customer_id")[:50]:
            assert not any(f'"{customer}"' in text for text in texts)


def test_requirements_are_pinned_exactly(run):
    client = MlflowClient(tracking_uri=run.tracking_uri, registry_uri=run.tracking_uri)
    version = client.get_model_version(run.models[0].bundle.name, run.models[0].bundle.version)
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    pins = (local_path(logged.artifact_location) / "requirements.txt").read_text().splitlines()
    assert {pin.partition("==")[0] for pin in pins} >= {"cxpredict", "lightgbm", "pandas", "mlflow"}
    assert all("==" in pin for pin in pins)


def test_the_logged_model_predicts_as_the_bundle_does(run):
    import mlflow

    from cxpredict.jobs.registry.tracking import quiet

    for model in run.models:
        bundle = model.bundle
        index = model.at_risk.head(50).set_index(["customer_id", "as_of"]).index
        X = cx.build_features(run.log, index, aggregates=bundle.aggregates, exclude=bundle.exclude)
        with quiet():
            mlflow.set_tracking_uri(run.tracking_uri)
            mlflow.set_registry_uri(run.tracking_uri)
            logged = mlflow.pyfunc.load_model(f"models:/{bundle.name}/{bundle.version}")
            found = logged.predict(_plain(X))
        expected = bundle.risk(X)
        np.testing.assert_array_equal(found["probability"], expected["probability"])
        assert found["risk_band"].tolist() == expected["risk_band"].tolist()


def _plain(X):
    text = [c for c in X if X[c].dtype == "category"]
    return X.astype(dict.fromkeys(text, "object")).reset_index(drop=True)


def test_the_true_nps_of_everyone_lies_in_the_weighted_interval(run, demo_config):
    settings = load_config(demo_config)
    company = cx.simulate_company(settings.simulate.n_customers, seed=settings.simulate.seed)
    end = run.log.span[1]
    truth = company.truth.nps(end - pd.Timedelta(days=settings.nps.window_days), end)
    everyone = run.experience.nps.loc["all"]
    assert everyone.low <= truth <= everyone.high
    assert abs(everyone.estimate - truth) < abs(run.experience.unweighted.estimate["all"] - truth)


def test_the_three_strongest_true_drivers_are_among_the_five_strongest_reported(run, demo_config):
    settings = load_config(demo_config)
    company = cx.simulate_company(settings.simulate.n_customers, seed=settings.simulate.seed)
    true = company.truth.drivers.sort_values("rank").head(3)
    expected = {place.split(":")[1] for shows_in in true.shows_in for place in shows_in}
    reported = run.models[0].drivers.by("kind").head(5)["kind"]
    assert expected <= set(reported)


def test_rox_says_what_it_knows(run):
    rox = run.experience.rox
    assert rox is not None
    assert rox.net == pytest.approx(rox.gross - 1)
    evidence = rox.terms.set_index("term")["evidence"]
    # what a recommendation wins, and what a new customer is worth, are stated
    assert evidence.pop("word of mouth") == "assumed"
    assert set(evidence) == {"adjusted"}
    assert {"unadjusted", "adjusted"} == set(run.experience.economics.adjustment)


def write(folder, config):
    import yaml

    path = folder / "configs" / "run.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def flat(folder, frame, **settings):
    """A configuration on one table with a label column."""
    frame.to_parquet(folder / "customers.parquet")
    config = {
        "name": "flat",
        "sources": {
            "customers": {
                "path": "../customers.parquet",
                "table": "customers",
                "columns": {"customer_id": "id"},
                "attributes": "*",
            }
        },
        "problems": {"churn": {"label": "left"}},
        "split": {"as_of": pd.Timestamp("2024-01-01").date(), "test_share": 0.3},
        "bands": {"churn": {"medium": 0.2, "high": 0.5}},
        "effort": "fast",
        "random_state": 1,
        **settings,
    }
    return write(folder, config)


@pytest.fixture
def customers():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"id": [f"c{i}" for i in range(1_500)], "calls": rng.poisson(2, 1_500)})
    frame["plan"] = rng.choice(["basic", "plus"], 1_500)
    odds = frame.calls - 3 + (frame.plan == "basic")
    frame["left"] = (rng.random(1_500) < 1 / (1 + np.exp(-odds))).astype(int)
    return frame


def test_29_a_leak_stops_the_run_and_is_named_with_its_price(tmp_path, customers):
    leaking = customers.assign(farewell=np.where(customers.left == 1, "gift", None))
    with pytest.raises(LeakageError, match="farewell") as raised:
        train(flat(tmp_path, leaking))
    assert "AUC" in str(raised.value)


def test_29_a_leak_is_dropped_where_so_configured_and_accepted_only_with_a_reason(
    tmp_path, customers
):
    leaking = customers.assign(farewell=np.where(customers.left == 1, "gift", None))
    dropped = train(flat(tmp_path, leaking, audit={"on_leak": "drop"})).models[0]
    assert dropped.dropped == ("farewell",)
    assert "farewell" not in dropped.bundle.model.feature_names_in_
    assert any("farewell" in note for note in dropped.notes)
    accepted = {"farewell": "gifts are ordered a month before"}
    kept = train(flat(tmp_path, leaking, audit={"accept": accepted})).models[0]
    assert kept.bundle.card["leaks accepted"] == accepted
    assert "farewell" in kept.bundle.model.feature_names_in_
    assert any("gifts are ordered" in note for note in kept.bundle.card["notes"])


def test_a_table_without_time_says_so(tmp_path, customers):
    model = train(flat(tmp_path, customers)).models[0]
    assert any("no time" in note for note in model.notes)
    assert json.loads(json.dumps(model.bundle.card)) == model.bundle.card


def test_33_one_outcome_only_is_refused_with_counts(tmp_path, customers):
    with pytest.raises(DataError, match="'left' = 1"):
        train(flat(tmp_path, customers.assign(left=0)))
    with pytest.raises(DataError, match=r"found [0-9,]+ and [0-9,]+"):
        train(flat(tmp_path, customers.assign(left=1)))


def test_34_missing_labels_are_left_out(tmp_path, customers):
    some = customers.assign(left=customers.left.astype("float64"))
    some.loc[:200, "left"] = None
    model = train(flat(tmp_path, some)).models[0]
    assert model.periods.customers.sum() == 1_500 - 201
    assert any(note.startswith("201 cases") for note in model.notes)


@pytest.mark.parametrize("rows", [0, 40])
def test_35_51_too_few_rows_are_refused(tmp_path, customers, rows):
    with pytest.raises(DataError):
        train(flat(tmp_path, customers.head(rows)))


def test_a_failed_run_is_closed_as_failed_and_registers_nothing(tmp_path, customers):
    path = flat(tmp_path, customers.assign(farewell=customers.left))
    with pytest.raises(LeakageError):
        train(path)
    store = f"sqlite:///{tmp_path / 'configs' / 'artifacts' / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=store)
    runs = client.search_runs([client.get_experiment_by_name("flat").experiment_id])
    assert {r.info.status for r in runs} == {"FAILED"}
    assert not client.search_registered_models()


def test_a_rerun_finds_its_version_and_another_configuration_is_a_challenger(tmp_path, customers):
    path = flat(tmp_path, customers)
    first, second = (train(path).models[0] for _ in range(2))
    assert (first.alias, second.alias) == ("champion", "champion")
    assert first.bundle.version == second.bundle.version == "1"
    assert first.bundle.digest == second.bundle.digest
    pd.testing.assert_frame_equal(first.metrics, second.metrics)
    other = train(flat(tmp_path, customers, random_state=2)).models[0]
    assert (other.bundle.version, other.alias) in [("2", "challenger"), ("2", "refused")]


@pytest.mark.parametrize(
    "settings",
    [{"features": {"exclude": ["plann"]}}, {"audit": {"accept": {"plann": "known before"}}}],
)
def test_names_of_features_that_do_not_exist_are_refused(tmp_path, customers, settings):
    with pytest.raises(ConfigError, match="no feature 'plann', did you mean 'plan'"):
        train(flat(tmp_path, customers, **settings))


def test_what_a_customer_is_worth_may_be_unknown_and_is_then_not_counted_as_nothing(
    tmp_path, customers
):
    fees = customers.assign(fee=np.where(customers.index % 5 == 0, np.nan, 10.0))
    value = {
        "currency": "EUR",
        "column": "fee",
        "margin_rate": 0.5,
        "period_days": 30,
        "horizon_days": 360,
        "yearly_discount_rate": 0.0,
    }
    offer = {"contact_cost": 1.0, "incentive": 2.0, "acceptance": 0.5, "holdout_share": 0.2}
    at_risk = train(flat(tmp_path, fees, value=value, offer=offer)).models[0].at_risk
    fee = fees.set_index("id").fee.reindex(at_risk.customer_id).to_numpy()
    np.testing.assert_array_equal(at_risk.value_at_risk.isna(), np.isnan(fee))
    known = at_risk[~np.isnan(fee)]
    np.testing.assert_allclose(known.value_at_risk, known.churn_probability * 12 * 5.0)
    assert (at_risk[np.isnan(fee)].action == "none").all()


def test_a_model_without_signal_says_that_it_is_no_better_than_the_base_rate(tmp_path, customers):
    noise = customers.assign(left=np.random.default_rng(3).permutation(customers.left))
    model = train(flat(tmp_path, noise)).models[0]
    assert any(note.startswith("Not better than the base rate") for note in model.notes)
    assert any(note.startswith("Not better") for note in model.bundle.card["notes"])
