"""How good predictions are, with intervals from customers drawn with replacement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.models.evaluation import inputs, metrics
from cxpredict.models.evaluation.comparison import compare
from cxpredict.models.evaluation.intervals import BinaryMeasure, Bootstrap, Sample, largest
from cxpredict.models.evaluation.reliability import calibration_table, interval_table
from cxpredict.models.evaluation.segments import divide, of_each_division
from cxpredict.models.scale import score_codes

__all__ = ["calibration_table", "compare", "evaluate", "evaluate_scores", "interval_table"]

Floats = npt.NDArray[np.float64]


def evaluate(
    y: Any,
    p: Any,
    *,
    by: Any = None,
    min_segment: int = 30,
    capacity: int | None = None,
    groups: Any = None,
    weights: Any = None,
    level: float = 0.95,
    n_bootstrap: int = 300,
    random_state: int = 0,
) -> pd.DataFrame:
    """Measure predicted probabilities of a yes-or-no outcome against what happened.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcome: booleans, 0/1, or any two labels of which the larger is the event.
    p : array-like of shape (n,)
        Predicted probability of the event, in [0, 1].
    by : Series, array-like, DataFrame or mapping, optional
        Segment of each row, or several columns of segments, each with at most 50 values; gaps
        are the segment ``(missing)``.
    min_segment : int, default 30
        Customers with the event, and customers without it, that a segment needs before it may be
        called the worst. Smaller ones are shown with `compared` False.
    capacity : int, optional
        Number of these rows that can be contacted; adds precision_at_capacity.
    groups : array-like of shape (n,), optional
        Customer of each row; default is the index level ``customer_id`` of y or p, else each
        row is a customer of its own.
    weights : array-like of shape (n,), optional
        Weights of the rows, not negative.
    level : float, default .95
        Confidence level of the intervals, inside (0, 1).
    n_bootstrap : int, default 300
        Number of bootstrap samples.
    random_state : int, default 0
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        Columns metric, estimate, low, high. Metrics: roc_auc; average_precision; log_loss;
        log_loss_skill (share of the base rate's log loss that is saved: 0 is no better than the
        base rate, 1 perfect); brier and its parts brier_reliability, brier_resolution,
        brier_uncertainty, brier_within_bins; ece (expected calibration error, 15 bins of equal
        mass); calibration_slope (1 is right, below 1 overconfident); calibration_intercept (at
        slope 1; 0 is right, in log-odds); lift_at_… and capture_at_… 1, 5, 10 and 20pct (capture
        is the share of events among so many of the rows, highest p first; lift is capture ÷ that
        share); base_rate; mean_prediction; precision_at_capacity (share of events among the
        `capacity` rows with the highest p).

        With `by` further columns in front: kind, by, segment, customers, events (customers with
        the event), compared. kind is ``whole``; ``segment``; and for roc_auc, log_loss_skill,
        calibration_slope and calibration_intercept, which can be compared between segments of
        different size and base rate, ``worst`` (the segment with the worst value) and ``gap`` (by
        how much it is worse than the whole, positive is worse; of slope and intercept the
        distances to 1 and 0 count).

    Raises
    ------
    ModelError
        Lengths or indexes differ, p is outside [0, 1] or missing, the outcome does not have
        exactly two labels with a weight above 0, there are fewer than two customers, no draws, a
        column of segments has more than 50 values, or the capacity is no whole number from 1 on.

    Notes
    -----
    Intervals are percentiles over bootstrap samples of customers; draws without both outcomes
    are left out. A sample from the sample has more noise than the sample itself, which shifts
    the calibration error and the parts of the Brier score: their draws are re-centred at the
    estimate. Equal predictions count as tied: estimates do not depend on the order of rows.
    Intervals may, by what another `random_state` would change, for customers are drawn by number.

    Brier score = reliability − resolution + uncertainty + within bins, over the bins of ece, with
    nₖ rows, mean prediction p̄ₖ and event rate ōₖ in bin k and ō in all: Σnₖ(p̄ₖ − ōₖ)²/n (0 is
    right), Σnₖ(ōₖ − ō)²/n (more is better), ō(1 − ō), and what predictions that differ within a
    bin add: Σₖᵢ(pₖᵢ − p̄ₖ)²/n − 2Σₖᵢ(pₖᵢ − p̄ₖ)(oₖᵢ − ōₖ)/n. Murphy's three parts add up only where
    predictions are equal within each bin; the fourth closes the sum exactly. Rows have their
    weights.

    A capacity is a number of rows of this table; in a bootstrap sample, and with weights, it is
    the same share of the mass, and rows tied at its edge count in proportion.

    The interval of a ``gap`` is that of the largest gap over all compared segments, from
    simultaneous bands: it knows that the segment was chosen. The interval of the ``worst`` value
    does not. A segment may fall short of the whole in roc_auc although every segment is ranked
    equally well: the whole also ranks across segments.

    References
    ----------
    Murphy (1973), A new vector partition of the probability score.
    Stephenson, Coelho, Jolliffe (2008), Two extra components in the Brier score decomposition.
    Van Calster et al. (2019), Calibration: the Achilles heel of predictive analytics.
    Field, Welsh (2007), Bootstrapping clustered data.

    Examples
    --------
    >>> y, p = [0, 0, 1, 0, 1, 1], [0.1, 0.2, 0.3, 0.4, 0.8, 0.9]
    >>> table = evaluate(y, p, capacity=2).set_index("metric")
    >>> round(float(table.loc["roc_auc", "estimate"]), 4)   # 8 of 9 pairs in the right order
    0.8889
    >>> float(table.loc["precision_at_capacity", "estimate"])
    1.0
    """
    probability = inputs.probabilities(p)
    event = inputs.events(y)
    labelled = {"by": by} if isinstance(by, pd.Series | pd.DataFrame) else {}
    weight, customer = inputs.aligned(groups, weights, y=y, p=p, **labelled)
    inputs.check_weighed(event, weight)
    setting = Bootstrap(weight, customer, level, n_bootstrap, random_state)
    share = inputs.capacity_share(capacity, len(event))
    if by is None:
        measure = BinaryMeasure(event, probability, weight, capacity=share)
        return pd.DataFrame(_rows(setting.run({"all": measure})["all"], level))
    segments = divide(by, event, setting, fewest=min_segment)
    samples = setting.run(
        {
            place: BinaryMeasure(event, probability, weight, segment.rows, None if place else share)
            for place, segment in enumerate(segments)
        }
    )
    rows = [
        {**segment.facts("segment" if place else "whole"), **row}
        for place, segment in enumerate(segments)
        for row in _rows(samples[place], level)
    ]
    for places in of_each_division(segments):
        for name in metrics.COMPARABLE:
            gaps = [samples[place][name].loss - samples[0][name].loss for place in places]
            chosen, gap, low, high = largest(gaps, level)
            worst = segments[places[chosen]]
            (own,) = _rows({name: samples[places[chosen]][name]}, level)
            rows.append({**worst.facts("worst"), **own})
            ends = {"estimate": gap, "low": low, "high": high}
            rows.append({**worst.facts("gap"), "metric": name, **ends})
    return pd.DataFrame(rows)


def _rows(samples: dict[str, Sample], level: float) -> list[dict[str, Any]]:
    """Give metric, estimate, low, high of every sample."""
    return [
        dict(
            zip(
                ("metric", "estimate", "low", "high"),
                (name, sample.estimate, *sample.interval(level)),
                strict=True,
            )
        )
        for name, sample in samples.items()
    ]


def evaluate_scores(
    y: Any,
    proba: Any,
    *,
    levels: Sequence[float],
    groups: Any = None,
    weights: Any = None,
    level: float = 0.95,
    n_bootstrap: int = 300,
    random_state: int = 0,
) -> pd.DataFrame:
    """Measure predicted distributions over the levels of a score against the answers.

    Parameters
    ----------
    y : array-like of shape (n,)
        Scores given, each one of `levels`.
    proba : DataFrame or array-like of shape (n, K)
        Probability of each level, columns in the order of `levels`; rows sum to 1.
    levels : sequence of float
        Levels of the scale, ascending (0 … 10 for NPS).
    groups, weights, level, n_bootstrap, random_state
        As in `evaluate`.

    Returns
    -------
    DataFrame
        Columns metric, estimate, low, high. Metrics: mean_absolute_error (of the expected
        score, in points of the scale), ranked_probability_score (0 is perfect),
        score_log_loss, mean_score, mean_expected_score. For a low score see `evaluate`.

    Raises
    ------
    ModelError
        As in `evaluate`; or scores outside `levels`, rows that do not sum to 1.

    Notes
    -----
    Ranked probability score: Σₖ (P(Y ≤ k) − 1[y ≤ k])² ÷ (K − 1), averaged over rows.

    References
    ----------
    Epstein (1969), A scoring system for probability forecasts of ranked categories.

    Examples
    --------
    >>> table = evaluate_scores([1, 2, 2], [[1, 0], [0, 1], [0.5, 0.5]], levels=[1, 2])
    >>> round(float(table.set_index("metric").loc["mean_absolute_error", "estimate"]), 4)
    0.1667
    """
    scale = np.asarray(levels, dtype=np.float64)
    share = inputs.distributions(proba, len(scale))
    code = score_codes(inputs.floats(y, "y"), scale)
    weight, customer = inputs.aligned(groups, weights, y=y, proba=proba)
    losses = metrics.score_losses(code, share, scale)

    def measure(mass: Floats) -> dict[str, Floats]:
        return {name: mass @ loss / mass.sum(axis=-1) for name, loss in losses.items()}

    setting = Bootstrap(weight, customer, level, n_bootstrap, random_state)
    return pd.DataFrame(_rows(setting.run({"all": measure})["all"], level))
