"""The answer of `return_on_experience`: figures, terms, tornado, waterfall."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class RoxEstimate:
    """Return on experience of one improvement.

    Parameters
    ----------
    benefit, cost : float
        Money, present value.
    gross : float
        Benefit ÷ cost: 1.5 means 150 %.
    net : float
        (Benefit − cost) ÷ cost: .5 means 50 %.
    npv : float
        Benefit − cost.
    payback_months : float or None
        Months until discounted benefits have paid the cost; None if they do not within the
        horizon, or if lifetime values were given, which do not say when money comes.
    probability_positive : float or None
        Share of simulated worlds in which net is above 0, given that the shift comes true; None
        if no input has a standard error.
    interval : tuple of float or None
        Interval of `net`; None if no input has a standard error.
    level : float
        Confidence level of all intervals.
    terms : DataFrame
        ``term``, ``benefit``, ``low``, ``high``, ``evidence``; benefits add up to `benefit`.
    tornado : DataFrame
        ``input``, ``low``, ``high``: `net` with one input at the low and the high end of its
        interval and all others at their estimates; widest first.
    """

    benefit: float
    cost: float
    gross: float
    net: float
    npv: float
    payback_months: float | None
    probability_positive: float | None
    interval: tuple[float, float] | None
    level: float
    terms: pd.DataFrame
    tornado: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return ``measure``, ``estimate``, ``low``, ``high`` of all figures."""
        low, high = self.interval or (np.nan, np.nan)
        alone = (np.nan, np.nan)
        rows = [
            ("gross ROX", self.gross, low + 1, high + 1),
            ("net ROX", self.net, low, high),
            ("benefit", self.benefit, (low + 1) * self.cost, (high + 1) * self.cost),
            ("cost", self.cost, *alone),
            ("net present value", self.npv, low * self.cost, high * self.cost),
            ("payback months", _or_nan(self.payback_months), *alone),
            ("probability net ROX > 0", _or_nan(self.probability_positive), *alone),
        ]
        return pd.DataFrame(rows, columns=["measure", "estimate", "low", "high"])

    def plot(self) -> Any:
        """Draw the waterfall from the terms of the benefit over the cost to the net value."""
        from matplotlib.figure import Figure

        labels = [*self.terms["term"], "cost", "net"]
        steps = np.array([*self.terms["benefit"], -self.cost])
        ends = np.cumsum(steps)
        starts = np.concatenate([[0.0], ends[:-1], [0.0]])
        heights = np.append(steps, ends[-1])
        colours = ["C2" if height >= 0 else "C3" for height in heights[:-1]] + ["C0"]
        figure = Figure(figsize=(1.6 + 1.2 * len(labels), 4), layout="constrained")
        axes = figure.subplots()
        axes.bar(labels, heights, bottom=starts, color=colours, width=0.6)
        if self.interval is not None:
            below = np.append(self.terms["benefit"] - self.terms["low"], 0.0)
            above = np.append(self.terms["high"] - self.terms["benefit"], 0.0)
            below = np.append(below, self.npv - self.interval[0] * self.cost)
            above = np.append(above, self.interval[1] * self.cost - self.npv)
            # Of a skewed benefit, the estimate may lie outside a narrow interval.
            spread = np.maximum([below, above], 0.0)
            shown = spread.sum(axis=0) > 0
            tops = starts + heights
            axes.errorbar(
                np.flatnonzero(shown), tops[shown], yerr=spread[:, shown], fmt="none", ecolor="0.3"
            )
        for position, (start, height) in enumerate(zip(starts, heights, strict=True)):
            middle = start + height / 2
            axes.annotate(f"{height:,.0f}", (position, middle), ha="center", va="center")
        axes.axhline(0, color="0.3", linewidth=0.8)
        axes.set_ylabel("Present value, money")
        axes.set_title(f"Net ROX {self.net:.0%} (gross {self.gross:.0%})")
        return figure

    def _repr_html_(self) -> str:
        parts = (self.table(), self.terms)
        return "".join(part.to_html(index=False, escape=True, na_rep="–") for part in parts)


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
