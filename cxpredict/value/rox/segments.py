"""The economics of NPS groups as uncertain numbers: checked, drawn, and moved one at a time."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from cxpredict.data.checks import Floats, in_range
from cxpredict.errors import DataError

EVIDENCE = ("assumed", "associational", "adjusted", "experimental")
# Each term of the benefit and the column whose difference between groups makes it.
TERMS = {
    "retention": "retention",
    "spend": "margin",
    "cost to serve": "cost_to_serve",
    "word of mouth": "referral_value",
}
LIFETIME = {"lifetime value": "lifetime_value"}
_LARGEST = 1e30  # no money is more, and no sum overflows


@dataclass(frozen=True)
class Segments:
    """Values and standard errors, groups × quantities, and their joint distribution.

    With `changes`, the second row holds what changes against the first; tables that come out of
    here hold levels in every row.
    """

    groups: list[str]
    quantities: list[str]
    values: Floats
    errors: Floats
    correlation: Floats
    changes: bool = False

    @property
    def levels(self) -> Floats:
        """The estimates themselves."""
        return self._levels(self.values)

    def draw(self, n_draws: int, random_state: int) -> Floats:
        """Draw tables of levels, draws × groups × quantities."""
        rng = np.random.default_rng(random_state)
        scale, axes = np.linalg.eigh(self.correlation)
        root = axes * np.sqrt(np.maximum(scale, 0.0))
        z = rng.standard_normal((n_draws, len(root))) @ root.T
        return self._levels(self._at(z.reshape(n_draws, *self.values.shape)))

    def one_at_a_time(self, z: float) -> tuple[list[str], Floats, Floats]:
        """Names of the uncertain inputs, and tables with each at its low and its high end."""
        names, ends = [], []
        for g, q in np.argwhere(self.errors > 0):
            shift = np.zeros(self.values.shape)
            shift[g, q] = z
            names.append(self._name(g, q))
            ends.append(shift)
        moved = np.array(ends).reshape(-1, *self.values.shape)
        return names, self._only(moved, -1.0), self._only(moved, 1.0)

    def _only(self, shift: Floats, sign: float) -> Floats:
        """Move what `shift` names; the rest stays at its estimate, not at its median."""
        return self._levels(np.where(shift != 0, self._at(sign * shift), self.values))

    def _name(self, g: int, q: int) -> str:
        quantity = self.quantities[q].replace("_", " ")
        if self.changes:
            return f"effect on {quantity}" if g else f"{quantity} now"
        return f"{quantity} of {self.groups[g]}"

    def _levels(self, tables: Floats) -> Floats:
        if not self.changes:
            return tables
        levels = tables.copy()
        levels[..., 1, :] += tables[..., 0, :]
        levels[..., 1, 0] = levels[..., 1, 0].clip(0.0, 1.0)  # retention
        return levels

    def _at(self, z: Floats) -> Floats:
        """Values at standard normal scores: Beta for retention, normal for money."""
        tables = self.values + self.errors * z
        if "retention" in self.quantities:
            q = self.quantities.index("retention")
            uncertain = self.errors[:, q] > 0
            if self.changes:
                uncertain[1] = False  # a change may be negative
            for g in np.flatnonzero(uncertain):
                r, variance = self.values[g, q], self.errors[g, q] ** 2
                size = r * (1 - r) / variance - 1
                p = stats.norm.cdf(z[..., g, q])
                tables[..., g, q] = stats.beta.ppf(p, r * size, (1 - r) * size)
        return tables


def read_segments(
    economics: pd.DataFrame,
    groups: list[str],
    evidence: Mapping[str, str],
    covariance: pd.DataFrame | None,
) -> Segments:
    """Read the rows of `groups` from the table of economics, or say what is wrong with it."""
    columns = {**LIFETIME, **TERMS}
    quantities = [columns[term] for term in evidence]
    absent = [g for g in groups if g not in economics.index]
    if absent or not economics.index.is_unique:
        raise DataError(
            f"economics: expected one row for each group of the shift; without: {absent}."
        )
    rows = economics.loc[groups]
    values, errors = np.empty((2, len(groups), len(quantities)))
    for k, (term, column) in enumerate(zip(evidence, quantities, strict=True)):
        high = 1.0 if column == "retention" else _LARGEST
        low = 0.0 if column in ("retention", "cost_to_serve") else -_LARGEST
        values[:, k] = in_range(f"economics.{column}", rows[column], low, high)
        errors[:, k] = _errors(rows, column, evidence[term])
    if "retention" in quantities:
        k = quantities.index("retention")
        r, se = values[:, k], errors[:, k]
        if ((se > 0) & (se**2 >= r * (1 - r))).any():
            raise DataError(
                "economics.retention_se: too large for a share, or retention is exactly 0 or 1 "
                "with an error; the data cannot tell retention of this group."
            )
    correlation = _correlation(covariance, groups, quantities)
    return Segments(groups, quantities, values, errors, correlation)


def _errors(rows: pd.DataFrame, column: str, tag: str) -> Floats:
    name = f"{column}_se"
    if name in rows.columns:
        return in_range(f"economics.{name}", rows[name], 0.0, _LARGEST)
    if tag != "assumed":
        raise DataError(
            f"economics: {column} is called {tag} but has no column {name}. An estimate has a "
            "standard error; a number without one is evidence='assumed'."
        )
    return np.zeros(len(rows))


def _correlation(
    covariance: pd.DataFrame | None, groups: list[str], quantities: list[str]
) -> Floats:
    size = len(groups) * len(quantities)
    matrix = np.eye(size)
    if covariance is None:
        return matrix
    if not isinstance(covariance, pd.DataFrame):
        raise DataError(
            f"covariance: expected a DataFrame, as of group_economics, got "
            f"{type(covariance).__name__}."
        )
    labels = [(g, q) for g in groups for q in quantities]
    known = [k for k, label in enumerate(labels) if label in covariance.index]
    if not known or not covariance.index.equals(covariance.columns):
        raise DataError(
            "covariance: expected rows and columns (group, quantity), as of group_economics."
        )
    wanted = pd.MultiIndex.from_tuples([labels[k] for k in known])
    block = in_range("covariance", covariance.loc[wanted, wanted])
    matrix[np.ix_(known, known)] = correlation_of(block)
    return matrix


def correlation_of(covariance: Floats) -> Floats:
    """Correlation that belongs to a covariance; what does not vary goes with nothing."""
    spread = np.sqrt(np.diag(covariance))
    spread = np.where(spread > 0, spread, 1.0)
    matrix: Floats = covariance / np.outer(spread, spread)
    np.fill_diagonal(matrix, 1.0)
    return matrix
