"""Touchpoints so far: volume, satisfaction, trend and season, by what was known at a date."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from scipy import stats

from cxpredict.data.log import CustomerLog
from cxpredict.data.suppression import MIN_RESPONDENTS
from cxpredict.drivers.survey.regression import least_squares
from cxpredict.features.events import records, seen_by
from cxpredict.models.scale import SCALES

YEAR = 365
FEWEST_FOR_TREND = 30
MONTHS_FOR_SEASON = 24
DAYS_WITHOUT_A_RECORD = 7
"""Interactions that end earlier than this before a date are taken to be not recorded until it."""


def known_records(log: CustomerLog, name: str, until: pd.Timestamp) -> ir.Table:
    """Give the records of a table that have a touchpoint and were known before a date."""
    rows = records(log, name)
    dates = rows.select("customer_id").distinct().mutate(as_of=_at(until))
    rows = seen_by(rows, dates)
    return rows.filter(rows.occurred_at < rows.as_of, rows.touchpoint.notnull())


def recorded(log: CustomerLog) -> tuple[pd.Timestamp, pd.Timestamp]:
    """Tell from when until when interactions were recorded, whatever the other tables hold."""
    times = log.interactions.occurred_at
    first, last = (pd.Timestamp(end.execute()) for end in (times.min(), times.max()))
    if log.observed_until is not None:
        last = pd.Timestamp(log.observed_until)
    return first, last


def volume(log: CustomerLog, until: pd.Timestamp, *, level: float) -> pd.DataFrame:
    """Count records and customers of the last year, and compare with the year before.

    Returns
    -------
    DataFrame, index touchpoint
        ``records``, ``customers``, ``customers_before``, ``volume_change``, ``volume_change_low``
        and ``volume_change_high`` in percent; the change is missing unless interactions were
        recorded all the two years. ``members``: the customers, by number.

    Notes
    -----
    With a_c and b_c records of customer c in the two years, ln(Σa/Σb) has the variance
    Σ(a_c/A − b_c/B)²: customers, not records, are independent.
    """
    rows = known_records(log, "interactions", until)
    split, start = _at(until - timedelta(days=YEAR)), _at(until - timedelta(days=2 * YEAR))
    recent = rows.occurred_at >= split
    counts = rows.group_by(["touchpoint", "customer_id"]).agg(
        now=recent.cast("int64").sum(),
        before=(~recent & (rows.occurred_at >= start)).cast("int64").sum(),
    )
    frame = counts.to_pyarrow().to_pandas()
    frame["customer"] = pd.factorize(frame["customer_id"])[0]
    first, last = recorded(log)
    whole = first <= until - timedelta(days=2 * YEAR - 1)
    whole &= last >= until - timedelta(days=DAYS_WITHOUT_A_RECORD)
    table = {
        name: _volume(part, level if whole else None) for name, part in frame.groupby("touchpoint")
    }
    return pd.DataFrame.from_dict(table, orient="index")


def _volume(part: pd.DataFrame, level: float | None) -> dict[str, Any]:
    now, before = part["now"].to_numpy(float), part["before"].to_numpy(float)
    row: dict[str, Any] = {
        "records": now.sum(),
        "customers": (now > 0).sum(),
        "members": part["customer"].to_numpy()[now > 0],
        "customers_before": (before > 0).sum(),
    }
    if level is None or not now.sum() or not before.sum():
        return row
    logarithm = np.log(now.sum() / before.sum())
    spread = np.sqrt(((now / now.sum() - before / before.sum()) ** 2).sum())
    reach = stats.norm.ppf((1 + level) / 2) * spread
    change = 100 * np.expm1(np.array([logarithm, logarithm - reach, logarithm + reach]))
    return row | dict(
        zip(
            ("volume_change", "volume_change_low", "volume_change_high"),
            change.tolist(),
            strict=True,
        )
    )


def satisfaction(log: CustomerLog, until: pd.Timestamp, *, level: float) -> pd.DataFrame:
    """Average the scores of the last year, and their change per year over all years.

    Returns
    -------
    DataFrame, index touchpoint
        ``metric`` (the one with most answers in the last year), ``n_answers``,
        ``customers_answering``, ``members_answering`` (customers by number), ``satisfaction`` with
        ``_low`` and ``_high``, ``low_share``, ``few_low`` (1 to 10 customers are low, or are not),
        ``satisfaction_trend`` (points per year) with ``_low`` and ``_high``, ``other_metrics``.
    """
    rows = known_records(log, "feedback", until)
    frame = (
        rows.select("customer_id", "touchpoint", "metric", "score", "occurred_at")
        .order_by("customer_id", "occurred_at", "metric", "score")
        .to_pyarrow()
        .to_pandas()
    )
    frame["customer"] = pd.factorize(frame["customer_id"])[0]
    frame["years"] = (frame["occurred_at"] - until) / pd.Timedelta(days=365.25)
    recent = frame["occurred_at"] >= until - timedelta(days=YEAR)
    table = {}
    for name, part in frame[recent].groupby("touchpoint"):
        metrics = part["metric"].value_counts().sort_index().sort_values(kind="stable")
        metric = str(metrics.index[-1])
        whole = frame[(frame["touchpoint"] == name) & (frame["metric"] == metric)]
        table[name] = {
            "metric": metric,
            "other_metrics": len(metrics) - 1,
            **_satisfaction(part[part["metric"] == metric], metric, level),
            **_trend(whole, level),
        }
    return pd.DataFrame.from_dict(table, orient="index")


def _satisfaction(part: pd.DataFrame, metric: str, level: float) -> dict[str, Any]:
    score = part["score"].to_numpy(float)
    customers = part["customer"].to_numpy()
    members = np.unique(customers)
    row: dict[str, Any] = {
        "n_answers": len(part),
        "customers_answering": len(members),
        "members_answering": members,
    }
    if len(members) < 2:
        return row
    fit = least_squares(np.ones((len(score), 1)), score, customers, level=level)
    row |= _named("satisfaction", fit.estimate[0], fit.low[0], fit.high[0])
    if metric in SCALES:
        low = score <= SCALES[metric][1]
        row["low_share"] = float(low.mean())
        # shares times answers give counts: of few who are unhappy, or of few who are not
        sides = [len(np.unique(customers[side])) for side in (low, ~low)]
        row["few_low"] = any(0 < side < MIN_RESPONDENTS for side in sides)
    return row


def _trend(part: pd.DataFrame, level: float) -> dict[str, float]:
    years = part["years"].to_numpy(float)
    if len(years) < FEWEST_FOR_TREND or np.ptp(years) < 1:
        return {}
    columns = [np.ones(len(years)), years]
    if np.ptp(years) >= 2:
        columns += [np.cos(2 * np.pi * years), np.sin(2 * np.pi * years)]
    customers = pd.factorize(part["customer_id"])[0]
    fit = least_squares(
        np.column_stack(columns), part["score"].to_numpy(float), customers, level=level
    )
    return _named("satisfaction_trend", fit.estimate[1], fit.low[1], fit.high[1])


def season(log: CustomerLog, until: pd.Timestamp) -> pd.DataFrame:
    """Fit a yearly wave to the records per day of whole calendar months.

    Returns
    -------
    DataFrame, index touchpoint
        ``season_month`` (1 to 12, where the wave is highest), ``season_swing`` (percent above the
        average there), ``season_p_value``. Empty without 24 whole months of recorded interactions.

    Notes
    -----
    Records per day over their mean = a + bt + c·cos(2πt) + d·sin(2πt), t in years, by least squares
    over months; F-test of c = d = 0. Months count as independent: a volume that drifts in other
    ways than a line can look like a season.
    """
    first, last = recorded(log)
    if pd.isna(first):
        return pd.DataFrame(columns=["season_month", "season_swing", "season_p_value"])
    opens = first.normalize().replace(day=1)
    opens += pd.DateOffset(months=int(first > opens + timedelta(days=1)))
    months = pd.date_range(opens, min(until, last + timedelta(days=1)), freq="MS")
    if len(months) <= MONTHS_FOR_SEASON:
        return pd.DataFrame(columns=["season_month", "season_swing", "season_p_value"])
    rows = known_records(log, "interactions", until)
    counts = rows.group_by(["touchpoint", ibis._.occurred_at.truncate("M").name("month")]).agg(
        n=ibis._.count()
    )
    frame = counts.to_pyarrow().to_pandas()
    frame["month"] = pd.to_datetime(frame["month"])
    days = np.diff(months) / np.timedelta64(1, "D")
    table = {}
    for name, part in frame.groupby("touchpoint"):
        n = part.set_index("month")["n"].reindex(months[:-1], fill_value=0).to_numpy(float)
        if n.sum():
            table[name] = _wave(n / days, months[:-1])
    return pd.DataFrame.from_dict(table, orient="index")


def _wave(rate: Any, months: pd.DatetimeIndex) -> dict[str, float]:
    years = ((months - months[0]) / pd.Timedelta(days=365.25)).to_numpy() + 0.5 / 12
    wave = np.column_stack([np.cos(2 * np.pi * years), np.sin(2 * np.pi * years)])
    line = np.column_stack([np.ones(len(years)), years])
    relative = rate / rate.mean()
    coefficients, left = _fit(np.column_stack([line, wave]), relative)
    _, without = _fit(line, relative)
    free = len(years) - 4
    f = (without - left) / 2 / max(left / free, 1e-300)
    turn = np.arctan2(coefficients[3], coefficients[2]) / (2 * np.pi) % 1
    return {
        "season_month": (months[0].month - 1 + int(12 * turn)) % 12 + 1,
        "season_swing": 100 * float(np.hypot(coefficients[2], coefficients[3])),
        "season_p_value": float(stats.f.sf(f, 2, free)),
    }


def _fit(x: Any, y: Any) -> tuple[Any, float]:
    coefficients = np.linalg.lstsq(x, y, rcond=None)[0]
    return coefficients, float(((y - x @ coefficients) ** 2).sum())


def _named(name: str, estimate: float, low: float, high: float) -> dict[str, float]:
    return {name: float(estimate), f"{name}_low": float(low), f"{name}_high": float(high)}


def _at(moment: Any) -> Any:
    return ibis.literal(pd.Timestamp(moment).to_pydatetime()).cast("timestamp(6)")
