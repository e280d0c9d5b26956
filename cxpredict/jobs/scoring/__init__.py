"""The batch job: from a model and a log to one explained, valued row per customer."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from cxpredict.config import Config, load_config
from cxpredict.data.checks import check_count
from cxpredict.data.log import CustomerLog
from cxpredict.errors import EmptyDataError
from cxpredict.jobs.publish import holding
from cxpredict.jobs.registry.versions import load_bundle
from cxpredict.jobs.scoring.batches import Progress
from cxpredict.jobs.scoring.database import check_address, replace_rows
from cxpredict.jobs.scoring.job import check_day, quality_of, run_job
from cxpredict.jobs.scoring.request import Request, read_day
from cxpredict.jobs.scoring.result import FILES, Scoring, check_model, finished

__all__ = ["Scoring", "score"]

CHUNK_ROWS = 20_000


def score(
    config: str | Path | Config,
    *,
    model: str | Path,
    as_of: str | date,
    out: str | Path | None = None,
    reasons: str = "flagged",
    format: str = "parquet",
    to: str | None = None,
    limit: int | None = None,
    chunk_rows: int = CHUNK_ROWS,
    force: bool = False,
    dry_run: bool = False,
    digest: str | None = None,
    key: str | Path | None = None,
    progress: Progress | None = None,
    engine: Any = None,
    log: CustomerLog | None = None,
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
        Folder of one model that receives ``as_of=…/``; by default ``scores/<model>`` among the
        artifacts. A newer version of the model takes the place of an older one.
    reasons : str, default "flagged"
        Who gets reasons: ``flagged`` (risk band high), ``top=K`` (the K of highest risk), ``all``
        or ``none``. Reasons cost many times what a score costs, and only those are explained.
    format : {"parquet", "csv"}
        Of the file of scores; CSV is safe to open in a spreadsheet (see `write_tables`).
    to : str, optional
        Database table that receives the scores too, see `replace_rows`.
    limit : int, optional
        Score only the first so many customers by id, as a try: the result goes to
        ``_first_<limit>/as_of=…/``, which readers of the whole folder skip.
    chunk_rows : int, default 20 000
        Customers in memory at a time; changes no byte of the result.
    force : bool, default False
        Score again, also if the folder already holds this very result.
    dry_run : bool, default False
        Check everything and count, write nothing.
    digest, key : optional
        What vouches for a bundle folder, as in `load_bundle`.
    progress : callable, optional
        Gets the step, rows done and rows in all; both 0 where a step has no length.
    engine : "spark" or SparkSession, optional
        Score on a cluster; by default in this process. ``spark`` takes the running session, or
        starts one as ``spark-submit`` says, else on the cores of this machine. The sources of the
        configuration are checked by the embedded engine all the same, written beside the result
        as Parquet, and read from there by the workers: `out` must be on storage they share.
    log : CustomerLog, optional
        Records that are open already, in place of those of the configuration: a company that
        keeps checked records in a lake opens them with `CustomerLog.from_tables` on Spark, where
        they are scored. They have no digest, so that such a job is never taken for done.

    Returns
    -------
    Scoring

    Raises
    ------
    EmptyDataError
        There is nobody to score; an empty, typed table is published all the same.
    ConfigError, DataError, ModelError, PublishError
        As their names say; nothing is published.

    Notes
    -----
    No clock enters the result: the same inputs, configuration and model give the same bytes.
    A folder that already holds the result of the same inputs, configuration, model, date, code
    and library versions (``run_key`` of its manifest), with every file as its digest says, is left
    as it is. Two jobs with one folder run one after the other. Memory is bounded by `chunk_rows`
    and ``engine.memory_limit_gb``, not by the number of customers; what does not fit is put into
    files, of some 10 bytes per customer and feature, beside the result until it is published.
    """
    config = config if isinstance(config, Config) else load_config(config)
    check_count("chunk_rows", chunk_rows)
    day, say = read_day(as_of), progress or (lambda step, done, total: None)
    bundle = load_bundle(model, digest=digest, key=key, artifacts=config.path(config.artifacts))
    home = Path(out) if out else config.path(config.artifacts) / "scores" / bundle.name
    request = Request(
        config, bundle, day, home, reasons=reasons, format=format, limit=limit, log=log
    )
    if engine is not None:
        from cxpredict.jobs.scoring.spark import open_session

        request = replace(request, cluster=open_session(engine))
    if to is not None:
        check_address(to, request)
    if dry_run:
        return _plan(request, say)

    def waiting() -> None:
        say("another job writes this result: waiting for it", 0, 0)

    with holding(request.folder, waiting, ours=FILES):
        check_model(request.folder, request.bundle.name)
        result = run_job(request, chunk_rows, say, force=force)
        if to is not None:
            say("writing the database table", 0, 0)
            replace_rows(to, request, result.file)
    if not result.manifest["rows"]["scored"]:
        raise EmptyDataError(f"no active customer at {day.date()}: nobody to score")
    return result


def _plan(request: Request, say: Progress) -> Scoring:
    """Find out what a job would do, without writing anything."""
    say("opening and checking the records", 0, 0)
    log = request.log or CustomerLog.open(request.config)
    check_day(log, request.day)
    told = request.identity(log.inputs, int(log.quality["rejected"].sum()))
    done = finished(request.folder, told["run_key"])
    if done is not None:
        return done
    count = int(request.bundle.problem.to_score_table(log, request.day).count().execute())
    if not count:
        raise EmptyDataError(f"no active customer at {request.day.date()}: nobody to score")
    rows = {"scored": min(count, request.limit or count), **quality_of(log)}
    return Scoring(request.folder, {**told, "rows": rows, "files": {}}, "planned")
