"""Penalty–reward contrasts: which attributes rather disappoint, which rather delight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from cxpredict.data.checks import check_level, check_seed
from cxpredict.drivers.survey.answers import (
    FEWEST_APART,
    Answers,
    Floats,
    check_collinear,
    moments,
    read_answers,
)
from cxpredict.errors import DataError

FACTORS = ("basic", "performance", "excitement", "undecided")
N_DRAWS = 1000

Levels = float | Mapping[str, float]


def penalty_reward(
    X: pd.DataFrame,
    y: Any,
    *,
    low_at_most: Levels,
    high_at_least: Levels,
    weights: Any = None,
    customers: Any = None,
    level: float = 0.95,
    random_state: int = 0,
) -> pd.DataFrame:
    """Contrast what low and high satisfaction with each attribute go with.

    Parameters
    ----------
    X : DataFrame, shape (n, p)
        One numeric column per attribute. Incomplete rows are left out, as in `key_drivers`.
    y : array-like of numbers, length n
        Outcome, such as overall satisfaction.
    low_at_most, high_at_least : float, or mapping of attribute to float
        Scores up to the one are low, from the other on high, in the units of the attribute; what
        lies between is the reference.
    weights, customers : array-like, optional
        As in `key_drivers`.
    level : float in (0, 1)
        Level of the intervals, and of what counts as told from 0.
    random_state : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame, one row per attribute in the order of X
        ``attribute``; ``n_low``, ``n_middle``, ``n_high`` answers; ``penalty`` (outcome with a low
        score less that with a middle one, usually negative), ``reward`` (high less middle),
        ``asymmetry`` (reward + penalty: positive where the good surprises outweigh), each with
        ``_low``, ``_high``, in units of the outcome; ``factor``; ``same_factor_share`` (of
        bootstrap samples that give the attribute the same factor).

    Raises
    ------
    DataError
        The answers cannot be analysed, the levels do not fit, or an attribute has fewer than 11
        customers with low, middle or high scores, or the levels of one follow from those of others.

    Notes
    -----
    One regression of the outcome on a "low" and a "high" dummy of every attribute. An attribute is

    - ``basic`` if penalty and asymmetry are told from 0, both negative: it disappoints more than
      it delights;
    - ``excitement`` if reward and asymmetry are, both positive: it delights more than its absence
      disappoints;
    - ``performance`` if both the penalty (negative) and the reward (positive) are told from 0, but
      the asymmetry is not: it is shown to work at both ends, not that it does so equally;
    - ``undecided`` else: the data do not say, or the attribute does little.

    Brandt (1987) reads the factor from which of the two is significant, Matzler and Sauerwein
    (2002) from which is larger; a difference of two estimates that is not tested is noise half of
    the time, so that here it must be told from 0 (Mikulić and Prebežac 2011 discuss both and other
    ways). Contrasts compare the levels as declared: where low lies further from the middle than
    high does, that alone makes an attribute look basic.

    Intervals are estimate ± quantile × bootstrap standard error over customers. Contrasts are
    associations: low scores and dissatisfaction may share a cause.

    References
    ----------
    Brandt (1987): A procedure for identifying value-enhancing service components using customer
    satisfaction survey data. Matzler, Sauerwein (2002): The factor structure of customer
    satisfaction. International Journal of Service Industry Management 13, 314–332. Mikulić,
    Prebežac (2011): A critical review of techniques for classifying quality attributes in the Kano
    model. Managing Service Quality 21, 46–66.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.integers(1, 6, (600, 2)), columns=["hygiene", "gift"])
    >>> y = 7 - 3 * (X["hygiene"] <= 2) + 2 * (X["gift"] >= 5) + rng.normal(size=600)
    >>> table = penalty_reward(X, y, low_at_most=2, high_at_least=5)
    >>> table[["attribute", "factor"]].to_numpy().tolist()
    [['hygiene', 'basic'], ['gift', 'excitement']]
    """
    check_level(level)
    check_seed(random_state)
    answers = read_answers(X, y, weights=weights, customers=customers)
    low = answers.x <= _levels("low_at_most", low_at_most, answers)
    high = answers.x >= _levels("high_at_least", high_at_least, answers)
    _check_cells(answers, low, high)
    dummies = np.column_stack([low, high]).astype(np.float64)
    check_collinear(2 * answers.attributes, dummies, answers.weight)
    design = np.column_stack([np.ones(len(low)), low, high, answers.y - answers.y.mean()])
    total, drawn = moments(
        design, answers.weight, answers.customers, n_draws=N_DRAWS, random_state=random_state
    )
    estimate, draws = _effects(total[None])[0], _effects(drawn)
    spread = draws.std(axis=0)
    z = float(stats.norm.ppf((1 + level) / 2))
    factor, in_draws = _factors(estimate, spread, z), _factors(draws, spread, z)
    table = pd.DataFrame({"attribute": pd.Series(answers.attributes, dtype="str")})
    for name, cell in (("low", low), ("middle", ~low & ~high), ("high", high)):
        table[f"n_{name}"] = cell.sum(axis=0)
    for place, name in enumerate(("penalty", "reward", "asymmetry")):
        table[name] = estimate[place]
        table[f"{name}_low"] = estimate[place] - z * spread[place]
        table[f"{name}_high"] = estimate[place] + z * spread[place]
    table["factor"] = pd.Categorical.from_codes(factor, categories=list(FACTORS))
    table["same_factor_share"] = (in_draws == factor).mean(axis=0)
    return table


def _levels(name: str, given: Levels, answers: Answers) -> Floats:
    if isinstance(given, Mapping):
        missing = [attribute for attribute in answers.attributes if attribute not in given]
        if missing:
            raise DataError(f"{name}: no level for {len(missing)} attributes: {missing[:5]}.")
        given_list = [given[attribute] for attribute in answers.attributes]
    else:
        given_list = [given] * len(answers.attributes)
    try:
        levels = np.array(given_list, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{name}: expected a score, or one for each attribute.") from None
    if np.isnan(levels).any():
        raise DataError(f"{name}: expected a score, or one for each attribute, got a gap.")
    return levels


def _check_cells(answers: Answers, low: npt.NDArray[np.bool_], high: npt.NDArray[np.bool_]) -> None:
    both = [answers.attributes[place] for place in np.flatnonzero((low & high).any(axis=0))]
    if both:
        raise DataError(f"scores of {both[:5]} are low and high at once; mend the levels.")
    for name, cells in (("low", low), ("middle", ~low & ~high), ("high", high)):
        for place, attribute in enumerate(answers.attributes):
            n = len(np.unique(answers.customers[cells[:, place]]))
            if n < FEWEST_APART:
                raise DataError(
                    f"{attribute}: {n} customers with {name} scores, at least {FEWEST_APART} are "
                    "needed. Choose other levels for it, or leave it out."
                )


def _effects(moments: Floats) -> Floats:
    """Solve the regressions; give penalties, rewards, asymmetries, shape (draws, 3, p)."""
    gram, target = moments[:, :-1, :-1], moments[:, :-1, -1:]
    coefficients = (np.linalg.pinv(gram, hermitian=True) @ target)[:, 1:, 0]
    penalty, reward = np.split(coefficients, 2, axis=1)
    return np.stack([penalty, reward, penalty + reward], axis=1)


def _factors(effects: Floats, spread: Floats, z: float) -> npt.NDArray[np.int64]:
    told = effects / np.maximum(spread, 1e-300)
    penalty, reward, asymmetry = np.moveaxis(told, -2, 0)
    basic = (penalty < -z) & (asymmetry < -z)
    excitement = (reward > z) & (asymmetry > z)
    performance = (penalty < -z) & (reward > z) & (np.abs(asymmetry) <= z)
    return np.select([basic, performance, excitement], [0, 1, 2], default=3)
