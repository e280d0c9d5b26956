"""The terms of an offer: money and shares, checked together."""

from typing import Any

import numpy as np

from cxpredict.data.checks import Floats, common_index, in_range
from cxpredict.errors import DataError
from cxpredict.value.profit.acceptance import mean_acceptance

_LIMITS = {
    "value": (-np.inf, np.inf),
    "incentive": (0.0, np.inf),
    "contact_cost": (0.0, np.inf),
    "acceptance": (0.0, 1.0),
    "stayer_acceptance": (0.0, 1.0),
    "churn_probability": (0.0, 1.0),
    "y": (0.0, 1.0),
    "contacted": (0.0, 1.0),
}


def read_terms(**named: Any) -> tuple[Any, list[Floats]]:
    """Check inputs; return their common index and their numbers, a distribution as its mean."""
    plain = {
        name: mean_acceptance(given) if name == "acceptance" else given
        for name, given in named.items()
    }
    arrays = [
        in_range(name, given, *_LIMITS.get(name, (-np.inf, np.inf)))
        for name, given in plain.items()
    ]
    sizes = {array.shape for array in arrays if array.ndim}
    if len(sizes) > 1 or any(array.ndim > 1 for array in arrays):
        raise DataError(f"{', '.join(named)}: expected one number or one per customer of each.")
    return common_index(**plain), arrays


def check_draws(n_bootstrap: int) -> None:
    """Refuse what is no number of bootstrap samples."""
    whole = isinstance(n_bootstrap, int) and not isinstance(n_bootstrap, bool)
    if not whole or n_bootstrap < 2:
        raise DataError(f"n_bootstrap: expected 2 or more, for example 300; got {n_bootstrap!r}.")


def tails(level: float) -> list[float]:
    """Give the probabilities that bound the middle `level` of a distribution."""
    return [(1 - level) / 2, (1 + level) / 2]
