"""Who wrote which comment, and an order of comments that is not that of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.errors import ModelError
from cxpredict.features.text.vectors import prepare

Codes = npt.NDArray[np.intp]


def checked_groups(groups: Iterable[Any] | None, n: int) -> npt.NDArray[np.object_] | None:
    """Give the customers of n comments as an array, or None where nobody said.

    Raises
    ------
    ModelError
        Their number is not that of the comments.
    """
    if groups is None:
        return None
    given = list(groups)
    if len(given) != n:
        raise ModelError(
            f"expected as many groups as comments ({n:,}), found {len(given):,}; give the customer "
            "of each comment"
        )
    return np.array([None, *given], dtype=object)[1:]


def by_content(
    texts: Sequence[str],
    labels: Sequence[Any] | npt.NDArray[Any],
    groups: npt.NDArray[np.object_] | None,
) -> tuple[Codes, Codes]:
    """Sort comments by who wrote them, then by text and label: what is learnt depends on that only.

    Parameters
    ----------
    texts, labels : sequence, length n
    groups : ndarray of objects, shape (n,), optional
        Customers, missing ones each of their own. Without them equal (prepared) texts are one's.

    Returns
    -------
    order : ndarray of int, shape (n,)
        Positions in the new order.
    owner : ndarray of int, shape (n,)
        Number of the customer of each comment, in the new order.

    Examples
    --------
    >>> order, owner = by_content(["b", "a", "c"], [1, 0, 0], np.array(["x", None, "x"], object))
    >>> order.tolist(), owner.tolist()
    ([0, 2, 1], [0, 0, 1])
    """
    if groups is None:
        keys = [(False, prepare(text)) for text in texts]
    else:
        keys = [(True, "") if pd.isna(group) else (False, str(group)) for group in groups]
    order = sorted(range(len(keys)), key=lambda i: (keys[i], texts[i], labels[i]))
    ranked = [keys[place] for place in order]
    new = [key[0] or key != before for key, before in zip(ranked[1:], ranked, strict=False)]
    return np.array(order, dtype=np.intp), np.cumsum([0, *new]).astype(np.intp)[: len(order)]
