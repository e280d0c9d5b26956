"""Earned growth: how much of a company's growth its customers bring themselves."""

from dataclasses import dataclass

from cxpredict.errors import DataError
from cxpredict.value.checks import in_range


@dataclass(frozen=True)
class EarnedGrowth:
    """Earned growth rate, and its ratio to reported growth.

    Parameters
    ----------
    rate : float
        Growth earned from existing customers and those they brought; .1 means 10 %.
    ratio : float or None
        Rate ÷ reported growth; None without reported growth.
    """

    rate: float
    ratio: float | None


def earned_growth(
    *,
    net_revenue_retention: float,
    earned_new: float,
    reported_growth: float | None = None,
) -> EarnedGrowth:
    """Compute Bain's earned growth rate and ratio.

    Parameters
    ----------
    net_revenue_retention : float ≥ 0
        This year's revenue from last year's customers ÷ last year's revenue; .85 means 85 %.
    earned_new : float ≥ 0
        Revenue from new customers who came by recommendation ÷ last year's revenue.
    reported_growth : float > 0, optional
        Reported growth of revenue, for the ratio.

    Returns
    -------
    EarnedGrowth
        ``rate`` and ``ratio``.

    Raises
    ------
    DataError
        If a share is negative, or reported growth is not above 0: the ratio then means nothing.

    Notes
    -----
    rate = net revenue retention + earned new − 1. A figure of accounts, without interval; which
    customers count as earned depends on how the company asks.

    References
    ----------
    Reichheld, F., Darnell, D. and Burns, M. (2021). Net promoter 3.0. Harvard Business Review.

    Examples
    --------
    >>> growth = earned_growth(net_revenue_retention=0.85, earned_new=0.25, reported_growth=0.30)
    >>> round(growth.rate, 3), round(growth.ratio, 3)
    (0.1, 0.333)
    """
    for name, share in {
        "net_revenue_retention": net_revenue_retention,
        "earned_new": earned_new,
    }.items():
        in_range(name, share, 0.0, 10.0, hint="A share, not a percentage: 0.85 means 85 %.")
    rate = net_revenue_retention + earned_new - 1
    if reported_growth is None:
        return EarnedGrowth(rate, None)
    if not in_range("reported_growth", reported_growth, 0.0).all():
        raise DataError("reported_growth: expected more than 0; leave it out for the rate alone.")
    return EarnedGrowth(rate, rate / reported_growth)
