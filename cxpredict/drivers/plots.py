"""Figures of drivers; they draw what was computed and compute nothing."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY, INK = "#4c72b0", "#dd8452", "#8c8c8c", "#333333"
NOT_CAUSES = "This describes the model, not causes."


def bar_plot(table: pd.DataFrame, *, level: float) -> "Figure":
    """Draw importances as horizontal bars with intervals, the strongest on top.

    Parameters
    ----------
    table : DataFrame
        ``description``, ``importance``, ``low``, ``high``.
    level : float
        Level of the intervals, for the axis.

    Returns
    -------
    matplotlib Figure
    """
    figure, axes, _ = _bars(table, BLUE)
    axes.set_xlabel(f"mean |contribution|, log-odds ({level:.0%} interval over customers)")
    axes.set_title(f"What moves the score, in log-odds\n{NOT_CAUSES}", fontsize=10)
    return figure


def stability_plot(table: pd.DataFrame, *, level: float) -> "Figure":
    """Draw importances over refits with intervals, beside what a driver without effect has.

    Parameters
    ----------
    table : DataFrame
        ``description``, ``importance``, ``low``, ``high``, ``rank_low``, ``rank_high``,
        ``no_effect_importance``, ``no_effect``.
    level : float
        Level of the intervals.

    Returns
    -------
    matplotlib Figure
        Grey bars are drivers that cannot be told from no effect.
    """
    colours = [GREY if flag else BLUE for flag in table["no_effect"]]
    figure, axes, place = _bars(table, colours)
    axes.plot(table["no_effect_importance"], place, "|", color=ORANGE, markersize=14, mew=2.5,
              label="no effect: the feature, shuffled")  # fmt: skip
    for y, row in zip(place, table.itertuples(), strict=True):
        ranks = f"rank {row.rank_low}" + (
            f"–{row.rank_high}" if row.rank_high > row.rank_low else ""
        )
        axes.annotate(ranks, (max(row.high, row.importance), y), (6, 0), va="center", fontsize=8,
                      textcoords="offset points")  # fmt: skip
    axes.margins(x=0.12)
    axes.set_xlabel(f"mean |contribution|, log-odds ({level:.0%} interval over refits)")
    axes.set_title(
        f"What still moves the score when the model is refitted, in log-odds\n{NOT_CAUSES} "
        "Grey: cannot be told from no effect.",
        fontsize=10,
    )
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def _bars(
    table: pd.DataFrame, colour: str | list[str]
) -> tuple["Figure", "Axes", npt.NDArray[np.int64]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.5 + 0.32 * len(table)), layout="constrained")
    axes = figure.add_subplot()
    place = np.arange(len(table))[::-1]
    middle = table["importance"].to_numpy()
    reach = np.abs(np.stack([middle - table["low"], table["high"] - middle]))
    axes.barh(place, middle, color=colour, xerr=reach, error_kw={"ecolor": INK})
    axes.set_yticks(place, [plain(text) for text in table["description"]])
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes, place


def beeswarm_plot(
    contributions: pd.DataFrame,
    values: pd.DataFrame,
    base: float,
    *,
    labels: Sequence[str],
    top: int,
) -> "Figure":
    """Draw shap's beeswarm of contributions.

    Parameters
    ----------
    contributions, values : DataFrame, shape (n, p)
        Log-odds, and the features, whose values colour the dots (categories by their code).
    base : float
        Log-odds before any contribution.
    labels : sequence of str, length p
        Names to show.
    top : int
        How many features.

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib import pyplot as plt

    order = np.argsort(-np.abs(contributions.to_numpy()).mean(axis=0), kind="stable")[:top]
    state = np.random.get_state()  # shap jitters the dots with numpy's global generator
    figure, axes = plt.subplots(figsize=(9, 1.5 + 0.4 * len(order)), layout="constrained")
    try:
        np.random.seed(0)
        with warnings.catch_warnings():  # shap itself calls what matplotlib is about to deprecate
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            import shap

            explanation = shap.Explanation(
                values=contributions.to_numpy()[:, order],
                base_values=np.full(len(contributions), base),
                data=np.column_stack([_colour(values.iloc[:, place]) for place in order]),
                feature_names=[plain(labels[place]) for place in order],
            )
            shap.plots.beeswarm(
                explanation, max_display=len(order), ax=axes, show=False, plot_size=None
            )
        axes.set_xlabel("contribution, log-odds")
        axes.set_title(f"Contribution of each customer, in log-odds\n{NOT_CAUSES}", fontsize=10)
        axes.tick_params(axis="y", labelsize=9)
    finally:
        np.random.set_state(state)
        plt.close(figure)
    drawn: Figure = figure
    return drawn


def _colour(column: pd.Series) -> npt.NDArray[np.float64]:
    if pd.api.types.is_numeric_dtype(column):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    codes, _ = pd.factorize(column, sort=True)
    return np.where(codes < 0, np.nan, codes).astype(np.float64)


def plain(text: str) -> str:
    """Keep matplotlib from reading dollar signs as mathematics."""
    return text.replace("$", r"\$")
