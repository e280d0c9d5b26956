"""Hold one feature of a LightGBM model at a value, and leave out what it no longer decides."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["hold_feature"]

_PER_SPLIT = (
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "internal_value",
    "internal_weight",
)
_PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count")


def hold_feature(model_text: str, *, feature: int, value: float) -> str:
    """Return the text of the model that has a numeric feature held at a value.

    Parameters
    ----------
    model_text : str
        LightGBM model text, format v4.
    feature : int
        Position of a numeric feature without gaps.
    value : float
        Value it is held at.

    Returns
    -------
    str
        Model text with the same predictions wherever the feature has this value, and no split on
        it, so that its TreeSHAP values are those of the remaining features alone.

    Notes
    -----
    A split on the feature is replaced by the child that the value chooses; counts of rows above
    it are summed again from the leaves that stay.
    """
    head, *blocks = model_text.split("\nTree=")
    last, tail = blocks[-1].split("\nend of trees", 1)
    # Without the sizes in bytes LightGBM looks for the trees itself.
    lines = [line for line in head.split("\n") if not line.startswith("tree_sizes=")]
    trees = [_held(block, feature, value) for block in [*blocks[:-1], last]]
    return "\nTree=".join(["\n".join(lines), *trees]) + "\nend of trees" + tail


@dataclass
class _Pruned:
    """Old numbers of the splits and leaves that stay, and the children by new numbers."""

    splits: list[int]
    leaves: list[int]
    left: dict[int, int]
    right: dict[int, int]
    count: dict[int, int]


def _held(block: str, feature: int, value: float) -> str:
    number, *lines = block.split("\n")
    pairs = [line.partition("=")[::2] for line in lines]
    fields = {key: text.split() for key, text in pairs if key}
    if fields["num_leaves"] == ["1"]:
        return block
    pruned = _Pruned([], [], {}, {}, {})
    _walk(0, fields, feature, value, pruned)
    for key in _PER_SPLIT:
        fields[key] = [fields[key][i] for i in pruned.splits]
    for key in _PER_LEAF:
        fields[key] = [fields[key][i] for i in pruned.leaves]
    order = range(len(pruned.splits))
    fields["left_child"] = [str(pruned.left[i]) for i in order]
    fields["right_child"] = [str(pruned.right[i]) for i in order]
    fields["internal_count"] = [str(pruned.count[i]) for i in order]
    fields["num_leaves"] = [str(len(pruned.leaves))]
    written = [f"{key}={' '.join(fields[key])}" if key else "" for key, _ in pairs]
    return "\n".join([number, *written])


def _walk(
    node: int, fields: dict[str, list[str]], feature: int, value: float, pruned: _Pruned
) -> tuple[int, int]:
    """Visit what stays below a node; return its new number and its count of rows."""
    if node < 0:
        pruned.leaves.append(~node)
        return ~(len(pruned.leaves) - 1), int(fields["leaf_count"][~node])
    left, right = int(fields["left_child"][node]), int(fields["right_child"][node])
    if int(fields["split_feature"][node]) == feature:
        chosen = left if value <= float(fields["threshold"][node]) else right
        return _walk(chosen, fields, feature, value, pruned)
    new = len(pruned.splits)
    pruned.splits.append(node)
    pruned.left[new], left_count = _walk(left, fields, feature, value, pruned)
    pruned.right[new], right_count = _walk(right, fields, feature, value, pruned)
    pruned.count[new] = left_count + right_count
    return new, pruned.count[new]
