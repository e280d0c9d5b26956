"""What an ensemble learns from: rows, each asked one or more yes-or-no questions in a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Cases", "Split", "offsets_of"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Split = tuple[Ints, Ints]


@dataclass(frozen=True)
class Cases:
    """Rows and their answers at K steps: thresholds of a score, periods of time, or just one.

    Parameters
    ----------
    codes : ndarray of float, shape (n, p)
        Columns as `ColumnPlan.encode` reads them.
    event : ndarray of {0., 1., NaN}, shape (n, K)
        Answers; NaN where a row was not asked.
    weight : ndarray of float, shape (n,)
        Sample weights, mean 1.
    groups : ndarray of int, shape (n,)
        Customer of each row.
    target : ndarray of float, shape (n,)
        One number per row by which levels of categories are compared.
    falling : bool, default False
        Whether a later step can only have a lower probability.
    """

    codes: Floats
    event: Floats
    weight: Floats
    groups: Ints
    target: Floats
    falling: bool = False

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return int(self.event.shape[1])

    def asked(self, rows: Ints) -> tuple[Ints, Ints]:
        """Return position within `rows`, and step, of every answer that exists, by row."""
        position, step = np.nonzero(~np.isnan(self.event[rows]))
        return position, step

    def at_steps(self, matrix: Floats, position: Ints, step: Ints) -> Floats:
        """Return the features of each answer; with more than one step, the step is the last."""
        if self.n_steps == 1:
            return matrix if len(position) == len(matrix) else matrix[position]
        return np.column_stack([matrix[position], step])


def offsets_of(cases: Cases, rows: Ints | None = None) -> Floats:
    """Return the log-odds of the base rate at each step, shape (K,), over some of the rows."""
    event = cases.event if rows is None else cases.event[rows]
    weight = cases.weight if rows is None else cases.weight[rows]
    known = ~np.isnan(event)
    mass = weight[:, None] * known
    # Added at both sides, so that a step that nobody was asked is even.
    rate = (np.where(known, event, 0.0) * mass).sum(axis=0) + 1e-9
    rate = (rate / (mass.sum(axis=0) + 2e-9)).clip(1e-4, 1.0 - 1e-4)
    return np.asarray(np.log(rate / (1.0 - rate)))
