"""The leak audit: which features know the answer, on what evidence, and what honesty costs."""

import html
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError, EmptyDataError, LeakageError
from cxpredict.features.audit.checks import (
    ATTRIBUTE_ADVICE,
    Finding,
    identifiers,
    redundant,
    suspicious_power,
    time_travel,
)
from cxpredict.features.audit.future import Build, looks_ahead, told_early
from cxpredict.features.audit.power import (
    Codes,
    FeaturePower,
    Floats,
    as_numbers,
    measure,
    readings,
)
from cxpredict.features.audit.refit import REFIT_ROWS, RefitColumn, auc_lost, questions
from cxpredict.features.audit.split import customer_codes, split_overlap, window_overlap
from cxpredict.features.origin import Origin, origins_of

N_FOLDS = 4
SEVERITIES = ("high", "medium", "low")
COLUMNS = ["feature", "check", "severity", "evidence", "auc_lost", "advice"]


@dataclass(frozen=True)
class LeakAudit:
    """Findings of a leak audit.

    Attributes
    ----------
    table : DataFrame
        One row per finding, worst first: ``feature``, ``check``, ``severity`` (high, medium, low),
        ``evidence`` (text with numbers), ``auc_lost`` (cross-validated AUC lost without the
        feature; NaN when not measured), ``advice``.
    power : DataFrame
        One row per feature, strongest first: ``feature``, ``auc`` (of the feature alone, out of
        fold), ``reading`` (how the column was read to get it).
    notes : tuple of str
        What was sampled or cut short.
    """

    table: pd.DataFrame
    power: pd.DataFrame
    notes: tuple[str, ...] = field(default=())

    @property
    def high(self) -> tuple[str, ...]:
        """Features with a finding of severity high, in the order of the table."""
        return tuple(dict.fromkeys(self.table.query("severity == 'high'")["feature"]))

    def raise_if_leaking(self, accepted: Mapping[str, str] | None = None) -> None:
        """Stop when a feature knows the answer.

        Parameters
        ----------
        accepted : mapping of str to str, optional
            Feature → reason why it may stay although the audit calls it high. The reasons belong
            in the model card.

        Raises
        ------
        LeakageError
            A feature of severity high is not among ``accepted``.
        ConfigError
            A feature is accepted without a reason.
        """
        accepted = accepted or {}
        silent = [name for name, reason in accepted.items() if not str(reason).strip()]
        if silent:
            raise ConfigError(
                f"accepted features need a reason, {len(silent)} have none: "
                f"{', '.join(silent[:5])}. Say why each may stay; it goes into the model card."
            )
        leaking = [name for name in self.high if name not in accepted]
        if not leaking:
            return
        rows = self.table.query("severity == 'high'").drop_duplicates("feature")
        rows = rows[rows["feature"].isin(leaking)]
        lines = [
            f"  {row.feature}: {row.check}: {row.evidence}; {_lost(row.auc_lost)}"
            for row in rows.itertuples()
        ]
        raise LeakageError(
            f"no feature may know the answer, {len(leaking)} seem to:\n" + "\n".join(lines) + "\n"
            "Drop them, use the values known at as_of, or accept a feature by name with a reason."
        )

    def _repr_html_(self) -> str:
        body = self.table.to_html(index=False, float_format="{:.3f}".format, na_rep="")
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return (
            f"<p>Leak audit: {len(self.high)} of {len(self.power)} features high</p>{body}{notes}"
        )


def audit_leakage(
    X: pd.DataFrame,
    y: pd.Series | npt.ArrayLike,
    *,
    X_test: pd.DataFrame | None = None,
    y_test: pd.Series | npt.ArrayLike | None = None,
    label_days: int | None = None,
    log: CustomerLog | None = None,
    build: Build | None = None,
    origins: Mapping[str, Origin] | None = None,
    low_at_most: float | None = None,
    auc_high: float = 0.90,
    auc_medium: float = 0.80,
    max_rows: int = 50_000,
    random_state: int = 0,
) -> LeakAudit:
    """Look for features that know the label.

    Parameters
    ----------
    X : DataFrame, shape (n, p)
        Features of any dtype. With an index level ``customer_id`` all rows of one customer share a
        fold; without one each index value counts as a customer.
    y : array-like of numbers, shape (n,)
        Binary label (the larger value is the positive class) or ordered scores.
    X_test, y_test : DataFrame and array-like, optional
        The later period; adds the checks on the split.
    label_days : int, optional
        Days from `as_of` to the end of the label window (gap and horizon); adds the check that no
        training label looks into the test period.
    log : CustomerLog, optional
        The records behind X; adds the look-ahead check: everything that became known after a date
        of X is changed or deleted, and the features built again must be the same to the bit.
    build : callable, optional
        What made X of the log, ``build(log, index)``; by default `build_features`.
    origins : mapping of str to Origin, optional
        Where features come from; default `origins_of` (X).
    low_at_most : float, optional
        For more than two different scores: scores up to here are the positive class. Default: the
        score that cuts off the share nearest to one quarter.
    auc_high, auc_medium : float in (.5, 1]
        AUC of a single feature from which on its severity is high (medium).
    max_rows : int
        With more rows whole customers are sampled down to this many, and a note says so.
    random_state : int

    Returns
    -------
    LeakAudit

    Raises
    ------
    DataError
        Index, columns or label do not fit; an EmptyDataError without rows or features.

    Notes
    -----
    Checks: a copy or near copy of the label; filled in exactly when the event happened; values that
    settle the label for many rows; single-feature AUC; negative ages and dates past as_of;
    identifiers; constants and repeated columns; overlap of a split in rows, customers, label
    windows and repeated values; look-ahead and clocks that disagree, against the log. All rates are
    cross-fitted (`cxpredict.features.audit.power.measure`, thresholds in
    `cxpredict.features.audit.checks.suspicious_power`). ``auc_lost`` compares two small boosters on
    folds of customers: all features without a high finding, with and without the feature.

    The look-ahead check draws one date of X after which records became known; call it again with
    another `random_state` for another date.

    Features are judged one by one: a leak spread over several features, each weak alone, is not
    found, nor is a leak so weak that it resembles an honest feature. An honest but decisive
    feature (notice has been given) is named too: accept it with a reason.

    References
    ----------
    Kaufman, Rosset, Perlich, Stitelman (2012): Leakage in data mining: formulation, detection, and
    avoidance. ACM Transactions on Knowledge Discovery from Data 6.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> y = pd.Series(rng.integers(0, 2, 500), name="churned")
    >>> X = pd.DataFrame({"tenure_days": rng.integers(0, 999, 500)})
    >>> X["reason"] = np.where(y == 1, "moved away", None)
    >>> audit_leakage(X, y).high
    ('reason',)
    """
    scores = _scores(X, y, "y")
    target, notes = _target(scores, low_at_most)
    origins = origins_of(X) if origins is None else origins
    findings: list[Finding] = []
    if X_test is not None:
        tested = None if y_test is None else _scores(X_test, y_test, "y_test")
        findings += split_overlap(X, scores, X_test, tested)
        findings += window_overlap(X, X_test, label_days)
    rng = np.random.default_rng(random_state)
    if log is not None:
        ahead, checked = looks_ahead(X, log, build, np.random.default_rng(random_state))
        findings += told_early(log) + ahead
        notes += checked
    customers = customer_codes(X)
    chosen = _sample(customers, max_rows, rng)
    if len(chosen) < len(X):
        notes += (f"{len(chosen):,} of {len(X):,} rows used (whole customers, drawn at random)",)
        X, target, customers = X.iloc[chosen], target[chosen], customers[chosen]
        if len(np.unique(target)) < 2:
            raise DataError(f"the sample of {len(X):,} rows holds one class; raise max_rows.")
    fold = rng.permutation(np.arange(customers.max() + 1) % N_FOLDS)[customers]
    values, columns, powers = {}, {}, {}
    for name in X.columns:
        read = readings(X[name])
        each = _powers(read, target, fold)
        values[name] = read["value"]
        powers[name] = max(each, key=lambda power: power.auc)
        columns[name] = RefitColumn.read(X[name], powers[name].reading, read)
        findings += suspicious_power(name, each, high=auc_high, medium=auc_medium)
    findings += time_travel(X, origins) + identifiers(X, customers) + redundant(X, values)
    asked, plain, more = questions(findings, powers)
    drawn = _sample(customers, REFIT_ROWS, rng) if asked else np.arange(0)
    part = {name: replace(column, values=column.values[drawn]) for name, column in columns.items()}
    lost = auc_lost(part, plain, asked, target[drawn], fold[drawn]) if asked else {}
    return LeakAudit(_table(findings, powers, lost, origins), _ranked(powers), notes + more)


def _scores(X: pd.DataFrame, y: pd.Series | npt.ArrayLike, name: str) -> Floats:
    if X.empty:
        raise EmptyDataError(f"the audit needs rows and features, got shape {X.shape}.")
    if not X.columns.is_unique:
        twice = X.columns[X.columns.duplicated()].unique()
        raise DataError(f"column names must be unique, twice: {list(twice[:5])}. Rename them.")
    scores = as_numbers(y if isinstance(y, pd.Series) else pd.Series(np.asarray(y)))
    if scores is None or len(scores) != len(X):
        raise DataError(f"{name} must hold {len(X):,} numbers (0 and 1, or scores), one per row.")
    if isinstance(y, pd.Series) and not y.index.equals(X.index):
        raise DataError(f"{name} and its features must share their index; align them first.")
    missing = int(np.isnan(scores).sum())
    if missing:
        raise DataError(f"{name} has {missing:,} missing values; drop those rows.")
    return scores


def _target(scores: Floats, low_at_most: float | None) -> tuple[Codes, tuple[str, ...]]:
    levels, counts = np.unique(scores, return_counts=True)
    if len(levels) < 2:
        raise DataError("y holds one class only; the audit needs both.")
    if len(levels) == 2 and low_at_most is None:
        return (scores == levels[1]).astype(np.int64), ()
    if low_at_most is None:
        shares = np.cumsum(counts)[:-1] / len(scores)
        low_at_most = float(levels[np.argmin(np.abs(shares - 0.25))])
    low = (scores <= low_at_most).astype(np.int64)
    if low.min() == low.max():
        raise DataError(f"low_at_most={low_at_most:g} puts all scores on one side.")
    return low, (f"positive class: scores of {low_at_most:g} or less ({low.mean():.1%})",)


def _sample(customers: Codes, max_rows: int, rng: np.random.Generator) -> Codes:
    if len(customers) <= max_rows:
        return np.arange(len(customers))
    sizes = np.bincount(customers)
    order = rng.permutation(len(sizes))
    taken = np.zeros(len(sizes), dtype=bool)
    taken[order[np.cumsum(sizes[order]) <= max_rows]] = True
    return np.flatnonzero(taken[customers])


def _powers(read: Mapping[str, Codes], target: Codes, fold: Codes) -> list[FeaturePower]:
    powers = [measure(codes, target, fold, reading=how) for how, codes in read.items()]
    if 2 * target.sum() > len(target):  # look for the rarer class as well as for the event
        powers += [
            measure(codes, 1 - target, fold, reading=how, looked_for="negatives")
            for how, codes in read.items()
        ]
    return powers


def _table(
    findings: list[Finding],
    powers: Mapping[str, FeaturePower],
    lost: Mapping[str, float],
    origins: Mapping[str, Origin],
) -> pd.DataFrame:
    def badness(found: Finding) -> tuple[int, float]:
        power = powers.get(found.feature)
        return SEVERITIES.index(found.severity), -power.auc if power else 0.0

    rows = []
    for found in sorted(findings, key=badness):
        origin, advice = origins.get(found.feature), found.advice
        if found.measures_power and origin is not None and origin.measure == "attribute":
            advice = f"{advice} {ATTRIBUTE_ADVICE}"
        price = lost.get(found.feature, np.nan)
        rows.append((found.feature, found.check, found.severity, found.evidence, price, advice))
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({name: "float64" if name == "auc_lost" else "str" for name in COLUMNS})


def _ranked(powers: Mapping[str, FeaturePower]) -> pd.DataFrame:
    rows = [(name, power.auc, power.reading) for name, power in powers.items()]
    table = pd.DataFrame(rows, columns=["feature", "auc", "reading"])
    return table.sort_values("auc", ascending=False, kind="stable", ignore_index=True)


def _lost(price: float) -> str:
    return f"AUC lost without it {'not measured' if np.isnan(price) else format(price, '.3f')}"
