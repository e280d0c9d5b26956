"""What became of customers with contact, or with a low score, at each touchpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.log import CustomerLog
from cxpredict.data.suppression import MIN_RESPONDENTS
from cxpredict.drivers.survey.answers import Floats, Ints
from cxpredict.drivers.survey.regression import LEAST_OWN, least_squares
from cxpredict.drivers.survey.touchpoint_exposures import covariates, exposures, spend_after
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.problem import ChurnProblem
from cxpredict.features.problem.population import Date
from cxpredict.models.resampling import customer_groups

FEWEST_CUSTOMERS = 50
FEWEST_EVENTS = 10
"""Leavers, stayers or payers to be expected on each side of a comparison at the average rate."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Who is compared with whom at each touchpoint.

    Attributes
    ----------
    name : {"contact", "unhappy"}
    exposed : DataFrame of {0., 1.}, one column per touchpoint
    compared : DataFrame of {0., 1.}
        Who is on either side: everyone, or those who answered.
    others : ndarray, shape (n, q)
        What is adjusted for besides the other touchpoints.
    customers : ndarray of int, shape (n,)
    """

    name: str
    exposed: pd.DataFrame
    compared: pd.DataFrame
    others: Floats
    customers: Ints

    def sides(self, touchpoint: str, known: Bools) -> tuple[Bools, Bools]:
        """Tell the rows with and without the exposure."""
        with_it = self.exposed[touchpoint].to_numpy() > 0
        compared = self.compared[touchpoint].to_numpy() > 0
        return with_it & known, compared & ~with_it & known

    def n_customers(self, rows: Bools) -> int:
        """Count the customers of rows."""
        return len(np.unique(self.customers[rows]))


def influence(
    log: CustomerLog,
    churn: ChurnProblem,
    as_of: Date | Sequence[Date],
    *,
    exposure_days: int,
    level: float,
    adjust_for: Sequence[str] = (),
) -> pd.DataFrame:
    """Compare churn and spend after dates by what happened at touchpoints before them.

    Parameters
    ----------
    log : CustomerLog
    churn : ChurnProblem
        Population and outcome; not of a label column, which has no dates.
    as_of : date or sequence of dates
    exposure_days : int
        Contact and scores count in so many days before the date.
    level : float in (0, 1)
    adjust_for : sequence of str
        Columns of the customers that were the same before each date as they are now.

    Returns
    -------
    DataFrame, index touchpoint
        For `contact` and `unhappy`: ``n_<what>`` customers, ``<what>_churn_points`` and
        ``<what>_spend`` with ``_low`` and ``_high``; ``contact_means``; ``reason`` (list of text).
    """
    if churn.settings.label is not None:
        raise ConfigError(
            "churn: a label column has no dates, so nothing lies before or after it; describe "
            "churn with cancelled= or inactive=."
        )
    index = churn.population(log, as_of)
    left = churn.labels(log, index)
    index, left = index[left.notna().to_numpy()], left.dropna()
    if len(index.unique("customer_id")) < FEWEST_CUSTOMERS:
        raise DataError(
            f"as_of: expected dates with {FEWEST_CUSTOMERS} customers whose outcome is known, got "
            f"{len(index.unique('customer_id'))}. Choose a date at least gap and horizon before "
            "the records end."
        )
    found = exposures(log, index, exposure_days)
    customers = customer_groups(left, n_rows=len(index))
    before = covariates(log, index, exposure_days, adjust_for)
    answering = np.column_stack([before, found.answered, found.contact])
    comparisons = (
        Comparison("contact", found.contact, found.contact * 0 + 1, before, customers),
        Comparison("unhappy", found.unhappy, found.answered, answering, customers),
    )
    outcomes = {
        "churn_points": 100 * left.to_numpy(float),
        "spend": spend_after(log, churn, index),
    }
    names = sorted({*found.contact, *found.unhappy})
    means = {
        name: f"more than {n} records" if n else "any record" for name, n in found.typical.items()
    }
    table = pd.DataFrame({"contact_means": pd.Series(means, index=names, dtype="object")})
    reasons: dict[str, list[str]] = {name: [] for name in names}
    for comparison in comparisons:
        n = [comparison.n_customers(side > 0) for side in comparison.exposed.to_numpy().T]
        shown = [np.nan if 0 < each < MIN_RESPONDENTS else each for each in n]
        table[f"n_{comparison.name}"] = pd.Series(shown, index=comparison.exposed.columns)
        for outcome, y in outcomes.items():
            differences = adjusted_differences(comparison, outcome, y, level=level)
            for name, why in differences.pop("why").dropna().items():
                reasons[name] += [why] * (why not in reasons[name])
            table[differences.columns] = differences.reindex(names)
    return table.assign(reason=pd.Series(reasons, index=names, dtype="object"))


def adjusted_differences(
    comparison: Comparison, outcome: str, y: Floats, *, level: float
) -> pd.DataFrame:
    """Regress an outcome on all exposures of a comparison at once.

    Parameters
    ----------
    comparison : Comparison
    outcome : {"churn_points", "spend"}
    y : ndarray, shape (n,)
        Missing where the outcome is not known.
    level : float in (0, 1)

    Returns
    -------
    DataFrame, index touchpoint
        ``<comparison>_<outcome>`` with ``_low`` and ``_high``, missing where ``why`` says so.
    """
    known = ~np.isnan(y)
    varying = [name for name in comparison.exposed if comparison.exposed[name].nunique() > 1]
    why = {
        str(name): _why_not(comparison, str(name), outcome, y, known) for name in comparison.exposed
    }
    columns = [f"{comparison.name}_{outcome}{end}" for end in ("", "_low", "_high")]
    table = pd.DataFrame(np.nan, index=list(why), columns=columns)
    if known.any() and varying:
        design = np.column_stack([comparison.exposed[varying], comparison.others])[known]
        fit = least_squares(design, y[known], comparison.customers[known], level=level)
        for place, name in enumerate(varying):
            if why[name] is None and fit.own[place] < LEAST_OWN:
                why[name] = (
                    f"{comparison.name}: cannot be told apart from other touchpoints or tenure"
                )
            if why[name] is None:
                table.loc[name] = fit.estimate[place], fit.low[place], fit.high[place]
    return table.assign(why=pd.Series(why, dtype="object"))


def _why_not(
    comparison: Comparison, touchpoint: str, outcome: str, y: Floats, known: Bools
) -> str | None:
    """Say why two sides cannot be compared; None if they can."""
    if not known.any():
        return "spend: no transactions in the whole of the outcome window"
    sides, name = comparison.sides(touchpoint, known), comparison.name
    if min(comparison.n_customers(side) for side in sides) < FEWEST_CUSTOMERS:
        return f"{name}: fewer than {FEWEST_CUSTOMERS} customers to compare with or without it"
    happened = float((y[known] != 0).mean())
    rare = min(happened, 1 - happened) if outcome == "churn_points" else happened
    if rare * min(int(side.sum()) for side in sides) < FEWEST_EVENTS:
        who = "leavers or stayers" if outcome == "churn_points" else "payers"
        return f"{name}: fewer than {FEWEST_EVENTS} {who} to be expected on a side"
    return None
