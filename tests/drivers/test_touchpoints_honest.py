"""The touchpoint table where records begin late or end early, and where few can be told."""

import numpy as np
import pandas as pd
import pytest

import cxpredict as cx
from cxpredict.errors import ConfigError

AS_OF = pd.Timestamp("2024-01-01")
IDS = np.array([f"c{number:04d}" for number in range(800)])


def calls(ids, day="2023-12-12", touchpoint="support"):
    return pd.DataFrame(
        {"customer_id": ids, "occurred_at": day, "kind": "call", "touchpoint": touchpoint}
    )


def every_day(start, end):
    days = pd.date_range(start, end, inclusive="left")
    return calls(np.resize(IDS[:50], 5 * len(days)), np.repeat(days, 5))


def table_of(until, **frames):
    log = cx.CustomerLog.from_frames(**frames)
    return cx.touchpoint_table(log, stages={}, until=until).set_index("touchpoint")


@pytest.fixture(scope="module")
def contacts():
    """400 with contact, of whom half leave; of the other 400 a fifth."""
    contact = np.arange(800) < 400
    left = np.where(contact, np.arange(800) % 2 == 0, np.arange(800) % 5 == 0)
    paid = pd.DataFrame({"customer_id": IDS, "amount": 10.0, "kind": "purchase"})
    transactions = pd.concat(
        [
            paid.assign(occurred_at="2023-12-20"),
            paid[~left].assign(occurred_at="2024-02-10"),
            paid[~left][:1].assign(occurred_at="2024-05-01"),
        ]
    )

    def influence(segment, interactions=None, **arguments):
        customers = pd.DataFrame(
            {"customer_id": IDS, "since": "2022-01-01", "segment": segment(left, contact)}
        )
        log = cx.CustomerLog.from_frames(
            customers=customers,
            interactions=calls(IDS[contact]) if interactions is None else interactions,
            transactions=transactions,
        )
        problem = cx.ChurnProblem(inactive="purchase", horizon_days=90, gap_days=7)
        table = cx.touchpoint_table(
            log, stages={}, until=AS_OF, churn=problem, as_of=AS_OF, **arguments
        )
        return table.set_index("touchpoint")

    return influence


def test_a_segment_overwritten_when_customers_leave_hides_no_influence(contacts):
    # half against a fifth: 30 points
    table = contacts(lambda left, contact: np.where(left, "lapsed", "active"))
    assert table.loc["support", "contact_churn_points"] == pytest.approx(30)


def test_an_attribute_that_is_fixed_may_be_adjusted_for(contacts):
    # c0000 … c0199 and c0400 … c0599 are business in equal parts: nothing to adjust for
    def halves(left, contact):
        return np.where(np.arange(800) % 400 < 200, "business", "private")

    table = contacts(halves, adjust_for=["segment"])
    assert table.loc["support", "contact_churn_points"] == pytest.approx(30)
    by_outcome = contacts(
        lambda left, contact: np.where(left, "lapsed", "active"), adjust_for=["segment"]
    )
    assert by_outcome.loc["support", "contact_churn_points"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(ConfigError, match="adjust_for: expected a list of columns"):
        contacts(halves, adjust_for=["segmen"])


def test_a_change_needs_interactions_recorded_for_two_years():
    # the same five calls a day all along; a transaction of 2020 is no record of calls
    paid = pd.DataFrame({"customer_id": IDS[:50], "occurred_at": "2020-01-01", "amount": 1.0})
    late = table_of(
        "2024-06-01", interactions=every_day("2023-04-01", "2024-06-01"), transactions=paid
    ).loc["support"]
    assert np.isnan(late["volume_change"])
    assert pd.isna(late["season_month"])
    assert "change: needs interactions recorded all the last two years" in late["reason"]
    ended = table_of("2024-07-01", interactions=every_day("2022-01-01", "2024-01-01"))
    assert np.isnan(ended.loc["support", "volume_change"])
    assert ended.loc["support", "season_swing"] < 1e-6  # of the 24 months that were recorded
    whole = table_of("2024-01-01", interactions=every_day("2022-01-01", "2024-01-01"))
    assert whole.loc["support", "volume_change"] == pytest.approx(0, abs=0.5)


def test_touchpoints_of_the_same_few_people_do_not_hide_each_other():
    same = [calls(IDS[:6], touchpoint=name) for name in ("vip", "lounge")]
    frames = [calls(IDS[:40]), calls(IDS[20:60], touchpoint="web"), *same]
    table = table_of("2024-01-01", interactions=pd.concat(frames))
    assert table["records"].isna().sum() == 3  # vip, lounge, and one more of 40


def test_few_low_scores_cannot_be_worked_out():
    feedback = pd.DataFrame(
        {"customer_id": IDS[:30], "occurred_at": "2023-12-01", "metric": "csat"}
    ).assign(touchpoint="support")

    def low_share(n_low):
        answers = feedback.assign(score=[1] * n_low + [5] * (30 - n_low))
        return table_of("2024-01-01", interactions=calls(IDS[:40]), feedback=answers).loc["support"]

    for n_low in (10, 29):
        row = low_share(n_low)
        assert np.isnan(row["low_share"])
        assert "share of low scores: suppressed" in row["reason"]
        assert row["n_answers"] == 30
    assert low_share(11)["low_share"] == pytest.approx(11 / 30)
    assert low_share(0)["low_share"] == 0


def test_contacts_of_a_hidden_touchpoint_are_hidden_too(contacts):
    # vip has 5 customers, lounge is hidden with it; its 40 contacts would tell its volume
    frames = [calls(IDS[:400]), calls(IDS[:5], touchpoint="vip")]
    frames.append(calls(IDS[100:140], touchpoint="lounge"))
    table = contacts(lambda left, contact: "a", pd.concat(frames))
    assert table[["records", "n_contact"]].loc[["vip", "lounge"]].isna().all(axis=None)
    assert table.loc["support", "n_contact"] == 400


def test_stages_are_a_mapping():
    log = cx.CustomerLog.from_frames(interactions=calls(IDS[:40]))
    with pytest.raises(ConfigError, match="expected a mapping of touchpoint to stage"):
        cx.touchpoint_table(log, stages=["support"], until="2024-01-01")
