import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError, EmptyDataError
from cxpredict.features.aggregates import default_aggregates
from cxpredict.features.build import build_features
from cxpredict.features.origin import Origin, origins_of

AS_OF = pd.Timestamp("2024-03-01")


def at(*customers, as_of=AS_OF):
    return pd.MultiIndex.from_tuples(
        [(c, as_of) for c in customers], names=["customer_id", "as_of"]
    )


def interactions(*rows):
    frame = pd.DataFrame(rows, columns=["customer_id", "occurred_at", "value"])
    return frame.assign(kind="call", channel="phone")


def feature(log, origin, index):
    return build_features(log, index, aggregates=[origin])[origin.name].tolist()


CALLS = (("kind", "call"),)


@pytest.fixture(scope="module")
def calls():
    """Customer a: calls 60, 40, 20 and 10 days before the date, one at it; b: one call; c: none."""
    days = {60: 1.0, 40: 2.0, 20: 4.0, 10: 8.0, 0: 99.0}
    rows = [("a", AS_OF - pd.Timedelta(days=d), v) for d, v in days.items()]
    rows.append(("b", AS_OF - pd.Timedelta(days=30), 5.0))
    return CustomerLog.from_frames(interactions=interactions(*rows))


@pytest.mark.parametrize(
    ("measure", "column", "window", "expected"),
    [
        ("count", "", None, [4, 1, 0]),
        ("count", "", 30, [2, 1, 0]),  # a window of 30 days holds the record 30 days before
        ("count", "", 29, [2, 0, 0]),
        ("sum", "value", 40, [14, 5, 0]),
        ("mean", "value", None, [15 / 4, 5, None]),
        ("max", "value", None, [8, 5, None]),
        ("last", "value", None, [8, 5, None]),
        ("change", "value", None, [4, None, None]),
        ("days_since", "", None, [10, 30, None]),
        ("days", "", None, [4, 1, 0]),
        ("mean_gap", "", None, [50 / 3, None, None]),
        ("overdue", "", None, [10 / (50 / 3), None, None]),
        ("share", "", 30, [1, 1, None]),
        # last 20 days 12, last 60 days 15, a third of which is 5
        ("trend", "value", 20, [12 / 5, 0, None]),
    ],
)
def test_each_measure_on_a_hand_computed_case(calls, measure, column, window, expected):
    found = feature(
        calls, Origin("interactions", measure, column, CALLS, window), at("a", "b", "c")
    )
    np.testing.assert_allclose(found, [np.nan if e is None else e for e in expected], rtol=1e-12)


def test_a_record_counts_only_when_it_occurred_and_was_known_before_the_date():
    rows = pd.DataFrame(
        {
            "customer_id": "a",
            "occurred_at": ["2024-02-01", "2024-02-01", "2024-02-01", "2024-03-01"],
            "known_at": ["2024-02-29 23:59:59", "2024-03-01", "2024-04-01", "2024-02-01"],
            "kind": "call",
        }
    )
    log = CustomerLog.from_frames(interactions=rows)
    assert feature(log, Origin("interactions", "count", "", CALLS), at("a")) == [1]


def test_scores_and_silence():
    rows = pd.DataFrame(
        {
            "customer_id": "a",
            "occurred_at": ["2024-01-01", "2024-02-01", "2024-02-10"],
            "invited_at": ["2024-01-01", "2024-02-01", "2024-02-10"],
            "metric": "nps",
            "score": [9, 3, None],
        }
    )
    log = CustomerLog.from_frames(feedback=rows)
    nps = (("metric", "nps"),)
    found = {
        measure: feature(log, Origin("feedback", measure, "score", nps), at("a"))[0]
        for measure in ("last", "mean", "change")
    }
    assert found == {"last": 3, "mean": 6, "change": -6}
    assert feature(log, Origin("feedback", "unanswered", "", nps, 30), at("a")) == [1]
    assert feature(log, Origin("feedback", "days_since", "", nps), at("a")) == [29]


def test_attributes_tenure_and_exclusion():
    customers = pd.DataFrame(
        {
            "customer_id": ["a", "b"],
            "since": ["2024-02-01", "2024-04-01"],
            "plan": ["basic", None],
            "left": [1, 0],
        }
    )
    log = CustomerLog.from_frames(customers=customers)
    X = build_features(log, at("b", "a"), exclude=["left"])
    assert X.columns.tolist() == ["plan", "tenure_days"]
    assert X["plan"].dtype == "category"
    np.testing.assert_equal(X["tenure_days"].tolist(), [np.nan, 29.0])
    assert origins_of(X)["tenure_days"].measure == "tenure"


def test_rows_come_in_the_order_of_the_index(calls):
    count = Origin("interactions", "count", "", CALLS)
    index = at("c", "a", "b").append(at("a", as_of=AS_OF - pd.Timedelta(days=30)))
    X = build_features(calls, index, aggregates=[count])
    pd.testing.assert_index_equal(X.index, index)
    assert X[count.name].tolist() == [0, 4, 1, 2]


def test_an_index_of_another_form_is_refused(calls):
    with pytest.raises(EmptyDataError):
        build_features(calls, at("a")[:0])
    with pytest.raises(DataError, match="twice"):
        build_features(calls, at("a", "a"))
    with pytest.raises(DataError, match="customer_id"):
        build_features(calls, pd.MultiIndex.from_tuples([("a", AS_OF)], names=["id", "day"]))


def test_origins_survive_json(company):
    aggregates = default_aggregates(company.log, until=pd.Timestamp("2025-06-01"))
    texts = json.loads(json.dumps([origin.to_dict() for origin in aggregates]))
    assert [Origin.from_dict(fields) for fields in texts] == aggregates
    names = [origin.name for origin in aggregates]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


def test_kinds_that_appear_later_give_no_feature_earlier():
    days = pd.date_range("2024-01-01", periods=80, freq="D")
    rows = pd.DataFrame({"customer_id": "a", "occurred_at": days, "kind": "call"})
    rows.loc[40:, "kind"] = "chat"
    log = CustomerLog.from_frames(interactions=rows)
    kinds = {dict(o.filters).get("kind") for o in default_aggregates(log, until=days[40])}
    assert kinds == {"call"}


@pytest.fixture(scope="module")
def small_company(company):
    """Twenty customers' records as plain frames."""
    ids = sorted(company.log.customers.to_pandas().customer_id)[:20]
    frames = {name: table.to_pandas() for name, table in company.log.table.items()}
    return {name: f[f.customer_id.isin(ids)].reset_index(drop=True) for name, f in frames.items()}


EVENTS = ["interactions", "feedback", "transactions"]


LATER = pd.Timestamp("2025-03-01")


@pytest.fixture(scope="module")
def before(small_company):
    """The aggregates and features of the twenty customers at a date."""
    log = CustomerLog.from_frames(**small_company)
    aggregates = default_aggregates(log, until=LATER)
    index = at(*small_company["customers"].customer_id, as_of=LATER)
    return aggregates, build_features(log, index, aggregates=aggregates)


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**6), table=st.sampled_from(EVENTS), drop=st.booleans())
def test_nothing_that_happens_or_becomes_known_later_changes_a_feature(
    small_company, before, seed, table, drop
):
    aggregates, features = before
    events = small_company[table].copy()
    later = ((events.occurred_at >= LATER) | (events.known_at >= LATER)).to_numpy()
    assert later.any()
    rng = np.random.default_rng(seed)
    if drop:
        events = events[~later | (rng.random(len(events)) < 0.5)]
    else:
        for column in events.columns.difference(["occurred_at", "known_at", "customer_id"]):
            events.loc[later, column] = rng.permutation(events.loc[later, column].to_numpy())
        events = events.sample(frac=1, random_state=seed)
    other = CustomerLog.from_frames(**{**small_company, table: events}, max_reject_share=1)
    assert default_aggregates(other, until=LATER) == aggregates
    after = build_features(other, features.index, aggregates=aggregates)
    pd.testing.assert_frame_equal(features, after, check_exact=True)


def test_an_invitation_counts_as_unanswered_when_no_answer_is_to_be_expected_any_more():
    rows = pd.DataFrame(
        {
            "customer_id": ["a", "b", "c", "d", "e"],
            "invited_at": ["2024-02-20"] * 3 + ["2024-02-16", "2024-02-15"],
            "occurred_at": ["2024-03-05", "2024-02-20", "2024-02-21", "2024-02-16", "2024-02-15"],
            "metric": "nps",
            "score": [9, None, 8, None, None],
        }
    )
    log = CustomerLog.from_frames(feedback=rows)
    origin = Origin("feedback", "unanswered", "", (("metric", "nps"),), 30)
    # a will answer and b never will: at the date, both are open, and nobody can tell them apart
    assert feature(log, origin, at("a", "b", "c", "d", "e")) == [0, 0, 0, 0, 1]


def test_features_of_kinds_with_equal_or_foreign_names_stay_apart():
    days = pd.date_range("2023-12-01", periods=40)
    kinds = ["Web Visit", "web-visit", "购买", "purchase"]
    rows = pd.concat(
        pd.DataFrame({"customer_id": kind, "occurred_at": days, "kind": kind}) for kind in kinds
    )
    sales = pd.DataFrame(
        {"customer_id": "x", "occurred_at": days, "amount": 1.0, "kind": "purchase"}
    )
    profile = pd.DataFrame({"customer_id": [*kinds, "x"], "purchase_count": 77.0})
    log = CustomerLog.from_frames(interactions=rows, transactions=sales, customers=profile)
    X = build_features(log, at(*kinds, "x"))
    assert X.columns.is_unique
    counts = {name: o for name, o in origins_of(X).items() if o.measure == "count"}
    for kind in kinds:
        mine = [n for n, o in counts.items() if o.filters == (("kind", kind),)]
        assert any(X.loc[(kind, AS_OF), name] > 0 for name in mine), kind
    assert (X["purchase_count"] == 77).all()
    with pytest.raises(DataError, match="purchase_count"):
        build_features(
            log, at("x"), aggregates=[Origin("transactions", "count", "", (("kind", "purchase"),))]
        )


def sixty_complaints():
    days = pd.date_range("2024-01-01", periods=60)
    return pd.DataFrame({"customer_id": "a", "kind": "complaint", "occurred_at": days})


def test_names_that_differ_only_in_the_case_of_letters_stay_apart():
    profile = pd.DataFrame({"customer_id": ["a", "b"], "Complaint_Count_30d": [99.0, 98.0]})
    log = CustomerLog.from_frames(customers=profile, interactions=sixty_complaints())
    X = build_features(log, at("a", "b"))
    assert X["Complaint_Count_30d"].tolist() == [99, 98]
    assert X["interactions_complaint_count_30d"].tolist() == [30, 0]
    count = Origin("interactions", "count", alias="N")
    for alias in ("n", "_row", "AS_OF", "as_of_right"):
        other = Origin("interactions", "days", alias=alias)
        with pytest.raises(DataError, match="names of their own"):
            build_features(log, at("a"), aggregates=[count, other])
    for column in ("AS_OF", "Tenure_Days", "_row"):
        with pytest.raises((ConfigError, DataError), match="reserved"):
            CustomerLog.from_frames(customers=profile.assign(**{column: 1}))
    with pytest.raises(DataError, match="case of letters"):
        CustomerLog.from_frames(customers=profile.assign(age=1, Age=2))


def test_the_list_of_features_does_not_see_later_corrections():
    base = sixty_complaints().head(30)
    base = base.assign(event_id=[f"e{n}" for n in range(30)], known_at=base.occurred_at)
    fix = base.head(1).assign(known_at=pd.Timestamp("2024-06-01"), kind="praise")
    logs = [CustomerLog.from_frames(interactions=f) for f in (base, pd.concat([base, fix]))]
    before, after = (default_aggregates(log, until=AS_OF) for log in logs)
    assert before == after
    assert len(before) == 4


def test_what_came_of_a_contact_is_no_feature():
    rows = pd.DataFrame(
        {
            "customer_id": ["a"],
            "occurred_at": ["2024-02-01"],
            "action": "call",
            "arm": "treated",
            "outcome_at": ["2024-05-01"],
            "outcome": ["accepted"],
        }
    )
    log = CustomerLog.from_frames(contacts=rows)
    with pytest.raises(DataError, match="contacts has no column 'outcome'"):
        feature(log, Origin("contacts", "count", "", (("outcome", "accepted"),)), at("a"))
    assert feature(log, Origin("contacts", "count"), at("a")) == [1]


def test_a_log_that_offers_nothing_gives_no_features(calls):
    for aggregates in ([], None):
        assert build_features(calls, at("a", "b"), aggregates=aggregates).shape == (2, 0)


def test_an_index_may_name_its_zone_and_must_be_whole(calls):
    count = Origin("interactions", "count", "", CALLS)
    zoned = at("a", as_of=pd.Timestamp("2024-03-01 01:00", tz="Europe/Berlin"))
    assert feature(calls, count, zoned) == [4]
    texts = pd.MultiIndex.from_tuples([("a", "2024-03-01")], names=["customer_id", "as_of"])
    assert feature(calls, count, texts) == [4]
    for wrong, words in (
        (at("a", as_of=pd.NaT), "missing"),
        (at(None), "missing"),
        (at(7.0), "decimal"),
        (at("a", as_of="soon"), "expected dates"),
        (["a"], "list"),
    ):
        with pytest.raises(DataError, match=words):
            build_features(calls, wrong, aggregates=[count])


def test_exact_even_for_the_smallest_values():
    rows = interactions(*[("a", AS_OF - pd.Timedelta(days=d), 1e-14) for d in range(1, 5)])
    found = feature(
        CustomerLog.from_frames(interactions=rows), Origin("interactions", "sum", "value"), at("a")
    )
    assert found == [pytest.approx(4e-14, abs=1e-15)]
