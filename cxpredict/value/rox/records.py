"""Whether records reach as far as they are counted: what is not there would count as nothing."""

from datetime import timedelta

import ibis.expr.types as ir
import pandas as pd

from cxpredict.errors import DataError

_WEEK = timedelta(days=7)


def expect_until(what: str, rows: ir.Table, end: pd.Timestamp) -> None:
    """Refuse rows that stop before `end` by more than 1½ times the longest gap of their last year.

    Less than a week is never refused, and gaps are those between days with any row.
    """
    days = _days(rows)
    if len(days) and end - days.iloc[-1] > usual_gap(days):
        raise DataError(
            f"{what}: the last is of {days.iloc[-1]:%Y-%m-%d}, but the records are taken to reach "
            f"until {end:%Y-%m-%d}; what is missing would count as 0. Add it, or give an earlier "
            "end: observed_until of the log, or until."
        )


def expect_from(what: str, rows: ir.Table, start: pd.Timestamp) -> None:
    """Refuse rows that begin after `start` by more than in `expect_until`."""
    days = _days(rows)
    if not len(days) or days.iloc[0] - start > usual_gap(days):
        first = f"the first is of {days.iloc[0]:%Y-%m-%d}" if len(days) else "there is none"
        raise DataError(f"{what}: {first}, but must reach back to {start:%Y-%m-%d}.")


def usual_gap(days: pd.Series) -> timedelta:
    """Give 1½ times the longest gap between days of the last year, but at least a week."""
    recent = days[days >= days.iloc[-1] - timedelta(days=365)]
    longest = recent.diff().max()
    return _WEEK if pd.isna(longest) else max(_WEEK, 1.5 * longest.to_pytimedelta())


def _days(rows: ir.Table) -> pd.Series:
    days = rows.select(day=rows.occurred_at.truncate("D")).distinct().order_by("day")
    return days.to_pyarrow().to_pandas()["day"].astype("datetime64[us]")
