"""Whatever happens or becomes known after a date never changes a bit of its features."""

import numpy as np
import pandas as pd
import pytest
from futures import AS_OF, CHANGES, EVENTS, Records, assert_past_unmoved, change
from hypothesis import settings
from random_log import PLAIN

import cxpredict as cx
from cxpredict.errors import DataError
from cxpredict.features.audit.future import other_future


@pytest.fixture(scope="module")
def records(company):
    found = Records(company)
    assert all(found.hidden(name).sum() > 100 for name in EVENTS)
    return found


@settings(PLAIN, max_examples=120)
@CHANGES
def test_a_change_after_the_date_changes_no_feature(records, **what):
    assert_past_unmoved(records, **what)


def test_ten_thousand_rows_changed_in_every_table_and_column_at_once(company):
    records = Records(company, n_customers=1_500)
    rng, changed = np.random.default_rng(3), 0
    for name, frame in records.frames.items():
        hidden = records.hidden(name)
        columns = [c for c in frame.columns if c not in ("version", "replaced_at", "event_id")]
        records.put(name, change(frame, hidden, rng, columns))
        changed += int(hidden.sum())
    assert changed > 10_000
    pd.testing.assert_frame_equal(records.features, records.run(), check_exact=True)


def test_a_change_before_the_date_does_change_features(records):
    frame = records.frames["interactions"]
    early = frame[(frame.occurred_at >= AS_OF) | (frame.customer_id != frame.customer_id.iloc[0])]
    try:
        records.put("interactions", early)
        assert not records.features.equals(records.run())
    finally:
        records.put("interactions", frame)


@pytest.fixture(scope="module")
def audited(company):
    """Features and labels of a year, and the log they come from."""
    churn = cx.ChurnProblem(cancelled="cancellation", horizon_days=60)
    train, _ = churn.split(company.log, test_at="2025-09-01", every_days=90)
    return cx.build_features(company.log, train), churn.labels(company.log, train), company.log


def test_the_library_own_features_pass(audited):
    X, y, log = audited
    audit = cx.audit_leakage(X, y, log=log)
    assert not (audit.table.check == "look-ahead").any()
    assert any("look-ahead checked at" in note for note in audit.notes)


def test_a_builder_that_looks_ahead_is_found_and_named(audited):
    X, y, log = audited

    def peeks(log, index):
        """Count complaints without a date, as a careless join does."""
        rows = log.interactions.filter(log.interactions.kind == "complaint").to_pandas()
        total = rows.groupby("customer_id").size()
        who = index.get_level_values("customer_id")
        return cx.build_features(log, index).assign(complaints=total.reindex(who).to_numpy())

    audit = cx.audit_leakage(peeks(log, X.index), y, log=log, build=peeks)
    found = audit.table[audit.table.check == "look-ahead"]
    assert found.feature.tolist() == ["complaints"]
    assert found.severity.tolist() == ["high"]
    assert found.auc_lost.notna().all()
    assert "rows at 20" in found.evidence.iloc[0]


def test_another_future_keeps_the_past_and_changes_everything_later(company):
    other = other_future(company.log, AS_OF)
    for name in EVENTS:
        mine, its = (log.table[name].to_pandas() for log in (company.log, other))
        seen, kept = (f[(f.occurred_at < AS_OF) & (f.known_at < AS_OF)] for f in (mine, its))
        order = ["customer_id", "occurred_at", *(["kind"] if "kind" in mine else ["metric"])]
        pd.testing.assert_frame_equal(
            seen.sort_values(order, ignore_index=True), kept.sort_values(order, ignore_index=True)
        )
        assert 0.2 < (len(its) - len(kept)) / (len(mine) - len(seen)) < 0.8


def test_clocks_that_disagree_are_told():
    calls = pd.DataFrame(
        {
            "customer_id": "a",
            "kind": "call",
            "occurred_at": ["2024-01-05", "2024-01-06"],
            "known_at": ["2024-01-04", "2024-01-06"],
        }
    )
    log = cx.CustomerLog.from_frames(interactions=calls)
    index = pd.MultiIndex.from_product(
        [["a", "b"], [pd.Timestamp("2024-02-01")]], names=["customer_id", "as_of"]
    )
    X = cx.build_features(log, index, aggregates=[cx.Origin("interactions", "count")])
    table = cx.audit_leakage(X, [0, 1], log=log).table.set_index("check")
    assert table.loc["time travel", "severity"] == "low"
    assert table.loc["time travel", "evidence"].startswith("1 of 2 rows of interactions")


def test_label_windows_that_reach_into_the_test_are_told(audited):
    X, y, _ = audited
    dates = X.index.get_level_values("as_of")
    last = dates == dates.max()
    audit = cx.audit_leakage(X[~last], y[~last], X_test=X[last], y_test=y[last], label_days=100)
    found = audit.table.set_index("check").loc["window overlap"]
    assert found["severity"] == "medium"
    apart = cx.audit_leakage(X[~last], y[~last], X_test=X[last], y_test=y[last], label_days=90)
    assert "window overlap" not in set(apart.table.check)


def test_a_date_at_which_nothing_was_hidden_proves_nothing(company):
    ids = company.log.customers.customer_id.to_pandas()[:50]
    dates = pd.to_datetime(["2025-02-01", "2027-01-01"])
    index = pd.MultiIndex.from_product([ids, dates], names=["customer_id", "as_of"])

    def ignores_known_at(log, index):
        rows = log.interactions.to_pandas().merge(index.to_frame(index=False), on="customer_id")
        seen = rows[rows.occurred_at < rows.as_of]
        return seen.groupby(["customer_id", "as_of"]).size().reindex(index).to_frame("n")

    X, y = ignores_known_at(company.log, index), [0, 1] * 50
    for seed in range(4):
        audit = cx.audit_leakage(X, y, log=company.log, build=ignores_known_at, random_state=seed)
        assert "look-ahead" in set(audit.table.check)
    late = X.index.get_level_values("as_of") == dates[1]
    audit = cx.audit_leakage(X[late], [0, 1] * 25, log=company.log, build=ignores_known_at)
    assert any("look-ahead not checked" in note for note in audit.notes)


def test_a_column_that_depends_on_the_future_is_found(company):
    day = pd.Timestamp("2025-02-01")
    ids = company.log.customers.customer_id.to_pandas()[:50]
    index = pd.MultiIndex.from_product([ids, [day]], names=["customer_id", "as_of"])

    def last_kinds(log, index):
        rows = log.transactions.to_pandas()
        late = rows[rows.occurred_at >= rows.occurred_at.max() - pd.Timedelta(days=60)]
        X = pd.DataFrame(index=index)
        for kind in late.amount.round().astype(str).unique()[:3]:
            X[f"amount {kind}"] = 1.0
        return X

    audit = cx.audit_leakage(
        last_kinds(company.log, index), [0, 1] * 25, log=company.log, build=last_kinds
    )
    assert "look-ahead" in set(audit.table.check)
    with pytest.raises(DataError, match="one row for each row of the index"):
        cx.audit_leakage(
            last_kinds(company.log, index),
            [0, 1] * 25,
            log=company.log,
            build=lambda log, index: [],
        )
