"""The same expression on a local Spark gives what the embedded engine gives."""

import ibis
import numpy as np
import pandas as pd
import pytest
from random_log import CUSTOMERS, START, every_measure, open_log, random_frames

import cxpredict as cx

pytestmark = [
    # PySpark 4.0 calls pandas as before version 3
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
    pytest.mark.filterwarnings("ignore:Series.values returning an ndarray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def engine(spark):
    return ibis.pyspark.connect(
        spark.newSession(), **{"spark.sql.execution.arrow.pyspark.enabled": "true"}
    )


def on_spark(log, engine, folder):
    """Write the records as a company's lake would hold them, and open them on Spark."""
    log.to_parquet(folder)
    files = {name: str(folder / f"{name}.parquet") for name in log.table}
    return cx.CustomerLog.from_tables(**{n: engine.read_parquet(f) for n, f in files.items()})


def assert_same(found, expected):
    assert found.columns.tolist() == expected.columns.tolist()
    pd.testing.assert_index_equal(found.index, expected.index)
    for name in expected:
        if expected[name].dtype == "category":
            assert found[name].astype("str").equals(expected[name].astype("str")), name
        else:
            np.testing.assert_allclose(
                found[name], expected[name], rtol=1e-9, atol=1e-9, err_msg=name
            )


def test_spark_equals_the_embedded_engine_on_the_simulated_company(company, engine, tmp_path):
    dates = pd.to_datetime(["2025-03-01", "2025-06-01"])
    aggregates = cx.default_aggregates(company.log, until=dates[-1], windows_days=(60,))
    ids = company.log.customers.customer_id.to_pandas()
    index = pd.MultiIndex.from_product([ids, dates], names=["customer_id", "as_of"])
    log = on_spark(company.log, engine, tmp_path)
    assert cx.default_aggregates(log, until=dates[-1], windows_days=(60,)) == aggregates
    found = cx.build_features(log, index, aggregates=aggregates)
    assert_same(found, cx.build_features(company.log, index, aggregates=aggregates))


@pytest.mark.parametrize("shared", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_spark_equals_the_embedded_engine_for_every_measure(engine, tmp_path, shared):
    log = open_log(random_frames(3))
    dates = [START + pd.Timedelta(days=60), START + pd.Timedelta(days=90, hours=5)]
    index = pd.MultiIndex.from_product([CUSTOMERS, dates], names=["customer_id", "as_of"])
    if not shared:
        index = pd.MultiIndex.from_arrays(
            [CUSTOMERS, pd.date_range(START + pd.Timedelta(days=30), periods=12, freq="7D")],
            names=index.names,
        )
    found = cx.build_features(on_spark(log, engine, tmp_path), index, aggregates=every_measure())
    assert_same(found, cx.build_features(log, index, aggregates=every_measure()))
