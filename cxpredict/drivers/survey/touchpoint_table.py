"""The touchpoint table of the customer experience audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.checks import check_level
from cxpredict.data.log import CustomerLog
from cxpredict.data.suppression import MIN_RESPONDENTS, hidden_groups
from cxpredict.drivers.survey.touchpoint_history import (
    FEWEST_FOR_TREND,
    MONTHS_FOR_SEASON,
    known_records,
    satisfaction,
    season,
    volume,
)
from cxpredict.drivers.survey.touchpoint_influence import influence
from cxpredict.errors import ConfigError, DataError
from cxpredict.features.events import to_utc
from cxpredict.features.problem import ChurnProblem
from cxpredict.features.problem.population import Date

STAGES = ("awareness", "consideration", "decision", "retention", "advocacy")
NO_STAGE = "(no stage)"

_INTERVAL = ("", "_low", "_high")
_VOLUME = ["records", "customers", *(f"volume_change{end}" for end in _INTERVAL)]
_SATISFACTION = [
    "metric",
    "n_answers",
    *(f"satisfaction{end}" for end in _INTERVAL),
    "low_share",
    *(f"satisfaction_trend{end}" for end in _INTERVAL),
]
_SEASON = ["season_month", "season_swing", "season_p_value"]
_CHANGE = [f"volume_change{end}" for end in _INTERVAL]
_INFLUENCE = [
    "contact_means",
    *(
        column
        for what in ("contact", "unhappy")
        for column in (
            f"n_{what}",
            *(
                f"{what}_{outcome}{end}"
                for outcome in ("churn_points", "spend")
                for end in _INTERVAL
            ),
        )
    ),
]
_TEXT = ("metric", "contact_means", "reason")


def touchpoint_table(
    log: CustomerLog,
    *,
    stages: Mapping[str, str],
    until: Date,
    churn: ChurnProblem | None = None,
    as_of: Date | Sequence[Date] | None = None,
    exposure_days: int = 90,
    adjust_for: Sequence[str] = (),
    level: float = 0.95,
) -> pd.DataFrame:
    """Audit the touchpoints of the journey: volume, satisfaction, influence, trend, season.

    Parameters
    ----------
    log : CustomerLog
        Interactions and feedback with touchpoints.
    stages : mapping of touchpoint to stage
        Stages are awareness, consideration, decision, retention, advocacy. Touchpoints of the log
        that are not in it form rows of stage ``(no stage)``; those that are only in it have no
        records.
    until : date
        Volume, satisfaction, trend and season are of what occurred and was known before it (UTC).
    churn : ChurnProblem, optional
        Population and outcome of the influence; without it there is none.
    as_of : date or sequence of dates, optional
        Dates before which contacts and scores count and after which churn and spend do; each needs
        gap and horizon of records after it. Required with `churn`.
    exposure_days : int, 1 or more
        How many days before each date count.
    adjust_for : sequence of str
        Columns of the customers, such as ``segment``, that the influence is adjusted for besides.
        Name only what was the same before each date as it is now: the log holds the customers of
        today, and a segment that is overwritten when somebody leaves hides every influence.
    level : float in (0, 1)
        Level of the intervals.

    Returns
    -------
    DataFrame, one row per touchpoint, by stage in the order of the journey
        ``stage``, ``touchpoint``.

        Volume in the last 365 days: ``records`` (interactions), ``customers``; ``volume_change``
        (percent against the 365 days before, `_low`, `_high`).

        Satisfaction in the last 365 days: ``metric`` (the one answered most), ``n_answers``,
        ``satisfaction`` (mean score, `_low`, `_high`), ``low_share`` (of scores that are low on
        the scale: NPS 0–6, CSAT 1–2, CES 1–3); ``satisfaction_trend`` (points per year over all
        years, `_low`, `_high`).

        Season: ``season_month`` (1–12, where volume is highest), ``season_swing`` (percent above
        the average there), ``season_p_value``.

        Influence: ``contact_means`` (what counts as contact), ``n_contact`` customers,
        ``contact_churn_points`` (percentage points of churn with contact less without, adjusted)
        and ``contact_spend`` (money per customer in the horizon, adjusted); ``n_unhappy``,
        ``unhappy_churn_points``, ``unhappy_spend`` (last score low less last score not low, among
        those who answered); all with `_low`, `_high`. ``evidence`` is ``associational`` where
        there is an influence.

        ``reason``: why what is missing is missing.

    Raises
    ------
    DataError
        No record has a touchpoint, or too few customers have a known outcome.
    ConfigError
        A stage is unknown, `churn` has no dates, or `as_of` and `churn` do not come together.

    Notes
    -----
    Influence is **associational**: the difference between customers who did and did not have the
    contact (or the low score), from one linear regression per outcome on the contacts of all
    touchpoints and on tenure, spend before, date and `adjust_for` (for low scores also on who
    answered where), with standard errors clustered by customer. It is a difference of
    probabilities, or of money, averaged over customers; it is not what removing the touchpoint
    would do: contacts have causes of their own, such as a failure, that the covariates may not
    hold. Contact is a record in `exposure_days` where the median customer has none, else more
    records than the median. Spend is what customers pay in
    ``(as_of + gap, as_of + gap + horizon]``, refunds deducted; who left counts with what they paid.

    A comparison needs 50 customers on either side, and 10 leavers to be expected there, else it is
    missing with a reason. Trends need a year and 30 answers; change of volume two years, season 24
    whole months, in all of which interactions were recorded: from the first of them, at whatever
    touchpoint, to the last, or to the day the log is observed until. With two years or more, the
    trend of satisfaction is freed of a yearly wave.

    Touchpoints of fewer than 11 customers are suppressed, and with them the next smallest until
    two or more are hidden that hold 11 different customers together; likewise satisfaction of
    fewer than 11 customers who answered, the share of low scores where 1 to 10 customers gave one
    or gave none, and the numbers of fewer than 11 with contact or low scores. Records without a
    touchpoint are in no row.

    Examples
    --------
    >>> log = CustomerLog.from_frames(
    ...     interactions=pd.DataFrame(
    ...         {"customer_id": [f"c{n}" for n in range(30)], "occurred_at": "2024-03-01",
    ...          "kind": "call", "touchpoint": "support"}
    ...     )
    ... )
    >>> table = touchpoint_table(log, stages={"support": "retention"}, until="2024-06-01")
    >>> table[["stage", "touchpoint", "records"]]
           stage touchpoint  records
    0  retention    support       30
    """
    check_level(level)
    _check_stages(stages)
    if (churn is None) != (as_of is None):
        raise ConfigError("churn and as_of: give both for the influence, or neither.")
    if not isinstance(exposure_days, int | np.integer) or exposure_days < 1:
        raise ConfigError(f"exposure_days: expected 1 or more, found {exposure_days!r}.")
    end = to_utc(until)
    found = _touchpoints(log, end)
    parts = [
        volume(log, end, level=level),
        satisfaction(log, end, level=level),
        season(log, end),
    ]
    if churn is not None and as_of is not None:
        parts.append(
            influence(
                log, churn, as_of, exposure_days=exposure_days, level=level, adjust_for=adjust_for
            )
        )
    names = sorted({*found, *map(str, stages)}, key=lambda name: _place(name, stages))
    table = pd.concat([part.reindex(names) for part in parts], axis=1)
    table = table.reindex(columns=list(dict.fromkeys([*table.columns, *_EVERY])))
    for column in ("records", "customers", "customers_before"):
        table[column] = table[column].fillna(0)
    table["reason"] = [_reasons(row, churn is not None) for _, row in table.iterrows()]
    _suppress(table)
    influenced = table[[c for c in _INFLUENCE if c.endswith(("churn_points", "spend"))]]
    table["evidence"] = np.where(influenced.notna().any(axis=1), "associational", "")
    table.insert(0, "stage", [stages.get(name, NO_STAGE) for name in names])
    table.insert(1, "touchpoint", names)
    return _typed(table[["stage", "touchpoint", *_SHOWN]].reset_index(drop=True))


_SHOWN = [*_VOLUME, *_SATISFACTION, *_SEASON, *_INFLUENCE, "evidence", "reason"]
_HIDDEN = ["members", "customers_answering", "members_answering", "few_low", "other_metrics"]
_EVERY = [*_SHOWN, "customers_before", *_HIDDEN]


def _check_stages(stages: Mapping[str, str]) -> None:
    if not isinstance(stages, Mapping):
        raise ConfigError(
            "stages: expected a mapping of touchpoint to stage, such as {'support': 'retention'}; "
            f"found {type(stages).__name__}."
        )
    unknown = sorted({str(stage) for stage in stages.values() if stage not in STAGES})
    if unknown:
        raise ConfigError(
            f"stages: expected {', '.join(STAGES)}; found {', '.join(unknown[:5])}. Map each "
            "touchpoint to one of these, or leave it out."
        )


def _touchpoints(log: CustomerLog, until: pd.Timestamp) -> list[str]:
    names: set[str] = set()
    for table in ("interactions", "feedback"):
        known = known_records(log, table, until).touchpoint
        names |= set(known.name("name").as_table().distinct().to_pyarrow()["name"].to_pylist())
    if not names:
        raise DataError(
            f"no interaction and no answer before {until.date()} has a touchpoint. Map a column to "
            "touchpoint in the sources (columns: {touchpoint: ...}), or set one for a source with "
            "{value: ...}."
        )
    return sorted(names)


def _place(name: str, stages: Mapping[str, str]) -> tuple[int, str]:
    return (STAGES.index(stages[name]) if name in stages else len(STAGES), name)


def _reasons(row: pd.Series, with_churn: bool) -> list[str]:
    """Say why cells of a row are missing."""
    reasons = []
    if not row["records"]:
        reasons.append("volume: no interactions in the last year")
    elif pd.isna(row["volume_change"]):
        reasons.append("change: needs interactions recorded all the last two years")
    if pd.isna(row["n_answers"]):
        reasons.append("satisfaction: no answers in the last year")
    elif pd.isna(row["satisfaction_trend"]):
        reasons.append(f"trend: needs {FEWEST_FOR_TREND} answers over a year or more")
    if row["other_metrics"] > 0:
        reasons.append(f"satisfaction: {int(row['other_metrics'])} other metrics not shown")
    if row["records"] and pd.isna(row["season_month"]):
        reasons.append(f"season: not known, needs {MONTHS_FOR_SEASON} whole months")
    if not with_churn:
        reasons.append("influence: no churn problem given")
    elif isinstance(row["reason"], list):
        reasons += row["reason"]
    else:
        reasons.append("influence: no contact and no answer before the dates")
    return reasons


def _suppress(table: pd.DataFrame) -> None:
    """Blank what belongs to few customers, and as much more as keeps it from being derived."""
    few = _hidden(table["customers"], table["members"])
    unheard = _hidden(table["customers_answering"], table["members_answering"])
    before = table["customers_before"].to_numpy(float)
    newly = few | ((before > 0) & (before < MIN_RESPONDENTS))
    for hidden, columns, what in (
        (few, [*_VOLUME, *_SEASON, "n_contact"], "volume"),
        (newly, _CHANGE, "change"),
        (unheard, [*_SATISFACTION, "n_unhappy"], "satisfaction"),
        (table["few_low"].eq(True).to_numpy(), ["low_share"], "share of low scores"),
    ):
        table.loc[hidden, columns] = np.nan
        for place in np.flatnonzero(hidden):
            table["reason"].iloc[place].append(
                f"{what}: suppressed, it or another has fewer than {MIN_RESPONDENTS} customers"
            )


def _hidden(customers: pd.Series, members: pd.Series) -> npt.NDArray[np.bool_]:
    """Hide small groups; of nobody there is nothing to hide."""
    hidden, somebody = np.zeros(len(customers), dtype=bool), (customers > 0).to_numpy()
    hidden[somebody] = hidden_groups(customers[somebody], list(members[somebody]))
    return hidden


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    table["reason"] = ["; ".join(reasons) for reasons in table["reason"]]
    counts: Any = ["records", "customers", "n_answers", "season_month", "n_contact", "n_unhappy"]
    for column in table.columns[2:]:
        if column in counts:
            table[column] = table[column].astype("Float64").astype("Int64")
        elif column in (*_TEXT, "evidence"):
            table[column] = table[column].astype("str")
        else:
            table[column] = table[column].astype("float64")
    return table
