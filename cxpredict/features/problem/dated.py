"""For whom and at which dates something is predicted: population, labels, splits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.config import ChurnSettings, SatisfactionSettings
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, DataError, EmptyDataError
from cxpredict.features.build import index_rows
from cxpredict.features.problem import labels
from cxpredict.features.problem.population import (
    Date,
    dates_back,
    drawn,
    to_dates,
    to_index,
)


class DatedProblem(ABC):
    """Population, labels and splits at dates, the same for every kind of label."""

    settings: ChurnSettings | SatisfactionSettings

    def __repr__(self) -> str:
        given = self.settings.model_dump(exclude_defaults=True)
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in given.items())})"

    @property
    def label_columns(self) -> tuple[str, ...]:
        """Columns of customers that hold the answer and must not be features."""
        return () if self.settings.label is None else (self.settings.label,)

    @property
    def label_days(self) -> int | None:
        """Days from a date to the end of its label window; None without dates."""
        if self.settings.horizon_days is None:
            return None
        return self.settings.gap_days + self.settings.horizon_days

    def population(self, log: CustomerLog, as_of: Date | Sequence[Date]) -> pd.MultiIndex:
        """List the customers who are active at each date, by what was known before it.

        Parameters
        ----------
        log : CustomerLog
            The records.
        as_of : date or sequence of dates
            UTC, exclusive.

        Returns
        -------
        MultiIndex (customer_id, as_of)
            Sorted by date, then customer.
        """
        rows = self._active(log, to_dates(as_of)).select("customer_id", "as_of")
        return to_index(rows.order_by("as_of", "customer_id"))

    def to_score(self, log: CustomerLog, as_of: Date) -> pd.MultiIndex:
        """List the customers a batch job scores: the population less those known to have left."""
        return to_index(self.to_score_table(log, as_of).order_by("as_of", "customer_id"))

    def to_score_table(self, log: CustomerLog, as_of: Date) -> ir.Table:
        """Give what `to_score` lists as a lazy table of `customer_id` and `as_of`, in no order."""
        return self._active(log, to_dates(as_of)).select("customer_id", "as_of")

    def labels(self, log: CustomerLog, index: pd.MultiIndex) -> pd.Series:
        """Look up what became of customers after each date.

        Parameters
        ----------
        log : CustomerLog
            The records; of corrected ones the latest version counts.
        index : MultiIndex (customer_id, as_of)
            For whom and when.

        Returns
        -------
        Series of float
            Indexed by `index`; missing where the outcome is unknown, and for every customer at a
            date whose window is not over (`outcomes` counts them).
        """
        if not len(index):
            return pd.Series([], index=index, dtype="float64", name="label")
        population = ibis.memtable(index_rows(index))
        found = self._labels(log, population).join(population, ["customer_id", "as_of"])
        values = found.order_by("_row").label.to_pyarrow().to_pandas().to_numpy(dtype="float64")
        values = np.where(self._censored(log, index), np.nan, values)
        return pd.Series(values, index=index, name="label")

    def outcomes(self, log: CustomerLog, index: pd.MultiIndex) -> pd.DataFrame:
        """Count at each date whose outcome is known, unknown, or not over yet.

        Parameters
        ----------
        log : CustomerLog
            The records.
        index : MultiIndex (customer_id, as_of)
            For whom and when.

        Returns
        -------
        DataFrame
            One row per date: `as_of`, `customers`, `known`, `rate` (mean label of those), `unknown`
            (left before the window opened, gave no answer, have no label) and `censored` (the
            window ends after the records do, so nobody can tell).

        Examples
        --------
        >>> sales = pd.DataFrame(
        ...     {"customer_id": ["a", "b", "b"], "amount": 1.0, "kind": "purchase",
        ...      "occurred_at": ["2024-01-01", "2024-01-01", "2024-02-15"]}
        ... )
        >>> log = CustomerLog.from_frames(transactions=sales)
        >>> from cxpredict.features.problem import ChurnProblem
        >>> churn = ChurnProblem(inactive="purchase", horizon_days=30)
        >>> index = churn.population(log, ["2024-01-16", "2024-02-01"])
        >>> churn.outcomes(log, index)[["known", "rate", "censored"]].to_numpy().tolist()
        [[2.0, 0.5, 0.0], [0.0, nan, 2.0]]
        """
        label, censored = self.labels(log, index), self._censored(log, index)
        rows = pd.DataFrame(
            {
                "customers": 1,
                "known": label.notna().astype(int),
                "unknown": (label.isna() & ~censored).astype(int),
                "censored": censored.astype(int),
            },
            index=index,
        )
        table = rows.groupby(level="as_of").sum()
        table.insert(2, "rate", label.groupby(level="as_of").mean())
        return table.reset_index()

    def _censored(self, log: CustomerLog, index: pd.MultiIndex) -> npt.NDArray[np.bool_]:
        """Tell the rows whose window ends after the records do."""
        if self.settings.label is not None:
            return np.zeros(len(index), dtype=bool)
        closes = index_rows(index)["as_of"] + self._embargo()
        over = closes <= labels.observed_until(log, kind=self._kind)
        censored: npt.NDArray[np.bool_] = ~over.to_numpy(dtype=bool)
        return censored

    def split(
        self,
        log: CustomerLog,
        *,
        test_at: Date,
        every_days: int,
        test_until: Date | None = None,
        train_from: Date | None = None,
        train_until: Date | None = None,
        held_out_share: float | None = None,
    ) -> tuple[pd.MultiIndex, pd.MultiIndex]:
        """Split by time: training dates whose label windows close before the test date.

        Parameters
        ----------
        log : CustomerLog
            The records.
        test_at : date
            The date of the test, or its first.
        every_days : int
            Distance of the dates, in days.
        test_until : date, optional
            Further test dates follow up to this one, where one date has too few customers.
        train_from : date, optional
            No training date before it; by default one horizon after the log begins.
        train_until : date, optional
            No training date after it.
        held_out_share : float in (0, 1), optional
            Keep customers apart too: so many, drawn by a hash of their id, are tested and never
            trained on. By default a customer may be trained on at one date and tested at a later.

        Returns
        -------
        train, test : MultiIndex (customer_id, as_of)
            Active customers whose outcome is known.

        Raises
        ------
        DataError
            The label window of a test date is not over, or no training date is left.

        Notes
        -----
        The last training date is the embargo ``gap_days + horizon_days`` before `test_at`, or
        `train_until` if that is earlier; the others follow backwards in steps of `every_days`.
        """
        if every_days < 1:
            raise ConfigError(f"every_days: expected 1 or more, found {every_days}")
        if held_out_share is not None and not 0 < held_out_share < 1:
            raise ConfigError(f"held_out_share: expected within (0, 1), found {held_out_share}")
        tests = list(pd.date_range(test_at, test_until or test_at, freq=f"{every_days}D"))
        if not tests:
            raise DataError(f"test_until {test_until} lies before test_at {test_at}")
        complete = labels.observed_until(log, kind=self._kind) - self._embargo()
        if tests[-1] > complete:
            raise DataError(
                f"test date {tests[-1].date()}: outcomes are known up to {complete.date()} only "
                f"(gap and horizon before the log ends); choose an earlier date"
            )
        last = tests[0] - self._embargo()
        if train_until is not None:
            last = min(last, pd.Timestamp(train_until))
        horizon = timedelta(days=self._horizon())
        start = pd.Timestamp(train_from) if train_from else log.span[0] + horizon
        dates = dates_back(last, start, every_days)
        if not dates:
            raise DataError(
                f"no training date lies between {start.date()} and {last.date()}: the history is "
                f"too short for a test at {tests[0].date()} with this gap and horizon"
            )
        train, test = self._known(log, dates), self._known(log, tests)
        if held_out_share is None:
            return train, test
        return train[~drawn(train, held_out_share)], test[drawn(test, held_out_share)]

    def rolling_splits(
        self,
        log: CustomerLog,
        *,
        first_test: Date,
        last_test: Date,
        every_days: int,
        test_every_days: int | None = None,
        train_from: Date | None = None,
        held_out_share: float | None = None,
    ) -> list[tuple[pd.MultiIndex, pd.MultiIndex]]:
        """Split at a rolling origin: each test date with all training dates before its embargo.

        Parameters
        ----------
        log : CustomerLog
            The records.
        first_test, last_test : date
            Test dates from the first up to the last.
        every_days : int
            Distance of the training dates, in days.
        test_every_days : int, optional
            Distance of the test dates, in days; by default ``gap_days + horizon_days``, so that no
            outcome is tested twice.
        train_from, held_out_share : optional
            As in `split`.

        Returns
        -------
        list of (train, test)
            Earliest test first; each as `split` gives it.

        Raises
        ------
        DataError
            As `split`, for the first test date without a training date or a full window.
        """
        step = test_every_days or self._embargo().days
        tests = pd.date_range(first_test, last_test, freq=f"{step}D")
        if not len(tests):
            raise DataError(f"last_test {last_test} lies before first_test {first_test}")
        return [
            self.split(
                log,
                test_at=day,
                every_days=every_days,
                train_from=train_from,
                held_out_share=held_out_share,
            )
            for day in tests
        ]

    def split_customers(
        self, log: CustomerLog, *, as_of: Date, test_share: float
    ) -> tuple[pd.MultiIndex, pd.MultiIndex]:
        """Split a table without time: customers drawn by a hash of their id.

        Parameters
        ----------
        log : CustomerLog
            The records.
        as_of : date
            The date that the table stands for.
        test_share : float
            Share of customers in the test, in (0, 1).

        Returns
        -------
        train, test : MultiIndex (customer_id, as_of)
            Customers whose outcome is known.
        """
        index = self._known(log, [pd.Timestamp(as_of)])
        chosen = drawn(index, test_share)
        return index[~chosen], index[chosen]

    def _known(self, log: CustomerLog, dates: list[pd.Timestamp]) -> pd.MultiIndex:
        index = self.population(log, dates)
        if not len(index):
            raise EmptyDataError(
                f"no active customers at {', '.join(str(d.date()) for d in dates)}"
            )
        return index[self.labels(log, index).notna().to_numpy()]

    @property
    @abstractmethod
    def _kind(self) -> str | None:
        """Kind of event that the label looks for; None for answers."""

    def _horizon(self) -> int:
        if self.settings.horizon_days is None:
            raise ConfigError("a label column has no dates: use split_customers")
        return self.settings.horizon_days

    def _embargo(self) -> timedelta:
        return timedelta(days=self.settings.gap_days + self._horizon())

    def _window(self, population: ir.Table) -> ir.Table:
        return labels.window_of(
            population, gap_days=self.settings.gap_days, horizon_days=self._horizon()
        )

    @abstractmethod
    def _active(self, log: CustomerLog, dates: list[pd.Timestamp]) -> ir.Table: ...

    @abstractmethod
    def _labels(self, log: CustomerLog, population: ir.Table) -> ir.Table: ...
