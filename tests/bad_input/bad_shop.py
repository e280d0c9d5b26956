"""A small run whose single source is bad in one way at a time."""

import pandas as pd
import yaml
from clean_command import cxpredict

SALES = {
    "table": "transactions",
    "timezone": "UTC",
    "columns": {"customer_id": "id", "occurred_at": "at", "amount": "amount"},
}


def write_config(folder, source, **changes):
    """Write the configuration of a shop with one source of a file's rows."""
    content = {
        "name": "shop",
        "sources": {"sales": {**({} if "connect" in source else {"path": "sales.csv"}), **source}},
        "problems": {"churn": {"inactive": "purchase", "horizon_days": 30}},
        "split": {"test_at": pd.Timestamp("2024-06-01").date(), "every_days": 30},
        "bands": {"churn": {"medium": 0.1, "high": 0.3}},
        "max_reject_share": 0.5,
        "random_state": 7,
        **changes,
    }
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def check(folder, content, *, limit=0.5, **source):
    """Check the rows of a file (bytes, text or a frame for Parquet)."""
    if isinstance(content, pd.DataFrame):
        content.to_parquet(folder / "sales.parquet")
        source = {"path": "sales.parquet", **source}
    elif content is not None:
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / "sales.csv").write_bytes(raw)
    path = write_config(folder, {**SALES, **source}, max_reject_share=limit)
    return cxpredict("check", path)


def refused(folder, content, code, *words, **source):
    """Expect an exit code and words of the message."""
    done = check(folder, content, **source)
    assert done.code == code, done.said
    for each in words:
        assert each in done.said, done.said


def accepted(folder, content, *words, kept, rejected=0, duplicates=0, **source):
    """Expect counts in the table of records, and words beside it."""
    done = check(folder, content, **source)
    assert done.code == 0, done.said
    counts = [cell.strip() for cell in _row(done.out, "sales").split("│")[1:-1]]
    read = kept + rejected + duplicates
    assert [int(cell) for cell in counts[2:6]] == [read, duplicates, rejected, kept], done.out
    for each in words:
        assert each in done.said, done.out


def _row(table, source):
    return next(line for line in table.splitlines() if line.startswith(f"│ {source} "))


def score_flat(folder, out, *more, model="models:/flat-churn@champion"):
    """Score the customers of a flat table with the model that was trained on them."""
    arguments = ["--config", folder / "flat.yaml", "--model", model]
    return cxpredict("score", *arguments, "--as-of", "2024-01-01", "--out", out, *more)
