from pathlib import Path

import pytest

import cxpredict as cx

ROOT = Path(__file__).resolve().parents[1]


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
