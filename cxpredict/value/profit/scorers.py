"""Scorers in money for scikit-learn: each customer's own value, looked up by index."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from cxpredict.data.checks import Floats, in_range
from cxpredict.errors import DataError
from cxpredict.value.profit.acceptance import Beta
from cxpredict.value.profit.costs import CostMatrix, cost_threshold, decision_cost
from cxpredict.value.profit.gain import expected_gain, realised_gain
from cxpredict.value.profit.maximum import expected_maximum_profit, maximum_profit

Decide = Literal["break_even", "best_threshold"]


def profit_scorer(
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: Any,
    stayer_acceptance: Any = 1.0,
    decide: Decide = "break_even",
) -> "ProfitScorer":
    """Return a scorer for `cross_validate` and searches: the profit a model's risks bring.

    Parameters
    ----------
    value, incentive, contact_cost, stayer_acceptance : float or Series
        As in `expected_gain`. A Series has each customer's own, and is looked up by the index of
        X: it need be neither a feature nor in the order of X. If the index of X has several
        levels, an index of ``customer_id`` alone is enough.
    acceptance : Beta or float in [0, 1]
        Share of would-be leavers who take the offer and stay, the same for all customers.
    decide : {"break_even", "best_threshold"}
        Whom the model would contact. ``break_even``: each customer whose `expected_gain` is above
        0, as a campaign would; this needs calibrated probabilities, and no threshold is chosen on
        the customers scored. ``best_threshold``: down to the best threshold with hindsight, the
        `maximum_profit` (or its expectation, of a distribution); it judges the order alone.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``: money for each customer in X, higher is better.

    Raises
    ------
    DataError
        When called: if customers of X have no amount, or X has no index to look them up.

    Notes
    -----
    Gains as in `realised_gain`: who left is observed, who would have accepted is assumed. The
    later of ``classes_`` counts as leaving. Since amounts are looked up, no metadata has to be
    routed, and the scorer works with and without routing.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"calls": rng.poisson(2, 400)}, index=[f"c{k}" for k in range(400)])
    >>> left = rng.random(400) < np.where(X["calls"] > 2, 0.6, 0.1)
    >>> worth = pd.Series(rng.gamma(2, 100, 400), index=X.index)
    >>> money = profit_scorer(value=worth, incentive=10.0, contact_cost=1.0, acceptance=0.3)
    >>> bool((cross_val_score(LogisticRegression(), X, left, scoring=money) > 0).all())
    True
    """
    if decide not in ("break_even", "best_threshold"):
        raise DataError(f"decide: expected 'break_even' or 'best_threshold', got {decide!r}.")
    terms = {
        "value": value,
        "incentive": incentive,
        "contact_cost": contact_cost,
        "stayer_acceptance": stayer_acceptance,
    }
    return ProfitScorer(terms, acceptance, decide)


def cost_scorer(costs: CostMatrix) -> "CostScorer":
    """Return a scorer for `cross_validate` and searches: minus the mean cost of decisions.

    Parameters
    ----------
    costs : CostMatrix
        One number each, or Series looked up by the index of X as in `profit_scorer`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)``: minus the mean `decision_cost` of contacting each customer
        whose probability is above his `cost_threshold`; higher is better.

    Raises
    ------
    DataError
        When called: as in `profit_scorer`, or as in `cost_threshold`.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> X, y = pd.DataFrame({"x": [0, 0, 0, 0]}), [0, 0, 0, 1]
    >>> matrix = CostMatrix(
    ...     true_positive=1.0, false_positive=2.0, false_negative=9.0, true_negative=0.0
    ... )
    >>> base_rate = DummyClassifier().fit(X, y)     # 1/4 for all, above 2/(2 + 8): contacts all
    >>> cost_scorer(matrix)(base_rate, X, y)
    -1.75
    """
    return CostScorer(costs)


@dataclass(frozen=True)
class ProfitScorer:
    """What `profit_scorer` returns."""

    terms: dict[str, Any]
    acceptance: Any
    decide: Decide

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """Return the profit for each customer in X."""
        left, risk = _outcome_and_risk(estimator, X, y)
        terms = {name: _of_rows(name, given, X) for name, given in self.terms.items()}
        if self.decide == "break_even":
            contacted = expected_gain(risk, **terms, acceptance=self.acceptance) > 0
            gain = realised_gain(left, contacted, **terms, acceptance=self.acceptance)
            return float(np.mean(gain))
        best = expected_maximum_profit if isinstance(self.acceptance, Beta) else maximum_profit
        return best(left, risk, **terms, acceptance=self.acceptance).profit


@dataclass(frozen=True)
class CostScorer:
    """What `cost_scorer` returns."""

    costs: CostMatrix

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """Return minus the mean cost of the customers in X."""
        left, risk = _outcome_and_risk(estimator, X, y)
        own = CostMatrix(**{name: _of_rows(name, c, X) for name, c in self.costs.named().items()})
        return -float(np.mean(decision_cost(left, risk > cost_threshold(own), own)))


def _outcome_and_risk(estimator: Any, X: Any, y: Any) -> tuple[Floats, Floats]:
    classes = np.asarray(estimator.classes_)
    if len(classes) != 2:
        raise DataError(f"estimator: expected two classes, it has {len(classes)}.")
    outcome = np.asarray(y)
    if not np.isin(outcome, classes).all():
        raise DataError("y: holds other labels than those the estimator was fitted to.")
    left = (outcome == classes[1]).astype(np.float64)
    return left, np.asarray(estimator.predict_proba(X)[:, 1], dtype=np.float64)


def _of_rows(name: str, given: Any, X: Any) -> Any:
    """One amount as it is; of a Series, the amounts of the rows of X."""
    if not isinstance(given, pd.Series):
        if np.ndim(given):
            raise DataError(
                f"{name}: expected one amount, or a Series with the index of X; the rows of an "
                "array are lost when X is divided."
            )
        return given
    if not isinstance(X, pd.DataFrame | pd.Series):
        raise DataError(f"X: expected a DataFrame, whose index finds each row's {name}.")
    if not given.index.is_unique:
        raise DataError(f"{name}: expected one amount per customer; the index has duplicates.")
    rows = X.index
    wanted = given.index.names == ["customer_id"]
    if rows.nlevels > given.index.nlevels and wanted and "customer_id" not in rows.names:
        raise DataError(
            f"{name}: has an index customer_id, but no level of the index of X is called so. Name "
            "the level of the customer, or give amounts with the whole index of X."
        )
    if rows.nlevels > given.index.nlevels and wanted:
        rows = rows.get_level_values("customer_id")
    place = given.index.get_indexer(rows)
    if (place < 0).any():
        raise DataError(
            f"{name}: {int((place < 0).sum())} of {len(rows)} rows of X have no amount; give one "
            "to every customer, in a Series with the index of X."
        )
    return in_range(name, given.to_numpy()[place])
