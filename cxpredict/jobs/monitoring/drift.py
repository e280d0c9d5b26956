"""Are the rows that are scored like those of training? Counted chunk by chunk."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.checks import check_level
from cxpredict.data.suppression import MIN_RESPONDENTS
from cxpredict.errors import DataError, DriftError
from cxpredict.jobs.monitoring.baseline import scored_columns
from cxpredict.jobs.monitoring.cells import MISSING, OTHER, Cells
from cxpredict.jobs.monitoring.homogeneity import Reference, holm, p_value, psi

__all__ = ["MAX_PSI", "DriftCounts", "raise_if_drifted", "score_drift"]

MAX_PSI = 0.25
"""Siddiqi (2006), Credit risk scorecards: below .1 no change, from .25 on a major shift."""
MOST_UNKNOWN = 1_000
"""With more different unknown levels than this their names are not kept: an id, or free text."""
SHOWN = 5
ALERTS = ("missing", "retyped", "drifted")
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

    def table(self, *, level: float = 0.95, max_psi: float = MAX_PSI) -> pd.DataFrame:
        """Say which columns are as they were.

        Parameters
        ----------
        level : float in (0, 1), default .95
            Probability that no column at all is called moved or drifted where none has.
        max_psi : float, default .25
            Size from which a detectable shift is a drift.

        Returns
        -------
        DataFrame
            One row per feature of the baseline, then the score and its band, then extra columns:
            ``feature``; ``kind``; ``psi``, less what chance gives; ``p_value``; ``p_corrected``
            (Holm, all columns together); ``status``; ``detail`` in words. Status, the worst that
            applies: *missing* (the column is not there), *retyped* (numbers became text), *drifted*
            (p below the level and psi at least `max_psi`), *unseen levels* (values that no training
            row had), *moved* (detectable, but smaller), *stable*; *extra* (not used).

        Raises
        ------
        DataError
            No row was counted, or a setting is out of range.

        Notes
        -----
        Any difference is detectable with enough rows, and a small sample has a large psi by chance:
        a drift needs both. PSI and test as in `cxpredict.jobs.monitoring.homogeneity`; a shift
        within a bin goes unseen. Seasons and growth move features of a model that is all right:
        drift says where to look, `monitor` says whether it hurts. Names of levels are given where
        at least 11 rows have them.
        """
        check_level(level)
        if not max_psi >= 0:
            raise DataError(f"max_psi: expected a number from 0 on, found {max_psi}.")
        if not self.rows:
            raise DataError("drift: no row was counted; score customers first.")
        given = [name for name in self._known if name in self._entries or self._counts[name].any()]
        rows = [self._compare(name) for name in given]
        rows += [_row(name, "", "extra", "not used") for name in sorted(self._extra)]
        table = pd.DataFrame(rows).astype({"psi": "float64", "p_value": "float64"})
        table.insert(4, "p_corrected", holm(table["p_value"].to_numpy()))
        found = table["p_corrected"] < 1.0 - level
        table.loc[found & (table["status"] == "stable"), "status"] = "moved"
        table.loc[found & (table["psi"] >= max_psi), "status"] = "drifted"
        return table

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

    def _compare(self, name: str) -> dict[str, Any]:
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
        row |= {"psi": distance, "p_value": p_value(reference, counts, watched=watched)}
        if kind == "category" and counts[-2] and not reference.shares[-2]:
            row |= {"status": "unseen levels", "detail": self._unseen(name, int(counts[-2]))}
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


def raise_if_drifted(table: pd.DataFrame) -> None:
    """Raise if a table of drift holds a column that is missing, retyped or drifted.

    Parameters
    ----------
    table : DataFrame
        As from `DriftCounts.table`.

    Raises
    ------
    DriftError
        Names up to five columns, the worst first.

    Examples
    --------
    >>> raise_if_drifted(pd.DataFrame({"feature": ["age"], "psi": [0.1], "status": ["moved"]}))
    """
    bad = table[table["status"].isin(ALERTS)].copy()
    if not len(bad):
        return
    bad["order"] = bad["status"].map(ALERTS.index)
    bad = bad.sort_values(["order", "psi"], ascending=[True, False])
    shown = [
        f"{row.feature} ({row.status}{'' if pd.isna(row.psi) else f', PSI {row.psi:.2f}'})"
        for row in bad.head(SHOWN).itertuples()
    ]
    more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
    raise DriftError(
        f"{len(bad)} column(s) are not as in training: {', '.join(shown)}{more}. The scores are "
        "published; check the source, train again on newer records, or raise monitor.max_psi."
    )
