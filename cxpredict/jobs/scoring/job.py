"""The steps of a score job, from the records to the published folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError, EmptyDataError, PublishError
from cxpredict.jobs.monitoring.drift import DriftCounts
from cxpredict.jobs.publish import digest, replacing, write_json
from cxpredict.jobs.records import GROUP_ROWS, REJECTS, open_records, write_rejects
from cxpredict.jobs.scoring.batches import (
    Progress,
    count_bands,
    explain_chunks,
    in_order,
    score_chunks,
    write_features,
    write_population,
)
from cxpredict.jobs.scoring.outputs import write_tables
from cxpredict.jobs.scoring.request import Request
from cxpredict.jobs.scoring.result import DRIFT, MANIFEST, Scoring, finished
from cxpredict.jobs.scoring.table import schema

LATEST_DAYS = 31


def run_job(request: Request, chunk_rows: int, say: Progress, *, force: bool = False) -> Scoring:
    """Score and publish, for who holds the folder, unless it holds this very result."""
    say("opening and checking the records", 0, 0)
    try:
        log = request.log or open_records(request.config)
    except EmptyDataError:
        if not request.folder.exists():  # an empty file must not replace scores that were good
            with replacing(request.folder) as new:
                _write_scores(request, new, None)
                _write_manifest(new, request.identity({}), {"scored": 0})
        raise
    check_day(log, request.day)
    told = request.identity(log.inputs, int(log.quality["rejected"].sum()))
    force = force or request.log is not None  # what a caller opened has no digest
    done = None if force else finished(request.folder, told["run_key"])
    if done is not None:
        return done
    with _engine_errors(request.folder), replacing(request.folder) as new:
        with TemporaryDirectory(dir=new) as work:
            count, extra = _score_chunks(request, log, Path(work), new, chunk_rows, say)
        write_rejects(log.rejects, new / REJECTS)
        say("publishing", 0, 0)
        manifest = _write_manifest(new, told, {"scored": count, **quality_of(log)}, **extra)
    return Scoring(request.folder, manifest, "written")


def _score_chunks(
    request: Request, log: CustomerLog, work: Path, new: Path, chunk_rows: int, say: Progress
) -> tuple[int, dict[str, Any]]:
    """Write scores and drift into the new folder; count customers and what the manifest tells."""
    say("finding the active customers", 0, 0)
    far = request.cluster is not None or log.connection.name == "pyspark"
    count, drift = (_score_far if far else _score_here)(request, log, work, chunk_rows, say)
    if not count:
        _write_scores(request, new, None)
        return 0, {}
    say("sorting and writing", 0, 0)
    _write_scores(request, new, work)
    extra: dict[str, Any] = {"bands": count_bands(work)}
    if drift is not None:
        limits = request.config.monitor
        table = drift.table(
            level=limits.level, max_psi=limits.max_psi, max_unseen=limits.max_unseen
        )
        write_tables(
            [pa.Table.from_pandas(table, preserve_index=False)],
            new / DRIFT,
            pa.Schema.from_pandas(table, preserve_index=False),
        )
        extra["drift"] = table["status"].value_counts().sort_index().to_dict()
    return count, extra


def _score_here(
    request: Request, log: CustomerLog, work: Path, chunk_rows: int, say: Progress
) -> tuple[int, DriftCounts | None]:
    """Score on the embedded engine and in this process."""
    count = write_population(request, log, work / "customers.parquet")
    if not count:
        return 0, None
    say(f"computing features of {count:,} customers", 0, 0)
    features = write_features(request, log, work / "customers.parquet", work / "features.parquet")
    drift = score_chunks(request, features, chunk_rows=chunk_rows, progress=say)
    explain_chunks(request, features, chunk_rows=chunk_rows, progress=say)
    return count, drift


def _score_far(
    request: Request, log: CustomerLog, work: Path, chunk_rows: int, say: Progress
) -> tuple[int, DriftCounts | None]:
    """Score on a cluster."""
    from cxpredict.jobs.scoring.spark import score_on_spark

    return score_on_spark(
        request, log, work, session=request.cluster, chunk_rows=chunk_rows, progress=say
    )


def _write_scores(request: Request, new: Path, work: Path | None) -> None:
    """Write the sorted table of scores; without a folder of work, an empty, typed one."""
    kind = request.bundle.kind
    rows = iter(()) if work is None else in_order(kind, work, GROUP_ROWS)
    write_tables(rows, new / request.file, schema(kind))


def _write_manifest(
    new: Path, told: dict[str, Any], rows: dict[str, Any], **extra: Any
) -> dict[str, Any]:
    files = {path.name: digest(path) for path in sorted(new.iterdir())}
    manifest = {**told, "rows": rows, **extra, "files": files}
    write_json(new / MANIFEST, manifest)
    return manifest


def quality_of(log: CustomerLog) -> dict[str, Any]:
    """Count what was read, kept and rejected, by source and by rule."""
    return {
        "sources": log.quality.to_dict("records"),
        "rejected_by_rule": log.rules.drop(columns="first_rows").to_dict("records"),
    }


def check_day(log: CustomerLog, day: pd.Timestamp) -> None:
    """Refuse to score long after the records end: everybody would look silent."""
    last = log.span[1]
    if pd.notna(last) and day > last + timedelta(days=LATEST_DAYS):
        raise DataError(
            f"as_of {day.date()} is more than {LATEST_DAYS} days after the records end "
            f"({last.date()}); give a date they cover"
        )


@contextmanager
def _engine_errors(target: Path) -> Iterator[None]:
    """Turn what stops the engine into errors of ours; its texts may hold values."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise ConfigError(
            "engine: its memory limit is too small for these records, or there is no space left "
            "to spill; raise memory_limit_gb, or name a larger spill_directory"
        ) from error
    except duckdb.IOException as error:
        raise PublishError(
            f"{target}: temporary files beside it cannot be written (disk full, no permission?)"
        ) from error
