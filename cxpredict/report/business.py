"""The key figures of the first page: counts, money, experience, trust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.config import Config, CustomerSplit
from cxpredict.data.log import CustomerLog
from cxpredict.jobs.results import TrainedModel, TrainingRun
from cxpredict.report.wording import (
    Outcome,
    count,
    money,
    outcome_words,
    percent,
    points,
)

OTHER_MIX = 1.5
"""Average risks of today and of the test that differ by this factor call for a warning."""


@dataclass(frozen=True)
class Tile:
    """One key figure: what, how much, how sure, and on what evidence."""

    name: str
    value: str
    note: str
    evidence: str


@dataclass(frozen=True)
class AtRisk:
    """Counts and sums over the customers scored today.

    Attributes
    ----------
    customers, high, medium : int
        Scored, and in the two upper bands.
    expected, low, high_end : float
        Expected number of events, and the 95 % range that chance alone allows.
    value, value_high : float
        Value at risk of all and of the high band; NaN if no value is configured.
    gain : float
        Expected gain over the customers to contact; NaN without an offer.
    contact, held_out : int
        Selected customers to contact, and those held out.
    """

    customers: int
    high: int
    medium: int
    expected: float
    low: float
    high_end: float
    value: float
    value_high: float
    gain: float
    contact: int
    held_out: int


def at_risk(model: TrainedModel) -> AtRisk:
    """Count and add up the scores of the customers of today."""
    scores, words = model.at_risk, outcome_words(model.bundle.problem.settings)
    p = scores[words.column].to_numpy()
    expected, spread = float(p.sum()), 1.96 * float(np.sqrt((p * (1 - p)).sum()))
    band = scores["risk_band"]
    value = scores.get("value_at_risk", pd.Series(np.nan, index=scores.index))
    action = scores.get("action", pd.Series(None, index=scores.index, dtype="object"))
    arm = scores.get("arm", pd.Series(None, index=scores.index, dtype="object"))
    offered = bool(action.notna().any())
    chosen = scores.loc[(action == "contact").to_numpy()]
    return AtRisk(
        customers=len(scores),
        high=int((band == "high").sum()),
        medium=int((band == "medium").sum()),
        expected=expected,
        low=max(expected - spread, 0.0),
        high_end=min(expected + spread, float(len(scores))),
        value=float(value.sum(min_count=1)),
        value_high=float(value[band == "high"].sum()) if value.notna().any() else np.nan,
        gain=float(chosen["expected_gain"].sum()) if offered else np.nan,
        contact=len(chosen),
        held_out=int((arm == "held_out").sum()),
    )


def data_until(run: TrainingRun) -> Any:
    """Return the last date of the records, or the date that a table without time stands for."""
    if isinstance(run.config.split, CustomerSplit):
        return run.config.split.as_of
    return run.log.span[1]


def tiles(run: TrainingRun) -> list[Tile]:
    """Choose the key figures of the run."""
    found: list[Tile] = []
    for model in run.models:
        facts, words = at_risk(model), outcome_words(model.bundle.problem.settings)
        found += _risk_tiles(run.log, model, facts, words, first=not found)
        if model.bundle.kind == "churn":
            found += _money_tiles(run.config, facts)
    return found + _experience_tiles(run)


def _risk_tiles(
    log: CustomerLog, model: TrainedModel, facts: AtRisk, words: Outcome, *, first: bool
) -> list[Tile]:
    bands = model.bundle.bands
    high = Tile(
        f"at high risk of {words.name}",
        count(facts.high),
        f"probability of {percent(bands.high)} or more; a further {count(facts.medium)} "
        f"at medium risk ({percent(bands.medium)} or more)",
        "predicted",
    )
    expected = Tile(
        f"expected to {words.short} {words.when}".strip(),
        count(facts.expected),
        f"{percent(facts.expected / max(facts.customers, 1), 1)} of customers; "
        f"{count(facts.low)} to {count(facts.high_end)} by chance alone",
        "predicted",
    )
    active = Tile("active customers", count(facts.customers), _sample_words(log), "measured")
    return [active, high, expected] if first else [high, expected]


def _sample_words(log: CustomerLog) -> str:
    if log.customers.weight.nunique().execute() > 1:
        return "scored for this report; counts are of the sample in the records, not of all"
    return "scored for this report"


def _money_tiles(config: Config, facts: AtRisk) -> list[Tile]:
    settings = config.value
    if settings is None:
        note = "no value configured: customers are ranked by risk, not by money"
        return [Tile("money at risk", "not known", note, "")]
    assumed = "assumed" if settings.margin_rate is not None else "predicted"
    found = [
        Tile(
            f"margin at risk over {settings.horizon_days} days",
            money(facts.value, settings.currency),
            f"of which {money(facts.value_high, settings.currency)} in the high band; "
            f"{_margin_words(config)}",
            assumed,
        )
    ]
    if config.offer is not None:
        found.append(
            Tile(
                "expected gain of the offer",
                money(facts.gain, settings.currency),
                f"from contacting {count(facts.contact)} customers, if "
                f"{percent(config.offer.mean_acceptance)} of would-be leavers accept",
                "assumed",
            )
        )
    return found


def _margin_words(config: Config) -> str:
    assert config.value is not None
    if config.value.margin_rate is None:
        return "from recorded margins"
    return f"margin taken as {percent(config.value.margin_rate)} of revenue"


def _experience_tiles(run: TrainingRun) -> list[Tile]:
    found, experience = [], run.experience
    if experience.nps is not None:
        row = experience.nps.iloc[0]
        found.append(
            Tile(
                "net promoter score",
                points(row["estimate"]),
                f"{points(row['low'])} to {points(row['high'])} (95% interval) from "
                f"{count(row['n'])} answers; non-response weighting "
                f"{'off' if experience.weighting is None else 'on'}",
                "measured" if experience.weighting is None else "adjusted",
            )
        )
    rox = experience.rox
    if rox is not None:
        note = f"gross {percent(rox.gross)}, if the assumed shift comes true"
        if rox.interval is not None:
            low, high = rox.interval
            note += f"; net {percent(low)} to {percent(high)} (95% interval)"
        found.append(
            Tile("net return on experience", percent(rox.net), note, ", ".join(_tags(rox.terms)))
        )
    return found


def _tags(terms: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(terms["evidence"]))


def trust(model: TrainedModel, words: Outcome) -> str:
    """Say in a sentence how well the model did on customers it had not seen."""
    rows = model.metrics.drop_duplicates("metric").set_index("metric")
    auc, low, high = rows.loc["roc_auc", ["estimate", "low", "high"]]
    happened, predicted = rows.loc["base_rate"], rows.loc["mean_prediction", "estimate"]
    today = at_risk(model)
    average = today.expected / max(today.customers, 1)
    tested = (
        f"of 100 pairs, one of the {words.people} and one of the {words.others}, it ranked "
        f"{100 * auc:.0f} right ({100 * low:.0f} to {100 * high:.0f}; a coin toss: 50). It "
        f"expected {percent(predicted, 1)} to {words.short}; {percent(happened['estimate'], 1)} "
        f"did ({percent(happened['low'], 1)} to {percent(happened['high'], 1)}). The riskiest "
        f"tenth held {percent(rows.loc['capture_at_10pct', 'estimate'])} of them."
    )
    if not today.customers or 1 / OTHER_MIX < average / predicted < OTHER_MIX:
        return tested
    return (
        f"{tested} Today's customers are another mix: their average risk is {percent(average, 1)}, "
        f"against {percent(predicted, 1)} among those tested, so the model is less proven for them."
    )


def uplift_words(run: TrainingRun) -> str:
    """Say why no effect of contacting is printed."""
    arms = run.log.contacts.group_by("arm").agg(n=run.log.contacts.count()).to_pandas()
    sizes = {str(row.arm): int(row.n) for row in arms.itertuples()}
    if sizes.get("treated") and sizes.get("held_out"):
        return (
            f"the records hold {count(sizes['treated'])} contacted and {count(sizes['held_out'])} "
            "held-out cases, but this report does not compare them. The expected gain rests on "
            "the assumed acceptance."
        )
    return (
        "no contact was randomised, so nobody can say whom an offer would persuade. Hold out a "
        "random part of the selected customers to find out."
    )
