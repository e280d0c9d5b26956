"""The fast path, the general path and plain pandas give the same numbers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import CUSTOMERS, PLAIN, START, every_measure, open_log, random_frames

from cxpredict.config.features import AggregateSettings, FeatureSettings
from cxpredict.features.aggregates import aggregates_of
from cxpredict.features.build import build_features
from cxpredict.features.origin import Origin

DAY = pd.Timedelta(days=1)


def index_of(dates, customers=CUSTOMERS):
    return pd.MultiIndex.from_product([customers, dates], names=["customer_id", "as_of"])


def one_by_one(log, index, aggregates):
    """Build each row alone: fewer than ten customers share a date, so the general path runs."""
    rows = [index[place : place + 1] for place in range(len(index))]
    parts = [build_features(log, row, aggregates=aggregates) for row in rows]
    return pd.concat(parts)


@settings(PLAIN, max_examples=3)
@given(
    seed=st.integers(0, 10**6),
    hours=st.lists(st.integers(24, 130 * 24), min_size=2, max_size=2, unique=True),
    midnight=st.booleans(),
    corrected=st.booleans(),
)
def test_a_grid_of_dates_and_dates_of_ones_own_give_the_same_features(
    seed, hours, midnight, corrected
):
    log = open_log(random_frames(seed, corrected=corrected))
    dates = [START + pd.Timedelta(hours=hour) for hour in hours]
    dates = sorted({day.floor("D") for day in dates} if midnight else dates)
    index = index_of(dates)
    grid = build_features(log, index, aggregates=every_measure())
    some = index[:: len(index) // 2]
    alone = one_by_one(log, some, every_measure())
    pd.testing.assert_frame_equal(grid.loc[some], alone, check_exact=True)


def seen(frame, as_of):
    """Give the rows that were known at a date."""
    return frame[(frame.occurred_at < as_of) & (frame.known_at < as_of)]


def by_hand(rows, origin, as_of):
    """Compute a feature of one customer from the rows seen at a date, in plain pandas."""
    for column, level in origin.filters:
        rows = rows[rows[column] == level]
    if origin.window_days:
        rows = rows[rows.occurred_at >= as_of - origin.window_days * DAY]
    values = rows[origin.column].dropna() if origin.column else rows.occurred_at
    days = rows.occurred_at.dt.floor("D").drop_duplicates().sort_values()
    gap = (days.max() - days.min()) / DAY / (len(days) - 1) if len(days) > 1 else np.nan
    match origin.measure:
        case "count":
            return len(rows)
        case "sum" | "mean" | "min" | "max":
            return (
                getattr(values, origin.measure)()
                if len(values) or origin.measure == "sum"
                else np.nan
            )
        case "last" | "change":
            moments = rows.dropna(subset=origin.column).groupby("occurred_at")[origin.column].max()
            if len(moments) < (1 if origin.measure == "last" else 2):
                return np.nan
            return moments.iloc[-1] - (0 if origin.measure == "last" else moments.iloc[-2])
        case "distinct":
            return values.nunique()
        case "days_since":
            return (as_of - rows.occurred_at.max()) / DAY
        case "days":
            return len(days)
        case "mean_gap":
            return gap
        case "overdue":
            return (as_of - days.max()) / DAY / gap if len(days) > 1 else np.nan
        case "slope":
            valued = rows.dropna(subset=origin.column)
            day = valued.occurred_at.dt.floor("D").astype("int64") / (86_400 * 10**6)
            if day.nunique() < 2:
                return np.nan
            return np.polyfit(day - day.mean(), valued[origin.column], 1)[0]
        case _:
            pytest.fail(origin.measure)


@pytest.mark.parametrize("seed", range(2))
def test_features_equal_those_computed_in_pandas(seed):
    frames = random_frames(seed, corrected=False)
    for frame in frames.values():  # exactly what microseconds hold
        frame["occurred_at"] = frame["occurred_at"].astype("datetime64[us]")
    log = open_log(frames)
    dates = [START + pd.Timedelta(days=40), START + pd.Timedelta(days=95, hours=7)]
    index = index_of(dates)
    skipped = ("share", "trend", "gap_std", "unanswered", "month")
    aggregates = [o for o in every_measure() if o.measure not in skipped and o.source != "records"]
    X = build_features(log, index, aggregates=aggregates)
    for origin in aggregates:
        frame = frames[origin.source]
        if origin.source == "feedback":
            frame = frame[frame.score.notna()]
        rows = {customer: frame[frame.customer_id == customer] for customer in CUSTOMERS}
        expected = [by_hand(seen(rows[c], day), origin, day) for c, day in index]
        whole_days = origin.measure in ("days", "mean_gap", "overdue") and origin.window_days
        at_midnight = np.array([day == day.floor("D") or not whole_days for _, day in index])
        np.testing.assert_allclose(
            X[origin.name].to_numpy()[at_midnight],
            np.array(expected, dtype=float)[at_midnight],
            rtol=1e-9,
            atol=1e-9,
            err_msg=origin.name,
        )


def test_the_order_of_rows_and_how_they_are_parted_never_changes_a_digit():
    frames = random_frames(5, 300)
    index = index_of([START + pd.Timedelta(days=60), START + pd.Timedelta(days=90)])
    X = build_features(open_log(frames), index, aggregates=every_measure())
    for seed in range(2):
        shuffled = {n: f.sample(frac=1, random_state=seed) for n, f in frames.items()}
        log = open_log(shuffled)
        log.connection.raw_sql(f"SET threads = {1 + 3 * seed}")
        again = build_features(log, index, aggregates=every_measure())
        pd.testing.assert_frame_equal(X, again, check_exact=True)
    backwards = build_features(open_log(frames), index[::-1], aggregates=every_measure())
    pd.testing.assert_frame_equal(X, backwards[::-1], check_exact=True)


CALL = (("kind", "call"),)


def calls(*rows, **columns):
    frame = pd.DataFrame(rows, columns=["occurred_at", "known_at", "value", "event_id"])
    return frame.assign(customer_id="a", kind="call", **columns)


def values(log, origin, *dates):
    index = index_of(pd.to_datetime(list(dates)), ["a"])
    return build_features(log, index, aggregates=[origin])[origin.name].tolist()


def test_a_corrected_record_counts_as_it_was_known_at_each_date():
    rows = calls(
        ("2024-01-05", "2024-01-05", 10.0, "x"),
        ("2024-01-05", "2024-01-20", 4.0, "x"),
        ("2024-01-08", "2024-02-01", 6.0, "x"),
        ("2024-01-06", "2024-01-06", 1.0, "y"),
    )
    log = open_log({"interactions": rows})
    dates = ["2024-01-10", "2024-01-20", "2024-01-21", "2024-02-02"]
    assert values(log, Origin("interactions", "sum", "value", CALL), *dates) == [11, 11, 5, 7]
    assert values(log, Origin("interactions", "count", "", CALL), *dates) == [2, 2, 2, 2]
    assert values(log, Origin("interactions", "last", "value", CALL), *dates) == [1, 1, 1, 6]
    # the days are 5 and 6 January until the correction moves the 5th to the 8th
    assert values(log, Origin("interactions", "days", "", CALL), *dates) == [2, 2, 2, 2]
    assert values(log, Origin("interactions", "mean_gap", "", CALL), *dates) == [1, 1, 1, 2]
    assert log.interactions.value.sum().execute() == 7
    assert log.quality.corrected.tolist() == [2]


def test_a_day_corrected_away_is_seen_again_when_another_record_falls_on_it():
    rows = calls(
        ("2024-01-05", "2024-01-05", 1.0, "x"),
        ("2024-01-09", "2024-01-10", 1.0, "x"),
        ("2024-01-05", "2024-01-15", 1.0, "y"),
    )
    days = Origin("interactions", "days", "", CALL)
    first = Origin("interactions", "mean_gap", "", CALL)
    log = open_log({"interactions": rows})
    dates = ["2024-01-08", "2024-01-12", "2024-01-18"]
    assert values(log, days, *dates) == [1, 1, 2]
    np.testing.assert_equal(values(log, first, *dates), [np.nan, np.nan, 4.0])


def test_gaps_keep_the_order_in_which_days_became_known():
    rows = calls(
        *[(f"2024-01-{day:02d}", f"2024-01-{day:02d}", 1.0, None) for day in (1, 5, 11)],
        ("2024-01-07", "2024-01-20", 1.0, None),
    )
    spread = Origin("interactions", "gap_std", "", CALL)
    # gaps 4 and 6; on the 20th a late record adds one of 4 (from the 11th back to the 7th)
    found = values(
        open_log({"interactions": rows}), spread, "2024-01-06", "2024-01-15", "2024-01-25"
    )
    np.testing.assert_allclose(found, [np.nan, 1.0, np.std([4, 6, 4])])


def test_of_repeats_known_at_one_time_the_same_one_stays_in_any_order():
    rows = calls(("2024-01-05", "2024-01-05", 10.0, "x"), ("2024-01-05", "2024-01-05", 4.0, "x"))
    total = Origin("interactions", "sum", "value", CALL)
    for frame in (rows, rows[::-1]):
        log = open_log({"interactions": frame})
        assert values(log, total, "2024-02-01") == [4]
        assert log.quality.duplicates.tolist() == [1]


def test_different_values_are_counted_beyond_the_number_of_kept_levels():
    days = pd.date_range("2024-01-01", periods=90, freq="D")
    rows = pd.DataFrame(
        {
            "customer_id": "a",
            "occurred_at": days,
            "kind": "call",
            "agent_id": [f"agent {number % 80}" for number in range(90)],
        }
    )
    log = open_log({"interactions": rows})
    agents = Origin("interactions", "distinct", "agent_id", window_days=30)
    index = index_of([days[60], days[89] + DAY], [*CUSTOMERS, "a"])
    X = build_features(log, index, aggregates=[agents])[agents.name]
    assert X["a"].tolist() == [30, 30]
    ever = Origin("interactions", "distinct", "agent_id")
    assert build_features(log, index, aggregates=[ever])[ever.name]["a"].tolist() == [60, 80]
    assert X["c01"].tolist() == [0, 0]


def test_exact_sums_of_any_size_and_sign():
    amounts = [1e12, -1e12, 0.1, 0.2, 1e-9, -123456.789012]
    rows = pd.DataFrame(
        {"customer_id": "a", "occurred_at": "2024-01-05", "amount": amounts, "kind": "purchase"}
    )
    log = open_log({"transactions": rows})
    total = Origin("transactions", "sum", "amount")
    assert values(log, total, "2024-02-01")[0] == pytest.approx(-123456.489011999, rel=1e-15)


def test_gaps_to_a_day_that_was_corrected_away_do_not_count():
    rows = calls(
        ("2024-01-01", "2024-01-01", 1.0, "1"),
        ("2024-01-11", "2024-01-11", 1.0, "2"),
        ("2024-01-12", "2024-01-13", 1.0, "2"),
        ("2024-01-22", "2024-01-22", 1.0, "3"),
    )
    log = open_log({"interactions": rows})
    spread = Origin("interactions", "gap_std", "", CALL)
    assert values(log, spread, "2024-02-01") == [0.5]  # gaps of 11 and 10 days
    assert values(log, Origin("interactions", "mean_gap", "", CALL), "2024-02-01") == [10.5]


def test_a_declared_aggregate_keeps_its_words_beside_an_equal_default(company):
    settings = FeatureSettings(
        aggregates=[
            AggregateSettings(
                table="interactions",
                measure="mean",
                column="value",
                kind="usage",
                windows_days=[30],
                label="minutes on our site",
            )
        ]
    )
    found = aggregates_of(company.log, settings, until=pd.Timestamp("2025-06-01"))
    usage = [o for o in found if o.name == "usage_mean_30d"]
    assert [o.label for o in usage] == ["minutes on our site"]
