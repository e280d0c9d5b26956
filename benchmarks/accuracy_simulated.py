"""Tables of shapes that the four real ones of ``benchmarks/accuracy.py`` do not have.

The same numbers on every machine. A model tuned to the real four shows here what that costs it.

- **wide and rare**: 20,000 × 200, 2 % leave; a fifth of the columns matters, many are counts, some
  have gaps, some gaps tell.
- **high-cardinality**: 30,000 rows; a text column of 2,000 levels (frequent and rare ones) and one
  of 300 matter as much as the numbers do.
- **tiny**: 300 rows, 12 columns.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

Table = tuple[pd.DataFrame, pd.Series]
SEED = 2026


def wide_rare(n: int = 20_000, p: int = 200, rate: float = 0.02) -> Table:
    """Make many columns of which few matter, and few customers who leave."""
    rng = np.random.default_rng(SEED)
    shared = rng.normal(size=(n, 20))
    latent = 0.6 * shared[:, np.arange(p) % 20] + 0.8 * rng.normal(size=(n, p))
    matters = rng.permutation(p)[: p // 5]
    weight = np.zeros(p)
    weight[matters] = rng.normal(size=len(matters)) * 0.35
    score = latent @ weight
    for a, b in matters[:20].reshape(10, 2):
        score += 0.4 * (latent[:, a] > 0.8) * (latent[:, b] > 0.5)
    score += 0.5 * np.abs(latent[:, matters[21]])
    X = pd.DataFrame(latent, columns=[f"measure_{i:03d}" for i in range(p)])
    for i in range(0, p, 2):  # every other column is a count with many zeros
        X.iloc[:, i] = np.floor(np.exp(latent[:, i]) * 1.5)
    for i in range(0, p, 7):
        X.iloc[rng.random(n) < 0.15, i] = np.nan
    silent = rng.random(n) < 0.1
    X.loc[silent, X.columns[matters[:3]]] = np.nan
    return X, leave(score + 0.8 * silent, rate, rng)


def high_cardinality(n: int = 30_000, rate: float = 0.25) -> Table:
    """Make two text columns of many levels that matter, and numbers."""
    rng = np.random.default_rng(SEED + 1)
    cities, places = 2_000, 300
    city = levels_of(rng, n, cities, skew=0.9)
    place = levels_of(rng, n, places, skew=0.7)
    numbers = rng.normal(size=(n, 8))
    plan = rng.choice(["basic", "plus", "gold"], size=n, p=[0.6, 0.3, 0.1])
    score = (
        (rng.normal(size=cities) * 0.7)[city]
        + (rng.normal(size=places) * 0.6)[place]
        + numbers[:, :4] @ np.array([0.5, -0.4, 0.3, 0.2])
        + 0.5 * (numbers[:, 0] > 0) * (plan == "basic")
        - 0.4 * (plan == "gold")
    )
    X = pd.DataFrame(numbers, columns=[f"measure_{i}" for i in range(8)])
    X["city"] = pd.Series(names(rng, "city", cities)[city], dtype="str")
    X["place"] = pd.Series(names(rng, "place", places)[place], dtype="str")
    X["plan"] = pd.Series(plan, dtype="str")
    X.loc[rng.random(n) < 0.03, "place"] = None
    return X, leave(score, rate, rng)


def tiny(n: int = 300, rate: float = 0.3) -> Table:
    """Make few rows."""
    rng = np.random.default_rng(SEED + 2)
    numbers = rng.normal(size=(n, 9))
    plan = rng.choice(["a", "b", "c", "d"], size=n)
    score = numbers[:, :3] @ np.array([0.9, -0.7, 0.5]) + 0.8 * (plan == "a")
    X = pd.DataFrame(numbers, columns=[f"measure_{i}" for i in range(9)])
    X["plan"] = pd.Series(plan, dtype="str")
    X["flag"] = rng.random(n) < 0.4
    X["visits"] = rng.poisson(3, n)
    return X, leave(score, rate, rng)


def leave(score: np.ndarray, rate: float, rng: np.random.Generator) -> pd.Series:
    """Draw who leaves, from log-odds shifted so that the mean probability is the rate."""
    low, high = -50.0, 50.0
    for _ in range(60):
        middle = (low + high) / 2
        over = (1 / (1 + np.exp(-score - middle))).mean() > rate
        low, high = (low, middle) if over else (middle, high)
    p = 1 / (1 + np.exp(-score - low))
    return pd.Series((rng.random(len(score)) < p).astype(int), name="churned")


def levels_of(rng: np.random.Generator, n: int, levels: int, skew: float) -> np.ndarray:
    """Draw levels of which the first are frequent and the last rare."""
    share = np.arange(1, levels + 1) ** -skew
    return rng.choice(levels, size=n, p=share / share.sum())


def names(rng: np.random.Generator, word: str, levels: int) -> np.ndarray:
    """Name levels so that neither frequency nor effect follows the alphabet."""
    return np.array([f"{word} {i:04d}" for i in rng.permutation(levels)], dtype=object)


SIMULATED: dict[str, Callable[[], Table]] = {
    "wide_rare": wide_rare,
    "high_cardinality": high_cardinality,
    "tiny": tiny,
}
