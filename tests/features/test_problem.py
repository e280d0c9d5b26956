import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import CUSTOMERS, PLAIN, START, random_frames

from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError, EmptyDataError
from cxpredict.features.problem import ChurnProblem, SatisfactionProblem

AS_OF = pd.Timestamp("2024-03-01")


def day(offset):
    return AS_OF + pd.Timedelta(days=offset)


def sales(**days):
    """Make purchases of customers at days counted from the date."""
    rows = [(c, day(d), 1.0, "purchase") for c, ds in days.items() for d in ds]
    return pd.DataFrame(rows, columns=["customer_id", "occurred_at", "amount", "kind"])


def labels(problem, log):
    index = problem.population(log, AS_OF)
    return problem.labels(log, index).droplevel("as_of").to_dict()


def test_inactivity_looks_at_the_window_open_on_the_left_and_closed_on_the_right():
    log = CustomerLog.from_frames(
        transactions=sales(a=[-5, 7], b=[-5, 8], c=[-5, 37], d=[-5, 38], e=[-5], f=[-90], g=[3])
    )
    problem = ChurnProblem(inactive="purchase", horizon_days=30, gap_days=7, active_days=60)
    # the window is (7, 37]; f was not active in the 60 days before, g not yet a customer
    assert labels(problem, log) == {"a": 1, "b": 0, "c": 0, "d": 1, "e": 1}


def test_cancellation_labels_who_leaves_in_the_window_and_leaves_out_who_left_in_the_gap():
    rows = sales(a=[-5], b=[-5], c=[-5], d=[-5], e=[-9])
    leaving = sales(b=[8], c=[3], d=[60], e=[-2]).assign(kind="cancellation")
    log = CustomerLog.from_frames(transactions=pd.concat([rows, leaving]))
    problem = ChurnProblem(cancelled="cancellation", horizon_days=30, gap_days=7)
    found = labels(problem, log)
    assert sorted(found) == ["a", "b", "c", "d"]  # e is known to have left
    assert (found["a"], found["b"], found["d"]) == (0, 1, 0)
    assert np.isnan(found["c"])


def test_a_cancellation_not_yet_known_leaves_the_customer_in_the_population():
    rows = sales(a=[-5])
    leaving = sales(a=[-2]).assign(kind="cancellation", known_at=day(1))
    log = CustomerLog.from_frames(transactions=pd.concat([rows.assign(known_at=day(-5)), leaving]))
    problem = ChurnProblem(cancelled="cancellation", horizon_days=30)
    assert len(problem.population(log, AS_OF)) == 1
    assert np.isnan(labels(problem, log)["a"])


def test_the_next_score_is_the_label():
    rows = pd.DataFrame(
        {
            "customer_id": ["a", "a", "a", "b"],
            "occurred_at": [day(-9), day(5), day(9), day(40)],
            "metric": "csat",
            "score": [1, 4, 2, 5],
        }
    )
    log = CustomerLog.from_frames(feedback=rows, transactions=sales(a=[-3], b=[-3]))
    found = labels(SatisfactionProblem(metric="csat", horizon_days=30), log)
    assert found["a"] == 4
    assert np.isnan(found["b"])


def test_a_label_column_needs_no_dates_and_its_customers_are_split_once_and_for_all():
    customers = pd.DataFrame(
        {"customer_id": [f"c{i}" for i in range(2_000)], "left": ["Yes", "No"] * 1_000}
    )
    problem = ChurnProblem(label="left", positive="Yes")
    log = CustomerLog.from_frames(customers=customers)
    train, test = problem.split_customers(log, as_of=AS_OF, test_share=0.25)
    assert not set(train.get_level_values(0)) & set(test.get_level_values(0))
    assert len(test) / 2_000 == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 2_000) ** 0.5)
    shuffled = CustomerLog.from_frames(customers=customers.sample(frac=1, random_state=3))
    again = problem.split_customers(shuffled, as_of=AS_OF, test_share=0.25)[1]
    assert set(again) == set(test)
    assert len(problem.to_score(log, AS_OF)) == 1_000


def test_missing_labels_are_left_out():
    customers = pd.DataFrame({"customer_id": ["a", "b", "c"], "left": [1.0, None, 0.0]})
    log = CustomerLog.from_frames(customers=customers)
    train, test = ChurnProblem(label="left").split_customers(log, as_of=AS_OF, test_share=0.5)
    assert len(train) + len(test) == 2


def test_training_label_windows_close_before_the_test_date(company):
    problem = ChurnProblem(cancelled="cancellation", horizon_days=60, gap_days=7)
    train, test = problem.split(company.log, test_at="2025-09-01", every_days=30)
    last = train.get_level_values("as_of").max()
    assert last + pd.Timedelta(days=67) == pd.Timestamp("2025-09-01")
    assert set(test.get_level_values("as_of")) == {pd.Timestamp("2025-09-01")}
    gaps = np.diff(np.unique(train.get_level_values("as_of")))
    assert (gaps == np.timedelta64(30, "D")).all()
    assert problem.labels(company.log, train).notna().all()


def test_train_until_and_train_from_bound_the_dates(company):
    problem = ChurnProblem(cancelled="cancellation", horizon_days=60)
    train, _ = problem.split(
        company.log,
        test_at="2025-09-01",
        every_days=30,
        train_from="2025-01-01",
        train_until="2025-03-02",
    )
    dates = sorted(set(train.get_level_values("as_of")))
    assert [str(d.date()) for d in dates] == ["2025-01-01", "2025-01-31", "2025-03-02"]


def test_windows_that_are_not_over_and_histories_too_short_are_refused(company):
    problem = ChurnProblem(cancelled="cancellation", horizon_days=60)
    with pytest.raises(DataError, match="outcomes are known up to 2025-11-02"):
        problem.split(company.log, test_at="2025-12-01", every_days=30)
    with pytest.raises(DataError, match="history is too short"):
        problem.split(company.log, test_at="2024-03-15", every_days=30)
    with pytest.raises(EmptyDataError, match="no active customers at 1995-12-03"):
        problem.split(company.log, test_at="1996-02-01", train_from="1995-12-01", every_days=30)


def test_a_kind_that_never_occurs_is_named(company):
    problem = ChurnProblem(cancelled="canceled", horizon_days=60)
    with pytest.raises(DataError, match="'canceled'"):
        problem.population(company.log, AS_OF)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"cancelled": "x"}, {"cancelled": "x", "inactive": "y", "horizon_days": 3}],
)
def test_a_problem_is_one_of_three(wrong):
    with pytest.raises(ConfigError):
        ChurnProblem(**wrong)


def test_online_retail_population_is_the_published_one(shared_data, online_retail):
    problem = ChurnProblem(inactive="purchase", horizon_days=90, active_days=180)
    index = problem.population(online_retail, "2011-09-09")
    lines = pd.read_parquet(shared_data / "online_retail.parquet")
    bought = lines[~lines.InvoiceNo.str.startswith("C") & lines.CustomerID.notna()]
    when = (
        bought.InvoiceDate.dt.tz_localize("Europe/London").dt.tz_convert("UTC").dt.tz_localize(None)
    )
    test_at = pd.Timestamp("2011-09-09")
    active = (when < test_at) & (when >= test_at - pd.Timedelta(days=180))
    expected = set(bought.CustomerID[active].astype("int64").astype(str))
    assert set(index.get_level_values(0)) == expected
    back = (when > test_at) & (when <= test_at + pd.Timedelta(days=90))
    silent = len(expected - set(bought.CustomerID[back].astype("int64").astype(str)))
    assert problem.labels(online_retail, index).sum() == silent


def test_labels_count_as_complete_only_as_far_as_their_own_table_reaches():
    visits = pd.DataFrame({"customer_id": "a", "occurred_at": [day(-9), day(150)], "kind": "visit"})
    tables = {"transactions": sales(a=[-60, -5, 20], b=[-50, 1]), "interactions": visits}
    problem = ChurnProblem(inactive="purchase", horizon_days=30)
    with pytest.raises(DataError, match="outcomes are known up to 2024-02-20"):
        problem.split(CustomerLog.from_frames(**tables), test_at=day(40), every_days=7)
    declared = CustomerLog.from_frames(**tables, observed_until=day(160).date())
    assert len(problem.split(declared, test_at=day(40), every_days=7)[1]) == 2


def test_a_log_of_answers_alone_has_a_population():
    answers = pd.DataFrame(
        {"customer_id": ["a", "b"], "occurred_at": day(-3), "metric": "nps", "score": [9, 2]}
    )
    problem = SatisfactionProblem(metric="nps", horizon_days=30)
    assert len(problem.population(CustomerLog.from_frames(feedback=answers), AS_OF)) == 2


def test_labels_of_more_than_two_values_are_refused():
    customers = pd.DataFrame({"customer_id": ["a", "b", "c"], "left": ["yes", "no", "?"]})
    log = CustomerLog.from_frames(customers=customers)
    with pytest.raises(DataError, match="expected two values, found 3"):
        ChurnProblem(label="left", positive="yes").split_customers(log, as_of=AS_OF, test_share=0.5)


def test_nobody_is_labelled_whose_window_is_not_over():
    log = CustomerLog.from_frames(
        transactions=sales(a=[-5, 20], b=[-5], c=[-3, 29]), observed_until=day(30).date()
    )
    problem = ChurnProblem(inactive="purchase", horizon_days=30, active_days=60)
    assert labels(problem, log) == {"a": 0, "b": 1, "c": 0}
    # a day less, and the window of everybody is still open: whoever came back proves nothing
    earlier = CustomerLog.from_frames(
        transactions=sales(a=[-5, 20], b=[-5], c=[-3]), observed_until=day(29).date()
    )
    assert all(np.isnan(list(labels(problem, earlier).values())))
    index = problem.population(earlier, [AS_OF, day(-2)])
    table = problem.outcomes(earlier, index)
    assert table.drop(columns="rate").to_numpy().tolist() == [
        [day(-2), 3, 3, 0, 0],
        [AS_OF, 3, 0, 0, 3],
    ]
    assert table["rate"].iloc[0] == pytest.approx(2 / 3)


def test_a_correction_changes_the_label_and_the_population_of_its_time():
    """A purchase that was a mistake: counted before the correction, gone after it."""
    rows = pd.DataFrame(
        {
            "customer_id": ["a", "a", "a", "a", "b"],
            "occurred_at": [day(-5), day(-5), day(12), day(12), day(9)],
            "known_at": [day(-5), day(3), day(12), day(40), day(9)],
            "amount": 1.0,
            "kind": ["purchase", "mistake", "purchase", "mistake", "purchase"],
            "event_id": ["x", "x", "y", "y", "z"],
        }
    )
    log = CustomerLog.from_frames(transactions=rows, observed_until=day(60).date())
    problem = ChurnProblem(inactive="purchase", horizon_days=30, active_days=60)
    assert len(problem.population(log, AS_OF)) == 1
    assert len(problem.population(log, day(4))) == 0
    assert labels(problem, log) == {"a": 1}


def test_a_rolling_origin_keeps_the_embargo_at_every_test(company):
    problem = ChurnProblem(cancelled="cancellation", horizon_days=60, gap_days=7)
    parts = problem.rolling_splits(
        company.log, first_test="2025-03-01", last_test="2025-09-15", every_days=30
    )
    tests = [test.get_level_values("as_of").unique().tolist() for _, test in parts]
    assert tests == [[d] for d in pd.date_range("2025-03-01", "2025-09-15", freq="67D")]
    for train, test in parts:
        last = train.get_level_values("as_of").max()
        assert last + pd.Timedelta(days=67) <= test.get_level_values("as_of").min()
    sizes = [len(train) for train, _ in parts]
    assert sizes == sorted(sizes)
    with pytest.raises(DataError, match="before first_test"):
        problem.rolling_splits(
            company.log, first_test="2025-09-01", last_test="2025-03-01", every_days=30
        )


def test_customers_are_kept_apart_where_asked_for(company):
    problem = ChurnProblem(cancelled="cancellation", horizon_days=60)
    split = {"test_at": "2025-09-01", "every_days": 30}
    train, test = problem.split(company.log, **split)
    assert set(train.get_level_values(0)) & set(test.get_level_values(0))
    apart, held_out = problem.split(company.log, **split, held_out_share=0.3)
    assert not set(apart.get_level_values(0)) & set(held_out.get_level_values(0))
    assert set(apart) < set(train)
    assert set(held_out) < set(test)
    assert len(held_out) / len(test) == pytest.approx(0.3, abs=0.06)


def test_dates_come_in_any_form(company):
    problem = ChurnProblem(cancelled="cancellation", horizon_days=60)
    days = pd.date_range("2025-03-01", periods=2, freq="30D")
    expected = problem.population(company.log, ["2025-03-31", "2025-03-01"])
    zoned = days.tz_localize("UTC").tz_convert("Europe/Berlin")
    for form in (days, list(days.date), days.to_numpy(), tuple(days), zoned):
        pd.testing.assert_index_equal(problem.population(company.log, form), expected)
    for wrong in ([], None, "soon"):
        with pytest.raises(ConfigError, match="expected a date"):
            problem.population(company.log, wrong)


def test_durations_count_from_the_opening_of_the_window_to_the_event_or_the_end():
    log = CustomerLog.from_frames(
        transactions=sales(a=[-5, 7], b=[-5, 7.5, 9], c=[-5, 37], d=[-5, 120]),
        observed_until=day(97).date(),
        max_reject_share=1,
    )
    problem = ChurnProblem(inactive="purchase", horizon_days=30, gap_days=7)
    assert problem.churn_by == "silence"
    index = problem.population(log, AS_OF)
    found = problem.durations(log, index)
    # a bought at the very opening, which is outside; d after the records are said to end
    assert found.to_numpy().tolist() == [[90, 0], [0.5, 1], [30, 1], [90, 0]]
    assert problem.durations(log, index, horizon_days=20)["days"].tolist() == [20, 0.5, 20, 20]
    earlier = problem.durations(log, index, until=day(37))
    assert earlier.to_numpy().tolist() == [[30, 0], [0.5, 1], [30, 1], [30, 0]]
    assert problem.durations(log, index, until=day(6)).isna().all(axis=None)
    assert problem.durations(log, index[:0]).shape == (0, 2)


def test_durations_of_cancellations_leave_out_who_left_in_the_gap():
    rows = sales(a=[-5], b=[-5], c=[-5], d=[-5, 90])
    leaving = sales(b=[8], c=[7], d=[60]).assign(kind="cancellation")
    log = CustomerLog.from_frames(
        transactions=pd.concat([rows, leaving]), observed_until=day(91).date()
    )
    problem = ChurnProblem(cancelled="cancellation", horizon_days=30, gap_days=7)
    assert problem.churn_by == "event"
    found = problem.durations(log, problem.population(log, AS_OF), horizon_days=60)
    np.testing.assert_array_equal(found, [[60, 0], [1, 1], [np.nan, np.nan], [53, 1]])


def test_durations_need_times_and_a_horizon():
    customers = pd.DataFrame({"customer_id": ["a", "b"], "left": [1, 0]})
    log = CustomerLog.from_frames(customers=customers, transactions=sales(a=[-5]))
    problem = ChurnProblem(label="left")
    index = problem.population(log, AS_OF)
    with pytest.raises(ConfigError, match="a label column has no times"):
        problem.durations(log, index)
    problem = ChurnProblem(inactive="purchase", horizon_days=30)
    with pytest.raises(ConfigError, match="horizon_days: expected 1 or more, found 0"):
        problem.durations(log, problem.population(log, AS_OF), horizon_days=0)


@settings(PLAIN, max_examples=8)
@given(seed=st.integers(0, 2**31), way=st.sampled_from(["inactive", "cancelled"]))
def test_durations_agree_with_the_labels_at_every_horizon(seed, way):
    frames = random_frames(seed)
    rng = np.random.default_rng(seed)
    end = START + pd.Timedelta(days=int(rng.integers(60, 160)))
    log = CustomerLog.from_frames(**frames, max_reject_share=1, observed_until=end.date())
    kind = {"inactive": "purchase", "cancelled": "refund"}[way]
    gap = int(rng.integers(0, 9))
    dates = [START + pd.Timedelta(days=d) for d in (20, 50, 90)]
    for days in (5, 30):
        problem = ChurnProblem(**{way: kind}, horizon_days=days, gap_days=gap, active_days=90)
        index = pd.MultiIndex.from_product([CUSTOMERS, dates], names=["customer_id", "as_of"])
        label = problem.labels(log, index)
        over = index.get_level_values("as_of") + pd.Timedelta(days=gap + days) <= end
        found = problem.durations(log, index, horizon_days=int(rng.integers(30, 60)))
        came = (found["event"] == 1) & (found["days"] <= days)
        label_says = (label == 0) if way == "inactive" else (label == 1)
        assert (came[label.notna()] == label_says[label.notna()]).all()
        assert (found["days"].isna() == label.isna())[over].all()
        # Without a label the window is open still: no duration claims to have passed it.
        passed = (found["days"] >= days) & (found["event"] == 0)
        assert not passed[label.isna()].any()
