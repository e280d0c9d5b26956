"""The main job: from a configuration to registered models and their evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cxpredict.config import Config, CustomerSplit, load_config
from cxpredict.config.reading import nearest
from cxpredict.data.log import CustomerLog
from cxpredict.drivers.reasons import ReasonBasis
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.aggregates import aggregates_of
from cxpredict.features.audit import LeakAudit, audit_leakage
from cxpredict.features.build import build_features
from cxpredict.features.origin import Origin
from cxpredict.features.problem import ChurnProblem, SatisfactionProblem
from cxpredict.jobs.bundle import Bundle, Problem
from cxpredict.jobs.records import check_names, open_records
from cxpredict.jobs.registry.evaluations import evaluation_of
from cxpredict.jobs.registry.provenance import run_key, training_customers
from cxpredict.jobs.registry.recording import (
    log_customers,
    log_model,
    log_outcome,
    log_run,
    run_tags,
)
from cxpredict.jobs.registry.runs import tracked
from cxpredict.jobs.registry.tracking import Store
from cxpredict.jobs.registry.versions import register
from cxpredict.jobs.results import TrainedModel, TrainingRun
from cxpredict.jobs.scoring.rows import score_customers
from cxpredict.jobs.training.comments import learn_comments
from cxpredict.jobs.training.evidence import judge, notes_on
from cxpredict.jobs.training.experience import measure_experience
from cxpredict.jobs.training.promotion import check_segments, decide
from cxpredict.jobs.training.rows import Rows, outcome_of, weights_of
from cxpredict.models.churn import ChurnModel
from cxpredict.models.satisfaction import SatisfactionModel

FEWEST_ROWS = 500
FEWEST_CHURNERS = 100

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
        With one registered model per problem. A version that the promotion gate refuses has the
        alias ``refused``; one that passes is ``champion`` if the name has none yet, else
        ``challenger``. Training is deterministic: a run on the same inputs with the same
        configuration and code finds the version there is instead of making another.

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
    check_names(config, log)
    tags = run_tags(run_key(config, log.inputs))
    with tracked(store, config.name, run_name=config.name, tags=tags) as run_id:
        with store.writing():
            log_run(config, log)
        problems = _problems(config)
        models = [
            _train_one(config, store, log, name, p, tags, say) for name, p in problems.items()
        ]
        say("measuring NPS and the return on experience")
        experience = measure_experience(config, log)
        with store.writing():
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


def _train_one(
    config: Config,
    store: Store,
    log: CustomerLog,
    kind: str,
    problem: Problem,
    tags: Mapping[str, str],
    say: Progress,
) -> TrainedModel:
    name = f"{config.name}-{kind}"
    say(f"{name}: building point-in-time features and labels")
    train_index, test_index = _split(config, log, problem)
    if not len(train_index) or not len(test_index):
        raise DataError(f"{name}: no outcome is known in training or in the test; mend the label")
    left_out = _left_out(log, problem, train_index, test_index)
    tagger = learn_comments(config, log, train_index)
    told = log if tagger is None else tagger.tag(log)
    aggregates, train_rows, test_rows = _build(config, told, problem, train_index, test_index)
    _check_size(name, train_rows.outcome)
    say(f"{name}: auditing {train_rows.X.shape[1]} features for leaks")
    audit = audit_leakage(
        train_rows.X,
        train_rows.outcome,
        X_test=test_rows.X,
        y_test=test_rows.outcome,
        label_days=problem.label_days,
        log=None if problem.label_days is None else told,
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
        tagger=tagger,
        basis=ReasonBasis.learn(train_rows.X),
    )
    say(f"{name}: evaluating on {len(test_rows.X):,} test rows, explaining with SHAP")
    notes = (*notes_on(config, train_rows, test_rows, audit, dropped), *left_out)
    notes += () if tagger is None else tagger.notes()
    accepted = {n: r for n, r in config.audit.accept.items() if n in audit.high}
    trained = judge(
        bundle,
        train_rows,
        test_rows,
        audit,
        dropped,
        accepted,
        notes,
        actionable=config.actionable,
    )
    say(f"{name}: asking the promotion gate")
    trained = decide(config, store, log, trained, test_rows)
    say(f"{name}: registering, scoring the customers of today")
    parts = {"training": train_rows, "test": test_rows}
    return _register(config, store, log, trained, parts, tags)


def _build(
    config: Config,
    log: CustomerLog,
    problem: Problem,
    train_index: pd.MultiIndex,
    test_index: pd.MultiIndex,
) -> tuple[list[Origin], Rows, Rows]:
    """Build both parts of the split; features that never vary in training are left out."""
    until = train_index.get_level_values("as_of").max()
    aggregates = aggregates_of(log, config.features, until=until)
    excluded = config.features.exclude
    parts = []
    for index in (train_index, test_index):
        X = build_features(log, index, aggregates=aggregates, exclude=problem.label_columns)
        _check_known("features.exclude", excluded, X.columns)
        _check_known("audit.accept", config.audit.accept, X.columns)
        check_segments(config.gate.segments, X, log)
        X = X.drop(columns=list(excluded))
        y = problem.labels(log, index)
        parts.append(Rows(X, y, outcome_of(problem, y), weights_of(log, index)))
    varying = [name for name in parts[0].X if parts[0].X[name].nunique(dropna=False) > 1]
    return aggregates, parts[0].select(varying), parts[1].select(varying)


def _check_known(setting: str, names: Iterable[str], columns: Iterable[str]) -> None:
    known = list(columns)
    for name in names:
        if name not in known:
            raise ConfigError(f"{setting}: there is no feature {name!r}{nearest(name, known)}")


def _register(
    config: Config,
    store: Store,
    log: CustomerLog,
    trained: TrainedModel,
    parts: Mapping[str, Rows],
    tags: Mapping[str, str],
) -> TrainedModel:
    name, salt = trained.bundle.name, store.salt
    evaluation = evaluation_of(trained, parts["test"].weights, salt)
    customers = training_customers(salt, parts["training"].outcome.index)
    with tracked(store, config.name, nested=True, run_name=name, tags=tags) as run_id:
        with store.writing():
            log_model(trained, {n: (rows.X, rows.y) for n, rows in parts.items()}, evaluation)
            log_customers(customers)
        version, alias, digest = register(store, trained, tags=tags)
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


def _model(config: Config, problem: Problem) -> ChurnModel | SatisfactionModel:
    if isinstance(problem, ChurnProblem):
        return ChurnModel(effort=config.effort, random_state=config.random_state)
    return SatisfactionModel(
        levels=problem.settings.levels,
        low_at_most=problem.settings.low_at_most,
        effort=config.effort,
        random_state=config.random_state,
    )
