"""The likeliest theme of a text, and how sure that is: without a word on when to say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import expit, logit

from cxpredict.errors import ModelError
from cxpredict.features.text.codebook import Codebook
from cxpredict.features.text.linear import Calibrator, Linear, parts
from cxpredict.features.text.vectors import Counts, Vocabulary, prepare, take, tfidf, weights

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
OTHER = -1
"""Code of a text that belongs to no theme, or that nothing is known about."""


@dataclass(frozen=True)
class Guesser:
    """One regression per theme on words, pieces of words and hits of seed words."""

    book: Codebook
    vocabulary: Vocabulary
    idf: list[Floats]
    linear: Linear
    calibrator: Calibrator

    @classmethod
    def fit(
        cls,
        book: Codebook,
        texts: Sequence[str],
        truth: Codes,
        fold: Codes,
        *,
        owner: Codes,
        k: int,
    ) -> tuple[Self, Codes, Floats]:
        """Learn from comments; also guess each from models that did not see its fold.

        Parameters
        ----------
        book : Codebook
            Maybe without themes.
        texts : sequence of str, length n
            Comments as they were written.
        truth : ndarray of int, shape (n,)
            Theme of each, 0 to k - 1, or `OTHER`.
        fold, owner : ndarray of int, shape (n,)
            Fold and customer of each.
        k : int
            Number of themes.

        Returns
        -------
        guesser : Guesser
        guess : ndarray of int, shape (n,)
            Out of fold.
        evidence : ndarray of shape (n, 2)
            What speaks for the guess; see `_guesses`.

        Raises
        ------
        ModelError
            No two customers share a word, and there are no seed words.
        """
        prepared = [prepare(text) for text in texts]
        vocabulary = Vocabulary.learn(prepared, owner)
        if not len(vocabulary) and not book.themes:
            raise ModelError(
                f"themes: expected words that two customers share, found none in {len(texts):,} "
                "comments; give more examples or seed words"
            )
        counts = vocabulary.count(prepared)
        seeds = sparse.csr_matrix(book.hits(texts).astype(np.float64))
        hit = truth[:, None] == np.arange(k)
        prior = logit((hit.sum(axis=0) + 0.5) / (len(hit) + 1.0))
        margins = np.tile(prior, (len(texts), 1))
        for train, test in parts(fold):
            there = np.flatnonzero(hit[train].any(axis=0) & ~hit[train].all(axis=0))
            if len(there):
                idf = weights(take(counts, train))
                known, new = (
                    _matrix(take(counts, rows), idf, seeds[rows]) for rows in (train, test)
                )
                model = Linear.fit(known, hit[np.ix_(train, there)])
                margins[np.ix_(test, there)] = model.margins(new)
        guess, evidence = _guesses(margins)
        idf = weights(counts)
        linear = Linear.fit(_matrix(counts, idf, seeds), hit)
        calibrator = Calibrator.fit(evidence, guess == truth)
        return cls(book, vocabulary, idf, linear, calibrator), guess, evidence

    def guess(self, texts: Sequence[str]) -> tuple[Codes, Floats]:
        """Return the likeliest theme of comments (`OTHER`: no known word), confidence."""
        seeds = sparse.csr_matrix(self.book.hits(texts).astype(np.float64))
        counts = self.vocabulary.count([prepare(text) for text in texts])
        matrix = _matrix(counts, self.idf, seeds)
        guess, evidence = _guesses(self.linear.margins(matrix))
        known = np.diff(matrix.indptr) > 0
        return np.where(known, guess, OTHER), self.calibrator.probability(evidence)

    def to_state(self) -> dict[str, Any]:
        """Return plain lists."""
        return {
            "codebook": self.book.seeds,
            "terms": self.vocabulary.terms,
            "idf": [weight.tolist() for weight in self.idf],
            "linear": self.linear.to_state(),
            "calibrator": self.calibrator.to_state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Rebuild what `to_state` gave."""
        return cls(
            Codebook(state["codebook"]),
            Vocabulary(state["terms"]),
            [np.array(weight) for weight in state["idf"]],
            Linear.from_state(state["linear"]),
            Calibrator.from_state(state["calibrator"]),
        )


def _matrix(counts: Counts, idf: Sequence[Floats], seeds: sparse.csr_matrix) -> sparse.csr_matrix:
    return sparse.hstack([tfidf(counts, idf), seeds]).tocsr()


def _guesses(margins: Floats) -> tuple[Codes, Floats]:
    """Return the likeliest theme, and what speaks for it: its log-odds alone and among all."""
    guess = margins.argmax(axis=1)
    probability = np.clip(expit(margins), 1e-6, 1 - 1e-6)
    best = probability[np.arange(len(margins)), guess]
    alone = logit(best)
    share = np.clip(best / probability.sum(axis=1), 1e-6, 1 - 1e-6)
    return guess, np.column_stack([alone, logit(share) if margins.shape[1] > 1 else alone])
