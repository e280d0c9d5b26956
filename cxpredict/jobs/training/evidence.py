"""The evidence on a model: metrics on untouched rows, base rates by date, notes, model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from cxpredict.config import ChurnSettings, Config, CustomerSplit
from cxpredict.drivers.explain import explain
from cxpredict.drivers.flags import unknown_names
from cxpredict.features.audit import LeakAudit
from cxpredict.features.origin import origins_of
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.monitoring.baseline import learn_baseline
from cxpredict.jobs.results import TrainedModel
from cxpredict.jobs.training.rows import Rows
from cxpredict.models.evaluation import (
    calibration_table,
    evaluate,
    evaluate_scores,
    interval_table,
)

FEW_CHURNERS = 500
EXPLAINED_ROWS = 2_000


def judge(
    bundle: Bundle,
    train_rows: Rows,
    test_rows: Rows,
    audit: LeakAudit,
    dropped: tuple[str, ...],
    accepted: dict[str, str],
    notes: tuple[str, ...],
    *,
    actionable: Sequence[str] = (),
) -> TrainedModel:
    """Evaluate and explain on the untouched rows, and write the model card."""
    found = bundle.risk(test_rows.X)
    risk = found["probability"]
    unknown = unknown_names(origins_of(test_rows.X), actionable)
    drivers = explain(
        bundle.model,
        test_rows.X,
        actionable=[name for name in actionable if name not in unknown],
        max_rows=EXPLAINED_ROWS,
    )
    metrics = _metrics(bundle, test_rows, risk)
    periods = pd.concat(
        [_periods("train", train_rows), _periods("test", test_rows)], ignore_index=True
    )
    notes = (*notes, _interval_note(test_rows, found), *_no_signal(metrics), *_no_lever(unknown))
    card = _card(train_rows, metrics, periods, audit, dropped, accepted, notes)
    train_X, test_risk = (
        _to_score(bundle, train_rows, train_rows.X),
        _to_score(bundle, test_rows, found),
    )
    baseline = learn_baseline(train_X, test_risk, trained=bundle.risk(train_X))
    return TrainedModel(
        bundle=replace(bundle, card=card, baseline=baseline),
        metrics=metrics,
        periods=periods,
        calibration=calibration_table(test_rows.outcome, risk, weights=test_rows.weights),
        outcome=test_rows.outcome,
        risk=risk,
        audit=audit,
        dropped=dropped,
        drivers=drivers,
        notes=notes,
        interval=found[["low", "high"]],
    )


def _to_score(bundle: Bundle, rows: Rows, table: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows whom a job would score: of a table without time, those who did not leave."""
    if bundle.kind == "churn" and bundle.problem.settings.label is not None:
        return table[rows.outcome.to_numpy() == 0]
    return table


def _interval_note(rows: Rows, found: pd.DataFrame) -> str:
    """Say how wide the intervals of single customers are, and what they are worth."""
    table = interval_table(
        rows.outcome, found["probability"], found[["low", "high"]], weights=rows.weights
    )
    return (
        f"The 95 % interval of one customer's probability is {table['width'].mean():.3f} wide on "
        f"average; it holds the observed rate in {table['covered'].sum()} of {len(table)} bins of "
        "equal size. It says how surely the rate at a score is known, not the score itself."
    )


def _no_signal(metrics: pd.DataFrame) -> tuple[str, ...]:
    """Say so when a model does not rank better than chance, or a constant predicts better."""
    table = metrics.set_index("metric")
    auc, skill = table.loc["roc_auc"], table.loc["log_loss_skill", "estimate"]
    if auc["low"] <= 0.5:
        return (
            f"Not better than the base rate: the ROC AUC of {auc['estimate']:.2f} cannot be told "
            "from 0.5. Do not act on this ranking.",
        )
    if skill <= 0.0:
        log_loss = table.loc["log_loss", "estimate"]
        return (
            f"Not better than the base rate: the log loss is {log_loss:.3f}, giving every customer "
            f"the rate that came about would cost {log_loss / (1.0 - skill):.3f}. Do not act on "
            "these probabilities.",
        )
    return ()


def _no_lever(unknown: list[str]) -> tuple[str, ...]:
    """Say which configured levers the model has no feature for."""
    if not unknown:
        return ()
    return (
        f"Set as actionable, but no feature of this model comes from it: {', '.join(unknown)}. "
        "Expected are features, columns, kinds, touchpoints or channels.",
    )


def notes_on(
    config: Config,
    train_rows: Rows,
    test_rows: Rows,
    audit: LeakAudit,
    dropped: tuple[str, ...],
) -> tuple[str, ...]:
    """Say what a reader must know to judge the figures."""
    notes = list(audit.notes)
    if isinstance(config.split, CustomerSplit):
        notes.append(
            "The table has no time: customers are split at random, so the figures say how well the "
            "model knows today's customers, not how it will do later. Most customers scored below "
            "were in training."
        )
    before, after = train_rows.rate, test_rows.rate
    standard_error = (before * (1 - before) / len(test_rows.outcome)) ** 0.5
    if abs(after - before) > 3 * standard_error:
        notes.append(
            f"The base rate moved from {before:.1%} in training to {after:.1%} in the test: the "
            "calibration error holds this shift."
        )
    outcome = train_rows.outcome
    if outcome.sum() < FEW_CHURNERS:
        notes.append(f"Only {outcome.sum():,.0f} of the rarer outcome in training: wide intervals.")
    if dropped:
        notes.append(f"The audit dropped features that know the answer: {', '.join(dropped)}.")
    accepted = {n: r for n, r in config.audit.accept.items() if n in audit.high}
    for name, reason in accepted.items():
        notes.append(f"Accepted although the audit calls it high: {name}, because {reason}.")
    return tuple(notes)


def _metrics(bundle: Bundle, rows: Rows, risk: pd.Series) -> pd.DataFrame:
    metrics = evaluate(rows.outcome, risk, weights=rows.weights)
    settings = bundle.problem.settings
    if isinstance(settings, ChurnSettings):
        return metrics
    scores = evaluate_scores(
        rows.y,
        bundle.model.predict_proba(rows.X),
        levels=settings.levels,
        weights=rows.weights,
    )
    return pd.concat([metrics, scores], ignore_index=True)


def _periods(part: str, rows: Rows) -> pd.DataFrame:
    """Count customers and (weighted) outcomes by date."""
    weight = pd.Series(1.0, rows.outcome.index) if rows.weights is None else rows.weights
    sums = pd.DataFrame({"weight": weight, "positive": weight * rows.outcome, "customers": 1})
    by_date = sums.groupby(level="as_of").sum().reset_index()
    by_date["rate"] = by_date["positive"] / by_date["weight"]
    return by_date.assign(part=part)[["part", "as_of", "customers", "rate"]]


def _card(
    rows: Rows,
    metrics: pd.DataFrame,
    periods: pd.DataFrame,
    audit: LeakAudit,
    dropped: tuple[str, ...],
    accepted: dict[str, str],
    notes: tuple[str, ...],
) -> dict[str, Any]:
    """Write down what a reviewer asks of a model, as plain values."""
    dates = {
        part: [str(day.date()) for day in periods.loc[periods["part"] == part, "as_of"]]
        for part in ("train", "test")
    }
    customers = rows.outcome.index.get_level_values("customer_id")
    return {
        "training rows": len(rows.outcome),
        "training customers": int(customers.nunique()),
        "training base rate": rows.rate,
        "training dates": dates["train"],
        "test dates": dates["test"],
        "features": list(rows.X.columns),
        "metrics": {
            row.metric: [
                None if pd.isna(v) else float(v) for v in (row.estimate, row.low, row.high)
            ]
            for row in metrics.itertuples()
        },
        "leaks dropped": list(dropped),
        "leaks accepted": accepted,
        "audit findings": len(audit.table),
        "notes": list(notes),
    }
