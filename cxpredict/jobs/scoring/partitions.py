"""What a worker of a cluster does: features of some customers in, rows of the scores table out."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
import pyarrow as pa

import cxpredict
from cxpredict.config import Config
from cxpredict.errors import CxPredictError, ModelError
from cxpredict.features.origin import Origin
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.monitoring.baseline import baseline_of
from cxpredict.jobs.monitoring.drift import DriftCounts
from cxpredict.jobs.scoring.batches import MARGIN, feature_frame, offer_terms, risk_columns
from cxpredict.jobs.scoring.money import worth_of
from cxpredict.jobs.scoring.rows import reasons_of, score_rows
from cxpredict.jobs.scoring.table import REASONS, schema

DRIFT = "(drift)"
"""Column of scored rows: in the first row of each batch, how many rows fell where (JSON)."""

Batches = Iterable[pa.RecordBatch]


@dataclass(frozen=True)
class Assignment:
    """All that a worker needs to score features; it travels to each worker once.

    Attributes
    ----------
    files : tuple of (name, bytes)
        The bundle.
    digest, version : str
        What vouches for it, where there is one, and its version in the registry.
    origins : dict of str to Origin
        Where each feature comes from, in their order.
    config : Config
        Its `value` and `offer` give the money columns.
    reasons : str
        Who is explained: ``flagged``, ``all`` or ``none``.
    drift : bool
        Whether to count where the rows fall.
    library : str
        Version of cxpredict that the job was started with.
    """

    files: tuple[tuple[str, bytes], ...]
    digest: str
    version: str
    origins: dict[str, Origin]
    config: Config
    reasons: str
    drift: bool
    library: str = cxpredict.__version__


def scored_schema(kind: str) -> pa.Schema:
    """Columns that `scorer` gives: those of the scores table, and what drift is told by."""
    return schema(kind).append(pa.field(DRIFT, pa.string()))


def scorer(shared: Any) -> Callable[[Batches], Batches]:
    """Make the function that Spark runs over the batches of a partition (`mapInArrow`).

    Parameters
    ----------
    shared : broadcast variable
        Its `value` is the `Assignment`.

    Returns
    -------
    callable
        Takes batches of `customer_id`, `as_of`, features and `MARGIN`; gives batches of
        `scored_schema`.
    """

    def score_batches(batches: Batches) -> Batches:
        with _telling_no_data():
            assignment = shared.value
            _check_library(assignment)
            bundle = _load(assignment.files, assignment.digest, assignment.version)
            for batch in batches:
                if len(batch):
                    yield _score_batch(assignment, bundle, batch)

    return score_batches


def _check_library(assignment: Assignment) -> None:
    if assignment.library != cxpredict.__version__:
        raise ModelError(
            f"a worker has cxpredict {cxpredict.__version__}, the job was started with "
            f"{assignment.library}; install the same version everywhere"
        )


@lru_cache(maxsize=1)
def _load(files: tuple[tuple[str, bytes], ...], digest: str, version: str) -> Bundle:
    """Parse the bundle once per worker; its tasks already take all cores, one thread each."""
    bundle = Bundle.of_files(dict(files), version=version, digest=digest or None)
    bundle.model.set_params(n_jobs=1)
    return bundle


def _score_batch(assignment: Assignment, bundle: Bundle, batch: pa.RecordBatch) -> pa.RecordBatch:
    from threadpoolctl import threadpool_limits

    rows = pa.Table.from_batches([batch])
    as_of = rows["as_of"].cast(pa.timestamp("us"))  # Spark names the zone, UTC
    rows = rows.set_column(rows.schema.get_field_index("as_of"), "as_of", as_of)
    X = feature_frame(rows, assignment.origins)
    money = offer_terms(assignment.config)
    if assignment.config.value is not None and MARGIN in batch.schema.names:
        margin = pd.Series(batch[MARGIN].to_numpy(zero_copy_only=False), index=X.index)
        money["worth"] = worth_of(margin, assignment.config.value)
    with threadpool_limits(1):
        scores = score_rows(bundle, X, reasons=False, **money)
        _explain(assignment, bundle, X, scores)
    scores[DRIFT] = _drift(assignment, bundle, X, scores)
    columns = scored_schema(bundle.kind)
    return pa.RecordBatch.from_pandas(scores, schema=columns, preserve_index=False)


def _explain(assignment: Assignment, bundle: Bundle, X: pd.DataFrame, scores: pd.DataFrame) -> None:
    flagged = (scores["risk_band"] == "high").to_numpy()
    chosen = {"flagged": flagged, "all": flagged | True, "none": flagged & False}
    rows = chosen[assignment.reasons]
    if rows.any():
        scores.loc[rows, REASONS] = reasons_of(bundle, X[rows]).to_numpy()


def _drift(
    assignment: Assignment, bundle: Bundle, X: pd.DataFrame, scores: pd.DataFrame
) -> list[str | None]:
    baseline = baseline_of(bundle) if assignment.drift else None
    told: list[str | None] = [None] * len(X)
    if baseline is not None:
        drift = DriftCounts(baseline).add(X, risk_columns(scores, bundle.kind))
        told[0] = json.dumps(drift.to_state())
    return told


@contextmanager
def _telling_no_data() -> Iterator[None]:
    """Let no text of a foreign error into the cluster's logs: it may hold a customer's data."""
    try:
        yield
    except (CxPredictError, ImportError):
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ModelError(
            f"a worker failed: {type(error).__name__} at {place.name}:{place.lineno}"
        ) from None
