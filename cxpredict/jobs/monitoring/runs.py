"""Monitoring in MLflow: one run each time, metrics by date, tables."""

from __future__ import annotations

import pandas as pd

from cxpredict.config import Config
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.monitoring.verdicts import judged
from cxpredict.jobs.registry.runs import tracked
from cxpredict.jobs.registry.tracking import Store

__all__ = ["log_monitoring"]


def log_monitoring(
    store: Store,
    config: Config,
    bundle: Bundle,
    performance: pd.DataFrame,
    verdicts: pd.DataFrame,
) -> str:
    """Log a run: measured metrics with ``_low`` and ``_high``, estimated ones as ``estimated_…``.

    Returns
    -------
    str
        Its id. The step of a metric is the number of days of its date since 1970.
    """
    import mlflow

    worse = int((verdicts["verdict"] == "worse").sum())
    with tracked(store, config.name, run_name=f"monitor {bundle.name}") as run_id:
        mlflow.set_tags(
            {
                "kind": "monitor",
                "model": f"{bundle.name}/{bundle.version}",
                "verdict": "worse" if worse else "within",
                "mlflow.note.content": f"{bundle.name}/{bundle.version} in use: {worse} alert(s).",
            }
        )
        mlflow.log_metric("alerts", worse)
        if not len(performance):
            return run_id
        expected = performance[performance["evidence"] != "measured"]
        for table, prefix in ((judged(performance), ""), (expected, "estimated_")):
            for day, rows in table.groupby("as_of"):
                step = (pd.Timestamp(day) - pd.Timestamp(0)).days
                mlflow.log_metrics(_values(rows, prefix), step=step)
        for name, table in {"performance": performance, "verdicts": verdicts}.items():
            mlflow.log_table(table.astype("str"), f"tables/{name}.json")
    return run_id


def _values(rows: pd.DataFrame, prefix: str) -> dict[str, float]:
    ends = {"": "estimate", "_low": "low", "_high": "high"}
    return {
        f"{prefix}{metric}{suffix}": float(value)
        for suffix, column in ends.items()
        for metric, value in zip(rows["metric"], rows[column], strict=True)
        if pd.notna(value)
    }
