"""Doubly robust, cross-fitted estimates: means under each arm, and the effect of one more point.

Rows may be several of one customer. Folds never part a customer, and influence is added up by
customer, so that the covariance takes customers as the independent units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from threadpoolctl import threadpool_limits

from cxpredict.data.checks import Floats
from cxpredict.errors import DataError

Ints = npt.NDArray[np.int64]
FOLDS = 5
FLOOR = 0.01
MAX_UNSUPPORTED = 0.1
MIN_RESIDUAL_SHARE = 0.05
MIN_DEGREES = 10
_RIDGE = 10.0


@dataclass(frozen=True)
class Sample:
    """What is compared: rows, the customers they belong to, what came of them.

    Parameters
    ----------
    design : ndarray, rows × columns
        Covariates known before, standardised (`smooth_matrix`).
    customers : ndarray of int
        Number of the customer of each row, from 0 on.
    outcomes : ndarray, rows × quantities
        The first is retention, 0 or 1; the others are money or counts.
    """

    design: Floats
    customers: Ints
    outcomes: Floats

    @property
    def n_customers(self) -> int:
        """Number of different customers."""
        return int(self.customers.max()) + 1

    def by_customer(self, influence: Floats) -> Floats:
        """Add up the influence of a customer's rows: customers × the columns of `influence`."""
        sums = np.zeros((self.n_customers, influence.shape[1]))
        np.add.at(sums, self.customers, influence)
        return sums

    def folds(self, strata: npt.NDArray[Any], random_state: int | None) -> Ints:
        """Deal customers to folds, those of the same stratum in turns; the fold of each row."""
        rng = np.random.default_rng(random_state)
        # a customer is what the first of its rows in order of the strata is
        order = np.lexsort((strata, self.customers))
        first = np.r_[True, np.diff(self.customers[order]) != 0]
        kind = strata[order][first]
        dealt = np.empty(self.n_customers, dtype=np.int64)
        dealt[np.lexsort((rng.random(self.n_customers), kind))] = (
            np.arange(self.n_customers) % FOLDS
        )
        return dealt[self.customers]


@dataclass(frozen=True)
class Means:
    """Means of outcomes under each arm, arms × quantities, and each row's influence on them."""

    values: Floats
    influence: Floats
    overlap: pd.DataFrame


def plain_means(sample: Sample, arms: Ints, names: Sequence[str]) -> Means:
    """Average the rows of each arm as they are."""
    values, influence = [], np.zeros((len(arms), len(names), sample.outcomes.shape[1]))
    for arm in range(len(names)):
        member = arms == arm
        values.append(sample.outcomes[member].mean(axis=0))
        influence[member, arm] = (sample.outcomes[member] - values[-1]) / member.mean()
    return Means(np.array(values), influence, pd.DataFrame())


def adjusted_means(
    sample: Sample, arms: Ints, names: Sequence[str], random_state: int | None
) -> Means:
    """Estimate the means that all rows would have in each arm, with their own covariates.

    Parameters
    ----------
    sample : Sample
        The rows.
    arms : ndarray of int
        The arm that each row was in, by position in `names`.
    names : sequence of str
        Of the arms.
    random_state : int or None
        Seed of the folds.

    Returns
    -------
    Means
        Augmented inverse-propensity estimates, weights normalised within the arm; `overlap` has a
        row per arm: ``n_eff``, ``smallest_propensity``, ``unsupported``. Influence of residuals
        is inflated by √(n_eff / (n_eff − effective parameters)), as errors of regressions are.

    Raises
    ------
    DataError
        If more than 10 % of rows hardly resemble an arm: propensity below 1 %, or below a tenth
        of the arm's share; or if an arm's rows are worth fewer than its regressions use up.
    """
    with threadpool_limits(1, user_api="blas"):  # threads wait longer than they work
        propensity, predicted = _nuisances(sample, arms, len(names), random_state)
    values, rows = np.empty(predicted.shape[1:]), []
    influence = np.empty(predicted.shape)
    for arm, name in enumerate(names):
        member, e = arms == arm, propensity[:, arm]
        floor = min(FLOOR, 0.1 * member.mean())
        unsupported = float((e < floor).mean())
        if unsupported > MAX_UNSUPPORTED:
            raise DataError(
                f"{unsupported:.0%} of customers hardly resemble any {name}, so their worth as one "
                "cannot be told. Compare fewer kinds of customers, or leave out covariates that "
                f"decide alone who is {name}."
            )
        weights = member / np.maximum(e, floor)
        n_eff = float(weights.sum() ** 2 / (weights**2).sum())
        rows.append((n_eff, e.min(), unsupported))
        inflation = np.sqrt(n_eff / _degrees_left(sample.design[member], n_eff, name))
        residual = (weights / weights.mean())[:, None] * (sample.outcomes - predicted[:, arm])
        parts = predicted[:, arm].mean(axis=0), residual.mean(axis=0)
        values[arm] = parts[0] + parts[1]
        influence[:, arm] = predicted[:, arm] - parts[0] + inflation * (residual - parts[1])
    columns = ["n_eff", "smallest_propensity", "unsupported"]
    overlap = pd.DataFrame(rows, columns=columns, index=pd.Index(names, name="group"))
    return Means(values, influence, overlap)


def _nuisances(
    sample: Sample, arms: Ints, k: int, random_state: int | None
) -> tuple[Floats, Floats]:
    """Propensity and predicted outcomes of each row in each arm, by models of other customers."""
    n, q = sample.outcomes.shape
    propensity, predicted = np.zeros((n, k)), np.zeros((n, k, q))
    fold = sample.folds(2 * arms + (sample.outcomes[:, 0] > 0), random_state)
    for each in range(FOLDS):
        train, test = fold != each, fold == each
        propensity[test] = _propensities(sample.design[train], arms[train], sample.design[test], k)
        for arm in range(k):
            predicted[test, arm] = _predict(sample, train & (arms == arm), test)
    return propensity, predicted


@dataclass(frozen=True)
class Slopes:
    """Effect of one more unit of a dose on each quantity, and each row's influence on it."""

    values: Floats
    influence: Floats


def plain_slopes(sample: Sample, dose: Floats) -> Slopes:
    """Regress each outcome on the dose alone."""
    return _slopes(dose - dose.mean(), sample.outcomes - sample.outcomes.mean(axis=0))


def adjusted_slopes(sample: Sample, dose: Floats, name: str, random_state: int | None) -> Slopes:
    """Regress what covariates leave of each outcome on what they leave of the dose.

    Parameters
    ----------
    sample : Sample
        The rows.
    dose : ndarray of float
        Of each row.
    name : str
        What the dose is, for messages.
    random_state : int or None
        Seed of the folds.

    Returns
    -------
    Slopes
        The effect of one more unit, taken to be the same at every level and for everyone.

    Raises
    ------
    DataError
        If the covariates leave less than 5 % of the variance of the dose, or if what they leave
        is worth fewer rows than the regressions use up.

    References
    ----------
    Robinson, P. (1988). Root-n-consistent semiparametric regression. Econometrica 56(4), 931–954.
    """
    left_dose, left = np.zeros(len(dose)), np.zeros(sample.outcomes.shape)
    fold = sample.folds((sample.outcomes[:, 0] > 0).astype(np.int64), random_state)
    X = sample.design
    with threadpool_limits(1, user_api="blas"):
        for each in range(FOLDS):
            train, test = fold != each, fold == each
            left_dose[test] = dose[test] - _ridge(X[train], dose[train, None], X[test])[:, 0]
            left[test] = sample.outcomes[test] - _predict(sample, train, test)
    share = float((left_dose**2).mean() / max(dose.var(), 1e-300))
    if share < MIN_RESIDUAL_SHARE:
        raise DataError(
            f"{name}: what is known of customers before decides it almost alone ({1 - share:.0%} "
            "of its variance), so its effect cannot be told from theirs."
        )
    n_eff = float((left_dose**2).sum() ** 2 / (left_dose**4).sum())
    found = _slopes(left_dose, left)
    inflation = np.sqrt(n_eff / _degrees_left(X, n_eff, name))
    return Slopes(found.values, inflation * found.influence)


def _slopes(dose: Floats, outcomes: Floats) -> Slopes:
    variance = (dose**2).mean()
    values = (dose[:, None] * outcomes).mean(axis=0) / variance
    influence = dose[:, None] * (outcomes - dose[:, None] * values) / variance
    return Slopes(values, influence)


def _predict(sample: Sample, rows: npt.NDArray[np.bool_], test: npt.NDArray[np.bool_]) -> Floats:
    """Predict all outcomes of the test rows from other rows: logistic retention, ridge money."""
    X, Y = sample.design, sample.outcomes
    stay = _probability(X[rows], Y[rows, 0] > 0, X[test], C=0.1)
    return np.column_stack([stay, _ridge(X[rows], Y[rows, 1:], X[test])])


def _degrees_left(X: Floats, n_eff: float, name: str) -> float:
    """Effective rows of an arm less the parameters of its regressions, propensity and outcome."""
    spread = np.linalg.eigvalsh((X - X.mean(axis=0)).T @ (X - X.mean(axis=0)))
    spread = np.maximum(spread, 0.0)
    used = 2.0 * (1.0 + float((spread / (spread + _RIDGE)).sum()))
    if n_eff - used < MIN_DEGREES:
        raise DataError(
            f"the rows of {name} are worth {n_eff:.0f} equally weighted ones, and adjusting takes "
            f"{used:.0f} parameters: too few. Collect more, or adjust for fewer covariates."
        )
    return n_eff - used


def _propensities(X: Floats, arms: Ints, at: Floats, k: int) -> Floats:
    """Multinomial logistic probabilities, each arm fitted against the most frequent one.

    References
    ----------
    Begg, C. and Gray, R. (1984). Calculation of polychotomous logistic regression parameters using
    individualized regressions. Biometrika 71(1), 11–18.
    """
    most = int(np.bincount(arms, minlength=k).argmax())
    odds = np.ones((len(at), k))
    for arm in range(k):
        if arm != most:
            pair = (arms == arm) | (arms == most)
            p = _probability(X[pair], arms[pair] == arm, at, C=1.0)
            odds[:, arm] = p / np.maximum(1 - p, 1e-12)
    probabilities: Floats = odds / odds.sum(axis=1, keepdims=True)
    return probabilities


def _probability(X: Floats, yes: npt.NDArray[np.bool_], at: Floats, *, C: float) -> Floats:
    from sklearn.linear_model import LogisticRegression

    if yes.all() or not yes.any() or X.shape[1] == 0:
        return np.full(len(at), yes.mean())
    model = LogisticRegression(C=C, solver="newton-cholesky").fit(X, yes)
    probability: Floats = model.predict_proba(at)[:, 1]
    return probability


def _ridge(X: Floats, Y: Floats, at: Floats) -> Floats:
    """Ridge regressions of all columns of Y at once; the intercept is not shrunk."""
    centre, mean = X.mean(axis=0), Y.mean(axis=0)
    Z = X - centre
    gram = Z.T @ Z + _RIDGE * np.eye(Z.shape[1])
    predicted: Floats = mean + (at - centre) @ np.linalg.solve(gram, Z.T @ (Y - mean))
    return predicted


def covariance_of(by_customer: Floats, n_rows: int) -> Floats:
    """Covariance of estimates from each customer's summed influence."""
    n = len(by_customer)
    matrix: Floats = by_customer.T @ by_customer / n_rows**2 * (n / (n - 1))
    return matrix
