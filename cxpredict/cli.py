"""The command line: one place that turns errors into exit codes."""

from __future__ import annotations

import json
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from cxpredict.errors import CxPredictError

if TYPE_CHECKING:
    import pandas as pd

EXIT_CODES = (
    "Exit codes: 0 done · 1 internal error · 2 configuration or command line · 3 data · "
    "4 leakage · 5 model · 6 cannot be written · 7 nobody to score (an empty table is published) · "
    "8 too many rejected rows · 9 drift beyond the limit (the scores are published) · "
    "10 performance outside its band · 130 interrupted · 143 terminated. "
    "Results go to the standard output, progress and errors to the standard error."
)
app = typer.Typer(
    help="Predictive customer experience: from records to an explained, valued at-risk list.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
ConfigFile = Annotated[Path, typer.Argument(help="YAML file of the run.")]


@app.command()
def check(config: ConfigFile) -> None:
    """Open and check the records; say what was kept and what was rejected, and why."""
    from cxpredict.config import load_config
    from cxpredict.jobs.records import check_names, open_records

    with _working() as say:
        say("opening and checking the records")
        settings = load_config(config)
        log = open_records(settings)
        check_names(settings, log)
    _show(log.quality, "Records")
    if len(log.rules):
        _show(log.rules, "Rejected rows by rule")
    if len(log.changes):
        _show(log.changes, "Values read otherwise than they stand")


@app.command()
def train(config: ConfigFile) -> None:
    """Train, audit, evaluate, explain and register the models of a run; write its report."""
    from cxpredict.jobs.training.train import train as run_training
    from cxpredict.report.write import write_report

    with _working() as say:
        run = run_training(config, progress=say)
        say("writing the report")
        report = write_report(run)
    _show(run.table(), "Metrics on the untouched test rows, 95 % intervals")
    for model, place in run.summary().items():
        _print(f"{model}: {place}")
    _print(f"report: {report}")
    _print(f"all runs: {sys.executable} -m mlflow ui --backend-store-uri {run.tracking_uri}")
    _print("          then open http://127.0.0.1:5000/#/experiments?workflowType=machine_learning")


@app.command(epilog=EXIT_CODES)
def score(
    config: Annotated[Path, typer.Option(help="YAML file of the run.")],
    model: Annotated[str, typer.Option(help="models:/name@champion, or a bundle folder.")],
    as_of: Annotated[str, typer.Option(help="Date; nothing known later is used.")],
    out: Annotated[Path | None, typer.Option(help="Folder that receives as_of=…/.")] = None,
    reasons: Annotated[
        str, typer.Option(help="Who is explained: flagged (risk band high), top=K, all, none.")
    ] = "flagged",
    format: Annotated[
        str, typer.Option(help="parquet, or csv (safe in a spreadsheet).")
    ] = "parquet",
    to: Annotated[
        str | None,
        typer.Option(help="Database table too: sqlite:///scores.db#table, secrets as ${NAME}."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Try: the first so many customers, in a folder apart.")
    ] = None,
    chunk_rows: Annotated[int, typer.Option(help="Customers in memory at a time.")] = 20_000,
    force: Annotated[
        bool, typer.Option("--force", help="Score again, even if this result is there.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and count; write nothing.")
    ] = False,
    digest: Annotated[
        str | None, typer.Option(help="SHA-256 that vouches for a bundle folder.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Key file, or env:NAME, that signed the bundle.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="spark: score on the cluster of spark-submit, or locally.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score all active customers; publish scores, rejects, drift and manifest atomically.

    The same inputs, configuration, model and date give the same bytes; a folder that holds them
    already is left as it is.
    """
    from cxpredict.jobs.scoring import score as run_scoring

    with _counting() as progress:
        result = run_scoring(
            config,
            model=model,
            as_of=as_of,
            out=out,
            reasons=reasons,
            format=format,
            to=to,
            limit=limit,
            chunk_rows=chunk_rows,
            force=force,
            dry_run=dry_run,
            digest=digest,
            key=key,
            progress=progress,
            engine=engine,
        )
    if as_json:
        print(json.dumps(result.content(), ensure_ascii=False, allow_nan=False))
    else:
        for line in result.lines():
            _print(line)
    result.raise_if_drifted()


@app.command(epilog=EXIT_CODES)
def report(
    scores: Annotated[Path, typer.Argument(help="Folder as_of=… that `score` published.")],
    out: Annotated[Path | None, typer.Option(help="Folder of its own for the page.")] = None,
    top: Annotated[int, typer.Option(help="Customers to list, highest risk first.")] = 50,
    currency: Annotated[str, typer.Option(help="Put before amounts.")] = "",
) -> None:
    """Write the page of a scored date: who is at risk and why, drift, rejects, provenance."""
    from cxpredict.report.scores import write_scores_report

    with _working() as say:
        say("writing the page")
        page = write_scores_report(scores, out=out, top=top, currency=currency)
    _print(f"page: {page}")


@app.command()
def monitor(
    config: Annotated[Path, typer.Option(help="YAML file of the run.")],
    model: Annotated[str, typer.Option(help="models:/name@champion, or a bundle folder.")],
    scores: Annotated[
        list[Path] | None, typer.Option(help="Folder of scores; may be given several times.")
    ] = None,
    digest: Annotated[str | None, typer.Option(help="SHA-256 of a bundle folder.")] = None,
    key: Annotated[
        str | None, typer.Option(help="File, or env:NAME, of the key of a bundle folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure how a model does once outcomes are known; exit code 10 if worse than its test."""
    from cxpredict.jobs.monitoring.monitor import monitor as run_monitoring
    from cxpredict.report.monitor import write_monitor_report

    with _working() as say:
        found = run_monitoring(
            config, model=model, scores=scores, digest=digest, key=key, progress=say
        )
        say("writing the page")
        page = write_monitor_report(found)
    if as_json:
        print(json.dumps(found.content(), ensure_ascii=False, allow_nan=False))
    else:
        shown = ["as_of", "mature", "customers", "known", "predicted_rate", "observed_rate"]
        _show(found.cohorts[shown], "Scored dates")
        if len(found.verdicts):
            _show(found.verdicts, "Measured against the band of the test")
        _print(f"page: {page}")
    found.raise_if_outside()


@app.command()
def erase(
    config: Annotated[Path, typer.Option(help="YAML file of the run.")],
    customer: Annotated[str, typer.Option(help="Id; - reads it from the standard input.")],
    also: Annotated[list[Path] | None, typer.Option(help="A further folder of scores.")] = None,
) -> None:
    """Remove a customer from the artifacts; list the models that were trained with them."""
    from cxpredict.jobs.erasing.erase import erase as run_erasure

    customer = sys.stdin.readline().rstrip("\r\n") if customer == "-" else customer
    with _working() as say:
        say("looking through the artifacts")
        done = run_erasure(config, customer, also=also or ())
    if not done.found:
        _print("nothing held this customer; nothing was changed")
    if len(done.files):
        _show(done.files, "Rows erased")
    if len(done.models):
        _show(done.models, "Models that were, or may have been, trained with this customer")
    if done.unfinished:
        _print(f"not opened, run again after the next job: {', '.join(done.unfinished)}")
    _print("the sources are not touched: erase the customer there too, before the next run")


def main() -> None:
    """Run the command line; an error of the library becomes a message and its exit code."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except CxPredictError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except Exception as error:
        # the text of a foreign error may hold a customer's data: name its kind and place only
        place = traceback.extract_tb(error.__traceback__)[-1]
        _fail(f"internal error: {type(error).__name__} at {place.name}:{place.lineno}", 1)
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Leave as after an error, so that temporary files are removed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + number)


def _fail(message: str, exit_code: int) -> NoReturn:
    told = _visible(f"cxpredict: {message}")
    Console(stderr=True).print(told, style="red", markup=False, soft_wrap=True)
    sys.exit(exit_code)


@contextmanager
def _working() -> Iterator[Callable[[str], None]]:
    """Show the running step: a spinner on a terminal, a line for each step elsewhere."""
    console = Console(stderr=True)
    started = time.monotonic()
    with console.status("") as status:

        def say(step: str) -> None:
            seconds = time.monotonic() - started
            step = _visible(step)
            console.print(f"{seconds:6.1f} s  {step}", markup=False, highlight=False)
            status.update(escape(step))

        yield say


@contextmanager
def _counting() -> Iterator[Callable[[str, int, int], None]]:
    """Show steps with their length: a bar on a terminal, lines elsewhere, at most ten a step."""
    console = Console(stderr=True)
    started = time.monotonic()
    shown: dict[str, int] = {}
    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(step: str, done: int, total: int) -> None:
            bar.update(task, description=escape(step), completed=done, total=total or None)
            tenth = 10 * done // total if total else 0
            if shown.get(step) == tenth or (console.is_terminal and step in shown):
                return
            shown[step] = tenth
            count = f"  {done:,} of {total:,}" if total and not console.is_terminal else ""
            line = f"{time.monotonic() - started:6.1f} s  {step}{count}"
            console.print(line, markup=False, highlight=False)

        yield tell


def _visible(text: str) -> str:
    """Spell what moves a terminal's cursor, colours it or turns the text, instead of sending it."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def _print(line: str) -> None:
    Console().print(_visible(line), markup=False, highlight=False, soft_wrap=True)


def _show(frame: pd.DataFrame, title: str) -> None:
    table = Table(title=title, title_justify="left")
    for column in frame.columns:
        table.add_column(
            str(column), justify="right" if frame[column].dtype.kind in "if" else "left"
        )
    for row in frame.itertuples(index=False):
        table.add_row(*(escape(_visible(_cell(value))) for value in row))
    Console().print(table)


def _cell(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
