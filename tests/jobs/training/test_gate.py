"""The promotion gate: each check by itself, and what becomes of versions it refuses."""

import importlib.util
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from one_company import flat
from scipy.special import expit, logit

import cxpredict as cx
from cxpredict.config import load_config
from cxpredict.config.value import OfferSettings
from cxpredict.errors import ConfigError, ModelError
from cxpredict.jobs.training import promotion
from cxpredict.jobs.training.promotion import realised_gain
from cxpredict.jobs.training.train import train
from cxpredict.models.evaluation.reliability import calibration_noise

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def good():
    rng = np.random.default_rng(0)
    p = expit(rng.normal(-1, 1.2, 3000))
    return (rng.random(3000) < p).astype(int), p


def checks(decision):
    return decision.table().set_index("check")


def failed(decision):
    return set(decision.table().query("holds == False").check)


def test_a_good_first_version_passes_and_says_what_does_not_apply(good):
    decision = cx.promotion_gate(*good, n_bootstrap=100)
    assert decision.passed
    assert decision.refusals == ()
    table = decision.table()
    assert list(table.columns) == ["check", "value", "bound", "holds", "reason"]
    rows = checks(decision)
    assert rows.reason["profit"] == "not applicable: no costs configured"
    assert rows.reason["champion"] == "not applicable: no champion to compare with"
    assert rows.holds[["profit", "champion"]].isna().all()
    assert "may be promoted" in decision._repr_html_()


def test_noise_is_not_better_than_the_base_rate(good):
    y, p = good
    decision = cx.promotion_gate(np.random.default_rng(1).permutation(y), p, n_bootstrap=100)
    assert not decision.passed
    assert {"ranking", "base rate"} <= failed(decision)
    assert any("not better than the base rate" in reason for reason in decision.refusals)


def test_a_constant_is_refused_and_has_no_slope(good):
    y, _ = good
    decision = cx.promotion_gate(y, np.full(len(y), y.mean()), n_bootstrap=20)
    assert failed(decision) == {"ranking", "base rate"}
    assert "same prediction" in checks(decision).reason["calibration slope"]


def test_a_good_ranking_with_wrong_probabilities_is_refused(good):
    y, p = good
    shifted = cx.promotion_gate(y, expit(logit(p) + 1.0), n_bootstrap=100)
    assert failed(shifted) == {"calibration error"}
    steep = cx.promotion_gate(y, expit(2.2 * logit(p) + 0.9), n_bootstrap=100)
    assert "calibration slope" in failed(steep)
    wide = cx.GateSettings(max_calibration_error=0.5)
    assert cx.promotion_gate(y, expit(logit(p) + 0.5), settings=wide, n_bootstrap=100).passed


def test_wrong_probabilities_pass_where_the_champion_is_as_wrong(good):
    y, p = good
    shifted = expit(logit(p) + 0.7)
    decision = cx.promotion_gate(y, shifted, champion=shifted, n_bootstrap=50)
    assert checks(decision).holds["calibration error"]
    assert "not shown to be worse" in checks(decision).reason["calibration error"]
    refused = cx.promotion_gate(y, shifted, champion=p, n_bootstrap=50)
    assert {"calibration error", "champion"} <= failed(refused)


def test_noise_of_the_calibration_error_by_simulation(good):
    _, p = good
    rng = np.random.default_rng(2)
    drawn = []
    for _ in range(100):
        table = cx.evaluate(rng.random(3000) < p, p, n_bootstrap=1).set_index("metric")
        drawn.append(table.estimate["ece"])
    assert calibration_noise(p) == pytest.approx(np.mean(drawn), rel=0.05)


def test_profit_must_be_shown_to_be_within_the_margin(good):
    y, p = good
    rng = np.random.default_rng(3)
    before = rng.normal(5, 10, len(y))
    same = cx.promotion_gate(y, p, champion=p, gain=before, gain_champion=before, n_bootstrap=100)
    assert checks(same).holds["profit"]  # the same model loses nothing, to the cent
    less = before - 0.3 + rng.normal(0, 5, len(y))
    given = {"champion": p, "gain": less, "gain_champion": before, "n_bootstrap": 100}
    assert failed(cx.promotion_gate(y, p, **given)) == {"profit"}
    assert "gate.profit_margin" in checks(cx.promotion_gate(y, p, **given)).reason["profit"]
    # standard error 5/√3000 = .09: the loss of .3 is within .6, and not shown to be within .35
    for margin, holds in [(0.6, True), (0.35, False)]:
        settings = cx.GateSettings(profit_margin=margin)
        assert cx.promotion_gate(y, p, **given, settings=settings).passed == holds


def test_leaks_refuse_and_are_named(good):
    decision = cx.promotion_gate(*good, leaks=["farewell gift"], n_bootstrap=20)
    assert failed(decision) == {"leaks"}
    assert "farewell gift" in decision.refusals[0]


def test_a_segment_that_is_served_much_worse_refuses(good):
    y, p = good
    plan = np.where(np.arange(3000) % 3 == 0, "basic", "plus")
    blurred = p.copy()
    basic = np.flatnonzero(plan == "basic")
    blurred[basic] = p[np.random.default_rng(4).permutation(basic)]
    segments = {"plan": plan, "half": np.arange(3000) % 2}
    alone = cx.promotion_gate(y, blurred, segments=segments, n_bootstrap=100)
    assert "segment plan" in failed(alone)
    assert "segment half" not in failed(alone)
    assert "basic loses most against all rows" in checks(alone).reason["segment plan"]
    paired = cx.promotion_gate(y, blurred, champion=p, segments=segments, n_bootstrap=100)
    assert "basic loses most against the champion" in checks(paired).reason["segment plan"]
    assert "segment plan" in failed(paired)
    assert cx.promotion_gate(y, p, segments=segments, n_bootstrap=100).passed
    wide = cx.GateSettings(max_segment_gap=0.9)
    wider = cx.promotion_gate(y, blurred, segments=segments, settings=wide, n_bootstrap=100)
    assert "segment plan" not in failed(wider)


def test_segments_too_small_to_judge_do_not_apply(good):
    y, p = good
    settings = cx.GateSettings(min_segment=5000)
    decision = cx.promotion_gate(y, p, segments={"odd": y}, settings=settings, n_bootstrap=20)
    assert pd.isna(checks(decision).holds["segment odd"])
    assert decision.passed


def test_only_one_gain_is_refused(good):
    with pytest.raises(ModelError, match="go together"):
        cx.promotion_gate(*good, champion=good[1], gain=good[0], n_bootstrap=5)
    with pytest.raises(ModelError, match="gain_champion is given without gain"):
        cx.promotion_gate(*good, champion=good[1], gain_champion=good[0], n_bootstrap=5)


def test_a_champion_that_could_not_be_scored_is_not_the_same_as_none(good):
    decision = cx.promotion_gate(*good, unscored="it predicts another outcome", n_bootstrap=20)
    assert failed(decision) == {"champion"}
    assert "could not be scored on these rows: it predicts another" in decision.refusals[0]
    assert "give the run another name" in decision.refusals[0]


def test_the_champion_reads_comments_with_its_own_tagger(monkeypatch):
    seen = []
    champion = SimpleNamespace(
        version="4",
        problem=SimpleNamespace(settings=1),
        aggregates=(),
        exclude=(),
        read_comments=lambda log: f"{log}, tagged",
        risk=lambda X: pd.DataFrame({"probability": X}),
    )
    monkeypatch.setattr(promotion, "champion_of", lambda store, name: champion)
    monkeypatch.setattr(
        promotion, "build_features", lambda log, *_, **__: seen.append(log) or [1.0]
    )
    bundle = SimpleNamespace(name="flat-churn", problem=SimpleNamespace(settings=1))
    version, risk, unscored = promotion._champion_risk(None, "log", bundle, None)
    assert (seen, version, risk.tolist(), unscored) == (["log, tagged"], "4", [1.0], "")
    bundle.problem.settings = 2
    found = promotion._champion_risk(None, "log", bundle, None)
    assert found == ("4", None, "it predicts another outcome")


def test_what_acting_would_have_brought_by_hand():
    offer = OfferSettings(contact_cost=1.0, incentive=10.0, acceptance=0.3, holdout_share=0.0)
    # break-even 11/67 = .164; a leaver brings .3 · 190 − 1 = 56, a stayer costs 11
    risk = pd.Series([0.9, 0.9, 0.1, 0.17, 0.9])
    left = pd.Series([1.0, 0.0, 1.0, 1.0, 1.0])
    worth = pd.Series([200.0, 200.0, 200.0, 200.0, np.nan])
    gain = realised_gain(risk, left, worth=worth, offer=offer)
    assert gain.tolist() == pytest.approx([56.0, -11.0, 0.0, 56.0, 0.0])


MONEY = {
    "value": {
        "currency": "EUR",
        "column": "fee",
        "margin_rate": 0.5,
        "period_days": 30,
        "horizon_days": 360,
        "yearly_discount_rate": 0.0,
    },
    "offer": {"contact_cost": 1.0, "incentive": 2.0, "acceptance": 0.5, "holdout_share": 0.2},
}


@pytest.fixture(scope="module")
def customers():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"id": [f"c{i}" for i in range(1_200)], "calls": rng.poisson(2, 1_200)})
    frame["plan"] = rng.choice(["basic", "plus"], 1_200)
    frame["fee"] = rng.uniform(5, 20, 1_200).round(2)
    frame["left"] = (rng.random(1_200) < expit(frame.calls - 3.0)).astype(int)
    return frame


@pytest.fixture(scope="module")
def history(tmp_path_factory, customers):
    """Noise first, then a model that passes, then a challenger."""
    folder = tmp_path_factory.mktemp("gate")
    noise = customers.assign(left=np.random.default_rng(3).permutation(customers.left))
    gate = {"gate": {"segments": ["plan", "fee"]}}
    runs = [train(flat(folder, noise, **MONEY, **gate))]
    absent = None
    try:
        cx.load_bundle("models:/flat-churn@champion", artifacts=folder / "artifacts")
    except ModelError as error:
        absent = str(error)
    runs.append(train(flat(folder, customers, **MONEY, **gate)))
    other = {"bands": {"churn": {"medium": 0.2, "high": 0.6}}}  # the same figures, another bundle
    runs.append(train(flat(folder, customers, **MONEY, **gate, **other)))
    return folder, runs, absent


def test_refused_versions_are_never_champion(history):
    folder, runs, absent = history
    assert [run.models[0].alias for run in runs] == [
        "refused",
        "champion",
        "challenger",
    ]
    assert "no version has passed the promotion gate" in absent
    champion = cx.load_bundle("models:/flat-churn@champion", artifacts=folder / "artifacts")
    assert champion.version == runs[1].models[0].bundle.version == "2"


def test_the_reason_stands_wherever_one_would_look(history):
    _, runs, _ = history
    model = runs[0].models[0]
    assert any(note.startswith("Not better than the base rate") for note in model.notes)
    assert any("promotion gate refused" in note for note in model.notes)
    client = MlflowClient(tracking_uri=runs[0].tracking_uri)
    version = client.get_model_version("flat-churn", model.bundle.version)
    tags = client.get_run(model.run_id).data.tags
    assert tags["gate"] == version.tags["gate"] == "refused"
    assert "coin toss" in tags["gate.reason"]
    assert "promotion gate refused" in version.description
    logged = {f.path for f in client.list_artifacts(model.run_id, "tables")}
    assert "tables/promotion gate.json" in logged
    text = cx.write_report(runs[0]).read_text(encoding="utf-8")
    assert "Not better than the base rate" in text
    assert "<strong>Refused.</strong>" in text


def test_a_challenger_is_compared_with_the_champion_in_log_loss_and_money(history):
    _, runs, _ = history
    first, again = (checks(run.models[0].gate) for run in runs[1:3])
    assert pd.isna(first.holds["profit"])
    assert again.holds["profit"]  # the same figures: a difference of exactly 0
    assert again.value["profit"] == 0
    assert again.value["champion"] == 0
    assert set(again.index) >= {"segment plan", "segment fee"}


def test_segments_that_do_not_exist_are_refused(history, customers):
    config = flat(history[0], customers, gate={"segments": ["plann"]})
    with pytest.raises(ConfigError, match=r"gate.segments: .*'plann', did you mean 'plan'"):
        train(config)


def test_the_gate_of_a_configuration_is_strict(tmp_path, customers):
    with pytest.raises(ConfigError, match="did you mean 'max_segment_gap'"):
        flat(tmp_path, customers, gate={"max_segment_gaps": 0.1})
    with pytest.raises(ConfigError, match="must be below"):
        flat(tmp_path, customers, gate={"min_calibration_slope": 2.0})


def test_ravenstack_is_no_better_than_the_base_rate_and_refused(shared_data, tmp_path):
    if not (shared_data / "ravenstack_accounts.parquet").is_file():
        pytest.skip("the ravenstack tables are not on this machine")
    config = load_config(ROOT / "configs" / "ravenstack.yaml")
    split = config.split.model_copy(update={"train_from": date(2024, 3, 1)})  # to be quick
    changed = config.model_copy(update={"artifacts": str(tmp_path), "split": split})
    changed._directory = config._directory
    run = train(changed)
    model = run.models[0]
    assert model.alias == "refused"
    assert {"base rate", "calibration error"} <= failed(model.gate)
    assert any(note.startswith("Not better than the base rate") for note in model.notes)


def test_the_recipe_that_compares_models_runs(demo_config, tmp_path, capsys):
    small = demo_config.read_text(encoding="utf-8").replace("2500", "900")
    few = "{table: interactions, measure: count, kind: complaint, windows_days: [30, 90]}"
    small = small.replace(
        "windows_days: [30, 90]\n", f"defaults: false\n  aggregates: [{few}]\n", 1
    )
    (tmp_path / "small.yaml").write_text(small, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("recipe", ROOT / "training" / "compare.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    recipe.FOLDS = 1
    recipe.main(tmp_path / "small.yaml")
    shown = capsys.readouterr().out
    assert "The challenger " in shown
    assert "Stability" in shown
    assert len((ROOT / "training" / "compare.py").read_text().splitlines()) < 80
