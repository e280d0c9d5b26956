"""Baseline and drift: what is stored, what is counted, what is called drift."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import PLAIN
from scipy import stats
from truth_monitor import dated, dated_rows

from cxpredict.errors import DataError, DriftError
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.monitoring.baseline import baseline_of, learn_baseline
from cxpredict.jobs.monitoring.cells import Cells
from cxpredict.jobs.monitoring.drift import DriftCounts, score_drift
from cxpredict.jobs.monitoring.homogeneity import (
    Reference,
    holm,
    p_value,
    psi,
    psi_between,
    psi_limit,
)
from cxpredict.jobs.monitoring.statuses import raise_if_drifted


def customers(rng, n, rows=1):
    names = np.repeat([f"c{number}" for number in range(n)], rows)
    dates = np.tile(pd.date_range("2024-01-01", periods=rows), n)
    return pd.MultiIndex.from_arrays([names, dates], names=["customer_id", "as_of"])


def frame(rng, n=600):
    return pd.DataFrame(
        {
            "spend": rng.lognormal(3, 1, n),
            "calls": rng.poisson(0.4, n).astype("int64"),
            "vip": rng.random(n) < 0.2,
            "plan": rng.choice(["basic", "gold", "pro"], n, p=[0.6, 0.3, 0.1]),
            "gap": np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
        },
        index=customers(rng, n),
    )


@pytest.fixture(scope="module")
def trained():
    return frame(np.random.default_rng(1), 3000)


@pytest.fixture(scope="module")
def baseline(trained):
    risk = pd.Series(np.random.default_rng(2).beta(1, 4, 2000))
    return learn_baseline(trained, risk)


def status(baseline, X, **settings):
    table = DriftCounts(baseline).add(X).table(**settings)
    return table.set_index("feature")


def test_the_test_is_pearsons_where_every_row_is_a_customer():
    # two samples: 40, 60 of 100 and 90, 110 of 200
    ours = p_value(Reference(np.array([0.4, 0.6]), 100), np.array([90, 110]))
    theirs = stats.chi2_contingency([[40, 60], [90, 110]], correction=False).pvalue
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_repeated_rows_of_a_customer_tell_no_more_than_one():
    once = pd.DataFrame({"x": np.tile(np.arange(10.0), 40)}, index=customers(None, 400))
    each = pd.DataFrame({"x": np.repeat(once["x"].to_numpy(), 6)}, index=customers(None, 400, 6))
    new = pd.DataFrame({"x": np.repeat(np.arange(10.0), [19, 7, 11, 9, 11, 8, 9, 10, 8, 8])})
    a, b = (status(learn_baseline(X), new).loc["x"] for X in (once, each))
    assert a["p_value"] == pytest.approx(b["p_value"], rel=0.05)
    assert a["psi"] == pytest.approx(b["psi"], abs=0.01)


def test_false_alarms_stay_nominal_though_customers_repeat():
    rows, times = 8, 60
    rng = np.random.default_rng(rows)
    found = []
    for _ in range(times):
        own = rng.poisson(1.0, (300, 3)).astype(float)
        X = pd.DataFrame(np.repeat(own, rows, axis=0), columns=list("abc"))
        X.index = customers(rng, 300, rows)
        new = pd.DataFrame(rng.poisson(1.0, (200, 3)).astype(float), columns=list("abc"))
        found.append((status(learn_baseline(X), new)["p_corrected"] < 0.05).any())
    assert np.mean(found) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / times)


def test_psi_by_hand():
    # .8 ln(.8/.5) + .2 ln(.2/.5) less .5 of the logs: .3 ln 1.6 − .3 ln .4 = .3 ln 4
    large = Reference(np.array([0.5, 0.5]), 10**9)
    assert psi(large, np.array([8 * 10**8, 2 * 10**8]))[0] == pytest.approx(0.3 * np.log(4), 1e-6)
    # by chance (10 − 1)(1/100 + 1/50) = .27
    assert psi(Reference(np.full(10, 0.1), 100), np.full(10, 5))[1] == pytest.approx(0.27)


def test_holm_by_hand():
    # .01·3, .02·2, .9
    assert holm(np.array([0.9, 0.01, 0.02])).tolist() == pytest.approx([0.9, 0.03, 0.04])


def test_what_is_the_same_is_stable_and_what_moved_is_named(baseline, trained):
    new = frame(np.random.default_rng(5), 800)
    assert set(status(baseline, new)["status"]) == {"stable"}
    more = status(baseline, new.assign(spend=new["spend"] * 3, calls=new["calls"] + 2))
    assert more.loc[["spend", "calls"], "status"].tolist() == ["drifted", "drifted"]
    assert more.drop(["spend", "calls"])["status"].eq("stable").all()
    assert "in training" in more.loc["spend", "detail"]
    slight = status(baseline, new.assign(spend=new["spend"] * 1.35))
    assert slight.loc["spend", "status"] == "moved"
    assert status(baseline, new.assign(spend=new["spend"] * 1.35), max_psi=0.0).loc[
        "spend", "status"
    ] == ("drifted")


def test_how_far_dates_lie_apart_by_hand():
    # .3 ln 4 for the third against both others; each of those, .5 against .65: .15 ln(.65/.35)
    apart = psi_between(np.array([[5, 5], [5, 5], [8, 2]]) * 10**7)
    assert apart == pytest.approx([0.15 * np.log(13 / 7)] * 2 + [0.3 * np.log(4)], rel=1e-4)
    # F(1, 5) is the square of t(5): 4.0321 cuts off .5 % on either side
    assert psi_limit(0.1, 6, 0.01) == pytest.approx(0.1 * 4.0321**2, rel=1e-3)
    assert psi_limit(-0.01, 6, 0.01) == 0.0


@pytest.mark.parametrize(("dates", "judged"), [(1, "drifted"), (2, "drifted"), (8, "moved")])
def test_a_date_may_differ_as_training_dates_do(dates, judged):
    parts = dated_rows(np.random.default_rng(4), dates + 1, 300)
    trained, new = pd.concat(parts[:-1]), parts[-1].assign(calendar_month=13)
    trained.attrs = parts[0].attrs
    trained["phase_0"] += np.repeat(np.arange(dates) % 3 * 10, 300)
    new = new.assign(steady_0=new["steady_0"] + 1.5, phase_0=trained["phase_0"].max() + 1.0)
    table = status(learn_baseline(trained), new)
    assert table.loc["calendar_month", "status"] == "by date"
    assert pd.isna(table.loc["calendar_month", ["p_value", "psi_limit"]]).all()
    assert table.loc["steady_0", "status"] == "drifted"
    assert table.loc["phase_0", "status"] == judged
    known = "dates lie apart is not known" in table.loc["phase_0", "detail"]
    assert known == (dates < 3)


def test_worlds_whose_dates_differ_raise_no_false_alarm():
    found = [dated(seed, 6, customers=200) for seed in range(12)]
    assert all(each["by_size"] for each in found)
    assert sum(each["alert"] for each in found) <= 2  # at 5 %, more in 2 % of such dozens


def test_columns_that_are_missing_new_or_of_another_type(baseline):
    new = frame(np.random.default_rng(6), 300)
    new = new.drop(columns="gap").assign(calls=new["calls"].map("{} calls".format), colour="red")
    table = status(baseline, new)
    assert table.loc["gap", "status"] == "missing"
    assert table.loc["calls", "status"] == "retyped"
    assert table.loc["colour", "status"] == "extra"
    assert table.loc[["gap", "calls", "colour"], ["psi", "p_corrected"]].isna().all().all()
    with pytest.raises(DriftError, match=r"2 column\(s\).*gap \(missing\), calls \(retyped\)"):
        raise_if_drifted(table.reset_index())
    assert DriftError.exit_code == 9


def test_unseen_levels_are_counted_and_named_only_where_many_have_them(baseline):
    new = frame(np.random.default_rng(7), 1000)
    plan = new["plan"].to_numpy().copy()
    plan[:3], plan[3:15] = "anna@example.org", "student"
    row = status(baseline, new.assign(plan=plan)).loc["plan"]
    assert row["status"] == "unseen levels"
    assert row["detail"] == "15 of 1,000 rows: student (12)"
    plan[:500] = "student"
    assert status(baseline, new.assign(plan=plan)).loc["plan", "status"] == "drifted"


def test_gaps_and_infinite_values_count_as_missing(baseline):
    new = frame(np.random.default_rng(8), 1000)
    new["spend"] = np.where(np.arange(1000) % 2 == 0, new["spend"], np.inf)
    row = status(baseline, new).loc["spend"]
    assert row["status"] == "drifted"
    assert row["detail"] == (
        "missing: 0.0% in training, 50.0% now; trained on 1 date(s): how far dates lie apart is "
        "not known"
    )
    few = frame(np.random.default_rng(9), 1000)
    few.iloc[:12, 0] = np.nan  # too few for the main test, but never seen in 3,000 rows
    assert status(baseline, few).loc["spend", "status"] == "moved"


@settings(PLAIN, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_table_does_not_depend_on_chunks_or_order(baseline, seed):
    rng = np.random.default_rng(seed)
    X = frame(rng, 200)
    X["plan"] = X["plan"].where(rng.random(200) < 0.9, None)
    X["extra"] = "x"
    risk = pd.Series(rng.beta(2, 4, 200), X.index)
    whole = DriftCounts(baseline).add(X, risk).table()
    order = rng.permutation(200)
    cuts = np.sort(rng.integers(0, 201, 3))
    parts = [DriftCounts(baseline) for _ in range(2)]
    for place, rows in enumerate(np.split(order, cuts)):
        parts[place % 2].add(X.iloc[rows], risk.iloc[rows])
    pd.testing.assert_frame_equal(parts[0].merge(parts[1]).table(), whole, check_exact=True)


def test_the_same_values_in_another_dtype_are_the_same(baseline):
    X = frame(np.random.default_rng(10), 400)
    plain = DriftCounts(baseline).add(X).table()
    other = X.assign(
        calls=X["calls"].astype("Int64"),
        vip=X["vip"].astype("float64"),
        plan=X["plan"].astype("category"),
        spend=X["spend"].astype("object"),
    )[X.columns[::-1]]
    pd.testing.assert_frame_equal(DriftCounts(baseline).add(other).table(), plain)


def test_the_baseline_is_plain_and_gives_nobody_away():
    rng = np.random.default_rng(11)
    n = 900
    X = pd.DataFrame({"spend": rng.lognormal(3, 1, 3 * n).round(2)}, index=customers(rng, n, 3))
    town = np.repeat(rng.choice(["north", "south"], n), 3).astype(object)
    town[:30] = "tenville"  # thirty rows of ten customers
    town[30:63] = "eleventon"  # and eleven customers
    X["town"] = town
    told = learn_baseline(X, pd.Series(rng.random(50)))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    entry = told["features"]["town"]
    assert set(entry["levels"]) == {"north", "south", "eleventon"}
    assert entry["shares"][3] == pytest.approx(30 / 2700)
    assert told["customers"] == n
    assert told["rows"] == 3 * n
    spend = told["features"]["spend"]
    cell = Cells.of(spend).place(X["spend"]).cell
    held = (
        X.assign(cell=cell).groupby("cell").apply(lambda r: r.index.get_level_values(0).nunique())
    )
    assert (held >= 11).all()
    assert len(str(spend["edges"])) < 100  # rounded: no edge has the digits of a customer's value
    assert "tenville" not in json.dumps(told)


def test_columns_that_say_little_break_nothing():
    n = 40
    X = pd.DataFrame(
        {
            "constant": np.ones(n),
            "empty": np.full(n, np.nan),
            "one": [1.0] * (n - 1) + [2.0],
            "text": pd.Series([None] * n, dtype="object"),
            "id": [f"id {number}" for number in range(n)],
        }
    )
    told = learn_baseline(X)
    table = status(told, X.head(1))
    assert table["status"].tolist() == ["stable"] * 5
    assert table["p_value"].gt(0.9).all()
    assert status(told, X.assign(empty=1.0).head(30)).loc["empty", "status"] == "drifted"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d, X: d.table(), "no row was counted"),
        (lambda d, X: d.add(X.set_axis(["a"] * 5, axis=1)), "unique"),
        (lambda d, X: d.add(X, [0.5]), "must have the"),
        (lambda d, X: d.add(X).table(level=1.0), "level"),
        (lambda d, X: d.add(X).table(max_psi=-1.0), "max_psi"),
        (lambda d, X: learn_baseline(X.head(0)), "found none"),
        (
            lambda d, X: learn_baseline(X.assign(day=pd.Timestamp("2024-01-01"))),
            "'day' holds dates",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(baseline, trained, change, says):
    with pytest.raises(DataError, match=says):
        change(DriftCounts(baseline), trained)


def test_training_stores_a_baseline_in_the_bundle(run, tmp_path):
    bundle = run.models[0].bundle
    told = baseline_of(bundle)
    digest = bundle.save(tmp_path / "bundle")
    assert baseline_of(Bundle.load(tmp_path / "bundle", digest=digest)) == told
    assert set(told["features"]) == set(bundle.model.feature_names_in_)
    assert told["rows"] == bundle.card["training rows"]
    # the scores of the test rows are what later scores are compared with
    assert told["score"]["rows"] == len(run.models[0].risk)
    assert score_drift(told, run.models[0].risk)["score_status"] == "stable"
    assert score_drift(told, 1.0 - run.models[0].risk)["score_status"] == "drifted"
    assert score_drift(None, run.models[0].risk)["score_status"] == "no baseline"
