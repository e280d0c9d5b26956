"""Comments as counts of words and of pieces of words, in any language."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from cxpredict.features.text.answers import plain
from cxpredict.features.text.scrub import scrub_text

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
Counts = tuple[sparse.csr_matrix, ...]

FEWEST = 2
"""A word or piece that fewer customers wrote is not stored: it could be about one of them."""

MOST = 40_000
"""At most so many words, and so many pieces of words, the most frequent."""

_LONG = re.compile(r"(\w)\1{2,}")
_DIGIT = re.compile(r"\d")
_KINDS: tuple[dict[str, Any], ...] = (
    {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"\w+"},
    {"analyzer": "char_wb", "ngram_range": (2, 5)},
)


def prepare(text: str) -> str:
    """Scrub, fold, mask digits and shorten letters that are drawn out.

    Examples
    --------
    >>> prepare("Sooooo LATE!! Écrire à ana@example.org, gate 12")
    'soo late!! ecrire a [email], gate 00'
    """
    return _LONG.sub(r"\1\1", _DIGIT.sub("0", plain(scrub_text(text))))


class Vocabulary:
    """The words and pieces of words of prepared comments.

    Parameters
    ----------
    terms : sequence of sequences of str
        Words (and pairs of words), then pieces, in the order of the columns.

    Notes
    -----
    Words and pairs of them, and pieces of 2 to 5 letters within words, so that endings, compounds
    and typing errors matter less and scripts without spaces work. No list of stop words, no stems.
    """

    def __init__(self, terms: Sequence[Sequence[str]]) -> None:
        self.terms = [list(some) for some in terms]
        self._counters = [
            CountVectorizer(vocabulary=some, lowercase=False, **kind) if some else None
            for kind, some in zip(_KINDS, self.terms, strict=True)
        ]

    @classmethod
    def learn(cls, texts: Sequence[str], owner: Codes | None = None) -> Self:
        """Take what at least two customers wrote.

        Parameters
        ----------
        texts : sequence of str, length n
            Prepared comments.
        owner : ndarray of int, shape (n,), optional
            Number of the customer of each; by default equal comments are one customer's.
        """
        if owner is None:
            owner = np.unique(np.array(texts, dtype=object), return_inverse=True)[1]
        found: list[list[str]] = []
        for kind in _KINDS:
            counter = CountVectorizer(lowercase=False, min_df=FEWEST, max_features=MOST, **kind)
            try:
                counts = counter.fit_transform(texts)
            except ValueError:  # nothing stands in two comments
                found.append([])
            else:
                enough = held_by(counts, owner) >= FEWEST
                found.append([str(term) for term in counter.get_feature_names_out()[enough]])
        return cls(found)

    def __len__(self) -> int:
        return sum(len(some) for some in self.terms)

    def count(self, texts: Sequence[str]) -> Counts:
        """Count words and pieces: two matrices with one row per prepared comment."""
        return tuple(
            sparse.csr_matrix((len(texts), 0)) if counter is None else counter.transform(texts)
            for counter in self._counters
        )


def held_by(counts: sparse.csr_matrix, owner: Codes) -> npt.NDArray[np.intp]:
    """Count for each column the customers in whose rows it stands.

    Examples
    --------
    >>> held_by(sparse.csr_matrix([[1, 0], [2, 1], [0, 1]]), np.array([0, 0, 1])).tolist()
    [1, 2]
    """
    block = counts.tocoo()
    pairs = np.unique(np.column_stack([owner[block.row], block.col]), axis=0)
    return np.bincount(pairs[:, 1], minlength=counts.shape[1]).astype(np.intp)


def take(counts: Counts, rows: npt.NDArray[np.intp]) -> Counts:
    """Take some rows of both matrices."""
    return tuple(block[rows] for block in counts)


def weights(counts: Counts) -> list[Floats]:
    """Weigh each column by its rarity; 0 where fewer than two comments hold it.

    ``ln((1 + n) / (1 + df)) + 1``, scikit-learn's smooth idf.
    """
    found = []
    for block in counts:
        held = np.asarray((block > 0).sum(axis=0)).ravel()
        idf = np.log((1 + block.shape[0]) / (1 + held)) + 1
        found.append(np.round(np.where(held >= FEWEST, idf, 0.0), 4).astype(np.float64))
    return found


def tfidf(counts: Counts, idf: Sequence[Floats]) -> sparse.csr_matrix:
    """Weigh ``1 + ln(count)`` by rarity; each block of a row has length 1."""
    blocks = []
    for block, weight in zip(counts, idf, strict=True):
        damped = block.astype(np.float64)
        damped.data = 1.0 + np.log(damped.data)
        blocks.append(normalize(damped @ sparse.diags(weight)) if len(weight) else damped)
    return sparse.hstack(blocks).tocsr()
