"""How well a model did on customers whose outcome is known by now."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.config.value import OfferSettings
from cxpredict.data.suppression import MIN_RESPONDENTS, hidden_groups
from cxpredict.jobs.monitoring.cohorts import Cohort
from cxpredict.jobs.training.promotion import realised_gain
from cxpredict.models.evaluation import evaluate
from cxpredict.models.evaluation.inputs import aligned
from cxpredict.models.evaluation.intervals import Bootstrap

__all__ = [
    "EVERYONE",
    "HELD_OUT",
    "METRICS",
    "WITHOUT_CONTACT",
    "enough_held_out",
    "realised",
    "realised_segments",
]

METRICS = (
    "roc_auc",
    "average_precision",
    "log_loss",
    "log_loss_skill",
    "brier",
    "ece",
    "calibration_slope",
    "calibration_intercept",
    "base_rate",
    "mean_prediction",
    "mean_gain",
)
EVERYONE, HELD_OUT, WITHOUT_CONTACT = "everyone", "held out", "without contact"
FEWEST_EXPECTED = 20
"""Leavers, and stayers, expected among those held out: an interval from fewer knows too little."""
MOST_ROWS = 100_000
"""More customers than this are drawn at random: 300 bootstrap samples of a million take minutes."""


def realised(
    cohort: Cohort, *, worth: pd.Series | None = None, offer: OfferSettings | None = None
) -> pd.DataFrame:
    """Measure the scores of a cohort against the outcomes that are known.

    Parameters
    ----------
    cohort : Cohort
        Scores and outcomes.
    worth : Series, optional
        Money a kept customer is worth, on the index of the cohort.
    offer : OfferSettings, optional
        With `worth` adds mean_gain: money per customer that the offer to those it is expected to
        pay for would have brought; acceptance is assumed.

    Returns
    -------
    DataFrame
        Columns rows, customers, metric, estimate, low, high (95 % intervals from customers drawn
        with replacement). rows is ``everyone``; where customers were contacted and enough others
        held out (20 leavers and 20 stayers expected), also ``held out``, those alone, and
        ``without contact``: customers not chosen, and those held out, who count for everybody
        chosen. Empty where fewer than 11 outcomes are known or all are the same.

    Notes
    -----
    Contacting works, so that among customers who were contacted fewer leave than was predicted:
    on everyone a good model looks worse the better the offer. Only customers held out at random
    show what would have happened; the weighted rows speak for all customers, the held out alone
    for those whom the offer would have gone to.

    Examples
    --------
    >>> index = pd.MultiIndex.from_product([map(str, range(400)), [pd.Timestamp("2024-01-01")]],
    ...                                    names=["customer_id", "as_of"])
    >>> risk = pd.Series(np.tile([0.2, 0.6], 200), index)
    >>> left = pd.Series(np.tile([0, 0, 0, 1, 1, 1, 0, 0, 0, 1], 40), index, dtype=float)
    >>> cohort = Cohort(index[0][1], risk, risk.map({}), left, mature=True, gone=0)
    >>> table = realised(cohort).set_index("metric")
    >>> [round(float(table.loc[name, "estimate"]), 2) for name in ("base_rate", "mean_prediction")]
    [0.4, 0.4]
    """
    gain = None
    if worth is not None and offer is not None and len(cohort.known):
        known = cohort.known.index
        gain = realised_gain(
            cohort.risk.loc[known], cohort.known, worth=worth.loc[known], offer=offer
        )
    parts = [_measured(name, cohort, weight, gain) for name, weight in _populations(cohort).items()]
    return pd.concat(parts, ignore_index=True)


def enough_held_out(cohort: Cohort) -> bool:
    """Tell whether those held out can stand for everybody chosen, before looking at outcomes."""
    known = cohort.outcome.notna()
    risk = cohort.risk[known & (cohort.arm == "held_out")]
    return bool(min(risk.sum(), (1.0 - risk).sum()) >= FEWEST_EXPECTED)


def realised_segments(cohort: Cohort, segments: pd.DataFrame) -> pd.DataFrame:
    """Measure the scores by segment, on customers of no small segment.

    Parameters
    ----------
    cohort : Cohort
        Scores and outcomes.
    segments : DataFrame
        Segments on the index of the cohort, a column each.

    Returns
    -------
    DataFrame
        Columns by, segment, customers, metric, estimate, low, high. Segments of fewer than 11
        customers, and as many of the next as it takes to hide them, are left out; so are segments
        in which all outcomes are the same.
    """
    known = _drawn(cohort.known)
    columns = ["by", "segment", "customers", "metric", "estimate", "low", "high"]
    if not _enough(known):
        return pd.DataFrame(columns=columns)
    weight = _populations(cohort).get(WITHOUT_CONTACT)
    table = evaluate(
        known,
        cohort.risk.loc[known.index],
        by=segments.loc[known.index],
        weights=None if weight is None else weight.loc[known.index],
    )
    table = table[(table["kind"] == "segment") & table["metric"].isin(METRICS)]
    groups = table.drop_duplicates(["by", "segment"])
    shown = []
    for _, of_one in groups.groupby("by"):
        hidden = hidden_groups(of_one["customers"].to_numpy())
        shown.append(of_one.loc[~hidden, ["by", "segment"]])
    kept = table.merge(pd.concat(shown), on=["by", "segment"]) if shown else table
    return kept.dropna(subset=["estimate"])[columns].reset_index(drop=True)


def _populations(cohort: Cohort) -> dict[str, pd.Series]:
    """Give the weights of rows under which each population is measured."""
    arm = cohort.arm.loc[cohort.known.index]
    treated, held_out = arm == "treated", arm == "held_out"
    found = {EVERYONE: pd.Series(1.0, arm.index)}
    if treated.any() and enough_held_out(cohort):
        stands_for = (treated.sum() + held_out.sum()) / held_out.sum()
        found[HELD_OUT] = held_out.astype("float64")
        weight = np.where(treated, 0.0, np.where(held_out, stands_for, 1.0))
        found[WITHOUT_CONTACT] = pd.Series(weight, arm.index)
    return found


def _measured(name: str, cohort: Cohort, weight: pd.Series, gain: pd.Series | None) -> pd.DataFrame:
    columns = ["rows", "customers", "metric", "estimate", "low", "high"]
    known = _drawn(cohort.known[(weight > 0).to_numpy()])
    if not _enough(known):
        return pd.DataFrame(columns=columns)
    weight = weight.loc[known.index]
    given = weight if name == WITHOUT_CONTACT else None
    table = evaluate(known, cohort.risk.loc[known.index], weights=given)
    table = table[table["metric"].isin(METRICS)]
    if gain is not None:
        row = _mean_gain(gain.loc[known.index], weight)
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
    return table.assign(rows=name, customers=len(known))[columns]


def _enough(known: pd.Series) -> bool:
    return len(known) >= MIN_RESPONDENTS and known.nunique() == 2


def _drawn(known: pd.Series) -> pd.Series:
    return known if len(known) <= MOST_ROWS else known.sample(MOST_ROWS, random_state=0)


def _mean_gain(gain: pd.Series, weight: pd.Series) -> dict[str, Any]:
    mass, customer = aligned(None, weight, gain=gain)
    setting = Bootstrap(mass, customer, 0.95, 300, 0)
    values = gain.to_numpy()

    def mean(drawn: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
        return {"mean_gain": drawn @ values / drawn.sum(axis=1)}

    sample = setting.run({"gain": mean})["gain"]["mean_gain"]
    low, high = sample.interval(0.95)
    return {"metric": "mean_gain", "estimate": sample.estimate, "low": low, "high": high}
