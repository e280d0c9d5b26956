"""Figure of the profit curve; it draws what was computed and computes nothing."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curve_plot(table: pd.DataFrame, best: pd.DataFrame, *, level: float) -> "Figure":
    """Draw profit over the share contacted, its band, and the best share.

    Parameters
    ----------
    table, best : DataFrame
        As in `ProfitCurve`.
    level : float
        Level of the intervals, for the legend.

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib.figure import Figure

    found = best.set_index("measure")
    share, held_out = found.loc["share"], found.loc["held-out profit"]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.fill_between(
        table["share"], table["low"], table["high"], color="#4c72b0", alpha=0.2, linewidth=0,
        label=f"{level:.0%} interval",
    )  # fmt: skip
    axes.plot(table["share"], table["profit"], color="#4c72b0", label="profit on these customers")
    reach = np.abs(
        [[held_out["estimate"] - held_out["low"]], [held_out["high"] - held_out["estimate"]]]
    )
    axes.errorbar(
        share["estimate"], held_out["estimate"], yerr=reach, fmt="o", color="#333333", capsize=3,
        label="of the best share, held out",
    )  # fmt: skip
    axes.axhline(0, color="0.3", linewidth=0.8)
    axes.set_xlabel("share of customers contacted, highest score first")
    axes.set_ylabel("profit for each customer in the base, money")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
