"""Experiments in MLflow: a local SQLite store under the artifacts folder."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from pydantic import BaseModel

    from cxpredict.config import Config
    from cxpredict.data.log import CustomerLog
    from cxpredict.jobs.results import Experience, TrainedModel

_QUIET = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


@dataclass(frozen=True)
class Store:
    """Where experiments, models and their files live.

    Attributes
    ----------
    folder : Path
        The artifacts folder of the configuration.
    """

    folder: Path

    @property
    def uri(self) -> str:
        """Tracking URI of the store."""
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def client(self) -> Any:
        """MLflow's client of the store."""
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def experiment(self, name: str) -> str:
        """Return the id of an experiment, made if there is none."""
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        # several processes that create one SQLite store at once leave it broken for good
        with quiet(), FileLock(self.folder / ".mlflow.lock"):
            found = self.client.get_experiment_by_name(name)
            if found is not None:
                return str(found.experiment_id)
            files = (self.folder / "mlflow").resolve().as_uri()
            return str(self.client.create_experiment(name, artifact_location=files))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's own talk, warnings and progress bars off the terminal."""
    before = {key: os.environ.get(key) for key in _QUIET}
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    os.environ.update(_QUIET)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.update({key: value})
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def tracked(store: Store, experiment: str, *, nested: bool = False, **run: Any) -> Iterator[str]:
    """Open an MLflow run and give its id; a run that fails is closed as FAILED."""
    import mlflow

    experiment_id = store.experiment(experiment)
    with quiet():
        mlflow.set_tracking_uri(store.uri)
        mlflow.set_registry_uri(store.uri)
        with mlflow.start_run(experiment_id=experiment_id, nested=nested, **run) as active:
            yield active.info.run_id


def log_run(config: Config, log: CustomerLog) -> None:
    """Log what was asked and what the records were like."""
    import mlflow

    mlflow.set_tags({"cxpredict.config": config.name})
    mlflow.log_dict(config.model_dump(mode="json"), "config.json")
    mlflow.log_params({"random_state": config.random_state, **_flat("split", config.split)})
    _tables({"data quality": log.quality, "rejected rows": log.rules})


def log_experience(experience: Experience) -> None:
    """Log NPS and ROX."""
    import mlflow

    if experience.nps is not None:
        table = experience.nps.rename_axis("group").reset_index()
        _tables({"nps": table})
        everyone = experience.nps.loc[["all"]].assign(metric="nps")
        _metrics(everyone[["metric", "estimate", "low", "high"]])
    if experience.rox is not None:
        mlflow.log_metrics({"rox_gross": experience.rox.gross, "rox_net": experience.rox.net})
        _tables({"rox terms": experience.rox.terms})
    if experience.economics is not None:
        _tables({"economics by nps group": experience.economics})


def log_model(model: TrainedModel, X: pd.DataFrame, y: pd.Series) -> None:
    """Log settings, data set, metrics and tables of one model."""
    import mlflow

    settings = model.bundle.problem.settings.model_dump(exclude_none=True)
    mlflow.log_params({**settings, "features": X.shape[1], "training_rows": len(X)})
    mlflow.set_tag("mlflow.note.content", "\n\n".join(model.notes))
    _dataset(X, y, context="training")
    _metrics(model.metrics)
    _tables(
        {
            "metrics": model.metrics,
            "periods": model.periods.astype({"as_of": "str"}),
            "calibration": model.calibration,
            "leak audit": model.audit.table,
            "drivers": model.drivers.table,
        }
    )
    mlflow.log_dict(model.bundle.card, "model_card.json")


def _flat(name: str, settings: BaseModel) -> dict[str, Any]:
    return {f"{name}.{key}": value for key, value in settings.model_dump().items()}


def _metrics(metrics: pd.DataFrame, *, prefix: str = "") -> None:
    """Log a table of metric, estimate, low, high to the active run as three metrics each."""
    import mlflow

    values = {}
    for row in metrics.itertuples():
        for suffix, value in (("", row.estimate), ("_low", row.low), ("_high", row.high)):
            if pd.notna(value):
                values[f"{prefix}{row.metric}{suffix}"] = float(value)
    mlflow.log_metrics(values)


def _tables(tables: Mapping[str, pd.DataFrame]) -> None:
    """Log tables to the active run as JSON that the MLflow page shows."""
    import mlflow

    for name, table in tables.items():
        mlflow.log_table(table.reset_index(drop=True).astype("object"), f"tables/{name}.json")


def _dataset(X: pd.DataFrame, y: pd.Series, *, context: str) -> None:
    """Log what a model was trained or tested on: columns, counts and digest, never the rows."""
    import mlflow

    numbers = X.apply(lambda column: column.cat.codes if column.dtype == "category" else column)
    frame = numbers.astype("float64").assign(label=y.to_numpy())
    dataset = mlflow.data.from_pandas(
        frame.reset_index(drop=True), targets="label", name=f"{context} rows"
    )
    mlflow.log_input(dataset, context=context)
