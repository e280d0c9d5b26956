"""The simulated company as files of its own, with other words in every place for text."""

import pandas as pd
import yaml

import cxpredict as cx

TABLES = ("customers", "interactions", "feedback", "transactions", "contacts")
ATTRIBUTES = ["plan_price", "region", "acquisition"]
ENDS = pd.Timestamp("2026-01-01").date()


def company_tables(n_customers, seed=3):
    """Give the tables of a simulated company."""
    log = cx.simulate_company(n_customers, seed=seed).log
    return {name: getattr(log, name).to_pandas() for name in TABLES}


def company_config(tables, names, **changes):
    """Describe a run on such tables.

    Parameters
    ----------
    tables : dict of DataFrame
        As `company_tables` gave them; attributes of customers may have other names.
    names : Callable (slot, name) -> str
        What a kind, touchpoint, … is called in the tables.
    """
    core = {"customer_id", "since", "segment", "weight"}
    sources = {}
    for table, frame in tables.items():
        attributes = [c for c in frame if c not in core] if table == "customers" else []
        columns = {c: c for c in frame if c not in attributes}
        source = {"path": f"{table}.parquet", "table": table, "columns": columns}
        extra = {"attributes": attributes} if attributes else {}
        sources[names("source", table)] = {**source, "timezone": "UTC", **extra}
    kind, place = (lambda n: names("kind", n)), (lambda n: names("touchpoint", n))
    return {
        "name": "small",
        "sources": sources,
        "observed_until": ENDS,
        "problems": {"churn": {"cancelled": names("deal", "cancellation"), "horizon_days": 60}},
        "split": {
            "test_at": pd.Timestamp("2025-09-30").date(),
            "every_days": 90,
            "train_from": pd.Timestamp("2024-10-01").date(),
        },
        "features": {"windows_days": [30], "value_names": {kind("failure"): names("unit", "min")}},
        "bands": {"churn": {"medium": 0.05, "high": 0.15}},
        "value": {
            "currency": names("currency", "EUR"),
            "lookback_days": 90,
            "period_days": 30,
            "horizon_days": 360,
            "yearly_discount_rate": 0.1,
        },
        "offer": {"contact_cost": 1.0, "incentive": 5.0, "acceptance": 0.3, "holdout_share": 0.2},
        "nps": {"window_days": 120, "weighted": True},
        "rox": {
            "raise_score": {"metric": "csat", "points": 1, "touchpoint": place("support")},
            "cost": 5000,
            "period_days": 90,
            "horizon_periods": 4,
            "prices": {kind("service_request"): 8, kind("complaint"): 15},
        },
        "stages": {place("support"): "retention", place("use"): "retention"},
        "actionable": [place("support"), kind("failure")],
        "effort": "fast",
        "random_state": 7,
        **changes,
    }


def write_company(folder, tables, config):
    """Write tables and configuration into a folder; the configuration's file."""
    for name, frame in tables.items():
        frame.to_parquet(folder / f"{name}.parquet")
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path
