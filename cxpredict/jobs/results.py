"""What a training run found: everything a report or a reviewer asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cxpredict.config import Config
from cxpredict.data.log import CustomerLog
from cxpredict.drivers.contributions import Drivers
from cxpredict.features.audit import LeakAudit
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.training.gate import GateDecision
from cxpredict.value.nps.everyone import NpsOfEveryone
from cxpredict.value.nps.response import ResponseWeights
from cxpredict.value.rox.estimate import RoxEstimate


@dataclass(frozen=True)
class TrainedModel:
    """One model of a run with its evidence.

    Attributes
    ----------
    bundle : Bundle
        The model, as registered.
    metrics : DataFrame
        metric, estimate, low, high on the untouched test rows.
    periods : DataFrame
        part (train, test), as_of, customers, rate: share of churners (or low scores) by date.
    calibration : DataFrame
        What `calibration_table` gives for the test rows.
    outcome : Series
        1 for churn or a low score, 0 else, on the test rows.
    risk : Series
        Predicted probability of the test rows.
    audit : LeakAudit
        Findings on the training rows, before leaks were dropped.
    dropped : tuple of str
        Features dropped because the audit called them high.
    drivers : Drivers
        SHAP contributions on test rows.
    notes : tuple of str
        What a reader must know to judge the figures.
    gate : GateDecision
        Whether the version may be promoted, and why.
    alias : str
        Alias in the registry: champion, challenger or refused.
    run_id : str
        Its MLflow run, nested in the run of the configuration.
    at_risk : DataFrame
        Scores of the customers active at the end of the log, highest risk first.
    interval : DataFrame
        Columns low, high: the 95 % interval of `risk`.
    gain : Series or None
        Money that each test row would have brought, where costs are configured.
    judged_against : str
        Version of the champion that the gate held the model against; empty if there was none.
    """

    bundle: Bundle
    metrics: pd.DataFrame
    periods: pd.DataFrame
    calibration: pd.DataFrame
    outcome: pd.Series
    risk: pd.Series
    audit: LeakAudit
    dropped: tuple[str, ...]
    drivers: Drivers
    notes: tuple[str, ...]
    gate: GateDecision = field(default_factory=lambda: GateDecision(()))
    alias: str = ""
    run_id: str = ""
    at_risk: pd.DataFrame = field(default_factory=pd.DataFrame)
    interval: pd.DataFrame = field(default_factory=pd.DataFrame)
    gain: pd.Series | None = None
    judged_against: str = ""


@dataclass(frozen=True)
class Experience:
    """What surveys say of all customers, and what moving them is worth.

    Attributes
    ----------
    nps : DataFrame or None
        One row ``all`` and one per segment, as `cxpredict.nps` gives.
    unweighted : DataFrame or None
        The same without non-response weights, one row.
    weighting : ResponseWeights or None
        Weights and balance, if the weighting is on.
    invited : int
        Invitations in the window.
    rox : RoxEstimate or None
        The return on the configured improvement.
    rox_notes : tuple of str
        Why there is no return, or no worth of NPS groups.
    economics : DataFrame or None
        Retention and margin by NPS group, unadjusted and adjusted.
    everyone : NpsOfEveryone or None
        The NPS of everyone invited, the silent included, if it is asked for.
    touchpoints : DataFrame or None
        As `touchpoint_table` gives, if stages are configured.
    notes : tuple of str
        What is missing or must be known.
    """

    nps: pd.DataFrame | None = None
    unweighted: pd.DataFrame | None = None
    weighting: ResponseWeights | None = None
    invited: int = 0
    rox: RoxEstimate | None = None
    rox_notes: tuple[str, ...] = ()
    economics: pd.DataFrame | None = None
    everyone: NpsOfEveryone | None = None
    touchpoints: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainingRun:
    """Everything a run found.

    Attributes
    ----------
    config : Config
        What was asked.
    log : CustomerLog
        The checked records.
    models : tuple of TrainedModel
        Churn first, then satisfaction, as configured.
    experience : Experience
        NPS and ROX.
    run_id : str
        MLflow run of the whole.
    folder : Path
        Where the report of this run goes.
    tracking_uri : str
        The MLflow store.
    """

    config: Config
    log: CustomerLog
    models: tuple[TrainedModel, ...]
    experience: Experience
    run_id: str
    folder: Path
    tracking_uri: str

    def table(self) -> pd.DataFrame:
        """Return the metrics of all models: model, metric, estimate, low, high."""
        return pd.concat(
            [m.metrics.assign(model=m.bundle.name) for m in self.models], ignore_index=True
        )[["model", "metric", "estimate", "low", "high"]]

    def summary(self) -> dict[str, Any]:
        """Return names, versions and aliases of what was registered."""
        return {m.bundle.name: f"version {m.bundle.version} ({m.alias})" for m in self.models}
