"""Which rows are those of a person."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from string import whitespace
from typing import TYPE_CHECKING, Any, Self

from cxpredict.data.sources import columns_in
from cxpredict.errors import ConfigError
from cxpredict.jobs.scoring.outputs import FORMULA

if TYPE_CHECKING:
    from cxpredict.config import Config

ID = "customer_id"
RECORD = ("source", "record")


@dataclass(frozen=True, repr=False)
class Person:
    """A customer to erase.

    Attributes
    ----------
    customer : str
        Id, normalised as the log does it (NFC, no blanks around).
    columns : mapping
        By source, the columns of the file that hold its customer's id: rejected rows are kept as
        they were read.
    """

    customer: str
    columns: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, config: Config, customer: str) -> Self:
        """Read an id, and where the sources of a run have theirs."""
        spelled = _spelled(customer)
        if not spelled:
            raise ConfigError("customer: expected the id of a customer, found an empty text")
        mapped = {name: source.columns.get(ID) for name, source in config.sources.items()}
        columns = {
            name: frozenset(columns_in(how)) for name, how in mapped.items() if how is not None
        }
        return cls(spelled, columns)

    def finder(self, names: Sequence[str]) -> Callable[[Sequence[Any]], bool] | None:
        """Give what tells, from the values of `names`, whether a row is theirs.

        None where the columns of a table cannot name anybody.
        """
        if ID in names:
            place = names.index(ID)
            return lambda row: self.is_id(row[place])
        if all(name in names for name in RECORD):
            source, record = (names.index(name) for name in RECORD)
            return lambda row: self._in_record(row[source], row[record])
        return None

    def is_id(self, value: Any) -> bool:
        """Whether a value is the id; one that looks like a formula may have a quote before it."""
        if value is None:
            return False
        text = _spelled(value)
        quoted = re.match(FORMULA, self.customer) is not None and text == f"'{self.customer}"
        return text == self.customer or quoted

    def _in_record(self, source: Any, record: Any) -> bool:
        """Whether a rejected row, kept as JSON, is theirs.

        Where an id is put together from columns, it is if one of these is the id; where the
        configuration does not know the columns, for another run wrote them, if any value is.
        """
        try:
            values = json.loads(record)
        except (TypeError, ValueError):
            return False
        if not isinstance(values, dict):
            return False
        named = self.columns.get(str(source), frozenset()) & values.keys()
        return any(self.is_id(values[column]) for column in named or values)


def _spelled(value: Any) -> str:
    """Spell an id as the log does: a rejected row holds it as it was read."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return unicodedata.normalize("NFC", str(value)).strip(whitespace)
