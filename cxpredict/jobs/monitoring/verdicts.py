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
    side of it: further from 1 for the slope, from 0 for the intercept. Both are drawn so long that
    they fail to meet exactly where the difference is significant (Goldstein and Healy): z·s·√(s² +
    t²)/(s + t) to either side of the measured value and z·t·√(s² + t²)/(s + t) of the test's, with
    standard errors s and t from the 95 % intervals and z at the level 1 − (1 − level)/k for k =
    cohorts × metrics (Bonferroni, valid for cohorts that share customers). So a false alarm
    anywhere in the table has at most the probability 1 − level; benchmarks/truth_monitor.py
    measures it.

    The band knows how sure the *test* was, not that years differ: where seasons move performance,
    compare with the same season.

    References
    ----------
    Goldstein, Healy (1995), The graphical presentation of a collection of means.

    Examples
    --------
    >>> cohort = {"as_of": pd.Timestamp("2024-01-01"), "evidence": "measured", "rows": "everyone",
    ...           "metric": "roc_auc", "estimate": 0.6, "low": 0.58, "high": 0.62}
    >>> table = reference_verdicts(pd.DataFrame([cohort]), {"roc_auc": (0.7, 0.68, 0.72)})
    >>> table[["band_low", "high", "verdict"]].round(2).values.tolist()
    [[0.69, 0.61, 'worse']]
    """
    rows = judged(performance)
    rows = rows[rows["metric"].isin(COMPARABLE)].dropna(subset=["estimate"])
    if not len(rows):
        return pd.DataFrame(columns=COLUMNS)
    z = float(ndtri(1.0 - (1.0 - level) / (2.0 * len(rows))))
    found = [
        {"as_of": row.as_of, "metric": row.metric}
        | _verdict(row.metric, (row.estimate, row.low, row.high), tested.get(row.metric), z)
        for row in rows.itertuples()
    ]
    return pd.DataFrame(found)[COLUMNS]


def _verdict(metric: str, found: Any, reference: Any, z: float) -> dict[str, Any]:
    estimate, s = _normal(found)
    if reference is None or any(end is None for end in reference):
        band = dict.fromkeys(("reference", "band_low", "band_high"), np.nan)
        ends = {"estimate": estimate, "low": estimate - z * s, "high": estimate + z * s}
        return {**ends, **band, "verdict": "no reference"}
    centre, t = _normal(reference)
    reach = z * float(np.hypot(s, t)) / (s + t) if s + t > 0 else 0.0
    low, high = estimate - reach * s, estimate + reach * s
    band_low, band_high = centre - reach * t, centre + reach * t
    verdict = "within"
    if low > band_high or high < band_low:
        now, before = (float(loss(metric, np.asarray(value))) for value in (estimate, centre))
        verdict = "worse" if now > before else "better"
    ends = {"estimate": estimate, "low": low, "high": high}
    return {
        **ends,
        **{"reference": centre, "band_low": band_low, "band_high": band_high},
        "verdict": verdict,
    }


def _normal(interval: Any) -> tuple[float, float]:
    """Read a 95 % interval as estimate and standard error."""
    estimate, low, high = (float(value) for value in interval)
    return estimate, (high - low) / (2.0 * float(ndtri(0.975)))
