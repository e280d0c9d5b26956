"""Whom to contact: customers ranked by expected gain, and hold-outs to learn from."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.data.checks import check_level, common_index, in_range
from cxpredict.errors import DataError
from cxpredict.value.profit import Beta, break_even_probability, expected_gain, gain_interval
from cxpredict.value.profit.acceptance import one_acceptance


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A retention offer: what it costs and who takes it.

    Parameters
    ----------
    cost : float ≥ 0
        Money each contact costs, taken or not: call, letter, agent's time.
    incentive : float ≥ 0
        Money the offer costs when a customer takes it. Write 0 for an offer that gives nothing:
        an incentive left out by oversight would make every contact look better than it is.
    acceptance : float in [0, 1], or Beta
        Share of would-be leavers who take the offer and stay; a distribution where it is not
        known for sure.
    stayer_acceptance : float in [0, 1]
        Share of customers who would have stayed anyway and take the offer; 1 is the cautious
        choice.

    Examples
    --------
    >>> Offer(cost=2.0, incentive=0.0, acceptance=0.3).stayer_acceptance
    1.0
    >>> Offer(cost=2.0, incentive=0.0, acceptance=Beta(6, 14)).acceptance.mean
    0.3
    """

    cost: float
    incentive: float
    acceptance: float | Beta
    stayer_acceptance: float = 1.0


def rank_targets(
    risk: Any,
    *,
    value: Any,
    offer: Offer,
    capacity: int | None = None,
    budget: float | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Rank customers by what contacting them is expected to bring.

    Parameters
    ----------
    risk : array-like in [0, 1]
        Calibrated churn probability of each customer.
    value : float or array-like
        Money a kept customer is worth, one for all or one per customer.
    offer : Offer
        The offer they would get.
    capacity : int ≥ 0, optional
        Largest number of customers that can be contacted.
    budget : float ≥ 0, optional
        Largest expected spend, in the money of the offer.
    level : float in (0, 1)
        Level of the interval of the gain.

    Returns
    -------
    DataFrame
        On the index of `risk` or `value` (row numbers if neither has one), best first:
        ``expected_gain``; ``rank`` from 1; ``selected``; ``expected_cost`` of the contact and
        the incentive; ``break_even_probability``, missing where no risk pays. If acceptance is a
        distribution, also ``low``, ``high`` and ``probability_positive`` of the gain, as in
        `gain_interval`.

    Raises
    ------
    DataError
        If a number is missing or out of range, or if lengths or indexes differ.

    Notes
    -----
    Gain as in `expected_gain`. Selected are customers with a positive gain, from the top, up to
    the capacity and until the next one would exceed the budget. Under a capacity no other choice
    has a higher expected gain; under a budget a cheaper mix may, where costs differ much. Equal
    gains are ordered by index, so that the order of rows does not matter. How sure the gain is
    does not change whom to contact. Acceptance is one and the same for all customers: for the
    interval of the sum see `campaign_gain`.

    Examples
    --------
    >>> offer = Offer(cost=1.0, incentive=10.0, acceptance=0.3)
    >>> rank_targets([0.1, 0.9, 0.5], value=200.0, offer=offer, capacity=1)[["rank", "selected"]]
       rank  selected
    1     1      True
    2     2     False
    0     3     False
    """
    terms = {
        "value": value,
        "incentive": offer.incentive,
        "contact_cost": offer.cost,
        "acceptance": offer.acceptance,
        "stayer_acceptance": offer.stayer_acceptance,
    }
    check_level(level)
    limit = np.inf if capacity is None else float(in_range("capacity", capacity, 0.0))
    spend = np.inf if budget is None else float(in_range("budget", budget, 0.0))
    index = common_index(risk=risk, value=value)
    p = np.atleast_1d(in_range("risk", risk, 0.0, 1.0))
    gain = np.asarray(expected_gain(risk, **terms))
    if p.ndim != 1 or gain.shape != p.shape:
        raise DataError(f"risk: expected one probability per customer, got shape {p.shape}.")
    takers = p * one_acceptance(offer.acceptance) + (1 - p) * offer.stayer_acceptance
    table = pd.DataFrame(
        {
            "expected_gain": gain,
            "expected_cost": offer.cost + takers * offer.incentive,
            "break_even_probability": np.asarray(break_even_probability(**terms)),
        },
        index=index,
    )
    if isinstance(offer.acceptance, Beta):
        interval = gain_interval(risk, **terms, level=level)
        for name in ("low", "high", "probability_positive"):
            table[name] = interval[name].to_numpy()
    table = _by_index(table).sort_values("expected_gain", ascending=False, kind="stable")
    rank = np.arange(1, len(table) + 1)
    # Sums of decimal fractions are off in the last digits: 3 · 0.1 is above 0.3.
    affordable = table["expected_cost"].cumsum() <= spend * (1 + 1e-9)
    selected = (table["expected_gain"] > 0) & affordable & (rank <= limit)
    table.insert(1, "rank", rank)
    table.insert(2, "selected", selected)
    return table


def _by_index(table: pd.DataFrame) -> pd.DataFrame:
    try:
        return table.sort_index(kind="stable")
    except TypeError:  # numbers and text have no order of their own
        return table.sort_index(kind="stable", key=lambda level: level.map(repr))


def assign_arms(customer_ids: Any, *, holdout_share: float, salt: str) -> pd.Series:
    """Assign customers to treatment or hold-out, the same way every time.

    Parameters
    ----------
    customer_ids : array-like of str
        Ids as text.
    holdout_share : float in [0, 1]
        Probability to be held out.
    salt : str
        Name of the campaign. Another salt gives an independent assignment; the same salt keeps
        the same customers held out.

    Returns
    -------
    Series of category
        ``treated`` or ``held_out``, on the index of a Series, else on the ids.

    Raises
    ------
    DataError
        If ids are missing or no text, the share is out of range, or the salt is empty.

    Notes
    -----
    The first 53 bits of SHA-256 of salt and id, as a number in [0, 1), below the share: held
    out. No state, no order of rows: each customer's arm depends on salt and id alone. The share
    holds on average, not exactly. Growing the share keeps those held out before.

    Examples
    --------
    >>> assign_arms(["a", "b", "c"], holdout_share=0.0, salt="spring").tolist()
    ['treated', 'treated', 'treated']
    """
    share = float(in_range("holdout_share", holdout_share, 0.0, 1.0))
    if not isinstance(salt, str) or not salt:
        raise DataError("salt: expected a text such as the name of the campaign, got nothing.")
    ids = customer_ids if isinstance(customer_ids, pd.Series) else pd.Index(customer_ids)
    other = sum(not isinstance(customer, str) for customer in ids)
    if other:
        raise DataError(
            f"customer_ids: expected text; {other} of {len(ids)} are missing or of another type. "
            "Convert them once, for example with .astype(str): 1 and '1' get different arms."
        )
    held_out = [_unit_hash(salt, customer) < share for customer in ids]
    arms = pd.Categorical.from_codes(
        np.asarray(held_out, dtype=int), categories=["treated", "held_out"]
    )
    return pd.Series(arms, index=ids.index if isinstance(ids, pd.Series) else ids, name="arm")


def _unit_hash(salt: str, customer: str) -> float:
    text = f"{len(salt)}:{salt}{customer}".encode(errors="surrogatepass")
    # 53 bits: more would round up to 1.0 now and then.
    return (int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 11) / 2.0**53
