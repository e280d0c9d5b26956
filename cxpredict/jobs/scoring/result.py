"""What a score job gave, and whether a folder holds it already."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow.parquet as pq

from cxpredict.jobs.monitoring.drift import raise_if_drifted
from cxpredict.jobs.publish import digest
from cxpredict.jobs.scoring.outputs import told_back

MANIFEST, DRIFT = "manifest.json", "drift.parquet"


@dataclass(frozen=True)
class Scoring:
    """What a batch job did.

    Attributes
    ----------
    folder : Path
        Holds scores.parquet (or scores.csv), rejects.parquet, drift.parquet and manifest.json.
    manifest : dict
        Digests of inputs, configuration, model and files; the run key; counts of rows.
    state : str
        ``written``; ``unchanged``, if the folder held this very result already; or ``planned``.
    """

    folder: Path
    manifest: dict[str, Any]
    state: Literal["written", "unchanged", "planned"]

    @property
    def file(self) -> Path:
        """The file of scores."""
        return self.folder / f"scores.{self.manifest['format']}"

    @property
    def scores(self) -> pd.DataFrame:
        """One row per customer, read from the file: all of them, in memory."""
        if self.file.suffix == ".csv":
            return _read_csv(self.file)
        return pq.read_table(self.file).to_pandas()

    @property
    def drift(self) -> pd.DataFrame | None:
        """What `DriftCounts.table` found, if the model knows its training rows."""
        path = self.folder / DRIFT
        return pq.read_table(path).to_pandas() if DRIFT in self.manifest["files"] else None

    def content(self) -> dict[str, Any]:
        """Return what one who starts the job from a script wants to know, as plain values."""
        told = ("as_of", "model", "run_key", "limit", "rows", "bands", "drift")
        found = {name: self.manifest[name] for name in told if name in self.manifest}
        return {"state": self.state, "folder": str(self.folder), "scores": str(self.file), **found}

    def lines(self) -> list[str]:
        """Say in a few lines what was done, or would be."""
        scored = self.manifest["rows"]["scored"]
        if self.state == "planned":
            return [f"would score {scored:,} customers and write {self.file}; nothing was written"]
        did = {"written": "scored", "unchanged": "nothing to do: this very result is there, with"}
        bands = ", ".join(f"{n:,} {band}" for band, n in self.manifest.get("bands", {}).items())
        found = [f"{did[self.state]} {scored:,} customers ({bands})", f"scores: {self.file}"]
        if "drift" in self.manifest:
            told = ", ".join(f"{n} {status}" for status, n in self.manifest["drift"].items())
            found.append(f"features against training: {told}; {self.folder / DRIFT}")
        return found

    def raise_if_drifted(self) -> None:
        """Raise a DriftError if the scored customers are not like those of training."""
        table = self.drift
        if table is not None and self.state != "planned":
            raise_if_drifted(table)


def finished(folder: Path, run_key: str) -> Scoring | None:
    """Give the result of a run key if a folder holds it, complete and as it was written."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = dict(manifest["files"])
        names = {path.name for path in folder.iterdir()} - {MANIFEST}
        whole = names == set(files) and all(digest(folder / n) == files[n] for n in files)
        same = manifest["run_key"] == run_key
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Scoring(folder, manifest, "unchanged") if whole and same else None


def _read_csv(path: Path) -> pd.DataFrame:
    """Read scores as they were before they were made safe for a spreadsheet; NA is a name too."""
    frame = pd.read_csv(path, dtype={"customer_id": "str"}, keep_default_na=False, na_values=[""])
    texts = frame.select_dtypes("str").columns
    return frame.assign(**{name: told_back(frame[name]) for name in texts})
