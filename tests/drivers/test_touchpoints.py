"""The touchpoint table: by hand, on the simulated company, on a null, on real data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import cxpredict as cx
from cxpredict.drivers.survey.regression import least_squares
from cxpredict.drivers.survey.touchpoint_exposures import covariates, exposures
from cxpredict.drivers.survey.touchpoint_history import season
from cxpredict.errors import ConfigError, DataError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CHURN = cx.ChurnProblem(cancelled="cancellation", horizon_days=90)
STAGES = {
    "awareness": "awareness",
    "consideration": "consideration",
    "decision": "decision",
    "onboarding": "decision",
    "use": "retention",
    "support": "retention",
    "billing": "retention",
    "renewal": "retention",
    "advocacy": "advocacy",
}


def calls(n, day="2024-03-01", touchpoint="support", first=0, **columns):
    ids = [f"c{number}" for number in range(first, first + n)]
    return pd.DataFrame(
        {"customer_id": ids, "occurred_at": day, "kind": "call", "touchpoint": touchpoint} | columns
    )


def scores(values, day="2024-03-01", touchpoint="support", metric="csat"):
    ids = [f"c{number}" for number in range(len(values))]
    return pd.DataFrame(
        {"customer_id": ids, "occurred_at": day, "metric": metric, "score": values}
    ).assign(touchpoint=touchpoint)


def table_of(until="2024-06-01", stages=None, **frames):
    log = cx.CustomerLog.from_frames(**frames)
    return cx.touchpoint_table(log, stages=stages or {}, until=until).set_index("touchpoint")


@pytest.fixture(scope="module")
def table(company):
    return cx.touchpoint_table(
        company.log,
        stages=STAGES,
        until="2026-01-01",
        churn=CHURN,
        as_of=["2024-07-01", "2025-01-01", "2025-07-01"],
    ).set_index("touchpoint")


def test_volume_and_satisfaction_by_hand():
    interactions = pd.concat(
        [
            calls(20),
            calls(20, "2023-04-01"),
            calls(10, "2023-04-02"),
            calls(15, "2022-05-01", "shop"),  # more than two years ago
            calls(12, "2024-06-01"),  # not before the date
            calls(12, "2024-05-01", known_at="2024-06-02"),  # not known before it
        ]
    )
    answers = scores([1, 2, 3, 5] * 6)
    found = table_of(interactions=interactions, feedback=answers).loc["support"]
    assert (found["records"], found["customers"]) == (20, 20)
    # 20 against 30 records: −33.3 %
    assert found["volume_change"] == pytest.approx(-100 / 3)
    assert found["volume_change_low"] < found["volume_change"] < found["volume_change_high"] < 0
    assert (found["metric"], found["n_answers"]) == ("csat", 24)
    # mean 11/4; half of the scores are 1 or 2
    assert found["satisfaction"] == pytest.approx(2.75)
    assert found["low_share"] == 0.5
    # sd of 1, 2, 3, 5 over 24 answers: 6·(1.75² + .75² + .25² + 2.25²)/23 = 2.283; t(23) = 2.069
    width = 2 * 2.069 * np.sqrt(2.283 / 24)
    assert found["satisfaction_high"] - found["satisfaction_low"] == pytest.approx(width, rel=1e-3)
    assert "trend: needs 30 answers" in found["reason"]
    assert "influence: no churn problem given" in found["reason"]
    assert found["evidence"] == ""


def test_the_trend_of_satisfaction_is_per_year():
    # 20 answers of 2, a year later 20 of 5: three points in a year of 365.25 days
    first, second = pd.Timestamp("2023-01-01"), pd.Timestamp("2024-01-01 06:00")
    answers = scores([2] * 20 + [5] * 20, day=[first] * 20 + [second] * 20)
    found = table_of(interactions=calls(40), feedback=answers).loc["support"]
    assert found["satisfaction_trend"] == pytest.approx(3)
    assert found["satisfaction"] == pytest.approx(5)


def test_a_season_is_found_where_there_is_one_and_needs_two_years():
    rng = np.random.default_rng(0)
    days = pd.date_range("2021-01-01", "2024-01-01", inclusive="left")
    wave = 1 + 0.5 * np.cos(2 * np.pi * (days.day_of_year - 196) / 365.25)  # highest in July
    parts = []
    for touchpoint, rate in (("shop", 6 * wave), ("support", 6 + 0 * wave)):
        when = np.repeat(days, rng.poisson(rate))
        ids = [f"c{number}" for number in rng.integers(0, 200, len(when))]
        part = pd.DataFrame({"customer_id": ids, "occurred_at": when, "kind": "visit"})
        parts.append(part.assign(touchpoint=touchpoint))
    log = cx.CustomerLog.from_frames(interactions=pd.concat(parts))
    found = season(log, pd.Timestamp("2024-01-01"))
    assert found.loc["shop", "season_month"] == 7
    assert found.loc["shop", "season_swing"] == pytest.approx(50, abs=8)
    assert found.loc["shop", "season_p_value"] < 1e-6
    assert found.loc["support", "season_p_value"] > 0.01
    short = cx.touchpoint_table(log, stages={}, until="2022-12-31")
    assert short["season_month"].isna().all()
    assert short["reason"].str.contains("season: not known").all()


def test_stages_come_in_the_order_of_the_journey_and_gaps_are_rows():
    stages = {"shop": "decision", "fair": "awareness"}
    frame = pd.concat([calls(20), calls(20, touchpoint="shop")])
    log = cx.CustomerLog.from_frames(interactions=frame)
    table = cx.touchpoint_table(log, stages=stages, until="2024-06-01")
    assert table[["stage", "touchpoint", "records"]].to_numpy().tolist() == [
        ["awareness", "fair", 0],
        ["decision", "shop", 20],
        ["(no stage)", "support", 20],
    ]
    assert "no interactions" in table.loc[0, "reason"]


def test_few_customers_are_suppressed_and_cannot_be_derived():
    frame = pd.concat(
        [calls(5), calls(20, touchpoint="shop"), calls(40, touchpoint="web")], ignore_index=True
    )
    table = table_of(interactions=frame, feedback=scores([1] * 10 + [5] * 20))
    # five customers of support would follow from the total less the other two
    assert table["records"].isna().to_dict() == {"shop": True, "support": True, "web": False}
    assert "suppressed" in table.loc["shop", "reason"]
    only = table_of(interactions=calls(30), feedback=scores([1] * 10))
    assert only["records"].tolist() == [30]
    assert only["n_answers"].isna().all()
    assert only["satisfaction"].isna().all()


def members(n=300):
    """Customers who paid 5 each before and after May; the first 60 of them cancelled in July."""
    ids = [f"c{number}" for number in range(n)]
    paid = pd.DataFrame({"customer_id": ids, "amount": 5.0, "kind": "renewal"})
    left = pd.DataFrame({"customer_id": ids[:60], "amount": 0.0, "kind": "cancellation"})
    parts = [
        paid.assign(occurred_at="2024-02-01"),
        paid.assign(occurred_at="2024-06-01"),
        left.assign(occurred_at="2024-07-01"),
    ]
    return pd.concat(parts, ignore_index=True)


def influence_of(**frames):
    log = cx.CustomerLog.from_frames(
        transactions=members(), observed_until=pd.Timestamp("2024-12-31").date(), **frames
    )
    table = cx.touchpoint_table(log, stages={}, until="2024-06-01", churn=CHURN, as_of="2024-05-01")
    return table.set_index("touchpoint")


def test_an_influence_by_hand():
    # of c0–c99 with contact 60 leave, of the other 200 none: 60 points; all pay 5
    table = influence_of(interactions=calls(100))
    row = table.loc["support"]
    assert row["contact_churn_points"] == pytest.approx(60)
    assert row["contact_spend"] == pytest.approx(0, abs=1e-9)
    assert (row["n_contact"], row["contact_means"]) == (100, "any record")
    # sandwich: √(.6 · .4/100) = .049 of those with contact, 0 of the others
    width = row["contact_churn_points_high"] - row["contact_churn_points_low"]
    assert width == pytest.approx(2 * 1.968 * 4.899, rel=0.02)


def test_low_scores_are_compared_with_others_who_answered():
    # 150 answer, the first 75 low; 60 of these leave: 80 points
    table = influence_of(feedback=scores([1] * 75 + [4] * 75))
    row = table.loc["support"]
    assert row["unhappy_churn_points"] == pytest.approx(80)
    assert row["n_unhappy"] == 75
    assert np.isnan(row["contact_churn_points"])


def test_influences_that_cannot_be_told_are_missing_with_a_reason():
    both = pd.concat([calls(100), calls(100, touchpoint="shop"), calls(20, touchpoint="web")])
    table = influence_of(interactions=both, feedback=scores([1] * 5 + [4] * 195))
    assert table["contact_churn_points"].isna().all()
    assert "cannot be told apart" in table.loc["shop", "reason"]
    assert "fewer than 50 customers" in table.loc["web", "reason"]
    assert pd.isna(table.loc["support", "n_unhappy"])  # five customers are not shown
    assert (table["evidence"] == "").all()


def test_bad_experiences_of_the_company_influence_churn_and_marketing_does_not(table, company):
    # truth: failures (use), waits (support) and price rises drive the hazard; visits do nothing
    assert set(company.truth.drivers.head(2)["driver"]) <= {
        "failures",
        "waiting",
        "dissatisfaction",
    }
    for touchpoint in ("use", "support"):
        assert table.loc[touchpoint, "contact_churn_points_low"] > 0
        assert table.loc[touchpoint, "evidence"] == "associational"
    # 38 of 39 such intervals held 0 in 13 companies; the other one is of this company
    marketing = table.loc[["awareness", "consideration", "decision"]]
    holds_zero = marketing["contact_churn_points_low"] < 0
    assert holds_zero.sum() >= 2
    assert (marketing["contact_churn_points"] < table.loc["use", "contact_churn_points"]).all()
    assert not table.loc["advocacy", "contact_churn_points_low"] > 0
    assert table.loc["use", "contact_means"].startswith("more than")
    assert table.loc["renewal", "contact_means"] == "any record"


def test_the_table_of_the_company_is_whole(table):
    assert table["stage"].tolist()[:3] == ["awareness", "consideration", "decision"]
    assert table["stage"].iloc[-1] == "advocacy"
    assert table["records"].gt(0).all()
    assert table["season_month"].between(1, 12).all()
    assert table.loc["use", "metric"] == "nps"
    assert table.loc["support", "metric"] == "csat"
    for name in ("volume_change", "satisfaction", "contact_churn_points", "contact_spend"):
        known = table[name].notna()
        assert (table[f"{name}_low"][known] <= table[name][known]).all()
        assert (table[name][known] <= table[f"{name}_high"][known]).all()
    missing = table["contact_churn_points"].isna()
    assert table.loc[missing, "reason"].str.contains("contact").all()
    # nearly all newcomers have just been set up: contact with onboarding is being new
    assert "cannot be told apart" in table.loc["onboarding", "reason"]


def test_nothing_after_the_dates_changes_theexposures(company):
    log, day = company.log, pd.Timestamp("2025-01-01")
    index = CHURN.population(log, day)
    frames = {name: table.to_pandas() for name, table in log.table.items()}
    early = {
        name: frame if name == "customers" else frame[frame["known_at"] < day]
        for name, frame in frames.items()
        if len(frame)
    }
    # the customers of today: whoever left since then has been moved to another segment
    left = CHURN.labels(log, index)
    gone = left[left == 1].index.get_level_values("customer_id")
    people = early["customers"]
    early["customers"] = people.assign(
        segment=people["segment"].astype(str).where(~people["customer_id"].isin(gone), "lapsed")
    )
    assert early["customers"]["segment"].eq("lapsed").sum() > 20
    past = cx.CustomerLog.from_frames(**early, observed_until=day.date())
    whole, cut = exposures(log, index, 90), exposures(past, index, 90)
    for name in ("contact", "answered", "unhappy"):
        pd.testing.assert_frame_equal(getattr(whole, name), getattr(cut, name))
    assert np.array_equal(covariates(log, index, 90), covariates(past, index, 90))


def test_shuffled_outcomes_have_no_influence(company):
    index = CHURN.population(company.log, "2025-01-01")
    left = CHURN.labels(company.log, index).fillna(0).to_numpy()
    contact = exposures(company.log, index, 90).contact
    contact = contact.loc[:, contact.mean().between(0.1, 0.9)]
    design = np.column_stack([contact, covariates(company.log, index, 90)])
    rng, everyone, hits = np.random.default_rng(0), np.arange(len(index)), []
    for _ in range(300):
        fit = least_squares(design, rng.permutation(left), everyone, level=0.95)
        hits.append((fit.low <= 0) & (fit.high >= 0))
    covered = np.array(hits)[:, : contact.shape[1]].mean(axis=0)
    assert len(covered) >= 6
    assert covered.mean() == pytest.approx(0.95, abs=0.015)


def test_clustered_errors_by_hand():
    # two customers, rows copied: y = 1, 1 and 3, 3; mean 2, scores −2 and 2, sum of squares 8
    # variance = 8/4² · G/(G−1) · (n−1)/(n−q) = .5 · 2 · 1 = 1; t(1) = 12.706
    y, customers = np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1])
    fit = least_squares(np.ones((4, 1)), y, customers, level=0.95)
    assert fit.estimate[0] == pytest.approx(2)
    assert fit.high[0] - 2 == pytest.approx(12.706, rel=1e-4)


def test_logs_and_arguments_that_have_no_table_are_refused(company):
    log = company.log
    bare = cx.CustomerLog.from_frames(interactions=calls(20, touchpoint=None))
    with pytest.raises(DataError, match="has a touchpoint"):
        cx.touchpoint_table(bare, stages={}, until="2024-06-01")
    for wrong, message in (
        ({"stages": {"use": "loyalty"}}, "found loyalty"),
        ({"churn": CHURN}, "give both"),
        ({"as_of": "2025-01-01"}, "give both"),
        ({"exposure_days": 0}, "expected 1 or more"),
        ({"until": "soon"}, "expected a date"),
        ({"churn": cx.ChurnProblem(label="segment"), "as_of": "2025-01-01"}, "no dates"),
    ):
        with pytest.raises(ConfigError, match=message):
            cx.touchpoint_table(log, **{"stages": STAGES, "until": "2026-01-01"} | wrong)
    with pytest.raises(DataError, match="Choose a date"):
        cx.touchpoint_table(log, stages=STAGES, until="2026-01-01", churn=CHURN, as_of="2025-12-01")


def test_a_log_without_touchpoints_says_so(online_retail):
    with pytest.raises(DataError, match="Map a column to touchpoint"):
        cx.touchpoint_table(online_retail, stages={}, until="2011-12-01")


def test_ravenstack_has_its_three_touchpoints(shared_data):
    log = cx.CustomerLog.open(CONFIGS / "ravenstack.yaml")
    table = cx.touchpoint_table(
        log,
        stages={"product": "retention", "support": "retention", "retention": "retention"},
        until="2025-01-01",
        churn=cx.ChurnProblem(cancelled="churn", horizon_days=90),
        as_of=["2024-04-01", "2024-07-01", "2024-10-01"],
    ).set_index("touchpoint")
    assert table["records"].gt(0).all()
    assert table.loc["support", "metric"] == "csat"
    # who has churned is not there to have had contact with retention
    assert np.isnan(table.loc["retention", "contact_churn_points"])
    assert "no contact and no answer before" in table.loc["retention", "reason"]
    assert "fewer than 50 customers" in table.loc["support", "reason"]  # nobody rates it 1 or 2
    # the data hold next to no signal, and the table does not invent a large one
    known = table["contact_churn_points"].dropna()
    assert known.abs().max() < 15
