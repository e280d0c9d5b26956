"""One small table of customers and the configuration that trains on it."""

import numpy as np
import pandas as pd
import yaml

import cxpredict as cx


def people(n, seed=5):
    """Customers whose calls tell who leaves."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": [f"c{i}" for i in range(n)], "calls": rng.poisson(2, n)})
    frame["left"] = (rng.random(n) < 1 / (1 + np.exp(3.0 - frame.calls))).astype(int)
    return frame


def flat(folder, frame, **settings):
    """A configuration on one table with a label column, and its file run.yaml."""
    frame.to_parquet(folder / "customers.parquet")
    source = {"path": "customers.parquet", "table": "customers", "attributes": "*"}
    config = {
        "name": "flat",
        "sources": {"customers": {**source, "columns": {"customer_id": "id"}}},
        "problems": {"churn": {"label": "left"}},
        "split": {"as_of": pd.Timestamp("2024-01-01").date(), "test_share": 0.3},
        "bands": {"churn": {"medium": 0.2, "high": 0.5}},
        "effort": "fast",
        "random_state": 1,
        **settings,
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return cx.load_config(folder / "run.yaml")
