import pytest

import cxpredict as cx
from cxpredict.config import load_config
from cxpredict.errors import ConfigError
from cxpredict.jobs.experience import measure_experience


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


def test_without_a_survey_nothing_is_estimated(run):
    found = measure_experience(changed(run.config, nps=None, rox=None), run.log)
    assert found.nps is None
    assert found.rox is None
    assert found.notes


def test_a_survey_that_cannot_tell_gives_a_refusal_and_no_number(run, frames):
    few = frames["feedback"].groupby("customer_id").head(1).head(300)
    log = cx.CustomerLog.from_frames(**{**frames, "feedback": few})
    window = run.config.nps.model_copy(update={"window_days": 3_000, "weighted": False})
    found = measure_experience(changed(run.config, nps=window), log)
    assert found.rox is None
    assert any(note.startswith("ROX is not estimated") for note in found.notes)


def test_rox_over_less_than_the_silence_that_is_churn_is_refused(tmp_path, demo_config):
    text = demo_config.read_text().replace(
        "cancelled: cancellation, horizon_days: 60", "inactive: renewal, horizon_days: 120"
    )
    (tmp_path / "demo.yaml").write_text(text)
    with pytest.raises(ConfigError, match="at least the churn horizon, 120"):
        load_config(tmp_path / "demo.yaml")
