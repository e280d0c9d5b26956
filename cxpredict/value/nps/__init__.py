"""Net promoter score with its uncertainty: intervals, groups, weights, differences."""

from typing import Any

import numpy as np
import pandas as pd

from cxpredict.data.checks import check_seed, common_index, one_per_row
from cxpredict.data.suppression import blank, hidden_groups
from cxpredict.errors import EmptyDataError
from cxpredict.value.nps.answers import Answers, codes, row_customers, row_weights, signs
from cxpredict.value.nps.difference import nps_difference
from cxpredict.value.nps.intervals import Method, check_method, interval
from cxpredict.value.nps.scores import Scale, nps_scores

__all__ = ["Method", "nps", "nps_difference"]


def nps(
    scores: Any,
    *,
    weights: Any = None,
    customers: Any = None,
    by: Any = None,
    level: float = 0.95,
    method: Method = "adjusted_wald",
    scale: Scale = None,
    random_state: int | None = None,
) -> pd.DataFrame:
    """Estimate the net promoter score with its interval, for everyone or for each group.

    Parameters
    ----------
    scores : array-like of numbers
        Whole numbers 0–10. Missing scores are left out: `n` counts answers only.
    weights : array-like of numbers, optional
        One positive weight per row, on any scale, such as those of `response_weights`.
    customers : array-like, optional
        The customer of each row, if some answered more than once. Taken from the index of
        `scores` if it has a level ``customer_id``; else each row counts as a customer.
    by : array-like, optional
        One group label per row; rows without a label form a group of their own.
    level : float in (0, 1)
        Confidence level of the interval.
    method : {"adjusted_wald", "wald", "jeffreys", "bootstrap"}
        Interval; see Notes for where each of them holds.
    scale : (0, 10), optional
        Declares that the survey asked for 0–10. Without it, scores that look like a 1–5 or 1–7
        survey are refused: 11 or more and none above 5, or 30 or more and none above 7.
    random_state : int, optional
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        One row (index ``all``), or one per group that answered, sorted. ``estimate``, ``low``,
        ``high``, ``se`` in points (−100 to 100); ``promoters``, ``passives``, ``detractors`` as
        shares; ``n`` answers; ``customers``, if they are known; ``n_eff``, the number of
        independent, equally weighted answers that are worth as much; ``design_effect`` = n /
        n_eff; ``suppressed``. ``se`` belongs to the interval of the method.

    Raises
    ------
    DataError
        If scores are text, no whole numbers, outside 0–10 or of another scale, if weights are
        not positive, if rows have no customer, or if lengths or indexes differ.
    EmptyDataError
        If nobody answered.

    Notes
    -----
    With x = 1 for promoters (9–10), 0 for passives (7–8), −1 for detractors (0–6) and weights w,
    NPS = Σwx / Σw and its variance is Σw²(x − NPS)² / (Σw)². Where customers answered more than
    once, squares are taken of each customer's sum; a variance that falls by this is not believed.
    n_eff = (Σw)² / Σw² (Kish), divided by the growth of the variance through repetition.

    *Adjusted Wald* adds three made-up answers: ¾ promoter, 1½ passive, ¾ detractor. With weights,
    these have weight 1 after w has been scaled to Σw = n_eff, so that they count against the
    information in the sample instead of the number of rows. Equal weights give Rocks' interval.
    It is centred on the enlarged sample; `estimate` is not shrunk. *Wald* adds nothing: it has
    no width when all answers agree, and is too short for few answers. *Jeffreys* takes the
    equal tails of the posterior of p − d under the Dirichlet prior (½, ½, ½), stretched to hold
    the estimate; with weights or repetition, for as many answers as make the adjusted Wald
    interval equally long. *Bootstrap* draws customers 2,000 times and takes percentiles.

    Exact coverage of 95 % intervals, by all outcomes of 30 to 100 answers and all shares from .5
    to 99 %: where 5 or more answers are expected outside the commonest group, Jeffreys has 93 to
    97 %, adjusted Wald 92 to 98 %. With fewer than 5 the outcomes are too few for any of these
    intervals to keep to its level: Jeffreys then has 89 to 100 %, adjusted Wald mostly above 97 %.
    Weights count as known. Where they follow the score itself closely (a fourfold weight for
    detractors), 100 or fewer answers leave 89 to 97 %. For weights of an estimated response
    propensity the interval is too long; see `nps_of_everyone`.

    Groups of fewer than 11 customers are suppressed. Because the total is one call away, the next
    smallest groups are suppressed too until the hidden groups are at least two and hold 11
    different customers together, so that no small group follows by subtraction. This protects one
    grouping; it does not protect against comparing tables of several groupings.

    References
    ----------
    Rocks, B. (2016). Interval estimation for the net promoter score. The American Statistician
    70(4), 365–372. Kish, L. (1965). Survey Sampling. Brown, L., Cai, T. and DasGupta, A. (2001).
    Interval estimation for a binomial proportion. Statistical Science 16(2), 101–133.

    Examples
    --------
    >>> scores = [10] * 50 + [8] * 30 + [3] * 20
    >>> nps(scores)[["estimate", "low", "high", "n"]].round(1)
         estimate   low  high    n
    all      30.0  14.1  44.2  100
    """
    check_method(level, method)
    check_seed(random_state)
    values = nps_scores(scores, scale=scale)
    w = row_weights(weights, scores, len(values))
    ids = row_customers(customers, scores, len(values))
    groups = pd.Series("all", index=values.index) if by is None else row_groups(by, scores, values)
    answered = values.notna().to_numpy()
    if not answered.any():
        raise EmptyDataError(f"scores: none of {len(values)} rows has a score.")
    answers = Answers(signs(values), w, codes(ids, len(w)))
    rng, members = np.random.default_rng(random_state), []
    parts = {}
    for label, positions in positions_of(groups, answered):
        parts[label] = answers.part(positions)
        members.append(answers.customer[positions])
    rows = [_row(part, level, method, rng) for part in parts.values()]
    table = pd.DataFrame(rows).astype({"n": "Int64", "customers": "Int64"})
    table.index = pd.Index(list(parts), name=None if by is None else groups.name)
    table["suppressed"] = hidden_groups(table["customers"], members)
    return blank(table if ids is not None else table.drop(columns="customers"))


def row_groups(by: Any, scores: Any, values: pd.Series) -> pd.Series:
    """Return one group label per row, or refuse."""
    common_index(by=by, scores=scores)
    one_per_row("by", by, len(values), "scores")
    return by if isinstance(by, pd.Series) else pd.Series(by, index=values.index)


def positions_of(groups: pd.Series, chosen: Any) -> list[tuple[Any, Any]]:
    """Row numbers of the chosen rows of each group, groups sorted, missing label last."""
    which, labels = pd.factorize(groups, sort=True, use_na_sentinel=False)
    positions = [(labels[k], np.flatnonzero((which == k) & chosen)) for k in range(len(labels))]
    return [(label, rows) for label, rows in positions if len(rows)]


def _row(answers: Answers, level: float, method: str, rng: np.random.Generator) -> dict[str, float]:
    limits, n_eff = interval(answers, level, method, rng), answers.n_eff
    promoters, passives, detractors = answers.shares
    return {
        "estimate": 100 * answers.mean,
        "low": 100 * limits.low,
        "high": 100 * limits.high,
        "se": 100 * limits.se,
        "promoters": promoters,
        "passives": passives,
        "detractors": detractors,
        "n": len(answers.x),
        "customers": answers.n_customers,
        "n_eff": n_eff,
        "design_effect": len(answers.x) / n_eff,
    }
