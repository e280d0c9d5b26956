"""From which confidence on a tag is right often enough, and what that measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
NEVER = 2.0
"""A threshold that no confidence reaches."""

CAUTION = 0.95
"""Level of the one-sided bound that the chosen threshold must pass."""

_CUTS = 100


def wilson(right: Floats, n: Floats, *, level: float) -> tuple[Floats, Floats]:
    """Return the two-sided Wilson score interval of a share.

    Examples
    --------
    >>> low, high = wilson(np.array([8.0]), np.array([10.0]), level=0.95)
    >>> round(float(low[0]), 4), round(float(high[0]), 4)
    (0.4902, 0.9433)
    """
    z = norm.ppf((1 + level) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = right / n
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def threshold(confidence: Floats, right: Bools, *, precision: float) -> float:
    """Choose the lowest confidence from which on guesses are right often enough.

    Parameters
    ----------
    confidence : ndarray of shape (n,)
        Of out-of-fold guesses.
    right : ndarray of bool, shape (n,)
        Whether the guess was right.
    precision : float in (0, 1)
        Wanted share of right ones among those tagged.

    Returns
    -------
    float
        `NEVER` where even the surest guesses do not show it.

    Notes
    -----
    The lower Wilson bound (one-sided, 95 %) of the precision must reach the wanted one, so a small
    sample abstains rather than trusts its luck: without any wrong guess .85 takes 16 right ones.
    Cuts are the hundredths of the ranking. That the best of many cuts is taken adds optimism, which
    the bound has to pay for; `CommentThemes.table` measures what is left of it.

    Examples
    --------
    >>> confidence = np.linspace(1, 0, 200)
    >>> threshold(confidence, confidence > 0.5, precision=0.85) < 0.5
    True
    >>> threshold(confidence[:10], confidence[:10] > 0.5, precision=0.85) == NEVER
    True
    """
    order = np.argsort(-confidence, kind="stable")
    ranked, hits = confidence[order], np.cumsum(right[order])
    n = len(order)
    ends = np.unique(np.ceil(np.arange(1, _CUTS + 1) * n / _CUTS).astype(int)) - 1
    # equal confidences are tagged together
    ends = np.unique(np.searchsorted(-ranked, -ranked[ends], side="right") - 1)
    low, _ = wilson(hits[ends].astype(float), ends + 1.0, level=2 * CAUTION - 1)
    enough = np.flatnonzero(low >= precision)
    return float(ranked[ends[enough[-1]]]) if len(enough) else NEVER


def thresholds(
    guess: npt.NDArray[np.intp], confidence: Floats, right: Bools, *, precision: float, k: int
) -> Floats:
    """Choose one threshold per theme: that of all themes, higher for a theme that needs it.

    Parameters
    ----------
    guess : ndarray of int, shape (n,)
        Theme of each out-of-fold guess, 0 to k - 1.
    confidence, right, precision
        As `threshold`.
    k : int
        Number of themes.

    Returns
    -------
    ndarray of shape (k,)

    Notes
    -----
    Within a theme the estimate (half a right and half a wrong guess added) must reach the wanted
    precision too, else sure themes would hide a bad one.
    """
    common = threshold(confidence, right, precision=precision)
    found = np.full(k, common)
    for theme in range(k):
        mine = np.flatnonzero((guess == theme) & (confidence >= common))
        if not len(mine):
            continue
        order = mine[np.argsort(-confidence[mine], kind="stable")]
        hits = np.cumsum(right[order])
        share = (hits + 0.5) / (np.arange(len(order)) + 2.0)
        last = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))
        enough = last[share[last] >= precision]
        if not len(enough):
            found[theme] = NEVER
        elif enough[-1] < len(order) - 1:
            found[theme] = confidence[order[enough[-1]]]
    return found


def measured(
    names: Sequence[str],
    truth: npt.NDArray[np.intp],
    guess: npt.NDArray[np.intp],
    tagged: Bools,
    *,
    level: float,
) -> list[dict[str, float | str]]:
    """Count tags, right ones and their Wilson interval, per theme and for all together."""
    rows: list[dict[str, float | str]] = []
    for theme, name in [*enumerate(names), (-1, "all")]:
        mine = tagged & ((guess == theme) | (theme < 0))
        true = (truth == theme) | (theme < 0)
        n, right = float(mine.sum()), float((mine & (guess == truth)).sum())
        low, high = wilson(np.array([right]), np.array([n]), level=level)
        precision = right / n if n else float("nan")
        share = float((mine & true).sum() / true.sum()) if true.any() else float("nan")
        rows.append(
            {
                "theme": name,
                "examples": float(true.sum()),
                "tagged": n,
                "coverage": share,
                "precision": precision,
                "low": float(low[0]),
                "high": float(high[0]),
            }
        )
    return rows
