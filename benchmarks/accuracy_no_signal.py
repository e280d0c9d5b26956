"""A company whose records say next to nothing about who leaves, in ``benchmarks/accuracy.py``.

`configs/ravenstack.yaml` is trained whole; the report must say that the model is not better than
the base rate, and the gate must refuse to promote it.
"""

import tempfile
from pathlib import Path

from main_job import in_folder

import cxpredict as cx


def bars(data):
    """Train into a temporary folder, and read the report and the gate."""
    if not (Path(data) / "ravenstack_accounts.parquet").exists():
        print("ravenstack: not in the folder of the data: its bars are left out")
        return
    with tempfile.TemporaryDirectory() as folder:
        run = cx.train(in_folder("ravenstack", Path(folder)))
        page = cx.write_report(run).read_text(encoding="utf-8")
    (model,) = run.models
    print(model.gate.table().to_string(index=False))
    said = "Not better than the base rate" in page
    yield {
        "name": "ravenstack: the report says not better than the base rate",
        "value": said,
        "bound": "is said",
        "holds": said,
    }
    yield {
        "name": "ravenstack: the gate",
        "value": model.alias,
        "bound": "refused",
        "holds": not model.gate.passed and model.alias == "refused",
    }
