"""From codes of columns to numbers that trees and straight lines can use."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import PredefinedSplit
from sklearn.preprocessing import TargetEncoder
from sklearn.utils.multiclass import type_of_target

from cxpredict.models.resampling import grouped_folds

__all__ = ["MANY_LEVELS", "Encoding", "Source", "learn_encoding"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

MANY_LEVELS = 10
"""Categories with more levels than this are encoded by the target, others one column a level."""
_FOLDS = 5
_GAP = -1.0


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
            known = np.where(np.isnan(codes), _GAP, codes).astype(np.intp) + 1
            return table[np.minimum(known, len(table) - 1)][:, None]
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
    codes: Floats, n_levels: list[int], target: Floats, groups: Ints
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
    groups : ndarray of int, shape (n,)
        Customer of each row.

    Returns
    -------
    tuple of (Encoding, ndarray of float)
        The encoding for other rows, and the numbers for these rows, shape (n, q).

    Notes
    -----
    A category with many levels becomes the mean target of its level, shrunk towards the mean of
    all rows by empirical Bayes (scikit-learn's `TargetEncoder`). The numbers of these rows come
    from other customers only: a row never meets its own target.

    References
    ----------
    Micci-Barreca (2001), A preprocessing scheme for high-cardinality categorical attributes.

    Examples
    --------
    >>> codes = np.array([[0.0], [1.0], [2.0]] * 2)
    >>> encoding, numbers = learn_encoding(codes, [3], np.arange(6.0), np.arange(6))
    >>> numbers[:3].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    many = [j for j, n in enumerate(n_levels) if n > MANY_LEVELS]
    sources = [
        Source("one_hot", n_levels=n) if 2 < n <= MANY_LEVELS else Source("as_is") for n in n_levels
    ]
    encoder, own = None, np.zeros((len(codes), 0))
    if many:
        encoder, own = _by_target(codes[:, many], target, groups)
    for place, j in enumerate(many):
        assert encoder is not None
        seen = np.asarray(encoder.categories_[place], dtype=np.intp) + 1
        means = np.full(n_levels[j] + 2, encoder.target_mean_)
        means[seen] = encoder.encodings_[place]
        sources[j] = Source("target", 0, tuple(means.tolist()), float(encoder.target_mean_))
    encoding = Encoding(tuple(sources))
    numbers = encoding.apply(codes)
    if many:
        numbers[:, np.isin(encoding.column_of, many)] = own
    return encoding, numbers


def _by_target(codes: Floats, target: Floats, groups: Ints) -> tuple[TargetEncoder, Floats]:
    n_folds = min(_FOLDS, len(np.unique(groups)))
    fold = grouped_folds(target, groups, n_folds=n_folds, rng=np.random.default_rng(0))
    kind = "binary" if type_of_target(target) == "binary" else "continuous"
    encoder = TargetEncoder(target_type=kind, cv=PredefinedSplit(fold))
    own = encoder.fit_transform(np.where(np.isnan(codes), _GAP, codes), target)
    return encoder, np.asarray(own, dtype=np.float64)
