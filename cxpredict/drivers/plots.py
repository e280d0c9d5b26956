"""Figures of drivers; they draw what was computed and compute nothing."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.32 * len(table)), layout="constrained")
    axes = figure.add_subplot()
    place = np.arange(len(table))[::-1]
    middle = table["importance"].to_numpy()
    reach = np.abs(np.stack([middle - table["low"], table["high"] - middle]))
    axes.barh(place, middle, color="#4c72b0", xerr=reach, error_kw={"ecolor": "#333333"})
    axes.set_yticks(place, [_plain(text) for text in table["description"]])
    axes.set_xlabel(f"mean |contribution|, log-odds ({level:.0%} interval)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


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
                feature_names=[_plain(labels[place]) for place in order],
            )
            shap.plots.beeswarm(
                explanation, max_display=len(order), ax=axes, show=False, plot_size=None
            )
        axes.set_xlabel("contribution, log-odds")
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


def _plain(text: str) -> str:
    """Keep matplotlib from reading dollar signs as mathematics."""
    return text.replace("$", r"\$")
