"""When money comes and goes: survivors, discounting, costs over time, pay-back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np

from cxpredict.data.checks import Floats, in_range
from cxpredict.errors import DataError
from cxpredict.value.checks import above_zero, number, whole_number
from cxpredict.value.customer_value import discounted_survival

Payment = Literal["start", "end", "through"]


@dataclass(frozen=True)
class Timing:
    """The periods in which benefits count, and when in a period they fall due."""

    periods: int
    months: float
    discount_rate: float
    payment: Payment

    def presence(self, retention: Floats) -> Floats:
        """Discounted presence in each period, in the last axis; `through` is half of both ends."""
        ends: tuple[Literal["start", "end"], ...]
        ends = ("start", "end") if self.payment == "through" else (self.payment,)
        parts = [
            discounted_survival(
                retention, periods=self.periods, discount_rate=self.discount_rate, payment=end
            )
            for end in ends
        ]
        mean: Floats = np.mean(parts, axis=0)
        return mean

    def present_costs(self, cost: float | Sequence[float]) -> Floats:
        """Present value of the costs now and at the end of each period."""
        costs = costs_of(cost)
        if len(costs) > self.periods + 1:
            raise DataError(
                f"cost: {len(costs)} amounts, but now and the ends of {self.periods} periods are "
                f"{self.periods + 1} moments. Lengthen horizon_periods or sum up what comes later."
            )
        padded = np.pad(costs, (0, self.periods + 1 - len(costs)))
        discounted: Floats = padded / (1 + self.discount_rate) ** np.arange(self.periods + 1)
        return discounted

    def payback(self, benefits: Floats, costs: Floats) -> Floats:
        """Months until benefits (... × periods) have paid all costs for good; inf if never."""
        flows = np.zeros((*benefits.shape[:-1], self.periods + 1))
        late = 0 if self.payment == "start" else 1
        flows[..., late : late + self.periods] = benefits
        balance = np.cumsum(flows - costs, axis=-1)
        # moments of the end of the horizon on which the balance is not negative
        good = np.cumprod((balance >= -1e-9 * costs.sum())[..., ::-1], axis=-1).sum(axis=-1)
        # nothing is paid back before something is paid
        moment = np.maximum(self.periods + 1 - good, np.flatnonzero(costs)[0])
        months: Floats = np.where(good > 0, moment * self.months, np.inf)
        return months


def costs_of(cost: float | Sequence[float]) -> Floats:
    """Read one amount now, or amounts now and at the end of each period."""
    costs = np.atleast_1d(in_range("cost", cost, 0.0))
    if costs.ndim > 1 or not len(costs):
        raise DataError("cost: expected one amount, or a list of amounts, one a period from now.")
    if not costs.sum() > 0:
        raise DataError("cost: expected more than 0, got 0.")
    return costs


def timing_of(given: dict[str, Any]) -> Timing:
    """Read horizon_periods, period_months, discount_rate and payment, or name what is missing."""
    absent = [name for name, value in given.items() if value is None]
    if absent:
        raise DataError(f"{', '.join(absent)}: needed to value retention and margin over time.")
    periods, months, rate, payment = given.values()
    if not isinstance(payment, str) or payment not in get_args(Payment):
        raise DataError(f"payment: expected 'start', 'end' or 'through', got {payment!r}.")
    return Timing(
        whole_number("horizon_periods", periods, 1, 1_000),
        above_zero("period_months", months),
        number("discount_rate", rate, 0.0, 1.0, hint="A share, not a percentage: 0.1 means 10 %."),
        cast(Payment, payment),
    )
