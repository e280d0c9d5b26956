"""What a worker of a cluster does: features of some customers in, rows of the scores table out."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
import pyarrow as pa

import cxpredict
from cxpredict.config.value import OfferSettings, ValueSettings
from cxpredict.errors import CxPredictError, ModelError
from cxpredict.features.build import typed_frame
from cxpredict.features.origin import Origin
from cxpredict.features.panes.rollup import KEYS
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.scoring.money import offer_of, value_of
from cxpredict.jobs.scoring.rows import score_rows
from cxpredict.jobs.scoring.table import schema

MARGIN = "_margin"
"""Column beside the features: what the customer brought per period; missing where unknown."""

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Assignment:
    """All that a worker needs to score features; it travels to each worker once.

    Attributes
    ----------
    files : tuple of (name, bytes)
        The bundle.
    version : str
        Its version in the registry.
    origins : mapping of str to Origin
        Where each feature comes from, in their order.
    value, offer : settings, optional
        As the configuration gives them.
    campaign : str
        Salt of the hold-out.
    library : str
        Version of cxpredict that the job was started with.
    """

    files: tuple[tuple[str, bytes], ...]
    version: str
    origins: Mapping[str, Origin]
    value: ValueSettings | None
    offer: OfferSettings | None
    campaign: str
    library: str = cxpredict.__version__


def scorer(shared: Any) -> Callable[[Batches], Batches]:
    """Make the function that Spark runs over the batches of a partition (`mapInArrow`).

    Parameters
    ----------
    shared : broadcast variable
        Its `value` is the `Assignment`.

    Returns
    -------
    callable
        Takes batches of `customer_id`, `as_of`, features and `MARGIN`; gives batches of scores.
    """

    def score_batches(batches: Batches) -> Batches:
        with _telling_no_data():
            assignment = shared.value
            _check_library(assignment)
            bundle = _load(assignment.files, assignment.version)
            for batch in batches:
                yield _score_batch(assignment, bundle, batch)

    return score_batches


def _check_library(assignment: Assignment) -> None:
    if assignment.library != cxpredict.__version__:
        raise ModelError(
            f"a worker has cxpredict {cxpredict.__version__}, the job was started with "
            f"{assignment.library}; install the same version everywhere"
        )


@lru_cache(maxsize=1)
def _load(files: tuple[tuple[str, bytes], ...], version: str) -> Bundle:
    """Parse the bundle once per worker; its tasks already take all cores, one thread each."""
    bundle = Bundle.of_files(dict(files), version=version)
    bundle.model.set_params(n_jobs=1)
    return bundle


def _score_batch(assignment: Assignment, bundle: Bundle, batch: pa.RecordBatch) -> pa.RecordBatch:
    from threadpoolctl import threadpool_limits

    table = pa.Table.from_batches([batch])
    index = pd.MultiIndex.from_frame(table.select(KEYS).to_pandas())
    X = typed_frame(table, assignment.origins, index)
    money: dict[str, Any] = {}
    if assignment.value is not None:
        margin = table[MARGIN].to_pandas().set_axis(index).astype("float64")
        money["worth"] = value_of(margin, assignment.value)
    if assignment.offer is not None:
        money["offer"] = offer_of(assignment.offer)
        money["holdout_share"] = assignment.offer.holdout_share
        money["salt"] = assignment.campaign
    with threadpool_limits(1):
        scores = score_rows(bundle, X, **money)
    return pa.RecordBatch.from_pandas(scores, schema=schema(bundle.kind), preserve_index=False)


@contextmanager
def _telling_no_data() -> Iterator[None]:
    """Let no text of a foreign error reach the logs of the cluster: it may hold a customer's data."""
    try:
        yield
    except (CxPredictError, ImportError):
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ModelError(
            f"a worker failed: {type(error).__name__} at {place.name}:{place.lineno}"
        ) from None
