"""Figures of the report: they draw what was computed and compute nothing."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cxpredict.report.wording import shorten

# Okabe and Ito's colours: told apart by colour-blind readers and in grey print
BLUE, ORANGE = "#0072B2", "#D55E00"
GREY, INK = "#767676", "#222222"
DPI = 150


def png(figure: Figure) -> bytes:
    """Render a figure; glyphs that the font lacks become boxes without a warning."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def label(text: object, limit: int = 52) -> str:
    """Make a name safe to draw: short, printable, dollar signs not read as mathematics."""
    return shorten(str(text), limit).replace("$", r"\$")


def reliability(table: pd.DataFrame, *, outcome: str) -> Figure:
    """Draw observed against predicted rates with intervals, from `calibration_table`."""
    figure, axes = _single(5.2, 4.6)
    top = min(1.0, 1.08 * float(max(table["high"].max(), table["mean_predicted"].max())))
    axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle="--", label="perfect")
    reach = [table["observed"] - table["low"], table["high"] - table["observed"]]
    axes.errorbar(
        table["mean_predicted"],
        table["observed"],
        yerr=np.abs(reach),
        fmt="o",
        color=BLUE,
        capsize=3,
        markersize=5,
        label="groups of test customers, 95% interval",
    )
    axes.set_xlim(0, top)
    axes.set_ylim(0, top)
    axes.set_aspect("equal")
    _percent(axes.xaxis, axes.yaxis)
    axes.set_xlabel("predicted probability")
    axes.set_ylabel(label(f"observed share: {outcome}"))
    axes.legend(frameon=False, fontsize=8.5, loc="upper left")
    return figure


def gain_and_lift(curve: pd.DataFrame, base: float) -> Figure:
    """Draw what share of events a list of the riskiest customers holds, and its lift."""
    figure, (left, right) = _double()
    left.plot([0, *curve["share"]], [0, *curve["captured"]], color=BLUE, linewidth=2, label="model")
    left.plot([0, base, 1], [0, 1, 1], color=GREY, linewidth=1, linestyle=":", label="perfect")
    left.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--", label="at random")
    left.set_ylabel("share of all events found")
    left.legend(frameon=False, fontsize=8.5, loc="lower right")
    shown = curve[curve["share"] >= 0.01]
    right.plot(shown["share"], shown["lift"], color=BLUE, linewidth=2)
    right.axhline(1, color=GREY, linewidth=1, linestyle="--")
    right.set_ylim(bottom=0)
    right.set_ylabel("times the average rate")
    for axes in (left, right):
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of customers contacted, riskiest first")
    _percent(left.xaxis, left.yaxis, right.xaxis)
    return figure


def roc_and_pr(curve: pd.DataFrame, base: float) -> Figure:
    """Draw the ROC and the precision–recall curve."""
    figure, (left, right) = _double()
    left.plot([0, *curve["false_alarms"]], [0, *curve["captured"]], color=BLUE, linewidth=2)
    left.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    left.set_xlabel("false alarms (share of the others)")
    left.set_ylabel("found (share of all events)")
    right.plot(curve["captured"], curve["precision"], color=BLUE, linewidth=2)
    right.axhline(base, color=GREY, linewidth=1, linestyle="--")
    right.set_ylim(0, 1.02)
    right.set_xlabel("found (share of all events)")
    right.set_ylabel("right alarms (precision)")
    left.set_title("ROC", fontsize=10)
    right.set_title("Precision and recall", fontsize=10)
    _percent(left.xaxis, left.yaxis, right.xaxis, right.yaxis)
    return figure


def driver_bars(table: pd.DataFrame) -> Figure:
    """Draw the importance of drivers with intervals, strongest on top."""
    rows = table.iloc[::-1]
    figure, axes = _single(8.4, 0.9 + 0.31 * len(rows))
    reach = [rows["importance"] - rows["low"], rows["high"] - rows["importance"]]
    axes.barh(
        range(len(rows)),
        rows["importance"],
        xerr=np.abs(reach),
        color=BLUE,
        height=0.62,
        error_kw={"ecolor": INK, "linewidth": 1},
    )
    axes.set_yticks(range(len(rows)), [label(text) for text in rows["description"]])
    axes.set_xlabel("mean size of the contribution, log-odds (95% interval)")
    return figure


def beeswarm(contributions: pd.DataFrame, values: pd.DataFrame, base: float, labels: Any) -> Figure:
    """Draw shap's beeswarm with labels that are safe to draw."""
    from cxpredict.drivers.plots import beeswarm_plot

    names = [shorten(str(name), 50) for name in labels]
    return beeswarm_plot(contributions, values, base, labels=names, top=12)


def rates_by_date(periods: pd.DataFrame, *, outcome: str) -> Figure:
    """Draw the base rate of each date with its interval, training and test apart."""
    figure, axes = _single(7.4, 3.2)
    for part, colour, marker in (("train", BLUE, "o"), ("test", ORANGE, "s")):
        rows = periods[periods["part"] == part]
        axes.errorbar(
            rows["as_of"],
            rows["rate"],
            yerr=1.96 * rows["error"],
            fmt=marker + "-",
            color=colour,
            capsize=2,
            markersize=4.5,
            linewidth=1.2,
            label={"train": "training", "test": "test"}[part],
        )
    axes.set_ylim(bottom=0)
    _percent(axes.yaxis)
    axes.set_ylabel(label(f"share: {outcome}"))
    axes.legend(frameon=False, fontsize=8.5)
    figure.autofmt_xdate(rotation=30)
    return figure


@dataclass(frozen=True)
class TrendPanel:
    """One metric over dates: tables of as_of, estimate, low, high by evidence; the test's band."""

    name: str
    lines: dict[str, pd.DataFrame]
    band: tuple[float, float] | None = None
    ideal: float | None = None


def trend(panels: Sequence[TrendPanel]) -> Figure:
    """Draw metrics over dates with their intervals, measured and estimated ones apart."""
    figure = Figure(figsize=(8.4, 2.7 * ((len(panels) + 1) // 2)), layout="constrained")
    styles: dict[str, dict[str, Any]] = {
        "measured": {"fmt": "o-", "color": BLUE},
        "estimated": {"fmt": "D:", "color": ORANGE, "markerfacecolor": "white"},
    }
    places = figure.subplots((len(panels) + 1) // 2, 2, squeeze=False).flat
    for axes, panel in zip(places, panels, strict=False):
        _plain(axes)
        axes.set_title(label(panel.name), fontsize=10)
        if panel.band is not None:
            axes.axhspan(*panel.band, color="#e6e6e6", zorder=0)
        if panel.ideal is not None:
            axes.axhline(panel.ideal, color=GREY, linewidth=0.8, linestyle="--")
        for evidence, rows in panel.lines.items():
            if len(rows):
                reach = [rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]]
                look = {**styles[evidence], "capsize": 2, "markersize": 4.5, "linewidth": 1.1}
                axes.errorbar(rows["as_of"], rows["estimate"], yerr=np.abs(reach), **look)
        axes.tick_params(axis="x", rotation=30, labelsize=8)
        days = [day for rows in panel.lines.values() for day in rows["as_of"]]
        axes.set_xticks(sorted(set(days))[:: max(1, len(set(days)) // 6)])
        axes.xaxis.set_major_formatter(DateFormatter("%Y-%m-%d"))
    return figure


def nps_by_group(table: pd.DataFrame) -> Figure:
    """Draw NPS with intervals: everyone in the first row, then the groups that are shown."""
    rows = table.iloc[::-1]
    figure, axes = _single(6.6, 0.9 + 0.36 * len(rows))
    reach = [rows["estimate"] - rows["low"], rows["high"] - rows["estimate"]]
    colours = [BLUE] * (len(rows) - 1) + [ORANGE]
    place = np.arange(len(rows))
    axes.errorbar(rows["estimate"], place, xerr=np.abs(reach), fmt="none", ecolor=INK, capsize=3)
    axes.scatter(rows["estimate"], place, c=colours, zorder=3)
    axes.set_yticks(place, [label(name, 40) for name in rows["name"]])
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("net promoter score (95% interval)")
    return figure


def balance(table: pd.DataFrame) -> Figure:
    """Draw how far respondents differ from everyone invited, before and after weighting."""
    rows = table.iloc[::-1]
    figure, axes = _single(7.8, 1.1 + 0.29 * len(rows))
    place = np.arange(len(rows))
    axes.axvspan(-0.1, 0.1, color="#eeeeee", label="small (below 0.1)")
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.scatter(
        rows["before"], place, facecolors="none", edgecolors=ORANGE, label="as they answered"
    )
    axes.scatter(rows["after"], place, color=BLUE, marker="D", s=24, label="after weighting")
    axes.set_yticks(place, [label(text) for text in rows["description"]])
    axes.set_xlabel("respondents less everyone invited, in standard deviations")
    axes.legend(frameon=False, fontsize=8.5, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3)
    return figure


def tornado(table: pd.DataFrame, *, net: float) -> Figure:
    """Draw the net return with one input at a time at the ends of its interval."""
    rows = table.iloc[::-1]
    figure, axes = _single(7.4, 1.0 + 0.36 * len(rows))
    axes.barh(
        range(len(rows)), rows["high"] - rows["low"], left=rows["low"], color=BLUE, height=0.58
    )
    axes.axvline(net, color=INK, linewidth=1.2)
    axes.axvline(0, color=GREY, linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(rows)), [label(text) for text in rows["input"]])
    axes.use_sticky_edges = False
    axes.margins(x=0.05)
    axes.set_xlabel("net return (line: the estimate)")
    _percent(axes.xaxis)
    return figure


def _single(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    _plain(axes)
    return figure, axes


def _double() -> tuple[Figure, Any]:
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes in panels:
        _plain(axes)
    return figure, panels


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)


def _percent(*scales: Any) -> None:
    for scale in scales:
        scale.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        scale.set_major_formatter(FuncFormatter(lambda share, _: _share(share)))


def _share(share: float) -> str:
    return f"{100 * share:g}%".replace("-", "−")
