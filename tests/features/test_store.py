"""A store that is refreshed night by night holds what a full rebuild would."""

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import CUSTOMERS, PLAIN, START, every_measure, open_log, random_frames

import cxpredict as cx
from cxpredict.errors import ConfigError, DataError

NIGHTS = [START + pd.Timedelta(days=day) for day in (40, 70, 71, 100)]


def index_of(*dates):
    return pd.MultiIndex.from_product([CUSTOMERS, dates], names=["customer_id", "as_of"])


def known_before(frames, until):
    """Give what the company's tables held on a night."""
    known = {name: frame[frame.known_at < until] for name, frame in frames.items()}
    return {name: frame[frame.occurred_at < until] for name, frame in known.items()}


@settings(PLAIN, max_examples=3)
@given(seed=st.integers(0, 10**6), corrected=st.booleans(), only_the_past=st.booleans())
def test_refreshing_equals_rebuilding(tmp_path_factory, seed, corrected, only_the_past):
    frames = random_frames(seed, 100, corrected=corrected)
    whole = open_log(frames)
    path = tmp_path_factory.mktemp("store") / "store.duckdb"
    cx.FeatureStore.create(path, dates=NIGHTS, aggregates=every_measure())
    for night in (NIGHTS[0], NIGHTS[1], NIGHTS[3]):
        log = open_log(known_before(frames, night)) if only_the_past else whole
        cx.FeatureStore(path).refresh(log, until=night)
    index = index_of(*NIGHTS)
    kept = cx.FeatureStore(path).build(whole, index)
    rebuilt = cx.build_features(whole, index, aggregates=every_measure())
    pd.testing.assert_frame_equal(kept, rebuilt, check_exact=True)


@pytest.fixture
def sales():
    rows = pd.DataFrame(
        {
            "customer_id": ["a", "a", "b"],
            "occurred_at": ["2024-01-05", "2024-02-03", "2024-01-20"],
            "known_at": ["2024-01-05", "2024-02-03", "2024-02-04"],
            "amount": [9.5, 2.0, 7.0],
            "kind": "purchase",
        }
    )
    return cx.CustomerLog.from_frames(transactions=rows)


SPENT = cx.Origin("transactions", "sum", "amount", window_days=40)


def test_a_late_record_lands_in_its_old_pane_and_only_new_rows_are_added(tmp_path, sales):
    path = tmp_path / "store.duckdb"
    nights = ["2024-02-01", "2024-02-05"]
    store = cx.FeatureStore.create(path, dates=nights, aggregates=[SPENT])
    sizes = []
    for night in nights:
        store.refresh(sales, until=night)
        with duckdb.connect(path, read_only=True) as connection:
            sizes.append(connection.sql("FROM transactions_records").fetchall())
    assert [len(rows) for rows in sizes] == [1, 3]
    index = pd.MultiIndex.from_product(
        [["a", "b"], pd.to_datetime(nights)], names=["customer_id", "as_of"]
    )
    assert store.build(sales, index)[SPENT.name].tolist() == [9.5, 11.5, 0, 7]
    assert store.known_until == pd.Timestamp("2024-02-05")


def test_a_refresh_that_fails_changes_nothing(tmp_path, sales, monkeypatch):
    path = tmp_path / "store.duckdb"
    store = cx.FeatureStore.create(path, dates=["2024-02-05"], aggregates=[SPENT])
    store.refresh(sales, until="2024-02-01")
    before = duckdb.connect(path, read_only=True)
    content = before.sql("SELECT content FROM manifest").fetchall()
    before.close()

    def fails(_):
        raise OSError("disk full")

    monkeypatch.setattr(store, "_content", fails)
    with pytest.raises(OSError, match="disk full"):
        store.refresh(sales, until="2024-02-05")
    with duckdb.connect(path, read_only=True) as connection:
        assert connection.sql("SELECT content FROM manifest").fetchall() == content
        assert len(connection.sql("FROM transactions_records").fetchall()) == 1
    again = cx.FeatureStore(path)
    again.refresh(sales, until="2024-02-05")
    index = pd.MultiIndex.from_tuples(
        [("b", pd.Timestamp("2024-02-05"))], names=["customer_id", "as_of"]
    )
    assert again.build(sales, index)[SPENT.name].tolist() == [7]


def test_new_values_of_a_counted_column_make_room_for_themselves(tmp_path):
    rows = pd.DataFrame(
        {
            "customer_id": "a",
            "occurred_at": pd.date_range("2024-01-01", periods=4, freq="D"),
            "kind": "call",
            "channel": ["web", "web", "phone", "store"],
        }
    )
    log = cx.CustomerLog.from_frames(interactions=rows)
    nights = pd.date_range("2024-01-02", periods=4, freq="D")
    channels = cx.Origin("interactions", "distinct", "channel")
    store = cx.FeatureStore.create(tmp_path / "s.duckdb", dates=nights, aggregates=[channels])
    for night in nights:
        store.refresh(log, until=night)
    index = pd.MultiIndex.from_product([["a"], nights], names=["customer_id", "as_of"])
    assert store.build(log, index)[channels.name].tolist() == [1, 1, 2, 3]


def test_what_a_store_cannot_do_is_said(tmp_path, sales):
    path = tmp_path / "store.duckdb"
    with pytest.raises(DataError, match="no such feature store"):
        cx.FeatureStore(path)
    with pytest.raises(ConfigError, match="dates"):
        cx.FeatureStore.create(path, dates=[], aggregates=[SPENT])
    store = cx.FeatureStore.create(path, dates=NIGHTS, aggregates=[SPENT])
    with pytest.raises(DataError, match="exists already"):
        cx.FeatureStore.create(path, dates=NIGHTS, aggregates=[SPENT])
    with pytest.raises(DataError, match="refresh it"):
        store.build(sales, index_of(NIGHTS[0]))
    store.refresh(sales, until=NIGHTS[0])
    with pytest.raises(DataError, match="not in the grid of the store: 2024-01-02"):
        store.build(sales, index_of(pd.Timestamp("2024-01-02")))
    with pytest.raises(DataError, match="refresh it"):
        store.build(sales, index_of(NIGHTS[1]))
    with pytest.raises(DataError, match="is earlier"):
        store.refresh(sales, until="2024-01-01")
    agents = pd.DataFrame(
        {
            "customer_id": "a",
            "occurred_at": "2024-01-01",
            "kind": "call",
            "agent_id": np.arange(70).astype(str),
        }
    )
    counted = cx.Origin("interactions", "distinct", "agent_id")
    other = cx.FeatureStore.create(tmp_path / "other", dates=NIGHTS, aggregates=[counted])
    with pytest.raises(DataError, match="more than 64 values"):
        other.refresh(cx.CustomerLog.from_frames(interactions=agents), until=NIGHTS[0])


def test_a_new_value_and_a_correction_on_one_night(tmp_path):
    rows = pd.DataFrame(
        {
            "customer_id": "c1",
            "kind": "k",
            "event_id": ["1", "2", "3", "1"],
            "channel": ["a", "b", "c", "a"],
            "occurred_at": ["2024-01-05", "2024-02-05", "2024-02-20", "2024-01-05"],
            "known_at": ["2024-01-05", "2024-02-05", "2024-02-20", "2024-02-06"],
        }
    )
    log = cx.CustomerLog.from_frames(interactions=rows)
    nights = pd.to_datetime(["2024-02-01", "2024-02-15"])
    channels = cx.Origin("interactions", "distinct", "channel")
    store = cx.FeatureStore.create(tmp_path / "it's.duckdb", dates=nights, aggregates=[channels])
    for night in nights:
        store.refresh(log, until=night)
    index = pd.MultiIndex.from_product([["c1"], nights], names=["customer_id", "as_of"])
    assert store.build(log, index)[channels.name].tolist() == [1, 2]


def test_an_invitation_known_later_than_sent_is_kept(tmp_path):
    rows = pd.DataFrame(
        {
            "customer_id": "a",
            "metric": "nps",
            "score": [None],
            "invited_at": "2024-01-01",
            "occurred_at": "2024-02-10",
            "known_at": "2024-01-01",
        }
    )
    log = cx.CustomerLog.from_frames(feedback=rows)
    nights = pd.date_range("2024-01-31", periods=3, freq="30D")
    open_ones = cx.Origin("feedback", "unanswered", "", (("metric", "nps"),))
    store = cx.FeatureStore.create(tmp_path / "s", dates=nights, aggregates=[open_ones])
    for night in nights:
        store.refresh(log, until=night)
    index = pd.MultiIndex.from_product([["a"], nights], names=["customer_id", "as_of"])
    expected = cx.build_features(log, index, aggregates=[open_ones])
    pd.testing.assert_frame_equal(store.build(log, index), expected)
    assert expected[open_ones.name].tolist() == [0, 1, 1]


def test_two_stores_and_zoned_dates(tmp_path, sales):
    stores = [
        cx.FeatureStore.create(
            tmp_path / f"{number} a.duckdb",
            dates=[pd.Timestamp("2024-02-05", tz="UTC")],
            aggregates=[SPENT],
        )
        for number in range(2)
    ]
    for store in stores:
        store.refresh(sales, until=pd.Timestamp("2024-02-05 01:00", tz="Europe/Berlin"))
    index = pd.MultiIndex.from_product(
        [["a"], pd.to_datetime(["2024-02-05"])], names=["customer_id", "as_of"]
    )
    with stores[0]._attached(sales):
        assert stores[1].build(sales, index)[SPENT.name].tolist() == [11.5]


def test_a_file_that_is_no_store_is_named(tmp_path, sales):
    (tmp_path / "text").write_text("hello")
    duckdb.connect(tmp_path / "other.duckdb").close()
    for name in ("text", "other.duckdb"):
        with pytest.raises(DataError, match=f"{name}: cannot be opened as a feature store"):
            cx.FeatureStore(tmp_path / name)
    with pytest.raises(DataError, match="folder does not exist"):
        cx.FeatureStore.create(tmp_path / "no" / "s", dates=NIGHTS, aggregates=[SPENT])
    with pytest.raises(ConfigError, match="list of dates"):
        cx.FeatureStore.create(tmp_path / "s", dates="2024-02-01", aggregates=[SPENT])
