"""The leak audit: hand-made cases, planted leaks, clean tables, known leaks of real data."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from cxpredict.errors import ConfigError, DataError, EmptyDataError, LeakageError
from cxpredict.features.audit import audit_leakage
from cxpredict.features.audit.power import auc_standard_error, measure, readings, weighted_auc
from cxpredict.features.origin import Origin


def _clean(seed, n=4000, base=0.25, dates=1):
    """Noise and honest features with a single-feature AUC from .55 to .80, of five kinds."""
    rng = np.random.default_rng(seed)
    customers = np.repeat([f"c{i}" for i in range(n // dates)], dates)
    as_of = np.tile(pd.date_range("2025-01-01", periods=dates), n // dates)
    index = pd.MultiIndex.from_arrays([customers, as_of], names=["customer_id", "as_of"])
    y = (rng.random(n) < base).astype(int)
    columns = {}
    for place, auc in enumerate([*np.linspace(0.55, 0.80, 6), *[0.5] * 9]):
        normal = rng.normal(size=n) + np.sqrt(2) * norm.ppf(auc) * y
        columns[f"f{place}"] = [
            normal,
            np.floor(np.exp(normal)).astype(int),
            pd.Categorical.from_codes(np.clip(normal + 2, 0, 5).astype(int), list("abcdef")),
            np.where(rng.random(n) < 0.2 + 0.1 * y, np.nan, normal),
            np.round(normal, 1),
        ][place % 5]
    return pd.DataFrame(columns, index=index), pd.Series(y, index=index, name="churned")


def _leaks(y, seed):
    """Twenty-four ways in which a label gets into a table."""
    rng = np.random.default_rng(seed)
    n, left = len(y), y.to_numpy() == 1
    flipped = np.where(rng.random(n) < 0.02, ~left, left)
    ended = np.datetime64("2025-06-01") + rng.integers(0, 90, n).astype("timedelta64[D]")
    leaks = {
        "copy": left,
        "inverse": 1 - y.to_numpy(),
        "copy with jitter": left + rng.normal(0, 0.01, n),
        "noisy copy": left + rng.normal(0, 0.35, n),
        "status": pd.Categorical(np.where(left, "left", "active")),
        "many levels": np.where(left, rng.choice(list("ABCDEFG"), n), rng.choice(list("MNOP"), n)),
        "filled in when left": np.where(left, rng.random(n), np.nan),
        "missing when left": np.where(left, np.nan, rng.random(n)),
        "near copy": flipped,
        "near copy in words": np.where(flipped, "yes", "no"),
        "count after the event": left * rng.poisson(1.0, n),
        "another count after it": np.where(left, 1 + rng.poisson(1, n), rng.poisson(0.02, n)),
        "refund after it": np.where(left & (rng.random(n) < 0.3), rng.gamma(2, 20, n), 0.0),
        "free text of some": np.where(
            left & (rng.random(n) < 0.4), [f"text {i}" for i in range(n)], None
        ),
        "numbered text": [f"{'cancelled' if left[i] else 'open'} in {i}" for i in range(n)],
        "future spend": np.where(left, 0.0, rng.gamma(2, 30, n)),
        "future orders": np.where(left, 0, rng.poisson(2.5, n)),
        "another model's score": 1 / (1 + np.exp(2 - 4 * left - rng.normal(0, 1, n))),
        "middle of a range": np.where(
            left, rng.normal(0, 0.3, n), rng.choice([-1, 1], n) * (1.2 + rng.random(n))
        ),
        "last digit": rng.permutation(n) * 10
        + np.where(left, rng.integers(0, 4, n), rng.integers(4, 10, n)),
        "order of the rows": np.argsort(np.argsort(left + rng.random(n) * 0.5)),
        "end date": np.where(left, ended, np.datetime64("NaT")),
        "renewed after it": (~left & (rng.random(n) < 0.7)).astype(int),
        "days silent at the end": np.where(left, rng.integers(60, 200, n), rng.integers(0, 62, n)),
    }
    return pd.DataFrame(leaks, index=y.index)


def test_weighted_auc_counts_pairs():
    # positives .9 .9 .9 .1, negatives .1 .1 .1 .9: of 16 pairs 9 in order, 6 tied, 1 reversed
    auc = weighted_auc(np.array([0.1, 0.9]), np.array([1.0, 3.0]), np.array([3.0, 1.0]))
    assert auc == (9 + 6 / 2) / 16


def test_out_of_fold_rates_by_hand():
    # Two folds, one level: fold 0 holds 1 1, fold 1 holds 0 0, so each fold is told the other's
    # rate: (0 + .5) / (2 + 1) = 1/6 for the positives, (2 + .5) / 3 = 5/6 for the negatives.
    power = measure(np.zeros(4, int), np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1]))
    assert power.auc == 0.0
    assert power.accuracy == 0.0
    assert power.base == 0.5


def test_auc_of_bins_is_close_to_the_auc_of_the_column():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 20_000)
    x = rng.normal(size=20_000) + y
    power = measure(readings(pd.Series(x))["value"], y, np.arange(20_000) % 4)
    assert abs(power.auc - roc_auc_score(y, x)) < 0.01


def test_standard_error_without_power_is_that_of_the_rank_sum():
    # Mann and Whitney: the variance of the AUC under the null is (m + n + 1) / (12 m n).
    assert auc_standard_error(0.5, 30, 70) == pytest.approx(np.sqrt(101 / (12 * 30 * 70)))


@pytest.mark.parametrize(("n", "dates", "base"), [(500, 1, 0.5), (4000, 4, 0.05), (4000, 1, 0.25)])
def test_no_false_alarm_on_twenty_clean_tables(n, dates, base):
    for seed in range(20):
        X, y = _clean(seed, n, base, dates)
        assert audit_leakage(X, y).high == ()


@pytest.mark.parametrize("base", [0.05, 0.25, 0.5])
def test_every_planted_leak_is_found_and_nothing_else(base):
    X, y = _clean(11, 4000, base)
    leaks = _leaks(y, 12)
    audit = audit_leakage(X.join(leaks), y)
    assert set(audit.high) == set(leaks.columns)


def test_result_does_not_depend_on_the_order_of_rows():
    X, y = _clean(5, 2000, dates=4)
    X = X.join(_leaks(y, 6)[["noisy copy", "status"]])
    order = np.random.default_rng(0).permutation(len(X))
    first, second = audit_leakage(X, y), audit_leakage(X.iloc[order], y.iloc[order])
    pd.testing.assert_frame_equal(first.power, second.power)
    columns = ["feature", "check", "severity", "evidence"]
    pd.testing.assert_frame_equal(first.table[columns], second.table[columns])


def test_a_column_that_names_the_customer_cannot_carry_the_label_between_folds():
    # The label is constant within a customer: without grouped folds the id would be a perfect copy.
    X, y = _clean(7, 4000, dates=4)
    y[:] = np.repeat(y.to_numpy()[::4], 4)
    X = X[["f14"]].assign(account=X.index.get_level_values("customer_id"))
    audit = audit_leakage(X, y)
    assert audit.high == ()
    row = audit.table.set_index("feature").loc["account"]
    assert (row["check"], row["severity"]) == ("identifier", "medium")


def test_auc_lost_is_the_gain_over_the_honest_features():
    X, y = _clean(8)
    audit = audit_leakage(X.assign(status=y, again=y), y)
    lost = audit.table.query("severity == 'high'").set_index("feature")["auc_lost"]
    # Each of the two copies lifts the honest model to 1, and neither hides the other's price.
    assert lost["status"] == lost["again"]
    honest = 1 - lost["status"]
    assert 0.80 < honest < 0.97


def test_scores_are_audited_for_the_low_ones():
    rng = np.random.default_rng(9)
    score = rng.choice([1, 2, 3, 4, 5], 3000, p=[0.1, 0.15, 0.2, 0.25, 0.3])
    X = pd.DataFrame({"noise": rng.normal(size=3000), "intention": score * 2 + rng.random(3000)})
    audit = audit_leakage(X, score)
    assert audit.high == ("intention",)
    assert "2 or less" in audit.notes[0]
    assert "4 or less" in audit_leakage(X, score, low_at_most=4).notes[0]


def test_negative_ages_and_dates_past_as_of_are_time_travel():
    X, y = _clean(10, 1000)
    X["purchase_days_since"] = np.arange(1000) - 3
    X["contract_end"] = pd.Timestamp("2025-02-01")
    X.attrs["origins"] = {"purchase_days_since": Origin("transactions", "days_since").to_dict()}
    table = audit_leakage(X, y).table.query("check == 'time travel'").set_index("feature")
    assert table["severity"].to_dict() == {"purchase_days_since": "high", "contract_end": "medium"}
    assert table.loc["purchase_days_since", "evidence"].startswith("3 of 1,000 rows")


def test_constants_and_repeats_are_low():
    X, y = _clean(13, 1000)
    X = X[["f0", "f2"]].assign(one=1, f0_again=X["f0"], f2_renamed=X["f2"].map(str.upper))
    table = audit_leakage(X, y).table.set_index("feature")
    assert (table["severity"] == "low").all()
    assert table["evidence"].to_dict() == {
        "one": "the same value in every row",
        "f0_again": "repeats f0",
        "f2_renamed": "repeats f2",
    }


def test_split_overlap_counts_rows_customers_and_repeats():
    X, y = _clean(14, 400, dates=4)
    train, later = X.iloc[:200], X.iloc[190:]  # customer c47 is cut, rows 190 to 199 stand twice
    audit = audit_leakage(train, y.iloc[:200], X_test=later, y_test=y.iloc[190:])
    evidence = audit.table.set_index("check")["evidence"]
    assert evidence["split overlap"].startswith("10 of 210 test rows")
    assert evidence["customer overlap"].startswith("3 of 53 test customers")
    assert (
        evidence["repeated rows"]
        == "10 of 210 test rows repeat a training row, 10 of them with its label"
    )
    assert audit.high == ()


def test_error_names_features_evidence_and_price_and_accepts_with_a_reason():
    X, y = _clean(15, 2000)
    audit = audit_leakage(X.assign(status=y, notice=1 - y), y)
    with pytest.raises(
        LeakageError, match=r"status: label copy: .*100\.00% of rows.*AUC lost"
    ) as e:
        audit.raise_if_leaking(accepted={"notice": "given months before the end"})
    assert "notice" not in str(e.value)
    audit.raise_if_leaking(accepted={"notice": "known in time", "status": "so is this"})
    with pytest.raises(ConfigError, match="need a reason"):
        audit.raise_if_leaking(accepted={"notice": " "})


def test_no_value_of_a_customer_is_shown_and_html_is_escaped():
    X, y = _clean(16, 1000)
    name = "<script>alert(1)</script>"
    X[name] = np.where(y == 1, "Jane Doe of Elm Street", "John Doe")
    audit = audit_leakage(X, y)
    page = audit._repr_html_()
    assert audit.high == (name,)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "Doe" not in page + audit.table.to_string()


def test_large_tables_are_sampled_by_customer_and_say_so():
    X, y = _clean(17, 4000, dates=4)
    audit = audit_leakage(X.assign(copy=y), y, max_rows=1000)
    assert audit.high == ("copy",)
    assert audit.notes == ("1,000 of 4,000 rows used (whole customers, drawn at random)",)


def test_every_dtype_is_read():
    y = np.arange(400) % 2
    X = pd.DataFrame(
        {
            "nullable": pd.array([1, None] * 200, dtype="Int64"),
            "boolean": pd.array([True, None] * 200, dtype="boolean"),
            "infinite": np.where(y == 1, np.inf, 0.5),
            "zoned": pd.date_range("2025-01-01", periods=400, tz="UTC"),
            "span": pd.to_timedelta(y, unit="D"),
            "mixed": [1, "a"] * 200,
            "empty": [None] * 400,
        }
    )
    high = {"nullable", "boolean", "infinite", "span", "mixed"}
    assert set(audit_leakage(X, y).high) == high


@pytest.mark.parametrize(
    ("X", "y", "error", "words"),
    [
        (pd.DataFrame({"a": []}), [], EmptyDataError, "shape"),
        (pd.DataFrame({"a": [1, 2]}), [1, 1], DataError, "one class"),
        (pd.DataFrame({"a": [1, 2]}), [1, np.nan], DataError, "1 missing"),
        (pd.DataFrame({"a": [1, 2]}), ["yes", "no"], DataError, "numbers"),
        (pd.DataFrame({"a": [1, 2]}), [1, 0, 1], DataError, "one per row"),
        (pd.DataFrame({"a": [1, 2]}), pd.Series([1, 0], index=[5, 6]), DataError, "index"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), [1, 0], DataError, "unique"),
    ],
)
def test_what_does_not_fit_is_said(X, y, error, words):
    with pytest.raises(error, match=words):
        audit_leakage(X, y)


def test_known_leaks_of_telco_and_no_others(shared_data):
    X = pd.read_parquet(shared_data / "telco_1113_merged.parquet")
    y = X.pop("Churn Value")
    audit = audit_leakage(X, y)
    known = {"Churn Score", "Customer Status", "Churn Category", "Churn Reason", "Churn Label"}
    assert set(audit.high) == known | {"Satisfaction Score"}
    lost = audit.table.set_index("feature").loc[list(audit.high), "auc_lost"]
    assert lost.between(0.05, 0.12).all()  # the honest ceiling of these data is about .90


def test_known_leak_of_the_bank_and_no_other(shared_data):
    X = pd.read_parquet(shared_data / "bank_churn_records.parquet")
    audit = audit_leakage(X.drop(columns="Exited"), X["Exited"])
    assert audit.high == ("Complain",)


@pytest.mark.parametrize(("name", "label"), [("telco_classic", "Churn"), ("churn_tv", "target")])
def test_clean_real_tables_raise_no_alarm(shared_data, name, label):
    X = pd.read_parquet(shared_data / f"{name}.parquet")
    y = X.pop(label)
    y = (y == "Yes").astype(int) if name == "telco_classic" else y
    assert audit_leakage(X, y).high == ()
    assert audit_leakage(X.assign(copy=y), y).high == ("copy",)
