"""What happened to customers at touchpoints before dates, and what they paid after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from cxpredict.data.log import CustomerLog
from cxpredict.drivers.survey.answers import Floats
from cxpredict.errors import ConfigError
from cxpredict.features.build import index_rows
from cxpredict.features.events import records, seen_by
from cxpredict.features.problem import ChurnProblem, labels
from cxpredict.models.scale import SCALES

FEWEST_LEVEL = 20
"""Rows of a level that gets a column of its own."""


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


def exposures(log: CustomerLog, index: pd.MultiIndex, exposure_days: int) -> Exposures:
    """Tell who had contact and who gave low scores in so many days before each date.

    Parameters
    ----------
    log : CustomerLog
    index : MultiIndex (customer_id, as_of)
        For whom and when; only what occurred and was known before the date counts.
    exposure_days : int

    Returns
    -------
    Exposures
    """
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


def covariates(
    log: CustomerLog, index: pd.MultiIndex, exposure_days: int, adjust_for: Sequence[str] = ()
) -> Floats:
    """Give one, the dates, tenure, spend before each date and fixed attributes as columns.

    Attributes are those of today: one that changes after the date, such as a segment that is
    overwritten when a customer leaves, would tell the outcome. None enters unless it is named.
    """
    rows = index_rows(index)
    unknown = [name for name in adjust_for if name not in log.customers.columns]
    if isinstance(adjust_for, str) or unknown:
        raise ConfigError(
            "adjust_for: expected a list of columns of the customers, such as ['segment']; "
            f"found {adjust_for!r}."
        )
    columns = list(dict.fromkeys(["customer_id", "since", *adjust_for]))
    people = log.customers.select(*columns).to_pyarrow().to_pandas()
    rows = rows.merge(people, on="customer_id", how="left")
    days = ((rows["as_of"] - rows["since"]) / pd.Timedelta(days=1)).to_numpy(float)
    days = np.where(days < 0, np.nan, days)
    known = ~np.isnan(days)
    days = np.where(known, days, 0.0)
    dates = rows["as_of"].drop_duplicates().sort_values().iloc[1:]
    parts = [
        np.ones(len(rows)),
        known.astype(float),
        np.log1p(days / 365.25),
        np.minimum(days / exposure_days, 1.0),
        (days < exposure_days).astype(float),
        *[(rows["as_of"] == day).to_numpy(float) for day in dates],
        *[column for name in adjust_for for column in _levels(rows[name])],
    ]
    paid = _before(log, "transactions", index, exposure_days)
    spend = paid.group_by("_row").agg(value=paid.amount.sum()).to_pyarrow().to_pandas()
    before = np.zeros(len(rows))
    before[spend["_row"].to_numpy(dtype=int)] = spend["value"].to_numpy(float)
    return np.column_stack([*parts, before])


def _levels(attribute: pd.Series) -> list[Floats]:
    words = attribute.astype("object").where(attribute.notna(), "none").astype(str)
    frequent = words.value_counts()
    frequent = frequent[frequent >= FEWEST_LEVEL].sort_index().index[1:]
    return [(words == level).to_numpy(float) for level in frequent]


def spend_after(log: CustomerLog, churn: ChurnProblem, index: pd.MultiIndex) -> Floats:
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
