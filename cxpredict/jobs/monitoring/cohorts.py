"""Cohorts: the customers of one scored date with what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.scoring.table import PROBABILITY
from cxpredict.jobs.training.rows import outcome_of

__all__ = ["Cohort", "cohorts", "read_scores"]

FILE = "scores.parquet"


@dataclass(frozen=True)
class Cohort:
    """The customers of one scored date.

    Attributes
    ----------
    as_of : Timestamp
        The date.
    risk : Series
        Probability that was predicted; indexed by customer_id and as_of.
    arm : Series
        ``treated``, ``held_out`` or missing: not chosen for the offer.
    outcome : Series
        1 for churn or a low score, 0 else; missing where it is not known.
    mature : bool
        Whether the label window is over in the records.
    gone : int
        Scored customers whom the records of today do not have at that date; left out above.
    """

    as_of: pd.Timestamp
    risk: pd.Series
    arm: pd.Series
    outcome: pd.Series
    mature: bool
    gone: int

    @property
    def known(self) -> pd.Series:
        """Outcomes that are known."""
        return self.outcome.dropna()

    def facts(self) -> dict[str, Any]:
        """Count customers: one row of the table of cohorts."""
        known = self.known
        return {
            "as_of": self.as_of,
            "mature": self.mature,
            "customers": len(self.risk),
            "known": len(known),
            "unknown": len(self.risk) - len(known) if self.mature else 0,
            "gone": self.gone,
            "treated": int((self.arm == "treated").sum()),
            "held_out": int((self.arm == "held_out").sum()),
            "predicted_rate": float(self.risk.mean()),
            "observed_rate": float(known.mean()) if len(known) else np.nan,
        }


def read_scores(places: Sequence[Path], kind: str) -> pd.DataFrame:
    """Read published scores.

    Parameters
    ----------
    places : sequence of Path
        Folders that hold scores.parquet, or whose folders ``as_of=…`` do; or the files.
    kind : {"churn", "satisfaction"}
        Which probability they hold.

    Returns
    -------
    DataFrame
        Columns customer_id, as_of, risk, arm, model_version.

    Raises
    ------
    DataError
        There are no scores, a file is none, columns are missing, a probability is missing or
        outside [0, 1], or a customer stands twice at a date.
    """
    files = [file for place in places for file in _files(place)]
    table = pd.concat([_read(file, PROBABILITY[kind]) for file in files], ignore_index=True)
    wrong = ~table["risk"].between(0.0, 1.0)
    if wrong.any():
        raise DataError(
            f"scores: {wrong.sum():,} of {len(table):,} probabilities are missing or outside "
            "[0, 1]; score those dates again"
        )
    twice = table.duplicated(["customer_id", "as_of"])
    if twice.any():
        raise DataError(
            f"scores: {twice.sum():,} customers stand twice at a date; give each folder once"
        )
    return table


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    found = [place / FILE] if (place / FILE).is_file() else sorted(place.glob(f"as_of=*/{FILE}"))
    if not found:
        raise DataError(
            f"{place.name}: expected {FILE}, or folders as_of=… that hold it, found neither; "
            "score customers first"
        )
    return found


def _read(file: Path, probability: str) -> pd.DataFrame:
    try:
        with pq.ParquetFile(file) as parquet:
            table = parquet.read()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file.parent.name}/{file.name}: cannot be read as Parquet") from error
    needed = ["customer_id", "as_of", probability, "model_version"]
    absent = [name for name in needed if name not in table.column_names]
    if absent:
        raise DataError(
            f"{file.parent.name}/{file.name}: expected a table of scores, it has no "
            f"{', '.join(absent)}; scores of this kind of model are needed"
        )
    frame = table.select(needed).to_pandas()
    arm = table["arm"].to_pandas() if "arm" in table.column_names else None
    return pd.DataFrame(
        {
            "customer_id": frame["customer_id"].astype("str"),
            "as_of": frame["as_of"].astype("datetime64[us]"),
            "risk": frame[probability].astype("float64"),
            "arm": pd.Series(arm, index=frame.index, dtype="object"),
            "model_version": frame["model_version"].astype("str"),
        }
    )


def cohorts(scores: pd.DataFrame, bundle: Bundle, log: CustomerLog) -> Iterator[Cohort]:
    """Join scores with what the records know by now, date by date.

    Parameters
    ----------
    scores : DataFrame
        As from `read_scores`.
    bundle : Bundle
        Says what the outcome is.
    log : CustomerLog
        The records of today.

    Yields
    ------
    Cohort
        Earliest date first.

    Notes
    -----
    Customers whom today's records do not know to be active at the date (erased, corrected, beyond
    an extract) are counted, not judged: without records anybody looks as if he had left.
    """
    keys = ["customer_id", "as_of"]
    for day, rows in scores.groupby("as_of", sort=True):
        rows = rows.set_index(keys).sort_index()
        there = rows.index.isin(bundle.problem.population(log, day))
        kept = rows[there]
        outcome = kept["risk"] * np.nan
        mature = False
        if len(kept):
            label = bundle.problem.labels(log, kept.index)
            outcome = outcome_of(bundle.problem, label).where(label.notna())
            mature = not bundle.problem.outcomes(log, kept.index)["censored"].any()
        yield Cohort(
            as_of=pd.Timestamp(day),
            risk=kept["risk"],
            arm=kept["arm"],
            outcome=outcome,
            mature=mature,
            gone=int((~there).sum()),
        )
