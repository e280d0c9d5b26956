import pytest
import yaml

import cxpredict as cx
from cxpredict.config import load_config
from cxpredict.config.value import AnswerWithinSettings, ReferralSettings
from cxpredict.errors import ConfigError
from cxpredict.jobs.records import check_names
from cxpredict.jobs.training.experience import measure_experience


@pytest.fixture(scope="module")
def frames(run):
    return {name: table.to_pandas() for name, table in run.log.table.items()}


def changed(config, **sections):
    """A configuration with some sections exchanged."""
    return config.model_copy(update=sections)


def test_the_report_says_when_the_weighting_is_off(run):
    off = run.config.nps.model_copy(update={"weighted": False})
    found = measure_experience(changed(run.config, nps=off, rox=None), run.log)
    assert found.weighting is None
    assert any("weighting is off" in note for note in found.notes)
    assert found.nps.estimate.iloc[0] == found.unweighted.estimate.iloc[0]


def test_answers_without_silent_invitations_are_not_weighted_and_it_says_why(run, frames):
    answered = frames["feedback"][frames["feedback"].score.notna()]
    log = cx.CustomerLog.from_frames(**{**frames, "feedback": answered})
    found = measure_experience(changed(run.config, rox=None), log)
    assert found.weighting is None
    assert any("not possible" in note for note in found.notes)


def test_without_a_survey_other_improvements_are_still_estimated(run, frames):
    answered = AnswerWithinSettings(kind="service_request", hours=8, share=0.9)
    rox = run.config.rox.model_copy(update={"shift_points": None, "answer_within": answered})
    log = cx.CustomerLog.from_frames(
        **{**frames, "feedback": frames["feedback"].query("metric == 'csat'")},
        observed_until=run.config.observed_until,
    )
    found = measure_experience(changed(run.config, nps=None, rox=rox, stages={}), log)
    assert found.nps is None
    assert found.rox is not None
    assert any("groups are worth is not estimated" in note for note in found.rox_notes)


def test_a_survey_that_cannot_tell_gives_a_refusal_and_no_number(run, frames):
    few = frames["feedback"].groupby("customer_id").head(1).head(300)
    log = cx.CustomerLog.from_frames(**{**frames, "feedback": few})
    window = run.config.nps.model_copy(update={"window_days": 3_000, "weighted": False})
    found = measure_experience(changed(run.config, nps=window), log)
    assert found.rox is None
    assert any(note.startswith("ROX is not estimated") for note in found.rox_notes)


def test_rox_over_less_than_the_silence_that_is_churn_is_refused(tmp_path, demo_config):
    text = demo_config.read_text().replace(
        "cancelled: cancellation, horizon_days: 60", "inactive: renewal, horizon_days: 120"
    )
    (tmp_path / "demo.yaml").write_text(text)
    with pytest.raises(ConfigError, match="at least the churn horizon, 120"):
        load_config(tmp_path / "demo.yaml")


def test_another_improvement_and_more_terms_are_configured(run):
    rox = run.config.rox.model_copy(
        update={
            "shift_points": None,
            "answer_within": AnswerWithinSettings(kind="service_request", hours=8, share=0.9),
            "cost": [1_000.0, 500.0],
            "prices": {"service_request": 5.0},
            "referral": ReferralSettings(kind="referral", conversion=0.1, new_customer_value=300.0),
        }
    )
    found = measure_experience(changed(run.config, rox=rox), run.log)
    assert found.rox.terms["term"].tolist() == [
        "retention",
        "spend",
        "cost to serve",
        "word of mouth",
    ]
    assert found.rox.cost < 1_500
    # what NPS groups are worth stands beside it
    assert "cost_to_serve" in found.economics


def test_terms_without_prices_are_refused_by_name(run):
    assert not run.experience.rox.refused
    rox = run.config.rox.model_copy(update={"prices": {}, "referral": None})
    nps = run.config.nps.model_copy(update={"weighted": False})
    found = measure_experience(changed(run.config, rox=rox, nps=nps, stages={}), run.log).rox
    assert set(found.refused) == {"cost to serve", "word of mouth"}
    assert found.unadjusted.net != found.net


def test_the_nps_of_everyone_is_estimated_when_asked_for(run):
    assert run.experience.everyone is None
    nps = run.config.nps.model_copy(update={"everyone": True, "weighted": False})
    found = measure_experience(changed(run.config, nps=nps, rox=None, stages={}), run.log)
    alone, everyone = found.everyone.answers_only.iloc[0], found.everyone.everyone.iloc[0]
    assert alone["estimate"] == pytest.approx(found.unweighted["estimate"].iloc[0])
    # in the simulated company the engaged and happy answer more often
    assert everyone["estimate"] < alone["low"]


def test_the_touchpoints_of_the_stages_are_audited(run):
    table = run.experience.touchpoints.set_index("touchpoint")
    assert set(table.index) == set(run.config.stages)
    # failures, of which heavy contact with "use" tells, are what drives customers away most
    assert table.loc["use", "contact_churn_points_low"] > 0
    assert (table["evidence"] != "").any()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("shift_points: 5, raise_score: {metric: nps, points: 1}", "exactly one of"),
        ("prices: {}", "exactly one of"),
        ("shift_points: 5, cost: [1, 1, 1, 1, 1, 1]", "6 amounts, but now and the ends of 4"),
        ("shift_points: 5, prices: {call: -1}", "prices"),
        ("answer_within: {kind: call, hours: 24, share: 60}", "share"),
        ("raise_score: {metric: cs, points: 1}", "metric"),
    ],
)
def test_improvements_that_are_wrongly_configured_are_refused(tmp_path, demo_config, given, told):
    content = yaml.safe_load(demo_config.read_text())
    rest = {"cost": 5000, "period_days": 90, "horizon_periods": 4}
    content["rox"] = rest | yaml.safe_load(f"{{{given}}}")
    (tmp_path / "demo.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=told):
        load_config(tmp_path / "demo.yaml")


def test_names_that_the_records_do_not_know_are_refused_before_training(run):
    kind = ReferralSettings(kind="refferal", conversion=0.1, new_customer_value=1.0)
    rox = run.config.rox.model_copy(update={"referral": kind, "prices": {"phone": 1.0}})
    with pytest.raises(ConfigError, match="2 problem") as told:
        check_names(changed(run.config, rox=rox), run.log)
    assert "rox.prices: the records have no 'phone'" in str(told.value)
    assert "'refferal', did you mean 'referral'?" in str(told.value)
    check_names(run.config, run.log)
