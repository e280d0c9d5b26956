"""Filling the templates of the pages: every text that comes from data is escaped."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from cxpredict.report import wording

_FILTERS = ("count", "decimal", "percent", "money", "points", "day", "direction")


def fill(template: str, /, **view: Any) -> str:
    """Fill a template of this package; what it asks for and does not get is an error."""
    environment = Environment(
        loader=PackageLoader("cxpredict.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(wording, name) for name in _FILTERS}
    return environment.get_template(template).render(view)
