"""Evaluation tables: what a version said of its test rows, without ids, to hold against others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxpredict.errors import ModelError
from cxpredict.jobs.registry.provenance import pseudonyms

if TYPE_CHECKING:
    from cxpredict.jobs.results import TrainedModel

FILE = "tables/evaluation.json"
TEST_ROWS = "test_rows"
"""Tag: digest of the rows of the evaluation table, but for what the model says of them."""


@dataclass(frozen=True)
class Evaluation:
    """The test rows of one model.

    Attributes
    ----------
    table : DataFrame
        row, as_of, outcome, probability, low, high; weight and gain where there are any, and
        customer, a number too, where customers have several rows.
    digest : str
        The same for the same rows with the same outcomes, whatever was predicted.
    """

    table: pd.DataFrame
    digest: str


def evaluation_of(trained: TrainedModel, weights: pd.Series | None, salt: bytes) -> Evaluation:
    """Write down outcome and prediction of every test row.

    Parameters
    ----------
    trained : TrainedModel
        With risk, interval and outcome of the test rows.
    weights : Series or None
        Sampling weights of the rows.
    salt : bytes
        Secret of the store.

    Returns
    -------
    Evaluation
        In the order of keyed hashes of (customer, date): a row's number says nothing of who it
        is to anyone who does not hold the salt, and two models on the same rows number them alike.
        Customers are numbered alike too, for intervals draw customers, not rows.
    """
    index = trained.outcome.index
    keys = pseudonyms(salt, (f"{customer}\x1f{as_of}" for customer, as_of in index))
    customers = pseudonyms(salt, index.get_level_values("customer_id"))
    columns: dict[str, Any] = {
        "as_of": index.get_level_values("as_of").astype("str"),
        "outcome": trained.outcome.to_numpy(),
        "probability": trained.risk.to_numpy(),
        "low": trained.interval["low"].to_numpy(),
        "high": trained.interval["high"].to_numpy(),
    }
    if len(set(customers)) < len(customers):
        columns["customer"] = np.unique(customers, return_inverse=True)[1]
    if weights is not None:
        columns["weight"] = weights.to_numpy()
    if trained.gain is not None:
        columns["gain"] = trained.gain.to_numpy()
    table = pd.DataFrame(columns).iloc[np.argsort(keys, kind="stable")].reset_index(drop=True)
    table.insert(0, "row", np.arange(len(table)))
    fixed = [name for name in ("as_of", "outcome", "weight") if name in table]
    content = "".join(sorted(keys)) + table[fixed].to_csv(index=False)
    return Evaluation(table, sha256(content.encode()).hexdigest()[:32])


def read_evaluation(client: Any, version: Any) -> Evaluation | None:
    """Read what was logged for a registered version; None where nothing was."""
    from mlflow.exceptions import MlflowException

    try:
        digest = client.get_run(version.run_id).data.tags[TEST_ROWS]
        content = json.loads(Path(client.download_artifacts(version.run_id, FILE)).read_text())
    except (MlflowException, OSError, KeyError):
        return None
    except ValueError as error:
        raise ModelError(f"version {version.version}: {FILE} is damaged; train again") from error
    return Evaluation(pd.DataFrame(content["data"], columns=content["columns"]), digest)
