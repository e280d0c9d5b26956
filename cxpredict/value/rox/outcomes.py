"""What becomes of customers in the period after a moment, and what was known before it.

For ROX, of one period and whole: `cxpredict.value.outcomes` has margins by period for customer
value.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from cxpredict.config.reading import nearest
from cxpredict.data.checks import Floats, in_range
from cxpredict.data.log import CustomerLog
from cxpredict.errors import DataError
from cxpredict.features.aggregates import default_aggregates
from cxpredict.features.build import build_features, index_rows
from cxpredict.features.problem import ChurnProblem, labels
from cxpredict.value.checks import above_zero, number, whole_number
from cxpredict.value.margins import exact_sum, with_margin
from cxpredict.value.rox.records import expect_until

CONFOUNDERS = ("transactions", "interactions")
"""Tables whose counts and sums before the moment are adjusted for, beside profile and tenure."""

_DAY = "days since 1970"


@dataclass(frozen=True)
class Outcomes:
    """What counts as retention, margin, cost to serve and word of mouth, and where the log has it.

    Parameters
    ----------
    churn : ChurnProblem
        What leaving is: a cancellation or silence. Its horizon is replaced by `period_days`.
    period_days : int from 1 to 3,650
        Days of a period. With churn by silence no shorter than its horizon.
    margin_rate : float in (0, 1], optional
        Margin ÷ amount of transactions that carry no margin.
    revenue_column : str, optional
        Attribute of customers that holds revenue per `revenue_days`, where there are no
        transactions; needs both `revenue_days` and `margin_rate`.
    revenue_days : int ≥ 1, optional
        Days that the revenue of the column is for.
    prices : mapping of str to float
        What one interaction of a kind costs to serve, in money; kinds that cost nothing are left
        out.
    contact_costs : bool, default False
        Whether ``contacts.cost`` of treated customers counts as cost to serve; it must not be
        missing.
    referral : str, optional
        Kind of interaction with which a customer recommends; needs the next two.
    conversion : float in [0, 1], optional
        Share of recommendations that win a customer. Stated, not estimated.
    new_customer_value : float, optional
        Money that a new customer is worth. Stated, not estimated.
    exclude : sequence of str
        Attributes of customers that are not adjusted for, such as those that say who left. Every
        one must be in the log.

    Raises
    ------
    DataError
        If something is out of range or only half given.

    Notes
    -----
    Money counts in (moment, moment + period], of those who cancel until they cancel: what follows
    later, such as a refund, does not count. With silence nobody sees when customers leave, and
    all money of the period counts. Revenue of a column counts in full for who stayed and by half
    for who left.

    Examples
    --------
    >>> churn = ChurnProblem(cancelled="cancellation", horizon_days=90)
    >>> Outcomes(churn, period_days=90, prices={"call": 6.5}).counted
    ['margin', 'cost_to_serve']
    """

    churn: ChurnProblem
    period_days: int
    margin_rate: float | None = None
    revenue_column: str | None = None
    revenue_days: int | None = None
    prices: Mapping[str, float] = field(default_factory=dict)
    contact_costs: bool = False
    referral: str | None = None
    conversion: float | None = None
    new_customer_value: float | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.churn, ChurnProblem):
            raise DataError(f"churn: expected a ChurnProblem, got {type(self.churn).__name__}.")
        whole_number("period_days", self.period_days, 1, 3_650)
        if self.churn.settings.label is not None:
            raise DataError(
                "churn: a label column has no dates, so retention in a period is unknown; use a "
                "cancellation event or silence."
            )
        horizon = self.churn.settings.horizon_days or 0
        if self.churn.settings.inactive is not None and self.period_days < horizon:
            raise DataError(f"period_days: must be at least the churn horizon, {horizon}.")
        if not isinstance(self.prices, Mapping):
            raise DataError("prices: expected a mapping of a kind of interaction to its price.")
        for kind, price in self.prices.items():
            number(f"prices[{kind!r}]", price, 0.0)
        if self.margin_rate is not None:
            above_zero("margin_rate", number("margin_rate", self.margin_rate, 0.0, 1.0))
        names = self.exclude
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise DataError(f"exclude: expected a list of attributes of customers, got {names!r}.")
        column = (self.revenue_column, self.revenue_days)
        if None in column and column != (None, None):
            raise DataError("revenue_column and revenue_days: expected both or neither.")
        if self.revenue_days is not None:
            whole_number("revenue_days", self.revenue_days, 1, 3_650)
        if self.revenue_column is not None and self.margin_rate is None:
            raise DataError("revenue_column: needs margin_rate, as margin = revenue × rate.")
        told = (self.referral, self.conversion, self.new_customer_value)
        if None in told and told != (None, None, None):
            raise DataError(
                "referral, conversion and new_customer_value: expected all three or none."
            )
        if self.referral is not None:
            number("conversion", self.conversion, 0.0, 1.0)
            number("new_customer_value", self.new_customer_value)

    @property
    def counted(self) -> list[str]:
        """The kinds of money that are counted."""
        served = bool(self.prices) or self.contact_costs
        wanted = {"margin": True, "cost_to_serve": served, "referral_value": bool(self.referral)}
        return [name for name, there in wanted.items() if there]

    @property
    def absent(self) -> dict[str, str]:
        """What is not counted, and what is missing for it."""
        missing = {
            "cost_to_serve": "no prices of interactions and no contact costs are given",
            "referral_value": "no referral, conversion and new_customer_value are given",
        }
        return {name: reason for name, reason in missing.items() if name not in self.counted}

    def in_period(self) -> ChurnProblem:
        """Give the churn problem over one period."""
        settings = self.churn.settings.model_dump()
        return ChurnProblem(**settings | {"horizon_days": self.period_days, "gap_days": 0})

    def ends(self, log: CustomerLog) -> pd.Timestamp:
        """Give the end of observation: as declared, else the last record where leaving shows."""
        kind = self.churn.settings.cancelled or self.churn.settings.inactive
        end = labels.observed_until(log, kind=kind)
        if pd.isna(end):
            raise DataError(f"churn: no transaction and no interaction is of kind {kind!r}.")
        return end

    def last_start(self, log: CustomerLog) -> pd.Timestamp:
        """Give the last moment whose period lies in the records."""
        return self.ends(log) - timedelta(days=self.period_days)

    def check(self, log: CustomerLog) -> None:
        """Refuse a log that cannot show what is counted: customers, attributes, how far it goes.

        Parameters
        ----------
        log : CustomerLog
            The records.

        Raises
        ------
        DataError
            If customers weigh differently, if an attribute to exclude is not there, or if
            transactions or priced interactions stop well before the records end.
        """
        end = self.ends(log)
        if log.customers.weight.nunique().execute() > 1:
            raise DataError(
                "customers.weight: customers weigh differently, but return on experience counts "
                "every one once. Take a log without weights, or one for each stratum."
            )
        for name in self.exclude:
            if name not in log.customers.columns:
                hint = nearest(str(name), log.customers.columns)
                raise DataError(f"exclude: the customers table has no column {name!r}{hint}.")
        if self.revenue_column is None:
            expect_until("transactions", self._paid(log), end)
        for kind in [*self.prices, *([self.referral] if self.referral else [])]:
            rows = log.interactions.filter(log.interactions.kind == kind)
            expect_until(f"interactions of kind {kind!r}", rows, end)

    def after(self, log: CustomerLog, index: pd.MultiIndex) -> pd.DataFrame:
        """Look up what became of customers in the period after each moment.

        Parameters
        ----------
        log : CustomerLog
            The records.
        index : MultiIndex (customer_id, as_of)
            For whom and when.

        Returns
        -------
        DataFrame
            ``retained`` and the money that is `counted`; without the rows whose outcome is not
            known, because they had left before or the records end within the period.
        """
        left = self.in_period().labels(log, index)
        index = index[left.notna().to_numpy()]
        if not len(index):
            raise DataError(
                f"no customer can be followed for {self.period_days} days: they had left before, "
                f"or the records, which reach until {self.ends(log):%Y-%m-%d}, end within them. "
                "Take a shorter period, or give observed_until of the log."
            )
        retained = (left.loc[index] == 0).to_numpy()
        frame = pd.DataFrame({"retained": retained}, index=index)
        frame["margin"] = self._margin(log, index, retained)
        if "cost_to_serve" in self.counted:
            frame["cost_to_serve"] = self._sum(log, index, self._costs(log))
        if "referral_value" in self.counted:
            assert self.conversion is not None
            assert self.new_customer_value is not None
            each = self.conversion * self.new_customer_value
            rows = _of_kinds(log, {str(self.referral): each})
            frame["referral_value"] = self._sum(log, index, [rows])
        return frame

    def before(
        self, log: CustomerLog, index: pd.MultiIndex, *, only_counted: Collection[str] = ()
    ) -> pd.DataFrame:
        """Describe customers by what was known before each moment, to adjust for.

        Parameters
        ----------
        log : CustomerLog
            The records.
        index : MultiIndex (customer_id, as_of)
            For whom and when.
        only_counted : collection of str
            Kinds of interaction whose values are not summed up.

        Returns
        -------
        DataFrame
            Attributes, tenure, the date, and counts and sums of each kind of interaction and
            transaction in the period before.
        """
        until = index.get_level_values("as_of").max()
        offered = default_aggregates(log, until=until, windows_days=(self.period_days,))
        wanted = [
            origin
            for origin in offered
            if origin.source in CONFOUNDERS
            and origin.measure in ("count", "sum")
            and origin.window_days is not None
            and not any(column == "outcome" for column, _ in origin.filters)
            and not (origin.measure == "sum" and any(k in only_counted for _, k in origin.filters))
        ]
        X = build_features(log, index, aggregates=wanted, exclude=tuple(self.exclude))
        days = index.get_level_values("as_of").to_numpy().astype("datetime64[s]")
        return X.assign(**{_DAY: days.astype("int64") / 86_400.0})

    def _margin(self, log: CustomerLog, index: pd.MultiIndex, retained: Floats) -> Floats:
        if self.revenue_column is None:
            return self._sum(log, index, [self._margins(log)])
        assert self.margin_rate is not None
        assert self.revenue_days is not None
        if self.revenue_column not in log.customers.columns:
            raise DataError(
                f"revenue_column: the customers table has no column {self.revenue_column!r}."
            )
        customers = log.customers.select("customer_id", revenue=log.customers[self.revenue_column])
        revenue = customers.to_pandas().set_index("customer_id")["revenue"]
        each = in_range(
            f"{self.revenue_column} of customers who answered",
            revenue.reindex(index.get_level_values("customer_id")),
        )
        period: Floats = each * self.margin_rate * self.period_days / self.revenue_days
        return period * np.where(retained, 1.0, 0.5)

    def _paid(self, log: CustomerLog) -> ir.Table:
        """Give the transactions other than cancellations."""
        kind, gone = log.transactions.kind, self.churn.settings.cancelled
        return (
            log.transactions
            if gone is None
            else log.transactions.filter(kind.isnull() | (kind != gone))
        )

    def _margins(self, log: CustomerLog) -> ir.Table:
        if not log.transactions.count().execute():
            raise DataError("margin: the log has no transactions; give revenue_column instead.")
        rows = with_margin(log.transactions, self.margin_rate, "margin_rate")
        return rows.select("customer_id", "occurred_at", money=rows.margin)

    def _costs(self, log: CustomerLog) -> list[ir.Table]:
        tables = [_of_kinds(log, self.prices)] if self.prices else []
        if self.contact_costs:
            rows = log.contacts.filter(log.contacts.arm == "treated")
            missing = int(rows.cost.isnull().sum().execute() or 0)
            if missing:
                raise DataError(
                    f"contact_costs: {missing:,} contacts of treated customers carry no cost; map "
                    "it, with 0 where there was none, or leave contact_costs out."
                )
            tables.append(rows.select("customer_id", "occurred_at", money=rows.cost))
        return tables

    def _sum(self, log: CustomerLog, index: pd.MultiIndex, tables: Iterable[ir.Table]) -> Floats:
        """Sum money of the period after each moment, of those who cancel until they do."""
        population = ibis.memtable(index_rows(index))
        closes = population.as_of + ibis.interval(days=self.period_days)
        population = population.mutate(closes=closes)
        if self.churn.settings.cancelled is not None:
            events = labels.events_of_kind(log, self.churn.settings.cancelled)
            found = labels.first_ever(population, events)
            stays = found.at.isnull() | (found.at > found.closes)
            population = found.mutate(closes=stays.ifelse(found.closes, found.at)).drop("at")
        rows = reduce(lambda a, b: ibis.union(a, b, distinct=False), tables)
        seen = population.join(rows, "customer_id")
        seen = seen.filter(seen.occurred_at > seen.as_of, seen.occurred_at <= seen.closes)
        sums = seen.group_by("_row").agg(money=exact_sum(seen.money))
        found = sums.to_pyarrow().to_pandas()
        money = np.zeros(len(index))
        money[found["_row"].to_numpy(dtype="int64")] = found["money"].to_numpy(dtype="float64")
        return money


def _of_kinds(log: CustomerLog, money: Mapping[str, float]) -> ir.Table:
    """Give the interactions of the kinds, each with its money."""
    rows = log.interactions.filter(log.interactions.kind.isin(list(money)))
    there = set(rows.select("kind").distinct().to_pyarrow().to_pydict()["kind"])
    if unknown := sorted(set(money) - there):
        raise DataError(f"no interaction is of kind {', '.join(map(repr, unknown))}.")
    cases = [(rows.kind == kind, float(value)) for kind, value in money.items()]
    return rows.select("customer_id", "occurred_at", money=ibis.cases(*cases, else_=0.0))
