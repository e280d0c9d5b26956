"""From codes of columns to numbers that trees and straight lines can use."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cxpredict.models.resampling import grouped_folds

__all__ = ["MANY_LEVELS", "Encoding", "Source", "learn_encoding"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

MANY_LEVELS = 10
"""Categories with more levels than this are encoded by the target, others one column a level."""
_FOLDS = 5


@dataclass(frozen=True)
class Source:
    """How one column becomes numbers.

    Parameters
    ----------
    kind : {"as_is", "one_hot", "target"}
        The number itself; one column of 0 and 1 per level; or the mean target of the level.
    n_levels : int
        Levels of a one-hot column.
    means : tuple of float
        Shrunk mean target of a gap, then of each level.
    unknown : float
        Mean target of all rows, for a level without a mean.
    """

    kind: str
    n_levels: int = 0
    means: tuple[float, ...] = ()
    unknown: float = 0.0

    @property
    def width(self) -> int:
        """Number of columns it becomes."""
        return self.n_levels if self.kind == "one_hot" else 1

    def apply(self, codes: Floats) -> Floats:
        """Encode codes of shape (n,) as numbers of shape (n, width)."""
        if self.kind == "one_hot":
            return np.asarray(codes[:, None] == np.arange(self.n_levels), dtype=np.float64)
        if self.kind == "target":
            table = np.array([*self.means, self.unknown])
            return table[np.minimum(_positions(codes), len(table) - 1)][:, None]
        return codes[:, None]


@dataclass(frozen=True)
class Encoding:
    """Numbers for every column of a model.

    Parameters
    ----------
    sources : tuple of Source
        One entry per column.
    """

    sources: tuple[Source, ...]

    @property
    def column_of(self) -> Ints:
        """The column from which each encoded column came."""
        widths = [source.width for source in self.sources]
        return np.repeat(np.arange(len(self.sources)), widths)

    def apply(self, codes: Floats) -> Floats:
        """Encode codes of shape (n, p), as numbers of shape (n, q); no splits on categories."""
        if all(source.kind == "as_is" for source in self.sources):
            return codes
        return np.hstack([source.apply(codes[:, j]) for j, source in enumerate(self.sources)])

    def to_state(self) -> list[dict[str, Any]]:
        """Return the encoding as lists, strings and numbers."""
        return [{**asdict(source), "means": list(source.means)} for source in self.sources]

    @classmethod
    def from_state(cls, state: list[dict[str, Any]]) -> Encoding:
        """Rebuild an encoding from `to_state`."""
        return cls(tuple(Source(**{**entry, "means": tuple(entry["means"])}) for entry in state))


def learn_encoding(
    codes: Floats, n_levels: list[int], target: Floats, weight: Floats, groups: Ints
) -> tuple[Encoding, Floats]:
    """Learn an encoding and encode the rows it is learned from, without telling their target.

    Parameters
    ----------
    codes : ndarray of float, shape (n, p)
        Columns as `ColumnPlan.encode` reads them.
    n_levels : list of int
        Levels of each category; 0 for numbers and flags.
    target : ndarray of float, shape (n,)
        One number per row.
    weight : ndarray of float, shape (n,)
        Sample weights.
    groups : ndarray of int, shape (n,)
        Customer of each row.

    Returns
    -------
    tuple of (Encoding, ndarray of float)
        The encoding for other rows, and the numbers for these rows, shape (n, q).

    Notes
    -----
    A category with many levels becomes the mean target of its level, shrunk towards the mean of
    all rows by empirical Bayes. The numbers of these rows come from other customers only: a row
    never meets its own target.

    References
    ----------
    Micci-Barreca (2001), A preprocessing scheme for high-cardinality categorical attributes.

    Examples
    --------
    >>> codes = np.array([[0.0], [1.0], [2.0]] * 2)
    >>> encoding, numbers = learn_encoding(codes, [3], np.arange(6.0), np.ones(6), np.arange(6))
    >>> numbers[:3].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    sources = []
    for j, n in enumerate(n_levels):
        if n > MANY_LEVELS:
            sources.append(_by_target(codes[:, j], n, target, weight))
        else:
            sources.append(Source("one_hot", n_levels=n) if n > 2 else Source("as_is"))
    encoding = Encoding(tuple(sources))
    many = [j for j, n in enumerate(n_levels) if n > MANY_LEVELS]
    if not many:
        return encoding, encoding.apply(codes)
    numbers = encoding.apply(codes)
    n_folds = min(_FOLDS, len(np.unique(groups)))
    fold = grouped_folds(target, groups, n_folds=n_folds, rng=np.random.default_rng(0))
    for j in many:
        place = int(np.flatnonzero(encoding.column_of == j)[0])
        for k in range(n_folds):
            inside, others = fold == k, fold != k
            source = _by_target(codes[others, j], n_levels[j], target[others], weight[others])
            numbers[inside, place] = source.apply(codes[inside, j])[:, 0]
    return encoding, numbers


def _positions(codes: Floats) -> Ints:
    """Return 0 for a gap, else the level plus 1."""
    return np.asarray(np.where(np.isnan(codes), -1.0, codes), dtype=np.intp) + 1


def _by_target(codes: Floats, n_levels: int, target: Floats, weight: Floats) -> Source:
    """Shrink the mean of each level by what means of equal levels would differ by chance.

    The variance between levels is estimated by moments (DerSimonian, Laird 1986).
    """
    at = _positions(codes)
    total: Floats = np.bincount(at, weight, minlength=n_levels + 1).astype(np.float64)
    sums: Floats = np.bincount(at, weight * target, minlength=n_levels + 1).astype(np.float64)
    grand = float(sums.sum() / total.sum())
    seen = total > 0
    mean = np.divide(sums, total, out=np.full(n_levels + 1, grand), where=seen)
    inside = float(weight @ (target - mean[at]) ** 2) / max(len(codes) - seen.sum(), 1)
    size = total[seen]
    spread = size @ (mean[seen] - grand) ** 2 - (seen.sum() - 1) * inside
    between = max(float(spread / max(size.sum() - size @ size / size.sum(), 1e-12)), 0.0)
    share = between * total / np.maximum(between * total + inside, 1e-12)
    means = grand + share * (mean - grand)
    return Source("target", 0, tuple(means.tolist()), grand)
