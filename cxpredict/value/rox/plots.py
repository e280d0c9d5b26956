"""The waterfall of a return on experience; it draws what was computed and computes nothing."""

from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart by colour-blind readers and in grey print
_COLOURS = {
    "baseline": "#B9C0CA",
    "benefit": "#009E73",
    "loss": "#D55E00",
    "cost": "#767676",
    "net": "#0072B2",
}
_INK = "#222222"


def waterfall_plot(steps: pd.DataFrame, *, unit: str) -> "Figure":
    """Draw how terms of the benefit and the cost change the value of the customers concerned.

    Parameters
    ----------
    steps : DataFrame
        As `RoxEstimate.waterfall` gives.
    unit : str
        What amounts are counted in.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(1.8 + 1.25 * len(steps), 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=_INK)
    place = np.arange(len(steps))
    colours = [_COLOURS[kind] for kind in steps["kind"]]
    axes.bar(place, steps["amount"], bottom=steps["start"], width=0.58, color=colours)
    for x, row in zip(place, steps.itertuples(), strict=True):
        if np.isfinite(row.low):
            # of a skewed benefit, the estimate may lie outside a narrow interval
            reach = np.maximum([[row.amount - row.low], [row.high - row.amount]], 0.0)
            axes.errorbar(x, row.end, yerr=reach, color=_INK, capsize=4, linewidth=1.1)
        axes.annotate(
            _whole(row.amount),
            (x + 0.08, max(row.end, row.start)),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=9,
        )
    axes.set_xticks(place, ["\n".join(wrap(step, 18)) for step in steps["step"]])
    axes.axhline(0, color=_INK, linewidth=0.8)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda amount, _: _whole(amount)))
    # a dollar sign would be read as mathematics
    axes.set_ylabel("present value, " + unit.replace("$", r"\$"))
    axes.margins(y=0.12)
    return figure


def _whole(amount: float) -> str:
    return f"{amount:,.0f}".replace("-", "−")
