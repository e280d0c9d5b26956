"""Where the records of a run are, and what their columns mean."""

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import available_timezones

from pydantic import Field, field_validator, model_validator

from cxpredict.config.features import PathText, Settings
from cxpredict.config.reading import nearest

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""An environment variable named in an address: ``${NAME}``."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S*|\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_SECRET_KEYS = re.compile(r"pass|pwd|token|secret|key|sig|cred", re.IGNORECASE)


class Column(Settings):
    """What fills a column of the log: a column of the source, a constant or an SQL expression."""

    name: str | None = None
    value: str | int | float | None = None
    expression: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if sum(way is not None for way in (self.name, self.value, self.expression)) != 1:
            raise ValueError("give a column name, or exactly one of 'value' and 'expression'")
        return self


class Place(Settings):
    """Where rows are: a file, a folder or glob of Parquet files, or a table of a database.

    `path` is relative to the configuration, or a URL that DuckDB reads (``s3://…``). `connect` is
    a URL of `ibis.connect` and goes with `database_table` (``table`` or ``schema.table``). Secrets
    stand in environment variables, which a URL names as ``${NAME}``.
    """

    path: PathText | None = None
    connect: str | None = None
    database_table: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.connect is None):
            raise ValueError("give exactly one of 'path' and 'connect'")
        if (self.connect is None) != (self.database_table is None):
            raise ValueError("'connect' and 'database_table' go together")
        if self.connect is not None and not _ADDRESS.fullmatch(self.connect):
            raise ValueError(
                "'connect' must be a URL such as sqlite://shop.db or "
                "postgres://reader:${SHOP_PASSWORD}@host/shop"
            )
        if _tells_a_secret(self.connect or self.path or ""):
            raise ValueError(
                "a secret stands in the URL; put it into an environment variable and name that: "
                "${NAME}"
            )
        return self

    @property
    def remote(self) -> bool:
        """Whether the path is a URL."""
        return self.path is not None and ("://" in self.path or self.path.startswith("${"))

    @property
    def label(self) -> str:
        """The place as the configuration names it, without the values of variables."""
        return self.path or f"{self.connect} {self.database_table}"


def _tells_a_secret(url: str) -> bool:
    """Tell whether a password or a key of the URL is written out."""
    written = VARIABLE.sub("", url)
    if "://" not in written:
        return False
    try:
        query = parse_qsl(urlsplit(written).query)
    except ValueError:
        return True
    password = re.search(r"://[^@]*?:[^@]+@", written)
    return bool(password) or any(_SECRET_KEYS.search(key) for key, value in query if value)


class Join(Place):
    """A further file or table looked up once per row (m:1) before columns are mapped."""

    on: str | list[str]


class Source(Place):
    """One file, lake or table that feeds one table of the log."""

    table: Literal["customers", "interactions", "feedback", "transactions", "contacts"]
    columns: dict[str, Column]
    attributes: Literal["*"] | list[str] = Field(default_factory=list)
    join: list[Join] = Field(default_factory=list)
    where: str | None = None
    drop_duplicate_rows: bool = False
    timezone: str | None = None
    time_format: str | None = None
    clock_change: Literal["reject", "earlier", "later"] = "reject"
    delay_hours: Annotated[float, Field(ge=0)] = 0.0
    encoding: Literal["utf-8", "utf-16", "latin-1"] = "utf-8"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    decimal: Literal[".", ","] = "."

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        if zone is not None and zone not in available_timezones():
            raise ValueError(f"unknown time zone {zone!r}{nearest(zone, available_timezones())}")
        return zone

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.table != "customers" and self.timezone is None:
            raise ValueError("'timezone' is missing: events need the zone of their times, e.g. UTC")
        if self.table != "customers" and self.attributes:
            raise ValueError("'attributes' belong to the customers table only")
        return self
