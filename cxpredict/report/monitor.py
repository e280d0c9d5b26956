"""The page of a model in use: what it realised, what to expect, against the band of its test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cxpredict.jobs.monitoring.monitor import Monitoring
from cxpredict.jobs.monitoring.verdicts import judged
from cxpredict.jobs.publish import publishing, write_json
from cxpredict.jobs.registry.tracking import quiet
from cxpredict.report import plots, wording
from cxpredict.report.evidence import meaning_of
from cxpredict.report.figures import Picture
from cxpredict.report.pages import fill

__all__ = ["write_monitor_report"]

FILE = "monitor.html"
TABLES = "monitor.json"
TREND = ("roc_auc", "calibration_intercept", "calibration_slope", "base_rate")
IDEAL = {"roc_auc": 0.5, "calibration_intercept": 0.0, "calibration_slope": 1.0}


def write_monitor_report(found: Monitoring) -> Path:
    """Write the page of a model in use, and attach it to its MLflow run.

    Parameters
    ----------
    found : Monitoring
        What `cxpredict.monitor` gave.

    Returns
    -------
    Path
        ``monitor.html`` in ``monitor/<model>/`` among the artifacts, with its tables as
        ``monitor.json`` beside it; both appear whole, or the older ones stay.

    Raises
    ------
    PublishError
        The folder cannot be written.

    Notes
    -----
    No clock enters the page, and no customer: groups of fewer than 11 customers are hidden.
    """
    pictures = _pictures(found)
    page = _render(found, pictures)
    with publishing(found.folder) as folder:
        (folder / FILE).write_text(page, encoding="utf-8")
        write_json(folder / TABLES, found.content())
    with quiet():
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=found.tracking_uri)
        for name in (FILE, TABLES):
            client.log_artifact(found.run_id, str(found.folder / name))
    return found.folder / FILE


def _render(found: Monitoring, pictures: Sequence[Picture]) -> str:
    return fill(
        "monitor.html",
        found=found,
        words=wording.outcome_words(found.settings),
        headline=_headline(found),
        cohorts=found.cohorts.to_dict("records"),
        verdicts=[_verdict_row(found, row) for row in found.verdicts.to_dict("records")],
        dates=_by_date(found),
        divisions=_divisions(found),
        pictures=pictures,
    )


def _headline(found: Monitoring) -> str:
    """Say in one sentence how the model does."""
    if not len(found.verdicts):
        return "Nothing can be judged yet: no outcome of a scored date is known."
    alerts, days = found.alerts, found.verdicts["as_of"].nunique()
    if not len(alerts):
        unknown = bool((found.verdicts["verdict"] == "no reference").any())
        told = "has no test to be compared with" if unknown else "does as it did in its test"
        return f"On {days} date{'s' if days > 1 else ''} with known outcomes the model {told}."
    where = [f"{wording.day(row.as_of)}: {_name(found, row.metric)}" for row in alerts.itertuples()]
    more = f" and {len(where) - 5} more" if len(where) > 5 else ""
    return f"The model does worse than in its test: {'; '.join(where[:5])}{more}."


def _name(found: Monitoring, metric: str) -> str:
    if metric == "mean_gain":
        return f"Gain per customer ({found.currency})"
    return _meaning(found, metric)[0]


def _meaning(found: Monitoring, metric: str) -> tuple[str, str, str]:
    return meaning_of(metric, wording.outcome_words(found.settings), 0.5)


def _number(found: Monitoring, metric: str, value: float) -> str:
    if metric == "mean_gain":
        return wording.decimal(value, 2)
    form = _meaning(found, metric)[1]
    return wording.percent(value, 1) if form == "percent" else wording.decimal(value, 3)


def _between(found: Monitoring, metric: str, low: float, high: float) -> str:
    return f"{_number(found, metric, low)} to {_number(found, metric, high)}"


def _verdict_row(found: Monitoring, row: dict[str, Any]) -> dict[str, Any]:
    metric = row["metric"]
    return {
        "as_of": row["as_of"],
        "metric": _name(found, metric),
        "estimate": _number(found, metric, row["estimate"]),
        "interval": _between(found, metric, row["low"], row["high"]),
        "band": _between(found, metric, row["band_low"], row["band_high"]),
        "verdict": row["verdict"],
    }


def _by_date(found: Monitoring) -> list[dict[str, Any]]:
    """Collect the metrics of each date, latest first, measured and estimated."""
    if not len(found.performance):
        return []
    dates = []
    for day, rows in sorted(found.performance.groupby("as_of"), reverse=True):
        groups = [
            {
                "evidence": "measured" if evidence == "measured" else "estimated",
                "rows": name,
                "customers": int(part["customers"].iloc[0]),
                "metrics": [_metric_row(found, row) for row in part.to_dict("records")],
            }
            for (evidence, name), part in rows.groupby(["evidence", "rows"], sort=False)
        ]
        dates.append({"as_of": day, "groups": groups})
    return dates


def _metric_row(found: Monitoring, row: dict[str, Any]) -> dict[str, str]:
    metric = row["metric"]
    before = found.tested.get(metric)
    return {
        "name": _name(found, metric),
        "estimate": _number(found, metric, row["estimate"]),
        "interval": _between(found, metric, row["low"], row["high"]),
        "test": wording.MISSING if before is None else _number(found, metric, before[0]),
    }


def _divisions(found: Monitoring) -> list[dict[str, Any]]:
    """List the segments of the latest measured date."""
    if not len(found.segments):
        return []
    latest = found.segments[found.segments["as_of"] == found.segments["as_of"].max()]
    return [
        {
            "by": by,
            "as_of": rows["as_of"].iloc[0],
            "segments": [
                {
                    "segment": segment,
                    "customers": int(part["customers"].iloc[0]),
                    **{
                        f"{metric}{end}": _number(found, metric, float(value))
                        for metric in ("roc_auc", "base_rate", "mean_prediction")
                        for end, value in part.set_index("metric")
                        .reindex([metric])
                        .rename(columns={"estimate": ""})[["", "low", "high"]]
                        .iloc[0]
                        .items()
                    },
                }
                for segment, part in rows.groupby("segment", sort=True)
            ],
        }
        for by, rows in latest.groupby("by", sort=True)
    ]


def _pictures(found: Monitoring) -> list[Picture]:
    """Draw the trend of the metrics that are judged, and of the rate."""
    if not len(found.performance):
        return []
    measured = judged(found.performance)
    expected = found.performance[found.performance["evidence"] != "measured"]
    panels = []
    for metric in TREND:
        lines = {"measured": measured, "estimated": expected}
        panels.append(
            plots.TrendPanel(
                name=_name(found, metric),
                band=_band(found, metric),
                ideal=IDEAL.get(metric),
                lines={name: rows[rows["metric"] == metric] for name, rows in lines.items()},
            )
        )
    return [
        Picture(
            "trend",
            plots.png(plots.trend(panels)),
            f"Four panels over {found.cohorts['as_of'].nunique()} scored dates: "
            f"{', '.join(panel.name for panel in panels)}; the numbers are in the tables below.",
            "Dots: measured, with 95% intervals. Open diamonds: estimated from the scores alone, "
            "right only if calibration holds. Grey band: the 95% interval of the test. Dashed: a "
            "coin toss for the ranking, a perfect model for the calibration.",
        )
    ]


def _band(found: Monitoring, metric: str) -> tuple[float, float] | None:
    before = found.tested.get(metric)
    if before is None or pd.isna(before[1]) or pd.isna(before[2]) or metric == "base_rate":
        return None
    return float(before[1]), float(before[2])
