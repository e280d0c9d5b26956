"""What became of customers with contact, or with a low score, at each touchpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.log import CustomerLog
from cxpredict.drivers.survey.answers import Floats
from cxpredict.drivers.survey.regression import LEAST_OWN, least_squares
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.build import index_rows
from cxpredict.features.events import records, seen_by
from cxpredict.features.problem import ChurnProblem, labels
from cxpredict.features.problem.population import Date
from cxpredict.models.resampling import customer_groups
from cxpredict.models.scale import SCALES

FEWEST_SHOWN = 11
FEWEST_CUSTOMERS = 50
FEWEST_EVENTS = 10
"""Leavers, stayers or payers to be expected on each side of a comparison at the average rate."""
FEWEST_LEVEL = 20

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Exposures:
    """Who had contact, who answered and who was unhappy where, before each date.

    Attributes
    ----------
    contact : DataFrame of float, index (customer_id, as_of), one column per touchpoint
        1 with more records than `typical`.
    typical : dict of str to int
        Median number of records.
    answered, unhappy : DataFrame of float
        1 where the last score in the window is there, and where it is low.
    """

    contact: pd.DataFrame
    typical: dict[str, int]
    answered: pd.DataFrame
    unhappy: pd.DataFrame


def influence(
    log: CustomerLog,
    churn: ChurnProblem,
    as_of: Date | Sequence[Date],
    *,
    exposure_days: int,
    level: float,
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

    Returns
    -------
    DataFrame, index touchpoint
        For `contact` and `unhappy`: ``n_<what>`` customers, ``<what>_churn_points`` and
        ``<what>_spend`` with ``_low`` and ``_high``; ``contact_means``; ``reason``.
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
    exposures = _exposures(log, index, exposure_days)
    covariates = _covariates(log, index, exposure_days)
    outcomes = {
        "churn_points": 100 * left.to_numpy(float),
        "spend": _spend_after(log, churn, index),
    }
    studies = {
        "contact": (exposures.contact, covariates),
        "unhappy": (
            exposures.unhappy,
            np.column_stack([covariates, exposures.answered, exposures.contact]),
        ),
    }
    rows: dict[str, dict[str, object]] = {
        name: {"reason": []} for name in [*exposures.contact, *exposures.unhappy]
    }
    for name, median in exposures.typical.items():
        rows[name]["contact_means"] = f"more than {median} records" if median else "any record"
    for study, (exposed, others) in studies.items():
        answered = exposures.answered if study == "unhappy" else None
        _compare(rows, study, exposed, others, answered, outcomes, index, level)
    return pd.DataFrame.from_dict(rows, orient="index")


def _compare(
    rows: dict[str, dict[str, object]],
    study: str,
    exposed: pd.DataFrame,
    others: Floats,
    answered: pd.DataFrame | None,
    outcomes: dict[str, Floats],
    index: pd.MultiIndex,
    level: float,
) -> None:
    """Fill in the adjusted differences of one kind of exposure, or why there are none."""
    customers = customer_groups(pd.DataFrame(index=index), n_rows=len(index))
    varying = [name for name in exposed if exposed[name].nunique() > 1]
    design = np.column_stack([exposed[varying].to_numpy(float), others])
    for outcome, y in outcomes.items():
        known = ~np.isnan(y)
        if not known.any():
            fit = None
        else:
            fit = least_squares(design[known], y[known], customers[known], level=level)
        for name in exposed:
            row, what = rows[name], f"{study}_{outcome}"
            with_it = exposed[name].to_numpy() > 0
            base = np.ones(len(y), dtype=bool) if answered is None else answered[name] > 0
            sides = with_it & known, np.asarray(base) & ~with_it & known
            n = [len(np.unique(customers[side])) for side in sides]
            if outcome == "churn_points":
                row[f"n_{study}"] = np.nan if 0 < n[0] < FEWEST_SHOWN else n[0]
            why = _why_not(study, outcome, n, sides, y)
            if fit is not None and why is None:
                place = varying.index(name)
                if fit.own[place] < LEAST_OWN * _own_alone(design[known], place):
                    why = f"{study}: cannot be told apart from other touchpoints or tenure"
                else:
                    row[what] = fit.estimate[place]
                    row[f"{what}_low"], row[f"{what}_high"] = fit.low[place], fit.high[place]
            reasons = row["reason"]
            assert isinstance(reasons, list)
            if why is not None and why not in reasons:
                reasons.append(why)


def _why_not(
    study: str, outcome: str, n: list[int], sides: tuple[Bools, Bools], y: Floats
) -> str | None:
    """Say why two sides cannot be compared; None if they can."""
    if np.isnan(y).all():
        return "spend: no transactions in the whole of the outcome window"
    if min(n) < FEWEST_CUSTOMERS:
        return f"{study}: fewer than {FEWEST_CUSTOMERS} customers to compare with or without it"
    happened = float((y[~np.isnan(y)] != 0).mean())
    rare = min(happened, 1 - happened) if outcome == "churn_points" else happened
    if rare * min(int(side.sum()) for side in sides) < FEWEST_EVENTS:
        who = "leavers or stayers" if outcome == "churn_points" else "payers"
        return f"{study}: fewer than {FEWEST_EVENTS} {who} to be expected on a side"
    return None


def _own_alone(design: Floats, place: int) -> float:
    """Share of a column's sum of squares that its mean leaves: all that others could explain."""
    column = design[:, place]
    return float(column.var() / (column**2).mean())


def _exposures(log: CustomerLog, index: pd.MultiIndex, exposure_days: int) -> Exposures:
    rows = _before(log, "interactions", index, exposure_days)
    counts = rows.filter(rows.touchpoint.notnull()).group_by(["_row", "touchpoint"])
    wide = _wide(counts.agg(value=lambda t: t.count()), index).fillna(0.0)
    typical = {str(name): int(wide[name].quantile(0.5, "lower")) for name in wide}
    contact = (wide > pd.Series(typical, dtype=float)).astype(float)
    answers = _before(log, "feedback", index, exposure_days)
    answers = answers.filter(answers.touchpoint.notnull(), answers.metric.isin(list(SCALES)))
    low = ibis.cases(
        *((answers.metric == name, answers.score <= most) for name, (_, most) in SCALES.items())
    ).cast("float64")
    # equal times count as one answer, their worse
    moments = answers.group_by(["_row", "touchpoint", "occurred_at"]).agg(low=low.max())
    last = moments.group_by(["_row", "touchpoint"]).agg(
        value=moments.low.argmax(moments.occurred_at)
    )
    scores = _wide(last, index)
    return Exposures(contact, typical, scores.notna().astype(float), scores.fillna(0.0))


def _covariates(log: CustomerLog, index: pd.MultiIndex, exposure_days: int) -> Floats:
    """Give one, the dates, tenure, segment and spend before as columns."""
    rows = index_rows(index)
    people = log.customers.select("customer_id", "since", "segment").to_pyarrow().to_pandas()
    rows = rows.merge(people, on="customer_id", how="left")
    days = ((rows["as_of"] - rows["since"]) / pd.Timedelta(days=1)).to_numpy(float)
    days = np.where(days < 0, np.nan, days)
    known = ~np.isnan(days)
    days = np.where(known, days, 0.0)
    segment = rows["segment"].astype("object").where(rows["segment"].notna(), "none").astype(str)
    frequent = segment.value_counts()
    frequent = frequent[frequent >= FEWEST_LEVEL].sort_index().index[1:]
    dates = rows["as_of"].drop_duplicates().sort_values().iloc[1:]
    columns = [
        np.ones(len(rows)),
        known.astype(float),
        np.log1p(days / 365.25),
        np.minimum(days / exposure_days, 1.0),
        (days < exposure_days).astype(float),
        *[(rows["as_of"] == day).to_numpy(float) for day in dates],
        *[(segment == level).to_numpy(float) for level in frequent],
    ]
    paid = _before(log, "transactions", index, exposure_days)
    spend = paid.group_by("_row").agg(value=paid.amount.sum()).to_pyarrow().to_pandas()
    before = np.zeros(len(rows))
    before[spend["_row"].to_numpy(dtype=int)] = spend["value"].to_numpy(float)
    return np.column_stack([*columns, before])


def _spend_after(log: CustomerLog, churn: ChurnProblem, index: pd.MultiIndex) -> Floats:
    """Sum what customers pay in the window of the outcome; missing where it is not over."""
    spend = np.full(len(index), np.nan)
    last = log.transactions.occurred_at.max().execute()
    if pd.isna(last):
        return spend
    settings = churn.settings
    assert settings.horizon_days is not None
    rows = index_rows(index)
    window = labels.window_of(
        ibis.memtable(rows), gap_days=settings.gap_days, horizon_days=settings.horizon_days
    )
    paid = window.join(log.transactions, "customer_id")
    paid = paid.filter((paid.occurred_at > paid.opens) & (paid.occurred_at <= paid.closes))
    found = paid.group_by("_row").agg(value=paid.amount.sum()).to_pyarrow().to_pandas()
    ends = pd.Timestamp(log.observed_until) if log.observed_until is not None else last
    closes = rows["as_of"] + timedelta(days=settings.gap_days + settings.horizon_days)
    spend[(closes <= ends).to_numpy()] = 0.0
    spend[found["_row"].to_numpy(dtype=int)] += found["value"].to_numpy(float)
    return spend


def _before(log: CustomerLog, name: str, index: pd.MultiIndex, days: int) -> ir.Table:
    """Join each row of the index to the records of so many days that were known at its date."""
    seen = seen_by(records(log, name), ibis.memtable(index_rows(index)))
    opens = seen.as_of - ibis.interval(days=days)
    return seen.filter((seen.occurred_at < seen.as_of) & (seen.occurred_at >= opens))


def _wide(table: ir.Table, index: pd.MultiIndex) -> pd.DataFrame:
    frame = table.to_pyarrow().to_pandas()
    wide = frame.pivot(index="_row", columns="touchpoint", values="value").sort_index(axis=1)
    wide = wide.reindex(np.arange(len(index))).set_axis(index, axis=0)
    return wide.astype(float)
