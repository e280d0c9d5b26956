"""ROX from a log: what counts, improvements, costs over time, what is refused."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

import cxpredict as cx
from cxpredict.errors import DataError
from cxpredict.value.rox import return_on_experience
from cxpredict.value.rox.effects import ARMS, effect_of
from cxpredict.value.rox.improvements import AnswerWithin, RaiseScore, ShareShift, TestedEffect
from cxpredict.value.rox.occasions import measure_effect
from cxpredict.value.rox.outcomes import Outcomes

CHURN = cx.ChurnProblem(cancelled="cancellation", horizon_days=60)
PRICES = {"service_request": 5.0, "complaint": 8.0}
WORD = {"referral": "referral", "conversion": 0.1, "new_customer_value": 300.0}
VALUED = {"cost": 5_000.0, "horizon_periods": 4, "discount_rate": 0.02}
GROUPS = pd.DataFrame(
    {
        "retention": [0.9, 0.8, 0.6],
        "margin": [120.0, 100.0, 80.0],
        "cost_to_serve": [10.0, 20.0, 40.0],
    },
    index=["promoter", "passive", "detractor"],
)
TABLE = {
    "shift": {"detractor": -0.05, "passive": 0.05},
    "customers": 10_000,
    "evidence": "assumed",
    "period_months": 6,
    "horizon_periods": 2,
    "discount_rate": 0.1,
    "payment": "end",
}


@cache
def little_log():
    """Customer a stays, b leaves on 20 February; both are looked at from 1 February on."""
    day = pd.Timestamp
    return cx.CustomerLog.from_frames(
        customers=pd.DataFrame({"customer_id": ["a", "b"], "plan": [30.0, 60.0]}),
        transactions=pd.DataFrame(
            {
                "customer_id": ["a", "a", "a", "b", "b"],
                "occurred_at": [day(f"2024-{d}") for d in ("02-01", "02-10", "03-02", "02-05")]
                + [day("2024-02-20")],
                "amount": [1_000.0, 50.0, 70.0, 40.0, 0.0],
                "margin": [500.0, 20.0, 30.0, None, 0.0],
                "kind": ["renewal", "renewal", "renewal", "renewal", "cancellation"],
            }
        ),
        interactions=pd.DataFrame(
            {
                "customer_id": ["a", "a", "b", "b", "a"],
                "occurred_at": [day(f"2024-02-{d}") for d in (3, 4, 6, 7)] + [day("2024-05-01")],
                "kind": ["call", "referral", "call", "call", "call"],
            }
        ),
        contacts=pd.DataFrame(
            {
                "customer_id": ["a", "b"],
                "occurred_at": [day("2024-02-08")] * 2,
                "action": "call",
                "arm": ["treated", "held_out"],
                "cost": [12.0, 12.0],
            }
        ),
        observed_until=day("2024-06-01").date(),
    )


def rows():
    pairs = [("a", pd.Timestamp("2024-02-01")), ("b", pd.Timestamp("2024-02-01"))]
    return pd.MultiIndex.from_tuples(pairs, names=["customer_id", "as_of"])


def test_outcomes_by_hand():
    outcomes = Outcomes(
        CHURN, period_days=30, margin_rate=0.5, prices={"call": 6.0}, contact_costs=True,
        referral="referral", conversion=0.2, new_customer_value=100.0,
    )  # fmt: skip
    frame = outcomes.after(little_log(), rows())
    # the renewal at the moment itself is not after it; 2 March is day 30; 40 x .5, no margin given
    assert frame["retained"].tolist() == [True, False]
    assert frame["margin"].tolist() == [50.0, 20.0]
    assert frame["cost_to_serve"].tolist() == [6.0 + 12.0, 12.0]
    assert frame["referral_value"].tolist() == [20.0, 0.0]


def test_revenue_of_a_column_counts_by_half_for_who_left():
    outcomes = Outcomes(CHURN, 30, margin_rate=0.5, revenue_column="plan", revenue_days=15)
    frame = outcomes.after(little_log(), rows())
    assert frame["margin"].tolist() == [30.0 * 0.5 * 2, 60.0 * 0.5 * 2 / 2]
    assert outcomes.counted == ["margin"]
    assert set(outcomes.absent) == {"cost_to_serve", "referral_value"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"period_days": 0}, "period_days"),
        ({"prices": {"call": -1.0}}, "prices"),
        ({"revenue_column": "plan"}, "both or neither"),
        ({"revenue_column": "plan", "revenue_days": 30}, "margin_rate"),
        ({"margin_rate": 0.0}, "margin_rate"),
        ({"referral": "referral", "conversion": 0.1}, "all three"),
        ({"churn": cx.ChurnProblem(label="plan")}, "label column"),
        ({"churn": cx.ChurnProblem(inactive="renewal", horizon_days=90)}, "churn horizon, 90"),
    ],
)
def test_outcomes_half_given_are_refused(change, told):
    with pytest.raises(DataError, match=told):
        Outcomes(**({"churn": CHURN, "period_days": 30} | change))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "1 of 5 transactions carry no margin"),
        ({"margin_rate": 0.5, "prices": {"cal": 1.0}}, "no interaction is of kind 'cal'"),
        ({"margin_rate": 0.5, "revenue_column": "plam", "revenue_days": 30}, "no column 'plam'"),
    ],
)
def test_outcomes_that_the_log_has_not_are_refused(change, told):
    with pytest.raises(DataError, match=told):
        Outcomes(CHURN, 30, **change).after(little_log(), rows())


@pytest.fixture(scope="module")
def full():
    return Outcomes(CHURN, 90, prices=PRICES, **WORD)


@pytest.fixture(scope="module")
def shifted(company, full):
    improvement = ShareShift(detractor=-0.05, passive=0.05)
    return return_on_experience(company.log, improvement=improvement, outcomes=full, **VALUED)


def test_four_terms_from_a_log(shifted):
    terms = shifted.terms.set_index("term")
    assert terms.index.tolist() == ["retention", "spend", "cost to serve", "word of mouth"]
    assert terms["evidence"].tolist() == ["adjusted", "adjusted", "adjusted", "assumed"]
    assert shifted.refused == {}
    assert shifted.unadjusted.terms["evidence"].tolist()[0] == "associational"
    # what makes detractors unhappy also drives them away, so that adjusting takes off
    assert terms.loc["retention", "benefit"] < shifted.unadjusted.terms["benefit"][0]


def test_every_answer_counts_not_only_the_last(company, shifted):
    churn = cx.ChurnProblem(cancelled="cancellation", horizon_days=90)
    dates = ["2024-06-01", "2024-12-01", "2025-06-01"]
    index = churn.population(company.log, dates)
    everyone = 1 - churn.labels(company.log, index).mean()
    found = shifted.economics.unadjusted
    answered = (found["share"] * found["retention"]).sum()
    # last answers alone would give .88 here, as whoever left left after the last one
    assert answered == pytest.approx(everyone, abs=0.02)


def test_terms_that_are_not_priced_are_named(company):
    improvement = TestedEffect(retention=(0.02, 0.005))
    rox = return_on_experience(
        company.log, improvement=improvement, outcomes=Outcomes(CHURN, 90), **VALUED
    )
    assert rox.terms["term"].tolist() == ["retention"]
    assert rox.terms["evidence"].tolist() == ["experimental"]
    assert rox.refused["spend"] == "not measured by the test"
    assert "no prices" in rox.refused["cost to serve"]
    assert rox.unadjusted is None
    # 2 points of retention, 4 SE above 0
    assert rox.terms["low"][0] > 0


@pytest.mark.parametrize(
    "improvement",
    [
        AnswerWithin(hours=8, share=0.9, kind="service_request"),
        RaiseScore(metric="csat", points=0.5, touchpoint="support"),
    ],
)
def test_improvements_from_a_log(company, full, improvement):
    rox = return_on_experience(company.log, improvement=improvement, outcomes=full, **VALUED)
    assert rox.interval[0] < rox.net < rox.interval[1]
    assert rox.benefit == pytest.approx(rox.terms["benefit"].sum())
    assert "effect on retention" in rox.tornado["input"].tolist()
    # waits raise the hazard, so that answering sooner keeps customers
    assert rox.terms["benefit"][0] > 0
    assert rox.economics.table()["quantity"].tolist() == rox.economics.quantities


@pytest.mark.parametrize(
    ("improvement", "told"),
    [
        (AnswerWithin(hours=8, share=0.1, kind="service_request"), "already"),
        (AnswerWithin(hours=8, share=0.9, kind="service"), "the log has none"),
        (AnswerWithin(hours=8, share=0.9, kind="complaint"), "none has a value"),
        (RaiseScore(metric="ces", points=1), "the log has none"),
        (TestedEffect(referral_value=(1.0, 0.5)), "does not count|do not count"),
        (TestedEffect(retention=(0.5, 0.5)), "not between 0 and 1"),
    ],
)
def test_what_the_log_cannot_tell_is_refused(company, improvement, told):
    with pytest.raises(DataError, match=told):
        measure_effect(company.log, improvement, Outcomes(CHURN, 90))


def test_effect_by_hand_without_confounding():
    rng = np.random.default_rng(1)
    n = 4_000
    prompt = rng.random(n) < 0.5
    who = pd.Index(np.arange(n), name="customer_id")
    base = pd.DataFrame({"retained": rng.random(n) < 0.8, "margin": 90.0}, index=who)
    after = pd.DataFrame(
        {"retained": rng.random(n) < 0.8 + 0.1 * prompt, "margin": 90.0 + 19.0 * prompt}, index=who
    )
    effect = effect_of(
        base, np.arange(n) < n / 2, after, pd.DataFrame({"noise": rng.random(n)}), prompt,
        step=0.4, what="requests", arms=ARMS, random_state=0,
    )  # fmt: skip
    # reach .5 x step .4 x .1 = .02 of retention; money 90 + .2 x 19 over presence (1 + r) / 2
    r0, r1 = base["retained"].mean(), base["retained"].mean() + 0.02
    assert effect.adjusted[0] == pytest.approx(0.02, abs=3 * 0.2 * np.sqrt(2 * 0.16 / n * 2))
    assert effect.adjusted[1] == pytest.approx(2 * 93.8 / (1 + r1) - 2 * 90.0 / (1 + r0), abs=0.3)
    assert (effect.reach, effect.dose) == (0.5, 0.4)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: AnswerWithin(hours=0, share=0.5, kind="x"), "hours"),
        (lambda: AnswerWithin(hours=24, share=60, kind="x"), r"0\.6 means 60 %"),
        (lambda: RaiseScore(metric="nps", points=0), "points"),
        (lambda: TestedEffect(), "got none"),
        (lambda: TestedEffect(margin=(1.0, 0.0)), "standard error > 0"),
    ],
)
def test_improvements_out_of_range_are_refused(make, told):
    with pytest.raises(DataError, match=told):
        make()


def test_sources_and_settings_that_do_not_go_together_are_refused(company, shifted, full):
    answer = AnswerWithin(hours=8, share=0.9, kind="service_request")
    for source, given, told in (
        (GROUPS, {"improvement": answer, "evidence": "assumed"}, "only a ShareShift"),
        (GROUPS, {"outcomes": full, "shift": TABLE["shift"]}, "goes with a log"),
        (company.log, {"improvement": answer}, "outcomes: needed"),
        (company.log, {"improvement": answer, "evidence": "assumed"}, "go with a table"),
        (shifted.economics, {"shift": TABLE["shift"], "payment": "start"}, "has 'through'"),
        (shifted.economics, {"shift": TABLE["shift"], "period_months": 3}, "customers: needed"),
        (GROUPS, {}, "exactly one of improvement and shift"),
    ):
        with pytest.raises(DataError, match=told):
            return_on_experience(source, **VALUED, **given)


def test_costs_over_time_by_hand():
    rox = return_on_experience(GROUPS, cost=[4_000.0, 3_300.0], **TABLE)
    assert rox.cost == pytest.approx(4_000 + 3_300 / 1.1)
    # benefit after 6 months 500 x (.8 x 80 - .6 x 40) / 1.1 = 18,182 > 4,000 + 3,000
    assert rox.payback_months == 6.0
    late = return_on_experience(GROUPS, cost=[0.0, 0.0, 40_000.0], **TABLE)
    # 18,182 + 500 x (.64 x 80 - .36 x 40) / 1.21 = 33,388 > 33,058: never in debt, so
    # that it is paid back the moment it is paid, after two periods
    assert late.payback_months == 12.0
    never = return_on_experience(GROUPS, cost=[0.0, 0.0, 41_000.0], **TABLE)
    assert never.payback_months is None


def test_money_through_a_period_is_half_of_both_ends():
    common = {**TABLE, "cost": 1.0}
    start, end, through = (
        return_on_experience(GROUPS, **{**common, "payment": payment}).benefit
        for payment in ("start", "end", "through")
    )
    assert through == pytest.approx((start + end) / 2)


def test_waterfall_and_scenarios_by_hand():
    rox = return_on_experience(GROUPS, cost=10_000.0, **TABLE)
    steps = rox.waterfall()
    # 500 detractors bring 40 a period of presence .6 / 1.1 + .36 / 1.21
    before = 500 * 40 * (0.6 / 1.1 + 0.36 / 1.21)
    assert steps["amount"][0] == pytest.approx(before)
    assert steps["end"].iloc[-1] == pytest.approx(before + rox.benefit - 10_000)
    assert steps["start"].iloc[1:-1].tolist() == pytest.approx(steps["end"].iloc[:-2].tolist())
    after = 500 * 80 * (0.8 / 1.1 + 0.64 / 1.21)
    assert before + rox.benefit == pytest.approx(after)
    table = rox.scenarios(realised=[0.5, 1.0], cost_factors=[1.0, 2.0])
    assert len(table) == 4  # no standard errors, so only the estimate
    assert table["npv"].tolist() == pytest.approx(
        [0.5 * rox.benefit - 10_000, 0.5 * rox.benefit - 20_000, rox.npv, rox.npv - 10_000]
    )
    assert rox.break_even_share == pytest.approx(10_000 / rox.benefit)
    at_even = rox.scenarios(realised=[rox.break_even_share])
    assert at_even["net"].tolist() == pytest.approx([0.0])
    with pytest.raises(DataError, match="realised"):
        rox.scenarios(realised=[50])
    with pytest.raises(DataError, match="cost_factors"):
        rox.scenarios(cost_factors=[0.0])


def test_an_uncertain_return_has_scenarios_at_both_ends(shifted):
    table = shifted.scenarios(realised=[1.0]).set_index("effect")["net"]
    assert table["low"] == pytest.approx(shifted.interval[0])
    assert table["high"] == pytest.approx(shifted.interval[1])
    low, high = shifted.payback_interval
    assert low <= high
