"""The main job: from a configuration to registered models and their evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from cxpredict.config import Config, CustomerSplit, load_config
from cxpredict.data.log import CustomerLog
from cxpredict.drivers.contributions import explain
from cxpredict.errors import DataError
from cxpredict.features.aggregates import default_aggregates
from cxpredict.features.audit import LeakAudit, audit_leakage
from cxpredict.features.build import build_features
from cxpredict.features.problem import ChurnProblem, SatisfactionProblem
from cxpredict.jobs.bundle import Bundle, Problem
from cxpredict.jobs.experience import measure_experience
from cxpredict.jobs.registry import register
from cxpredict.jobs.results import TrainedModel, TrainingRun
from cxpredict.jobs.score import score_customers
from cxpredict.jobs.tracking import Store, log_experience, log_model, log_run, tracked
from cxpredict.models.churn import ChurnModel
from cxpredict.models.evaluation import calibration_table, evaluate, evaluate_scores
from cxpredict.models.satisfaction import SatisfactionModel

FEWEST_ROWS = 500
FEWEST_CHURNERS = 100
FEW_CHURNERS = 500
EXPLAINED_ROWS = 2_000

Progress = Callable[[str], None]


def train(config: str | Path | Config, *, progress: Progress | None = None) -> TrainingRun:
    """Run the main job: check, build, split, audit, fit, evaluate, explain, value, register.

    Parameters
    ----------
    config : str, Path or Config
        The run.
    progress : callable, optional
        Gets a short text before each long step.

    Returns
    -------
    TrainingRun
        With one registered model per problem: alias ``champion`` if the name has none yet,
        else ``challenger``.

    Raises
    ------
    ConfigError, DataError, LeakageError, ModelError
        As their names say. The MLflow run is closed as FAILED and nothing is registered under
        the problem that failed.
    """
    config = config if isinstance(config, Config) else load_config(config)
    say = progress or (lambda _: None)
    store = Store(config.path(config.artifacts))
    say("opening and checking the records")
    log = CustomerLog.open(config)
    with tracked(store, config.name, run_name=config.name) as run_id:
        log_run(config, log)
        problems = _problems(config)
        models = [_train_one(config, store, log, name, p, say) for name, p in problems.items()]
        say("measuring NPS and the return on experience")
        experience = measure_experience(config, log)
        log_experience(experience)
    folder = store.folder / "reports" / run_id
    return TrainingRun(config, log, tuple(models), experience, run_id, folder, store.uri)


def _problems(config: Config) -> dict[str, Problem]:
    problems: dict[str, Problem] = {}
    if config.problems.churn is not None:
        problems["churn"] = ChurnProblem(**config.problems.churn.model_dump())
    if config.problems.satisfaction is not None:
        problems["satisfaction"] = SatisfactionProblem(**config.problems.satisfaction.model_dump())
    return problems


def _train_one(
    config: Config, store: Store, log: CustomerLog, name: str, problem: Problem, say: Progress
) -> TrainedModel:
    title = f"{config.name}-{name}"
    say(f"{title}: building point-in-time features and labels")
    train_index, test_index = _split(config, log, problem)
    y, y_test = problem.labels(log, train_index), problem.labels(log, test_index)
    outcome, outcome_test = _outcome(problem, y), _outcome(problem, y_test)
    _check_size(title, outcome)
    aggregates = default_aggregates(
        log,
        until=train_index.get_level_values("as_of").max(),
        windows_days=config.features.windows_days,
    )
    exclude = (*problem.label_columns, *config.features.exclude)
    X = build_features(log, train_index, aggregates=aggregates, exclude=exclude)
    X_test = build_features(log, test_index, aggregates=aggregates, exclude=exclude)

    say(f"{title}: auditing {X.shape[1]} features for leaks")
    audit = audit_leakage(
        X, outcome, X_test=X_test, y_test=outcome_test, random_state=config.random_state
    )
    dropped = _dropped(config, audit)
    X, X_test = _without(X, dropped), _without(X_test, dropped)

    say(f"{title}: fitting on {len(X):,} rows")
    weight, weight_test = (_weights(log, i) for i in (train_index, test_index))
    model = _model(config, problem).fit(X, y, sample_weight=weight)
    say(f"{title}: evaluating on {len(X_test):,} later rows")
    bundle = Bundle(
        name=title,
        problem=problem,
        model=model,
        aggregates=tuple(a for a in aggregates if a.name not in dropped),
        exclude=(*exclude, *dropped),
        bands=config.bands,
        card={},
    )
    risk = bundle.risk(X_test)["probability"]
    metrics = _metrics(bundle, X_test, y_test, outcome_test, risk, weight_test)
    periods = pd.concat(
        [_periods("train", outcome), _periods("test", outcome_test)], ignore_index=True
    )
    say(f"{title}: explaining with SHAP")
    notes = _notes(config, outcome, outcome_test, audit, dropped)
    bundle = replace(bundle, card=_card(X, outcome, metrics, periods, audit, dropped, notes))
    trained = TrainedModel(
        bundle=bundle,
        metrics=metrics,
        periods=periods,
        calibration=calibration_table(outcome_test, risk),
        outcome=outcome_test,
        risk=risk,
        audit=audit,
        dropped=dropped,
        drivers=explain(model, X_test, max_rows=EXPLAINED_ROWS),
        notes=notes,
    )
    say(f"{title}: registering, scoring the customers of today")
    with tracked(store, config.name, nested=True, run_name=title) as run_id:
        log_model(trained, X, y)
        version, alias = register(store, bundle, X)
    bundle = replace(bundle, version=version)
    today = problem.to_score(log, _today(config, log))
    at_risk = score_customers(bundle, log, today, config)
    return replace(trained, bundle=bundle, alias=alias, run_id=run_id, at_risk=at_risk)


def _split(
    config: Config, log: CustomerLog, problem: Problem
) -> tuple[pd.MultiIndex, pd.MultiIndex]:
    if isinstance(config.split, CustomerSplit):
        return problem.split_customers(log, **config.split.model_dump())
    return problem.split(log, **config.split.model_dump())


def _today(config: Config, log: CustomerLog) -> pd.Timestamp:
    """Midnight after the last record, or the date that a table without time stands for."""
    if isinstance(config.split, CustomerSplit):
        return pd.Timestamp(config.split.as_of)
    return log.span[1].floor("D") + pd.Timedelta(days=1)


def _outcome(problem: Problem, y: pd.Series) -> pd.Series:
    """Give churn as it is, a score as 1 when it is low."""
    if isinstance(problem, ChurnProblem):
        return y
    return (y <= problem.settings.low_at_most).astype("float64")


def _check_size(title: str, outcome: pd.Series) -> None:
    positives = int(outcome.sum())
    if len(outcome) < FEWEST_ROWS or positives < FEWEST_CHURNERS:
        raise DataError(
            f"{title}: expected at least {FEWEST_ROWS} training rows and {FEWEST_CHURNERS} of the "
            f"rarer outcome, found {len(outcome):,} and {positives:,}; take a longer history, more "
            "dates or a longer horizon"
        )


def _dropped(config: Config, audit: LeakAudit) -> tuple[str, ...]:
    accepted = config.audit.accept
    if config.audit.on_leak == "stop":
        audit.raise_if_leaking(accepted)
    return tuple(name for name in audit.high if name not in accepted)


def _without(X: pd.DataFrame, dropped: tuple[str, ...]) -> pd.DataFrame:
    return X.drop(columns=list(dropped))


def _weights(log: CustomerLog, index: pd.MultiIndex) -> pd.Series | None:
    """Look up the sampling weights of customers; nothing where all count alike."""
    weights = log.customers.select("customer_id", "weight").to_pandas()
    if weights["weight"].nunique() <= 1:
        return None
    by_customer = weights.set_index("customer_id")["weight"]
    values = by_customer.reindex(index.get_level_values("customer_id")).fillna(1.0)
    return pd.Series(values.to_numpy(), index=index)


def _model(config: Config, problem: Problem) -> ChurnModel | SatisfactionModel:
    if isinstance(problem, ChurnProblem):
        return ChurnModel(random_state=config.random_state)
    return SatisfactionModel(
        levels=problem.settings.levels,
        low_at_most=problem.settings.low_at_most,
        random_state=config.random_state,
    )


def _metrics(
    bundle: Bundle,
    X: pd.DataFrame,
    y: pd.Series,
    outcome: pd.Series,
    risk: pd.Series,
    weights: pd.Series | None,
) -> pd.DataFrame:
    metrics = evaluate(outcome, risk, weights=weights)
    if bundle.kind == "churn":
        return metrics
    scores = evaluate_scores(
        y, bundle.model.predict_proba(X), levels=bundle.problem.settings.levels, weights=weights
    )
    return pd.concat([metrics, scores], ignore_index=True)


def _periods(part: str, outcome: pd.Series) -> pd.DataFrame:
    by_date = outcome.groupby(level="as_of").agg(["size", "mean"]).reset_index()
    by_date.columns = pd.Index(["as_of", "customers", "rate"])
    return by_date.assign(part=part)[["part", "as_of", "customers", "rate"]]


def _notes(
    config: Config,
    outcome: pd.Series,
    tested: pd.Series,
    audit: LeakAudit,
    dropped: tuple[str, ...],
) -> tuple[str, ...]:
    notes = list(audit.notes)
    if isinstance(config.split, CustomerSplit):
        notes.append(
            "The table has no time: customers are split at random, so the figures say how well the "
            "model knows today's customers, not how it will do later."
        )
    before, after = outcome.mean(), tested.mean()
    standard_error = (before * (1 - before) / len(tested)) ** 0.5
    if abs(after - before) > 3 * standard_error:
        notes.append(
            f"The base rate moved from {before:.1%} in training to {after:.1%} at the test date: "
            "the calibration error below holds this shift."
        )
    if outcome.sum() < FEW_CHURNERS:
        notes.append(f"Only {outcome.sum():,.0f} of the rarer outcome in training: wide intervals.")
    if dropped:
        notes.append(f"The audit dropped features that know the answer: {', '.join(dropped)}.")
    for name, reason in config.audit.accept.items():
        notes.append(f"Accepted although the audit calls it high: {name}, because {reason}.")
    return tuple(notes)


def _card(
    X: pd.DataFrame,
    outcome: pd.Series,
    metrics: pd.DataFrame,
    periods: pd.DataFrame,
    audit: LeakAudit,
    dropped: tuple[str, ...],
    notes: tuple[str, ...],
) -> dict[str, Any]:
    """Write down what a reviewer asks of a model, as plain values."""
    dates = periods[periods["part"] == "test"]["as_of"]
    return {
        "training rows": len(outcome),
        "training customers": int(outcome.index.get_level_values("customer_id").nunique()),
        "training base rate": float(outcome.mean()),
        "training dates": sorted({str(d.date()) for d in outcome.index.get_level_values("as_of")}),
        "test dates": [str(day.date()) for day in dates],
        "features": list(X.columns),
        "metrics": {
            row.metric: [
                None if pd.isna(v) else float(v) for v in (row.estimate, row.low, row.high)
            ]
            for row in metrics.itertuples()
        },
        "leaks dropped": list(dropped),
        "audit findings": len(audit.table),
        "notes": list(notes),
    }
