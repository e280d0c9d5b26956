"""The score job: chunks, run key, outputs, database, limits, two jobs at once."""

import json
import resource
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_log import PLAIN
from shop import AS_OF, SALES, save_model, write_config, write_sales

from cxpredict.config import load_config
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError, DriftError, ModelError, PublishError
from cxpredict.jobs.publish import write_json
from cxpredict.jobs.records import regroup
from cxpredict.jobs.registry.versions import load_bundle
from cxpredict.jobs.scoring import score
from cxpredict.jobs.scoring.outputs import inert, read_csv, write_tables
from cxpredict.jobs.scoring.rows import score_customers
from cxpredict.report import scores as scores_page
from cxpredict.report.scores import write_scores_report

REASONS = ["reason_1", "reason_2", "reason_3"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_sales(folder)
    return folder, save_model(folder)


@pytest.fixture(scope="module")
def done(shop):
    folder, model = shop
    return score(write_config(folder), **model, reasons="all")


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def left_in(folder):
    return sorted(path.name for path in folder.rglob(".*"))


def test_rows_are_cut_anew_whatever_their_chunks():
    # 1+3+2 rows in groups of 4: 4 and 2
    tables = [pa.table({"n": [1]}), pa.table({"n": [2, 3, 4]}), pa.table({"n": [5, 6]})]
    assert [t["n"].to_pylist() for t in regroup(iter(tables), 4)] == [[1, 2, 3, 4], [5, 6]]
    assert list(regroup(iter([]), 4)) == []


@settings(PLAIN, max_examples=3)
@given(st.integers(20, 150))
def test_the_size_of_chunks_changes_no_byte(done, shop, tmp_path_factory, chunk_rows):
    folder, model = shop
    out = tmp_path_factory.mktemp("out")
    again = score(write_config(folder), **model, reasons="all", out=out, chunk_rows=chunk_rows)
    assert again.state == "written"
    assert bytes_of(again.folder) == bytes_of(done.folder)
    assert left_in(out) == []


def test_the_job_gives_what_scoring_in_memory_gives(done, shop):
    folder, model = shop
    config = load_config(write_config(folder))
    bundle, log = load_bundle(model["model"], digest=model["digest"]), CustomerLog.open(config)
    index = bundle.problem.to_score(log, AS_OF)
    expected = score_customers(bundle, log, index, config)
    pd.testing.assert_frame_equal(done.scores, expected, check_exact=True, check_dtype=False)
    assert done.manifest["rows"]["scored"] == len(expected) == sum(done.manifest["bands"].values())


def test_a_job_that_is_done_is_not_done_again_unless_asked(shop, tmp_path):
    folder, model = shop
    config = write_config(folder)
    first = score(config, **model, out=tmp_path)
    assert first.state == "written"
    before = bytes_of(first.folder)
    inode = first.file.stat().st_ino
    assert score(config, **model, out=tmp_path).state == "unchanged"
    assert first.file.stat().st_ino == inode
    assert score(config, **model, out=tmp_path, force=True).state == "written"
    assert bytes_of(first.folder) == before
    first.file.write_bytes(b"half")
    assert score(config, **model, out=tmp_path).state == "written"
    assert bytes_of(first.folder) == before
    assert left_in(tmp_path) == []


def test_the_run_key_holds_what_changes_scores_and_nothing_else(shop, tmp_path):
    folder, model = shop

    def key(**changes):
        reasons = changes.pop("reasons", "flagged")
        planned = score(write_config(folder, **changes), **model, reasons=reasons, dry_run=True)
        return planned.manifest["run_key"]

    plain = key()
    assert (
        key(engine={"memory_limit_gb": 1}, bands={"churn": {"medium": 0.1, "high": 0.2}}) == plain
    )
    offer = {"contact_cost": 2.0, "incentive": 2.0, "acceptance": 0.3, "holdout_share": 0.2}
    assert len({plain, key(offer=offer), key(reasons="none"), key(name="other")}) == 4


def test_a_record_that_was_of_the_future_is_scored_once_it_is_not(shop, tmp_path, monkeypatch):
    # without observed_until, the clock decides which records count: the key knows how many
    _, model = shop
    write_sales(tmp_path)
    with (tmp_path / "sales.csv").open("a") as file:
        file.write("c0001,2024-07-03,5.0\n")
    path = write_config(tmp_path, observed_until=None)
    keys = []
    for now in ("2024-07-02", "2024-07-02", "2024-07-04"):
        monkeypatch.setattr(
            "cxpredict.data.log._end_of_observation",
            lambda day, now=now: datetime.fromisoformat(now),
        )
        keys.append(score(path, **model, dry_run=True).manifest["run_key"])
    assert keys[0] == keys[1] != keys[2]


def test_other_code_of_the_same_version_has_another_key(shop, monkeypatch):
    folder, model = shop
    before = score(write_config(folder), **model, dry_run=True).manifest["run_key"]
    monkeypatch.setattr("cxpredict.jobs.scoring.request.code_sha256", lambda: "changed")
    assert score(write_config(folder), **model, dry_run=True).manifest["run_key"] != before


def test_only_those_asked_for_get_reasons(done, shop, tmp_path):
    folder, model = shop
    explained = {}
    for reasons in ("flagged", "top=7", "none"):
        result = score(write_config(folder), **model, out=tmp_path, reasons=reasons)
        found = result.scores
        pd.testing.assert_frame_equal(
            found.drop(columns=REASONS), done.scores.drop(columns=REASONS), check_exact=True
        )
        has = found[REASONS].notna().any(axis=1)
        explained[reasons] = list(has[has].index)
        same = found.loc[has, REASONS].fillna("") == done.scores.loc[has, REASONS].fillna("")
        assert same.all().all()
    flagged = done.scores.index[done.scores.risk_band == "high"]
    assert 0 < len(flagged) < len(done.scores)
    assert explained == {"flagged": list(flagged), "top=7": list(range(7)), "none": []}


def test_csv_is_inert_and_says_the_same(done, shop, tmp_path):
    folder, model = shop
    result = score(write_config(folder), **model, reasons="all", format="csv", out=tmp_path)
    assert result.file.name == "scores.csv"
    pd.testing.assert_frame_equal(result.scores, done.scores, check_exact=True)


ODD = ["NA", "null", "", "'", "-", "=1", "'=1", "''=1", "'plain", "＝1", 'a"b', "a\nb", "\r\n=2"]


def test_csv_gives_every_text_back_and_no_two_become_one(tmp_path):
    table = pa.table(
        {"customer_id": ODD, "reason_1": [None, *ODD[1:]], "gain": [None, *[0.1] * 12]},
        schema=pa.schema({"customer_id": pa.string(), "reason_1": pa.string(), "gain": "double"}),
    )
    write_tables([table], tmp_path / "t.csv", table.schema)
    assert read_csv(tmp_path / "t.csv", table.schema) == table
    written = inert(table)["customer_id"].to_pylist()
    assert len(set(written)) == len(ODD)
    assert not any(text.startswith(tuple("=-＝\r\n")) for text in written)


def test_cells_that_are_formulas_get_an_apostrophe_and_numbers_do_not(tmp_path):
    begins = ["=", "+", "-", "@", "\t", "\r"]
    table = pa.table({"=id": [f"{mark}1" for mark in begins] + ["a=1", None], "gain": [-1.0] * 8})
    safe = inert(table)
    assert safe.column_names == ["'=id", "gain"]
    assert safe["'=id"].to_pylist() == [f"'{mark}1" for mark in begins] + ["a=1", None]
    write_tables([table], tmp_path / "t.csv", table.schema)
    read = pd.read_csv(tmp_path / "t.csv")
    assert (read["gain"] == -1.0).all()


def test_a_database_table_holds_the_rows_of_a_model_and_date_once(done, shop, tmp_path):
    folder, model = shop
    base = tmp_path / "scores.db"
    config = write_config(folder)
    for _ in range(2):
        score(config, **model, reasons="all", out=tmp_path, to=f"sqlite:///{base}")
    with sqlite3.connect(base) as connection:
        read = pd.read_sql("SELECT * FROM churn_scores", connection)
        assert len(read) == len(done.scores)
        assert read["churn_probability"].tolist() == done.scores["churn_probability"].tolist()
        # of another model and another date: kept
        connection.execute("UPDATE churn_scores SET model_version = 'other/1' WHERE rowid <= 5")
        connection.execute("UPDATE churn_scores SET as_of = '2020-01-01' WHERE rowid > 190")
    connection.close()
    later = len(read) + 5 + len(read) - 190
    score(config, **model, reasons="all", out=tmp_path, to=f"sqlite:///{base}")
    with sqlite3.connect(base) as connection:
        assert connection.execute("SELECT count(*) FROM churn_scores").fetchone()[0] == later
    connection.close()


def test_a_duckdb_table_is_filled_too(done, shop, tmp_path):
    folder, model = shop
    base = tmp_path / "scores.duckdb"
    for _ in range(2):
        score(write_config(folder), **model, out=tmp_path, to=f"duckdb:///{base}#at_risk")
    with duckdb.connect(str(base), read_only=True) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT customer_id) FROM at_risk")
        assert found.fetchone() == (len(done.scores),) * 2


def test_a_database_that_refuses_keeps_its_rows(shop, tmp_path):
    folder, model = shop
    base = tmp_path / "scores.db"
    with sqlite3.connect(base) as connection:
        connection.execute("CREATE TABLE churn_scores (customer_id TEXT, as_of TEXT)")
        connection.execute("INSERT INTO churn_scores VALUES ('kept', '2024-07-01')")
    connection.close()
    with pytest.raises(PublishError, match="holds what it held"):
        score(write_config(folder), **model, out=tmp_path, to=f"sqlite:///{base}")
    with sqlite3.connect(base) as connection:
        assert connection.execute("SELECT * FROM churn_scores").fetchall() == [
            ("kept", "2024-07-01")
        ]
    connection.close()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"to": "postgresql://u:hidden-word@host/db"}, "environment variable"),
        ({"to": "postgresql://u:${CX_ABSENT}@host/db"}, "CX_ABSENT"),
        ({"to": "scores.db"}, "URL"),
        ({"to": "sqlite://scores.db"}, "three slashes"),
        ({"to": "sqlite://"}, "in memory"),
        ({"to": "duckdb:///:memory:"}, "in memory"),
        ({"to": "nosuch://host/db"}, "driver"),
        ({"to": "sqlite:///a.db", "limit": 3}, "limited"),
        ({"to": "sqlite:///a.db", "format": "csv"}, "parquet"),
        ({"format": "xlsx"}, "format"),
        ({"reasons": "top=0"}, "reasons"),
        ({"reasons": "some"}, "reasons"),
        ({"limit": 0}, "limit"),
        ({"chunk_rows": 0}, "chunk_rows"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_read(shop, tmp_path, wrong, says):
    folder, model = shop
    with pytest.raises(ConfigError, match=says) as error:
        score(write_config(folder), **model, out=tmp_path / "out", **wrong)
    assert "hidden-word" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_bundle_needs_its_digest(shop, tmp_path):
    folder, model = shop
    with pytest.raises(ModelError):
        score(write_config(folder), **{**model, "digest": "0" * 64}, out=tmp_path)


def test_a_limited_run_never_stands_where_a_full_one_does(shop, done, tmp_path):
    folder, model = shop
    tried = score(write_config(folder), **model, out=tmp_path, limit=9)
    assert tried.folder == tmp_path / "_first_9" / f"as_of={AS_OF}"
    assert tried.manifest["limit"] == 9
    first = sorted(done.scores["customer_id"])[:9]
    assert sorted(tried.scores["customer_id"]) == first


def test_a_dry_run_counts_and_writes_nothing(shop, done, tmp_path):
    folder, model = shop
    config = write_config(folder, artifacts=str(tmp_path / "artifacts"))
    plan = score(config, **model, out=tmp_path / "out", dry_run=True)
    assert plan.state == "planned"
    assert plan.manifest["rows"]["scored"] == len(done.scores)
    assert list(tmp_path.iterdir()) == []
    json.dumps(plan.content(), allow_nan=False)


def test_two_jobs_at_once_end_with_one_result(shop, tmp_path):
    folder, model = shop
    config = load_config(write_config(folder))
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(score, config, **model, out=tmp_path) for _ in range(2)]
        assert sorted(job.result().state for job in jobs) == ["unchanged", "written"]
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("size", [400, 4_000])
def test_files_that_cannot_grow_leave_the_old_result(shop, tmp_path, size):
    folder, model = shop
    config = write_config(folder)
    first = score(config, **model, out=tmp_path)
    before = bytes_of(first.folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(PublishError):
            score(config, **model, out=tmp_path, force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert bytes_of(first.folder) == before
    assert left_in(tmp_path) == []


def test_drift_is_told_after_publishing(shop, tmp_path):
    folder, model = shop
    result = score(write_config(folder), **model, out=tmp_path)
    assert set(result.drift["feature"]) >= {origin.name for origin in SALES}
    assert result.manifest["drift"] == result.drift["status"].value_counts().to_dict()
    drifted = result.drift["status"].isin(["drifted", "missing", "retyped"]).any()
    if drifted:
        with pytest.raises(DriftError, match="published"):
            result.raise_if_drifted()
    else:
        result.raise_if_drifted()


def test_the_page_of_a_scored_date_is_inert_and_the_same_again(shop, done, tmp_path):
    page = write_scores_report(done.folder, out=tmp_path / "page", top=5, currency="<b>EUR</b>")
    text = page.read_text()
    assert "<b>EUR" not in text
    assert text.count('data-label="Risk"') == 5
    assert "<script" not in text
    again = write_scores_report(done.folder, out=tmp_path / "again", top=5, currency="<b>EUR</b>")
    assert again.read_bytes() == page.read_bytes()


def test_a_page_never_takes_the_place_of_other_files(done, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for place in (tmp_path, done.folder, done.folder.parent):
        before = sorted(place.iterdir())
        with pytest.raises(PublishError, match="folder of its own"):
            write_scores_report(done.folder, out=place)
        assert sorted(place.iterdir()) == before


def test_scores_never_take_the_place_of_other_files_or_models(shop, tmp_path):
    folder, model = shop
    config, place = write_config(folder), tmp_path / f"as_of={AS_OF}"
    place.mkdir()
    (place / "notes.txt").write_text("mine")
    with pytest.raises(PublishError, match="folder of its own"):
        score(config, **model, out=tmp_path)
    assert [path.name for path in place.iterdir()] == ["notes.txt"]
    (place / "notes.txt").unlink()
    first = score(config, **model, out=tmp_path)
    told = first.manifest | {"model": "shop-satisfaction/1"}
    write_json(place / "manifest.json", told)  # as if another model had been scored here
    with pytest.raises(PublishError, match="'shop-satisfaction'"):
        score(config, **model, out=tmp_path)
    assert left_in(tmp_path) == []


def test_a_page_is_never_made_of_two_results(shop, tmp_path, monkeypatch):
    folder, model = shop
    result = score(write_config(folder), **model, out=tmp_path, reasons="none")
    render = scores_page._render

    def replaced_meanwhile(*arguments):
        score(write_config(folder), **model, out=tmp_path, reasons="top=1")
        return render(*arguments)

    monkeypatch.setattr(scores_page, "_render", replaced_meanwhile)
    with pytest.raises(DataError, match="replaced while"):
        write_scores_report(result.folder, out=tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_a_page_is_made_of_a_whole_result_only(done, tmp_path):
    from shutil import copytree

    with pytest.raises(DataError, match="manifest"):
        write_scores_report(tmp_path)
    torn = copytree(done.folder, tmp_path / "torn")
    pq.write_table(pa.table({"customer_id": ["x"]}), torn / "scores.parquet")
    with pytest.raises(DataError, match="changed"):
        write_scores_report(torn)
