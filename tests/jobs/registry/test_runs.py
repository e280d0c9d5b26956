"""The life of runs: made whole, ended as what they were, cleaned up after when killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest

from cxpredict.errors import DataError, PublishError
from cxpredict.jobs.registry import runs
from cxpredict.jobs.registry.runs import STALE_DAYS, Terminated, close_dead_runs, tracked
from cxpredict.jobs.registry.tracking import Store, quiet


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store") / "artifacts")


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def status(store, run_id):
    return store.client.get_run(run_id).info.status


def log_a_model(folder):
    """Log something to the active run as a model that nobody registers."""
    code = folder / "model.py"
    code.write_text(
        "from mlflow.models import set_model\n"
        "from mlflow.pyfunc import PythonModel\n"
        "class Nothing(PythonModel):\n"
        "    def predict(self, context, model_input: list[str], params=None):\n"
        "        return model_input\n"
        "set_model(Nothing())\n"
    )
    with quiet():
        return mlflow.pyfunc.log_model(
            name="model", python_model=str(code), pip_requirements=["cxpredict"]
        )


def test_a_store_begun_by_several_at_once_is_whole(tmp_path):
    store = Store(tmp_path / "artifacts")
    store.folder.mkdir()
    (store.folder / ".mlflow.new.db").write_bytes(b"half")  # of one that was killed meanwhile
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: store.experiment("x"), range(8)))
    assert len(found) == 1
    assert files(store.folder) == [".mlflow.lock", "mlflow.db"]


def test_what_a_killed_writer_left_is_removed_by_the_next(store):
    left = store.folder / ".writing" / "1" / "tmp"
    left.mkdir(parents=True)
    with store.writing(), store.writing():
        assert not left.exists()
    assert not (store.folder / ".writing").exists()


def test_a_store_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError, match="cannot be written"):
        Store(tmp_path / "file" / "artifacts").experiment("x")


def test_the_salt_is_drawn_once_and_for_its_owner_only(store):
    assert store.salt == Store(store.folder).salt
    assert len(store.salt) == 32
    assert (store.folder / ".salt").stat().st_mode & 0o077 == 0


def test_a_run_that_fails_is_failed_and_leaves_no_model(store, tmp_path):
    with pytest.raises(DataError), tracked(store, "x") as run_id:  # noqa: PT012
        model = log_a_model(tmp_path)
        raise DataError("no rows")
    assert status(store, run_id) == "FAILED"
    assert not (store.folder / "mlflow" / "models" / model.model_id).exists()
    assert mlflow.active_run() is None


def test_sigterm_closes_parent_and_nested_as_killed_and_exits_with_143(store):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated) as raised, tracked(store, "x") as parent:  # noqa: PT012
        assert signal.getsignal(signal.SIGTERM) is runs._terminate
        with tracked(store, "x", nested=True) as nested:
            signal.raise_signal(signal.SIGTERM)
    assert raised.value.code == 143
    assert [status(store, run_id) for run_id in (parent, nested)] == ["KILLED", "KILLED"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_and_another_handler_are_left_alone(store):
    def own(number, frame):
        pass

    signal.signal(signal.SIGTERM, own)
    try:
        with tracked(store, "x"):
            assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: _ended_in_a_thread(store)).result() == "FINISHED"


def _ended_in_a_thread(store):
    assert threading.current_thread() is not threading.main_thread()
    with tracked(store, "x") as run_id:
        pass
    return status(store, run_id)


def test_the_run_of_a_dead_process_is_closed_with_a_note_and_cleaned_up_after(store, tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = runs._started(gone.pid)
    assert started
    with quiet():
        mlflow.set_tracking_uri(store.uri)
        mlflow.start_run(
            experiment_id=store.experiment("x"),
            tags={
                "mlflow.note.content": "half",
                "cxpredict.host": runs._host(),
                "cxpredict.pid": str(gone.pid),
                "cxpredict.process_started": started,
            },
        )
        run = mlflow.active_run().info
        mlflow.log_text("half", "a.txt")
        model = log_a_model(tmp_path)
        mlflow.tracking.fluent._active_run_stack.get().clear()  # as if this process were another
    assert close_dead_runs(store) == []
    gone.kill()
    while runs._started(gone.pid):  # until it is a zombie: nobody has waited for it
        time.sleep(0.01)
    assert close_dead_runs(store) == [run.run_id]
    gone.communicate()
    assert close_dead_runs(store) == []
    found = store.client.get_run(run.run_id)
    assert found.info.status == "KILLED"
    note = found.data.tags["mlflow.note.content"]
    assert note == "half\n\nClosed as KILLED: the process that started it is gone."
    left = files(store.folder)
    assert not any(run.run_id in name or model.model_id in name for name in left)


@pytest.mark.parametrize(
    ("days", "tags", "closed"),
    [
        (0, {}, False),
        (STALE_DAYS + 1, {}, False),  # this process, however long it takes
        (0, {"cxpredict.process_started": "another process of this number"}, True),
        (0, {"cxpredict.host": "elsewhere"}, False),
        (STALE_DAYS - 1, {"cxpredict.host": "elsewhere"}, False),
        (STALE_DAYS + 1, {"cxpredict.host": "elsewhere"}, True),
    ],
)
def test_which_running_runs_are_dead(store, days, tags, closed):
    began = int((time.time() - days * 86_400) * 1000)
    run = store.client.create_run(
        store.experiment("x"), start_time=began, tags={**runs._this_process(), **tags}
    )
    assert (run.info.run_id in close_dead_runs(store)) == closed
    store.client.set_terminated(run.info.run_id)


def test_a_run_of_another_program_is_none_of_ours(store):
    run = store.client.create_run(store.experiment("x"), start_time=0)
    assert close_dead_runs(store) == []
    store.client.set_terminated(run.info.run_id)


def test_where_there_is_no_proc_ps_is_asked(monkeypatch):
    monkeypatch.setattr(runs, "_PROC", Path("/absent"))
    assert "pid" not in runs._host()
    assert runs._started(os.getpid()) == runs._started(os.getpid())
