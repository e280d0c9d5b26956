"""Numbers on their way to money; the checks themselves are `cxpredict.data.checks`."""

from typing import Any

import numpy as np
import pandas as pd

from cxpredict.data.checks import Floats, common_index, in_range

__all__ = ["Floats", "common_index", "in_range", "labelled"]


def labelled(values: Floats, index: Any, name: str) -> Any:
    """Return a Series on `index` if there is one, a float for a single number, else the array."""
    if index is not None:
        return pd.Series(np.broadcast_to(values, len(index)).copy(), index=index, name=name)
    return float(values) if np.ndim(values) == 0 else values
