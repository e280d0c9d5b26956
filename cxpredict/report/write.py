"""One self-contained page of a training run, published whole and attached to its MLflow runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cxpredict.jobs.publish import publishing
from cxpredict.jobs.registry.tracking import Store
from cxpredict.jobs.results import TrainedModel, TrainingRun
from cxpredict.report import business, evidence, reasons, wording
from cxpredict.report.experience import rox_view
from cxpredict.report.figures import Picture, experience_pictures, model_pictures
from cxpredict.report.pages import fill

SHOWN_CUSTOMERS = 20
SHOWN_DRIVERS = 5
SHOWN_IN_DETAIL = 40
FILE = "report.html"
ROX_FILE = "return-on-experience.html"


def write_report(run: TrainingRun) -> Path:
    """Write the report of a run as one HTML file and attach it to the run in MLflow.

    Parameters
    ----------
    run : TrainingRun
        What `cxpredict.train` gave.

    Returns
    -------
    Path
        ``report.html`` in the folder of the run: no external resource, no script, under 5 MB.

    Raises
    ------
    PublishError
        The folder cannot be written.

    Notes
    -----
    No clock enters the page: the same run gives the same bytes. The page holds ids of up to 20
    customers with their scores; keep it as you keep customers' data. `cxpredict.erase` takes a
    customer out of it.
    """
    pictures = {model.bundle.name: model_pictures(run, model) for model in run.models}
    experience = experience_pictures(run)
    pages = render(run, pictures, experience)
    with publishing(run.folder) as folder:
        for name, page in pages.items():
            (folder / name).write_text(page, encoding="utf-8")
    _attach(run, list(pages), pictures, experience)
    return run.folder / FILE


def render(
    run: TrainingRun,
    pictures: Mapping[str, Sequence[Picture]],
    experience_figures: Sequence[Picture],
) -> dict[str, str]:
    """Fill the templates; every text of the run is escaped. Pages by their file name."""
    view = None if run.config.rox is None else rox_view(run, experience_figures)
    shared = {
        "run": run,
        "config": run.config,
        "view": view,
        "evidence_words": wording.EVIDENCE,
    }
    pages = {
        FILE: fill("report.html", **shared | _report_view(run, pictures, experience_figures)),
    }
    if view is not None:
        pages[ROX_FILE] = fill("return_on_experience.html", **shared)
    return pages


def _report_view(
    run: TrainingRun,
    pictures: Mapping[str, Sequence[Picture]],
    experience_figures: Sequence[Picture],
) -> dict[str, Any]:
    """Collect what the report shows of the run as a whole."""
    tiles = business.tiles(run)
    return {
        "experience": run.experience,
        "until": business.data_until(run),
        "tiles": tiles,
        "columns": 3 if len(tiles) % 3 == 0 else 4,
        "actions": reasons.actions(run),
        "notes": _notes(run),
        "uplift": business.uplift_words(run),
        "models": [_model_view(run, model, pictures[model.bundle.name]) for model in run.models],
        "pictures": {picture.name: picture for picture in experience_figures},
        "quality": run.log.quality.to_dict("records"),
        "rules": run.log.rules.to_dict("records"),
        "nps_rows": evidence.nps_rows(run.experience),
        "touchpoints": evidence.touchpoint_rows(run.experience.touchpoints),
    }


def _model_view(
    run: TrainingRun, model: TrainedModel, pictures: Sequence[Picture]
) -> dict[str, Any]:
    """Collect what the templates show of one model."""
    words = wording.outcome_words(model.bundle.problem.settings)
    table = reasons.subjects(model.drivers, run.config.actionable)
    order, first = reasons.first_customers(model, SHOWN_CUSTOMERS)
    groups = {what: model.drivers.by(what) for what in ("touchpoint", "source", "channel")}
    return {
        "name": model.bundle.name,
        "kind": model.bundle.kind,
        "words": words,
        "facts": business.at_risk(model),
        "order": order,
        "customers": first.to_dict("records"),
        "offered": model.bundle.kind == "churn" and run.config.offer is not None,
        "subjects": table.head(SHOWN_DRIVERS).to_dict("records"),
        "rest": float(table["share"].iloc[SHOWN_DRIVERS:].sum()),
        "trust": business.trust(model, words),
        "measures": evidence.measures(model, words),
        "tested": len(model.outcome),
        "gate": evidence.gate_rows(model.gate),
        "passed": model.gate.passed,
        "alias": model.alias,
        "groups": {
            what: rows.rename(columns={what: "name"}).to_dict("records")
            for what, rows in groups.items()
            if len(rows) > 1
        },
        "drivers": [
            {**row, "measure": model.drivers.origins[row["feature"]].measure}
            for row in model.drivers.table.head(SHOWN_IN_DETAIL).to_dict("records")
        ],
        "n_features": len(model.drivers.table),
        "periods": model.periods.to_dict("records"),
        "bins": model.calibration.iloc[::-1].to_dict("records"),
        "findings": model.audit.table.to_dict("records"),
        "dropped": model.dropped,
        "card": evidence.model_card(model),
        "pictures": {picture.name: picture for picture in pictures},
    }


def _notes(run: TrainingRun) -> list[tuple[str, str]]:
    """List every note once, with the models it speaks of."""
    found: dict[str, list[str]] = {}
    for model in run.models:
        for note in model.notes:
            found.setdefault(note, []).append(model.bundle.name)
    for note in (*run.experience.notes, *run.experience.rox_notes):
        found.setdefault(note, []).append("NPS and ROX")
    return [(" and ".join(dict.fromkeys(about)), note) for note, about in found.items()]


def _attach(
    run: TrainingRun,
    pages: Sequence[str],
    pictures: Mapping[str, Sequence[Picture]],
    experience: Sequence[Picture],
) -> None:
    """Add report and figures to the runs in MLflow."""
    store = Store(run.config.path(run.config.artifacts))
    with store.writing(), TemporaryDirectory() as place:
        client = store.client
        for name in pages:
            client.log_artifact(run.run_id, str(run.folder / name))
        of_run = {model.run_id: pictures[model.bundle.name] for model in run.models}
        for run_id, figures in {run.run_id: experience, **of_run}.items():
            folder = Path(place) / run_id
            folder.mkdir()
            for picture in figures:
                (folder / f"{picture.name}.png").write_bytes(picture.png)
            client.log_artifacts(run_id, str(folder), "figures")
