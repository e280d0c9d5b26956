"""What a run leaves in MLflow for a reviewer: settings, data sets, metrics, tables, words."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from cxpredict.jobs.registry.evaluations import TEST_ROWS, Evaluation
from cxpredict.jobs.registry.provenance import code_sha256

if TYPE_CHECKING:
    from cxpredict.config import Config
    from cxpredict.data.log import CustomerLog
    from cxpredict.jobs.bundle import Bundle
    from cxpredict.jobs.results import Experience, TrainedModel
    from cxpredict.jobs.training.gate import GateDecision

_LONGEST_TAG = 4_000
_MARKDOWN = re.compile(r"[\\`*\[\]~|]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown reads as more than a letter, inside a line; a _ within a word is none."""
HEADLINES = ("roc_auc", "log_loss", "ece")
GATE_CHAMPION = "gate.champion"
"""Tag: version of the champion that the gate held the model against, or ``none``."""
CUSTOMERS = "training_customers.json"


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


def log_model(
    model: TrainedModel, parts: Mapping[str, tuple[pd.DataFrame, pd.Series]], evaluation: Evaluation
) -> None:
    """Log settings, data sets, metrics and tables of one model to its own run."""
    import mlflow

    settings = model.bundle.problem.settings.model_dump(exclude_none=True)
    mlflow.log_params({**settings, "features": len(model.bundle.model.feature_names_in_)})
    mlflow.set_tags({**model_tags(model), "mlflow.note.content": describe(model)})
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
            "evaluation": evaluation.table,
        }
    )
    mlflow.set_tag(TEST_ROWS, evaluation.digest)
    mlflow.log_dict(model.bundle.card, "model_card.json")


def log_customers(pseudonyms: Mapping[str, object]) -> None:
    """Log whom the model was trained with, as pseudonyms: what an erasure asks."""
    import mlflow

    mlflow.log_text(json.dumps(pseudonyms), CUSTOMERS)


def run_tags(key: str) -> dict[str, str]:
    """Give the tags that say what made a run."""
    from cxpredict import __version__

    return {"run_key": key, "cxpredict.version": __version__, "cxpredict.code": code_sha256()}


def model_tags(model: TrainedModel) -> dict[str, str]:
    """Give the tags that say what a model is and what the gate said of it."""
    settings = model.bundle.problem.settings.model_dump_json(exclude_none=True)
    return {
        "kind": model.bundle.kind,
        "problem": settings[:_LONGEST_TAG],
        **gate_tags(model.gate),
        GATE_CHAMPION: model.judged_against or "none",
    }


def gate_tags(gate: GateDecision) -> dict[str, str]:
    """Give the tags that record a decision of the gate."""
    reason = "; ".join(gate.refusals)[:_LONGEST_TAG]
    return {"gate": "passed" if gate.passed else "refused", "gate.reason": reason}


def describe(model: TrainedModel) -> str:
    """Say in Markdown what a model predicts, how good it is and what to know of it."""
    table = model.metrics.set_index("metric")
    figures = [
        f"- {name}: {row.estimate:.3f} (95 % interval {row.low:.3f} to {row.high:.3f})"
        for name, row in table.loc[list(HEADLINES)].iterrows()
    ]
    lines = [f"**{model.bundle.name}**: {_code(model.bundle.problem)}", *figures]
    notes = (f"- {as_markdown(note)}" for note in model.notes)
    return "\n".join([*lines, *notes, "- see report.html"])


def describe_name(bundle: Bundle) -> str:
    """Say in Markdown what all versions of a name predict and what their aliases mean."""
    aliases = {
        "champion": "is the one to score with",
        "challenger": "passed the promotion gate and waits to be promoted",
        "archived": "was champion before",
        "refused": "did not pass the gate",
    }
    lines = [f"- `@{name}` {meaning}" for name, meaning in aliases.items()]
    return "\n".join([f"Risk of {_code(bundle.problem)}.", "", *lines])


def as_markdown(text: str) -> str:
    r"""Write a text, which may hold names from the data, so that Markdown shows it as it is.

    Examples
    --------
    >>> as_markdown("<b> or [x](y), but not calls_30d")
    '&lt;b&gt; or \\[x\\](y), but not calls_30d'
    """
    return _MARKDOWN.sub(r"\\\g<0>", html.escape(" ".join(text.split()), quote=False))


def _code(problem: object) -> str:
    """Write a problem as code, which no backtick of its names ends."""
    return "`{}`".format(repr(problem).replace("`", "'"))


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
