import ast
import json
import os
import threading
from collections import Counter
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from mutated_bundles import Loader, digest_of, mutate

import cxpredict as cx
from cxpredict.errors import ConfigError, ModelError, PublishError
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.bundle import folder as folders
from cxpredict.jobs.bundle.folder import read_folder, write_folder
from cxpredict.jobs.bundle.strict import read_json


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


def test_a_bundle_takes_the_place_of_a_bundle_only(saved):
    folder, _ = saved
    files = read_folder(folder, digest=saved[1])
    assert write_folder(folder, files, key=None) == saved[1]
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(PublishError, match="folder of its own"):
        write_folder(folder, files, key=None)
    assert (folder / "thesis.txt").read_text() == "mine"


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


def test_the_same_bundle_gives_the_same_bytes_also_after_it_was_loaded(run, saved):
    folder, digest = saved
    for model in run.models:
        files = model.bundle.files()
        assert model.bundle.files() == files
        assert Bundle.of_files(files).files() == files
    files = run.models[0].bundle.files()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert digest == sha256(files["manifest.json"]).hexdigest() == run.models[0].bundle.digest


def test_it_does_not_hold_the_smallest_and_largest_value_of_a_feature(run):
    bundle = run.models[0].bundle
    boosters = [text for name, text in bundle.files().items() if name.startswith("booster_")]
    for text in boosters:
        (infos,) = (line for line in text.splitlines() if line.startswith(b"feature_infos="))
        assert set(infos.removeprefix(b"feature_infos=").split()) <= {b"[-inf:inf]", b"none"}


def test_its_parts_are_where_people_look_for_them(run):
    bundle = run.models[0].bundle
    files = bundle.files()
    told = json.loads(files["bundle.json"])
    assert told["problem"]["horizon_days"] == bundle.problem.settings.horizon_days
    X = run.models[0].drivers.values
    assert told["base_log_odds"] == bundle.model.contributions(X)[1]
    assert "lightgbm" in told["packages"]
    assert json.loads(files["manifest.json"])["format"] == 2
    assert json.loads(files["card.json"]) == json.loads(json.dumps(bundle.card))
    assert {"columns.json", "calibration.json", "reasons.json", "baseline.json"} < set(files)
    assert files["booster_0.txt"].startswith(b"tree\n")
    loaded = Bundle.of_files(files)
    assert loaded.basis == bundle.basis
    assert loaded.baseline == bundle.baseline


def test_nobody_vouches_for_a_folder_alone(saved):
    folder, digest = saved
    with pytest.raises(ModelError, match=r"Bundle.save returned.*bundle_sha256") as caught:
        cx.load_bundle(folder)
    assert caught.value.exit_code == 5
    with pytest.raises(ModelError, match="64 hexadecimal digits"):
        cx.load_bundle(folder, digest="7")
    with pytest.raises(ModelError, match="not the one this digest belongs to"):
        cx.load_bundle(folder, digest="0" * 64)
    assert cx.load_bundle(str(folder), digest=digest.upper()).digest == digest


def test_digests_come_before_any_parser(saved, monkeypatch):
    folder, digest = saved
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("parsed"))
    with pytest.raises(ModelError, match="not the one"):
        cx.load_bundle(folder, digest=digest)


def test_every_file_is_opened_once(saved, monkeypatch):
    folder, digest = saved
    opened = Counter()
    real = os.open

    def count(path, *rest, **options):
        opened[str(path)] += 1
        return real(path, *rest, **options)

    monkeypatch.setattr(folders.os, "open", count)
    names = {path.name for path in folder.iterdir()}
    cx.load_bundle(folder, digest=digest)
    assert {name: opened[name] for name in names} == dict.fromkeys(names, 1)


SECRET = "correct horse battery staple, and more of it"


def test_a_key_vouches_for_a_signed_folder(run, tmp_path, monkeypatch):
    key, other = tmp_path / "key", tmp_path / "other"
    key.write_text(SECRET + "\n", encoding="utf-8")
    other.write_text(SECRET[::-1], encoding="utf-8")
    bundle, folder = run.models[0].bundle, tmp_path / "bundle"
    digest = bundle.save(folder, key=key)
    monkeypatch.setenv("CX_KEY", SECRET)
    assert cx.load_bundle(folder, key="env:CX_KEY").digest == digest
    assert cx.load_bundle(folder, key=key, digest=digest).name == bundle.name
    assert cx.load_bundle(folder, digest=digest).name == bundle.name
    with pytest.raises(ModelError, match="not made with this key") as caught:
        cx.load_bundle(folder, key=other)
    assert SECRET[::-1] not in str(caught.value)
    with pytest.raises(ModelError, match="not the one"):
        cx.load_bundle(folder, key=key, digest="0" * 64)
    card = folder / "card.json"
    card.write_bytes(card.read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"card.json: expected at most"):
        cx.load_bundle(folder, key=key)
    bundle.save(folder)
    with pytest.raises(ModelError, match="not signed"):
        cx.load_bundle(folder, key=key)


def test_a_key_that_is_none_is_named_without_it(saved, tmp_path, monkeypatch):
    short = tmp_path / "short"
    short.write_text("hush", encoding="utf-8")
    (saved[0] / "signature").write_text("0" * 64, encoding="utf-8")
    monkeypatch.delenv("CX_NO_KEY", raising=False)
    for key, said in [(short, "found 4"), ("env:CX_NO_KEY", "found 0"), (tmp_path / "no", "read")]:
        with pytest.raises(ConfigError, match=said) as caught:
            cx.load_bundle(saved[0], key=key)
        assert "hush" not in str(caught.value)


def test_what_is_no_folder_is_refused_by_name(saved, tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"1")
    for path, said in [
        (tmp_path / "a.tar.gz", r"a.tar.gz: an archive; unpack it"),
        (tmp_path / "nothing", "nothing: expected the folder of a model bundle, found nothing"),
        (saved[0] / "card.json", "Not a directory"),
        (tmp_path, "found no manifest"),
    ]:
        with pytest.raises(ModelError, match=said):
            cx.load_bundle(path, digest=saved[1])


def test_another_format_is_refused_saying_which(saved):
    folder, _ = saved
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_bytes())
    for changed, said in [(content | {"format": 3}, "format 3"), (content["files"], "format 1")]:
        manifest.write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(ModelError, match=f"{said}.*reads format 2"):
            cx.load_bundle(folder, digest=digest_of(folder))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1, "a": 2}', "a key given twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1e999}', "beyond what can be stored"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "beyond what can be stored"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "endless nesting"),
        (b"[1]", "found list"),
        (b"\xff", "not UTF-8"),
        (b"", "found none"),
    ],
)
def test_json_is_read_without_its_traps(content, said):
    with pytest.raises(ModelError, match=said):
        read_json("a.json", content)


def test_a_reader_gets_one_bundle_or_the_other(run, tmp_path):
    """While one is replaced by the other, again and again, no reader gets files of both."""
    key, folder = tmp_path / "key", tmp_path / "bundle"
    key.write_text(SECRET, encoding="utf-8")
    both = [replace(run.models[0].bundle, card={"n": n}).files() for n in (1, 2)]
    write_folder(folder, both[0], key=key)
    stop = threading.Event()

    def replace_it():
        while not stop.is_set():
            for files in both:
                write_folder(folder, files, key=key)

    writer = threading.Thread(target=replace_it)
    writer.start()
    try:
        read = [read_folder(folder, key=key) for _ in range(60)]
    finally:
        stop.set()
        writer.join()
    assert all(files in both for files in read)


def test_53_mutated_bundles_are_refused_and_nothing_else_happens(saved, tmp_path):
    """Fifty of the thousand of benchmarks/faults_bundle.py."""
    folder, digest = saved
    with closing(Loader(seconds=30.0)) as loader:
        assert loader.load(folder, digest=digest)["outcome"] == "loaded"
        for number in range(50):
            changed = tmp_path / f"changed-{number}"
            way, fits = mutate(folder, changed, number)
            found = loader.load(changed, digest=digest_of(changed) if fits else digest)
            assert found["outcome"] == "refused", (number, way, fits, found)
            assert found["message"].isprintable()
            assert len(found["message"]) < 400


def test_53_a_registered_version_changed_on_disk_is_refused(run):
    bundle, store = run.models[0].bundle, run.config.path(run.config.artifacts)
    uri = f"models:/{bundle.name}/{bundle.version}"
    assert cx.load_bundle(uri, artifacts=store).digest == bundle.digest
    with pytest.raises(ModelError, match="another digest than the one given"):
        cx.load_bundle(uri, digest="0" * 64, artifacts=store)
    (manifest,) = [
        path
        for path in store.rglob("artifacts/bundle/manifest.json")
        if sha256(path.read_bytes()).hexdigest() == bundle.digest
    ]
    for path in (manifest, manifest.with_name("booster_0.txt")):
        content = path.read_bytes()
        try:
            path.write_bytes(content.replace(b"1", b"2", 1))
            with pytest.raises(ModelError, match="changed"):
                cx.load_bundle(uri, artifacts=store)
        finally:
            path.write_bytes(content)


def test_nothing_is_pickled_anywhere(run):
    package = Path(cx.__file__).parent
    banned = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal", "skops"}
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in getattr(node, "names", []) if hasattr(alias, "name")]
            names += [getattr(node, "module", None) or ""]
            assert not {name.split(".")[0] for name in names} & banned, path
    written = run.config.path(run.config.artifacts)
    files = [path for path in written.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert not [p for p in files if p.suffix in {".pkl", ".pickle", ".joblib", ".skops", ".npy"}]
    assert not [p.name for p in files if p.read_bytes()[:1] == b"\x80"]  # how pickles begin
