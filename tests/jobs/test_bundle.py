from dataclasses import replace

import numpy as np
import pytest

import cxpredict as cx
from cxpredict.errors import ModelError
from cxpredict.jobs.bundle import Bundle


@pytest.fixture
def saved(run, tmp_path):
    return tmp_path / "bundle", run.models[0].bundle.save(tmp_path / "bundle")


def test_a_saved_bundle_is_text_and_predicts_the_same(run, saved):
    folder, digest = saved
    assert {p.suffix for p in folder.iterdir()} == {".json", ".txt"}
    original, loaded = run.models[0].bundle, cx.load_bundle(folder, digest=digest)
    index = run.models[0].outcome.index[:200]
    X = cx.build_features(run.log, index, aggregates=loaded.aggregates, exclude=loaded.exclude)
    np.testing.assert_array_equal(original.risk(X).to_numpy(), loaded.risk(X).to_numpy())
    assert loaded.aggregates == original.aggregates
    assert loaded.problem.settings == original.problem.settings


@pytest.mark.parametrize("name", ["bundle.json", "booster_0.txt", "manifest.json"])
def test_53_a_changed_or_missing_file_is_refused_before_it_is_parsed(saved, name):
    folder, digest = saved
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError):
        Bundle.load(folder, digest=digest)
    path.unlink()
    with pytest.raises(ModelError):
        Bundle.load(folder, digest=digest)


def test_37_39_a_renamed_or_missing_feature_is_named(run):
    bundle = run.models[0].bundle
    index = run.models[0].outcome.index[:5]
    X = cx.build_features(run.log, index, aggregates=bundle.aggregates, exclude=bundle.exclude)
    with pytest.raises(ModelError, match="tenure_days"):
        bundle.risk(X.rename(columns={"tenure_days": "tenure"}))
    with pytest.raises(ModelError, match="tenure_days"):
        bundle.risk(X.drop(columns="tenure_days"))


def test_38_40_the_order_of_columns_and_extra_ones_change_nothing(run):
    bundle = run.models[0].bundle
    index = run.models[0].outcome.index[:50]
    X = cx.build_features(run.log, index, aggregates=bundle.aggregates, exclude=bundle.exclude)
    mixed = X[X.columns[::-1]].assign(shoe_size=43)
    np.testing.assert_array_equal(bundle.risk(X)["probability"], bundle.risk(mixed)["probability"])


def test_a_bundle_carries_what_reads_comments(run, tmp_path):
    until = run.models[0].outcome.index.get_level_values("as_of").min()
    tagger = cx.CommentTagger(codebook={"price": ["price*"]}).fit(run.log, until=until)
    files = replace(run.models[0].bundle, tagger=tagger).files()
    loaded = Bundle.of_files(files)
    assert loaded.tagger.to_state() == tagger.to_state()
    assert "sentiment" in loaded.read_comments(run.log).feedback.columns
    assert "sentiment" not in run.models[0].bundle.read_comments(run.log).feedback.columns
    with pytest.raises(ModelError, match=r"comments.json changed"):
        Bundle.of_files(files | {"comments.json": files["comments.json"].replace(b"0", b"1", 1)})
    del files["comments.json"]
    with pytest.raises(ModelError, match=r"'comments.json': missing"):
        Bundle.of_files(files)
