"""Online Retail in ``benchmarks/accuracy.py``: silence of 90 days, by events and dates.

Population, dates and features are those of ``configs/online_retail.yaml``: all through the public
API. Beside it stands what a marketing department would do: a logistic regression on recency,
frequency and money of the same customers at the same dates.

The log loss is given as predicted, and after the shift of the base rate between training dates and
test date is corrected. The correction is told the rate of the test, by design of the bar: it asks
how good the model is apart from a shift of the market, and makes no forecast of that shift.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from accuracy_measures import at_base_rate, auc, below, calibration_error, least, loss, most
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import cxpredict as cx
from cxpredict.config import parse_config

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "online_retail.yaml"
NAME = "online_retail"


def rows_and_bars(data, contenders, corrected=at_base_rate):
    """Return table rows and bars; `corrected` takes probabilities, the old and the new rate."""
    config = open_config(data)
    log = cx.CustomerLog.open(config)
    problem = cx.ChurnProblem(**config.problems.churn.model_dump())
    train, test = problem.split(log, **config.split.model_dump())
    y, y_test = (problem.labels(log, index) for index in (train, test))
    aggregates = cx.default_aggregates(log, until=train.get_level_values("as_of").max())
    X, X_test = (cx.build_features(log, i, aggregates=aggregates) for i in (train, test))
    varying = [name for name in X if X[name].nunique(dropna=False) > 1]
    found = {n: run(X[varying], y, X_test[varying]) for n, run in contenders.items()}
    rfm, rfm_test = (recency_frequency_money(log, index) for index in (train, test))
    simple = make_pipeline(StandardScaler(), LogisticRegression()).fit(rfm, y)
    p = {name: (o.p, o.seconds, o.cpu) for name, o in found.items()}
    p["rfm logistic"] = (simple.predict_proba(rfm_test)[:, 1], np.nan, np.nan)
    rows = []
    for name, (risk, seconds, cpu) in p.items():
        shifted = corrected(risk, y.mean(), y_test.mean())
        rows.append({
            "set": NAME, "model": name, "auc": auc(y_test, risk), "log_loss": loss(y_test, shifted),
            "log_loss_raw": loss(y_test, risk), "ece": calibration_error(y_test, shifted),
            "fit_s": seconds, "cpu_s": cpu,
        })  # fmt: skip
    print(
        f"{NAME}: {len(y):,} training rows, {y.mean():.3f} silent; {len(y_test):,} test rows, "
        f"{y_test.mean():.3f}; {len(varying)} features; log_loss is after the base-rate correction"
    )
    return rows, list(bars_of({row["model"]: row for row in rows}))


def bars_of(rows):
    ours, simple = rows["cxpredict"], rows["rfm logistic"]
    simple_best = min(simple["log_loss"], simple["log_loss_raw"])
    yield least(f"{NAME}: AUC", ours["auc"], 0.75)
    yield most(f"{NAME}: log loss, base rate corrected", ours["log_loss"], 0.575)
    yield below(f"{NAME}: the same, than RFM corrected or not", ours["log_loss"], simple_best)


def open_config(data):
    """Read the configuration, its source taken from the folder of the data."""
    content = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    content["sources"]["lines"]["path"] = str(Path(data).resolve() / "online_retail.parquet")
    return parse_config(content, directory=CONFIG.parent)


def recency_frequency_money(log, index):
    """Compute the three numbers of every customer and date, from records known before it."""
    records = log.transactions.to_pandas()
    bought = records[records["kind"] == "purchase"]
    parts = []
    for as_of in index.get_level_values("as_of").unique():
        known = bought[(bought["occurred_at"] < as_of) & (bought["known_at"] < as_of)]
        days = known.assign(day=known["occurred_at"].dt.floor("D"))
        part = days.groupby("customer_id").agg(
            last=("occurred_at", "max"), frequency=("day", "nunique"), money=("amount", "sum")
        )
        part["recency"] = (as_of - part.pop("last")).dt.total_seconds() / 86_400
        parts.append(part.assign(as_of=as_of).set_index("as_of", append=True))
    table = pd.concat(parts).reindex(index)[["recency", "frequency", "money"]]
    return np.log1p(table.clip(lower=0).astype("float64"))
