"""Doubly robust means over customers of whom only some answered."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.data.checks import Floats
from cxpredict.errors import DataError, ModelError
from cxpredict.value.nps.answers import Codes
from cxpredict.value.nps.response import MIN_PROPENSITY, response_design

SIGNS = np.array([1.0, 0.0, -1.0])
"""Promoters, passives, detractors: the order of all columns of shares."""
_PRIOR_VARIANCE = 50.0
"""Of the log-odds to answer, however many columns share it; less pulls propensities together."""
_MAX_UNSUPPORTED = 0.1


@dataclass(frozen=True)
class Case:
    """Everyone, with what was observed and what the two models say of each row.

    Parameters
    ----------
    answered : ndarray of bool, shape (n,)
        Who answered.
    x : ndarray, shape (n,)
        1, 0 or −1 of those who answered.
    weight : ndarray, shape (n,)
        Sampling weights.
    customer : ndarray of int, shape (n,)
        Code of the customer.
    shares : ndarray, shape (n, 3)
        Predicted probabilities of promoter, passive, detractor.
    propensity : ndarray, shape (n,)
        Probability to answer.
    """

    answered: Any
    x: Floats
    weight: Floats
    customer: Codes
    shares: Floats
    propensity: Floats

    def part(self, rows: Any) -> "Case":
        """Return some rows."""
        names = ("answered", "x", "weight", "customer", "shares", "propensity")
        return Case(*(getattr(self, name)[rows] for name in names))

    def estimate(self) -> Floats:
        """Return the shares of promoters, passives and detractors of everyone."""
        kinds = (self.x[:, None] == SIGNS).astype(float)
        scores = self.shares + self._stands_for()[:, None] * (kinds - self.shares)
        return np.asarray(np.average(scores, axis=0, weights=self.weight))

    def se(self, *, rows: str) -> float:
        """Return the standard error of the NPS as a share."""
        mean = self.shares @ SIGNS
        residual = np.where(self.answered, self.x - mean, 0.0)
        stands_for = self._stands_for()
        if rows == "sample":
            scores = mean + stands_for * residual
            own = self.weight * (scores - np.average(scores, weights=self.weight))
            return float(np.sqrt((np.bincount(self.customer, own) ** 2).sum()) / self.weight.sum())
        seen = np.bincount(self.customer, self.weight * (stands_for - 1) * residual)
        spread = np.sqrt(np.maximum(self.shares @ SIGNS**2 - mean**2, 0.0))
        unseen = np.where(self.answered, 0.0, self.weight * spread)
        alike = self._alikeness(residual, np.where(self.answered, spread, 0.0))
        together = np.bincount(self.customer, unseen)
        variance = (seen**2).sum() + (1 - alike) * (unseen**2).sum() + alike * (together**2).sum()
        return float(np.sqrt(variance) / self.weight.sum())

    def _stands_for(self) -> Floats:
        """Rows that each answer stands for, itself included; 0 for silent ones."""
        inverse = self.answered / np.maximum(self.propensity, MIN_PROPENSITY)
        total = (self.weight * inverse).sum()
        scaled: Floats = inverse * (self.weight.sum() / total if total > 0 else 0.0)
        return scaled

    def _alikeness(self, residual: Floats, spread: Floats) -> float:
        """Correlation of what the predictions leave of two answers of one customer."""
        pairs = (np.bincount(self.customer, spread) ** 2).sum() - (spread**2).sum()
        if pairs <= 1e-9:
            return 0.0
        products = (np.bincount(self.customer, residual) ** 2).sum() - (residual**2).sum()
        return float(np.clip(products / pairs, 0.0, 1.0))


def folds_of(kinds: Any, customer: Codes, folds: int, seed: int | None) -> list[tuple[Any, Any]]:
    """Split rows so that no customer is on both sides and every fold has answers of every kind."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(kinds)), kinds, customer))


def cross_fitted_propensity(plain: pd.DataFrame, answered: Any, folds: Any) -> Floats:
    """Return the probability to answer of each row by models that did not see its customer."""
    from sklearn.linear_model import LogisticRegression

    design, probability = response_design(plain, answered, folds), np.zeros(len(plain))
    strength = _PRIOR_VARIANCE / design.shape[1]
    for train, test in folds:
        logistic = LogisticRegression(C=strength, solver="newton-cholesky")
        logistic.fit(design[train], answered[train])
        probability[test] = logistic.predict_proba(design[test])[:, 1]
    return probability


def cross_fitted_shares(outcome: Any, X: pd.DataFrame, kinds: Any, folds: Any) -> Floats:
    """Return predicted shares of each row by models that did not see its customer.

    `kinds` is 0 detractor, 1 passive, 2 promoter, −1 silent.
    """
    from sklearn.base import clone

    shares = np.zeros((len(X), 3))
    for train, test in folds:
        rows = train[kinds[train] >= 0]
        y = pd.Series(kinds[rows], index=X.index[rows], name="nps_group")
        model = clone(outcome).fit(X.iloc[rows], y)
        predicted = np.asarray(model.predict_proba(X.iloc[test]), dtype=float)
        if not set(np.asarray(model.classes_).tolist()) <= {0, 1, 2}:
            raise ModelError(
                "outcome: expected the classes 0 detractor, 1 passive, 2 promoter; a "
                "SatisfactionModel needs levels=[0, 1, 2] and low_at_most=0."
            )
        for column, kind in enumerate(model.classes_):
            shares[test, 2 - int(kind)] = predicted[:, column]
    if not np.isfinite(shares).all() or np.abs(shares.sum(axis=1) - 1).max() > 1e-6:
        raise ModelError("outcome: predict_proba must give finite probabilities that sum to 1.")
    return shares


def check_support(propensity: Floats, weight: Floats) -> float:
    """Return the share of everyone who hardly ever answers; refuse if it is large."""
    unsupported = float(np.average(propensity < MIN_PROPENSITY, weights=weight))
    if unsupported > _MAX_UNSUPPORTED:
        raise DataError(
            f"{unsupported:.0%} of everyone answer with a probability below {MIN_PROPENSITY:.0%}, "
            "so that no answers stand for them. Leave them out of X and speak of the others, or "
            "invite them in another way."
        )
    return unsupported
