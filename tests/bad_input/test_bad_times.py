"""Rows 18 to 28: when something happened, and when it was known."""

import pandas as pd
import pytest
from bad_shop import SALES, accepted, refused

import cxpredict as cx


def sales_at(*times):
    rows = "".join(f"canary-{n},{time},1\n" for n, time in enumerate(times))
    return "id,at,amount\n" + rows


def rows_of(*customers, as_of):
    pairs = [(customer, pd.Timestamp(as_of)) for customer in customers]
    return pd.MultiIndex.from_tuples(pairs, names=["customer_id", "as_of"])


def utc(folder):
    """Read the times of the last run, in the order of the rows, as text."""
    table = cx.CustomerLog.open(folder / "shop.yaml").transactions.order_by("customer_id")
    return table.occurred_at.to_pandas().dt.strftime("%Y-%m-%d %H:%M").tolist()


def test_18_19_naive_zoned_and_mixed_offsets_become_utc(tmp_path):
    times = ["2024-07-01 12:00", "2024-07-01T12:00Z", "2024-07-01T12:00+05:30"]
    accepted(tmp_path, sales_at(*times), kept=3, timezone="Europe/Berlin")
    assert utc(tmp_path) == ["2024-07-01 10:00", "2024-07-01 12:00", "2024-07-01 06:30"]


def test_18_events_without_a_zone_are_refused(tmp_path):
    refused(tmp_path, sales_at("2024-07-01"), 2, "'timezone' is missing", timezone=None)


# Berlin: clocks went from 02:00 to 03:00 on 31 March 2024 (+1 to +2 hours), and from 03:00 back to
# 02:00 on 27 October. 02:30 is skipped then and shown twice now; 01:30 and 03:30 are plain.
SPRING = ["2024-03-31 01:30", "2024-03-31 02:30", "2024-03-31 03:30"]
AUTUMN = ["2024-10-27 01:30", "2024-10-27 02:30", "2024-10-27 03:30"]


@pytest.mark.parametrize(
    ("kind", "times", "plain", "earlier", "later"),
    [
        # with the offset after the change (+2) 02:30 is 00:30, with the one before (+1) 01:30
        ("text", SPRING, ("2024-03-31 00:30", "2024-03-31 01:30"), "03-31 00:30", "03-31 01:30"),
        # the first 02:30 is at +2, the second at +1
        ("time", AUTUMN, ("2024-10-26 23:30", "2024-10-27 02:30"), "10-27 00:30", "10-27 01:30"),
        ("format", AUTUMN, ("2024-10-26 23:30", "2024-10-27 02:30"), "10-27 00:30", "10-27 01:30"),
    ],
)
def test_20_21_times_that_clocks_skip_or_repeat_meet_a_declared_policy(
    tmp_path, kind, times, plain, earlier, later
):
    frame = pd.DataFrame({"id": ["canary-0", "canary-1", "canary-2"], "at": times, "amount": 1.0})
    content = frame.assign(at=pd.to_datetime(times)) if kind == "time" else sales_at(*times)
    zone = {"timezone": "Europe/Berlin"}
    if kind == "format":
        zone["time_format"] = "%Y-%m-%d %H:%M"
    words = "skipped or shown twice by the clocks of Europe/Berlin"
    accepted(tmp_path, content, words, "set clock_change", kept=2, rejected=1, **zone)
    assert utc(tmp_path) == list(plain)
    for policy, expected in (("earlier", earlier), ("later", later)):
        said = f"occurred_at: {words}: the {policy} taken │ 1"
        accepted(tmp_path, content, said, kept=3, clock_change=policy, **zone)
        assert utc(tmp_path) == [plain[0], f"2024-{expected}", plain[1]]


def test_20_a_day_that_has_no_midnight_begins_when_it_begins(tmp_path):
    # Sao Paulo: clocks went from 00:00 to 01:00 on 4 November 2018 (−3 to −2 hours)
    accepted(tmp_path, sales_at("2018-11-04", "2018-11-05"), kept=2, timezone="America/Sao_Paulo")
    assert utc(tmp_path) == ["2018-11-04 03:00", "2018-11-05 02:00"]


def test_22_day_first_dates_are_never_guessed(tmp_path):
    content = sales_at("03/04/2024", "13/04/2024")
    refused(tmp_path, content, 8, "is not a time (ISO 8601; set time_format)")
    accepted(tmp_path, content, kept=2, time_format="%d/%m/%Y")
    assert utc(tmp_path) == ["2024-04-03 00:00", "2024-04-13 00:00"]


@pytest.mark.parametrize(
    ("number", "unit", "start"),
    [
        (1_706_702_400_000, "millisecond", "1970-01-01"),
        (1_706_702_400, "second", "1970-01-01"),
        (45_322.5, "day", "1899-12-30"),
    ],
)
def test_23_25_numbers_are_no_times_and_the_hint_works(tmp_path, number, unit, start):
    frame = pd.DataFrame({"id": ["canary-1"], "at": [number], "amount": [1.0]})
    hint = f"TIMESTAMP '{start}' + CAST(the_column AS DOUBLE) * INTERVAL '1 {unit}'"
    refused(tmp_path, frame, 3, "expected times, found numbers", hint)
    refused(tmp_path, sales_at(number), 8, "occurred_at: is a number (epoch, Excel?)")
    times = {"expression": hint.replace("the_column", "at")}
    for content in (frame, sales_at(number)):
        accepted(tmp_path, content, kept=1, columns={**SALES["columns"], "occurred_at": times})
        assert utc(tmp_path) == ["2024-01-31 12:00"]


def test_24_years_out_of_range_are_rejected(tmp_path):
    content = sales_at("0001-01-01", "9999-12-31", "2024-01-31", "2024-01-31")
    accepted(tmp_path, content, "before 1990", "after 2100", kept=2, rejected=2)


def test_26_neither_order_nor_unit_nor_zone_of_the_times_matters(tmp_path):
    times = pd.to_datetime(["2024-03-01 00:00", "2024-01-31 12:00", "2024-02-01 00:00"])
    total, logs = cx.Origin(source="transactions", measure="sum", column="amount"), []
    for unit, zone, order in (("ns", None, 1), ("ms", "Asia/Tokyo", -1), ("s", "UTC", 1)):
        at = times.tz_localize("UTC").tz_convert(zone or "UTC").as_unit(unit)
        at = at if zone else at.tz_localize(None)
        frame = pd.DataFrame({"id": ["a", "b", "c"], "at": at, "amount": [1.0, 2.0, 3.0]})
        accepted(tmp_path, frame[::order], kept=3)
        log = cx.CustomerLog.open(tmp_path / "shop.yaml")
        logs.append(
            cx.build_features(log, rows_of("a", "b", as_of="2024-04-01"), aggregates=[total])
        )
    for other in logs[1:]:
        pd.testing.assert_frame_equal(logs[0], other)
    assert logs[0].iloc[:, 0].tolist() == [1.0, 2.0]


def test_27_the_future_is_never_used_and_beyond_the_limit_the_run_fails(tmp_path):
    content = sales_at("2024-01-31", "2093-01-01")
    accepted(tmp_path, content, "occurred_at: lies in the future", kept=1, rejected=1)
    refused(tmp_path, content, 8, "lies in the future: 1 rows, first rows [2]", limit=0.01)


def test_27_28_what_was_not_known_at_a_date_is_not_in_its_features(tmp_path):
    frame = pd.DataFrame({"id": "a", "at": ["2024-01-10", "2024-01-20"], "amount": [1.0, 2.0]})
    total = cx.Origin(source="transactions", measure="sum", column="amount")
    frame["known"] = ["2024-01-10", "2024-02-05"]

    def amount(as_of, **source):
        accepted(tmp_path, frame, kept=2, **source)
        log = cx.CustomerLog.open(tmp_path / "shop.yaml")
        X = cx.build_features(log, rows_of("a", as_of=as_of), aggregates=[total])
        return X.iloc[0, 0]

    late = {"columns": {**SALES["columns"], "known_at": "known"}}
    assert amount("2024-01-15") == 1.0  # the second sale is yet to come
    assert amount("2024-01-25") == 3.0
    assert amount("2024-01-25", **late) == 1.0  # it came, but nobody knew
    assert amount("2024-02-06", **late) == 3.0
    assert amount("2024-01-25", delay_hours=240.0) == 1.0
