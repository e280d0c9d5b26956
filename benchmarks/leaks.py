"""Is the past safe from the future? ``python benchmarks/leaks.py [--json] [--changes 2000]``.

- 2,000 changes of records that nobody knew before a date: no feature may move by a bit.
- 20 leaks planted in simulated records and in telco: the audit must find each one of them.
- 20 clean sets: not one feature may be called a leak.
- The leaks that everybody knows in the real data sets, by name.
- online_retail on the default aggregates: what honest features are worth.

The real data sets are read from ../shared/data; without them those bars are left out.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from main_job import ROOT, bar

sys.path.insert(0, str(ROOT / "tests"))

from futures import CHANGES, Records, assert_past_unmoved
from hypothesis import settings
from random_log import PLAIN

import cxpredict as cx

DATA = ROOT.parent / "shared" / "data"
KNOWN = {
    "telco_1113_merged": (
        "Churn Value",
        {"Churn Score", "Customer Status", "Churn Category", "Churn Reason", "Churn Label",
         "Satisfaction Score"},
    ),
    "bank_churn_records": ("Exited", {"Complain"}),
}  # fmt: skip


def at_least(name, value, bound):
    return bar(name, round(value, 4), f">= {bound:g}", value >= bound)


def changes_bar(number):
    """Count the changes of the future that moved a feature."""
    company = cx.simulate_company(1_500, seed=11)
    records, moved = Records(company), []

    @settings(PLAIN, max_examples=number)
    @CHANGES
    def check(**change):
        try:
            assert_past_unmoved(records, **change)
        except AssertionError:
            moved.append(change)

    started = time.perf_counter()
    check()
    print(f"{number:,} changes of {len(records.features.columns) - 2} features checked in "
          f"{time.perf_counter() - started:.0f} s")  # fmt: skip
    return bar(f"changes of the future that moved a feature, of {number:,}",
               len(moved), "= 0", not moved)  # fmt: skip


def careless(name):
    """Give a builder that makes one feature as it should not be made."""

    def build(log, index):
        who = index.get_level_values("customer_id")
        as_of = index.get_level_values("as_of")
        rows = {n: t.to_pandas() for n, t in log.table.items()}
        calls, paid, answers = rows["interactions"], rows["transactions"], rows["feedback"]

        def of(series):
            return series.reindex(who).to_numpy()

        def before(events, *, clock="occurred_at", plus=0):
            events = events.merge(index.to_frame(index=False), on="customer_id")
            limit = events["as_of"] + pd.Timedelta(days=plus)
            kept = events[events[clock] < limit]
            return kept.groupby(["customer_id", "as_of"]).size().reindex(index).fillna(0.0)

        last = calls.groupby("customer_id")["occurred_at"].max()
        ways = {
            "count without a date": lambda: of(calls.groupby("customer_id").size()),
            "days since the last record of all": lambda: (as_of - of(last)) / pd.Timedelta(days=1),
            "cancelled at any time": lambda: of(
                paid[paid.kind == "cancellation"].groupby("customer_id").size()
            ),
            "refunds of all time": lambda: of(
                paid[paid.kind == "refund"].groupby("customer_id")["amount"].sum()
            ),
            "last score of all": lambda: of(
                answers.dropna(subset="score").groupby("customer_id")["score"].last()
            ),
            "spend of all time": lambda: of(paid.groupby("customer_id")["amount"].sum()),
            "one clock only": lambda: before(calls, clock="occurred_at").to_numpy(),
            "window a week too long": lambda: before(calls, plus=7).to_numpy(),
            "answers not yet known": lambda: before(answers.dropna(subset="score")).to_numpy(),
            "mean of all usage": lambda: of(
                calls[calls.kind == "usage"].groupby("customer_id")["value"].mean()
            ),
        }
        return pd.DataFrame({name: np.asarray(ways[name](), dtype=float)}, index=index)

    return build


CARELESS = (
    "count without a date", "days since the last record of all", "cancelled at any time",
    "refunds of all time", "last score of all", "spend of all time", "one clock only",
    "window a week too long", "answers not yet known", "mean of all usage",
)  # fmt: skip


def features_of(company):
    churn = cx.ChurnProblem(cancelled="cancellation", horizon_days=60)
    train, _ = churn.split(company.log, test_at="2025-09-01", every_days=90)
    return cx.build_features(company.log, train), churn.labels(company.log, train)


def simulated_leaks():
    """Plant one careless feature at a time beside the honest ones."""
    company = cx.simulate_company(1_500, seed=21)
    X, y = features_of(company)
    for name in CARELESS:
        build = careless(name)
        planted = X.join(build(company.log, X.index))
        audit = cx.audit_leakage(planted, y, log=company.log, build=build)
        yield name, name in audit.high, [other for other in audit.high if other != name]


def telco_leaks(X, y):
    """Plant ten leaks in the honest columns of telco, all at once."""
    rng, n, left = np.random.default_rng(5), len(y), y.to_numpy() == 1
    flipped = np.where(rng.random(n) < 0.02, ~left, left)
    leaks = pd.DataFrame(
        {
            "copy": left,
            "copy with jitter": left + rng.normal(0, 0.01, n),
            "near copy in words": np.where(flipped, "gone", "here"),
            "filled in when left": np.where(left, rng.random(n), np.nan),
            "missing when left": np.where(left, np.nan, rng.random(n)),
            "numbered text": [f"{'cancelled' if left[i] else 'open'} in {i}" for i in range(n)],
            "future spend": np.where(left, 0.0, rng.gamma(2, 30, n)),
            "another model's score": 1 / (1 + np.exp(2 - 4 * left - rng.normal(0, 1, n))),
            "refund after it": np.where(left & (rng.random(n) < 0.3), rng.gamma(2, 20, n), 0.0),
            "end date": np.where(
                left,
                np.datetime64("2025-06-01") + rng.integers(0, 90, n).astype("timedelta64[D]"),
                np.datetime64("NaT"),
            ),
        },
        index=X.index,
    )
    high = cx.audit_leakage(X.join(leaks), y).high
    for name in leaks:
        yield name, name in high, [other for other in high if other not in leaks]


def telco():
    X = pd.read_parquet(DATA / "telco_1113_merged.parquet")
    y = X.pop("Churn Value")
    return X.drop(columns=list(KNOWN["telco_1113_merged"][1])), y


def planted_bars(real):
    found = list(simulated_leaks())
    if real:
        found += telco_leaks(*telco())
    for name, caught, others in found:
        print(
            f"  {'found ' if caught else 'MISSED'}  {name}" + f"  (also: {others})" * bool(others)
        )
    caught = sum(hit for _, hit, _ in found)
    yield bar(f"planted leaks found, of {len(found)}", caught, f"= {len(found)}",
              caught == len(found))  # fmt: skip
    extra = sum(bool(others) for *_, others in found)
    yield bar("honest features accused beside them", extra, "= 0", extra == 0)


def clean_sets(real):
    """Give sets without a leak: simulated companies, and honest columns of real customers."""
    for seed in range(10 if real else 20):
        company = cx.simulate_company(1_000, seed=100 + seed)
        yield f"company {seed}", *features_of(company), company.log
    if not real:
        return
    X, y = telco()
    for seed in range(5):
        some = X.sample(frac=0.7, random_state=seed).index
        yield f"telco, part {seed}", X.loc[some], y.loc[some], None
    bank = pd.read_parquet(DATA / "bank_churn_records.parquet").drop(columns="Complain")
    for seed in range(3):
        part = bank.sample(frac=0.7, random_state=seed)
        yield f"bank, part {seed}", part.drop(columns="Exited"), part["Exited"], None
    for name, label, positive in (("telco_classic", "Churn", "Yes"), ("churn_tv", "target", 1)):
        table = pd.read_parquet(DATA / f"{name}.parquet")
        y = (table.pop(label) == positive).astype(int)
        yield name, table, y, None


def clean_bar(real):
    alarms = 0
    for name, X, y, log in clean_sets(real):
        high = cx.audit_leakage(X, y, log=log).high
        alarms += len(high)
        if high:
            print(f"  false alarm in {name}: {', '.join(high)}")
    return bar("false alarms on 20 clean sets", alarms, "= 0", alarms == 0)


def known_bars():
    for name, (label, leaks) in KNOWN.items():
        X = pd.read_parquet(DATA / f"{name}.parquet")
        high = set(cx.audit_leakage(X.drop(columns=label), X[label]).high)
        yield bar(f"{name}: the known leaks and no others", f"{len(high & leaks)} of {len(leaks)}",
                  f"= {len(leaks)} of {len(leaks)}", high == leaks)  # fmt: skip
    X = pd.read_parquet(DATA / "nps_retail_fr.parquet").drop(columns=["id", "explication"])
    X = X.dropna(subset="nps")
    table = cx.audit_leakage(X.drop(columns="nps"), X["nps"], low_at_most=6).table
    named = set(table.query("severity != 'low'").feature)
    same = {"satisfaction", "intention"}
    yield bar("nps_retail_fr: answers of the same survey named", f"{len(named & same)} of 2",
              "= 2 of 2", same <= named)  # fmt: skip


def retail_bar():
    """Train on four stacked dates, test on the last 90 days."""
    log = cx.CustomerLog.open(ROOT / "configs" / "online_retail.yaml")
    churn = cx.ChurnProblem(inactive="purchase", horizon_days=90, active_days=180)
    train, test = churn.split(log, test_at="2011-09-09", every_days=20, train_from="2011-04-12")
    dates = train.get_level_values("as_of").unique()
    aggregates = cx.default_aggregates(log, until=dates.max())
    X, X_test = (cx.build_features(log, part, aggregates=aggregates) for part in (train, test))
    model = cx.ChurnModel(random_state=7).fit(X, churn.labels(log, train))
    metrics = cx.evaluate(churn.labels(log, test), model.predict_proba(X_test)[:, 1])
    auc = metrics.set_index("metric").loc["roc_auc"]
    print(f"online_retail: {len(test):,} customers, {len(dates)} training dates, {X.shape[1]} "
          f"default features: AUC {auc.estimate:.4f} [{auc.low:.4f}, {auc.high:.4f}]")  # fmt: skip
    return at_least("online_retail: AUC on the default aggregates, four dates", auc.estimate, 0.75)


def leak_bars(changes):
    """Measure all bars."""
    real = Path(DATA).is_dir()
    if not real:
        print("the real data sets are not here: their bars are left out")
    yield changes_bar(changes)
    yield from planted_bars(real)
    yield clean_bar(real)
    if real:
        yield from known_bars()
        yield retail_bar()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as last line")
    parser.add_argument("--changes", type=int, default=2000, help="changes of the future to try")
    arguments = parser.parse_args()
    bars = list(leak_bars(arguments.changes))
    print(pd.DataFrame(bars).to_string(index=False))
    if arguments.json:
        print(json.dumps({"bars": bars}))


if __name__ == "__main__":
    main()
