"""Declared aggregates, and those that a log offers by itself."""

import pandas as pd
import pytest

import cxpredict as cx
from cxpredict.config.features import FeatureSettings
from cxpredict.config.reading import check_settings
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.aggregates import aggregates_of
from cxpredict.features.origin import MEASURES, Origin

UNTIL = pd.Timestamp("2025-06-01")


def declared(log, *aggregates, defaults=False):
    settings = check_settings(
        FeatureSettings, {"aggregates": list(aggregates), "defaults": defaults}
    )
    return aggregates_of(log, settings, until=UNTIL)


def test_a_short_list_says_measure_table_filter_and_windows(company):
    found = declared(
        company.log,
        {
            "table": "interactions",
            "measure": "count",
            "kind": "complaint",
            "channel": "phone",
            "windows_days": [7, "ever"],
        },
        {"table": "transactions", "measure": "sum", "kind": "renewal", "windows_days": [365]},
        {"table": "interactions", "measure": "distinct", "column": "touchpoint"},
        {"table": "feedback", "measure": "slope", "metric": "nps", "name": "nps_drift"},
    )
    phone = (("kind", "complaint"), ("channel", "phone"))
    assert found == [
        Origin("interactions", "count", "", phone, 7, channel="phone"),
        Origin("interactions", "count", "", phone, None, channel="phone"),
        Origin("transactions", "sum", "amount", (("kind", "renewal"),), 365),
        Origin("interactions", "distinct", "touchpoint"),
        Origin("feedback", "slope", "score", (("metric", "nps"),), alias="nps_drift"),
    ]
    names = [origin.name for origin in found]
    assert names[0] == "complaint_phone_count_7d"
    assert names[2:] == [
        "renewal_amount_sum_365d", "interactions_touchpoint_distinct", "nps_drift",
    ]  # fmt: skip
    index = pd.MultiIndex.from_product(
        [company.log.customers.customer_id.to_pandas(), [UNTIL]], names=["customer_id", "as_of"]
    )
    X = cx.build_features(company.log, index, aggregates=found)
    assert set(names) <= set(X.columns)
    assert X["complaint_phone_count"].sum() > X["complaint_phone_count_7d"].sum() > 0


def test_declared_aggregates_come_beside_the_default_ones_and_each_once(company):
    twice = {
        "table": "interactions", "measure": "count", "kind": "complaint", "windows_days": [30, 11],
    }  # fmt: skip
    found = [origin.name for origin in declared(company.log, twice, defaults=True)]
    assert len(found) == len(set(found))
    assert {"complaint_count_11d", "complaint_count_30d", "usage_mean_30d"} <= set(found)


def test_defaults_cover_what_a_newcomer_would_write(company):
    found = cx.default_aggregates(company.log, until=UNTIL)
    assert {origin.source for origin in found} == {
        "interactions", "feedback", "transactions", "records", "calendar",
    }  # fmt: skip
    used = {origin.measure for origin in found}
    left_to_declare = {"attribute", "tenure", "min", "slope"}
    assert used == set(MEASURES) - left_to_declare
    names = {origin.name for origin in found}
    assert {
        "complaint_count_30d", "nps_last", "renewal_days_since", "renewal_overdue",
        "renewal_gap_std", "phone_share_180d", "service_request_mean_30d", "nps_change",
        "nps_unanswered_180d", "records_days_since", "calendar_month", "failure_sum_30d",
        "interactions_channel_distinct_180d", "complaint_unresolved_count_180d",
    } <= names  # fmt: skip


def test_the_month_is_offered_only_where_a_year_was_seen(company):
    early = cx.default_aggregates(company.log, until=pd.Timestamp("2024-10-01"))
    assert "month" not in {origin.measure for origin in early}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"table": "interaction", "measure": "count"}, "interactions"),
        ({"table": "interactions", "measure": "median"}, "count"),
        ({"table": "interactions", "measure": "distinct"}, "needs 'column'"),
        ({"table": "records", "measure": "sum"}, "needs 'column'"),
        ({"table": "interactions", "measure": "trend"}, "windows_days"),
        ({"table": "interactions", "measure": "unanswered"}, "table must be feedback"),
        (
            {"table": "feedback", "measure": "unanswered", "windows_days": [14]},
            "windows of over 14 days",
        ),
        ({"table": "interactions", "measure": "count", "windows_days": []}, "windows_days"),
        ({"table": "interactions", "measure": "count", "windows_days": [0]}, "greater than"),
        (
            {"table": "interactions", "measure": "count", "windows_days": [1, 2], "name": "n"},
            "one window",
        ),
        ({"table": "interactions", "measure": "count", "kinds": "call"}, "did you mean 'kind'"),
    ],
)
def test_49_a_wrong_declaration_is_named(wrong, words):
    with pytest.raises(ConfigError, match=words):
        check_settings(FeatureSettings, {"aggregates": [wrong]})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("interactions", "median"), "unknown measure 'median'"),
        (("interactions", "sum"), "needs the column"),
        (("interactions", "trend"), "needs window_days"),
        (("interactions", "count", "", (), 0), "window_days of 1 or more"),
        (("feedback", "unanswered", "", (), 14), "window_days of 15 or more"),
    ],
)
def test_an_origin_that_cannot_be_computed_is_refused(fields, words):
    with pytest.raises(ConfigError, match=words):
        Origin(*fields)


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        (Origin("visits", "count"), "no table 'visits'"),
        (Origin("transactions", "sum", "value"), "transactions has no column 'value'"),
        (Origin("feedback", "count", "", (("kind", "call"),)), "feedback has no column 'kind'"),
        (Origin("interactions", "last", "kind"), "needs numbers in interactions.kind"),
        (Origin("feedback", "count", "", (("score", "9"),)), "needs text in feedback.score"),
    ],
)
def test_an_aggregate_of_what_is_not_there_is_named(company, origin, words):
    index = pd.MultiIndex.from_tuples([("C000001", UNTIL)], names=["customer_id", "as_of"])
    with pytest.raises(DataError, match=words):
        cx.build_features(company.log, index, aggregates=[origin])


def test_contacts_can_be_counted_too(company):
    called = Origin("contacts", "count", "", (("arm", "treated"),), 90)
    ids = company.log.customers.customer_id.to_pandas()
    index = pd.MultiIndex.from_product([ids, [UNTIL]], names=["customer_id", "as_of"])
    X = cx.build_features(company.log, index, aggregates=[called])
    rows = company.log.contacts.to_pandas()
    seen = rows[(rows.occurred_at < UNTIL) & (rows.known_at < UNTIL) & (rows.arm == "treated")]
    seen = seen[seen.occurred_at >= UNTIL - pd.Timedelta(days=90)]
    assert X[called.name].sum() == len(seen) > 0
