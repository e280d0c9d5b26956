"""The batch job: from a model and a log to one explained, valued row per customer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxpredict.config import Config, load_config
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError, EmptyDataError
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.publish import publishing, write_json
from cxpredict.jobs.records import open_records, write_rejects
from cxpredict.jobs.registry import load_bundle
from cxpredict.jobs.scoring.rows import score_customers
from cxpredict.jobs.scoring.table import empty_scores, schema

LATEST_DAYS = 31


@dataclass(frozen=True)
class Scoring:
    """What a batch job did.

    Attributes
    ----------
    folder : Path
        Holds scores.parquet, rejects.parquet and manifest.json.
    scores : DataFrame
        One row per customer, as in scores.parquet.
    manifest : dict
        Digests of inputs, configuration and model; counts of rows.
    """

    folder: Path
    scores: pd.DataFrame
    manifest: dict[str, Any]


def score(
    config: str | Path | Config,
    *,
    model: str | Path,
    as_of: str | date,
    out: str | Path | None = None,
) -> Scoring:
    """Score all active customers of a log and publish the result atomically.

    Parameters
    ----------
    config : str, Path or Config
        The run whose sources are read.
    model : str or Path
        ``models:/name@champion``, ``models:/name/version`` or a bundle folder.
    as_of : str or date
        UTC, exclusive: nothing that was known later is used.
    out : str or Path, optional
        Folder that receives ``as_of=…/``; by default ``scores/<model>`` among the artifacts.

    Returns
    -------
    Scoring

    Raises
    ------
    EmptyDataError
        There is nobody to score; an empty, typed scores.parquet is published all the same.
    ConfigError, DataError, ModelError, PublishError
        As their names say; nothing is published.

    Notes
    -----
    No clock enters the result: the same inputs, configuration and model give the same bytes.
    """
    config = config if isinstance(config, Config) else load_config(config)
    day = _day(as_of)
    bundle = load_bundle(model, artifacts=config.path(config.artifacts))
    home = Path(out) if out else config.path(config.artifacts) / "scores" / bundle.name
    folder = home / f"as_of={day.date()}"
    try:
        log = open_records(config)
    except EmptyDataError:
        if not folder.exists():  # an empty file must not replace scores that were good
            _publish(folder, config, bundle, day, scores=empty_scores(bundle.kind), log=None)
        raise
    _check_day(log, day)
    index = bundle.problem.to_score(log, day)
    if not len(index):
        _publish(folder, config, bundle, day, scores=empty_scores(bundle.kind), log=log)
        raise EmptyDataError(f"no active customer at {day.date()}: nobody to score")
    scores = score_customers(bundle, log, index, config)
    manifest = _publish(folder, config, bundle, day, scores=scores, log=log)
    return Scoring(folder, scores, manifest)


def _day(as_of: str | date) -> pd.Timestamp:
    """Read a date without a time: a day has one folder of scores."""
    try:
        return pd.Timestamp(date.fromisoformat(str(as_of).removesuffix(" 00:00:00")))
    except ValueError as error:
        raise ConfigError(f"as_of: expected a date such as 2024-06-30, found {as_of!r}") from error


def _check_day(log: CustomerLog, day: pd.Timestamp) -> None:
    """Refuse to score long after the records end: everybody would look silent."""
    last = log.span[1]
    if pd.notna(last) and day > last + timedelta(days=LATEST_DAYS):
        raise DataError(
            f"as_of {day.date()} is more than {LATEST_DAYS} days after the records end "
            f"({last.date()}); give a date they cover"
        )


def _publish(
    folder: Path,
    config: Config,
    bundle: Bundle,
    day: pd.Timestamp,
    *,
    scores: pd.DataFrame,
    log: CustomerLog | None,
) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "as_of": str(day.date()),
        "model": f"{bundle.name}/{bundle.version}",
        "model_sha256": bundle.digest,
        "config_sha256": sha256(config.model_dump_json().encode()).hexdigest(),
        "inputs_sha256": dict(log.inputs) if log is not None else {},
        "rows": {"scored": len(scores)},
    }
    with publishing(folder) as new:
        pq.write_table(
            pa.Table.from_pandas(scores, schema=schema(bundle.kind), preserve_index=False),
            new / "scores.parquet",
        )
        if log is not None:
            write_rejects(log.rejects, new / "rejects.parquet")
            manifest["rows"]["sources"] = log.quality.to_dict("records")
            manifest["rows"]["rejected_by_rule"] = log.rules.drop(columns="first_rows").to_dict(
                "records"
            )
        write_json(new / "manifest.json", manifest)
    return manifest
