"""Features and their values in words that a service agent understands."""

import math
from collections.abc import Callable
from functools import lru_cache

from cxpredict.features.origin import Origin

_ACRONYMS = {"nps", "csat", "ces", "sms", "ivr", "faq"}
_MASS_NOUNS = {"usage", "browsing", "feedback", "support", "spend", "churn", "onboarding"}
_RECORDS = {
    "interactions": "interaction",
    "feedback": "survey answer",
    "records": "activity",
    "contacts": "contact",
}


def describe_feature(name: str, origin: Origin) -> str:
    """Describe a feature as a noun phrase.

    Parameters
    ----------
    name : str
        Name of the column.
    origin : Origin
        Where it comes from.

    Returns
    -------
    str
        The column's own name for attributes and for measures unknown here.

    Examples
    --------
    >>> complaints = Origin("interactions", "count", "", (("kind", "complaint"),), 30)
    >>> describe_feature(complaints.name, complaints)
    'complaints in the last 30 days'
    >>> describe_feature("nps_last", Origin("feedback", "last", "score", (("metric", "nps"),)))
    'last NPS score'
    """
    one, many, what, span = _nouns(origin)
    phrases = {
        "tenure": "days as a customer",
        "month": "month of the year",
        "count": f"{many} {span}",
        "days": f"days with {many} {span}",
        "sum": f"total {what} {span}",
        "mean": f"average {what} {span}",
        "min": f"lowest {what} {span}",
        "max": f"highest {what} {span}",
        "last": f"last {what}",
        "change": f"latest change of the {what}",
        "days_since": f"days since the last {one}",
        "mean_gap": f"average days between {many}",
        "gap_std": f"how much the gaps between {many} vary, in days",
        "overdue": f"time since the last {one} against the usual gap",
        "distinct": f"different {_plural(_words(origin.column))} of {many} {span}",
        "trend": f"trend of the {what if origin.column else many} {span}",
        "slope": f"change of the {what} per day {span}",
        "share": f"share of {_all(origin)} {_place(origin)} {span}",
        "unanswered": f"unanswered {_about(origin)}invitations {span}",
    }
    return phrases.get(origin.measure, name)


def phrase(name: str, origin: Origin, value: object, typical: float | None) -> str:
    """Put the value of one customer into words, against the typical one.

    Parameters
    ----------
    name : str
        Name of the column.
    origin : Origin
        Where it comes from.
    value : object
        The customer's own value; None or NaN when missing.
    typical : float or None
        Median over customers; None for text, or when there is none.

    Returns
    -------
    str
        A unit or currency is named only where the origin has a label.

    Examples
    --------
    >>> complaints = Origin("interactions", "count", "", (("kind", "complaint"),), 30)
    >>> phrase(complaints.name, complaints, 3, 0.0)
    '3 complaints in the last 30 days (typical: 0)'
    >>> phrase("Contract", Origin("customers", "attribute", "Contract"), "Month-to-Month", None)
    'Contract is Month-to-Month'
    """
    if value is None or value != value:
        return _capital(_unknown(name, origin))
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return f"{name} is {value}"
    number = float(value)
    show = _SHOWN.get(origin.measure, format_number)
    text = _known(name, origin, number, typical, show(number))
    if typical is not None and show(typical) != show(number):
        text += f" (typical: {show(typical)})"
    return _capital(text) if origin.measure != "attribute" else text


def format_number(number: float) -> str:
    """Format a number for people: about three digits, thousands set apart.

    Parameters
    ----------
    number : float

    Returns
    -------
    str

    Examples
    --------
    >>> [format_number(number) for number in (3.0, 0.1234, 12.34, 12345.6)]
    ['3', '0.12', '12.3', '12,346']
    """
    if not math.isfinite(number):
        return "unlimited" if number > 0 else "unlimited below"
    decimals = 0 if abs(number) >= 100 else 1 if abs(number) >= 10 else 2
    text = f"{number:,.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _known(name: str, origin: Origin, number: float, typical: float | None, text: str) -> str:
    one, many, what, span = _nouns(origin)
    match origin.measure:
        case "tenure":
            return f"customer for {_days(number)}"
        case "count":
            return f"{_how_many(number, text, one, many)} {span}"
        case "days":
            return f"{_how_many(number, text, 'day', 'days')} with {many} {span}"
        case "sum":
            return f"{what}: {text} in total {span}"
        case "mean":
            return f"{what} averaged {text} {span}"
        case "min":
            return f"{what} as low as {text} {span}"
        case "max":
            return f"{what} as high as {text} {span}"
        case "last":
            return f"last {what} was {text}"
        case "change":
            return f"{what} changed by {text}" if number else f"{what} did not change"
        case "days_since" if typical is None or number > typical:
            return f"no {one} for {_days(number)}"
        case "days_since":
            return f"last {one} {_days(number)} ago"
        case "mean_gap":
            return f"{_days(number)} between {many} on average"
        case "gap_std":
            return f"gaps between {many} vary by {_days(number)}"
        case "overdue":
            return f"time since the last {one} is {text} times the usual gap"
        case "month":
            return f"month of the year is {text}"
        case "distinct":
            noun = _words(origin.column)
            return f"{_how_many(number, text, noun, _plural(noun))} of {many} {span}"
        case "slope":
            return f"{what} changed by {text} per day {span}"
        case "trend" if number == 0:
            return f"no {what if origin.column else many} {span}, but some before"
        case "trend":
            subject = what if origin.column else f"number of {many}"
            return f"{subject} {span} is {text} of its longer average"
        case "share":
            return f"{text} of {_all(origin)} {_place(origin)} {span}"
        case "unanswered":
            invitations = _how_many(number, text, "invitation", "invitations")
            return f"{invitations} to {_about(origin)}surveys unanswered {span}"
        case _:
            return f"{name} is {text}"


def _unknown(name: str, origin: Origin) -> str:
    one, many, what, span = _nouns(origin)
    # "no days of delay" would sound like good news where there was no delivery at all
    nothing = f"no {many if origin.label else what}"
    two = f"fewer than two {many if origin.label else _plural(what)}"
    phrases = {
        "tenure": "start as a customer is not known",
        "mean": f"{nothing} {span}",
        "min": f"{nothing} {span}",
        "max": f"{nothing} {span}",
        "last": f"{nothing} so far",
        "change": f"{two} so far",
        "days_since": f"no {one} so far",
        "mean_gap": f"{many} on fewer than two days so far",
        "gap_std": f"{many} on fewer than three days so far",
        "overdue": f"{many} on fewer than two days so far",
        "slope": f"{two} {span}",
        "trend": f"no {many} lately",
        "share": f"no {_all(origin)} {span}",
    }
    return phrases.get(origin.measure, f"{name} is not known")


@lru_cache(maxsize=1024)
def _nouns(origin: Origin) -> tuple[str, str, str, str]:
    """Name one event, many of them, the quantity measured on them, the window."""
    filters = dict(origin.filters)
    subject = _words(filters.get("kind") or filters.get("metric") or "")
    extra = "".join(
        f" with {_words(column)} {_words(level)}"
        for column, level in filters.items()
        if column not in ("kind", "metric")
    )
    record = _RECORDS.get(origin.source, "transaction")
    event = subject or record
    if origin.source == "feedback":
        event = f"{subject} answer".strip()
    elif subject in _MASS_NOUNS:
        event = f"{subject} record"
    column = _words(origin.column) or "value"
    what = origin.label or (column if column == subject else f"{subject or record} {column}")
    window = f"in the last {_days(origin.window_days)}" if origin.window_days else "so far"
    return event + extra, _plural(event) + extra, what + extra, window


def _all(origin: Origin) -> str:
    return _plural(_RECORDS.get(origin.source, "transaction"))


def _place(origin: Origin) -> str:
    return " and ".join(
        f"{'by' if column == 'channel' else 'with'} {_words(level)}"
        for column, level in origin.filters
    )


def _about(origin: Origin) -> str:
    metric = _words(dict(origin.filters).get("metric", ""))
    return f"{metric} " if metric else ""


def _words(text: str) -> str:
    words = text.replace("_", " ").replace("-", " ").split()
    return " ".join(word.upper() if word.lower() in _ACRONYMS else word for word in words)


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2:-1] not in set("aeiou"):
        return noun[:-1] + "ies"
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun if noun.endswith("s") else noun + "es"
    return noun + "s"


def _how_many(number: float, text: str, one: str, many: str) -> str:
    return f"no {many}" if number == 0 else f"{text} {one if number == 1 else many}"


def _days(number: float) -> str:
    days = format_number(round(number)) if math.isfinite(number) else format_number(number)
    return {"0": "less than a day", "1": "1 day"}.get(days, f"{days} days")


def _percent(number: float) -> str:
    return f"{number:.0%}" if math.isfinite(number) else format_number(number)


def _whole(number: float) -> str:
    return format_number(round(number) if math.isfinite(number) else number)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_SHOWN: dict[str, Callable[[float], str]] = {
    "share": _percent,
    "tenure": _whole,
    "days_since": _whole,
    "mean_gap": _whole,
    "gap_std": _whole,
    "trend": _percent,
    "month": _whole,
}
