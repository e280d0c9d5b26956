"""Are the rows that are scored like those of training? Counted chunk by chunk."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.checks import check_level
from cxpredict.data.suppression import MIN_RESPONDENTS
from cxpredict.errors import DataError
from cxpredict.jobs.monitoring.baseline import scored_columns
from cxpredict.jobs.monitoring.cells import MISSING, OTHER, Cells
from cxpredict.jobs.monitoring.homogeneity import Reference, p_value, psi
from cxpredict.jobs.monitoring.statuses import SHOWN, with_statuses

__all__ = ["MAX_PSI", "MAX_UNSEEN", "DriftCounts", "score_drift"]

MAX_PSI = 0.25
"""Siddiqi (2006), Credit risk scorecards: below .1 no change, from .25 on a major shift."""
MAX_UNSEEN = 0.05
"""Share of rows with a level that no training row had: to the model these are gaps."""
MOST_UNKNOWN = 1_000
"""With more different unknown levels than this their names are not kept: an id, or free text."""
SCORES = {"score": "(score)", "bands": "(risk band)"}


class DriftCounts:
    """Count where the scored rows fall, and compare that with the baseline of training.

    Parameters
    ----------
    baseline : dict
        As from `learn_baseline`.

    Notes
    -----
    The table depends on the rows alone, not on how they are cut into chunks, nor on their order.

    Examples
    --------
    >>> from cxpredict.jobs.monitoring.baseline import learn_baseline
    >>> rng = np.random.default_rng(0)
    >>> trained = pd.DataFrame({"calls": rng.poisson(2, 5000), "plan": rng.choice(["a"], 5000)})
    >>> scored = trained.assign(calls=trained["calls"] + 1, plan="c").head(1000)
    >>> table = DriftCounts(learn_baseline(trained)).add(scored).table()
    >>> table[["feature", "status"]].values.tolist()
    [['calls', 'drifted'], ['plan', 'drifted']]
    """

    def __init__(self, baseline: dict[str, Any]) -> None:
        self._entries = dict(baseline["features"])
        self._scores = {part: baseline[part] for part in SCORES if part in baseline}
        known = {**self._entries, **{SCORES[p]: entry for p, entry in self._scores.items()}}
        self._known: dict[str, dict[str, Any]] = known
        self._cells = {name: Cells.of(entry) for name, entry in known.items()}
        self._counts = {name: np.zeros(len(c), dtype=np.int64) for name, c in self._cells.items()}
        self._unreadable: Counter[str] = Counter()
        self._absent: Counter[str] = Counter()
        self._extra: Counter[str] = Counter()
        self._unknown: dict[str, Counter[str] | None] = {name: Counter() for name in known}
        self.rows = 0

    def add(self, X: pd.DataFrame, risk: Any = None) -> DriftCounts:
        """Count a chunk of rows.

        Parameters
        ----------
        X : DataFrame
            Features, aligned by name.
        risk : DataFrame, Series or array-like, optional
            Scores of the same rows, as in `learn_baseline`; give them for all chunks or for none.

        Returns
        -------
        DriftCounts
            Itself.

        Raises
        ------
        DataError
            Names are not unique, or `risk` has another number of rows.
        """
        names = [str(name) for name in X.columns]
        if len(set(names)) < len(names):
            raise DataError("drift: column names must be unique; rename or drop the duplicates.")
        scores = scored_columns(risk)
        if any(len(values) != len(X) for values in scores.values()):
            raise DataError(f"drift: risk must have the {len(X):,} rows of X.")
        self.rows += len(X)
        for place, name in enumerate(names):
            if name in self._entries:
                self._count(name, X.iloc[:, place])
            else:
                self._extra[name] += len(X)
        for name in self._entries.keys() - set(names):
            self._absent[name] += len(X)
        for part, values in scores.items():
            if part in self._scores:
                self._count(SCORES[part], values)
        return self

    def merge(self, other: DriftCounts) -> DriftCounts:
        """Add what another one counted, on another machine, from the same baseline."""
        if other._known != self._known:
            raise DataError("drift: only counts of one baseline can be merged.")
        self.rows += other.rows
        for name, counts in other._counts.items():
            self._counts[name] += counts
            self._add_unknown(name, other._unknown[name])
        for own, more in (
            (self._unreadable, other._unreadable),
            (self._absent, other._absent),
            (self._extra, other._extra),
        ):
            own.update(more)
        return self

    def to_state(self) -> dict[str, Any]:
        """Return the counts as lists, strings and numbers, to be merged on another machine."""
        return {
            "rows": self.rows,
            "counts": {name: counts.tolist() for name, counts in self._counts.items()},
            "unreadable": dict(self._unreadable),
            "absent": dict(self._absent),
            "extra": dict(self._extra),
            "unknown": {n: None if u is None else dict(u) for n, u in self._unknown.items()},
        }

    @classmethod
    def from_state(cls, baseline: dict[str, Any], state: dict[str, Any]) -> DriftCounts:
        """Rebuild counts from `to_state` and their baseline."""
        drift = cls(baseline)
        drift.rows = state["rows"]
        drift._counts = {name: np.array(c, dtype=np.int64) for name, c in state["counts"].items()}
        drift._unreadable = Counter(state["unreadable"])
        drift._absent = Counter(state["absent"])
        drift._extra = Counter(state["extra"])
        drift._unknown = {n: None if u is None else Counter(u) for n, u in state["unknown"].items()}
        return drift

    def table(
        self, *, level: float = 0.95, max_psi: float = MAX_PSI, max_unseen: float = MAX_UNSEEN
    ) -> pd.DataFrame:
        """Say which columns are as they were.

        Parameters
        ----------
        level : float in (0, 1), default .95
            Probability that no column at all is called moved or drifted where none has.
        max_psi : float, default .25
            Size from which a detectable shift is a drift.
        max_unseen : float in [0, 1], default .05
            Share of rows up to which levels that no training row had are no alert.

        Returns
        -------
        DataFrame
            One row per feature of the baseline, then the score and its band, then extra columns:
            ``feature``; ``kind``; ``psi``, less what chance gives; ``psi_limit``; ``p_value``;
            ``p_corrected`` (Holm, all columns together); ``status``; ``detail`` in words. Status,
            the worst that applies: *missing* (the column is not there), *retyped* (numbers became
            text), *by date* (the month: it follows from the date, and is not judged), *drifted*
            (p below 1 − `level` and psi at least psi_limit), *too many unseen* (levels that no
            training row had, in more rows than `max_unseen`), *unseen levels* (in fewer), *moved*
            (detectable, but within the limit), *stable*; *extra* (not used).

        Raises
        ------
        DataError
            No row was counted, or a setting is out of range.

        Notes
        -----
        Any difference is detectable with enough rows, and a small sample has a large psi by chance:
        a drift needs both. And it needs more: the rows of one date share its season, its weekday,
        its distance to the last bill, so that every date differs from all others together. The
        limit of psi is `max_psi` or, where that is larger, what training dates show among
        themselves, as in `psi_limit`, at the level (1 − `level`) / columns. It knows dates like
        those: a trend that goes on beyond them, a feature that counts since the first day of a
        short history, or a season that they did not see is drift, for the model has not seen it
        either. It is far out with three to five dates. With one or two nothing is known of dates:
        `max_psi` alone decides, and `detail` says so.

        PSI and test as in `cxpredict.jobs.monitoring.homogeneity`; a shift within a bin goes
        unseen. Drift says where to look, `monitor` says whether it hurts. Names of levels are given
        where at least 11 rows have them.
        """
        check_level(level)
        if not max_psi >= 0:
            raise DataError(f"max_psi: expected a number from 0 on, found {max_psi}.")
        if not 0 <= max_unseen <= 1:
            raise DataError(f"max_unseen: expected a share from 0 to 1, found {max_unseen}.")
        if not self.rows:
            raise DataError("drift: no row was counted; score customers first.")
        given = [name for name in self._known if name in self._entries or self._counts[name].any()]
        rows = [self._compare(name, max_unseen) for name in given]
        rows += [_row(name, "", "extra", "not used") for name in sorted(self._extra)]
        dates = [self._known[name].get("dates", {}) for name in given]
        dates += [{}] * len(self._extra)
        return with_statuses(pd.DataFrame(rows), dates, level=level, max_psi=max_psi)

    def _count(self, name: str, values: pd.Series) -> None:
        placed = self._cells[name].place(values)
        readable = placed.cell >= 0
        size = len(self._cells[name])
        self._counts[name] += np.bincount(placed.cell[readable], minlength=size)
        self._unreadable[name] += int((~readable).sum())
        self._add_unknown(name, placed.unknown)

    def _add_unknown(self, name: str, more: Counter[str] | None) -> None:
        own = self._unknown[name]
        if own is None or more is None:
            self._unknown[name] = None
            return
        own.update(more)
        if len(own) > MOST_UNKNOWN:
            self._unknown[name] = None

    def _compare(self, name: str, max_unseen: float) -> dict[str, Any]:
        entry, cells, counts = self._known[name], self._cells[name], self._counts[name]
        kind = entry["kind"]
        if self._absent[name]:
            return _row(name, kind, "missing", f"in {self._absent[name]:,} of {self.rows:,} rows")
        unreadable = self._unreadable[name]
        if unreadable:
            detail = f"{unreadable:,} of {self.rows:,} values are no numbers any more"
            return _row(name, kind, "retyped", detail)
        reference = Reference(np.array(entry["shares"]), entry["rows"], *entry["clustering"])
        named = {len(cells) - 2, len(cells) - 1} if kind == "category" else {len(cells) - 1}
        watched = sorted(named | set(np.flatnonzero(reference.shares == 0).tolist()))
        distance, _ = psi(reference, counts)
        row = _row(name, kind, "stable", _largest_move(cells.names, reference.shares, counts))
        row["psi"] = distance
        if entry.get("dates", {}).get("alone"):
            return row | {"status": "by date"}
        row["p_value"] = p_value(reference, counts, watched=watched)
        if kind == "category" and counts[-2] and not reference.shares[-2]:
            many = counts[-2] > max_unseen * self.rows
            row["status"] = "too many unseen" if many else "unseen levels"
            row["detail"] = self._unseen(name, int(counts[-2]))
        return row

    def _unseen(self, name: str, count: int) -> str:
        text = f"{count:,} of {self.rows:,} rows"
        held = [(n, level) for level, n in (self._unknown[name] or {}).items()]
        named = sorted((-n, level) for n, level in held if n >= MIN_RESPONDENTS)[:SHOWN]
        if not named:
            return text
        return f"{text}: {', '.join(f'{level} ({-n:,})' for n, level in named)}"


def score_drift(
    baseline: dict[str, Any] | None, risk: pd.Series, *, max_psi: float = MAX_PSI
) -> dict[str, Any]:
    """Compare published scores alone with the baseline: score_psi and score_status."""
    if baseline is None or "score" not in baseline:
        return {"score_psi": np.nan, "score_status": "no baseline"}
    counts = DriftCounts({"features": {}, "score": baseline["score"]})
    row = counts.add(pd.DataFrame(index=risk.index), risk).table(max_psi=max_psi).iloc[0]
    return {"score_psi": float(row["psi"]), "score_status": str(row["status"])}


def _row(name: str, kind: str, status: str, detail: str) -> dict[str, Any]:
    blank = {"psi": np.nan, "p_value": np.nan}
    return {"feature": name, "kind": kind, **blank, "status": status, "detail": detail}


def _largest_move(
    names: list[str], shares: npt.NDArray[np.float64], counts: npt.NDArray[np.int64]
) -> str:
    """Name the cell whose share changed most."""
    now = counts / counts.sum()
    place = int(np.argmax(np.abs(now - shares)))
    what = {OTHER: "other levels", MISSING: "missing"}.get(names[place], names[place])
    return f"{what}: {shares[place]:.1%} in training, {now[place]:.1%} now"
