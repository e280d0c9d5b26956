"""Rows 34, 36 to 42, 44 to 48 and 51 to 54: scoring other data than was learnt from."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bad_shop import check
from bad_shop import score_flat as score
from people import NAMES, people
from people import write_flat as write

import cxpredict as cx


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with missing labels and infinite attributes, and fewer than 500 churners."""
    folder = tmp_path_factory.mktemp("trained")
    frame = people()
    frame.loc[:49, "left"] = None
    frame["fee"] = np.where(frame.index % 100 == 0, np.inf, frame.index % 7)
    path = write(folder, frame)
    run = cx.train(path)
    return folder, frame, run.models[0]


def test_34_missing_targets_are_left_out_and_counted(trained):
    _, _, model = trained
    assert model.periods.customers.sum() == 1_000 - 50
    assert any(note.startswith("50 cases") for note in model.notes)


def test_48_names_that_lightgbm_rejects_are_kept_to_the_report(trained):
    _, _, model = trained
    assert set(NAMES) <= set(model.bundle.model.feature_names_in_)
    assert set(NAMES) <= set(model.drivers.table["feature"])


def test_51_few_churners_are_warned_of_and_intervals_widen(trained):
    _, frame, model = trained
    assert frame.left.sum() < 500
    assert any("of the rarer outcome in training: wide" in n for n in model.notes)
    rng = np.random.default_rng(0)
    widths = []
    for n in (4_000, 1_000, 250):
        risk = rng.uniform(0.05, 0.6, n)
        table = cx.evaluate((rng.random(n) < risk).astype(int), risk).set_index("metric")
        widths.append(table.loc["roc_auc", "high"] - table.loc["roc_auc", "low"])
    # a standard error falls with the root of n: a quarter of the rows, twice the width
    np.testing.assert_allclose(np.divide(widths[1:], widths[:-1]), 2, rtol=0.25)


def score_changed(folder, frame, *words, code=0):
    """Score changed customers with the trained model."""
    frame.to_parquet(folder / "people.parquet")
    done = score(folder, folder / "scores")
    assert done.code == code, done.said
    for each in words:
        assert each in done.said, done.said
    if code in (0, 7, 9):
        return pd.read_parquet(folder / "scores" / "as_of=2024-01-01" / "scores.parquet")
    return None


def risk(folder, frame, *, code=0):
    """Give the probabilities of changed customers; 9: they are published, and unlike training."""
    scores = score_changed(folder, frame, code=code)
    return scores.set_index("customer_id").churn_probability.sort_index()


def same(left, right):
    pd.testing.assert_series_equal(left, right, check_exact=True)


def test_36_an_empty_scoring_set_gives_an_empty_typed_table_and_its_own_exit_code(trained):
    folder, frame, _ = trained
    full = score_changed(folder, frame)
    empty = score_changed(folder, frame.head(0), code=7)
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_37_39_a_renamed_or_missing_column_is_named_and_nothing_scored(trained):
    folder, frame, _ = trained
    words = ("columns known from fit are missing: plan", "renamed columns need their old name back")
    score_changed(folder, frame.rename(columns={"plan": "tariff"}), *words, code=5)
    score_changed(folder, frame.drop(columns="plan"), words[0], code=5)


def test_38_40_the_order_of_columns_and_extra_ones_change_nothing(trained):
    folder, frame, _ = trained
    expected = risk(folder, frame)
    assert len(expected) == (frame.left != 1).sum()  # those who left are not scored
    changed = frame[frame.columns[::-1]].assign(extra="canary").sample(frac=1, random_state=1)
    same(risk(folder, changed), expected)


def test_41_42_levels_are_recast_and_unseen_ones_are_gaps_and_counted(trained):
    folder, frame, model = trained
    expected = risk(folder, frame)
    recast = frame.assign(
        plan=frame.plan.astype("category").cat.reorder_categories(["plus", "basic"])
    )
    same(risk(folder, recast), expected)
    gap = risk(folder, frame.assign(plan=pd.Series([None] * len(frame), dtype="str")), code=9)
    unseen = risk(folder, frame.assign(plan="canary plan"), code=9)
    same(unseen, gap)
    X = frame.drop(columns=["id", "left"]).assign(plan="canary plan")
    report = model.bundle.model.check_columns(X).set_index("column")
    assert report.loc["plan", ["status", "n_unseen"]].tolist() == ["present", 1_000]


def test_42_levels_that_no_training_row_had_alert_from_one_customer_in_twenty_on(trained):
    folder, frame, _ = trained
    scored = frame.index[frame.left != 1]
    for share, code in ((0.04, 0), (0.06, 9)):
        plan = frame.plan.astype("object")
        plan[scored[: round(share * len(scored))]] = "canary plan"
        words = ["plan (too many unseen"] if code else []
        score_changed(folder, frame.assign(plan=plan.astype("str")), *words, code=code)


def test_44_an_infinite_attribute_scores_as_a_gap(trained):
    folder, frame, _ = trained
    infinite = risk(folder, frame.assign(fee=np.inf), code=9)
    same(infinite, risk(folder, frame.assign(fee=np.nan), code=9))


def test_46_47_a_number_that_became_text_is_named_and_nothing_scored(trained):
    folder, frame, _ = trained
    score_changed(
        folder, frame.assign(**{"a[b": "canary many"}), "'a[b' was a number at fit", code=5
    )


def files_in(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_52_a_rerun_is_byte_identical_and_a_failed_one_leaves_the_old_output(
    trained, tmp_path, monkeypatch, number
):
    folder, frame, _ = trained
    frame.to_parquet(folder / "people.parquet")
    assert score(folder, tmp_path).code == 0
    first = files_in(tmp_path)
    assert score(folder, tmp_path, "--force").code == 0
    assert files_in(tmp_path) == first

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), "canary")

    monkeypatch.setattr(os, "fsync", refuse)
    done = score(folder, tmp_path, "--force")
    assert done.code == 6, done.said
    assert "cannot be written" in done.said
    assert files_in(tmp_path) == first


def test_52_a_place_that_is_a_file_is_refused(trained, tmp_path):
    (tmp_path / "out").write_text("mine")
    assert score(trained[0], tmp_path / "out").code == 6
    assert (tmp_path / "out").read_text() == "mine"


@pytest.fixture
def saved(trained, tmp_path):
    digest = trained[2].bundle.save(tmp_path / "bundle")
    return tmp_path / "bundle", digest


def test_53_every_file_of_a_bundle_is_held_to_its_digest(saved):
    saved, digest = saved
    for path in sorted(path for path in saved.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        for changed in (flipped, whole[:-2], b""):
            path.write_bytes(changed)
            with pytest.raises(cx.ModelError):
                cx.load_bundle(saved, digest=digest)
        path.unlink()
        with pytest.raises(cx.ModelError):
            cx.load_bundle(saved, digest=digest)
        path.write_bytes(whole)
    assert cx.load_bundle(saved, digest=digest).name == "flat-churn"


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_54_an_archive_is_no_bundle_and_no_source(trained, saved, tmp_path, kind):
    archive = Path(shutil.make_archive(str(tmp_path / "hostile"), kind, saved[0]))
    done = score(trained[0], tmp_path / "out", model=archive)
    assert done.code == 5, done.said
    assert not (tmp_path / "out").exists()
    done = check(tmp_path, None, path=archive.name)
    assert done.code == 3, done.said
