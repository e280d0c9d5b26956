"""The profit curve: what contacting more and more customers brings, and where to stop."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.data.checks import Floats, check_level, check_seed
from cxpredict.errors import DataError
from cxpredict.models.resampling import Ints, bootstrap_counts, customer_groups, grouped_folds
from cxpredict.value.profit.acceptance import Beta, one_acceptance
from cxpredict.value.profit.ranking import Lines, Ranking
from cxpredict.value.profit.terms import check_draws, tails

_POINTS = 200
_FOLDS = 5
_REPEATS = 10


@dataclass(frozen=True)
class ProfitCurve:
    """Profit of contacting customers in the order of a score.

    Parameters
    ----------
    table : DataFrame
        At most some 200 thresholds from nobody to everybody: ``customers`` contacted, ``share``
        of all, ``threshold`` (lowest score contacted; infinite for nobody), ``profit`` in money
        for each customer in the base, ``low``, ``high``.
    best : DataFrame
        ``measure``, ``estimate``, ``low``, ``high``: the best ``threshold``, the ``share`` it
        contacts, its ``profit`` on the customers it was chosen on, and the ``held-out profit``,
        of thresholds chosen on other customers than those who pay.
    level : float
        Confidence level of all intervals.
    """

    table: pd.DataFrame
    best: pd.DataFrame
    level: float

    def plot(self) -> Any:
        """Draw the curve with its band, and the best share."""
        from cxpredict.value.profit.plots import curve_plot

        return curve_plot(self.table, self.best, level=self.level)

    def _repr_html_(self) -> str:
        return "".join(part.to_html(index=False, escape=True) for part in (self.best, self.table))


def profit_curve(
    y: Any,
    p: Any,
    *,
    value: Any,
    incentive: Any,
    contact_cost: Any,
    acceptance: Any,
    stayer_acceptance: Any = 1.0,
    level: float = 0.95,
    n_bootstrap: int = 300,
    random_state: int = 0,
) -> ProfitCurve:
    """Compute the profit of contacting customers down to each threshold, and the best threshold.

    Parameters
    ----------
    y, p, value, incentive, contact_cost, stayer_acceptance
        As in `maximum_profit`. The scores come from a model that has not seen these customers.
    acceptance : Beta or float in [0, 1]
        Share of contacted would-be leavers who take the offer and stay. Of a distribution the
        mean gives the curve, and all of it the intervals.
    level : float in (0, 1)
        Confidence level.
    n_bootstrap : int ≥ 2
        Number of bootstrap samples.
    random_state : int
        Seed of the bootstrap and the folds.

    Returns
    -------
    ProfitCurve
        ``table`` and ``best``.

    Raises
    ------
    DataError
        As in `maximum_profit`; or if there are fewer than 2 customers or bootstrap samples.

    Notes
    -----
    Percentiles over bootstrap samples of customers (index level ``customer_id``, else rows), each
    with an acceptance of its own drawn from the distribution. The band of the curve holds at one
    threshold fixed beforehand, not at all of them together.

    The best threshold is chosen on these customers, and its ``profit`` is therefore too high as
    a forecast. The ``held-out profit`` is not: it chooses the threshold on four fifths of the
    customers and pays on the other fifth, in turn, over ten divisions. It is the one to promise.
    The threshold itself is not sharply determined: the curve is flat at its top, so that its
    interval is long while the profit hardly differs. The bootstrap of a maximum is only roughly
    right (Abrevaya and Huang 2005): in a simulation, 95 % intervals held the best threshold for
    95 % of samples of 1,000 customers, and for 89 % of samples of 300.

    References
    ----------
    Abrevaya, J. and Huang, J. (2005). On the bootstrap of the maximum score estimator.
    Econometrica 73(4), 1175–1204.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> risk = rng.beta(1, 4, 2000)
    >>> curve = profit_curve(
    ...     rng.random(2000) < risk, risk,
    ...     value=200.0, incentive=10.0, contact_cost=1.0, acceptance=Beta(60, 140),
    ... )
    >>> best = curve.best.set_index("measure")["estimate"]
    >>> bool(best["held-out profit"] < best["profit"])
    True
    """
    gamma = one_acceptance(acceptance)
    check_level(level)
    check_draws(n_bootstrap)
    check_seed(random_state)
    ranking = Ranking.read(y, p, value, incentive, contact_cost, stayer_acceptance)
    lines = ranking.lines()
    customers = customer_groups(y, p, n_rows=len(ranking.place))
    if len(np.unique(customers)) < 2:
        raise DataError("y: an interval needs at least 2 customers, there is 1.")
    rng = np.random.default_rng(random_state)
    best = lines.best(gamma)
    paid = _held_out(ranking, gamma, customers, rng)
    shown = _shown(lines, best)
    draws = _bootstrap(ranking, acceptance, customers, n_bootstrap, rng, (shown, best, paid))
    low, high = np.quantile(draws.curve, tails(level), axis=0)
    table = pd.DataFrame(
        {
            "customers": np.rint(lines.share * len(ranking.place)).astype(int)[shown],
            "share": lines.share[shown],
            "threshold": ranking.thresholds[shown],
            "profit": lines.at(gamma)[shown],
            "low": low,
            "high": high,
        }
    )
    held = float(paid @ (gamma * ranking.slope + ranking.intercept) / len(paid))
    rows = [
        ("threshold", float(ranking.thresholds[best]), draws.threshold),
        ("share", float(lines.share[best]), draws.share),
        ("profit", float(lines.at(gamma)[best]), draws.profit),
        ("held-out profit", held, draws.held_out),
    ]
    return ProfitCurve(
        table,
        pd.DataFrame([(name, estimate, *_ends(drawn, level)) for name, estimate, drawn in rows],
                     columns=["measure", "estimate", "low", "high"]),
        level,
    )  # fmt: skip


@dataclass(frozen=True)
class _Draws:
    """What each bootstrap sample says."""

    curve: Floats
    threshold: Floats
    share: Floats
    profit: Floats
    held_out: Floats


def _bootstrap(
    ranking: Ranking,
    acceptance: Any,
    customers: Ints,
    n_draws: int,
    rng: np.random.Generator,
    fixed: tuple[Ints, int, Floats],
) -> _Draws:
    shown, best, paid = fixed
    gammas = np.full(n_draws, one_acceptance(acceptance))
    if isinstance(acceptance, Beta):
        # One in each of as many equally likely slices, in random order: no luck of the draw.
        gammas = acceptance.quantile((rng.permutation(n_draws) + 0.5) / n_draws)
    curve = np.empty((n_draws, len(shown)))
    found = np.empty((4, n_draws))
    counts = bootstrap_counts(customers, n_draws=n_draws, rng=rng)
    for draw, (gamma, mass) in enumerate(zip(gammas, counts, strict=True)):
        lines = ranking.lines(mass)
        profit, top = lines.at(gamma), lines.best(gamma)
        curve[draw] = profit[shown]
        own = paid * (gamma * ranking.slope + ranking.intercept)
        found[:, draw] = (
            ranking.thresholds[top],
            lines.share[top],
            profit[best],
            mass @ own / mass.sum(),
        )
    return _Draws(curve, *found)


def _held_out(ranking: Ranking, gamma: float, customers: Ints, rng: np.random.Generator) -> Floats:
    """Share of the divisions in which each customer is above a threshold chosen on others."""
    left = (ranking.slope != 0).astype(np.float64)
    folds = min(_FOLDS, len(np.unique(customers)))
    contacted = np.zeros(len(ranking.place))
    for _ in range(_REPEATS):
        fold = grouped_folds(left, customers, n_folds=folds, rng=rng)
        for k in range(folds):
            stop = ranking.lines((fold != k).astype(np.float64)).best(gamma)
            contacted += (fold == k) & (ranking.place < stop)
    return contacted / _REPEATS


def _shown(lines: Lines, best: int) -> Ints:
    """Positions on the curve at about equal steps of the share, with both ends and the best."""
    steps = np.linspace(0.0, 1.0, _POINTS)
    last = len(lines.share) - 1
    near = np.searchsorted(lines.share, steps - 1e-12).clip(0, last)
    return np.unique(np.concatenate([near, [0, best, last]]))


def _ends(drawn: Floats, level: float) -> tuple[float, float]:
    """Quantiles that are draws themselves: thresholds can be infinite."""
    first, last = tails(level)
    low = np.quantile(drawn, first, method="lower")
    return float(low), float(np.quantile(drawn, last, method="higher"))
