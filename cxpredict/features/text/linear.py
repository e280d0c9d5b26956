"""Logistic regression on words, its calibration, and the folds that both need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
N_FOLDS = 5
STRENGTH = 4.0
"""Inverse ridge penalty; not tuned to a data set."""


@dataclass(frozen=True)
class Linear:
    """One linear margin per class.

    Attributes
    ----------
    intercepts : ndarray, shape (K,)
    coefficients : ndarray, shape (K, m)
        To 4 decimals, so that a stored model is small.
    """

    intercepts: Floats
    coefficients: Floats

    @classmethod
    def fit(cls, X: sparse.csr_matrix, hit: npt.NDArray[np.bool_]) -> Self:
        """Fit one regression per column of `hit` (n, K), each against all other rows.

        Notes
        -----
        Columns are scaled by how differently the two sides use them, |ln(p / q)| with one count
        added to each, before the ridge acts: words that tell the sides apart are shrunk less.

        References
        ----------
        Wang, Manning (2012), Baselines and bigrams: simple, good sentiment and topic
        classification (there with a support vector machine).
        """
        intercepts, coefficients = [], []
        for positive in hit.T:
            p = np.asarray(X[positive].sum(axis=0)).ravel() + 1.0
            q = np.asarray(X[~positive].sum(axis=0)).ravel() + 1.0
            scale = np.abs(np.log(p / p.sum()) - np.log(q / q.sum()))
            # the dual is solved in random order: a fixed seed makes it the same each time
            regression = LogisticRegression(
                C=STRENGTH, solver="liblinear", dual=True, tol=1e-3, max_iter=2_000, random_state=0
            )
            regression.fit(X @ sparse.diags(scale), positive)
            intercepts.append(round(float(regression.intercept_[0]), 4))
            coefficients.append(np.round(regression.coef_[0] * scale, 4))
        return cls(np.array(intercepts), np.array(coefficients))

    def margins(self, X: sparse.csr_matrix) -> Floats:
        """Return the log-odds of each class before calibration, shape (n, K)."""
        return np.asarray(X @ self.coefficients.T + self.intercepts)

    def to_state(self) -> dict[str, Any]:
        """Return plain lists."""
        return {
            "intercepts": self.intercepts.tolist(),
            "coefficients": self.coefficients.tolist(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Rebuild what `to_state` gave."""
        return cls(np.array(state["intercepts"]), np.array(state["coefficients"]))


@dataclass(frozen=True)
class Calibrator:
    """Probability that a guess is right, from what the margins say about it."""

    intercept: float
    slopes: tuple[float, ...]

    @classmethod
    def fit(cls, evidence: Floats, right: npt.NDArray[np.bool_]) -> Self:
        """Regress right or wrong on evidence (n, k), log-odds, from out-of-fold guesses.

        Notes
        -----
        A ridge of one observation pulls towards believing the first log-odds as they are, so that
        a few guesses, or guesses without an error, still leave sure and unsure ones apart.
        """
        design = np.column_stack([np.ones(len(evidence)), evidence])
        belief = np.zeros(design.shape[1])
        belief[1] = 1.0

        def loss(beta: Floats) -> tuple[float, Floats]:
            eta, pull = design @ beta, beta - belief
            value = np.sum(np.logaddexp(0.0, eta) - right * eta) + 0.5 * pull @ pull
            return float(value), design.T @ (expit(eta) - right) + pull

        beta = minimize(loss, belief, jac=True, method="L-BFGS-B", tol=1e-10).x
        return cls(float(beta[0]), tuple(float(slope) for slope in beta[1:]))

    def probability(self, evidence: Floats) -> Floats:
        """Return probabilities, shape (n,)."""
        return np.asarray(expit(self.intercept + evidence @ np.array(self.slopes)))

    def to_state(self) -> list[float]:
        """Return plain numbers."""
        return [self.intercept, *self.slopes]

    @classmethod
    def from_state(cls, state: Sequence[float]) -> Self:
        """Rebuild what `to_state` gave."""
        return cls(state[0], tuple(state[1:]))


def folds_of(
    labels: Codes, groups: Sequence[Any] | npt.NDArray[Any], *, k: int, seed: int
) -> Codes:
    """Deal groups (a customer, or equal comments) to k folds, each with its part of every label.

    Returns
    -------
    ndarray of int, shape (n,)
        The fold of each row. Rows of a group share it.

    Examples
    --------
    >>> folds_of(np.array([0, 0, 1, 1]), ["a", "b", "c", "d"], k=2, seed=0).tolist()
    [0, 1, 0, 1]
    """
    lookup: dict[Any, int] = {}
    group = np.array([lookup.setdefault(g, len(lookup)) for g in groups], dtype=np.intp)
    _, first = np.unique(group, return_index=True)
    shuffled = np.random.default_rng(seed).permutation(len(first))
    dealt = shuffled[np.argsort(labels[first[shuffled]], kind="stable")]
    fold = np.empty(len(first), dtype=np.intp)
    fold[dealt] = np.arange(len(first)) % k
    return fold[group]


def parts(fold: Codes) -> Iterator[tuple[Codes, Codes]]:
    """Give rows outside and inside of each fold."""
    for number in np.unique(fold):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)
