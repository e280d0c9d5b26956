"""What to call a difference between scored and training rows, and which are alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.errors import DriftError
from cxpredict.jobs.monitoring.homogeneity import holm, psi_limit

__all__ = ["ALERTS", "SHOWN", "raise_if_drifted", "with_statuses"]

ALERTS = ("missing", "retyped", "drifted", "too many unseen")
SHOWN = 5
FEWEST_DATES = 3
"""Two dates are as far from each other as each is from the other: no spread to learn from."""


def with_statuses(
    table: pd.DataFrame, dates: Sequence[Mapping[str, Any]], *, level: float, max_psi: float
) -> pd.DataFrame:
    """Add corrected p-values and limits of PSI to compared columns, and say what they come to.

    Parameters
    ----------
    table : DataFrame
        feature, kind, psi, p_value, status, detail; by column.
    dates : sequence of mapping
        What the baseline knows of training dates, by row; empty where it knows nothing.
    level, max_psi : float
        As in `DriftCounts.table`.

    Returns
    -------
    DataFrame
        As from `DriftCounts.table`.
    """
    table = table.astype({"psi": "float64", "p_value": "float64"})
    tests = int(table["p_value"].notna().sum())
    limits = [_limit(known, (1.0 - level) / max(tests, 1)) for known in dates]
    tested = table["p_value"].notna().to_numpy()
    limit = np.where(tested, np.maximum(limits, max_psi), np.nan)
    table.insert(3, "psi_limit", limit)
    table.insert(5, "p_corrected", holm(table["p_value"].to_numpy()))
    found = table["p_corrected"] < 1.0 - level
    drifted = found & (table["psi"] >= limit)
    table.loc[found & (table["status"] == "stable"), "status"] = "moved"
    table.loc[drifted, "status"] = "drifted"
    large = tested & (table["psi"] >= max_psi).to_numpy() & found.to_numpy()
    said = [_of_dates(known) if shown else "" for known, shown in zip(dates, large, strict=True)]
    table["detail"] += said
    return table


def _limit(known: Mapping[str, Any], alpha: float) -> float:
    dates = known.get("count", 1)
    return psi_limit(known["mean_psi"], dates, alpha) if dates >= FEWEST_DATES else 0.0


def _of_dates(known: Mapping[str, Any]) -> str:
    """Say in words what a large PSI is to be compared with."""
    dates = known.get("count", 1)
    if dates < FEWEST_DATES:
        return f"; trained on {dates} date(s): how far dates lie apart is not known"
    return (
        f"; of {dates} training dates each lay {max(0.0, known['mean_psi']):.2f} from the others "
        f"on average, at most {max(0.0, known['largest_psi']):.2f}"
    )


def raise_if_drifted(table: pd.DataFrame) -> None:
    """Raise if a table of drift holds an alert.

    Parameters
    ----------
    table : DataFrame
        As from `DriftCounts.table`.

    Raises
    ------
    DriftError
        Names up to five columns, the worst first.

    Examples
    --------
    >>> raise_if_drifted(pd.DataFrame({"feature": ["age"], "psi": [0.1], "status": ["moved"]}))
    """
    bad = table[table["status"].isin(ALERTS)].copy()
    if not len(bad):
        return
    bad["order"] = bad["status"].map(ALERTS.index)
    bad = bad.sort_values(["order", "psi"], ascending=[True, False])
    shown = [
        f"{row.feature} ({row.status}{'' if pd.isna(row.psi) else f', PSI {row.psi:.2f}'})"
        for row in bad.head(SHOWN).itertuples()
    ]
    more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    raise DriftError(
        f"{len(bad)} column(s) are not as in training: {', '.join(shown)}{more}. The scores are "
        "published; check the source, train again on newer records, or raise monitor.max_psi "
        "(monitor.max_unseen)."
    )
