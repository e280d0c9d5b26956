"""Figures of key drivers; they draw what was computed and compute nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, INK, GREY = "#4c72b0", "#333333", "#999999"
_NAMES = {"relative_weight": "relative weight", "lmg": "LMG"}
_CORNERS = {
    (False, True): "concentrate here",
    (True, True): "keep up the good work",
    (False, False): "low priority",
    (True, False): "possible overkill",
}


def share_plot(table: pd.DataFrame, *, measure: str, level: float) -> Figure:
    """Draw each attribute's part of R² as a bar with its interval, the largest on top.

    Parameters
    ----------
    table : DataFrame
        ``attribute``, and the measure with ``_low`` and ``_high``.
    measure : {"relative_weight", "lmg"}
    level : float
        Level of the intervals, for the axis.

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.2 + 0.34 * len(table)), layout="constrained")
    axes = figure.add_subplot()
    place = np.arange(len(table))[::-1]
    middle = table[measure].to_numpy()
    reach = np.abs([middle - table[f"{measure}_low"], table[f"{measure}_high"] - middle])
    axes.barh(place, middle, color=BLUE, xerr=reach, error_kw={"ecolor": INK})
    axes.set_yticks(place, [_plain(name) for name in table["attribute"]])
    axes.set_xlabel(f"{_NAMES[measure]}: part of explained variance ({level:.0%} interval)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def map_plot(
    table: pd.DataFrame, *, importance_cut: float, performance_cut: float, level: float
) -> Figure:
    """Draw the importance–performance map: quadrants, points, intervals as error bars.

    Parameters
    ----------
    table : DataFrame
        ``attribute``, ``importance`` and ``performance``, each with ``_low`` and ``_high``.
    importance_cut, performance_cut : float
        Where the quadrants meet.
    level : float
        Level of the intervals, for the axes.

    Returns
    -------
    matplotlib Figure

    Notes
    -----
    Points carry numbers where names beside them would overlap; the legend has the names.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.add_subplot()
    x, y = table["performance"], table["importance"]
    reach = [
        np.abs([middle - table[f"{name}_low"], table[f"{name}_high"] - middle])
        for name, middle in (("performance", x), ("importance", y))
    ]
    axes.errorbar(x, y, xerr=reach[0], yerr=reach[1], fmt="none", ecolor=GREY, elinewidth=1)
    for number, row in enumerate(table.itertuples(), start=1):
        axes.scatter(
            row.performance, row.importance, s=190, color=BLUE, zorder=3,
            label=f"{number}  {_plain(str(row.attribute))}",
        )  # fmt: skip
        axes.annotate(
            str(number), (row.performance, row.importance), color="white", fontsize=9,
            ha="center", va="center", zorder=4,
        )  # fmt: skip
    axes.axvline(performance_cut, color=INK, linewidth=0.8)
    axes.axhline(importance_cut, color=INK, linewidth=0.8)
    for (right, top), name in _CORNERS.items():
        axes.text(
            0.99 if right else 0.01, 0.99 if top else 0.01, name, transform=axes.transAxes,
            ha="right" if right else "left", va="top" if top else "bottom", color=INK, alpha=0.7,
        )  # fmt: skip
    axes.set_xlabel(f"performance: mean score ({level:.0%} interval)")
    axes.set_ylabel(f"importance: percent of explained variance ({level:.0%} interval)")
    axes.margins(0.12)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        loc="outside right upper", frameon=False, handlelength=0, markerscale=0, fontsize=9
    )
    return figure


def _plain(text: str) -> str:
    """Keep matplotlib from reading dollar signs as mathematics."""
    return text.replace("$", r"\$")
