"""Back-testing: one or two models fitted and tested at rolling dates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.config.features import FeatureSettings
from cxpredict.config.value import OfferSettings, ValueSettings
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, ModelError
from cxpredict.features.aggregates import aggregates_of
from cxpredict.features.build import build_features
from cxpredict.features.problem import ChurnProblem, SatisfactionProblem
from cxpredict.jobs.scoring.money import value_if_kept
from cxpredict.jobs.training.promotion import realised_gain
from cxpredict.jobs.training.rows import Rows, outcome_of, weights_of
from cxpredict.models.evaluation import compare
from cxpredict.models.evaluation.inputs import aligned
from cxpredict.models.evaluation.intervals import BinaryMeasure, Bootstrap, Sample

Problem = ChurnProblem | SatisfactionProblem

DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class Backtest:
    """What models would have shown at each date, had they been trained before it.

    Attributes
    ----------
    rows : DataFrame
        Index customer_id, as_of: outcome (1 for churn or a low score), weight, and for each model
        a column of the probabilities it predicted at that date; with costs also gain_champion and
        gain_challenger, the money each row would have brought.
    metrics : DataFrame
        model, test_at, metric, estimate, low, high: of each test date.
    stability : DataFrame
        model, metric, mean and spread (mean and standard deviation over dates), noise (the spread
        that sampling alone explains: root mean square of the dates' standard errors), worst and
        worst_at (the date with the worst value; missing for metrics without a better direction),
        trend, low, high (change per year with its interval).
    comparison : DataFrame or None
        What `cxpredict.compare` gives, by date and for all dates together; None for one model.
    """

    rows: pd.DataFrame
    metrics: pd.DataFrame
    stability: pd.DataFrame
    comparison: pd.DataFrame | None

    def table(self) -> pd.DataFrame:
        """Return the metrics of each test date."""
        return self.metrics


def backtest(
    log: CustomerLog,
    problem: Problem,
    champion: Callable[[], Any],
    *,
    challenger: Callable[[], Any] | None = None,
    first_test: Any,
    last_test: Any,
    every_days: int,
    test_every_days: int | None = None,
    train_from: Any = None,
    held_out_share: float | None = None,
    features: FeatureSettings | None = None,
    exclude: Sequence[str] = (),
    value: ValueSettings | None = None,
    offer: OfferSettings | None = None,
    level: float = 0.95,
    n_bootstrap: int = 300,
    random_state: int = 0,
) -> Backtest:
    """Train and test one or two models at rolling dates.

    Parameters
    ----------
    log : CustomerLog
        The records.
    problem : ChurnProblem or SatisfactionProblem
        What is predicted; it has dates, no label column.
    champion, challenger : callable
        Makes a new model with ``fit(X, y)`` and ``predict_proba(X)``, for each date. With weighted
        customers ``fit`` must take ``sample_weight``. For a SatisfactionProblem the target is the
        low score, unless the model has ``low_score_probability``: then it is the score.
    first_test, last_test : date
        Test dates from the first up to the last.
    every_days : int
        Distance of the training dates, in days.
    test_every_days, train_from, held_out_share : optional
        As in `ChurnProblem.rolling_splits`.
    features : FeatureSettings, optional
        Windows and declared aggregates, by default as in a run.
    exclude : sequence of str
        Features to leave out: what the leak audit found.
    value, offer : ValueSettings and OfferSettings, optional
        What a customer is worth and what a contact costs; together, for a ChurnProblem, they add
        what acting on each model would have brought.
    level, n_bootstrap, random_state
        As in `cxpredict.evaluate`.

    Returns
    -------
    Backtest

    Raises
    ------
    ConfigError
        A feature to exclude does not exist, the problem has no dates, money is given for a
        problem other than churn or without its other half, or the log is tagged by a
        `CommentTagger` that learnt after the last training date of the first test.
    DataError
        As `ChurnProblem.rolling_splits`.
    ModelError
        A test date has one outcome only.

    Notes
    -----
    Which features there are is decided by the records before the last training date of the first
    test, so that no test date has a say in it. Each model sees the same rows. Bootstrap samples
    are of customers, over all dates at once: a customer who is tested at four dates does not
    count as four, and trend and pooled comparison allow for it. The trend is the least-squares
    line through the dates' values; with two or three dates its interval holds the noise of the
    customers, not that of the times, which so few dates cannot show.

    Comments: tag the log with a tagger fitted up to the last training date of the first test, or
    earlier. A later one has learnt from scores that a test date must not know, and is refused. The
    log remembers the date of its tagger; tags that come with your own tables bring no date, and
    that they know nothing later is then for you to see to.

    Where label windows of test dates overlap (`test_every_days` below gap and horizon), the dates
    share outcomes and look more stable than they are.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from cxpredict.data.simulate import simulate_company
    >>> company = simulate_company(300, seed=1)
    >>> churn = ChurnProblem(cancelled="cancellation", horizon_days=120)
    >>> found = backtest(company.log, churn, DummyClassifier, first_test="2025-01-01",
    ...                  last_test="2025-06-01", every_days=120, n_bootstrap=10)
    >>> auc = found.metrics.query("metric == 'roc_auc'")
    >>> auc[["test_at", "estimate"]].astype("str").values.tolist()
    [['2025-01-01', '0.5'], ['2025-05-01', '0.5']]
    """
    if (value is None) != (offer is None) or (offer and not isinstance(problem, ChurnProblem)):
        raise ConfigError("value and offer go together, and with a ChurnProblem only")
    splits = problem.rolling_splits(
        log,
        first_test=first_test,
        last_test=last_test,
        every_days=every_days,
        test_every_days=test_every_days,
        train_from=train_from,
        held_out_share=held_out_share,
    )
    rows = _build(log, problem, splits, features or FeatureSettings(), exclude)
    for _, test in splits:
        _check_outcomes(rows.outcome.loc[test])
    makers = {"champion": champion} | ({} if challenger is None else {"challenger": challenger})
    tested = [_test(problem, makers, rows.take(train), rows.take(test)) for train, test in splits]
    table = pd.concat(tested)
    if value is not None and offer is not None:
        worth = value_if_kept(log, table.index, value)
        for model in makers:
            table[f"gain_{model}"] = realised_gain(
                table[model], table["outcome"], worth=worth, offer=offer
            )
    date = pd.Series(table.index.get_level_values("as_of").strftime("%Y-%m-%d"), table.index)
    weight, customer = aligned(None, table["weight"], y=table["outcome"])
    setting = Bootstrap(weight, customer, level, n_bootstrap, random_state)
    samples = _samples(table, date, list(makers), setting)
    comparison = None
    if challenger is not None:
        comparison = compare(
            table["outcome"],
            table["champion"],
            table["challenger"],
            gain_champion=table.get("gain_champion"),
            gain_challenger=table.get("gain_challenger"),
            by=date.rename("test_at"),
            weights=table["weight"],
            level=level,
            n_bootstrap=n_bootstrap,
            random_state=random_state,
        )
    return Backtest(
        rows=table,
        metrics=_metrics(samples, level),
        stability=_stability(samples, level),
        comparison=comparison,
    )


def _build(
    log: CustomerLog,
    problem: Problem,
    splits: Sequence[tuple[pd.MultiIndex, pd.MultiIndex]],
    features: FeatureSettings,
    exclude: Sequence[str],
) -> Rows:
    """Build all rows of all splits once: features of a date know nothing later."""
    until = splits[0][0].get_level_values("as_of").max()
    _check_tags(log, until)
    index = splits[0][0]
    for part in (part for split in splits for part in split):
        index = index.union(part)
    aggregates = aggregates_of(log, features, until=until)
    X = build_features(log, index, aggregates=aggregates, exclude=problem.label_columns)
    unknown = [name for name in (*exclude, *features.exclude) if name not in X]
    if unknown:
        raise ConfigError(f"exclude: there is no feature {', '.join(map(repr, unknown[:5]))}")
    X = X.drop(columns=[*exclude, *features.exclude])
    y = problem.labels(log, index)
    return Rows(X, y, outcome_of(problem, y), weights_of(log, index))


def _check_tags(log: CustomerLog, until: pd.Timestamp) -> None:
    if log.tagged_until is not None and log.tagged_until > until:
        raise ConfigError(
            f"comments: expected tags learnt before {until.date()}, the last training date of the "
            f"first test; the tagger of this log learnt until {log.tagged_until.date()}. Fit one "
            f'with until="{until.date()}" and tag the log again'
        )


def _check_outcomes(outcome: pd.Series) -> None:
    if outcome.nunique() < 2:
        day = outcome.index.get_level_values("as_of")[0].date()
        raise ModelError(
            f"test date {day}: all {len(outcome):,} outcomes are the same, so nothing can be "
            "ranked; take dates further apart or a longer horizon."
        )


def _test(
    problem: Problem,
    makers: dict[str, Callable[[], Any]],
    train: Rows,
    test: Rows,
) -> pd.DataFrame:
    """Fit every model before a date and predict at it."""
    varying = [name for name in train.X if train.X[name].nunique(dropna=False) > 1]
    train, test = train.select(varying), test.select(varying)
    weight = 1.0 if test.weights is None else test.weights
    table = pd.DataFrame({"outcome": test.outcome, "weight": weight}, index=test.X.index)
    given = {} if train.weights is None else {"sample_weight": train.weights}
    for name, make in makers.items():
        model = make()
        if isinstance(problem, SatisfactionProblem) and hasattr(model, "low_score_probability"):
            model.fit(train.X, train.y, **given)
            table[name] = np.asarray(model.low_score_probability(test.X))
        else:
            model.fit(train.X, train.outcome.astype(int), **given)
            table[name] = np.asarray(model.predict_proba(test.X))[:, 1]
    return table


Samples = dict[tuple[str, str], dict[str, Sample]]


def _samples(
    table: pd.DataFrame, date: pd.Series, models: Sequence[str], setting: Bootstrap
) -> Samples:
    event = table["outcome"].to_numpy(dtype=np.float64)
    places = {str(day): np.flatnonzero(date == day).astype(np.intp) for day in date.unique()}
    return setting.run(
        {
            (model, day): BinaryMeasure(
                event, table[model].to_numpy(dtype=np.float64), setting.weight, rows
            )
            for model in models
            for day, rows in places.items()
        }
    )


def _metrics(samples: Samples, level: float) -> pd.DataFrame:
    rows = [
        (model, pd.Timestamp(day), name, sample.estimate, *sample.interval(level))
        for (model, day), found in samples.items()
        for name, sample in found.items()
    ]
    return pd.DataFrame(rows, columns=["model", "test_at", "metric", "estimate", "low", "high"])


def _stability(samples: Samples, level: float) -> pd.DataFrame:
    """Describe how each metric moves from date to date."""
    rows: list[dict[str, Any]] = []
    for model in dict.fromkeys(model for model, _ in samples):
        days = [day for name, day in samples if name == model]
        for metric in samples[model, days[0]]:
            through_time = [samples[model, day][metric] for day in days]
            rows.append({"model": model, "metric": metric, **_through_time(through_time, days)})
            trend = _trend(through_time, days)
            low, high = trend.interval(level, difference=True)
            rows[-1] |= {"trend": trend.estimate, "low": low, "high": high}
    return pd.DataFrame(rows)


def _through_time(samples: Sequence[Sample], days: Sequence[str]) -> dict[str, Any]:
    values = np.array([sample.estimate for sample in samples])
    drawn = np.array([sample.drawn for sample in samples])
    variances = pd.DataFrame(drawn).var(axis=1).to_numpy()
    worst = int(np.argmax([s.loss.estimate for s in samples])) if samples[0].directed else None
    return {
        "mean": values.mean(),
        "spread": values.std(ddof=1) if len(values) > 1 else np.nan,
        "noise": float(np.sqrt(variances.mean())),
        "worst": np.nan if worst is None else values[worst],
        "worst_at": pd.NaT if worst is None else pd.Timestamp(days[worst]),
    }


def _trend(samples: Sequence[Sample], days: Sequence[str]) -> Sample:
    """Fit a line through the dates' values, for the estimate and for every draw."""
    name = samples[0].name
    if len(days) < 2:
        return Sample(name, np.nan, np.array([np.nan]))
    years = (pd.to_datetime(list(days)) - pd.Timestamp(days[0])).days.to_numpy() / DAYS_A_YEAR
    lever = years - years.mean()
    lever = lever / (lever**2).sum()
    estimate = float(lever @ np.array([sample.estimate for sample in samples]))
    return Sample(name, estimate, lever @ np.array([sample.drawn for sample in samples]))
