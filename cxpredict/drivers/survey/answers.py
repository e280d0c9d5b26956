"""Answers to a survey as numbers: what can be analysed, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.checks import common_index, one_per_row
from cxpredict.errors import DataError, EmptyDataError
from cxpredict.models.resampling import bootstrap_counts, customer_groups

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

FEWEST_CUSTOMERS = 50
CUSTOMERS_PER_ATTRIBUTE = 10
FEWEST_APART = 11
"""Customers who must differ from the most frequent answer, lest a draw hold none of them."""
MOST_LEFT_OUT = 0.5
MOST_COLLINEAR = 1e-6


@dataclass(frozen=True, eq=False)
class Answers:
    """Complete answers: attributes, outcome, weights, customers.

    Attributes
    ----------
    attributes : tuple of str, length p
    x : ndarray, shape (n, p)
    y, weight : ndarray, shape (n,)
    customers : ndarray of int, shape (n,)
        0, 1, … for the customer of each row.
    n_answers : tuple of int, length p
        Answers to each attribute, complete or not.
    n_left_out : int
        Rows without an answer to some attribute or without an outcome.
    left_out_difference : tuple of float
        Mean outcome of the rows left out less that of the others, and its 95 % interval; NaN
        where fewer than two of the rows left out have an outcome.
    """

    attributes: tuple[str, ...]
    x: Floats
    y: Floats
    weight: Floats
    customers: Ints
    n_answers: tuple[int, ...]
    n_left_out: int
    left_out_difference: tuple[float, float, float]

    @property
    def n_customers(self) -> int:
        """Customers with complete answers."""
        return int(self.customers.max()) + 1


def read_answers(X: Any, y: Any, *, weights: Any = None, customers: Any = None) -> Answers:
    """Check survey answers and keep the complete ones.

    Parameters
    ----------
    X : DataFrame, shape (n, p)
        One numeric column per attribute.
    y : array-like of numbers, length n
        Outcome.
    weights : array-like of positive numbers, optional
    customers : array-like, optional
        Customer of each row; default the index level ``customer_id``, else each row is one.

    Returns
    -------
    Answers

    Raises
    ------
    DataError
        What is given is no number, infinite, of another length or index, constant or nearly so,
        perfectly collinear, or too little: 50 customers and 10 per attribute are needed, and at
        least half of the rows must be complete.

    Notes
    -----
    A row counts if it has all attributes and the outcome (complete cases). That is unbiased for
    the regression where who leaves a question out does not depend on the outcome given the
    attributes; `left_out_difference` shows the part of this that can be seen. Pairwise deletion is
    not offered: its correlations belong to different customers, and may fit together in no sample.

    Examples
    --------
    >>> X = pd.DataFrame({"price": [1.0, 2.0, None, 4.0] * 20, "staff": [1, 3, 2, 2] * 20})
    >>> answers = read_answers(X, X["staff"] + np.arange(80) % 3)
    >>> answers.x.shape, answers.n_left_out, answers.n_answers
    ((60, 2), 20, (60, 80))
    """
    if not isinstance(X, pd.DataFrame) or not X.shape[1] or not X.columns.is_unique:
        raise DataError("X: expected a DataFrame with one column per attribute, each name once.")
    if not len(X):
        raise EmptyDataError("X: there are no answers.")
    attributes = tuple(str(name) for name in X.columns)
    x = np.column_stack([_numbers(str(name), X[name], X) for name in X.columns])
    outcome = _numbers("y", y, X)
    weight = np.ones(len(X)) if weights is None else _numbers("weights", weights, X)
    bad = int((~(weight > 0)).sum())
    if bad:
        raise DataError(f"weights: {bad:,} of {len(X):,} are not above 0. Leave these rows out.")
    complete = ~np.isnan(x).any(axis=1) & ~np.isnan(outcome)
    n_answers = tuple(int(count) for count in (~np.isnan(x)).sum(axis=0))
    if complete.mean() < 1 - MOST_LEFT_OUT:
        fewest = ", ".join(
            f"{attributes[place]} ({n_answers[place]:,})" for place in np.argsort(n_answers)[:3]
        )
        raise DataError(
            f"only {int(complete.sum()):,} of {len(X):,} rows have all {x.shape[1]} attributes and "
            f"the outcome; at least half are needed. Fewest answers: {fewest}. Leave out "
            "attributes that were seldom asked."
        )
    codes, known = pd.factorize(_customers(X, customers)[complete])
    answers = Answers(
        attributes,
        x[complete],
        outcome[complete],
        weight[complete],
        np.asarray(codes, dtype=np.intp),
        n_answers,
        int((~complete).sum()),
        _difference(outcome[~complete], outcome[complete]),
    )
    needed = max(FEWEST_CUSTOMERS, CUSTOMERS_PER_ATTRIBUTE * x.shape[1])
    if len(known) < needed:
        raise DataError(
            f"{x.shape[1]} attributes need complete answers of {needed} customers, got "
            f"{len(known)}. Ask more customers, or leave out attributes."
        )
    for name, column in zip((*attributes, "y"), (*answers.x.T, answers.y), strict=True):
        _check_varies(name, column, answers.customers)
    check_collinear(answers.attributes, answers.x, answers.weight)
    return answers


def standardised(values: Floats, weight: Floats) -> Floats:
    """Give columns weighted mean 0 and variance 1."""
    centred = values - np.average(values, axis=0, weights=weight)
    scaled: Floats = centred / np.sqrt(np.average(centred**2, axis=0, weights=weight))
    return scaled


def moments(
    values: Floats, weight: Floats, customers: Ints, *, n_draws: int, random_state: int
) -> tuple[Floats, Floats]:
    """Give weighted cross products of columns, for the sample and for draws of customers.

    Parameters
    ----------
    values : ndarray, shape (n, q)
    weight : ndarray, shape (n,)
    customers : ndarray of int, shape (n,)
        Rows of a customer are drawn together.
    n_draws, random_state : int
        Number and seed of the bootstrap samples.

    Returns
    -------
    ndarray, shape (q, q)
    ndarray, shape (n_draws, q, q)

    Examples
    --------
    >>> ones, customers = np.ones(4), np.arange(4)
    >>> sample, draws = moments(ones[:, None], ones, customers, n_draws=2, random_state=0)
    >>> sample.tolist(), draws.ravel().tolist()
    ([[4.0]], [4.0, 4.0])
    """
    q, n = values.shape[1], int(customers.max()) + 1
    row, column = np.triu_indices(q)
    by_customer = np.zeros((n, len(row)))
    np.add.at(by_customer, customers, values[:, row] * values[:, column] * weight[:, None])
    rng = np.random.default_rng(random_state)
    counts = bootstrap_counts(np.arange(n), n_draws=n_draws, rng=rng)
    triangles = [by_customer.sum(axis=0)[None], *_products(counts, by_customer)]
    full = np.empty((1 + n_draws, q, q))
    full[:, row, column] = full[:, column, row] = np.concatenate(triangles)
    return full[0], full[1:]


def _products(counts: Iterator[Floats], by_customer: Floats) -> Iterator[Floats]:
    block: list[Floats] = []
    for count in counts:
        block.append(count)
        if len(block) == 50:
            yield np.stack(block) @ by_customer
            block = []
    if block:
        yield np.stack(block) @ by_customer


def _numbers(name: str, values: Any, X: pd.DataFrame) -> Floats:
    common_index(**{"X": X, name: values})
    one_per_row(name, values, len(X), "rows of X")
    column = values if isinstance(values, pd.Series) else pd.Series(np.asarray(values))
    kind = column.dtype
    if pd.api.types.is_bool_dtype(kind) or not pd.api.types.is_numeric_dtype(kind):
        raise DataError(
            f"{name}: expected numbers, got {kind}. Convert text with pandas.to_numeric, yes/no "
            "with .astype(int); categories have no place on a scale."
        )
    if pd.api.types.is_complex_dtype(kind):
        raise DataError(f"{name}: expected real numbers, got {kind}.")
    numbers: Floats = column.to_numpy(dtype=np.float64, na_value=np.nan)
    infinite = int(np.isinf(numbers).sum())
    if infinite:
        raise DataError(f"{name}: {infinite:,} of {len(numbers):,} values are infinite.")
    return numbers


def _customers(X: pd.DataFrame, customers: Any) -> npt.NDArray[Any]:
    if customers is None:
        return customer_groups(X, n_rows=len(X))
    common_index(X=X, customers=customers)
    one_per_row("customers", customers, len(X), "rows of X")
    ids = pd.Series(np.asarray(customers))
    if ids.isna().any():
        raise DataError(
            f"customers: expected an id for each of {len(X):,} rows, got "
            f"{int(ids.notna().sum()):,}."
        )
    return np.asarray(pd.factorize(ids)[0])


def _difference(left_out: Floats, used: Floats) -> tuple[float, float, float]:
    known = left_out[~np.isnan(left_out)]
    if len(known) < 2 or len(used) < 2:
        return (np.nan, np.nan, np.nan)
    difference = float(known.mean() - used.mean())
    reach = 1.96 * float(np.sqrt(known.var(ddof=1) / len(known) + used.var(ddof=1) / len(used)))
    return difference, difference - reach, difference + reach


def _check_varies(name: str, column: Floats, customers: Ints) -> None:
    levels, counts = np.unique(column, return_counts=True)
    apart = len(np.unique(customers[column != levels[counts.argmax()]]))
    if apart < FEWEST_APART:
        raise DataError(
            f"{name}: {apart} customers differ from the most frequent answer; at least "
            f"{FEWEST_APART} must. Leave it out: what does not vary explains nothing."
        )


def check_collinear(attributes: Sequence[str], columns: Floats, weight: Floats) -> None:
    """Refuse columns of which one follows from others, naming the attributes they are of."""
    z = standardised(columns, weight)
    correlation = z.T @ (z * weight[:, None]) / weight.sum()
    values, vectors = np.linalg.eigh(correlation)
    if values[0] < MOST_COLLINEAR:
        loading = np.abs(vectors[:, values < MOST_COLLINEAR]).max(axis=1)
        names = [n for n, load in zip(attributes, loading, strict=True) if load > 1e-3]
        named = ", ".join(list(dict.fromkeys(names))[:5])
        raise DataError(
            f"attributes {named} are perfectly collinear: one follows from the others. "
            "Leave one of them out, or analyse their mean."
        )
