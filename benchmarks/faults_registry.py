"""The MLflow store under several processes at once, and under processes that are killed."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from threadpoolctl import threadpool_limits

import cxpredict as cx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from one_company import flat, people  # noqa: E402

PROCESSES, REGISTRATIONS, KILLS = 8, 20, 20
STEPS = ("building", "auditing", "fitting", "evaluating", "asking", "registering", "measuring")
"""What `cxpredict train` says before each step; a process is killed after one of them."""


def write_run(folder, n=1_200):
    """Write one table of customers and the configuration that trains on it."""
    flat(folder, people(n))
    return folder / "run.yaml"


def store_of(config):
    from cxpredict.jobs.registry.tracking import Store

    return Store(config.parent / "artifacts")


def at_once(work, *arguments):
    """Do ``work(*arguments, number)`` in processes that start together; give what each says."""
    context = get_context("spawn")
    barrier, said = context.Barrier(PROCESSES), context.Queue()
    children = [
        context.Process(target=_one, args=(work, arguments, number, barrier, said))
        for number in range(PROCESSES)
    ]
    for child in children:
        child.start()
    found = [said.get() for _ in children]
    for child in children:
        child.join()
    return found


def _one(work, arguments, number, barrier, said):
    import lightgbm  # noqa: F401 (what takes long to import is there before all begin)
    import mlflow  # noqa: F401

    barrier.wait()
    try:
        with threadpool_limits(1):
            said.put(work(*arguments, number))
    except BaseException as error:
        said.put(f"{type(error).__name__}: {error}")


def register_many(folder, trained, count, number):
    """Register versions that differ; count them."""
    from cxpredict.jobs.registry.runs import tracked
    from cxpredict.jobs.registry.tracking import Store
    from cxpredict.jobs.registry.versions import register

    store = Store(folder)
    for each in range(count):
        other = replace(trained.bundle, card={"number": number * count + each})
        with tracked(store, "registrations"):
            register(store, replace(trained, bundle=other))
    return count


def train_once(config, number):
    """Train; give the version."""
    return cx.train(config).models[0].bundle.version


def killed(config, sent, step):
    """Run `cxpredict train`, send a signal after it has said a step, give its exit code."""
    command = [sys.executable, "-W", "ignore", "-m", "cxpredict.cli", "train", config]
    environment = {**os.environ, "PYTHONPATH": str(Path(cx.__file__).parents[1])}
    child = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    )
    for line in child.stderr:
        if step in line:
            child.send_signal(sent)
            break
    child.stderr.read()
    return child.wait()


def statuses(store):
    client = store.client
    experiments = [each.experiment_id for each in client.search_experiments()]
    return [run.info.status for run in client.search_runs(experiments, max_results=1000)]


def orphans(store):
    """Count what no registered version and no living run refers to."""
    client = store.client
    versions = client.search_model_versions()
    models = {version.source.removeprefix("models:/") for version in versions}
    kept = {version.run_id for version in versions}
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments, "attributes.status = 'KILLED'", max_results=1000)
    lost = {run.info.run_id for run in runs} - kept
    files = store.folder / "mlflow"
    left = [path for path in (files / "models").glob("*") if path.name not in models]
    left += [path for path in files.glob("*") if path.name in lost]
    return [*left, *store.folder.glob(".writing/*"), *store.folder.glob(".mlflow.new.db*")]


def fresh_store(scale):
    """8 processes register at once in a store that none of them finds."""
    count = max(1, round(REGISTRATIONS * scale))
    with TemporaryDirectory() as place:
        folder = Path(place)
        run = cx.train(write_run(folder))
        trained = replace(run.models[0], at_risk=pd.DataFrame())
        found = at_once(register_many, folder / "fresh", trained, count)
        from cxpredict.jobs.registry.tracking import Store

        store = Store(folder / "fresh")
        versions = store.client.search_model_versions()
        errors = [each for each in found if isinstance(each, str)]
        print(*errors, sep="\n")
        title = f"{PROCESSES} processes x {count} registrations on a fresh store"
        yield equals(f"{title}: errors", len(errors), 0)
        yield equals(f"{title}: versions", len(versions), PROCESSES * count)
        numbers = sorted(int(version.version) for version in versions)
        gaps = numbers != list(range(1, len(numbers) + 1))
        yield equals(f"{title}: gaps in their numbers", int(gaps), 0)
        yield equals(f"{title}: left behind", len(orphans(store)), 0)


def one_run_key():
    """8 processes train the same at once."""
    with TemporaryDirectory() as place:
        config = write_run(Path(place))
        found = at_once(train_once, config)
        store = store_of(config)
        title = f"{PROCESSES} processes with one run key"
        print(*(each for each in found if each != "1"), sep="\n")
        wrong = sum(each != "1" for each in found)
        yield equals(f"{title}: processes that did not end with version 1", wrong, 0)
        yield equals(f"{title}: versions", len(store.client.search_model_versions()), 1)
        yield equals(f"{title}: left behind", len(orphans(store)), 0)


def kills(scale):
    """SIGTERM and SIGKILL in each step of training."""
    from cxpredict.jobs.registry.runs import close_dead_runs

    count = max(2, round(KILLS * scale))
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with TemporaryDirectory() as place:
            config = write_run(Path(place))
            store = store_of(config)
            wrong = running = left = 0
            for number in range(count):
                code = killed(config, sent, STEPS[number % len(STEPS)])
                wrong += code != (143 if sent == signal.SIGTERM else -signal.SIGKILL)
                if sent == signal.SIGKILL:
                    close_dead_runs(store)  # as the next training does first
                running += statuses(store).count("RUNNING")
                left += len(orphans(store))
            with threadpool_limits(1):
                version = train_once(config, 0)
            title = f"{count} x {sent.name} in training"
            yield equals(f"{title}: other exit codes", wrong, 0)
            yield equals(f"{title}: runs still RUNNING after it", running, 0)
            yield equals(f"{title}: left behind", left, 0)
            killed_runs = statuses(store).count("KILLED")
            title_killed = f"{title}: runs closed as KILLED"
            yield bar(title_killed, killed_runs, f">= {count}", killed_runs >= count)
            versions = len(store.client.search_model_versions())
            yield equals(f"{title}: versions of one run key after one more training", versions, 1)
            yield equals(f"{title}: its version", int(version), 1)


def bar(name, value, bound, holds):
    return {"name": name, "value": value, "bound": bound, "holds": bool(holds)}


def equals(name, value, expected):
    return bar(name, value, f"= {expected}", value == expected)


def bars(scale):
    yield from fresh_store(scale)
    yield from one_run_key()
    yield from kills(scale)
