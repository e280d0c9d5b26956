"""A logistic regression on splines: smooth effects that trees need many splits for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.interpolate import BSpline
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import SplineTransformer

__all__ = ["Basis", "Linear", "fit_paths", "learn_basis"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

_KNOTS = (6, 5, 4)
_WORK = 1e9
"""Multiplications that one Newton step may take; fewer knots, or none, beyond it."""
_TAIL = 0.005
_FEW_VALUES = 4


@dataclass(frozen=True)
class Term:
    """One encoded column in the regression: gap flag, straight line, spline.

    Parameters
    ----------
    fill : float
        Median; read for a gap.
    gap_rate : float or None
        Share of gaps at fit; None if the column had none.
    low, high : float
        Values beyond are read as these.
    centre, scale : float
        Mean and standard deviation of the clipped values.
    knots : tuple of float
        Knots of the cubic spline; none for a straight line alone.
    means : tuple of float
        Mean of each spline column.
    """

    fill: float
    gap_rate: float | None
    low: float
    high: float
    centre: float
    scale: float
    knots: tuple[float, ...] = ()
    means: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Number of columns in the regression."""
        return (self.gap_rate is not None) + 1 + len(self.means)

    def apply(self, values: Floats) -> list[Floats]:
        """Return the centred columns of one encoded column."""
        gap, clipped = self.clipped(values)
        columns = [] if self.gap_rate is None else [np.asarray(gap - self.gap_rate)]
        columns.append((clipped - self.centre) / self.scale)
        if self.knots:
            columns += list((_spline(self.knots, clipped) - np.array(self.means)).T)
        return columns

    def clipped(self, values: Floats) -> tuple[Flags, Floats]:
        """Return where the gaps are, and the values within bounds, gaps filled."""
        gap = np.isnan(values)
        return gap, np.where(gap, self.fill, values).clip(self.low, self.high)


@dataclass(frozen=True)
class Effect:
    """The weighted sum of the columns of one term: a step at a gap, a line, a curve."""

    term: Term
    step: float
    line: float
    curve: BSpline | None
    level: float

    @classmethod
    def of(cls, term: Term, coefficients: Floats) -> Effect:
        """Weigh the columns of a term."""
        steps = int(term.gap_rate is not None)
        bends = coefficients[steps + 1 :]
        return cls(
            term,
            float(coefficients[0]) if steps else 0.0,
            float(coefficients[steps]),
            _curve(term.knots, bends) if len(bends) else None,
            float(bends @ np.array(term.means)),
        )

    def at(self, values: Floats) -> Floats:
        """Return the sum for each value."""
        gap, clipped = self.term.clipped(values)
        total = self.line * ((clipped - self.term.centre) / self.term.scale)
        if self.curve is not None:
            inside = clipped.clip(self.term.knots[0], self.term.knots[-1])
            total += self.curve(inside) - self.level
        if self.term.gap_rate is not None:
            total += self.step * (gap - self.term.gap_rate)
        return np.asarray(total)


def _curve(knots: tuple[float, ...], coefficients: Floats) -> BSpline:
    """Return one spline for the weighted columns of `_spline`, inside the knots."""
    columns = _transformer(knots).bsplines_[0]
    return BSpline.construct_fast(columns.t, columns.c[:, :-1] @ coefficients, columns.k)


def _transformer(knots: tuple[float, ...]) -> SplineTransformer:
    at = np.array(knots)[:, None]
    return SplineTransformer(knots=at, extrapolation="constant", include_bias=False).fit(at)


def _spline(knots: tuple[float, ...], values: Floats) -> Floats:
    # scikit-learn refuses no rows.
    rows = values if len(values) else np.zeros(1)
    return np.asarray(_transformer(knots).transform(rows[:, None]))[: len(values)]


@dataclass(frozen=True)
class Basis:
    """Terms for each encoded column (None for a constant one)."""

    terms: tuple[Term | None, ...]

    @property
    def column_of(self) -> Ints:
        """The encoded column of each column of the regression."""
        widths = [0 if term is None else term.width for term in self.terms]
        return np.repeat(np.arange(len(self.terms)), widths)

    def apply(self, matrix: Floats) -> Floats:
        """Return the columns of the regression, shape (n, number of coefficients)."""
        columns = [np.zeros((len(matrix), 0))]
        for j, term in enumerate(self.terms):
            if term is not None:
                columns += [column[:, None] for column in term.apply(matrix[:, j])]
        return np.hstack(columns)


@dataclass(frozen=True)
class Linear:
    """A fitted regression.

    Parameters
    ----------
    basis : Basis
        Its columns.
    intercept : float
        Log-odds at the mean of every column.
    coefficients : tuple of float
        One per column of the basis.
    """

    basis: Basis
    intercept: float
    coefficients: tuple[float, ...]

    def contributions(self, matrix: Floats) -> tuple[Floats, float]:
        """Return what each encoded column adds to the log-odds, and the base."""
        values = np.zeros(matrix.shape)
        for column, effect in self._effects:
            values[:, column] = effect.at(matrix[:, column])
        return values, self.intercept

    @cached_property
    def _effects(self) -> list[tuple[int, Effect]]:
        """What each column of the table adds, but those that the regression left out."""
        column_of, coefficients = self.basis.column_of, np.array(self.coefficients)
        return [
            (column, Effect.of(term, coefficients[column_of == column]))
            for column, term in enumerate(self.basis.terms)
            if term is not None
        ]

    def to_state(self) -> dict[str, Any]:
        """Return the regression as lists, strings and numbers."""
        terms = [None if term is None else asdict(term) for term in self.basis.terms]
        return {
            "terms": terms,
            "intercept": self.intercept,
            "coefficients": list(self.coefficients),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Linear:
        """Rebuild a regression from `to_state`."""
        terms = tuple(
            entry
            and Term(**{**entry, "knots": tuple(entry["knots"]), "means": tuple(entry["means"])})
            for entry in state["terms"]
        )
        return cls(Basis(terms), state["intercept"], tuple(state["coefficients"]))


def learn_basis(matrix: Floats) -> Basis:
    """Choose the terms of each encoded column.

    Notes
    -----
    Columns of more than four values get a cubic spline with knots at quantiles, as many as the
    number of rows and columns allow. All columns are centred, so that coefficients times values
    are contributions.

    Examples
    --------
    >>> basis = learn_basis(np.column_stack([np.arange(100.0), np.ones(100)]))
    >>> [term is None for term in basis.terms]
    [False, True]
    """
    values = [np.unique(column[~np.isnan(column)]) for column in matrix.T]
    curved = sum(len(known) > _FEW_VALUES for known in values)
    fits = [k for k in _KNOTS if len(matrix) * (len(values) + curved * (k + 1)) ** 2 <= _WORK]
    n_knots = max(fits, default=0)
    return Basis(
        tuple(_term(column, known, n_knots) for column, known in zip(matrix.T, values, strict=True))
    )


def _term(column: Floats, known: Floats, n_knots: int) -> Term | None:
    gap = np.isnan(column)
    if len(known) == 0 or (len(known) == 1 and not gap.any()):
        return None
    inside = column[~gap]
    fill = float(np.median(inside))
    low, high = np.quantile(inside, [_TAIL, 1.0 - _TAIL])
    if low == high or len(known) <= _FEW_VALUES:
        low, high = known[0], known[-1]
    clipped = np.where(gap, fill, column).clip(low, high)
    if not gap.any() and high - low < 1e-100:
        return None
    # A rare flag must not become a huge number.
    scale = max(float(clipped.std()), 0.2 * float(high - low), 1e-12)
    term = Term(
        fill=fill,
        gap_rate=float(gap.mean()) if gap.any() else None,
        low=float(low),
        high=float(high),
        centre=float(clipped.mean()),
        scale=scale if high > low else 1.0,
    )
    if n_knots == 0 or len(known) <= _FEW_VALUES or high - low < 1e-100:
        return term
    knots = tuple(np.unique(np.quantile(clipped, np.linspace(0.0, 1.0, n_knots))).tolist())
    if len(knots) < 3:
        return term
    means = tuple(_spline(knots, clipped).mean(axis=0).tolist())
    return Term(**{**asdict(term), "knots": knots, "means": means})


def fit_paths(
    basis: Basis, matrix: Floats, y: Floats, weight: Floats, strengths: tuple[float, ...]
) -> list[Linear]:
    """Fit one ridge-penalised regression per strength, each starting from the one before.

    Parameters
    ----------
    basis : Basis
        Columns.
    matrix : ndarray of float, shape (n, q)
        Encoded features.
    y : ndarray of {0., 1.}, shape (n,)
        Target.
    weight : ndarray of float, shape (n,)
        Sample weights.
    strengths : tuple of float
        Inverse penalties, rising.

    Returns
    -------
    list of Linear
        The fits, in the order of `strengths`.
    """
    columns = basis.apply(matrix)
    if columns.shape[1] == 0:
        rate = np.average(y, weights=weight).clip(1e-9, 1.0 - 1e-9)
        return [Linear(basis, float(np.log(rate / (1.0 - rate))), ()) for _ in strengths]
    regression = LogisticRegression(
        solver="newton-cholesky", warm_start=True, max_iter=100, tol=1e-4
    )
    fits = []
    for strength in strengths:
        regression.set_params(C=strength).fit(columns, y, sample_weight=weight)
        coefficients = tuple(regression.coef_[0].tolist())
        fits.append(Linear(basis, float(regression.intercept_[0]), coefficients))
    return fits
