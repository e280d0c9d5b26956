"""Least squares with standard errors that allow for several rows of one customer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from cxpredict.drivers.survey.answers import Floats, Ints

LEAST_OWN = 0.25
"""Share of a column's variance that is its own: below, coefficients hang on a handful of rows."""
_RIDGE = 1e-10


@dataclass(frozen=True, eq=False)
class Fit:
    """Coefficients, their intervals, and how much of each column is its own.

    Attributes
    ----------
    estimate, low, high : ndarray, shape (q,)
    own : ndarray, shape (q,)
        Share of the column's variance that the other columns do not explain; 1 for a constant.
    """

    estimate: Floats
    low: Floats
    high: Floats
    own: Floats


def least_squares(design: Floats, y: Floats, customers: Ints, *, level: float) -> Fit:
    """Regress y on the columns of the design.

    Parameters
    ----------
    design : ndarray, shape (n, q)
        With a column of ones.
    y : ndarray, shape (n,)
    customers : ndarray of int, shape (n,)
        Customer of each row.
    level : float in (0, 1)
        Level of the intervals.

    Returns
    -------
    Fit

    Notes
    -----
    Sandwich variance clustered by customer, with the factor G/(G − 1) · (n − 1)/(n − q); intervals
    by Student's t with G − 1 degrees of freedom, G customers.

    References
    ----------
    Cameron, Miller (2015): A practitioner's guide to cluster-robust inference. Journal of Human
    Resources 50, 317–372.

    Examples
    --------
    >>> x = np.array([0.0, 0.0, 1.0, 1.0])
    >>> design = np.column_stack([np.ones(4), x])
    >>> fit = least_squares(design, np.array([1.0, 3.0, 4.0, 6.0]), np.arange(4), level=0.95)
    >>> fit.estimate.round(6).tolist()
    [2.0, 3.0]
    """
    n, q = design.shape
    scale = np.maximum(np.sqrt((design**2).sum(axis=0)), 1e-300)
    x = design / scale
    gram = x.T @ x
    inverse = np.linalg.pinv(gram, hermitian=True)
    beta = inverse @ (x.T @ y)
    _, codes = np.unique(customers, return_inverse=True)
    groups = int(codes.max()) + 1
    scores = np.zeros((groups, q))
    np.add.at(scores, codes, x * (y - x @ beta)[:, None])
    correct = groups / max(groups - 1, 1) * (n - 1) / max(n - q, 1)
    variance = np.einsum("ij,jk,ik->i", inverse, scores.T @ scores, inverse) * correct
    reach = (
        float(stats.t.ppf((1 + level) / 2, max(groups - 1, 1)))
        * np.sqrt(np.maximum(variance, 0.0))
        / scale
    )
    estimate = beta / scale
    # collinear columns have nothing of their own: a pseudo-inverse would not say so
    own = 1 / np.diag(np.linalg.inv(gram + _RIDGE * np.eye(q)))
    alone = x.var(axis=0) * n
    own = np.where(alone > _RIDGE, own / np.maximum(alone, _RIDGE), 1.0)
    return Fit(estimate, estimate - reach, estimate + reach, own)
