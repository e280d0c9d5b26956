"""The columns of every table of the log: names, kinds, which are required."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["id", "time", "number", "text"]


RESERVED = ("customer_id", "as_of", "tenure_days", "_row", "customer_id_right", "as_of_right")
"""Names that no attribute of customers may have, in any case of letters."""


@dataclass(frozen=True)
class Field:
    """One column of a table of the log."""

    name: str
    kind: Kind
    required: bool = False

    @property
    def dtype(self) -> str:
        """The Ibis type that every engine stores it as."""
        return {"time": "timestamp(6)", "number": "float64"}.get(self.kind, "string")


def _fields(required: str, optional: str) -> tuple[Field, ...]:
    return tuple(
        Field(name, kind, required=words is required)  # type: ignore[arg-type]
        for words in (required, optional)
        for name, kind in (word.split(":") for word in words.split())
    )


TABLES: dict[str, tuple[Field, ...]] = {
    "customers": _fields("customer_id:id", "since:time segment:text weight:number"),
    "interactions": _fields(
        "customer_id:id occurred_at:time kind:text",
        "known_at:time channel:text touchpoint:text value:number outcome:text agent_id:id "
        "event_id:id",
    ),
    "feedback": _fields(
        "customer_id:id occurred_at:time metric:text",
        "score:number known_at:time channel:text touchpoint:text comment:text invited_at:time "
        "followed_up_at:time event_id:id",
    ),
    "transactions": _fields(
        "customer_id:id occurred_at:time amount:number",
        "known_at:time margin:number kind:text event_id:id",
    ),
    "contacts": _fields(
        "customer_id:id occurred_at:time action:text arm:text",
        "known_at:time cost:number outcome_at:time outcome:text event_id:id",
    ),
}


VERSIONS = (Field("version", "number"), Field("replaced_at", "time"))
"""Columns of a table that holds corrections: which version of its event a row is (from 1), and
when the next version became known."""
