"""What the evidence pages show: metrics in words, curves, tables and the model card."""

from __future__ import annotations

from calendar import month_abbr
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.data.log import CustomerLog
from cxpredict.drivers.wording import describe_feature
from cxpredict.jobs.bundle import PACKAGES
from cxpredict.jobs.results import Experience, TrainedModel
from cxpredict.jobs.training.gate import GateDecision
from cxpredict.report.wording import MISSING, Outcome, count, decimal, percent
from cxpredict.value.nps.response import ResponseWeights
from cxpredict.value.rox.estimate import RoxEstimate

HEADLINES = (
    "roc_auc",
    "lift_at_10pct",
    "capture_at_10pct",
    "ece",
    "base_rate",
    "mean_prediction",
    "mean_absolute_error",
)
"""Metrics shown at once; the others stand behind a click."""


@dataclass(frozen=True)
class Measure:
    """A metric in words: estimate, interval, meaning; `main` ones are shown at once."""

    name: str
    technical: str
    estimate: str
    interval: str
    meaning: str
    main: bool


def measures(model: TrainedModel, words: Outcome) -> list[Measure]:
    """Put the metrics of a model into words, each with its interval and its meaning."""
    rows = model.metrics
    base = float(rows.loc[rows["metric"] == "base_rate", "estimate"].iloc[0])
    found = []
    for row in rows.itertuples():
        key = str(row.metric)
        name, form, meaning = meaning_of(key, words, base)
        show = percent if form == "percent" else decimal
        digits = {"percent": 1, "fine": 3, "coarse": 2}[form]
        interval = f"{show(row.low, digits)} to {show(row.high, digits)}"
        estimate = show(row.estimate, digits)
        found.append(
            Measure(name, str(row.metric), estimate, interval, meaning, row.metric in HEADLINES)
        )
    order = {metric: place for place, metric in enumerate(HEADLINES)}
    return sorted(found, key=lambda m: order.get(m.technical, len(order)))


def meaning_of(metric: str, words: Outcome, base: float) -> tuple[str, str, str]:
    """Name a metric, say how it is written and what it means."""
    entropy = -sum(p * np.log(p) for p in (base, 1 - base) if p > 0)
    table = {
        "roc_auc": (
            "Ranking (ROC AUC)",
            "fine",
            f"Chance that, of one of the {words.people} and one of the {words.others}, the first "
            "had the higher predicted risk. 0.5 is a coin toss, 1 is perfect.",
        ),
        "average_precision": (
            "Average precision",
            "fine",
            "Share of right alarms, averaged over all lengths of the list. A random list gives "
            f"{decimal(base)}, a perfect one 1.",
        ),
        "log_loss": (
            "Log loss",
            "fine",
            "Penalty that grows with confident mistakes; smaller is better. Giving everyone the "
            f"average rate costs {decimal(entropy)}.",
        ),
        "brier": (
            "Brier score",
            "fine",
            "Mean squared distance between probability and what happened; smaller is better. "
            f"Giving everyone the average rate costs {decimal(base * (1 - base))}.",
        ),
        "log_loss_skill": (
            "Log loss saved",
            "percent",
            "Share of the log loss of giving everyone the average rate that the model saves; 0% is "
            "no better than the average rate, below 0% worse.",
        ),
        "brier_reliability": (
            "Brier score: reliability",
            "fine",
            "Part that comes from probabilities that are too high or too low; 0 is right.",
        ),
        "brier_resolution": (
            "Brier score: resolution",
            "fine",
            "Part that telling customers apart takes off; more is better.",
        ),
        "brier_uncertainty": (
            "Brier score: uncertainty",
            "fine",
            "What giving everyone the average rate of those tested costs.",
        ),
        "brier_within_bins": (
            "Brier score: within groups",
            "fine",
            "Remainder from predictions that differ within a group. The score is reliability − "
            "resolution + uncertainty + this.",
        ),
        "ece": (
            "Calibration error (ECE)",
            "percent",
            "How many percentage points predicted probabilities are away from what happened, on "
            "average; 0 is perfect. It holds any change of the rate since training.",
        ),
        "calibration_slope": (
            "Calibration slope",
            "coarse",
            "1 is right; below 1 predictions are too extreme, above 1 too cautious.",
        ),
        "calibration_intercept": (
            "Calibration intercept",
            "coarse",
            "0 is right; below 0 the model expected more than happened, above 0 fewer (log-odds).",
        ),
        **_list_meanings(words),
        "base_rate": ("What happened", "percent", f"Share of {words.people} among those tested."),
        "mean_prediction": (
            "What was predicted",
            "percent",
            "Average predicted probability of the same customers; should be near the share above.",
        ),
        "mean_absolute_error": (
            "Error of the expected score",
            "coarse",
            "Average distance between the score expected and the score given, in points of the "
            "scale.",
        ),
        "ranked_probability_score": (
            "Ranked probability score",
            "fine",
            "Distance between the predicted distribution over the scale and the score given; "
            "0 is perfect.",
        ),
        "score_log_loss": (
            "Log loss of the score",
            "fine",
            "As the log loss, for every level of the scale instead of low or not.",
        ),
        "mean_score": ("Mean score given", "coarse", "Average of the answers tested."),
        "mean_expected_score": (
            "Mean score expected",
            "coarse",
            "Average of the scores expected; should be near the one above.",
        ),
    }
    return table.get(metric, (metric.replace("_", " "), "fine", ""))


_TOP = {"1pct": "hundredth", "5pct": "twentieth", "10pct": "tenth", "20pct": "fifth"}


def _list_meanings(words: Outcome) -> dict[str, tuple[str, str, str]]:
    """Name lift and capture at each length of the list."""
    found = {}
    for share, top in _TOP.items():
        found[f"lift_at_{share}"] = (
            f"Lift among the riskiest {top}",
            "coarse",
            f"How many times more frequent the {words.people} are among the {top} with the "
            "highest risk than among all.",
        )
        found[f"capture_at_{share}"] = (
            f"Found among the riskiest {top}",
            "percent",
            f"Share of all {words.people} who are among the {top} with the highest risk; a random "
            f"{top} holds {share.removesuffix('pct')}%.",
        )
    return found


def row_weights(log: CustomerLog, index: pd.Index) -> pd.Series:
    """Look up the sampling weight of each row's customer; 1 where there is none."""
    weights = log.customers.select("customer_id", "weight").to_pandas()
    by_customer = weights.set_index("customer_id")["weight"]
    values = by_customer.reindex(index.get_level_values("customer_id")).fillna(1.0)
    return pd.Series(values.to_numpy(dtype=np.float64), index=index)


def risk_curve(outcome: pd.Series, risk: pd.Series, weights: pd.Series) -> pd.DataFrame:
    """Follow a list of customers, riskiest first, over all its lengths.

    Parameters
    ----------
    outcome, risk, weights : Series
        Same index: 1 for the event, predicted probability, weight of the row.

    Returns
    -------
    DataFrame
        One row per length at which the risk changes, ties together: share (of all rows),
        captured (share of events), false_alarms (share of the others), precision, lift.

    Examples
    --------
    >>> y, p = pd.Series([1.0, 0.0, 1.0, 0.0]), pd.Series([0.9, 0.2, 0.4, 0.1])
    >>> risk_curve(y, p, y * 0 + 1)[["share", "captured", "precision"]].values.tolist()
    [[0.25, 0.5, 1.0], [0.5, 1.0, 1.0], [0.75, 1.0, 0.6666666666666666], [1.0, 1.0, 0.5]]
    """
    rows = pd.DataFrame({"event": outcome * weights, "all": weights, "risk": risk})
    steps = rows.groupby("risk")[["event", "all"]].sum().sort_index(ascending=False).cumsum()
    events, everyone = float(steps["event"].iloc[-1]), float(steps["all"].iloc[-1])
    precision = steps["event"] / steps["all"]
    curve = pd.DataFrame(
        {
            "share": steps["all"] / everyone,
            "captured": steps["event"] / events,
            "false_alarms": (steps["all"] - steps["event"]) / (everyone - events),
            "precision": precision,
            "lift": precision / (events / everyone),
        }
    )
    return curve.reset_index(drop=True)


def with_errors(periods: pd.DataFrame) -> pd.DataFrame:
    """Add the standard error of each date's rate."""
    rate = periods["rate"]
    return periods.assign(error=np.sqrt(rate * (1 - rate) / periods["customers"]))


def balance_rows(weighting: ResponseWeights, models: tuple[TrainedModel, ...]) -> pd.DataFrame:
    """Describe the 15 features in which respondents differed most from everyone invited."""
    origins = {name: o for model in models for name, o in model.drivers.origins.items()}
    table = weighting.table().head(15)
    described = [
        describe_feature(name, origins[name]) if name in origins else name.replace("_", " ")
        for name in table["feature"].astype("str")
    ]
    return table.assign(description=described)


def touchpoint_rows(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    """List the touchpoints, missing values as NaN, the season in words."""
    if table is None:
        return []
    plain = table.astype(object).where(table.notna(), np.nan)
    rows: list[dict[str, Any]] = plain.to_dict("records")
    for row in rows:
        month, surely = row["season_month"], row["season_p_value"] < 0.05
        row["season"] = month_abbr[int(month)] if month == month and surely else MISSING
    return rows


def tornado_rows(rox: RoxEstimate) -> pd.DataFrame:
    """Order the ends of each input's bar; the eight widest."""
    ends = rox.tornado.head(8)
    return ends.assign(
        low=ends[["low", "high"]].min(axis=1), high=ends[["low", "high"]].max(axis=1)
    )


def model_card(model: TrainedModel) -> list[tuple[str, str]]:
    """List what a reviewer asks of a model: name and plain value."""
    card, bundle = model.bundle.card, model.bundle
    dates = card["training dates"]
    trained = dates[0] if len(dates) == 1 else f"{len(dates)} dates, {dates[0]} to {dates[-1]}"
    tested = ", ".join(dict.fromkeys(card["test dates"]))
    settings = bundle.problem.settings.model_dump(exclude_none=True)
    return [
        ("Model", f"{bundle.name}, version {bundle.version}, alias {model.alias or 'none'}"),
        ("Problem", ", ".join(f"{key} = {value}" for key, value in settings.items())),
        ("Trained on", trained),
        ("Training rows", count(card["training rows"])),
        ("Training customers", count(card["training customers"])),
        ("Rate in training", percent(card["training base rate"], 1)),
        ("Tested on", tested),
        ("Test rows", count(len(model.outcome))),
        ("Features", count(len(card["features"]))),
        ("Dropped as leaks", ", ".join(model.dropped) or "none"),
        ("Findings of the leak audit", count(card["audit findings"])),
        ("Packages", ", ".join(f"{package} {version(package)}" for package in PACKAGES)),
        ("MLflow run", model.run_id or "none"),
    ]


def gate_rows(gate: GateDecision) -> list[dict[str, str]]:
    """List the checks of the promotion gate in words."""
    answers = {True: "yes", False: "no", None: "does not apply"}
    return [
        {
            "check": check.check,
            "value": decimal(check.value, 3),
            "bound": check.bound,
            "holds": answers[check.holds],
            "reason": check.reason,
        }
        for check in gate.checks
    ]


def nps_rows(experience: Experience) -> list[dict[str, Any]]:
    """List everyone and the segments with a name each."""
    if experience.nps is None:
        return []
    names = ["everyone", *(str(name) for name in experience.nps.index[1:])]
    rows: list[dict[str, Any]] = experience.nps.assign(name=names).to_dict("records")
    return rows
