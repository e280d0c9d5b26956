"""Intervals of one NPS: Wald, adjusted Wald, Jeffreys, bootstrap."""

from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from cxpredict.data.checks import Floats, check_level
from cxpredict.errors import DataError
from cxpredict.value.nps.answers import Answers
from cxpredict.value.nps.posterior import Posterior

Method = Literal["adjusted_wald", "wald", "jeffreys", "bootstrap"]
METHODS = ("adjusted_wald", "wald", "jeffreys", "bootstrap")
REPLICATES = 2_000
_MADE_UP = 3.0
_CHUNK = 5_000_000


class Interval(NamedTuple):
    """Limits and standard error, as shares from −1 to 1."""

    low: float
    high: float
    se: float


def interval(answers: Answers, level: float, method: str, rng: np.random.Generator) -> Interval:
    """Return the interval of the NPS of one group; it holds the estimate."""
    tails = [(1 - level) / 2, (1 + level) / 2]
    if method == "jeffreys":
        posterior = posterior_of(answers)
        (low, high), se = (posterior.quantile(at) for at in tails), posterior.sd
    elif method == "bootstrap":
        sums = resampled(answers.sums(answers.customer), rng)
        means = sums[:, 0] / sums[:, 1]
        (low, high), se = np.quantile(means, tails), float(means.std(ddof=1))
    else:
        centre, se = centre_and_se(answers, method)
        low, high = centre + se * stats.norm.ppf(tails)
    low, high = min(low, answers.mean), max(high, answers.mean)
    return Interval(max(float(low), -1.0), min(float(high), 1.0), se)


def check_method(level: float, method: str) -> None:
    """Refuse what is no level or no method."""
    if method not in METHODS:
        raise DataError(f"method: expected one of {', '.join(METHODS)}; got {method!r}.")
    check_level(level)


def centre_and_se(answers: Answers, method: str) -> tuple[float, float]:
    """Return centre and standard error of a Wald interval, as shares."""
    x, w = answers.x, answers.w * answers.n_eff / answers.w.sum()
    total = w.sum()
    if method == "wald":
        centre = answers.mean
        return centre, float(np.sqrt(answers.repetition * (w**2 * (x - centre) ** 2).sum())) / total
    total += _MADE_UP
    centre = float((w * x).sum() / total)
    made_up = _MADE_UP * ((1 - centre) ** 2 + (1 + centre) ** 2 + 2 * centre**2) / 4
    squares = answers.repetition * (w**2 * (x - centre) ** 2).sum() + made_up
    return centre, float(np.sqrt(squares)) / total


def posterior_of(answers: Answers, inflation: float = 1.0) -> Posterior:
    """Return the posterior of as many simple answers as these are worth.

    That is the number whose adjusted Wald interval is as long: unlike Kish's, it knows whether
    the rare answers are the heavy ones. `inflation` multiplies the variance.
    """
    n_eff, (promoters, _, detractors) = answers.n_eff, answers.shares
    decided = (n_eff * (promoters + detractors) + _MADE_UP / 2) / (n_eff + _MADE_UP)
    centre, se = centre_and_se(answers, "adjusted_wald")
    worth = max((decided - centre**2) / se**2 - _MADE_UP, 0.5)
    return Posterior.of(answers.shares, worth / inflation)


def resampled(sums: Floats, rng: np.random.Generator) -> Floats:
    """Return totals of samples of customers, drawn as many as there are, with replacement.

    Parameters
    ----------
    sums : ndarray, shape (customers, k)
        What each customer adds to k totals.

    Returns
    -------
    ndarray, shape (REPLICATES, k)
    """
    kinds, counts = np.unique(sums, axis=0, return_counts=True)
    chunk = max(1, _CHUNK // len(kinds))
    draws = [
        rng.multinomial(len(sums), counts / len(sums), size=min(chunk, REPLICATES - start)) @ kinds
        for start in range(0, REPLICATES, chunk)
    ]
    return np.vstack(draws)
