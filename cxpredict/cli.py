"""The command line: one place that turns errors into exit codes."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxpredict.errors import CxPredictError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    help="Predictive customer experience: from records to an explained, valued at-risk list.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
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


@app.command()
def train(config: ConfigFile) -> None:
    """Train, audit, evaluate, explain and register the models of a run; write its report."""
    from cxpredict.jobs.train import train as run_training
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


@app.command()
def score(
    config: Annotated[Path, typer.Option(help="YAML file of the run.")],
    model: Annotated[str, typer.Option(help="models:/name@champion, or a bundle folder.")],
    as_of: Annotated[str, typer.Option(help="Date; nothing known later is used.")],
    out: Annotated[Path | None, typer.Option(help="Folder that receives as_of=…/.")] = None,
) -> None:
    """Score all active customers and publish scores, rejects and manifest atomically."""
    from cxpredict.jobs.score import score as run_scoring

    with _working() as say:
        say("scoring")
        result = run_scoring(config, model=model, as_of=as_of, out=out)
    _show(result.scores["risk_band"].value_counts().rename_axis("risk").reset_index(), "Customers")
    _print(f"scores: {result.folder / 'scores.parquet'}")


@app.command()
def erase(
    config: Annotated[Path, typer.Option(help="YAML file of the run.")],
    customer: Annotated[str, typer.Option(help="Id; - reads it from the standard input.")],
    also: Annotated[list[Path] | None, typer.Option(help="A further folder of scores.")] = None,
) -> None:
    """Remove a customer from the artifacts; list the models that were trained with them."""
    from cxpredict.jobs.erase import erase as run_erasure

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


def _fail(message: str, exit_code: int) -> NoReturn:
    Console(stderr=True).print(f"cxpredict: {message}", style="red", markup=False, soft_wrap=True)
    sys.exit(exit_code)


@contextmanager
def _working() -> Iterator[Callable[[str], None]]:
    """Show the running step: a spinner on a terminal, a line for each step elsewhere."""
    console = Console(stderr=True)
    started = time.monotonic()
    with console.status("") as status:

        def say(step: str) -> None:
            seconds = time.monotonic() - started
            console.print(f"{seconds:6.1f} s  {step}", markup=False, highlight=False)
            status.update(escape(step))

        yield say


def _print(line: str) -> None:
    Console().print(line, markup=False, highlight=False, soft_wrap=True)


def _show(frame: pd.DataFrame, title: str) -> None:
    table = Table(title=title, title_justify="left")
    for column in frame.columns:
        table.add_column(
            str(column), justify="right" if frame[column].dtype.kind in "if" else "left"
        )
    for row in frame.itertuples(index=False):
        table.add_row(*(escape(_cell(value)) for value in row))
    Console().print(table)


def _cell(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
