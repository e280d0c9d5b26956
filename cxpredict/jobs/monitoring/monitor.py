"""The job that looks after a model in use: what it realised, and what to expect until then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cxpredict.config import ChurnSettings, Config, SatisfactionSettings, load_config
from cxpredict.config.reading import nearest
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError, PerformanceError
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.monitoring.baseline import baseline_of
from cxpredict.jobs.monitoring.cohorts import Cohort, cohorts, read_scores
from cxpredict.jobs.monitoring.drift import score_drift
from cxpredict.jobs.monitoring.estimated import estimated
from cxpredict.jobs.monitoring.notes import notes_on
from cxpredict.jobs.monitoring.realised import realised, realised_segments
from cxpredict.jobs.monitoring.runs import log_monitoring
from cxpredict.jobs.monitoring.verdicts import reference_verdicts
from cxpredict.jobs.records import open_records
from cxpredict.jobs.registry.tracking import Store
from cxpredict.jobs.registry.versions import load_bundle
from cxpredict.jobs.scoring.money import value_if_kept
from cxpredict.jobs.training.promotion import segments_of

__all__ = ["Monitoring", "monitor"]

ASSUMES = "estimated, assumes calibration holds"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Monitoring:
    """How a model in use does.

    Attributes
    ----------
    name, version, kind : str
        The model; kind is churn or satisfaction.
    settings : ChurnSettings or SatisfactionSettings
        What it predicts.
    cohorts : DataFrame
        One row per scored date: as_of, mature (its label window is over), customers, known,
        unknown (left before the window opened, gave no answer), gone (not in the records any
        more), treated, held_out, predicted_rate, observed_rate, score_psi, score_status.
    performance : DataFrame
        as_of, evidence (``measured``, or ``estimated, assumes calibration holds``), rows,
        customers, metric, estimate, low, high.
    segments : DataFrame
        as_of, by, segment, customers, metric, estimate, low, high; measured.
    verdicts : DataFrame
        As from `reference_verdicts`.
    tested : dict
        The metrics of the test: estimate, low, high.
    currency : str
        Of mean_gain; empty where no offer is configured.
    notes : tuple of str
        What a reader must know to judge the figures.
    run_id, tracking_uri : str
        The MLflow run.
    folder : Path
        Where the page goes.
    """

    name: str
    version: str
    kind: str
    settings: ChurnSettings | SatisfactionSettings
    cohorts: pd.DataFrame
    performance: pd.DataFrame
    segments: pd.DataFrame
    verdicts: pd.DataFrame
    tested: dict[str, Any]
    currency: str
    notes: tuple[str, ...]
    run_id: str
    tracking_uri: str
    folder: Path

    @property
    def alerts(self) -> pd.DataFrame:
        """The verdicts ``worse``."""
        return self.verdicts[self.verdicts["verdict"] == "worse"]

    def content(self) -> dict[str, Any]:
        """Give all tables as plain JSON values, what is missing as null."""
        tables = ("cohorts", "performance", "segments", "verdicts")
        return {
            "model": f"{self.name}/{self.version}",
            "alerts": len(self.alerts),
            **{name: _records(getattr(self, name)) for name in tables},
            "tested": self.tested,
            "currency": self.currency,
            "notes": list(self.notes),
        }

    def raise_if_outside(self) -> None:
        """Raise if a cohort did worse than the reference band.

        Raises
        ------
        PerformanceError
            Names up to five cohorts and metrics.
        """
        alerts = self.alerts
        if not len(alerts):
            return
        shown = [
            f"{row.as_of.date()} {row.metric} {row.estimate:.3f} (interval {row.low:.3f} to "
            f"{row.high:.3f}, band {row.band_low:.3f} to {row.band_high:.3f})"
            for row in alerts.head(5).itertuples()
        ]
        more = f" and {len(alerts) - 5} more" if len(alerts) > 5 else ""
        raise PerformanceError(
            f"{self.name}/{self.version} does worse than in its test: {'; '.join(shown)}{more}. "
            "Train again on newer records, or correct the base rate if only the intercept moved."
        )


def monitor(
    config: str | Path | Config,
    *,
    model: str | Path,
    scores: str | Path | Sequence[str | Path] | None = None,
    digest: str | None = None,
    key: str | Path | None = None,
    progress: Progress | None = None,
) -> Monitoring:
    """Measure how a model does on the customers it scored, once their outcome is known.

    Parameters
    ----------
    config : str, Path or Config
        The run; its records of today tell the outcomes, its section `monitor` the limits.
    model : str or Path
        ``models:/name@champion``, ``models:/name/version`` or a bundle folder.
    scores : str, Path or sequence of them, optional
        Folders that `cxpredict.score` published, or one that holds them; by default
        ``scores/<model>`` among the artifacts.
    digest, key : str, optional
        What vouches for a bundle folder, as in `load_bundle`; one of both is needed for one.
    progress : callable, optional
        Gets a short text before each long step.

    Returns
    -------
    Monitoring
        With a table per question. `raise_if_outside` makes an alert an error.

    Raises
    ------
    ConfigError, DataError, ModelError
        As their names say; or no scores are of this version of the model.

    Notes
    -----
    Measured: AUC, average precision, log loss, Brier score, calibration and profit of each date
    whose label window is over in the records, as in `realised`; judged against the test as in
    `reference_verdicts`. Estimated: for every date, as in `estimated`; never judged.
    """
    config = config if isinstance(config, Config) else load_config(config)
    say = progress or (lambda _: None)
    say("opening and checking the records")
    bundle = load_bundle(model, digest=digest, key=key, artifacts=config.path(config.artifacts))
    log = open_records(config)
    segments = _segment_names(config, log)
    found, other = _scores_of(bundle, _places(config, bundle, scores))
    parts = []
    for cohort in cohorts(found, bundle, log):
        say(f"{cohort.as_of.date()}: {len(cohort.known):,} of {len(cohort.risk):,} outcomes known")
        parts.append(_Part.of(cohort, bundle, log, config, segments))
    performance = _stacked([part.performance for part in parts])
    tested = dict(bundle.card.get("metrics", {}))
    verdicts = reference_verdicts(performance, tested, level=config.monitor.level)
    store = Store(config.path(config.artifacts))
    run_id = log_monitoring(store, config, bundle, performance, verdicts)
    return Monitoring(
        name=bundle.name,
        version=bundle.version,
        kind=bundle.kind,
        settings=bundle.problem.settings,
        cohorts=pd.DataFrame([part.facts for part in parts]),
        performance=performance,
        segments=_stacked([part.segments for part in parts]),
        verdicts=verdicts,
        tested=tested,
        currency=config.value.currency if config.value and config.offer else "",
        notes=tuple(notes_on(bundle, [part.cohort for part in parts], other)),
        run_id=run_id,
        tracking_uri=store.uri,
        folder=store.folder / "monitor" / bundle.name,
    )


def _places(
    config: Config, bundle: Bundle, scores: str | Path | Sequence[str | Path] | None
) -> list[Path]:
    if scores is None:
        return [config.path(config.artifacts) / "scores" / bundle.name]
    given = [scores] if isinstance(scores, str | Path) else scores
    if not len(given):
        raise DataError("scores: expected one folder or more, found none")
    return [Path(place) for place in given]


def _scores_of(bundle: Bundle, places: Sequence[Path]) -> tuple[pd.DataFrame, int]:
    """Read the scores this version of the model made; count the dates that others did."""
    scores = read_scores(places, bundle.kind)
    own = scores["model_version"] == f"{bundle.name}/{bundle.version}"
    if not own.any():
        raise DataError(
            f"scores: none of {len(scores):,} is of {bundle.name}/{bundle.version}; give the "
            "version that made them, models:/name/version"
            if len(scores)
            else "scores: expected customers, found none; score a date with customers"
        )
    return scores[own], int(scores.loc[~own, "as_of"].nunique())


@dataclass(frozen=True)
class _Part:
    """What is said of one cohort."""

    cohort: Cohort
    facts: dict[str, Any]
    performance: pd.DataFrame
    segments: pd.DataFrame

    @classmethod
    def of(
        cls,
        cohort: Cohort,
        bundle: Bundle,
        log: CustomerLog,
        config: Config,
        names: Sequence[str],
    ) -> _Part:
        """Measure what is known of a cohort and estimate the rest."""
        if not len(cohort.risk):
            return cls(cohort, cohort.facts(), pd.DataFrame(), pd.DataFrame())
        money: dict[str, Any] = {}
        if bundle.kind == "churn" and config.value is not None and config.offer is not None:
            worth = value_if_kept(log, cohort.risk.index, config.value)
            money = {"worth": worth, "offer": config.offer}
        tested = bundle.card.get("metrics", {})
        expected = estimated(cohort.risk, tested, **money, random_state=config.random_state)
        expected = expected.assign(evidence=ASSUMES, rows="everyone", customers=len(cohort.risk))
        measured = realised(cohort, **money).assign(evidence="measured")
        divided = segments_of(names, pd.DataFrame(index=cohort.risk.index), log)
        segments = pd.DataFrame() if divided is None else realised_segments(cohort, divided)
        facts = cohort.facts() | score_drift(
            baseline_of(bundle), cohort.risk, max_psi=config.monitor.max_psi
        )
        both = _stacked([measured, expected])
        columns = ["as_of", "evidence", "rows", "customers", "metric", "estimate", "low", "high"]
        return cls(
            cohort,
            facts,
            both.assign(as_of=cohort.as_of)[columns],
            segments.assign(as_of=cohort.as_of) if len(segments) else segments,
        )


def _stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()


def _segment_names(config: Config, log: CustomerLog) -> list[str]:
    """Give the attributes whose values are shown apart."""
    known = list(log.customers.columns)
    for name in config.monitor.segments:
        if name not in known:
            raise ConfigError(
                f"monitor.segments: customers have no attribute {name!r}{nearest(name, known)}"
            )
    return config.monitor.segments or [name for name in config.gate.segments if name in known]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.assign(as_of=[str(day.date()) for day in table["as_of"]]) if len(table) else table
    plain = plain.astype("object")
    found: list[dict[str, Any]] = plain.where(plain.notna(), None).to_dict("records")
    return found
