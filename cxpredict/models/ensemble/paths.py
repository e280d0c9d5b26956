"""What a LightGBM model asks on the way to its leaves, leaves that share questions together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Groups", "groups_of"]

MOST_QUESTIONS = 10
"""Leaves of a subtree are looked up together if it takes no more answers than this."""

_ZERO, _NAN = 1, 2


@dataclass(frozen=True)
class Interval:
    """Values of one feature that go the way of a path: low < x <= high, or a gap if `gaps`.

    A `low` of NaN means no bound. `share` of the training rows that came to the splits on this
    feature went this way.
    """

    low: float = np.nan
    high: float = np.inf
    gaps: bool = True
    share: float = 1.0


Path = dict[int, Interval]


@dataclass
class _Tree:
    """One tree, as LightGBM numbers its splits and leaves (leaf i is child ~i)."""

    feature: list[int]
    threshold: list[float]
    decision: list[int]
    left: list[int]
    right: list[int]
    value: list[float]
    leaf_count: list[int]
    count: list[int]

    @property
    def plain(self) -> bool:
        """Say whether all splits are on numbers, and zeros do not count as missing."""
        return not any(kind & 1 or (kind >> 2) & 3 == _ZERO for kind in self.decision)

    def rows(self, node: int) -> int:
        """Return how many training rows came to a split or leaf."""
        return self.count[node] if node >= 0 else self.leaf_count[~node]

    def n_splits(self, node: int) -> int:
        """Count the splits of a subtree."""
        if node < 0:
            return 0
        return 1 + self.n_splits(self.left[node]) + self.n_splits(self.right[node])

    def gaps_left(self, node: int) -> bool:
        """Say whether a gap goes left; where none was seen in training LightGBM reads 0."""
        if (self.decision[node] >> 2) & 3 == _NAN:
            return bool(self.decision[node] & 2)
        return self.threshold[node] >= 0.0

    def onward(self, node: int, path: Path) -> Iterator[tuple[int, Path]]:
        """Return both children and the paths to them."""
        feature, threshold, gaps = self.feature[node], self.threshold[node], self.gaps_left(node)
        so_far = path.get(feature, Interval())
        for child in (self.left[node], self.right[node]):
            share = so_far.share * self.rows(child) / max(self.rows(node), 1)
            if child == self.left[node]:
                high = min(so_far.high, threshold)
                now = Interval(so_far.low, high, so_far.gaps and gaps, share)
            else:
                low = float(np.fmax(so_far.low, threshold))
                now = Interval(low, so_far.high, so_far.gaps and not gaps, share)
            yield child, {**path, feature: now}


@dataclass
class Groups:
    """Leaves in groups that share their questions, flat: entries of item i begin at start[i].

    Attributes
    ----------
    question_start, features, low, high, gaps
        Per group: is the feature in the interval? An answer is one bit of a pattern.
    column_start, columns
        Per group: the features that its leaves credit.
    leaf_start, value
        Per group: log-odds of its leaves.
    player_start, player, mask, wanted, share
        Per leaf: position of the feature in the columns of its group, the bits it depends on,
        what they must be for the row to go the way of the leaf, and the share of training rows
        that did.
    """

    question_start: list[int] = field(default_factory=lambda: [0])
    features: list[int] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    gaps: list[bool] = field(default_factory=list)
    column_start: list[int] = field(default_factory=lambda: [0])
    columns: list[int] = field(default_factory=list)
    leaf_start: list[int] = field(default_factory=lambda: [0])
    value: list[float] = field(default_factory=list)
    player_start: list[int] = field(default_factory=lambda: [0])
    player: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    share: list[float] = field(default_factory=list)

    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Return the lists as arrays, in their order."""
        kinds = {"low": float, "high": float, "value": float, "share": float, "gaps": np.bool_}
        kinds |= {"mask": np.uint64, "wanted": np.uint64}
        return tuple(
            np.array(entries, dtype=kinds.get(name, np.intp))
            for name, entries in vars(self).items()
        )

    def add(self, tree: _Tree, node: int, path: Path) -> None:
        """Add the leaves below a node as one group."""
        bits = {feature: 1 << i for i, feature in enumerate(path)}
        for feature, interval in path.items():
            self._ask(feature, interval)
        columns: dict[int, int] = {}
        self._add_leaves(tree, node, path, {f: (bit, bit) for f, bit in bits.items()}, columns)
        self.columns += columns
        self.question_start.append(len(self.features))
        self.column_start.append(len(self.columns))
        self.leaf_start.append(len(self.value))

    def _ask(self, feature: int, interval: Interval) -> int:
        """Add a question to the group at work; return its bit."""
        self.features.append(feature)
        self.low.append(interval.low)
        self.high.append(interval.high)
        self.gaps.append(interval.gaps)
        return 1 << (len(self.features) - 1 - self.question_start[-1])

    def _add_leaves(
        self,
        tree: _Tree,
        node: int,
        path: Path,
        answers: dict[int, tuple[int, int]],
        columns: dict[int, int],
    ) -> None:
        if node < 0:
            self.value.append(tree.value[~node])
            for feature, (mask, wanted) in answers.items():
                self.player.append(columns.setdefault(feature, len(columns)))
                self.mask.append(mask)
                self.wanted.append(wanted)
                self.share.append(path[feature].share)
            self.player_start.append(len(self.player))
            return
        feature = tree.feature[node]
        question = Interval(high=tree.threshold[node], gaps=tree.gaps_left(node))
        bit = self._ask(feature, question)
        mask, wanted = answers.get(feature, (0, 0))
        for child, onward in tree.onward(node, path):
            yes = bit if child == tree.left[node] else 0
            told = {**answers, feature: (mask | bit, wanted | yes)}
            self._add_leaves(tree, child, onward, told, columns)


def groups_of(model_text: str) -> Groups | None:
    """Read the leaves of all trees.

    Parameters
    ----------
    model_text : str
        LightGBM model text, format v4.

    Returns
    -------
    Groups or None
        None where a split is on a category, or takes zeros for missing.
    """
    groups = Groups()
    for block in model_text.split("\nTree=")[1:]:
        tree = _tree(block)
        if not tree.plain:
            return None
        if len(tree.value) > 1:
            _walk(tree, 0, {}, groups)
    return groups


def _walk(tree: _Tree, node: int, path: Path, groups: Groups) -> None:
    if node < 0 or len(path) + tree.n_splits(node) <= MOST_QUESTIONS:
        groups.add(tree, node, path)
        return
    for child, onward in tree.onward(node, path):
        _walk(tree, child, onward, groups)


def _tree(block: str) -> _Tree:
    lines = block.split("\n\n", 1)[0].split("\n")
    fields = {key: text.split() for key, _, text in (line.partition("=") for line in lines)}

    def whole(name: str) -> list[int]:
        return [int(entry) for entry in fields.get(name, [])]

    def real(name: str) -> list[float]:
        return [float(entry) for entry in fields.get(name, [])]

    return _Tree(
        whole("split_feature"),
        real("threshold"),
        whole("decision_type"),
        whole("left_child"),
        whole("right_child"),
        real("leaf_value"),
        whole("leaf_count"),
        whole("internal_count"),
    )
