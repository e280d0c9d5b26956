"""Whatever happens or becomes known after a date never changes a bit of its features."""

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import PLAIN, START, every_measure

import cxpredict as cx
from cxpredict.features.audit.future import other_future

AS_OF = START + pd.Timedelta(days=500)
EVENTS = ("interactions", "feedback", "transactions")


class Records:
    """A company's tables in one engine, whose expression is compiled once and run on any change."""

    def __init__(self, company, n_customers=150):
        history = {name: company.log.history(name).to_pandas() for name in EVENTS}
        ids = sorted(company.log.customers.customer_id.to_pandas())[:n_customers]
        self.frames = {name: f[f.customer_id.isin(ids)] for name, f in history.items()}
        self.connection = ibis.duckdb.connect()
        tables = {name: self.put(name, frame) for name, frame in self.frames.items()}
        log = cx.CustomerLog.from_tables(**tables)
        defaults = cx.default_aggregates(log, until=AS_OF)
        more = [o for o in every_measure() if o.name not in {d.name for d in defaults}]
        dates = [AS_OF - pd.Timedelta(days=30), AS_OF]
        population = pd.MultiIndex.from_product([ids, dates], names=["customer_id", "as_of"])
        self.connection.create_table("population", population.to_frame(index=False))
        table = cx.feature_table(
            log, self.connection.table("population"), aggregates=[*defaults, *more]
        )
        self.table = table.order_by("customer_id", "as_of")
        self.table.execute()  # registers the small tables of the expression
        self.sql = ibis.to_sql(self.table, dialect="duckdb")
        self.features = self.run()

    def put(self, name, frame):
        return self.connection.create_table(
            name, frame, schema=self.schema(name, frame), overwrite=True
        )

    @staticmethod
    def schema(name, frame):
        kinds = {"M": "timestamp(6)", "f": "float64"}
        return {c: kinds.get(frame[c].dtype.kind, "string") for c in frame.columns}

    def run(self):
        return self.connection.raw_sql(self.sql).df()

    def hidden(self, name):
        frame = self.frames[name]
        return ((frame.occurred_at >= AS_OF) | (frame.known_at >= AS_OF)).to_numpy()


@pytest.fixture(scope="module")
def records(company):
    found = Records(company)
    assert all(found.hidden(name).sum() > 100 for name in EVENTS)
    return found


def change(frame, hidden, rng, columns):
    """Change some columns of hidden rows to anything of their kind; times stay hidden."""
    frame = frame.copy()
    for column in columns:
        own = frame.loc[hidden, column]
        if column == "known_at":
            new = AS_OF + pd.to_timedelta(rng.integers(0, 400, len(own)), unit="D")
        elif column == "occurred_at":
            known_late = (frame.loc[hidden, "known_at"] >= AS_OF).to_numpy()
            anywhen = AS_OF + pd.to_timedelta(rng.integers(-400, 400, len(own)), unit="D")
            new = np.where(known_late, anywhen, np.maximum(anywhen, AS_OF))
        elif column == "customer_id":
            new = rng.choice(frame["customer_id"].to_numpy(), len(own))
        elif own.dtype.kind == "f":
            new = rng.normal(0, 1e6, len(own))
        elif own.dtype.kind == "M":
            new = AS_OF + pd.to_timedelta(rng.integers(-400, 400, len(own)), unit="D")
        else:
            new = rng.choice(
                np.array([*own.dropna().unique(), "new", None], dtype=object), len(own)
            )
        frame.loc[hidden, column] = pd.Series(new, index=own.index).astype(own.dtype)
    return frame


@settings(PLAIN, max_examples=120)
@given(
    seed=st.integers(0, 10**9),
    table=st.sampled_from(EVENTS),
    column=st.sampled_from(["every", "customer_id", "occurred_at", "known_at", "one"]),
    drop=st.sampled_from([0.0, 0.5, 1.0]),
    add=st.booleans(),
)
def test_a_change_after_the_date_changes_no_feature(records, seed, table, column, drop, add):
    rng = np.random.default_rng(seed)
    frame, hidden = records.frames[table], records.hidden(table)
    columns = [c for c in frame.columns if c not in ("version", "replaced_at", "event_id")]
    if column != "every":
        columns = [column if column != "one" else rng.choice(columns)]
    changed = change(frame, hidden, rng, columns)
    stays = ~hidden | (rng.random(len(frame)) >= drop)
    parts = [changed[stays], changed[hidden]] if add else [changed[stays]]
    try:
        records.put(table, pd.concat(parts).sample(frac=1, random_state=seed % 1000))
        pd.testing.assert_frame_equal(records.features, records.run(), check_exact=True)
    finally:
        records.put(table, frame)


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
