"""Net promoter score with its uncertainty: intervals, groups, weights, differences."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from cxpredict.errors import DataError, EmptyDataError
from cxpredict.value.checks import Floats, common_index, in_range
from cxpredict.value.nps.scores import nps_scores
from cxpredict.value.nps.suppression import MIN_RESPONDENTS, hidden_groups

Method = Literal["wald", "adjusted_wald"]
_MEASURES = ["estimate", "low", "high", "se", "promoters", "passives", "detractors"]


def nps(
    scores: Any,
    *,
    weights: Any = None,
    by: Any = None,
    level: float = 0.95,
    method: Method = "adjusted_wald",
) -> pd.DataFrame:
    """Estimate the net promoter score with its interval, for everyone or for each group.

    Parameters
    ----------
    scores : array-like of numbers
        Whole numbers 0–10. Missing scores are left out: `n` counts answers only.
    weights : array-like of numbers, optional
        One positive weight per row, on any scale, such as those of `response_weights`.
    by : array-like, optional
        One group label per row; rows without a label form a group of their own.
    level : float in (0, 1)
        Confidence level of the interval.
    method : {"adjusted_wald", "wald"}
        Interval. Wald has no width when all answers agree, and is too short for few answers.

    Returns
    -------
    DataFrame
        One row (index ``all``), or one per group that answered, sorted. ``estimate``, ``low``,
        ``high``, ``se`` in points (−100 to 100); ``promoters``, ``passives``, ``detractors`` as
        shares; ``n`` answers; ``n_eff``, the number of equally weighted answers that are worth
        as much; ``design_effect`` = n / n_eff; ``suppressed``. ``se`` belongs to the interval
        of the method.

    Raises
    ------
    DataError
        If scores are text, no whole numbers or outside 0–10, if weights are not positive, or if
        lengths or indexes differ.
    EmptyDataError
        If nobody answered.

    Notes
    -----
    With x = 1 for promoters (9–10), 0 for passives (7–8), −1 for detractors (0–6) and weights w,
    NPS = Σwx / Σw, its variance is Σw²(x − NPS)² / (Σw)², and n_eff = (Σw)² / Σw² (Kish).

    The adjusted Wald interval adds three made-up answers: ¾ promoter, 1½ passive, ¾ detractor.
    With weights, these have weight 1 after w has been scaled to Σw = n_eff. Then Σw² = n_eff as
    well, so that the made-up answers count against the information in the sample instead of the
    number of rows, and the variance formula above serves the enlarged sample. Equal weights give
    Rocks' interval. The interval is centred on the enlarged sample; `estimate` is not shrunk.

    Weights count as known. For weights of an estimated response propensity this makes the
    interval too long (see `response_weights`).

    Groups of fewer than 11 answers are suppressed. Because the total is one call away, the next
    smallest groups are suppressed too until the hidden groups are at least two and hold 11
    answers together, so that no small group follows by subtraction. This protects one grouping;
    it does not protect against comparing tables of several groupings.

    References
    ----------
    Rocks, B. (2016). Interval estimation for the net promoter score. The American Statistician
    70(4), 365–372. Kish, L. (1965). Survey Sampling.

    Examples
    --------
    >>> scores = [10] * 50 + [8] * 30 + [3] * 20
    >>> nps(scores)[["estimate", "low", "high", "n"]].round(1)
         estimate   low  high    n
    all      30.0  14.1  44.2  100
    """
    values = nps_scores(scores)
    z = _quantile(level, method)
    w = _weights(weights, scores, values)
    groups = pd.Series("all", index=values.index) if by is None else _groups(by, scores, values)
    answered = values.notna().to_numpy()
    if not answered.any():
        raise EmptyDataError(f"scores: none of {len(values)} rows has a score.")
    x = _signs(values)
    rows = {
        label: _row(x[positions], w[positions], z, method)
        for label, positions in _positions(groups, answered)
    }
    table = pd.DataFrame.from_dict(rows, orient="index").astype({"n": "Int64"})
    table.index = pd.Index(list(rows), name=None if by is None else groups.name)
    table["suppressed"] = hidden_groups(table["n"])
    return _blank(table)


def nps_difference(
    a: Any,
    b: Any,
    *,
    weights_a: Any = None,
    weights_b: Any = None,
    level: float = 0.95,
    method: Method = "adjusted_wald",
) -> pd.DataFrame:
    """Test whether two independent groups or periods differ in net promoter score.

    Parameters
    ----------
    a, b : array-like of numbers
        Scores 0–10 of the two groups; missing scores are left out.
    weights_a, weights_b : array-like of numbers, optional
        Positive weights, on any scale.
    level : float in (0, 1)
        Confidence level of the interval.
    method : {"adjusted_wald", "wald"}
        As in `nps`.

    Returns
    -------
    DataFrame
        One row: ``estimate`` = NPS of a − NPS of b, ``low``, ``high``, ``se`` in points;
        ``z``; ``p_value`` (two-sided); ``n_a``, ``n_b``; ``suppressed``, true with everything
        else missing if a group has fewer than 11 answers.

    Raises
    ------
    DataError
        As in `nps`.
    EmptyDataError
        If nobody answered in one of the groups.

    Notes
    -----
    SE² = SE_a² + SE_b². Interval and test use the same centre and standard error, so p < 1 −
    level exactly when the interval excludes 0. Customers who answered in both groups make the
    groups dependent: where their answers agree over time, the test is then too cautious.

    References
    ----------
    Rocks, B. (2016). Interval estimation for the net promoter score. The American Statistician
    70(4), 365–372.

    Examples
    --------
    >>> before, after = [10] * 40 + [2] * 60, [10] * 60 + [2] * 40
    >>> nps_difference(after, before)[["estimate", "p_value"]].round(3)
       estimate  p_value
    0      40.0    0.004
    """
    z = _quantile(level, method)
    parts = []
    for scores, weights in ((a, weights_a), (b, weights_b)):
        values = nps_scores(scores)
        w, answered = _weights(weights, scores, values), values.notna().to_numpy()
        if not answered.any():
            raise EmptyDataError(f"scores: none of {len(values)} rows has a score.")
        x = _signs(values)[answered]
        parts.append((len(x), *_centre_and_se(x, w[answered], method), _mean(x, w[answered])))
    (n_a, centre_a, se_a, mean_a), (n_b, centre_b, se_b, mean_b) = parts
    centre, se = centre_a - centre_b, float(np.hypot(se_a, se_b))
    statistic = centre / se if se > 0 else np.copysign(np.inf, centre) if centre else 0.0
    low, high = np.clip([centre - z * se, centre + z * se], -2, 2)
    row = {
        "estimate": 100 * (mean_a - mean_b),
        "low": 100 * low,
        "high": 100 * high,
        "se": 100 * se,
        "z": statistic,
        "p_value": 2 * stats.norm.sf(abs(statistic)),
        "n_a": n_a,
        "n_b": n_b,
        "suppressed": min(n_a, n_b) < MIN_RESPONDENTS,
    }
    table = pd.DataFrame([row]).astype({"n_a": "Int64", "n_b": "Int64"})
    return _blank(table)


def _weights(weights: Any, scores: Any, values: pd.Series) -> Floats:
    if weights is None:
        return np.ones(len(values))
    common_index(weights=weights, scores=scores)
    if len(weights) != len(values):
        raise DataError(f"weights: expected {len(values)} (one per score), got {len(weights)}.")
    w = in_range("weights", weights, 0.0)
    if (w == 0).any():
        raise DataError(f"weights: {int((w == 0).sum())} are 0. Leave these rows out.")
    return w


def _groups(by: Any, scores: Any, values: pd.Series) -> pd.Series:
    common_index(by=by, scores=scores)
    if np.ndim(by) != 1 or len(by) != len(values):
        raise DataError(f"by: expected one label for each of {len(values)} scores.")
    return by if isinstance(by, pd.Series) else pd.Series(by, index=values.index)


def _positions(groups: pd.Series, answered: Any) -> list[tuple[Any, Any]]:
    """Row numbers of the answers of each group, groups sorted, missing label last."""
    codes, labels = pd.factorize(groups, sort=True, use_na_sentinel=False)
    positions = [(labels[k], np.flatnonzero((codes == k) & answered)) for k in range(len(labels))]
    return [(label, rows) for label, rows in positions if len(rows)]


def _quantile(level: float, method: str) -> float:
    if method not in ("wald", "adjusted_wald"):
        raise DataError(f"method: expected 'adjusted_wald' or 'wald', got {method!r}.")
    if not 0 < level < 1:
        raise DataError(f"level: expected a number between 0 and 1 such as 0.95, got {level!r}.")
    return float(stats.norm.ppf((1 + level) / 2))


def _signs(values: pd.Series) -> Floats:
    """Promoters 1, passives 0, detractors −1."""
    array = values.to_numpy()
    signs: Floats = (array >= 9).astype(float) - (array <= 6).astype(float)
    return signs


def _mean(x: Floats, w: Floats) -> float:
    return float(np.average(x, weights=w))


def _centre_and_se(x: Floats, w: Floats, method: str) -> tuple[float, float]:
    """Centre and standard error of the interval, as shares."""
    if method == "adjusted_wald":
        n_eff = w.sum() ** 2 / (w**2).sum()
        x = np.concatenate([x, [1.0, 0.0, -1.0]])
        counts = np.concatenate([np.ones(len(w)), [0.75, 1.5, 0.75]])
        w = np.concatenate([w * n_eff / w.sum(), np.ones(3)])
    else:
        counts = np.ones(len(w))
    total = (counts * w).sum()
    centre = float((counts * w * x).sum() / total)
    return centre, float(np.sqrt((counts * w**2 * (x - centre) ** 2).sum()) / total)


def _row(x: Floats, w: Floats, z: float, method: str) -> dict[str, float]:
    centre, se = _centre_and_se(x, w, method)
    n_eff = float(w.sum() ** 2 / (w**2).sum())
    low, high = np.clip([centre - z * se, centre + z * se], -1, 1)
    shares = [float(w[x == sign].sum() / w.sum()) for sign in (1, 0, -1)]
    measures = [100 * _mean(x, w), 100 * low, 100 * high, 100 * se, *shares]
    return {
        **dict(zip(_MEASURES, measures, strict=True)),
        "n": len(x),
        "n_eff": n_eff,
        "design_effect": len(x) / n_eff,
    }


def _blank(table: pd.DataFrame) -> pd.DataFrame:
    """Remove every number of the suppressed rows."""
    table.loc[table["suppressed"], table.columns != "suppressed"] = pd.NA
    return table
