import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

import cxpredict as cx
from cxpredict.errors import ModelError
from cxpredict.jobs.registry.logged import input_example, pyfunc_arguments, signature_of
from cxpredict.jobs.registry.serving import predict_frame
from cxpredict.jobs.registry.tracking import quiet
from cxpredict.jobs.scoring.rows import score_rows

N = 120


@pytest.fixture(scope="module")
def bundles(run):
    return {model.bundle.kind: model.bundle for model in run.models}


@pytest.fixture(scope="module")
def rows(run, bundles):
    """Features of test rows for each kind, for churn with what a kept customer is worth."""
    found = {}
    for model in run.models:
        bundle = model.bundle
        index = model.outcome.index[:N]
        X = cx.build_features(run.log, index, aggregates=bundle.aggregates, exclude=bundle.exclude)
        X.attrs = {}
        if bundle.kind == "churn":
            worth = np.random.default_rng(0).gamma(2.0, 100.0, len(X))
            X["value_if_kept"] = np.where(np.arange(len(X)) % 7 == 0, np.nan, worth)
        found[bundle.kind] = X.reset_index(drop=True)
    return found


@pytest.fixture(scope="module")
def folders(bundles, tmp_path_factory):
    """A logged model for each kind."""
    home = tmp_path_factory.mktemp("models")
    for kind, bundle in bundles.items():
        digest = bundle.save(home / f"{kind}-bundle")
        with quiet():
            arguments = pyfunc_arguments(bundle, home / f"{kind}-bundle", digest)
            mlflow.pyfunc.save_model(home / kind, **arguments)
    return {kind: home / kind for kind in bundles}


@pytest.fixture(scope="module")
def loaded(folders):
    with quiet():
        return {kind: mlflow.pyfunc.load_model(str(path)) for kind, path in folders.items()}


def same(found, expected):
    """Equal bit for bit; a missing value at risk is None where JSON must be able to hold it."""
    money = {"value_at_risk": "float64"} if "value_at_risk" in expected else {}
    pd.testing.assert_frame_equal(found.astype(money), expected.astype(money), check_exact=True)


@pytest.mark.parametrize("kind", ["churn", "satisfaction"])
def test_the_logged_model_gives_what_the_scores_table_has(kind, loaded, bundles, rows):
    bundle, X = bundles[kind], rows[kind]
    found = loaded[kind].predict(X)
    index = pd.MultiIndex.from_arrays(
        [X.index.astype(str), [pd.Timestamp("2025-01-01")] * len(X)], names=["customer_id", "as_of"]
    )
    native = X.set_axis(index)
    worth = native.pop("value_if_kept") if kind == "churn" else None
    scores = score_rows(bundle, native, worth=worth)
    money = ["value_at_risk"] if kind == "churn" else ["expected_score"]
    columns = ["low", "high", "risk_band", *money, "reason_1", "reason_2", "reason_3"]
    assert found.columns.tolist() == ["probability", *columns]
    same(found[columns], scores[columns])
    name = "churn_probability" if kind == "churn" else "low_score_probability"
    np.testing.assert_array_equal(found["probability"], scores[name])
    if kind == "churn":
        expected = found["probability"] * X["value_if_kept"]
        same(found[["value_at_risk"]], expected.to_frame("value_at_risk"))
        assert found["value_at_risk"][0] is None


def whole(X):
    return [name for name in X.select_dtypes("number") if (X[name].dropna() % 1 == 0).all()]


def as_ints(X):
    complete = [name for name in whole(X) if X[name].notna().all()]
    return X.astype(dict.fromkeys(complete, "int64"))


def texts(X):
    return X.select_dtypes(["category", "object", "str"]).columns


VARIANTS = {
    "Int64": lambda X: X.astype(dict.fromkeys(whole(X), "Int64")),
    "ints": as_ints,
    "categories": lambda X: X.astype(dict.fromkeys(texts(X), "category")),
    "text": lambda X: X.astype(dict.fromkeys(texts(X), "str")),
    "arrow text": lambda X: X.astype(dict.fromkeys(texts(X), "string[pyarrow]")),
    "objects": lambda X: X.astype(object).where(X.notna(), None),
    "Float64": lambda X: X.astype(dict.fromkeys(X.select_dtypes("float64"), "Float64")),
    "arrow": lambda X: X.convert_dtypes(dtype_backend="pyarrow"),
    "order and others": lambda X: X[X.columns[::-1]].assign(shoe_size=43, note="<b>"),
    "another index": lambda X: X.set_axis([f"row {i}" for i in range(len(X))][::-1]),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_neither_dtype_nor_order_changes_a_bit(variant, loaded, bundles, rows):
    X = rows["churn"]
    changed = VARIANTS[variant](X)
    expected = predict_frame(bundles["churn"], X)
    same(loaded["churn"].predict(changed), expected.set_axis(changed.index))


def test_flags_may_come_as_any_dtype(run):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"vip": rng.random(400) < 0.3, "calls": rng.poisson(2.0, 400)})
    model = cx.ChurnModel(effort="fast", random_state=0).fit(X, rng.random(400) < 0.1 + 0.5 * X.vip)
    bundle = replace(run.models[0].bundle, model=model, basis=None)
    expected = predict_frame(bundle, X).drop(columns=["reason_1", "reason_2", "reason_3"])
    for dtype in ("boolean", "object", "int8", "float32", "bool[pyarrow]"):
        found = predict_frame(bundle, X.astype({"vip": dtype}))
        same(found[expected.columns], expected)


def test_a_column_with_gaps_in_training_may_be_missing(loaded, bundles, rows):
    X = rows["churn"]
    report = bundles["churn"].model.column_report_.set_index("column")
    optional = report.index[(report["n_missing"] > 0) & (report["dropped"] == "")][0]
    expected = loaded["churn"].predict(X.assign(**{optional: np.nan}))
    same(loaded["churn"].predict(X.drop(columns=optional)), expected)
    without = loaded["churn"].predict(X.drop(columns="value_if_kept"))
    assert without["value_at_risk"].isna().all()
    others = without.columns.drop("value_at_risk")
    same(without[others], loaded["churn"].predict(X)[others])


def test_a_column_without_gaps_in_training_is_asked_for_by_name_only(loaded, rows):
    X = rows["churn"].rename(columns={"tenure_days": "tenure"}).assign(note="canary-4711")
    with pytest.raises(ModelError, match=r"'tenure_days'.*old name") as caught:
        loaded["churn"].predict(X)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tenure_days": "canary"}, "tenure_days.*text now"),
        ({"value_if_kept": "canary"}, "value_if_kept: expected numbers"),
        ({"value_if_kept": np.inf}, "value_if_kept: expected numbers, found infinite"),
    ],
)
def test_what_cannot_be_read_is_refused(loaded, rows, change, message):
    with pytest.raises(ModelError, match=message) as caught:
        loaded["churn"].predict(rows["churn"].assign(**change))
    assert "canary" not in str(caught.value)


def test_no_rows_and_one_row(bundles, rows):
    X = rows["churn"]
    whole = predict_frame(bundles["churn"], X)
    same(predict_frame(bundles["churn"], X.iloc[[3]]), whole.iloc[[3]])
    none = predict_frame(bundles["churn"], X.iloc[:0])
    assert len(none) == 0
    assert none.dtypes.astype(str).tolist() == whole.dtypes.astype(str).tolist()
    twice = pd.concat([X, X[["value_if_kept"]]], axis=1)
    with pytest.raises(ModelError, match="found 2"):
        predict_frame(bundles["churn"], twice)


def test_a_changed_artefact_is_refused(folders, tmp_path):
    """The digest is with the model's configuration, not with the bundle."""
    copy = tmp_path / "model"
    shutil.copytree(folders["churn"], copy)
    (bundle,) = (copy / "artifacts").iterdir()
    model = (bundle / "booster_0.txt").read_bytes()
    changed = model.replace(b"leaf_value=", b"leaf_value=9", 1)
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    entry = manifest["files"]["booster_0.txt"]
    entry["bytes"], entry["sha256"] = len(changed), sha256(changed).hexdigest()
    (bundle / "booster_0.txt").write_bytes(changed)
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with quiet(), pytest.raises(ModelError, match="not the one this digest belongs to"):
        mlflow.pyfunc.load_model(str(copy))
    with quiet(), pytest.raises(ModelError, match="not the one this digest belongs to"):
        mlflow.pyfunc.load_model(str(folders["churn"]), model_config={"bundle_sha256": "0" * 64})


def test_the_logged_folder_holds_text_alone_and_pins_its_packages(folders):
    for path in folders["churn"].rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert path.suffix in {"", ".json", ".txt", ".yaml", ".py"}, path.name
            content.decode("utf-8")
            own = content.lower().replace(b"cloudpickle_version", b"")  # MLflow's name of a version
            assert not any(word in own for word in (b"pickle", b"joblib")), path.name
    pinned = (folders["churn"] / "requirements.txt").read_text(encoding="utf-8").split()
    assert all("==" in line for line in pinned)
    names = {line.split("==")[0] for line in pinned}
    assert {"cxpredict", "lightgbm", "mlflow", "numpy", "pandas", "scikit-learn"} <= names


def test_the_signature_has_optional_inputs_and_typed_outputs(bundles):
    signature = signature_of(bundles["churn"])
    assert signature.inputs.optional_input_names()[-1] == "value_if_kept"
    kinds = {column.name: column.type.name for column in signature.outputs.inputs}
    assert kinds["value_at_risk"] == "double"
    assert kinds["risk_band"] == kinds["reason_1"] == "string"
    assert "value_if_kept" not in signature_of(bundles["satisfaction"]).inputs.input_names()


def test_the_example_is_no_customer(run, bundles, loaded):
    # by hand: 20 have a, 12 have b, 3 have c: c must not be shown, numbers come from the edges
    features = {
        "region": {"kind": "category", "levels": ["a", "b"], "shares": [0.57, 0.34, 0.09, 0.0]},
        "tenure_days": {"kind": "number", "edges": [10.0, 50.0, 90.0], "shares": [0.25] * 4},
    }
    example = input_example(replace(bundles["churn"], baseline={"features": features}))
    assert example["region"].tolist() == ["a", "a", "b"]
    assert example["tenure_days"].tolist() == [10.0, 50.0, 90.0]


def test_the_example_of_a_trained_model_shows_only_what_many_share(run, bundles, loaded):
    example = input_example(bundles["churn"])
    entries = bundles["churn"].baseline["features"]
    people = run.log.customers.to_pandas()
    shown = 0
    for column in bundles["churn"].model.columns_.columns:
        values = example[column.name].dropna()
        if column.kind == "category":
            held = people.loc[people[column.name].isin(values), column.name].value_counts()
            assert (held >= 11).all()
            shown += len(values)
        elif column.kind == "number":
            known = entries[column.name]["edges"] or [bundles["churn"].basis.typical[column.name]]
            assert set(values) <= {float(f"{number:.3g}") for number in known}
    assert shown
    found = loaded["churn"].predict(example)
    assert found["probability"].between(0, 1).all()
    assert found["value_at_risk"].tolist()[2] is None


@contextmanager
def served(folder):
    """Run MLflow's own server of a model; give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder)]
    command += ["--env-manager", "local", "-w", "1", "-p", address.rsplit(":", 1)[1]]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment["PYTHONPATH"] = str(Path(cx.__file__).parents[1])
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env=environment, start_new_session=True, **silent)
    try:
        wait_for(f"{address}/ping")
        yield f"{address}/invocations"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def wait_for(address):
    until = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < until, "the server did not start"
            time.sleep(0.1)


def ask(address, body):
    content = json.dumps(body, allow_nan=False).encode()
    request = urllib.request.Request(address, content, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read(), parse_constant=pytest.fail)


@pytest.mark.slow
def test_served_over_http_it_answers_the_same_bits(folders, bundles, rows):
    X = rows["churn"]
    expected = predict_frame(bundles["churn"], X)
    plain = X.astype(object).where(X.notna(), None)
    split = {"columns": plain.columns.tolist(), "data": plain.to_numpy().tolist()}
    records = plain.to_dict("records")
    with served(folders["churn"]) as address:
        for body in ({"dataframe_split": split}, {"dataframe_records": records}):
            answer = ask(address, body)["predictions"]
            same(pd.DataFrame(answer)[expected.columns], expected)
        without = [{k: v for k, v in each.items() if k != "tenure_days"} for each in records]
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(address, {"dataframe_records": without})
        with caught.value as refused:
            assert refused.code == 400
            assert "tenure_days" in refused.read().decode()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["churn", "satisfaction"])
def test_on_spark_it_gives_the_same_bits(folders, bundles, rows, kind, monkeypatch):
    pyspark = pytest.importorskip("pyspark", reason="the extra 'spark' is not installed")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java 17, which is not on this machine")
    from pyspark.sql.functions import col, struct

    root = str(Path(cx.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", root)
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    X = rows[kind].astype(dict.fromkeys(texts(rows[kind]), "object"))
    X = X.where(X.notna(), None).assign(row=range(len(X)))
    settings = {
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "50",
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "ERROR",
    }
    builder = pyspark.sql.SparkSession.builder.master("local[2]").appName("cxpredict-pyfunc")
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    try:
        table = spark.createDataFrame(X).repartition(3)
        model = mlflow.pyfunc.spark_udf(spark, str(folders[kind]), env_manager="local")
        features = struct(*[col(f"`{name}`") for name in X.columns if name != "row"])
        found = table.select("row", model(features).alias("p")).select("row", "p.*").toPandas()
    finally:
        spark.stop()
    expected = predict_frame(bundles[kind], rows[kind])
    found = found.sort_values("row", ignore_index=True).drop(columns="row")
    same(found.astype(expected.dtypes), expected)
