"""What a score job is asked for, and the key that two equal jobs share."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from cxpredict.config import Config
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError
from cxpredict.jobs.bundle import PACKAGES, Bundle
from cxpredict.jobs.registry.provenance import code_sha256

FORMATS = ("parquet", "csv")
ENGINES = ("duckdb", "ibis-framework", "numba", "pyarrow", "sqlglot")
"""Packages, beside those of the model, whose version may change a byte."""
_MATTERS = {
    *("name", "simulate", "sources", "observed_until", "max_reject_share"),
    *("value", "offer", "monitor"),
}
"""Sections of the configuration that change a byte of the result."""
_TOP = re.compile(r"top=([1-9][0-9]*)")


@dataclass(frozen=True)
class Request:
    """What a score job is asked for.

    Attributes
    ----------
    config : Config
        The run whose sources are read.
    bundle : Bundle
        The model.
    day : Timestamp
        UTC, exclusive.
    home : Path
        Receives the folder of the result.
    reasons : str
        Who is explained: ``flagged`` (band high), ``top=K``, ``all`` or ``none``.
    format : str
        ``parquet`` or ``csv``.
    limit : int or None
        Score the first so many customers by id only.
    log : CustomerLog or None
        Records that are open already; by default those of the configuration are opened.
    cluster : SparkSession or None
        Where to score; by default here, or where `log` is.
    """

    config: Config
    bundle: Bundle
    day: pd.Timestamp
    home: Path
    reasons: str = "flagged"
    format: str = "parquet"
    limit: int | None = None
    log: CustomerLog | None = None
    cluster: Any = None

    def __post_init__(self) -> None:
        if self.reasons not in ("flagged", "all", "none") and not _TOP.fullmatch(self.reasons):
            raise ConfigError(
                f"reasons: expected flagged, top=K, all or none, found {self.reasons!r}"
            )
        if self.format not in FORMATS:
            raise ConfigError(f"format: expected {' or '.join(FORMATS)}, found {self.format!r}")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit: expected 1 or more, found {self.limit}")

    @property
    def folder(self) -> Path:
        """Where the result goes; a limited one where no reader of all dates looks."""
        home = self.home if self.limit is None else self.home / f"_first_{self.limit}"
        return home / f"as_of={self.day.date()}"

    @property
    def file(self) -> str:
        """Name of the file of scores."""
        return f"scores.{self.format}"

    @property
    def top(self) -> int | None:
        """How many are explained, if that is how it is told."""
        found = _TOP.fullmatch(self.reasons)
        return None if found is None else int(found[1])

    def identity(self, inputs: Mapping[str, str], rejected: int = 0) -> dict[str, Any]:
        """Say what the result depends on, and its digest as `run_key`.

        Parameters
        ----------
        inputs : mapping of str to str
            Digests of what was read, as `CustomerLog.inputs`.
        rejected : int
            Rows rejected of them.

        Returns
        -------
        dict
            The first part of the manifest: no clock, no place of this machine.

        Notes
        -----
        The engine's settings, the size of chunks and where files go change no score and are left
        out. Without `observed_until`, records dated later than now are rejected, fewer the later
        the job runs: of the same inputs, as many rejected rows are the same rows.
        """
        config = self.config
        told = {
            "as_of": str(self.day.date()),
            "model": f"{self.bundle.name}/{self.bundle.version}",
            "model_sha256": self.bundle.digest,
            "config_sha256": _digest_of(config.model_dump(mode="json", include=_MATTERS)),
            "inputs_sha256": dict(inputs),
            "rejected": rejected,
            "code_sha256": code_sha256(),
            "reasons": self.reasons,
            "format": self.format,
            "limit": self.limit,
            "packages": {name: version(name) for name in (*PACKAGES, *ENGINES)},
        }
        return {**told, "run_key": _digest_of(told)}


def _digest_of(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


def read_day(as_of: str | date) -> pd.Timestamp:
    """Read a date without a time: a day has one folder of scores."""
    try:
        return pd.Timestamp(date.fromisoformat(str(as_of).removesuffix(" 00:00:00")))
    except ValueError as error:
        raise ConfigError(f"as_of: expected a date such as 2024-06-30, found {as_of!r}") from error
