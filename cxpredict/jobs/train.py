"""The main job: from a configuration to registered models and their evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.config import ChurnSettings, Config, CustomerSplit, load_config
from cxpredict.config.reading import nearest
from cxpredict.data.log import CustomerLog
from cxpredict.drivers.contributions import explain
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.aggregates import Origin, default_aggregates
from cxpredict.features.audit import LeakAudit, audit_leakage
from cxpredict.features.build import build_features
from cxpredict.features.problem import ChurnProblem, SatisfactionProblem
from cxpredict.jobs.bundle import Bundle, Problem
from cxpredict.jobs.experience import measure_experience
from cxpredict.jobs.records import open_records
from cxpredict.jobs.registry import register
from cxpredict.jobs.results import TrainedModel, TrainingRun
from cxpredict.jobs.score import score_customers
from cxpredict.jobs.tracking import Store, log_model, log_outcome, log_run, tracked
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
    log = open_records(config)
    with tracked(store, config.name, run_name=config.name) as run_id:
        log_run(config, log)
        problems = _problems(config)
        models = [_train_one(config, store, log, name, p, say) for name, p in problems.items()]
        say("measuring NPS and the return on experience")
        experience = measure_experience(config, log)
        log_outcome(models, experience)
    folder = store.folder / "reports" / run_id
    return TrainingRun(config, log, tuple(models), experience, run_id, folder, store.uri)


def _problems(config: Config) -> dict[str, Problem]:
    problems: dict[str, Problem] = {}
    if config.problems.churn is not None:
        problems["churn"] = ChurnProblem(**config.problems.churn.model_dump())
    if config.problems.satisfaction is not None:
        problems["satisfaction"] = SatisfactionProblem(**config.problems.satisfaction.model_dump())
    return problems


@dataclass(frozen=True)
class _Rows:
    """One part of the split: features, what is predicted, 1 for churn or a low score, weights."""

    X: pd.DataFrame
    y: pd.Series
    outcome: pd.Series
    weights: pd.Series | None

    @property
    def rate(self) -> float:
        return float(np.average(self.outcome, weights=self.weights))

    def select(self, features: Sequence[str]) -> _Rows:
        return replace(self, X=self.X[list(features)])


def _train_one(
    config: Config, store: Store, log: CustomerLog, kind: str, problem: Problem, say: Progress
) -> TrainedModel:
    name = f"{config.name}-{kind}"
    say(f"{name}: building point-in-time features and labels")
    train_index, test_index = _split(config, log, problem)
    left_out = _left_out(log, problem, train_index, test_index)
    aggregates, train_rows, test_rows = _build(config, log, problem, train_index, test_index)
    _check_size(name, train_rows.outcome)
    say(f"{name}: auditing {train_rows.X.shape[1]} features for leaks")
    audit = audit_leakage(
        train_rows.X,
        train_rows.outcome,
        X_test=test_rows.X,
        y_test=test_rows.outcome,
        random_state=config.random_state,
    )
    dropped = _dropped(config, audit)
    features = [feature for feature in train_rows.X if feature not in dropped]
    train_rows, test_rows = train_rows.select(features), test_rows.select(features)
    say(f"{name}: fitting on {len(train_rows.X):,} rows")
    model = _model(config, problem)
    model.fit(train_rows.X, train_rows.y, sample_weight=train_rows.weights)
    bundle = Bundle(
        name=name,
        problem=problem,
        model=model,
        aggregates=tuple(a for a in aggregates if a.name in features),
        exclude=tuple(c for c in log.customers.columns if c not in features),
        bands=getattr(config.bands, kind),
        card={},
    )
    say(f"{name}: evaluating on {len(test_rows.X):,} test rows, explaining with SHAP")
    notes = (*_notes(config, train_rows, test_rows, audit, dropped), *left_out)
    trained = _judge(bundle, train_rows, test_rows, audit, dropped, notes)
    say(f"{name}: registering, scoring the customers of today")
    return _register(config, store, log, trained, {"training": train_rows, "test": test_rows})


def _build(
    config: Config,
    log: CustomerLog,
    problem: Problem,
    train_index: pd.MultiIndex,
    test_index: pd.MultiIndex,
) -> tuple[list[Origin], _Rows, _Rows]:
    """Build both parts of the split; features that never vary in training are left out."""
    aggregates = default_aggregates(
        log,
        until=train_index.get_level_values("as_of").max(),
        **config.features.of_aggregates,
    )
    excluded = config.features.exclude
    parts = []
    for index in (train_index, test_index):
        X = build_features(log, index, aggregates=aggregates, exclude=problem.label_columns)
        _check_known("features.exclude", excluded, X.columns)
        _check_known("audit.accept", config.audit.accept, X.columns)
        X = X.drop(columns=list(excluded))
        y = problem.labels(log, index)
        parts.append(_Rows(X, y, _outcome(problem, y), _weights(log, index)))
    varying = [name for name in parts[0].X if parts[0].X[name].nunique(dropna=False) > 1]
    return aggregates, parts[0].select(varying), parts[1].select(varying)


def _check_known(setting: str, names: Iterable[str], columns: Iterable[str]) -> None:
    known = list(columns)
    for name in names:
        if name not in known:
            raise ConfigError(f"{setting}: there is no feature {name!r}{nearest(name, known)}")


def _judge(
    bundle: Bundle,
    train_rows: _Rows,
    test_rows: _Rows,
    audit: LeakAudit,
    dropped: tuple[str, ...],
    notes: tuple[str, ...],
) -> TrainedModel:
    """Evaluate and explain on the untouched rows, and write the model card."""
    risk = bundle.risk(test_rows.X)["probability"]
    metrics = _metrics(bundle, test_rows, risk)
    periods = pd.concat(
        [_periods("train", train_rows), _periods("test", test_rows)], ignore_index=True
    )
    return TrainedModel(
        bundle=replace(bundle, card=_card(train_rows, metrics, periods, audit, dropped, notes)),
        metrics=metrics,
        periods=periods,
        calibration=calibration_table(test_rows.outcome, risk, weights=test_rows.weights),
        outcome=test_rows.outcome,
        risk=risk,
        audit=audit,
        dropped=dropped,
        drivers=explain(bundle.model, test_rows.X, max_rows=EXPLAINED_ROWS),
        notes=notes,
    )


def _register(
    config: Config,
    store: Store,
    log: CustomerLog,
    trained: TrainedModel,
    parts: Mapping[str, _Rows],
) -> TrainedModel:
    with tracked(store, config.name, nested=True, run_name=trained.bundle.name) as run_id:
        log_model(trained, {name: (rows.X, rows.y) for name, rows in parts.items()})
        version, alias, digest = register(store, trained, parts["training"].X)
    bundle = replace(trained.bundle, version=version, digest=digest)
    today = bundle.problem.to_score(log, _today(config, log))
    at_risk = score_customers(bundle, log, today, config)
    return replace(trained, bundle=bundle, alias=alias, run_id=run_id, at_risk=at_risk)


def _split(
    config: Config, log: CustomerLog, problem: Problem
) -> tuple[pd.MultiIndex, pd.MultiIndex]:
    if isinstance(config.split, CustomerSplit):
        return problem.split_customers(log, **config.split.model_dump())
    return problem.split(log, **config.split.model_dump())


def _left_out(log: CustomerLog, problem: Problem, *parts: pd.MultiIndex) -> tuple[str, ...]:
    """Count the active customers whose outcome is not known."""
    dates = sorted({day for part in parts for day in part.get_level_values("as_of")})
    missing = len(problem.population(log, dates)) - sum(len(part) for part in parts)
    if not missing:
        return ()
    return (f"{missing:,} cases (customers at dates) without a known outcome were left out.",)


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
    rarer = int(min(outcome.sum(), (1 - outcome).sum()))
    if len(outcome) < FEWEST_ROWS or rarer < FEWEST_CHURNERS:
        raise DataError(
            f"{title}: expected at least {FEWEST_ROWS} training rows and {FEWEST_CHURNERS} of the "
            f"rarer outcome, found {len(outcome):,} and {rarer:,}; take a longer history, more "
            "dates or a longer horizon"
        )


def _dropped(config: Config, audit: LeakAudit) -> tuple[str, ...]:
    accepted = config.audit.accept
    if config.audit.on_leak == "stop":
        audit.raise_if_leaking(accepted)
    return tuple(name for name in audit.high if name not in accepted)


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


def _metrics(bundle: Bundle, rows: _Rows, risk: pd.Series) -> pd.DataFrame:
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


def _periods(part: str, rows: _Rows) -> pd.DataFrame:
    """Count customers and (weighted) outcomes by date."""
    weight = pd.Series(1.0, rows.outcome.index) if rows.weights is None else rows.weights
    sums = pd.DataFrame({"weight": weight, "positive": weight * rows.outcome, "customers": 1})
    by_date = sums.groupby(level="as_of").sum().reset_index()
    by_date["rate"] = by_date["positive"] / by_date["weight"]
    return by_date.assign(part=part)[["part", "as_of", "customers", "rate"]]


def _notes(
    config: Config,
    train_rows: _Rows,
    test_rows: _Rows,
    audit: LeakAudit,
    dropped: tuple[str, ...],
) -> tuple[str, ...]:
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


def _card(
    rows: _Rows,
    metrics: pd.DataFrame,
    periods: pd.DataFrame,
    audit: LeakAudit,
    dropped: tuple[str, ...],
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
        "audit findings": len(audit.table),
        "notes": list(notes),
    }
