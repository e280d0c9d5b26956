"""Promotion: the alias moves only through the gate, and the registry says why."""

import importlib.util
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from one_company import flat, people
from scipy.special import expit, logit

import cxpredict as cx
from cxpredict.errors import ConfigError, ModelError
from cxpredict.jobs.registry.evaluations import FILE, evaluation_of, read_evaluation
from cxpredict.jobs.registry.provenance import fingerprint, run_key, training_customers
from cxpredict.jobs.registry.recording import GATE_CHAMPION, HEADLINES, TEST_ROWS
from cxpredict.jobs.registry.tracking import Store
from cxpredict.jobs.registry.versions import _place
from cxpredict.jobs.training.gate import Check

RECIPE = Path(__file__).resolve().parents[3] / "training" / "promote.py"


@pytest.fixture(scope="module")
def world():
    """Outcomes of 2,000 test rows and the probabilities they came from."""
    rng = np.random.default_rng(0)
    p = expit(rng.normal(-1, 1.2, 2_000))
    return (rng.random(2_000) < p).astype(float), p


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("registry")
    return flat(folder, people(5)), Store(folder / "artifacts")


@pytest.fixture
def registry(place, request):
    """One registered model per test, in one store: to make a store takes its time."""
    config, store = place
    name = request.node.name
    store.client.create_registered_model(name)
    return config, store, name


def add(
    store, name, outcome=None, p=None, *, against="none", gate="passed", rows="same", alias=None
):
    """Register a version as training would, with its evaluation table."""
    client = store.client
    run = client.create_run(store.experiment("flat")).info.run_id
    client.set_tag(run, TEST_ROWS, rows)
    if outcome is not None:
        table = pd.DataFrame({"row": range(len(p)), "outcome": outcome, "probability": p})
        content = table.to_dict("split", index=False)
        client.log_text(run, json.dumps(content), FILE)
    tags = {"gate": gate, "gate.reason": "ranking: no" if gate == "refused" else ""}
    tags = {} if gate is None else {**tags, GATE_CHAMPION: against}
    made = client.create_model_version(name, source=f"runs:/{run}/model", run_id=run, tags=tags)
    if alias:
        client.set_registered_model_alias(name, alias, made.version)
    return str(made.version)


def aliases(store, name):
    found = store.client.get_registered_model(name).aliases
    return {alias: str(version) for alias, version in found.items()}


def test_a_challenger_takes_the_place_of_the_champion_it_was_judged_against(registry):
    config, store, name = registry
    add(store, name, alias="champion")
    add(store, name, against="1", alias="challenger")
    done = cx.promote(config, name, by="Ada", note="The board agreed.")
    assert (done.version, done.former) == ("2", "1")
    assert aliases(store, name) == {"champion": "2", "archived": "1"}
    tags = store.client.get_model_version(name, "2").tags
    assert tags["promoted.by"] == "Ada"
    assert tags["promoted.over"] == "1"
    assert tags["promoted.reason"] == done.reason
    assert "against version 1" in done.reason
    assert done.reason.endswith("The board agreed.")
    assert pd.Timestamp(tags["promoted.at"]).tzinfo is not None
    old = store.client.get_model_version(name, "1").tags
    assert (old["archived.by"], old["archived.for"]) == ("Ada", "2")
    again = cx.promote(config, name, by="Ada", version=2)
    assert (again.former, again.reason) == (None, "it is champion already")
    assert store.client.get_model_version(name, "2").tags == tags


def test_a_name_without_champion_gets_its_first(registry):
    config, store, name = registry
    version = add(store, name)
    assert cx.promote(config, name, by="Ada", version=version).former is None
    assert aliases(store, name) == {"champion": version}


def test_what_did_not_pass_is_never_champion(registry):
    config, store, name = registry
    add(store, name, alias="champion")
    refused = add(store, name, gate="refused", alias="refused")
    unknown = add(store, name, gate=None)
    for version, why in ((refused, "did not pass the gate: ranking: no"), (unknown, "no recorded")):
        with pytest.raises(ModelError, match=why):
            cx.promote(config, name, by="Ada", version=version)
    assert aliases(store, name) == {"champion": "1", "refused": "2"}


def test_against_another_champion_the_same_test_rows_decide(registry, world):
    config, store, name = registry
    outcome, p = world
    add(store, name, outcome, p, alias="champion")
    worse = add(store, name, outcome, expit(0.5 * logit(p) - 0.4))
    same = add(store, name, outcome, expit(1.001 * logit(p)))
    others = add(store, name, outcome, p, rows="others")
    unknown = add(store, name, rows="same")
    with pytest.raises(ModelError, match=r"may not follow 1: .*worse"):
        cx.promote(config, name, by="Ada", version=worse)
    for version in (others, unknown):
        with pytest.raises(ModelError, match="was tested on other rows; train again"):
            cx.promote(config, name, by="Ada", version=version)
    assert (
        "again against version 1 on the same"
        in cx.promote(config, name, by="Ada", version=same).reason
    )


def test_of_two_promotions_at_once_one_wins(registry):
    config, store, name = registry
    add(store, name, alias="champion")
    rivals = [add(store, name, against="1") for _ in range(2)]

    def attempt(version):
        try:
            return cx.promote(config, name, by="Ada", version=version).version
        except ModelError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        with store.writing():
            found = [pool.submit(attempt, version) for version in rivals]
            time.sleep(1.0)  # both have seen version 1 as champion and wait for the lock
        found = [each.result() for each in found]
    assert sum(each in rivals for each in found) == 1
    assert sum("became champion meanwhile" in each for each in found) == 1
    assert aliases(store, name)["archived"] == "1"


def test_the_recipe_promotes_and_says_why(registry, capsys):
    _, store, name = registry
    add(store, name, alias="champion")
    add(store, name, against="1", alias="challenger")
    spec = importlib.util.spec_from_file_location("recipe", RECIPE)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    recipe.main([str(store.folder.parent / "run.yaml"), name, "--by", "Ada"])
    shown = capsys.readouterr().out
    assert f"{name}: version 2 is champion, version 1 is archived, because it passed" in shown
    assert len(RECIPE.read_text().splitlines()) < 80


def judged(name, passed, against):
    gate = cx.GateDecision((Check("ranking", 0.0, "above 0.5", passed, "as it is"),))
    metrics = pd.DataFrame({"metric": HEADLINES, "estimate": 0.5, "low": 0.4, "high": 0.6})
    problem = cx.ChurnProblem(label="left")
    bundle = SimpleNamespace(name=name, kind="churn", problem=problem)
    return SimpleNamespace(
        bundle=bundle, gate=gate, judged_against=against, metrics=metrics, notes=()
    )


def test_a_version_found_again_has_the_latest_decision_and_keeps_what_it_was(registry):
    _, store, name = registry
    for alias in ("champion", "archived", "refused"):
        add(store, name, alias=alias, gate="refused" if alias == "refused" else "passed")

    def placed(version, passed=True):
        return _place(store.client, judged(name, passed, "1"), version)

    assert placed("1", passed=False) == "champion"
    assert placed("2") == "archived"
    assert placed("3") == "challenger"
    found = [store.client.get_model_version(name, version).tags for version in "123"]
    assert [tags["gate"] for tags in found] == ["passed"] * 3
    assert [tags[GATE_CHAMPION] for tags in found] == ["none", "1", "1"]
    assert found[2]["gate.reason"] == ""
    assert aliases(store, name) == {"champion": "1", "archived": "2", "challenger": "3"}
    assert placed("3", passed=False) == "refused"
    assert aliases(store, name) == {"champion": "1", "archived": "2", "refused": "3"}


def test_what_is_missing_is_named(registry, tmp_path):
    config, store, name = registry
    add(store, name, alias="champion")
    with pytest.raises(ModelError, match="no version is challenger"):
        cx.promote(config, name, by="Ada")
    with pytest.raises(ModelError, match="no version 9; the latest are 1"):
        cx.promote(config, name, by="Ada", version=9)
    with pytest.raises(ModelError, match="no such model"):
        cx.promote(config, "flat-satisfaction", by="Ada")
    with pytest.raises(ModelError, match="no such model"):
        cx.promote(config, "it's", by="Ada")
    with pytest.raises(ModelError, match="no such model"):
        cx.load_bundle("models:/it's@champion", artifacts=store.folder)
    with pytest.raises(ModelError, match="no such version or alias; its aliases are: champion"):
        cx.load_bundle(f"models:/{name}@winner", artifacts=store.folder)
    with pytest.raises(ConfigError, match="the name of who decides"):
        cx.promote(config, name, by=" ")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no model store"):
        cx.promote(flat(tmp_path / "empty", people(5)), name, by="Ada")


def trained(risk, index, outcome=None):
    p = pd.Series(risk, index)
    interval = pd.DataFrame({"low": p / 2, "high": p})
    outcome = pd.Series(1.0, index) if outcome is None else outcome
    return SimpleNamespace(outcome=outcome, risk=p, interval=interval, gain=None)


def test_an_evaluation_table_names_nobody_and_numbers_the_same_rows_alike():
    days = pd.to_datetime(["2024-01-01", "2024-02-01"])
    index = pd.MultiIndex.from_product(
        [["ann", "bob", "eve"], days], names=["customer_id", "as_of"]
    )
    one = evaluation_of(trained(np.arange(6) / 10, index), None, b"salt")
    back = index[::-1]
    other = evaluation_of(trained(np.arange(6)[::-1] / 10, back), None, b"salt")
    assert one.digest == other.digest
    pd.testing.assert_frame_equal(one.table, other.table)
    assert list(one.table) == ["row", "as_of", "outcome", "probability", "low", "high", "customer"]
    assert one.table.groupby("customer").size().tolist() == [2, 2, 2]
    assert "ann" not in one.table.to_csv()
    assert one.table.probability.tolist() != sorted(one.table.probability)
    left = pd.Series([0.0, 1, 1, 1, 1, 1], index)
    assert evaluation_of(trained(np.ones(6), index, left), None, b"salt").digest != one.digest
    assert evaluation_of(trained(np.ones(6), index), None, b"other").digest != one.digest


def test_a_damaged_evaluation_table_is_refused(registry):
    _, store, name = registry
    version = add(store, name)
    found = store.client.get_model_version(name, version)
    store.client.log_text(found.run_id, "{half", FILE)
    with pytest.raises(ModelError, match="damaged"):
        read_evaluation(store.client, found)


def key_of(config):
    return run_key(config, cx.CustomerLog.open(config).inputs)


def test_a_run_key_changes_with_input_and_configuration_and_not_with_where_it_writes(tmp_path):
    config = flat(tmp_path, people(5))
    key = key_of(config)
    assert key == key_of(flat(tmp_path, people(5)))
    assert key == key_of(config.model_copy(update={"artifacts": "elsewhere"}))
    assert key != key_of(flat(tmp_path, people(5), random_state=2))
    assert key != key_of(flat(tmp_path, people(6)))


def test_training_customers_are_listed_once_without_their_ids():
    index = pd.MultiIndex.from_product([["ann", "bob"], [1, 2]], names=["customer_id", "as_of"])
    kept = training_customers(b"salt", index)
    assert kept["salt"] == fingerprint(b"salt")
    assert len(kept["customers"]) == 2
    assert "ann" not in json.dumps(kept)
