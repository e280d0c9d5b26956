"""Two models on the same rows: the difference of every metric, by paired bootstrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.errors import ModelError
from cxpredict.models.evaluation import inputs, metrics
from cxpredict.models.evaluation.intervals import BinaryMeasure, Bootstrap, Sample, largest
from cxpredict.models.evaluation.segments import divide, of_each_division

__all__ = ["compare"]

Floats = npt.NDArray[np.float64]
Pair = tuple[Sample, Sample]


def compare(
    y: Any,
    p_champion: Any,
    p_challenger: Any,
    *,
    gain_champion: Any = None,
    gain_challenger: Any = None,
    by: Any = None,
    min_segment: int = 30,
    capacity: int | None = None,
    groups: Any = None,
    weights: Any = None,
    level: float = 0.95,
    n_bootstrap: int = 300,
    random_state: int = 0,
) -> pd.DataFrame:
    """Compare two models' probabilities of the same event on the same rows.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome: booleans, 0/1, or any two labels of which the larger is the event.
    p_champion, p_challenger : array-like of shape (n,)
        Probability of the event that each model predicted, in [0, 1].
    gain_champion, gain_challenger : array-like of shape (n,), optional
        Money that each row brought when acting on each model; adds the metric mean_gain.
    by : Series, array-like, DataFrame or mapping, optional
        Segments, as in `evaluate`.
    min_segment, capacity, groups, weights, level, n_bootstrap, random_state
        As in `evaluate`.

    Returns
    -------
    DataFrame
        Columns metric, champion, challenger, difference, low, high, better. The difference is
        challenger − champion; for calibration_slope and calibration_intercept it is that of the
        distances to 1 and 0. `better` names the model that the interval shows to be better, and
        is ``neither`` where the interval holds 0. With `by` further columns in front, kind, by,
        segment, customers, events, compared: kind is ``whole``, ``segment``, or ``worst``, the
        segment in which the challenger loses most.

    Raises
    ------
    ModelError
        As in `evaluate`; or only one of the two gains is given.

    Notes
    -----
    Paired bootstrap: each sample of customers is the same for both models, so that what makes
    some customers hard to predict for both cancels out. Intervals are percentiles of the
    differences; those of the calibration error and of the parts of the Brier score are re-centred
    as in `evaluate`. The interval of a ``worst`` row is that of the largest loss over all
    segments (`cxpredict.models.evaluation.intervals.largest`): it knows that the segment was
    chosen. Each interval stands for itself: of twenty metrics without a difference, one is
    expected to show one.

    References
    ----------
    Efron, Tibshirani (1993), An introduction to the bootstrap, chapter 8.
    Field, Welsh (2007), Bootstrapping clustered data.

    Examples
    --------
    >>> y = np.tile([0, 0, 1, 1], 50)
    >>> table = compare(y, np.tile([0.1, 0.6, 0.4, 0.9], 50), np.tile([0.1, 0.2, 0.7, 0.9], 50))
    >>> row = table.set_index("metric").loc["roc_auc"]
    >>> float(row.champion), float(row.challenger), row.better
    (0.75, 1.0, 'challenger')
    """
    pair = inputs.probabilities(p_champion), inputs.probabilities(p_challenger)
    event = inputs.events(y)
    gains = _gains(gain_champion, gain_challenger)
    tables = {"y": y, "p_champion": p_champion, "p_challenger": p_challenger}
    labelled = {"by": by} if isinstance(by, pd.Series | pd.DataFrame) else {}
    weight, customer = inputs.aligned(groups, weights, **tables, **gains, **labelled)
    inputs.check_weighed(event, weight)
    setting = Bootstrap(weight, customer, level, n_bootstrap, random_state)
    segments = divide({} if by is None else by, event, setting, fewest=min_segment)
    share = inputs.capacity_share(capacity, len(event))
    measures: dict[tuple[int, int], Callable[[Floats], dict[str, Floats]]] = {
        (place, model): BinaryMeasure(event, p, weight, segment.rows, None if place else share)
        for place, segment in enumerate(segments)
        for model, p in enumerate(pair)
    }
    measures |= {
        (place, 2): _mean_gains(gains, segment.rows)
        for place, segment in enumerate(segments)
        if gains
    }
    samples = setting.run(measures)
    pairs = [_pairs(samples, place) for place in range(len(segments))]
    rows = [
        {**segment.facts("segment" if place else "whole"), **_row(*both, level)}
        for place, segment in enumerate(segments)
        for both in pairs[place].values()
    ]
    for places in of_each_division(segments):
        for name in (*metrics.COMPARABLE, *(["mean_gain"] if gains else [])):
            both = [pairs[place][name] for place in places]
            chosen, worst, low, high = largest([b.loss - a.loss for a, b in both], level)
            rows.append(
                {
                    **segments[places[chosen]].facts("worst"),
                    **_row(*both[chosen], level),
                    **_difference(name, worst, low, high),
                }
            )
    table = pd.DataFrame(rows)
    names = ["metric", "champion", "challenger", "difference", "low", "high", "better"]
    front = ["kind", "by", "segment", "customers", "events", "compared"]
    return table[names] if by is None else table[[*front, *names]]


def _gains(champion: Any, challenger: Any) -> dict[str, Any]:
    if (champion is None) != (challenger is None):
        raise ModelError("gain_champion and gain_challenger go together; one is missing.")
    found = {} if champion is None else {"gain_champion": champion, "gain_challenger": challenger}
    for name, gain in found.items():
        bad = int((~np.isfinite(inputs.floats(gain, name))).sum())
        if bad:
            raise ModelError(f"{name}: {bad:,} of {len(gain):,} values are missing or infinite.")
    return found


def _mean_gains(
    gains: dict[str, Any], rows: npt.NDArray[np.intp]
) -> Callable[[Floats], dict[str, Floats]]:
    values = {name: inputs.floats(gain, name)[rows] for name, gain in gains.items()}

    def measure(mass: Floats) -> dict[str, Floats]:
        part = mass[:, rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            return {name: part @ gain / part.sum(axis=1) for name, gain in values.items()}

    return measure


def _pairs(samples: dict[tuple[int, int], dict[str, Sample]], place: int) -> dict[str, Pair]:
    """Give both models' samples of every metric that has a better direction."""
    champion, challenger = samples[place, 0], samples[place, 1]
    found = {name: (champion[name], challenger[name]) for name in champion if name in metrics.SIGN}
    gains = samples.get((place, 2))
    if gains:
        both = [gains[f"gain_{model}"] for model in ("champion", "challenger")]
        renamed = [Sample("mean_gain", gain.estimate, gain.drawn) for gain in both]
        found["mean_gain"] = renamed[0], renamed[1]
    return found


def _row(champion: Sample, challenger: Sample, level: float) -> dict[str, Any]:
    lost = challenger.loss - champion.loss
    return {
        "metric": lost.name,
        "champion": champion.estimate,
        "challenger": challenger.estimate,
        **_difference(lost.name, lost.estimate, *lost.interval(level, difference=True)),
    }


def _difference(name: str, lost: float, low: float, high: float) -> dict[str, Any]:
    """Turn what the challenger loses back into a difference of the metric."""
    sign = metrics.SIGN[name]
    ends = sorted((sign * low + 0.0, sign * high + 0.0))
    return {
        "difference": sign * lost + 0.0,
        "low": ends[0],
        "high": ends[1],
        "better": _better(low, high),
    }


def _better(low: float, high: float) -> str:
    """Name the better model by the interval of what the challenger loses."""
    if high < 0.0:
        return "challenger"
    return "champion" if low > 0.0 else "neither"
