"""A table of customers with a label, and the run on it."""

import numpy as np
import pandas as pd
import yaml
from command_line import cxpredict

NAMES = ["a[b", "a<b", 'a"b', "a:b", "a,b"]


def people(n=1_000, seed=5):
    """Draw customers of whom about a third left, for reasons in the columns."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"id": [f"canary-{i}" for i in range(n)]})
    frame[NAMES] = rng.poisson(2, (n, len(NAMES)))
    frame["plan"] = rng.choice(["basic", "plus"], n)
    odds = frame["a[b"] - 3 + (frame.plan == "basic")
    frame["left"] = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(float)
    return frame


def write(folder, frame):
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
        "effort": "fast",
        "random_state": 1,
    }
    path = folder / "flat.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def score(folder, out, model="models:/flat-churn@champion"):
    """Score the customers of the table with the model that was trained on them."""
    arguments = ["--config", folder / "flat.yaml", "--model", model]
    return cxpredict("score", *arguments, "--as-of", "2024-01-01", "--out", out)
