"""Move probabilities from one base rate to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit

from cxpredict.errors import ModelError

__all__ = ["adjust_base_rate"]


def adjust_base_rate(p: Any, *, trained_at: float, expected: float) -> Any:
    """Correct probabilities for a base rate that differs from the one they were learned at.

    Parameters
    ----------
    p : Series or array-like of shape (n,)
        Probabilities, in [0, 1].
    trained_at : float
        Base rate of the training rows, inside (0, 1).
    expected : float
        Base rate where the probabilities are used, inside (0, 1): from a plan, from the same
        season of last year, or from outcomes that are known by now.

    Returns
    -------
    Series or ndarray of float, shape (n,)
        Probabilities whose odds are multiplied by the ratio of the two prior odds; the ranking
        stays. A Series keeps index and name.

    Raises
    ------
    ModelError
        A rate outside (0, 1), probabilities that are no numbers, missing or outside [0, 1].

    Notes
    -----
    Right where the shift changes how many leave, but not what those who leave look like. The rate
    is never guessed from the predictions themselves (Saerens et al. 2002): features that drift
    with the season lead such guesses astray.

    References
    ----------
    Elkan (2001), The foundations of cost-sensitive learning, theorem 2.

    Examples
    --------
    >>> adjust_base_rate([0.5, 0.8], trained_at=0.5, expected=0.2).round(3).tolist()
    [0.2, 0.5]
    """
    for name, rate in (("trained_at", trained_at), ("expected", expected)):
        if not 0.0 < rate < 1.0:
            raise ModelError(f"{name} must be a rate between 0 and 1, for example .2; got {rate}.")
    values = _numbers(p)
    bad = int((~((values >= 0.0) & (values <= 1.0))).sum())
    if bad:
        raise ModelError(f"p: {bad:,} of {values.size:,} values are missing or outside [0, 1].")
    moved = np.asarray(expit(logit(values) + logit(expected) - logit(trained_at)))
    return pd.Series(moved, p.index, name=p.name) if isinstance(p, pd.Series) else moved


def _numbers(p: Any) -> npt.NDArray[np.float64]:
    try:
        if isinstance(p, pd.Series):
            return np.asarray(p.to_numpy(dtype=np.float64, na_value=np.nan))
        return np.asarray(p, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"p must hold numbers only: {type(error).__name__}. Pass probabilities of the event."
        ) from None
