"""The page “Return on experience”: what a board reads in two minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.config.value import RoxSettings
from cxpredict.jobs.results import TrainingRun
from cxpredict.report.business import Tile
from cxpredict.report.figures import Picture
from cxpredict.report.wording import decimal, money, percent
from cxpredict.value.rox.estimate import RoxEstimate

ORDER = ("assumed", "associational", "adjusted", "experimental")
"""Evidence from weakest to strongest."""


def rox_view(run: TrainingRun, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Collect what the page shows; without an estimate, what is missing instead."""
    settings, value, rox = run.config.rox, run.config.value, run.experience.rox
    assert settings is not None
    assert value is not None
    currency = value.currency
    view: dict[str, Any] = {
        "improvement": improvement_words(settings),
        "period_days": settings.period_days,
        "months": settings.period_days * settings.horizon_periods / 30.4375,
        "currency": currency,
        "missing": run.experience.rox_notes,
        "groups": _groups(run.experience.economics),
        "pictures": {picture.name: picture for picture in pictures},
        "rox": rox,
    }
    if rox is None:
        return view
    return {
        **view,
        "headline": headline(rox, currency),
        "tiles": _tiles(rox, currency),
        "terms": rox.terms.to_dict("records"),
        "weakest": min(rox.terms["evidence"], key=ORDER.index),
        "refused": dict(rox.refused),
        "claims": _claims(rox),
        "scenarios": _scenarios(rox),
        "break_even": rox.break_even_share,
        "per_cent": round(100 * rox.level),
    }


def improvement_words(settings: RoxSettings) -> str:
    """Say what gets better, as the end of “an improvement that …”.

    Examples
    --------
    >>> improvement_words(RoxSettings(shift_points=5, cost=1, period_days=90, horizon_periods=4))
    'moves 5 of every 100 customers from detractor to passive'
    """
    if settings.shift_points is not None:
        moved = f"{settings.shift_points:g}"
        return f"moves {moved} of every 100 customers from detractor to passive"
    if settings.answer_within is not None:
        goal = settings.answer_within
        kind = goal.kind.replace("_", " ")
        return f"answers {percent(goal.share)} of “{kind}” within {goal.hours:g} hours"
    score = settings.raise_score
    assert score is not None
    where = f" at “{score.touchpoint}”" if score.touchpoint else ""
    unit = "point" if score.points == 1 else "points"
    return f"raises the {score.metric.upper()} score{where} by {score.points:g} {unit}"


def headline(rox: RoxEstimate, currency: str) -> str:
    """Say in a sentence or two whether it pays, and how surely."""
    text = f"{_expectation(rox, currency)} {money(rox.cost, currency)}"
    if rox.interval is None:
        return f"{text}. All figures are assumed, so nothing says how sure this is."
    low, high = rox.interval
    ends = f"{money(low * rox.cost, currency)} to {money(high * rox.cost, currency)}"
    text += f" ({round(100 * rox.level)}% interval of the net value: {ends})."
    if low <= 0 <= high:
        return f"{text} The records leave open whether it pays at all."
    assumed = ", if the assumed figures are right" if _rests_on_assumptions(rox) else ""
    return f"{text} The whole interval is a {'gain' if low > 0 else 'loss'}{assumed}."


def _expectation(rox: RoxEstimate, currency: str) -> str:
    amount = money(abs(rox.npv), currency)
    if rox.npv >= 0:
        return f"It is expected to bring {amount} beyond its cost of"
    if rox.benefit >= 0:
        return f"It is expected to lose {amount} of its cost of"
    return f"It is expected to do harm: a loss of {amount}, with its cost of"


def _rests_on_assumptions(rox: RoxEstimate) -> bool:
    stated = rox.terms["evidence"] == "assumed"
    return bool((stated & (rox.terms["benefit"] != 0)).any())


def _tiles(rox: RoxEstimate, currency: str) -> list[Tile]:
    tags = ", ".join(dict.fromkeys(rox.terms["evidence"]))
    shares = amounts = "no interval: all figures are assumed"
    if rox.interval is not None:
        shares = " to ".join(percent(end) for end in rox.interval)
        amounts = " to ".join(money(end * rox.cost, currency) for end in rox.interval)
    return [
        Tile(
            "net return",
            percent(rox.net),
            f"(benefit − cost) ÷ cost; {shares}. Gross, benefit ÷ cost: {percent(rox.gross)}",
            tags,
        ),
        Tile("net value", money(rox.npv, currency), amounts, tags),
        Tile(
            "chance that it pays",
            _chance(rox.probability_positive),
            "given that the improvement comes true",
            "predicted",
        ),
        Tile("pays back after", _months(rox.payback_months), _payback_note(rox), "predicted"),
    ]


def _chance(share: float | None) -> str:
    """Thousands of simulated worlds cannot show that something never or always happens."""
    if share is None:
        return percent(np.nan)
    return "under 0.1%" if share < 0.001 else "over 99.9%" if share > 0.999 else percent(share)


def _months(months: float | None) -> str:
    if months is None or not np.isfinite(months):
        return "not in time"
    return "at once" if months == 0 else f"{decimal(months, 0 if months >= 10 else 1)} months"


def _payback_note(rox: RoxEstimate) -> str:
    if rox.payback_interval is None:
        return "no interval: nothing says how sure this is"
    low, high = rox.payback_interval
    if not np.isfinite(low):
        return "not even at the better end of the interval within the horizon"
    return f"{_months(low)} to " + (_months(high) if np.isfinite(high) else "never in time")


def _claims(rox: RoxEstimate) -> list[dict[str, Any]]:
    """Net value by a plain comparison of customers, and after differences are taken out."""
    if rox.unadjusted is None:
        return []
    return [
        {"name": name, "npv": each.npv, "low": low * each.cost, "high": high * each.cost}
        for name, each in (("plain comparison", rox.unadjusted), ("adjusted", rox))
        for low, high in [each.interval or (np.nan, np.nan)]
    ]


def _scenarios(rox: RoxEstimate) -> list[dict[str, Any]]:
    table = rox.scenarios()
    wide = table.pivot_table(index="realised", columns="effect", values="npv", sort=False)
    return [{"realised": share, **row.to_dict()} for share, row in wide.iterrows()]


def _groups(economics: pd.DataFrame | None) -> list[dict[str, Any]]:
    if economics is None:
        return []
    order = economics.sort_values(["group", "adjustment"], ascending=False, kind="stable")
    rows: list[dict[str, Any]] = order.to_dict("records")
    return rows
