import subprocess
import sys

import pytest

import cxpredict as cx


def test_every_public_name_exists_and_has_a_docstring():
    for name in cx.__all__:
        assert (getattr(cx, name).__doc__ or "").strip(), name


def test_all_is_what_dir_shows():
    assert set(cx.__all__) | {"__version__"} == set(dir(cx))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="churn_model"):
        _ = cx.churn_model


def test_importing_loads_nothing_heavy():
    code = "import sys, cxpredict; print(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pandas", "numpy", "ibis", "duckdb", "mlflow", "shap", "lightgbm", "matplotlib"}
    assert not heavy & set(run.stdout.split())
