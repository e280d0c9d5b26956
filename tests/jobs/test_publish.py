import pytest

from cxpredict.errors import PublishError
from cxpredict.jobs.publish import digest, publishing, write_json


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path):
    target = tmp_path / "deep" / "scores"
    for content in ("old", "new"):
        with publishing(target) as folder:
            (folder / "a.txt").write_text(content)
            assert not (target / "a.txt").exists() or (target / "a.txt").read_text() == "old"
    assert (target / "a.txt").read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["scores"]


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path):
    target = tmp_path / "scores"
    with publishing(target) as folder:
        (folder / "a.txt").write_text("old")
    with pytest.raises(ZeroDivisionError), publishing(target) as folder:
        (folder / "a.txt").write_text(f"half {1 / 0}")
    assert (target / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["scores"]


def test_an_interrupted_swap_is_mended_by_the_next_run(tmp_path):
    target = tmp_path / "scores"
    with publishing(target) as folder:
        (folder / "a.txt").write_text("old")
    target.rename(tmp_path / ".scores.previous")  # as if killed between the two renames
    with pytest.raises(ZeroDivisionError), publishing(target):
        _ = 1 / 0
    assert (target / "a.txt").read_text() == "old"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(PublishError, match="cannot be written"),
        publishing(tmp_path / "file" / "x"),
    ):
        pass


def test_json_is_the_same_for_the_same_content(tmp_path):
    write_json(tmp_path / "a", {"b": 1, "a": "é"})
    write_json(tmp_path / "b", {"a": "é", "b": 1})
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
