"""Rows to train or to test on: features, labels, outcomes and weights on one index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cxpredict.data.log import CustomerLog
from cxpredict.features.problem import ChurnProblem, SatisfactionProblem


@dataclass(frozen=True)
class Rows:
    """One part of the split: features, what is predicted, 1 for churn or a low score, weights."""

    X: pd.DataFrame
    y: pd.Series
    outcome: pd.Series
    weights: pd.Series | None

    @property
    def rate(self) -> float:
        """Weighted share of churners or low scores."""
        return float(np.average(self.outcome, weights=self.weights))

    def select(self, features: Sequence[str]) -> Rows:
        """Keep some features."""
        return replace(self, X=self.X[list(features)])

    def take(self, index: pd.MultiIndex) -> Rows:
        """Keep some rows, in the order of an index."""
        place = self.X.index.get_indexer(index)
        weights = None if self.weights is None else self.weights.iloc[place]
        return Rows(self.X.iloc[place], self.y.iloc[place], self.outcome.iloc[place], weights)


def outcome_of(problem: ChurnProblem | SatisfactionProblem, y: pd.Series) -> pd.Series:
    """Give churn as it is, a score as 1 when it is low."""
    if isinstance(problem, ChurnProblem):
        return y
    return (y <= problem.settings.low_at_most).astype("float64")


def weights_of(log: CustomerLog, index: pd.MultiIndex) -> pd.Series | None:
    """Look up the sampling weights of customers; nothing where all count alike."""
    weights = log.customers.select("customer_id", "weight").to_pandas()
    if weights["weight"].nunique() <= 1:
        return None
    by_customer = weights.set_index("customer_id")["weight"]
    values = by_customer.reindex(index.get_level_values("customer_id")).fillna(1.0)
    return pd.Series(values.to_numpy(), index=index)
