"""Erasing a person: gone from every file, nobody else touched, models named."""

import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from one_company import flat, people

import cxpredict as cx
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.store import FeatureStore
from cxpredict.jobs.erasing.erase import erase
from cxpredict.jobs.erasing.files import from_csv, from_feature_store, from_logged_table
from cxpredict.jobs.erasing.person import Person
from cxpredict.report.scores import write_scores_report


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """A trained, reported and scored run; one of its rows was rejected."""
    folder = tmp_path_factory.mktemp("erase")
    frame = people(1_100)
    twice = pd.concat([frame, frame.head(1).assign(calls=99)])  # who stands on two rows is rejected
    config = flat(folder, twice, max_reject_share=0.05)
    run = cx.train(config)
    cx.write_report(run)
    scores = cx.score(config, model="models:/flat-churn@champion", as_of="2024-01-01")
    cx.write_scores_report(scores.folder)
    return config, folder / "artifacts", run, scores


def bytes_of(folder):
    ignored = {".mlflow.lock"}
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ignored
    }


def holding(folder, customer):
    """Files that hold the id as text, in any file: Parquet is read, the rest searched."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            text = pd.read_parquet(path).to_csv()
        elif path.is_file() and path.suffix != ".png":
            text = path.read_bytes().decode("utf-8", "replace")
        else:
            continue
        if re.search(rf"(?<![0-9a-zA-Z]){customer}(?![0-9a-zA-Z])", text):
            found.append(str(path.relative_to(folder)))
    return found


def test_an_unknown_customer_changes_no_byte(artifacts):
    config, folder, *_ = artifacts
    before = bytes_of(folder)
    done = erase(config, "nobody")
    assert not done.found
    assert done.files.empty
    assert done.models.empty
    assert bytes_of(folder) == before


def test_a_customer_is_gone_from_scores_reports_and_rejects_and_nobody_else_is(artifacts, tmp_path):
    config, folder, run, scores = artifacts
    customer = run.models[0].at_risk.customer_id[0]  # so the report names them
    assert len(holding(folder, customer)) == 4  # scores, their page, the report, its copy in MLflow
    written = pd.read_parquet(scores.folder / "scores.parquet")
    before = written.set_index("customer_id").drop(customer)
    done = erase(config, customer)
    assert done.found
    assert holding(folder, customer) == []
    place = Path("scores/flat-churn/as_of=2024-01-01")
    rows = done.files.set_index("file")["rows"]
    assert rows[str(place / "scores.parquet")] == 1
    assert rows.drop(str(place / "scores.parquet")).tolist() == [1, 1, 1]
    after = pd.read_parquet(folder / place / "scores.parquet").set_index("customer_id")
    pd.testing.assert_frame_equal(after, before)
    manifest = json.loads((folder / place / "manifest.json").read_text())
    assert manifest["rows"]["scored"] == len(after)
    assert manifest["rows"]["erased"] == {"scored": 1, "rejected": 0}
    assert manifest["files"] == {
        name: sha256((folder / place / name).read_bytes()).hexdigest() for name in manifest["files"]
    }
    assert customer not in write_scores_report(folder / place, out=tmp_path).read_text("utf-8")
    same = cx.score(config, model="models:/flat-churn@champion", as_of="2024-01-01")
    assert same.state == "unchanged"  # nothing brings them back
    assert holding(folder, customer) == []
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    assert report.count("A customer stood here and was erased.") == 1
    again = bytes_of(folder)
    assert erase(config, customer).files.empty
    assert bytes_of(folder) == again


def test_rejected_rows_are_those_of_the_column_that_holds_the_id(artifacts):
    config, folder, *_ = artifacts
    rejects = folder / "rejects" / "flat" / "rejects.parquet"
    assert len(pq.read_table(rejects)) == 2
    done = erase(config, "c0")
    rows = done.files.set_index("file")["rows"]
    assert rows["rejects/flat/rejects.parquet"] == 2
    assert len(pq.read_table(rejects)) == 0
    assert holding(folder, "c0") == []


def test_models_are_named_whose_training_rows_held_the_customer(artifacts):
    config, folder, run, _ = artifacts
    tested = set(run.models[0].outcome.index.get_level_values("customer_id"))
    trained = next(f"c{i}" for i in range(1, 1_100) if f"c{i}" not in tested)
    models = erase(config, trained).models
    assert models.to_dict("records") == [
        {"model": "flat-churn", "version": 1, "alias": "champion", "trained": "yes"}
    ]
    assert erase(config, trained).found  # the model still holds what it learnt of them
    assert erase(config, sorted(tested)[5]).models.empty
    salt = folder / ".salt"
    kept = salt.read_text()
    salt.write_text("00" * 32)  # without the key of the list nobody can tell
    try:
        assert erase(config, "nobody").models["trained"].tolist() == ["not recorded"]
    finally:
        salt.write_text(kept)


def test_the_command_never_says_who(artifacts):
    path = artifacts[1].parent / "run.yaml"
    command = [sys.executable, "-W", "ignore", "-m", "cxpredict.cli", "erase", "--config", path]
    command += ["--customer", "-"]
    ran = subprocess.run(command, input="c-secret\n", capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "nothing held this customer" in ran.stdout
    assert "secret" not in ran.stdout + ran.stderr


def test_a_file_that_cannot_be_read_is_named_after_all_others_are_done(tmp_path):
    config = flat(tmp_path, people(10))
    home = tmp_path / "artifacts" / "scores"
    home.mkdir(parents=True)
    (home / "a.parquet").write_bytes(b"PAR1 half")
    pd.DataFrame({"customer_id": ["c1", "c2"]}).to_csv(home / "b.csv", index=False)
    with pytest.raises(DataError, match=r"1 file\(s\) could not be read .*: a\.parquet"):
        erase(config, "c1")
    assert (home / "b.csv").read_text() == "customer_id\nc2\n"
    assert sorted(path.name for path in home.iterdir()) == ["a.parquet", "b.csv"]


def test_further_folders_are_looked_through_and_must_be_there(tmp_path):
    config = flat(tmp_path, people(10))
    (tmp_path / "out").mkdir()
    pd.DataFrame({"customer_id": ["c1"]}).to_parquet(tmp_path / "out" / "s.parquet")
    (tmp_path / "out" / ".x.new").mkdir()
    pd.DataFrame({"customer_id": ["c1"]}).to_csv(tmp_path / "out" / ".x.new" / "s.csv")
    done = erase(config, "c1", also=[tmp_path / "out"])
    assert done.files.to_dict("records") == [{"file": "s.parquet", "rows": 1}]
    assert done.unfinished == (".x.new",)
    with pytest.raises(ConfigError, match="there is no folder"):
        erase(config, "c1", also=[tmp_path / "absent"])
    with pytest.raises(ConfigError, match="found an empty text"):
        erase(config, "")
    assert not (tmp_path / "artifacts").exists()


def of(customer):
    return Person(customer, {})


def test_csv_keeps_every_byte_of_the_others(tmp_path):
    text = '\ufeffas_of,customer_id,reason\r\nx,c1,"a\r\n""b"""\r\nx,"c2",=1\r\nx,c1,c2'
    (tmp_path / "a.csv").write_bytes(text.encode())
    assert from_csv(tmp_path / "a.csv", tmp_path / "b.csv", of("c2")) == 1
    assert (tmp_path / "b.csv").read_bytes().decode() == text.replace('x,"c2",=1\r\n', "")
    assert from_csv(tmp_path / "a.csv", tmp_path / "b.csv", of("c1")) == 2
    assert from_csv(tmp_path / "a.csv", tmp_path / "b.csv", of("c3")) == 0


@pytest.mark.parametrize(
    ("stands", "asked", "same"),
    [
        ("007", "7", False),
        ("'=1", "=1", True),
        ("'x", "x", False),
        ("e\u0301", "\u00e9", True),
        (7, "7", True),
        (7.0, "7", True),
        (7.5, "7", False),
        (" c1\t", "c1", True),
        ("c1", "c1 ", True),
        (None, "None", False),
    ],
)
def test_which_spellings_are_the_same_id(stands, asked, same, tmp_path):
    assert Person.of(flat(tmp_path, people(3)), asked).is_id(stands) == same


def test_rejected_rows_of_columns_that_nobody_knows_are_looked_through_whole(tmp_path):
    config = flat(tmp_path, people(3))
    names, rows = ["source", "record"], [["customers", '{"id": "a", "to": "b"}']]
    rows.append(["other", '{"from": "a", "to": "b"}'])
    rows.append(["customers", '{"older": "a"}'])
    rows.append(["customers", None])

    def found(customer):
        finder = Person.of(config, customer).finder(names)
        return [finder(row) for row in rows]

    assert found("a") == [True, True, True, False]
    assert found("b") == [False, True, False, False]


def test_logged_tables_lose_rows_of_the_customer_only(tmp_path):
    table = {"columns": ["customer_id", "n"], "data": [["c1", 1], ["c2", 2]]}
    (tmp_path / "a.json").write_text(json.dumps(table))
    assert from_logged_table(tmp_path / "a.json", tmp_path / "b.json", of("c1")) == 1
    assert json.loads((tmp_path / "b.json").read_text())["data"] == [["c2", 2]]


def test_a_feature_store_forgets_the_customer_to_the_last_block(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"customer-{n:04}" for n in range(40)]
    sales = pd.DataFrame(
        {
            "customer_id": rng.choice(names, 400),
            "occurred_at": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(rng.integers(0, 28, 400), "D"),
            "amount": rng.gamma(2, 10, 400).round(2),
        }
    )
    log = cx.CustomerLog.from_frames(transactions=sales)
    spent = cx.Origin("transactions", "sum", "amount", window_days=30)
    night = ["2024-02-01"]
    store = FeatureStore.create(tmp_path / "a.duckdb", dates=night, aggregates=[spent])
    store.refresh(log, until="2024-02-01")
    gone = names[3]
    assert gone.encode() in (tmp_path / "a.duckdb").read_bytes()
    assert from_feature_store(tmp_path / "a.duckdb", tmp_path / "b.duckdb", of(gone)) > 0
    assert gone.encode() not in (tmp_path / "b.duckdb").read_bytes()
    keys = [sorted(set(sales.customer_id)), pd.to_datetime(night)]
    index = pd.MultiIndex.from_product(keys, names=["customer_id", "as_of"])
    before, after = store.build(log, index), FeatureStore(tmp_path / "b.duckdb").build(log, index)
    others = index.get_level_values("customer_id") != gone
    pd.testing.assert_frame_equal(before[others], after[others])
    assert from_feature_store(tmp_path / "b.duckdb", tmp_path / "c.duckdb", of(gone)) == 0
    (tmp_path / "b.duckdb.wal").touch()
    with pytest.raises(ValueError, match="in use"):
        from_feature_store(tmp_path / "b.duckdb", tmp_path / "c.duckdb", of(gone))
