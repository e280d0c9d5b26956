"""Figures of one feature, or of one customer; they draw what was computed and compute nothing."""

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cxpredict.drivers.plots import BLUE, GREY, INK, NOT_CAUSES, ORANGE, plain
from cxpredict.drivers.wording import format_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def dependence_plot(
    values: pd.Series,
    contribution: pd.Series,
    table: pd.DataFrame,
    *,
    label: str,
    typical: float | None,
) -> "Figure":
    """Draw contributions against values: a dot per row, the mean of each bin, the typical value.

    Parameters
    ----------
    values, contribution : Series, length n
        Of one feature; log-odds.
    table : DataFrame
        From `cxpredict.drivers.single.dependence_table`.
    label : str
        What the values are.
    typical : float or None
        Typical value, for a line.

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    numeric = pd.api.types.is_numeric_dtype(values)
    words = [plain(str(level)) for level in table["value"]]
    if numeric:
        across = values.to_numpy(dtype=np.float64, na_value=np.nan)
        middle = table["value"].to_numpy()
        if typical is not None:
            text = f"typical: {format_number(typical)}"
            axes.axvline(typical, color=GREY, linestyle="--", linewidth=1, label=text)
    else:
        levels = pd.Index(table["value"])
        place = levels.get_indexer(values.astype("str").where(values.notna())).astype(float)
        across, middle = np.where(place < 0, np.nan, place), np.arange(len(table))
        axes.set_xticks(middle, words, rotation=30 if len(words) > 5 else 0)
    known = np.isfinite(across)
    axes.scatter(
        across[known],
        contribution[known],
        s=9,
        color=BLUE,
        alpha=0.35,
        linewidths=0,
        label="customers",
    )
    line = "-o" if numeric else "D"
    axes.plot(middle, table["contribution"], line, color=ORANGE, markersize=5, label="mean")
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xlabel(plain(label))
    axes.set_ylabel("contribution, log-odds")
    axes.set_title(f"Contribution by value, in log-odds\n{NOT_CAUSES}", fontsize=10)
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def waterfall_plot(table: pd.DataFrame) -> "Figure":
    """Draw the steps from the base to the margin of one customer.

    Parameters
    ----------
    table : DataFrame
        From `cxpredict.drivers.single.waterfall_table`; the first step is the base.

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.6 + 0.42 * len(table)), layout="constrained")
    axes = figure.add_subplot()
    base, steps = float(table["change"].iloc[0]), table.iloc[1:]
    margin = float(table["change"].sum())
    place = np.arange(len(steps))[::-1]
    colour = np.where(steps["change"] > 0, ORANGE, BLUE)
    axes.barh(place, steps["change"], left=steps["start"], color=colour, height=0.6)
    for y, row in zip(place, steps.itertuples(), strict=True):
        end = max(row.start, row.start + row.change)
        axes.annotate(
            f"{row.change:+.2f}", (end, y), (4, 0), textcoords="offset points", va="center",
            fontsize=9,
        )  # fmt: skip
    axes.set_yticks(place, [plain(fill(text, 48)) for text in steps["step"]], fontsize=9)
    for x, style in ((base, "--"), (margin, "-")):
        axes.axvline(x, color=GREY, linestyle=style, linewidth=1)
    axes.use_sticky_edges = False
    axes.margins(x=0.12)
    axes.set_xlabel("log-odds (dashed: base, line: this customer)")
    axes.set_title(
        f"From the base {base:.2f} to the margin {margin:.2f} in log-odds,\n"
        f"a probability of {1 / (1 + np.exp(-margin)):.1%} before calibration. {NOT_CAUSES}",
        fontsize=10,
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure
