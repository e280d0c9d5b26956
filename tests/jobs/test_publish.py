import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cxpredict.jobs.publish as publish
from cxpredict.errors import PublishError
from cxpredict.jobs.exchange import exchange
from cxpredict.jobs.publish import digest, holding, publishing, write_json

ROOT = Path(__file__).resolve().parents[2]


def put(target, content):
    with publishing(target) as folder:
        (folder / "a.txt").write_text(content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["exchange", "two renames"])
def way(request, monkeypatch):
    if request.param == "two renames":
        monkeypatch.setattr(publish, "exchange", lambda one, other: False)


def test_a_folder_appears_whole_and_replaces_the_old_one(way, tmp_path):
    target = tmp_path / "deep" / "scores"
    for content in ("old", "new"):
        with publishing(target) as folder:
            (folder / "a.txt").write_text(content)
            assert not (target / "a.txt").exists() or (target / "a.txt").read_text() == "old"
    assert (target / "a.txt").read_text() == "new"
    assert names(target.parent) == ["scores"]


def test_a_failure_leaves_the_old_folder_and_nothing_else(way, tmp_path):
    target = tmp_path / "scores"
    put(target, "old")
    with pytest.raises(ZeroDivisionError), publishing(target) as folder:
        (folder / "a.txt").write_text(f"half {1 / 0}")
    assert (target / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["scores"]


def test_who_holds_a_file_open_reads_on(way, tmp_path):
    target = tmp_path / "scores"
    put(target, "old")
    with (target / "a.txt").open() as reader:
        put(target, "new")
        assert reader.read() == "old"


def test_two_folders_change_names_in_one_step(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "who").write_text(name)
    if not exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("this file system cannot")
    assert (tmp_path / "one" / "who").read_text() == "other"
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "one", tmp_path / "absent")


def test_an_interrupted_pair_of_renames_is_mended_by_the_next_run(tmp_path):
    target = tmp_path / "scores"
    put(target, "old")
    target.rename(tmp_path / ".scores.previous")  # as if killed between the two renames
    with pytest.raises(ZeroDivisionError), publishing(target):
        _ = 1 / 0
    assert (target / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["scores"]


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    target = tmp_path / "scores"
    put(target, "old")
    (tmp_path / ".scores.new").mkdir()
    (tmp_path / ".scores.new" / "half").write_text("")
    (tmp_path / ".scores.lock").write_text("")
    (tmp_path / ".other.new").mkdir()  # another target's is its own business
    put(target, "new")
    assert names(tmp_path) == [".other.new", "scores"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(PublishError, match="cannot be written"),
        publishing(tmp_path / "file" / "x"),
    ):
        pass
    with pytest.raises(PublishError, match="cannot be written"):
        put(tmp_path / "file", "a folder cannot take the place of a file")
    assert names(tmp_path) == ["file"]


def test_a_file_too_large_for_the_disk_leaves_the_old_folder(tmp_path):
    target = tmp_path / "scores"
    put(target, "old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(PublishError, match=os.strerror(errno.EFBIG)):
            put(target, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert (target / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["scores"]


def test_a_disk_that_cannot_flush_leaves_the_old_folder(tmp_path, monkeypatch):
    target = tmp_path / "scores"
    put(target, "old")

    def broken(handle):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(PublishError, match=os.strerror(errno.EIO)):
        put(target, "new")
    assert (target / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["scores"]


COUNT = """
import sys, time
from pathlib import Path
from cxpredict.jobs.publish import holding, replacing
target = Path(sys.argv[1])
for _ in range(20):
    with holding(target):
        count = int((target / "n").read_text()) if target.exists() else 0
        with replacing(target) as new:
            (new / "n").write_text(str(count + 1))
"""


def test_processes_write_one_after_the_other(tmp_path):
    # 4 processes add 1 twenty times each; one lost update would show
    target = tmp_path / "count"
    command = [sys.executable, "-c", COUNT, str(target)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [subprocess.Popen(command, env=environment) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert (target / "n").read_text() == "80"
    assert names(tmp_path) == ["count"]


def test_a_waiting_process_says_so_and_gets_its_turn(tmp_path):
    target, said = tmp_path / "scores", []
    script = (
        "import sys, time; from pathlib import Path; from cxpredict.jobs.publish import holding\n"
        "with holding(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(target)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        started = time.monotonic()

        def waiting():
            said.append("waiting")
            other.kill()  # a lock ends with its process

        with holding(target, waiting):
            assert said == ["waiting"]
        assert time.monotonic() - started < 60


def test_json_is_the_same_for_the_same_content(tmp_path):
    write_json(tmp_path / "a", {"b": 1, "a": "é"})
    write_json(tmp_path / "b", {"a": "é", "b": 1})
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_a_folder_that_holds_other_things_is_never_replaced(tmp_path):
    target = tmp_path / "documents"
    target.mkdir()
    (target / "thesis.txt").write_text("mine")
    (target / "a.txt").mkdir()  # a folder is no file of ours, whatever its name
    with (
        pytest.raises(PublishError, match="2 entries"),
        publishing(target, ours={"a.txt"}) as folder,
    ):
        (folder / "a.txt").write_text("new")
    assert names(target) == ["a.txt", "thesis.txt"]
    assert names(tmp_path) == ["documents"]


@pytest.mark.parametrize("stop", [OSError(errno.EIO, "disk"), SystemExit(143)])
def test_the_old_folder_comes_back_if_the_second_rename_fails(tmp_path, monkeypatch, stop):
    monkeypatch.setattr(publish, "exchange", lambda one, other: False)
    target = tmp_path / "scores"
    put(target, "old")
    rename = Path.rename

    def second_fails(self, to):
        if self.name.endswith(".new"):
            raise stop
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises((PublishError, SystemExit)):
        put(target, "new")
    assert (target / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["scores"]
