"""Is a model in use still what it was in its test? Intervals against a reference band."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from cxpredict.models.evaluation.metrics import COMPARABLE, loss

__all__ = ["judged", "reference_verdicts"]

COLUMNS = [
    "as_of", "metric", "estimate", "low", "high", "reference", "band_low", "band_high", "verdict",
]  # fmt: skip


def judged(performance: pd.DataFrame) -> pd.DataFrame:
    """Choose the rows a verdict is made on: without contact where they are, else everyone."""
    measured = performance[performance["evidence"] == "measured"]
    best = {"without contact": 1, "everyone": 2}
    rank = measured["rows"].map(best)
    first = rank.groupby(measured["as_of"]).transform("min")
    return measured[rank == first]


def reference_verdicts(
    performance: pd.DataFrame, tested: Mapping[str, Any], *, level: float = 0.95
) -> pd.DataFrame:
    """Compare what cohorts realised with the band of the test.

    Parameters
    ----------
    performance : DataFrame
        as_of, evidence, rows, metric, estimate, low, high (95 % intervals).
    tested : mapping of str to (estimate, low, high)
        Metrics of the test rows with 95 % intervals.
    level : float in (0, 1), default .95
        Probability of no false alarm over all cohorts and metrics.

    Returns
    -------
    DataFrame
        One row per cohort and metric (roc_auc, log_loss_skill, calibration_slope,
        calibration_intercept: those that can be compared between groups of different size and
        rate): as_of, metric, estimate, low, high, reference, band_low, band_high, and verdict:
        ``within``; ``worse`` or ``better``: the interval lies outside the band on that side;
        ``no reference``.

    Notes
    -----
    The rule: an alert is an interval that does not meet the reference band and is on the worse
    side of it: further from 1 for the slope, from 0 for the intercept. Both ends are normal
    intervals at the level 1 − (1 − level)/k for k = cohorts × metrics (Bonferroni, valid for
    cohorts that share customers). Two intervals that do not meet differ by more than either could
    by chance: no false alarm at all has a probability of at least `level`, and in fact far above
    it (benchmarks/truth_monitor.py measures it); the price is power.

    The band knows how sure the *test* was, not that years differ: where seasons move performance,
    compare with the same season.

    Examples
    --------
    >>> cohort = {"as_of": pd.Timestamp("2024-01-01"), "evidence": "measured", "rows": "everyone",
    ...           "metric": "roc_auc", "estimate": 0.6, "low": 0.58, "high": 0.62}
    >>> table = reference_verdicts(pd.DataFrame([cohort]), {"roc_auc": (0.7, 0.68, 0.72)})
    >>> table[["band_low", "high", "verdict"]].round(2).values.tolist()
    [[0.68, 0.62, 'worse']]
    """
    rows = judged(performance)
    rows = rows[rows["metric"].isin(COMPARABLE)].dropna(subset=["estimate"])
    if not len(rows):
        return pd.DataFrame(columns=COLUMNS)
    reach = ndtri(1.0 - (1.0 - level) / (2.0 * len(rows))) / ndtri(0.975)
    found = [
        {"as_of": row.as_of, "metric": row.metric}
        | _verdict(row.metric, (row.estimate, row.low, row.high), tested.get(row.metric), reach)
        for row in rows.itertuples()
    ]
    return pd.DataFrame(found)[COLUMNS]


def _verdict(metric: str, found: Any, reference: Any, reach: float) -> dict[str, Any]:
    estimate, low, high = _widened(found, reach)
    values = {"estimate": estimate, "low": low, "high": high}
    if reference is None or any(end is None for end in reference):
        blank = dict.fromkeys(("reference", "band_low", "band_high"), np.nan)
        return {**values, **blank, "verdict": "no reference"}
    centre, band_low, band_high = _widened(reference, reach)
    band = {"reference": centre, "band_low": band_low, "band_high": band_high}
    if low <= band_high and high >= band_low:
        return {**values, **band, "verdict": "within"}
    now, before = (float(loss(metric, np.asarray(value))) for value in (estimate, centre))
    return {**values, **band, "verdict": "worse" if now > before else "better"}


def _widened(interval: Any, reach: float) -> tuple[float, float, float]:
    """Turn a 95 % interval into a normal one whose half width is `reach` times as large."""
    estimate, low, high = (float(value) for value in interval)
    half = reach * (high - low) / 2.0
    return estimate, estimate - half, estimate + half
