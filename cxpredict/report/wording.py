"""Numbers and technical terms as people read them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from cxpredict.config import ChurnSettings, SatisfactionSettings
from cxpredict.features.origin import Origin

MISSING = "–"
_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"

EVIDENCE = {
    "measured": "counted in the records",
    "predicted": "calculated by a model that was tested on customers it had not seen",
    "assumed": "rests on a number that somebody entered in the configuration",
    "associational": "a difference between groups as they are; groups may differ in other ways",
    "adjusted": "a difference between groups after known differences were taken out; "
    "unknown ones remain",
    "experimental": "found in a randomised comparison",
}
"""What each evidence tag means, weakest and strongest named in the report's key."""

SOURCES = {
    "customers": "customer profile",
    "interactions": "interactions",
    "feedback": "surveys",
    "transactions": "purchases",
}

_MORE = {
    "tenure": "longer",
    "days_since": "longer",
    "mean_gap": "longer",
    "count": "more",
    "days": "more",
    "unanswered": "more",
}


def count(number: float) -> str:
    """Format a count.

    Examples
    --------
    >>> count(12345), count(float("nan"))
    ('12,345', '–')
    """
    return MISSING if _absent(number) else _signed(f"{number:,.0f}")


def decimal(number: float, digits: int = 3) -> str:
    """Format a number with fixed digits.

    Examples
    --------
    >>> decimal(-0.05, 2)
    '−0.05'
    """
    return MISSING if _absent(number) else _signed(f"{number:,.{digits}f}")


def percent(share: float, digits: int | None = None) -> str:
    """Format a share: one decimal below ten percent, none above, unless digits are given.

    Examples
    --------
    >>> percent(0.0734), percent(0.734), percent(0.734, 1)
    ('7.3%', '73%', '73.4%')
    """
    if _absent(share):
        return MISSING
    if digits is None:
        digits = 1 if abs(share) < 0.0995 else 0
    return _signed(f"{100 * share:,.{digits}f}%")


def money(amount: float, currency: str, digits: int | None = None) -> str:
    """Format an amount with its currency, a hard space between.

    Examples
    --------
    >>> money(-1234.5, "EUR").split()
    ['−EUR', '1,234']
    """
    if _absent(amount):
        return MISSING
    if digits is None:
        digits = 2 if 0 < abs(amount) < 10 else 0
    sign = _MINUS if amount < 0 else ""
    return f"{sign}{currency}{_SPACE}{abs(amount):,.{digits}f}"


def points(number: float) -> str:
    """Format an NPS with its sign.

    Examples
    --------
    >>> points(12.34), points(-3.0)
    ('+12.3', '−3.0')
    """
    return MISSING if _absent(number) else _signed(f"{number:+.1f}")


def day(date: object) -> str:
    """Format a date; the time of day is left out."""
    return MISSING if pd.isna(date) else str(pd.Timestamp(str(date)).date())


def shorten(text: str, limit: int = 52) -> str:
    """Cut a long name, so that a figure keeps its shape.

    Examples
    --------
    >>> shorten("complaints in the last 30 days", 14)
    'complaints in…'
    """
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def direction(found: str, measure: str = "") -> str:
    """Put the direction of a driver into words.

    Examples
    --------
    >>> direction("higher lowers", "days_since")
    'the longer, the lower the risk'
    """
    if found.startswith("highest with "):
        return f"risk is highest with “{found.removeprefix('highest with ')}”"
    end = {"higher raises": "higher", "higher lowers": "lower"}.get(found)
    start = _MORE.get(measure, "higher")
    return f"the {start}, the {end} the risk" if end else "no one direction"


def place(origin: Origin) -> str:
    """Say where in the journey, or in which records, a feature is observed."""
    return origin.touchpoint or SOURCES.get(origin.source, origin.source)


@dataclass(frozen=True)
class Outcome:
    """How the outcome of a model is called.

    Attributes
    ----------
    name, topic : str
        The outcome, as a noun, and as a heading.
    short : str
        What a customer may do: leave, give a low score.
    people : str
        Customers with the outcome.
    others : str
        Customers without it.
    definition : str
        When exactly it counts.
    when : str
        Until when, as the end of a sentence; empty where the table has no time.
    column : str
        The column of probabilities in the scores.
    """

    name: str
    topic: str
    short: str
    people: str
    others: str
    definition: str
    when: str
    column: str


def outcome_words(settings: ChurnSettings | SatisfactionSettings) -> Outcome:
    """Name the outcome of a problem and say how it is recognised."""
    days = settings.horizon_days
    when = "" if settings.label is not None else f"within {days} days"
    if settings.gap_days and when:
        when = f"within {days} days, counted from {settings.gap_days} days later on"
    if isinstance(settings, ChurnSettings):
        if settings.label is not None:
            definition = f"the column “{settings.label}” is “{settings.positive}”"
        elif settings.inactive is not None:
            definition = f"no record of kind “{settings.inactive}” {when}"
        else:
            definition = f"a record of kind “{settings.cancelled}” {when}"
        return Outcome(
            name="churn",
            topic="churn",
            short="leave",
            people="customers who left",
            others="customers who stayed",
            definition=f"Churn means: {definition}.",
            when=when,
            column="churn_probability",
        )
    low, high = settings.levels[0], settings.levels[-1]
    source = "the next answer" if settings.label is None else f"the column “{settings.label}”"
    return Outcome(
        name="a low score",
        topic="low scores",
        short="give a low score",
        people="customers with a low score",
        others="customers with a better score",
        definition=f"A low score means: {source}, {settings.metric.upper()} on a scale of "
        f"{low}–{high}, is {settings.low_at_most} or less.",
        when=f"if asked {when}".strip() if when else "",
        column="low_score_probability",
    )


def _absent(number: float | None) -> bool:
    return number is None or pd.isna(number) or not math.isfinite(number)


def _signed(text: str) -> str:
    if text.strip("-0.,%") == "" and text.startswith("-"):
        text = text[1:]
    return text.replace("-", _MINUS)
