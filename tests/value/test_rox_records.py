"""ROX and what records lack: answers that never came, missing costs, tables that end early."""

from dataclasses import replace

import ibis
import numpy as np
import pandas as pd
import pytest

import cxpredict as cx
from cxpredict.errors import DataError
from cxpredict.value.rox import return_on_experience
from cxpredict.value.rox.answers import log_economics
from cxpredict.value.rox.effects import effect_of_test
from cxpredict.value.rox.growth import log_earned_growth
from cxpredict.value.rox.improvements import AnswerWithin, RaiseScore, ShareShift, TestedEffect
from cxpredict.value.rox.occasions import _occasions, measure_effect
from cxpredict.value.rox.outcomes import Outcomes

CHURN = cx.ChurnProblem(cancelled="cancellation", horizon_days=90)
OUTCOMES = Outcomes(CHURN, period_days=90)
VALUED = {"cost": 1_000.0, "horizon_periods": 4, "discount_rate": 0.0}
TEST = TestedEffect(retention=(0.01, 0.005))


@pytest.fixture(scope="module")
def log(company):
    return company.log


def changed(log, name, rows):
    """Give the log with other rows in a table."""
    return replace(log, **{name: rows})


def small(interactions, **tables):
    rows = pd.DataFrame(interactions).assign(
        occurred_at=lambda x: pd.to_datetime(x["occurred_at"], format="ISO8601")
    )
    return cx.CustomerLog.from_frames(interactions=rows, **tables)


# unanswered requests and silence


def test_requests_that_are_never_answered_are_late():
    # 5 h is in time, 30 h is late, none for months is late; of 30 June nobody knows on 1 July.
    log = small(
        {
            "customer_id": list("abcd"),
            "occurred_at": ["2024-01-01", "2024-01-02", "2024-01-03", "2024-06-30T12:00"],
            "kind": "request",
            "value": [5.0, 30.0, None, None],
        }
    )
    answer = AnswerWithin(hours=24, share=0.9, kind="request")
    found = _occasions(log, answer, pd.Timestamp("2024-07-01"))
    assert found["dose"].fillna(-1).tolist() == [1.0, 0.0, 0.0, -1.0]


def test_customers_who_leave_before_the_answer_do_not_turn_the_effect(log):
    answer = AnswerWithin(hours=24, share=0.99, kind="service_request")
    sales, rows = log.transactions, log.interactions
    gone = sales.filter(sales.kind == "cancellation").group_by("customer_id")
    rows = rows.left_join(gone.agg(left=sales.occurred_at.min()), "customer_id")
    late = (rows.kind == "service_request") & (rows.value > 24)
    soon = late & (rows.left < rows.occurred_at + ibis.interval(days=40))
    assert rows.filter(soon).count().execute() > 50
    rows = rows.mutate(value=soon.fill_null(False).ifelse(None, rows.value))
    lacking = changed(log, "interactions", rows.select(log.interactions.columns).cache())
    full, lacking = (measure_effect(each, answer, OUTCOMES) for each in (log, lacking))
    assert (lacking.dose, lacking.reach) == (full.dose, full.reach)
    assert lacking.unadjusted.tolist() == full.unadjusted.tolist()
    # hours of earlier requests are a covariate of the first only, so that these differ a little
    error = full.table()["adjusted_se"][0]
    assert lacking.adjusted[0] == pytest.approx(full.adjusted[0], abs=error)


def test_who_does_not_answer_is_not_reached_and_scores_end_at_the_top(log):
    raised = RaiseScore(metric="csat", points=1)
    rows = log.feedback
    answered = changed(log, "feedback", rows.filter(rows.score.notnull()))
    every, some = (measure_effect(each, raised, OUTCOMES) for each in (log, answered))
    assert every.reach == some.reach
    assert every.adjusted.tolist() == some.adjusted.tolist()
    latest = rows.filter(rows.metric == "csat", rows.occurred_at > pd.Timestamp("2025-10-03"))
    scores = latest.filter(rows.score.notnull()).score.to_pandas()
    assert every.dose == pytest.approx((scores < 5).mean())  # one point, at 5 none
    with pytest.raises(DataError, match="end at 5; expected at most"):
        measure_effect(log, RaiseScore(metric="csat", points=3), OUTCOMES)
    for metric in ("CSAT", "foo", None):
        with pytest.raises(DataError, match="nps, csat or ces"):
            RaiseScore(metric=metric, points=1)


# a world whose truth is known, through the log


def asking(n, seed):
    """Draw a log: who is answered late in March leaves with 30 %, others with 10 %."""
    rng = np.random.default_rng(seed)
    who = np.array([f"c{i}" for i in range(n)])
    asks, late, again = rng.random((3, n)) < 0.5
    first = asks & (rng.random(n) < np.where(late, 0.3, 0.1))
    second = ~first & (rng.random(n) < 0.1)
    day = pd.Timestamp
    left = pd.Series(day("2024-06-01"), range(n)).mask(first, day("2024-03-31"))
    left = left.mask(~(first | second))
    months = pd.DatetimeIndex([f"2024-{m:02d}-02" for m in range(1, 7)] + ["2024-06-27"])
    sales = pd.DataFrame({"who": np.repeat(np.arange(n), 7), "at": np.tile(months, n)})
    sales = sales[~(sales["at"] > sales["who"].map(left))]
    gone = np.flatnonzero(left.notna())
    transactions = pd.DataFrame(
        {
            "customer_id": who[np.append(sales["who"], gone)],
            "occurred_at": pd.concat([sales["at"], left[gone]]),
            "kind": ["renewal"] * len(sales) + ["cancellation"] * len(gone),
            "margin": 0.0,
            "amount": 0.0,
        }
    )
    transactions.loc[transactions["kind"].eq("renewal"), "margin"] = 10.0
    march, may = np.flatnonzero(asks), np.flatnonzero(again & ~first)
    requests = pd.DataFrame(
        {
            "customer_id": who[np.append(march, may)],
            "occurred_at": [day("2024-03-01")] * len(march) + [day("2024-05-15")] * len(may),
            "kind": "request",
            "value": np.where(late, 50.0, 5.0)[np.append(march, may)],
        }
    )
    log = cx.CustomerLog.from_frames(
        customers=pd.DataFrame({"customer_id": who, "size": rng.random(n)}),
        transactions=transactions,
        interactions=requests,
        observed_until=day("2024-07-01").date(),
    )
    there = ~first
    return log, (again & there).sum() / there.sum(), 0.9 - (~late)[may].mean()


def test_answers_in_time_of_a_log_with_known_truth():
    log, reach, step = asking(2_500, 3)
    answer = AnswerWithin(hours=24, share=0.9, kind="request")
    found = measure_effect(log, answer, Outcomes(CHURN, period_days=60))
    assert found.reach == pytest.approx(reach)
    assert found.dose == pytest.approx(step)
    # means become E[R] + λ·d·θ with θ = .3 − .1
    table = found.table()
    truth = reach * step * 0.2
    assert abs(table["adjusted"][0] - truth) < 3 * table["adjusted_se"][0]
    assert table["adjusted_se"][0] < truth / 3
    assert table["baseline"][0] == pytest.approx(0.9, abs=0.02)


def test_a_test_of_retention_and_margin_is_not_counted_twice():
    # Everyone brings 100 in a full period and half when leaving: E[M] = 100·(1 + r) / 2, so that
    # retention .90 → .95 raises it by 2.5, and spending while there does not change at all.
    base = pd.DataFrame({"retained": np.repeat([1.0, 0.0], [90_000, 10_000])})
    base["margin"] = np.where(base["retained"] == 1, 100.0, 50.0)
    both = effect_of_test(base, {"retention": (0.05, 0.01), "margin": (2.5, 1.0)})
    assert both.adjusted == pytest.approx([0.05, 0.0])
    # d(M / p) = dM / p − M / p² · dR / 2 at p = .975, M = 97.5; here money and staying are one
    error = 1.0 / 0.975 - 97.5 / 0.975**2 / 2 * 0.01
    assert both.table()["adjusted_se"][1] == pytest.approx(error, rel=0.02)
    alone = effect_of_test(base, {"retention": (0.05, 0.01)})
    assert alone.adjusted == pytest.approx([0.05, 0.0])  # money keeps its level while there
    spend = effect_of_test(base, {"margin": (2.5, 1.0)})
    assert spend.adjusted == pytest.approx([0.0, 2.5 / 0.95])
    truth = sum((0.95**t - 0.9**t + 0.95 ** (t - 1) - 0.9 ** (t - 1)) / 2 for t in range(1, 5))
    for effect in (both, alone):
        rox = return_on_experience(effect, **VALUED, customers=1_000, period_months=3)
        assert rox.benefit == pytest.approx(1_000 * 100 * truth, rel=1e-6)


# records that lack something


def test_money_after_leaving_does_not_count(log):
    sales = log.transactions
    refunds = sales.filter(sales.kind == "cancellation").mutate(
        kind=ibis.literal("refund"),
        margin=ibis.literal(-300.0),
        occurred_at=sales.occurred_at + ibis.interval(days=5),
    )
    with_refunds = ibis.union(sales, refunds.cast(sales.schema()), distinct=False)
    plain, refunded = (
        measure_effect(each, TEST, OUTCOMES)
        for each in (log, changed(log, "transactions", with_refunds))
    )
    assert refunded.baseline.tolist() == plain.baseline.tolist()


def test_tables_that_end_early_are_refused(log):
    sales, rows = log.transactions, log.interactions
    short = sales.filter(
        (sales.occurred_at < pd.Timestamp("2025-08-01")) | (sales.kind == "cancellation")
    )
    with pytest.raises(DataError, match="transactions: the last is of 2025-07"):
        measure_effect(changed(log, "transactions", short), TEST, OUTCOMES)
    short = rows.filter(
        (rows.occurred_at < pd.Timestamp("2025-06-01")) | (rows.kind != "service_request")
    )
    priced = replace(OUTCOMES, prices={"service_request": 8.0})
    with pytest.raises(DataError, match="'service_request': the last is of 2025-05"):
        log_economics(changed(log, "interactions", short), priced)


def test_growth_of_a_year_with_a_month_missing_is_refused(log):
    sales, at = log.transactions, log.transactions.occurred_at
    given = {"until": "2026-01-01", "column": "acquisition", "earned": ["referral"]}
    log_earned_growth(log, **given)
    for rows, told in (
        (at < pd.Timestamp("2025-12-03"), "the last is of 2025-12-02"),
        (at >= pd.Timestamp("2024-01-25"), "the first is of 2024-01-2"),
    ):
        with pytest.raises(DataError, match=told):
            log_earned_growth(changed(log, "transactions", sales.filter(rows)), **given)
    shorter = replace(log, observed_until=pd.Timestamp("2025-12-20").date())
    with pytest.raises(DataError, match="until 2025-12-20 only"):
        log_earned_growth(shorter, **given)


def test_a_missing_cost_of_a_contact_is_refused(log):
    rows = log.contacts
    lacking = rows.mutate(cost=ibis.null("float64"))
    missing = rows.filter(rows.arm == "treated").count().execute()
    counted = replace(OUTCOMES, contact_costs=True)
    with pytest.raises(DataError, match=f"{missing:,} contacts of treated customers carry no cost"):
        measure_effect(changed(log, "contacts", lacking), TEST, counted)


def test_customers_who_weigh_differently_are_refused(log):
    rows = log.customers
    weighted = rows.mutate(weight=(rows.segment == "family").ifelse(9.0, 1.0))
    with pytest.raises(DataError, match="weigh differently"):
        measure_effect(changed(log, "customers", weighted), TEST, OUTCOMES)


def test_attributes_to_exclude_are_checked(log):
    with pytest.raises(DataError, match="no column 'segmnt', did you mean 'segment'"):
        measure_effect(log, TEST, replace(OUTCOMES, exclude=("segmnt",)))
    for wrong in ("segment", None, 5):
        with pytest.raises(DataError, match="exclude: expected a list"):
            replace(OUTCOMES, exclude=wrong)


def test_a_log_that_does_not_say_until_when_it_was_observed(log):
    unsaid = replace(log, observed_until=None)
    answer = AnswerWithin(hours=24, share=0.99, kind="service_request")
    assert OUTCOMES.ends(unsaid) == log.transactions.occurred_at.max().execute()
    for improvement in (answer, TEST):
        rox = return_on_experience(unsaid, improvement=improvement, outcomes=OUTCOMES, **VALUED)
        assert np.isfinite(rox.net)


def test_a_log_of_customers_only_is_refused():
    bare = cx.CustomerLog.from_frames(customers=pd.DataFrame({"customer_id": ["a", "b"]}))
    for improvement in (TEST, ShareShift(detractor=-0.05, passive=0.05)):
        with pytest.raises(DataError, match="is of kind 'cancellation'"):
            return_on_experience(bare, improvement=improvement, outcomes=OUTCOMES, **VALUED)


# settings


@pytest.mark.parametrize(
    "change",
    [
        {"period_days": "90"},
        {"period_days": None},
        {"period_days": 10**9},
        {"prices": [6.0]},
        {"prices": None},
        {"prices": {"call": "6"}},
        {"margin_rate": [0.1, 0.2]},
        {"revenue_column": "plan", "revenue_days": -30, "margin_rate": 0.5},
        {"revenue_column": "plan", "revenue_days": 0, "margin_rate": 0.5},
        {"churn": None},
    ],
)
def test_settings_of_outcomes_that_are_none_are_refused(change):
    with pytest.raises(DataError, match=next(name for name in change if name != "revenue_column")):
        Outcomes(**({"churn": CHURN, "period_days": 90} | change))


TABLE = pd.DataFrame(
    {"retention": [0.9, 0.8], "margin": [100.0, 80.0]}, index=["passive", "detractor"]
)
SHIFT = {"detractor": -0.05, "passive": 0.05}
GIVEN = VALUED | {
    "customers": 1_000, "shift": SHIFT, "evidence": "assumed", "period_months": 3, "payment": "end",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("horizon_periods", 2.5),
        ("horizon_periods", "4"),
        ("horizon_periods", float("nan")),
        ("horizon_periods", -1),
        ("discount_rate", "10%"),
        ("discount_rate", [0.1]),
        ("period_months", [3, 4]),
        ("customers", [1, 2]),
        ("customers", 10**400),
        ("level", "0.95"),
        ("level", None),
        ("random_state", "a"),
        ("evidence", ["assumed"]),
        ("evidence", 5),
        ("covariance", np.eye(4)),
        ("shift", [("a", 1)]),
        ("shift", pd.Series(SHIFT)),
        ("payment", ["end"]),
    ],
)
def test_settings_that_are_none_are_refused_by_name(name, value):
    with pytest.raises(DataError, match=rf"^{name}"):
        return_on_experience(TABLE, **(GIVEN | {name: value}))


@pytest.mark.parametrize(
    ("table", "change", "told"),
    [
        (pd.concat([TABLE, TABLE], axis=1), {}, "every column once"),
        (TABLE.assign(share=["a", "b"]), {}, "economics.share"),
        (TABLE.assign(margin_se=1e308), {}, "economics.margin_se"),
        (TABLE, {"shift": {1: -0.05, "passive": 0.05}}, "without: \\[1\\]"),
    ],
)
def test_tables_that_cannot_be_valued_are_refused(table, change, told):
    with pytest.raises(DataError, match=told):
        return_on_experience(table, **(GIVEN | change))


def test_improvements_and_outcomes_of_another_kind_are_refused(log):
    for change, told in (
        ({"improvement": "shift", "outcomes": OUTCOMES}, "improvement: expected ShareShift"),
        ({"improvement": TEST, "outcomes": {}}, "outcomes: expected Outcomes"),
    ):
        with pytest.raises(DataError, match=told):
            return_on_experience(log, **VALUED, **change)


def test_payback_starts_with_the_first_cost():
    # 50 move a period, each worth far more than the cost: paid back where it is paid, at 3 months.
    rox = return_on_experience(TABLE, **(GIVEN | {"cost": [0.0, 300.0, 200.0]}))
    assert rox.payback_months == 3.0


def test_two_estimates_can_be_compared():
    first, second = (return_on_experience(TABLE, **GIVEN) for _ in range(2))
    assert first != second
    assert first == first
