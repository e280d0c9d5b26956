import os
import shutil
import sys
from pathlib import Path

import pytest

import cxpredict as cx

ROOT = Path(__file__).resolve().parents[1]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep what shares the training run, the Spark session or a module's set-up in one process."""
    for item in items:
        dear = {"run", "spark"} & set(getattr(item, "fixturenames", ()))
        shared = "run and spark" if dear else item.path.name
        item.add_marker(pytest.mark.xdist_group(shared))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("real data sets (../shared/data) are not on this machine")
    return folder


@pytest.fixture(scope="session")
def company():
    """A small simulated company with known truth."""
    return cx.simulate_company(1_500, seed=11)


@pytest.fixture(scope="session")
def online_retail(shared_data):
    """The log of the online retail configuration."""
    return cx.CustomerLog.open(ROOT / "configs" / "online_retail.yaml")


@pytest.fixture(scope="session")
def demo_config(tmp_path_factory):
    """A small copy of the demo configuration, writing into a folder of its own."""
    text = (ROOT / "configs" / "demo.yaml").read_text(encoding="utf-8")
    text = text.replace("n_customers: 6000", "n_customers: 2500")
    text = text.replace(", everyone: true", "")  # five more fits: see tests/jobs/test_experience.py
    text = text.replace("every_days: 30", "every_days: 60") + "\neffort: fast\n"
    path = tmp_path_factory.mktemp("demo") / "configs" / "demo.yaml"
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def spark():
    """A Spark session of two cores on this machine, whose own time zone is not UTC."""
    pyspark = pytest.importorskip("pyspark", reason="the extra 'spark' is not installed")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java 17, which is not on this machine")
    settings = {
        "spark.sql.session.timeZone": "America/New_York",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.codegen.wholeStage": "false",  # compiling takes longer than these few rows
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "OFF",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        builder = pyspark.sql.SparkSession.builder.master("local[2]").appName("cxpredict")
        for key, value in settings.items():
            builder = builder.config(key, value)
        session = builder.getOrCreate()
    yield session
    session.stop()


@pytest.fixture(scope="session")
def run(demo_config):
    """The training run of the small demo."""
    return cx.train(demo_config)
