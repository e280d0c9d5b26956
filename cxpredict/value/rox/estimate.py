"""The answer of `return_on_experience`: figures, terms, tornado, waterfall, scenarios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.data.checks import in_range
from cxpredict.errors import DataError


@dataclass(frozen=True, eq=False)
class RoxEstimate:
    """Return on experience of one improvement.

    Parameters
    ----------
    benefit, cost : float
        Money, present value; of costs over time their sum.
    gross : float
        Benefit ÷ cost: 1.5 means 150 %.
    net : float
        (Benefit − cost) ÷ cost: .5 means 50 %.
    npv : float
        Benefit − cost.
    payback_months : float or None
        Months until discounted benefits have paid the discounted costs for good; None if they do
        not within the horizon, or if lifetime values were given, which do not say when money
        comes.
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
    baseline : float
        Value of the customers concerned without the improvement.
    payback_interval : tuple of float or None
        Interval of the pay-back time in months; inf where it does not pay within the horizon.
    unadjusted : RoxEstimate or None
        The same from unadjusted economics: what a comparison of customers as they are would
        claim. None with a table or a test.
    refused : mapping of str to str
        Terms that are left out, and what is missing.
    economics : GroupEconomics, EffectEconomics or None
        What it rests on, if estimated.
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
    baseline: float = np.nan
    payback_interval: tuple[float, float] | None = None
    unadjusted: RoxEstimate | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    economics: Any = None

    @property
    def break_even_share(self) -> float | None:
        """Share of the benefit that must come true to pay the cost; above 1 it never pays.

        None if there is no benefit at all.
        """
        return self.cost / self.benefit if self.benefit > 0 else None

    def waterfall(self) -> pd.DataFrame:
        """Lay out the value of the customers concerned: before, each term, cost, and after.

        Returns
        -------
        DataFrame
            One row per step: ``step``, ``kind`` (baseline, benefit, loss, cost, net), ``amount``,
            ``start`` and ``end`` of its bar, ``low`` and ``high`` of the amount, ``evidence``. The
            last step, net, ends at baseline + benefit − cost; its amount is the net present value.

        Examples
        --------
        >>> from cxpredict.value.rox import return_on_experience
        >>> table = pd.DataFrame({"lifetime_value": [600.0, 300.0]}, index=["passive", "detractor"])
        >>> rox = return_on_experience(
        ...     table, shift={"detractor": -0.05, "passive": 0.05}, customers=10_000,
        ...     cost=100_000.0, evidence="assumed",
        ... )
        >>> [f"{amount:,.0f}" for amount in rox.waterfall()["amount"]]
        ['150,000', '150,000', '-100,000', '50,000']
        """
        nothing = (np.nan, np.nan)
        rows: list[tuple[Any, ...]] = [
            ("value without the improvement", "baseline", self.baseline, 0.0, *nothing, "")
        ]
        level = self.baseline
        for term in self.terms.itertuples():
            kind = "benefit" if term.benefit >= 0 else "loss"
            rows.append((term.term, kind, term.benefit, level, term.low, term.high, term.evidence))
            level += term.benefit
        rows.append(("cost", "cost", -self.cost, level, *nothing, ""))
        low, high = self.interval or nothing
        ends = (low * self.cost, high * self.cost)
        rows.append(("net present value", "net", self.npv, self.baseline, *ends, ""))
        columns = ["step", "kind", "amount", "start", "low", "high", "evidence"]
        table = pd.DataFrame(rows, columns=columns)
        table.insert(4, "end", table["start"] + table["amount"])
        return table

    def scenarios(
        self,
        *,
        realised: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
        cost_factors: Sequence[float] = (1.0,),
    ) -> pd.DataFrame:
        """Tell what remains if less comes true, effects differ or costs do.

        Parameters
        ----------
        realised : sequence of float in [0, 1]
            Share of the customers concerned for whom the improvement comes true.
        cost_factors : sequence of float > 0
            Cost as a multiple of `cost`.

        Returns
        -------
        DataFrame
            A row for each realised share, cost factor and effect (``low`` and ``high`` end of the
            interval of the benefit, and ``estimate``): ``realised``, ``cost_factor``, ``effect``,
            ``benefit``, ``cost``, ``npv``, ``gross``, ``net``, ``break_even_share``.

        Raises
        ------
        DataError
            If a share or factor is out of range.

        Notes
        -----
        Benefits are proportional to the number of customers concerned; costs stay as they are.
        These are answers to "what if", without a probability.

        Examples
        --------
        >>> from cxpredict.value.rox import return_on_experience
        >>> table = pd.DataFrame({"lifetime_value": [600.0, 300.0]}, index=["passive", "detractor"])
        >>> rox = return_on_experience(
        ...     table, shift={"detractor": -0.05, "passive": 0.05}, customers=10_000,
        ...     cost=100_000.0, evidence="assumed",
        ... )
        >>> rox.scenarios(realised=[0.5, 1.0])["net"].tolist()
        [-0.25, 0.5]
        """
        shares = np.atleast_1d(in_range("realised", realised, 0.0, 1.0))
        factors = np.atleast_1d(in_range("cost_factors", cost_factors, 0.0))
        if not factors.all():
            raise DataError("cost_factors: expected more than 0, got 0.")
        effects = {"estimate": self.benefit}
        if self.interval is not None:
            low, high = ((end + 1) * self.cost for end in self.interval)
            effects = {"low": low, "estimate": self.benefit, "high": high}
        rows = []
        for share, factor, (effect, whole) in product(shares, factors, effects.items()):
            cost, benefit = factor * self.cost, share * whole
            gross = benefit / cost
            even = cost / whole if whole > 0 else np.nan
            rows.append(
                (share, factor, effect, benefit, cost, benefit - cost, gross, gross - 1, even)
            )
        columns = ["realised", "cost_factor", "effect", "benefit", "cost", "npv"]
        return pd.DataFrame(rows, columns=[*columns, "gross", "net", "break_even_share"])

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
            ("payback months", _or_nan(self.payback_months), *(self.payback_interval or alone)),
            ("probability net ROX > 0", _or_nan(self.probability_positive), *alone),
        ]
        return pd.DataFrame(rows, columns=["measure", "estimate", "low", "high"])

    def plot(self, *, unit: str = "money") -> Any:
        """Draw the waterfall: the value before, each term, the cost and what remains.

        Parameters
        ----------
        unit : str
            What amounts are counted in, such as a currency.
        """
        from cxpredict.value.rox.plots import waterfall_plot

        return waterfall_plot(self.waterfall(), unit=unit)

    def _repr_html_(self) -> str:
        parts = (self.table(), self.terms)
        return "".join(part.to_html(index=False, escape=True, na_rep="–") for part in parts)


def _or_nan(value: float | None) -> float:
    return np.nan if value is None else value
