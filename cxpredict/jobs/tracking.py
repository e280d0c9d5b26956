"""Experiments in MLflow: a local SQLite store under the artifacts folder."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from cxpredict.config import Config
    from cxpredict.data.log import CustomerLog
    from cxpredict.jobs.gate import GateDecision
    from cxpredict.jobs.results import Experience, TrainedModel

_LONGEST_TAG = 4_000
HEADLINES = ("roc_auc", "log_loss", "ece")
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

    mlflow.log_dict(config.model_dump(mode="json"), "config.json")
    split = config.split.model_dump(exclude_none=True)
    mlflow.log_params({f"split.{key}": value for key, value in split.items()})
    mlflow.log_param("random_state", config.random_state)
    _tables({"data quality": log.quality, "rejected rows": log.rules})


def log_outcome(models: Sequence[TrainedModel], experience: Experience) -> None:
    """Log to the run of the configuration what a reviewer looks for first."""
    import mlflow

    for model in models:
        headline = model.metrics[model.metrics["metric"].isin(HEADLINES)]
        _metrics(headline, prefix=f"{model.bundle.kind}_")
    if experience.nps is not None:
        _metrics(experience.nps.iloc[[0]].assign(metric="nps"))
        _tables({"nps": experience.nps.rename_axis("group").reset_index()})
    if experience.rox is not None:
        rox = experience.rox
        low, high = rox.interval or (None, None)
        net = pd.DataFrame([{"metric": "rox_net", "estimate": rox.net, "low": low, "high": high}])
        _metrics(net)
        mlflow.log_metric("rox_gross", rox.gross)
        _tables({"rox terms": rox.terms})
    if experience.economics is not None:
        _tables({"economics by nps group": experience.economics})
    mlflow.set_tag("mlflow.note.content", "\n\n".join(describe(model) for model in models))


def log_model(model: TrainedModel, parts: Mapping[str, tuple[pd.DataFrame, pd.Series]]) -> None:
    """Log settings, data sets, metrics and tables of one model."""
    import mlflow

    settings = model.bundle.problem.settings.model_dump(exclude_none=True)
    mlflow.log_params({**settings, "features": len(model.bundle.model.feature_names_in_)})
    tags = {"kind": model.bundle.kind, "mlflow.note.content": describe(model)}
    mlflow.set_tags({**tags, **gate_tags(model.gate)})
    for context, (X, y) in parts.items():
        _dataset(X, y, context=context)
    _metrics(model.metrics)
    _tables(
        {
            "metrics": model.metrics,
            "periods": model.periods.astype({"as_of": "str"}),
            "calibration": model.calibration,
            "leak audit": model.audit.table,
            "promotion gate": model.gate.table(),
            "drivers": model.drivers.table,
        }
    )
    mlflow.log_dict(model.bundle.card, "model_card.json")


def gate_tags(gate: GateDecision) -> dict[str, str]:
    """Give the tags that record a decision of the gate."""
    reason = "; ".join(gate.refusals)[:_LONGEST_TAG]
    return {"gate": "passed"} if gate.passed else {"gate": "refused", "gate.reason": reason}


def describe(model: TrainedModel) -> str:
    """Say in Markdown what a model predicts, how good it is and what to know of it."""
    table = model.metrics.set_index("metric")
    figures = [
        f"- {name}: {row.estimate:.3f} (95 % interval {row.low:.3f} to {row.high:.3f})"
        for name, row in table.loc[list(HEADLINES)].iterrows()
    ]
    lines = [f"**{model.bundle.name}**: `{model.bundle.problem!r}`", *figures]
    return "\n".join([*lines, *(f"- {note}" for note in model.notes), "- see report.html"])


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
