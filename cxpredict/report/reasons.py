"""Why customers are at risk, by subject, and what to do about it."""

from __future__ import annotations

import pandas as pd

from cxpredict.config import Config
from cxpredict.drivers.contributions import Drivers
from cxpredict.drivers.flags import is_actionable
from cxpredict.drivers.grouping import importance, sum_by_group
from cxpredict.features.audit.split import customer_codes
from cxpredict.jobs.results import TrainedModel, TrainingRun
from cxpredict.report.business import AtRisk, at_risk
from cxpredict.report.wording import count, direction, money, outcome_words, percent, place

NOWHERE = ("customer profile", "(none)")
"""Groups of drivers that are no touchpoint."""

FEWEST_SUBJECTS = 10
"""With fewer kinds of records than this, what is measured on them counts as a subject."""


def subjects(drivers: Drivers, actionable: list[str]) -> pd.DataFrame:
    """Group drivers by what they are about, over all windows and measures; strongest first.

    Parameters
    ----------
    drivers : Drivers
        Contributions of features.
    actionable : list of str
        Features, kinds or touchpoints that the company can change.

    Returns
    -------
    DataFrame
        description and direction (of the strongest feature of the subject), where, lever (what
        one would change), actionable, importance, share, low, high (of the share).

    Notes
    -----
    Signed contributions of a subject are added first, then magnitudes are taken: windows of one
    thing that pull against each other do not count twice.
    """
    features = list(drivers.origins)
    keys = _keys(drivers)
    sums, names = sum_by_group(drivers.contributions.to_numpy(), keys)
    measured = importance(
        sums,
        customer_codes(drivers.contributions),
        level=drivers.level,
        random_state=drivers.random_state,
    )
    strongest = drivers.table.reset_index().set_index("feature")
    rows = []
    for key_of_subject in names:
        members = [f for f, key in zip(features, keys, strict=True) if key == key_of_subject]
        first = strongest.loc[members].sort_values("index").iloc[0]
        origin = drivers.origins[str(first.name)]
        mine = any(is_actionable(name, drivers.origins[name], actionable) for name in members)
        rows.append(
            {
                "description": first["description"],
                "direction": direction(first["direction"], origin.measure),
                "where": place(origin),
                "lever": origin.touchpoint or str(first["description"]),
                "actionable": mine,
            }
        )
    scale = (measured["share"] / measured["importance"].where(measured["importance"] > 0)).fillna(0)
    measured["low"], measured["high"] = measured["low"] * scale, measured["high"] * scale
    table = pd.concat([pd.DataFrame(rows), measured], axis=1)
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def _keys(drivers: Drivers) -> list[str]:
    """Name the subject of each feature: its kind, or kind and measure where kinds are few."""
    about, measured = [], []
    for origin in drivers.origins.values():
        own = f"{origin.source}|{origin.measure}|{origin.column}"
        of = [f"{column}={level}" for column, level in origin.filters if column != "outcome"]
        about.append("|".join([origin.source, *of]) if of else own)
        measured.append("|".join([own, *of]))
    return about if len(set(about)) >= FEWEST_SUBJECTS else measured


def actions(run: TrainingRun) -> list[tuple[str, str]]:
    """List what to do, most valuable first: heading and text; nothing is said twice."""
    found: list[tuple[str, str]] = []
    for model in run.models:
        if model.bundle.kind == "churn":
            found += _contact(run.config, at_risk(model))
    for model in run.models:
        found += _look_first(run, model)
    texts: dict[str, list[str]] = {}
    for heading, text in found + _listen(run) + _mend(run):
        texts.setdefault(heading, []).append(text)
    return [(heading, " ".join(parts)) for heading, parts in texts.items()]


def _contact(config: Config, facts: AtRisk) -> list[tuple[str, str]]:
    if config.offer is not None and config.value is not None:
        text = (
            f"The expected gain is {money(facts.gain, config.value.currency)} if "
            f"{percent(config.offer.mean_acceptance)} of would-be leavers accept, which is "
            "assumed. They are marked “contact” in the scores."
        )
        held = (
            "They were drawn at random among the selected. Leave them alone: comparing "
            "both groups later tells what the offer really changes."
        )
        first = (f"Contact the {count(facts.contact)} customers where the offer pays", text)
        second = (f"Do not contact the {count(facts.held_out)} held-out customers", held)
        return [first, second] if facts.held_out else [first]
    worth = ""
    if config.value is not None:
        worth = f" They carry {money(facts.value_high, config.value.currency)} of margin at risk."
    text = (
        f"No offer is configured, so no list is ranked by gain.{worth} Enter cost, incentive "
        "and acceptance of an offer to learn whom it pays to contact."
    )
    return [(f"Begin with the {count(facts.high)} customers at high risk", text)]


def _look_first(run: TrainingRun, model: TrainedModel) -> list[tuple[str, str]]:
    words = outcome_words(model.bundle.problem.settings)
    found: list[tuple[str, str]] = []
    groups = model.drivers.by("touchpoint")
    groups = groups[~groups["touchpoint"].isin(NOWHERE)]
    if len(groups):
        top = groups.iloc[0]
        found.append(
            (
                f"Look first at touchpoint “{top['touchpoint']}”",
                f"It carries {percent(top['share'])} of what moves the predicted risk of "
                f"{words.name}, more than any other touchpoint.",
            )
        )
    table = subjects(model.drivers, run.config.actionable)
    mine = table[table["actionable"]]
    if len(mine):
        top = mine.iloc[0]
        found.append(
            (
                f"Try a change of “{top['lever']}” on a random part of customers",
                f"For {words.name}: {top['description']}, {percent(top['share'])} of the weight; "
                f"{top['direction']}.",
            )
        )
    return found


def _listen(run: TrainingRun) -> list[tuple[str, str]]:
    experience = run.experience
    if experience.nps is None:
        return []
    answers = float(experience.nps["n"].iloc[0])
    rate = answers / max(experience.invited, 1)
    text = f"{count(answers)} of {count(experience.invited)} invitations were answered."
    if experience.weighting is None:
        text += " The non-response weighting is off: turn it on to hear those who stay silent."
    return [(f"Ask why {percent(1 - rate)} of invitations stay unanswered", text)]


def _mend(run: TrainingRun) -> list[tuple[str, str]]:
    found = []
    rejected = int(run.log.quality["rejected"].sum())
    if rejected:
        worst = run.log.rules.sort_values("rows", ascending=False, kind="stable").iloc[0]
        found.append(
            (
                f"Mend {count(rejected)} rejected records at their source",
                f"The most frequent fault: {worst['rule']} ({count(worst['rows'])} rows of "
                f"“{worst['source']}”). Rejected rows are left out of every figure here.",
            )
        )
    dropped = sorted({name for model in run.models for name in model.dropped})
    if dropped:
        found.append(
            (
                f"Find out when {count(len(dropped))} columns are filled in",
                "They know the answer before it is asked, so the models do without them. With "
                "their values as they stood at the time they might help. See the leak audit.",
            )
        )
    return found


def first_customers(model: TrainedModel, top: int) -> tuple[str, pd.DataFrame]:
    """Pick the customers to look at first: by gain, by money among those at risk, or by risk."""
    scores, words = model.at_risk, outcome_words(model.bundle.problem.settings)
    by_risk = f"the highest risk of {words.name}"
    if model.bundle.kind != "churn":
        return by_risk, scores.head(top)
    if scores["expected_gain"].notna().any():
        order = scores.sort_values("expected_gain", ascending=False, kind="stable")
        return "the highest expected gain of the offer", order.head(top)
    exposed = scores[scores["risk_band"].isin(["high", "medium"])]
    if exposed["value_at_risk"].notna().any():
        order = exposed.sort_values("value_at_risk", ascending=False, kind="stable")
        return "the most margin at risk, among those at medium or high risk", order.head(top)
    return by_risk, scores.head(top)
