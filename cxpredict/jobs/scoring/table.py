"""The scores table: its columns, whoever writes it."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

PROBABILITY = {"churn": "churn_probability", "satisfaction": "low_score_probability"}
REASONS = ["reason_1", "reason_2", "reason_3"]


def schema(kind: str) -> pa.Schema:
    """Columns of scores.parquet for ``churn`` or ``satisfaction``."""
    text, number = pa.string(), pa.float64()
    middle: Sequence[tuple[str, pa.DataType]] = (
        [("value_at_risk", number), ("expected_gain", number)]
        if kind == "churn"
        else [("expected_score", number)]
    )
    last = [("action", text), ("arm", text)] if kind == "churn" else []
    return pa.schema(
        [
            ("customer_id", text),
            ("as_of", pa.timestamp("us")),
            (PROBABILITY[kind], number),
            ("low", number),
            ("high", number),
            ("risk_band", text),
            *middle,
            *((reason, text) for reason in REASONS),
            *last,
            ("model_version", text),
        ]
    )


def empty_scores(kind: str) -> pd.DataFrame:
    """Make a scores table without rows, typed as any other."""
    return schema(kind).empty_table().to_pandas()
