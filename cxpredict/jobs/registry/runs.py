"""The life of an MLflow run: ended as what it was, also when its process is killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

from cxpredict.errors import CxPredictError
from cxpredict.jobs.registry.tracking import Store, every, local_path, quiet

STALE_DAYS = 7
"""A run of another machine that is RUNNING for longer than this is taken for dead."""
_HOST, _PID, _STARTED = "cxpredict.host", "cxpredict.pid", "cxpredict.process_started"
_NOTE = "mlflow.note.content"
_PROC = Path("/proc")


class Terminated(SystemExit):
    """The process was asked to end (SIGTERM); its exit code is 143."""


@contextmanager
def tracked(
    store: Store,
    experiment: str,
    *,
    nested: bool = False,
    tags: Mapping[str, str] | None = None,
    **run: Any,
) -> Iterator[str]:
    """Open an MLflow run, give its id, and close it as what it was.

    Parameters
    ----------
    store : Store
        Where.
    experiment : str
        Name of the experiment, made if there is none.
    nested : bool, default False
        Whether it is part of the active run. One that is not first closes the runs of processes
        that are gone, see `close_dead_runs`.
    tags : mapping, optional
        Tags of the run.
    **run
        What else `mlflow.start_run` takes.

    Yields
    ------
    str
        Id of the run. An error closes it as FAILED; an interrupt, an exit or SIGTERM as KILLED.

    Notes
    -----
    Meanwhile SIGTERM, where nothing else handles it, raises `Terminated` in the main thread. Code
    that is not Python (a fit) ends before that; a process that is killed before is closed as
    KILLED by the next run. What a run logged as a model but did not register is removed unless
    the run ends well.
    """
    import mlflow

    experiment_id = store.experiment(experiment)
    if not nested:
        close_dead_runs(store)
    with quiet(), _terminable():
        mlflow.set_tracking_uri(store.uri)
        mlflow.set_registry_uri(store.uri)
        tags = {**_this_process(), **(tags or {})}
        with store.writing():
            active = mlflow.start_run(experiment_id=experiment_id, nested=nested, tags=tags, **run)
        try:
            yield active.info.run_id
        except BaseException as error:
            killed = isinstance(error, SystemExit | KeyboardInterrupt)
            with suppress(CxPredictError), store.writing():  # what failed first is to be told
                mlflow.end_run("KILLED" if killed else "FAILED")
                remove_unregistered(store, active.info, files=killed)
            raise
        with store.writing():
            mlflow.end_run()


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into an exception where nothing else handles it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # closing the runs is not interrupted
    raise Terminated(128 + number)


def close_dead_runs(store: Store) -> list[str]:
    """Close the runs that are RUNNING but whose process is gone, and clean up after them.

    Parameters
    ----------
    store : Store
        Where; all its experiments.

    Returns
    -------
    list of str
        Ids of the runs closed as KILLED, with a note that says why.

    Notes
    -----
    A run knows its machine, process and the start of that process, so that another process of the
    same number is not taken for it. On the same machine a run is dead when its process is; of
    another machine nothing is known, so its run is dead after `STALE_DAYS`. Logged models without
    a version are removed, and so are the files of a dead run without one, for they may be half.
    """
    closed = []
    with store.writing():
        client = store.client
        for run in _running(client):
            reason = _dead(run)
            if reason is None:
                continue
            remove_unregistered(store, run.info, files=True)
            note = run.data.tags.get(_NOTE, "")
            client.set_tag(run.info.run_id, _NOTE, f"{note}\n\nClosed as KILLED: {reason}.".strip())
            client.set_terminated(run.info.run_id, "KILLED")
            closed.append(run.info.run_id)
    return closed


def remove_unregistered(store: Store, run: Any, *, files: bool = False) -> None:
    """Remove the logged models of a run that no version refers to; its own files where so asked."""
    client = store.client
    versions = client.search_model_versions(f"run_id = '{run.run_id}'")
    kept = {version.source.removeprefix("models:/") for version in versions}
    logged = client.search_logged_models(
        [run.experiment_id], filter_string=f"source_run_id = '{run.run_id}'"
    )
    for model in logged:
        if model.model_id not in kept:
            _remove_files(model.artifact_location)
            client.delete_logged_model(model.model_id)
    if files and not versions:
        _remove_files(run.artifact_uri)


def _remove_files(uri: str) -> None:
    place = local_path(uri)
    shutil.rmtree(place, ignore_errors=True)
    with suppress(OSError):  # the folder of the run or model, unless it holds something else
        place.parent.rmdir()


def _running(client: Any) -> list[Any]:
    experiments = [each.experiment_id for each in client.search_experiments()]
    return list(every(client.search_runs, experiments, "attributes.status = 'RUNNING'"))


def _dead(run: Any) -> str | None:
    """Say why the process of a run cannot be alive; None where it is or may be."""
    tags = run.data.tags
    if _PID not in tags:
        return None
    if tags[_HOST] == _host():
        gone = _started(int(tags[_PID])) != tags[_STARTED]
        return "the process that started it is gone" if gone else None
    began = datetime.fromtimestamp(run.info.start_time / 1000, UTC)
    if datetime.now(UTC) - began < timedelta(days=STALE_DAYS):
        return None
    return f"it was started on another machine more than {STALE_DAYS} days ago"


def _this_process() -> dict[str, str]:
    number = os.getpid()
    return {_HOST: _host(), _PID: str(number), _STARTED: _started(number)}


def _host() -> str:
    """Name the machine, and on Linux the container: numbers of processes are known within one."""
    with suppress(OSError):
        return f"{socket.gethostname()} {(_PROC / 'self/ns/pid').readlink()}"
    return socket.gethostname()


def _started(number: int) -> str:
    """Say when a process started; empty if there is none."""
    if not (_PROC / "self/stat").exists():
        return _started_elsewhere(number)
    try:
        # the name of the program, in brackets, may hold anything
        fields = (_PROC / f"{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"


def _started_elsewhere(number: int) -> str:
    command = ["ps", "-o", "lstart=", "-p", str(number)]
    with suppress(OSError):  # without ps no run of this machine is ever taken for dead
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return found.stdout.strip()
    return ""
