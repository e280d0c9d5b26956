"""The promotion gate: what a version must hold before it may become champion."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.config.gate import GateSettings
from cxpredict.errors import ModelError
from cxpredict.models.evaluation import compare, evaluate
from cxpredict.models.evaluation.reliability import calibration_noise

LEVEL = 0.95


@dataclass(frozen=True)
class Check:
    """One condition of the gate.

    Attributes
    ----------
    check : str
        What is checked.
    value : float
        What was measured; NaN where nothing could be.
    bound : str
        What the value must hold.
    holds : bool or None
        None where the check does not apply.
    reason : str
        The finding in words, with its interval.
    """

    check: str
    value: float
    bound: str
    holds: bool | None
    reason: str


@dataclass(frozen=True)
class GateDecision:
    """Whether a version may be promoted, and why.

    Attributes
    ----------
    checks : tuple of Check
        Every condition with its finding.

    Examples
    --------
    >>> GateDecision((Check("leaks", 1.0, "0", False, "plan knows the answer"),)).refusals
    ('leaks: plan knows the answer',)
    """

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether no check fails."""
        return all(check.holds is not False for check in self.checks)

    @property
    def refusals(self) -> tuple[str, ...]:
        """The failed checks in words."""
        failed = (check for check in self.checks if check.holds is False)
        return tuple(f"{check.check}: {check.reason}" for check in failed)

    def table(self) -> pd.DataFrame:
        """Return check, value, bound, holds (missing: does not apply), reason."""
        table = pd.DataFrame([vars(check) for check in self.checks])
        return table.astype({"holds": "boolean"})

    def _repr_html_(self) -> str:
        verdict = "may be promoted" if self.passed else "refused"
        body = self.table().to_html(index=False, float_format="{:.3f}".format, na_rep="")
        return f"<p>{html.escape(verdict)}</p>{body}"


def promotion_gate(
    y: Any,
    p: Any,
    *,
    champion: Any = None,
    unscored: str = "",
    gain: Any = None,
    gain_champion: Any = None,
    segments: Any = None,
    leaks: Iterable[str] = (),
    groups: Any = None,
    weights: Any = None,
    settings: GateSettings | None = None,
    n_bootstrap: int = 300,
    random_state: int = 0,
) -> GateDecision:
    """Decide whether a version of a model may be promoted.

    Parameters
    ----------
    y : array-like of shape (n,)
        Outcomes of rows that no model was trained on.
    p : array-like of shape (n,)
        Probabilities of the version to judge.
    champion : array-like of shape (n,), optional
        Probabilities of the present champion for the same rows.
    unscored : str, optional
        Why the present champion could not score these rows; the version is refused then, for
        nobody knows whether it is worse.
    gain, gain_champion : array-like of shape (n,), optional
        Money that each row brought when acting on the version, and on the champion.
    segments : Series, DataFrame or mapping, optional
        Segments of the rows, as in `cxpredict.evaluate`.
    leaks : iterable of str
        Features of severity high in the leak audit that nobody accepted and that are still used.
    groups, weights, n_bootstrap, random_state
        As in `cxpredict.evaluate`.
    settings : GateSettings, optional
        Bounds; their defaults are documented there.

    Returns
    -------
    GateDecision
        ``passed`` and the checks as a table.

    Raises
    ------
    ModelError
        As in `cxpredict.evaluate` and `cxpredict.compare`; or `gain_champion` without `gain`.

    Notes
    -----
    The checks, with 95 % intervals from customers drawn with replacement:

    - *ranking*: the interval of the ROC AUC lies above .5.
    - *base rate*: the log loss is below that of giving every row the rate that came about, which
      no constant can beat.
    - *champion*: the paired interval of the log loss does not show the champion to be better, and
      a champion that exists could be scored.
    - *profit*, with gains and a champion: mean gain less the champion's, paired; the lower end of
      its interval is not below −`profit_margin`. The burden of proof is the version's.
    - *calibration error*: the expected calibration error, less what a perfectly calibrated model
      would show on these rows by chance, is within its bound; or, with a champion, the paired
      interval does not show it to be worse than the champion's.
    - *calibration slope*: its interval touches the stated range; or as above.
    - *leaks*: there are none.
    - *segment …*: no segment is shown to lose more ROC AUC than the margin, against the champion,
      or without one against the whole. The interval is that of the largest loss over all segments
      with enough customers; a loss that only may be there does not refuse.

    Any other check that cannot be made says so, and refuses nothing.

    References
    ----------
    Bröcker, Smith (2007), Increasing the reliability of reliability diagrams.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> p = rng.beta(1, 3, 2000)
    >>> y = rng.random(2000) < p
    >>> promotion_gate(y, p).passed
    True
    >>> promotion_gate(rng.permutation(y), p).passed
    False
    """
    if gain is None and gain_champion is not None:
        raise ModelError("gain_champion is given without gain; give what both brought, or neither.")
    settings = settings or GateSettings()
    same: dict[str, Any] = {
        "by": segments,
        "min_segment": settings.min_segment,
        "groups": groups,
        "weights": weights,
        "level": LEVEL,
        "n_bootstrap": n_bootstrap,
        "random_state": random_state,
    }
    found = evaluate(y, p, **same)
    paired = None
    if champion is not None:
        gains = {"gain_champion": gain_champion, "gain_challenger": gain}
        given = gains if gain is not None else {}
        paired = compare(y, champion, p, **given, **same)
    measured, against = _whole(found), None if paired is None else _whole(paired)
    checks = [
        _ranking(measured.loc["roc_auc"]),
        _base_rate(measured),
        _champion(against, unscored),
        _profit(gain is not None, against, settings.profit_margin),
        _calibration_error(measured, against, calibration_noise(p, weights=weights), settings),
        _slope(measured, against, settings),
        _leaks(sorted(leaks)),
        *_segments(found, paired, settings),
    ]
    return GateDecision(tuple(checks))


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table["kind"] == "whole"] if "kind" in table else table
    return rows.set_index("metric")


def _interval(row: Any, digits: int = 3) -> str:
    low, high = f"{row['low']:.{digits}f}", f"{row['high']:.{digits}f}"
    return f"95 % interval {low} to {high}"


def _ranking(auc: pd.Series) -> Check:
    holds = bool(auc["low"] > 0.5)
    words = "better than a coin toss" if holds else "cannot be told from a coin toss"
    reason = f"ROC AUC {auc['estimate']:.3f} ({_interval(auc)}): {words}"
    return Check("ranking", float(auc["low"]), "above 0.5", holds, reason)


def _base_rate(measured: pd.DataFrame) -> Check:
    skill, log_loss = measured.loc["log_loss_skill"], measured.loc["log_loss", "estimate"]
    rate = measured.loc["base_rate", "estimate"]
    saved = float(skill["estimate"])
    constant = log_loss / (1.0 - saved)
    holds = saved > 0.0
    reason = (
        f"log loss {log_loss:.3f}, of giving everyone the base rate ({rate:.1%}) {constant:.3f}: "
        f"{'better' if holds else 'not better'} than the base rate"
    )
    return Check("base rate", saved, "above 0", holds, reason)


def _champion(against: pd.DataFrame | None, unscored: str) -> Check:
    bound = "interval not above 0"
    if against is None and unscored:
        reason = (
            f"the present champion could not be scored on these rows: {unscored}; mend that, give "
            "the run another name, or take the alias champion from that version"
        )
        return Check("champion", np.nan, bound, False, reason)
    if against is None:
        return Check("champion", np.nan, bound, None, "not applicable: no champion to compare with")
    row = against.loc["log_loss"]
    holds = row["better"] != "champion"
    reason = (
        f"log loss {row['challenger']:.3f}, the champion's {row['champion']:.3f}; difference "
        f"{row['difference']:.3f} ({_interval(row)}): {'not ' if holds else ''}worse"
    )
    return Check("champion", float(row["low"]), bound, bool(holds), reason)


def _profit(configured: bool, against: pd.DataFrame | None, margin: float | None) -> Check:
    bound = f"at least {0.0 - (margin or 0.0):g}"
    if not configured:
        return Check("profit", np.nan, bound, None, "not applicable: no costs configured")
    if against is None:
        return Check("profit", np.nan, bound, None, "not applicable: no champion's gain")
    row = against.loc["mean_gain"]
    holds = bool(row["low"] >= -(margin or 0.0))
    reason = (
        f"{row['challenger']:.2f} per row, the champion {row['champion']:.2f}; difference "
        f"{row['difference']:.2f} ({_interval(row, 2)})"
    )
    if not holds:
        reason += ": a loss beyond the margin cannot be ruled out"
        reason += "" if margin else "; no margin is stated (gate.profit_margin)"
    return Check("profit", float(row["low"]), bound, holds, reason)


def _calibration_error(
    measured: pd.DataFrame, against: pd.DataFrame | None, noise: float, settings: GateSettings
) -> Check:
    row, most = measured.loc["ece"], settings.max_calibration_error
    excess = float(row["estimate"]) - noise
    reason = f"ECE {row['estimate']:.3f} ({_interval(row)}), by chance alone {noise:.3f}"
    holds, added = _or_as_good(excess <= most, against, "ece")
    return Check("calibration error", excess, f"at most {most:g}", holds, reason + added)


def _slope(measured: pd.DataFrame, against: pd.DataFrame | None, settings: GateSettings) -> Check:
    row = measured.loc["calibration_slope"]
    low, high = settings.min_calibration_slope, settings.max_calibration_slope
    bound = f"{low:g} to {high:g}"
    if not np.isfinite(row["estimate"]):
        reason = "not applicable: every row has the same prediction"
        return Check("calibration slope", np.nan, bound, None, reason)
    inside = bool(row["low"] <= high and row["high"] >= low)
    holds, added = _or_as_good(inside, against, "calibration_slope")
    reason = f"slope {row['estimate']:.2f} ({_interval(row, 2)}){added}"
    return Check("calibration slope", float(row["estimate"]), bound, holds, reason)


def _or_as_good(inside: bool, against: pd.DataFrame | None, metric: str) -> tuple[bool, str]:
    """Let a version pass that is outside the bound, but not shown to be worse than the champion."""
    if inside:
        return True, ""
    if against is None:
        return False, ": outside the bound"
    if against.loc[metric, "better"] == "champion":
        return False, ": outside the bound and worse than the champion"
    return True, ": outside the bound, but not shown to be worse than the champion"


def _leaks(leaks: Sequence[str]) -> Check:
    shown = ", ".join(leaks[:5]) + (f" and {len(leaks) - 5} more" if len(leaks) > 5 else "")
    reason = f"seem to know the answer, unaccepted: {shown}" if leaks else "none unaccepted"
    return Check("leaks", float(len(leaks)), "0", not leaks, reason)


def _segments(
    found: pd.DataFrame, paired: pd.DataFrame | None, settings: GateSettings
) -> list[Check]:
    """Judge the segment that loses most, for each column that divides the rows."""
    if "kind" not in found:
        return []
    checks = []
    for by in found.loc[found["kind"] == "segment", "by"].unique():
        table, kind = (found, "gap") if paired is None else (paired, "worst")
        rows = table[(table["kind"] == kind) & (table["by"] == by) & (table["metric"] == "roc_auc")]
        bound = f"at most {settings.max_segment_gap:g}"
        if not len(rows):
            least = f"no segment has {settings.min_segment} customers with and without the event"
            checks.append(Check(f"segment {by}", np.nan, bound, None, f"not applicable: {least}"))
            continue
        row = rows.iloc[0]
        if paired is None:
            lost, low, high = row["estimate"], row["low"], row["high"]
        else:
            lost, low, high = -row["difference"], -row["high"], -row["low"]
        versus = "all rows" if paired is None else "the champion"
        reason = (
            f"{row['segment']} loses most against {versus}: ROC AUC {lost + 0.0:.3f} "
            f"({_interval({'low': low + 0.0, 'high': high + 0.0})}, chosen as the worst)"
        )
        holds = not low > settings.max_segment_gap
        checks.append(Check(f"segment {by}", float(low) + 0.0, bound, bool(holds), reason))
    return checks
