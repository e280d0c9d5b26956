"""The page of a scored date: who is at risk and why, drift, rejects, where it all came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from cxpredict.data.checks import check_count
from cxpredict.errors import DataError
from cxpredict.jobs.monitoring.statuses import ALERTS
from cxpredict.jobs.publish import publishing
from cxpredict.jobs.scoring.result import MANIFEST, Scoring, finished
from cxpredict.jobs.scoring.table import PROBABILITY, REASONS
from cxpredict.report.pages import fill

__all__ = ["write_scores_report"]

FILE = "scores.html"
SHOWN_DRIFT = 20


def write_scores_report(
    folder: str | Path, *, out: str | Path | None = None, top: int = 50, currency: str = ""
) -> Path:
    """Write the page of a scored date as one HTML file.

    Parameters
    ----------
    folder : str or Path
        A folder ``as_of=…`` that `cxpredict.score` published as Parquet.
    out : str or Path, optional
        Folder of its own that receives the page; by default ``_reports/as_of=…`` beside the
        folder, which readers of all dates skip.
    top : int ≥ 1, default 50
        Customers to list, highest risk first.
    currency : str
        Put before amounts.

    Returns
    -------
    Path
        ``scores.html``: no external resource, no script.

    Raises
    ------
    DataError
        The folder is not a complete result: a file is missing, or other than the manifest says;
        or a newer result took its place meanwhile.
    PublishError
        The page cannot be written, or `out` holds other files.

    Notes
    -----
    No clock enters the page: the same scores give the same bytes. Sums are over all customers,
    added chunk by chunk. The page holds ids of customers with their scores; keep it as you keep
    customers' data. What a model was trained on and how good it is stands in the report of its
    training, in MLflow.
    """
    check_count("top", top)
    result = _open(Path(folder))
    target = Path(out) if out else result.folder.parent / "_reports" / result.folder.name
    try:
        page = _render(result, top, currency)
        same = _open(result.folder).manifest == result.manifest
    except FileNotFoundError:
        same = False
    if not same:  # a page of two results would be a page of none
        raise DataError(f"{result.folder.name}: replaced while it was read; write the page again")
    with publishing(target, ours={FILE}) as new:
        (new / FILE).write_text(page, encoding="utf-8")
    return target / FILE


def _open(folder: Path) -> Scoring:
    """Read a result whose files are as its manifest says."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        result = finished(folder.resolve(), manifest["run_key"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder.name}: expected a folder as_of=… that `cxpredict score` published, found no "
            "manifest of scores; give that folder"
        ) from error
    if result is None:
        raise DataError(f"{folder.name}: files are missing or changed; score this date again")
    if result.file.suffix != ".parquet":
        raise DataError(f"{folder.name}: the page is made of Parquet; score with format parquet")
    return result


def _render(result: Scoring, top: int, currency: str) -> str:
    names = pq.read_schema(result.file).names
    kind = next(kind for kind, column in PROBABILITY.items() if column in names)
    first = next(_chunks(result.file, top), pd.DataFrame(columns=names)).head(top)
    drift = result.drift
    return fill(
        "scores.html",
        manifest=result.manifest,
        kind=kind,
        event={"churn": "churn", "satisfaction": "a low score"}[kind],
        probability=PROBABILITY[kind],
        reasons=REASONS,
        customers=first.astype(object).where(first.notna(), None).to_dict("records"),
        sums=_sums(result.file, PROBABILITY[kind]),
        currency=currency,
        drift=[] if drift is None else _worst(drift).to_dict("records"),
        drifted=0 if drift is None else int(drift["status"].isin(ALERTS).sum()),
        columns=0 if drift is None else len(drift),
    )


def _chunks(file: Path, rows: int) -> Iterator[pd.DataFrame]:
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=rows):
            yield batch.to_pandas()


def _sums(file: Path, probability: str) -> list[dict[str, Any]]:
    """Add up customers, expected events and money by risk band, the highest first."""
    parts = []
    for rows in _chunks(file, 50_000):
        money = rows.get("value_at_risk", pd.Series(float("nan"), index=rows.index))
        arm = rows.get("arm", pd.Series(None, index=rows.index, dtype="object"))
        facts = pd.DataFrame(
            {
                "risk_band": rows["risk_band"],
                "customers": 1,
                "expected": rows[probability],
                "value": money,
                "contact": (arm == "treated").astype(int),
                "held_out": (arm == "held_out").astype(int),
            }
        )
        parts.append(facts.groupby("risk_band").sum(min_count=1))
    if not parts:
        return []
    table = pd.concat(parts).groupby(level=0).sum(min_count=1)
    order = [band for band in ("high", "medium", "low") if band in table.index]
    return list(table.loc[order].reset_index().to_dict("records"))


def _worst(drift: pd.DataFrame) -> pd.DataFrame:
    """Give the columns that are not as in training, the worst first."""
    found = drift[~drift["status"].isin(["stable", "extra"])].copy()
    found["alert"] = found["status"].isin(ALERTS)
    found = found.sort_values(["alert", "psi"], ascending=False, kind="stable")
    return found.head(SHOWN_DRIFT)
