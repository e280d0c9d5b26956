"""The job on a local Spark gives what one machine gives."""

import copy
import stat
import sys
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import cxpredict as cx
from cxpredict.config import Bands, load_config
from cxpredict.data.simulated.frames import simulate_frames
from cxpredict.drivers.reasons import ReasonBasis
from cxpredict.errors import ConfigError, CxPredictError, EmptyDataError, ModelError, PublishError
from cxpredict.features.origin import Origin
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.monitoring.baseline import learn_baseline
from cxpredict.jobs.scoring.partitions import Assignment, scorer
from cxpredict.jobs.scoring.spark import _check_arrived, open_session
from cxpredict.jobs.scoring.spark_errors import translating

pytestmark = [
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
    pytest.mark.filterwarnings("ignore:Series.values returning an ndarray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
DAY = "2025-10-01"
ODD_IDS = ["o'brien; --", '"=1+1"', "ünï©ø∂é 😀", "NaN", "null", "a`b\\c", "Ⅷ\u00a0x", "00.10"]
AGGREGATES = (
    Origin("interactions", "count", "", (("kind", "complaint"),), 90),
    Origin("interactions", "days_since"),
    Origin("transactions", "sum", "amount", (), 90),
    Origin("feedback", "last", "score", (("metric", "nps"),)),
)
RUN = {
    "name": "tiny",
    "observed_until": date(2026, 1, 1),
    "sources": {
        name: {
            "path": f"{name}.parquet",
            "table": name,
            "timezone": "UTC",
            "columns": {},
        }
        for name in ("customers", "interactions", "feedback", "transactions")
    },
    "problems": {"churn": {"cancelled": "cancellation", "horizon_days": 60}},
    "split": {"test_at": date(2025, 9, 30), "every_days": 60},
    "bands": {"churn": {"medium": 0.05, "high": 0.12}},
    "value": {
        **{"currency": "EUR", "lookback_days": 90, "period_days": 30},
        **{"horizon_days": 360, "yearly_discount_rate": 0.1},
    },
    "offer": {"contact_cost": 1.0, "incentive": 5.0, "acceptance": 0.3, "holdout_share": 0.2},
    "random_state": 7,
}


def odd(frames):
    """Give ids that are hard to carry, gaps in text and in whole numbers."""
    customers = frames["customers"]
    names = dict(zip(customers["customer_id"], ODD_IDS, strict=False))
    for frame in frames.values():
        frame["customer_id"] = frame["customer_id"].map(lambda i: names.get(i, i))
    customers["region"] = customers["region"].astype(object)
    customers.loc[::7, "region"] = None
    customers.loc[1::7, "region"] = "NaN"
    customers["children"] = pd.array([0, 1, None, 2] * (len(customers) // 4), dtype="Int64")
    return frames


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A configuration with files, and a small bundle for it: (configuration, folder, digest)."""
    home = tmp_path_factory.mktemp("spark it's")
    frames = odd(simulate_frames(600, seed=3)[0])
    content = copy.deepcopy(RUN)
    for name, source in content["sources"].items():
        frames[name].to_parquet(home / source["path"])
        columns = [c for c in frames[name] if name != "customers" or c in ("customer_id", "since")]
        source["columns"] = {c: c for c in columns}
    content["sources"]["customers"]["attributes"] = ["plan_price", "region", "children"]
    (home / "tiny.yaml").write_text(yaml.safe_dump(content))
    log = cx.CustomerLog.open(home / "tiny.yaml")
    problem = cx.ChurnProblem(cancelled="cancellation", horizon_days=60)
    train, _ = problem.split(log, test_at="2025-09-30", every_days=60)
    X = cx.build_features(log, train, aggregates=AGGREGATES)
    model = cx.ChurnModel(effort="fast", random_state=7).fit(X, problem.labels(log, train))
    bundle = Bundle(
        *("tiny", problem, model, AGGREGATES, (), Bands(medium=0.02, high=0.05), {}),
        basis=ReasonBasis.learn(X),
    )
    bundle = replace(bundle, baseline=learn_baseline(X, bundle.risk(X)))
    return SimpleNamespace(
        config=home / "tiny.yaml", model=home / "b", digest=bundle.save(home / "b"), log=log, X=X
    )


def scores_of(job, out, **settings):
    return cx.score(job.config, model=job.model, digest=job.digest, as_of=DAY, out=out, **settings)


def assert_same(found, expected):
    """Hold numbers to 1e-9 and all else exactly, in the order of the file."""
    assert found.columns.tolist() == expected.columns.tolist()
    assert len(found) == len(expected)
    for name in expected:
        if expected[name].dtype == "float64":
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9)
        else:
            pd.testing.assert_series_equal(found[name], expected[name])


@pytest.fixture(scope="module")
def here(job, tmp_path_factory):
    """What one machine gives."""
    return scores_of(job, tmp_path_factory.mktemp("here"))


def test_spark_gives_what_one_machine_gives(job, spark, here, tmp_path):
    far = scores_of(job, tmp_path, engine=spark, chunk_rows=250)
    assert_same(far.scores, here.scores)
    assert set(ODD_IDS) <= set(far.scores.customer_id)
    assert far.scores.reason_1.notna().any()
    assert far.scores.reason_1.isna().any()
    pd.testing.assert_frame_equal(far.drift, here.drift)
    kept = ("rows", "bands", "drift", "run_key")
    assert {name: far.manifest[name] for name in kept} == {n: here.manifest[n] for n in kept}
    assert {path.name for path in far.folder.iterdir()} == set(here.manifest["files"]) | {
        "manifest.json"
    }
    assert pq.read_schema(far.file).equals(pq.read_schema(here.file))
    assert spark.conf.get("spark.sql.session.timeZone") == "America/New_York"


@pytest.mark.slow
def test_records_of_a_lake_are_scored_where_they_are(job, spark, tmp_path):
    job.log.to_parquet(tmp_path / "lake")
    lake = ibis.pyspark.connect(spark.newSession())
    files = {name: str(tmp_path / "lake" / f"{name}.parquet") for name in job.log.table}
    log = cx.CustomerLog.from_tables(**{n: lake.read_parquet(f) for n, f in files.items()})
    far = scores_of(job, tmp_path / "far", log=log, reasons="top=5", limit=150)
    assert_same(far.scores, scores_of(job, tmp_path / "here", reasons="top=5", limit=150).scores)
    assert far.scores.reason_1.notna().sum() == 5


def test_nobody_to_score_is_said_as_on_one_machine(job, spark, tmp_path):
    with pytest.raises(EmptyDataError):
        cx.score(
            job.config,
            model=job.model,
            digest=job.digest,
            as_of="2001-01-01",
            out=tmp_path,
            engine=spark,
        )
    assert pq.read_table(tmp_path / "as_of=2001-01-01" / "scores.parquet").num_rows == 0


@pytest.mark.slow
def test_a_worker_without_the_library_is_told_what_to_install(job, spark, tmp_path, monkeypatch):
    blocker = tmp_path / "sitecustomize.py"
    blocker.write_text(
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'cxpredict':\n"
        "            raise ModuleNotFoundError(\"No module named 'cxpredict'\", name='cxpredict')\n"
        "sys.meta_path.insert(0, Absent())\n"
    )
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH="{tmp_path}:$PYTHONPATH" exec "{sys.executable}" "$@"\n'
    )
    python.chmod(python.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(spark.sparkContext, "pythonExec", str(python))
    with pytest.raises(ConfigError, match="no module 'cxpredict'"):
        scores_of(job, tmp_path / "out", engine=spark, limit=20)
    assert not list((tmp_path / "out").rglob("*.*"))


def assignment(job, **changed):
    config = load_config(job.config)
    bundle = Bundle.load(job.model, digest=job.digest)
    return replace(
        Assignment(
            files=tuple(bundle.files().items()),
            digest=bundle.digest,
            version="1",
            origins={"region": Origin("customers", "attribute", "region")},
            config=config,
            reasons="none",
            drift=False,
        ),
        **changed,
    )


def test_a_worker_of_another_version_is_refused(job):
    shared = SimpleNamespace(value=assignment(job, library="0.0.1"))
    with pytest.raises(ModelError, match=r"worker has cxpredict .* started with 0\.0\.1"):
        list(scorer(shared)(iter([])))


def test_the_error_of_a_worker_holds_no_data(job):
    secret = "jane.doe@example.org"
    rows = pa.record_batch({"customer_id": [secret], "as_of": [secret], "region": [secret]})
    with pytest.raises(ModelError) as caught:
        list(scorer(SimpleNamespace(value=assignment(job)))([rows]))
    assert secret not in str(caught.value)
    assert caught.value.__suppress_context__


def test_rows_that_did_not_arrive_are_missed(tmp_path):
    with pytest.raises(PublishError, match=r"5 customers were scored, but 0 rows arrived.*share"):
        _check_arrived(tmp_path, 5)


def test_spark_s_own_error_is_named_without_its_text(spark):
    from pyspark.errors import PySparkException

    with pytest.raises(CxPredictError) as caught, translating():
        spark.sql("SELECT CAST('jane.doe@example.org' AS INT)").collect()
    assert "CAST_INVALID_INPUT" in str(caught.value)
    assert "jane" not in str(caught.value)
    with pytest.raises(ModelError, match=r"^not this one$"), translating():
        raise PySparkException("…\ncxpredict.errors.ModelError: not this one\n\tat …")


@pytest.mark.parametrize("engine", ["flink", 3])
def test_an_engine_that_is_none_is_refused(engine):
    with pytest.raises(ConfigError, match="engine: expected 'spark' or a SparkSession"):
        open_session(engine)
