"""What a customer is worth if kept, and the offer the configuration describes."""

import pandas as pd

from cxpredict.action.targets import Offer
from cxpredict.config.value import BetaSettings, OfferSettings, ValueSettings
from cxpredict.data.log import CustomerLog
from cxpredict.value.customer_value import customer_value
from cxpredict.value.margins import margin_per_period
from cxpredict.value.profit import Beta


def offer_of(settings: OfferSettings) -> Offer:
    """Make the offer that the configuration describes."""
    given = settings.acceptance
    return Offer(
        cost=settings.contact_cost,
        incentive=settings.incentive,
        acceptance=Beta(given.alpha, given.beta) if isinstance(given, BetaSettings) else given,
    )


def value_if_kept(log: CustomerLog, index: pd.MultiIndex, settings: ValueSettings) -> pd.Series:
    """Discount the margin that a customer who stays brings; missing where it is unknown."""
    return worth_of(margin_per_period(log, index, settings), settings)


def worth_of(margin: pd.Series, settings: ValueSettings) -> pd.Series:
    """Discount margins per period over the horizon; missing where they are."""
    rate = (1 + settings.yearly_discount_rate) ** (settings.period_days / 365.25) - 1
    periods = settings.horizon_days // settings.period_days
    known = margin.dropna()
    value = customer_value(known, 1.0, periods=periods, discount_rate=rate, payment="end")
    return value.reindex(margin.index)
