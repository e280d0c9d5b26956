"""A table of customers with a label, and the run on it."""

import numpy as np
import pandas as pd
import yaml

NAMES = ["a[b", "a<b", 'a"b', "a:b", "a,b"]
"""Column names that LightGBM rejects."""


def people(n=1_000, seed=5):
    """Draw customers of whom about a third left, for reasons in the columns."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": [f"canary-{i}" for i in range(n)]})
    frame[NAMES] = rng.poisson(2, (n, len(NAMES)))
    frame["plan"] = rng.choice(["basic", "plus"], n)
    odds = 2 * frame["a[b"] - 6 + 2 * (frame.plan == "basic")
    frame["left"] = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(float)
    frame["calls"], frame["fee"] = rng.poisson(3, n), rng.integers(5, 50, n) / 2
    return frame


def write_flat(folder, frame):
    """Write the table and the configuration of a run on it."""
    frame.to_parquet(folder / "people.parquet")
    source = {
        "path": "people.parquet",
        "table": "customers",
        "columns": {"customer_id": "id"},
        "attributes": "*",
    }
    content = {
        "name": "flat",
        "sources": {"people": source},
        "problems": {"churn": {"label": "left"}},
        "split": {"as_of": pd.Timestamp("2024-01-01").date(), "test_share": 0.3},
        "bands": {"churn": {"medium": 0.2, "high": 0.5}},
        "max_reject_share": 0.5,
        "effort": "fast",
        "random_state": 1,
    }
    path = folder / "flat.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def train_flat(folder):
    """Train on such a table; the folder with its configuration and artifacts."""
    import cxpredict as cx

    cx.train(write_flat(folder, people()))
    return folder
