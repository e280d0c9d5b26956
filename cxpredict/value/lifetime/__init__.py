"""Expected margin of each customer over a stated horizon, from presence and margin by period."""

from __future__ import annotations

import os
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from cxpredict.errors import DataError, ModelError
from cxpredict.models.columns import learn_columns
from cxpredict.models.inputs import as_frame, generator, training_rows
from cxpredict.models.resampling import grouped_folds
from cxpredict.value.checks import in_range
from cxpredict.value.customer_value import Payment
from cxpredict.value.lifetime.calibration import Curves, calibrate
from cxpredict.value.lifetime.forecast import ValueForecast
from cxpredict.value.lifetime.members import fit_members, margins_are_signed
from cxpredict.value.lifetime.target import Churn, Floats, read_outcomes

__all__ = ["CustomerValueModel"]


class CustomerValueModel(BaseEstimator):
    def __init__(
        self,
        *,
        period_days: int,
        yearly_discount_rate: float,
        payment: Payment,
        churn: Churn = "event",
        n_folds: int = 10,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.period_days = period_days
        self.yearly_discount_rate = yearly_discount_rate
        self.payment = payment
        self.churn = churn
        self.n_folds = n_folds
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        self._check_settings()
        frame = as_frame(self, X, reset=True)
        outcomes, position = read_outcomes(y, self.churn)
        rows = training_rows(frame, position, sample_weight, source=X)
        outcomes = outcomes.take(rows.y.astype(np.intp))
        self.n_periods_ = outcomes.margin.shape[1]
        self._check_enough(outcomes, rows.groups)
        self.columns_, self.column_report_ = learn_columns(rows.X)
        self.n_missing_target_ = rows.n_missing_target
        rng = generator(self.random_state)
        brought = np.nanmean(outcomes.margin, axis=1)
        fold = grouped_folds(
            brought, rows.groups, n_folds=min(self.n_folds, len(np.unique(rows.groups))), rng=rng
        )
        codes = self.columns_.encode(rows.X)
        categories = [i for i, n in enumerate(self.columns_.n_levels) if n]
        self.margin_loss_ = "squared" if margins_are_signed(outcomes) else "tweedie"
        self.members_, self.rounds_ = fit_members(
            codes,
            outcomes,
            rows.weight,
            fold,
            categories,
            squared=self.margin_loss_ == "squared",
            seed=int(rng.integers(2**30)),
            n_jobs=self._threads(),
        )
        curves = Curves(self.members_, self.margin_loss_ == "squared", self.churn)
        self.calibration_ = calibrate(
            curves, codes, outcomes, rows, fold, self._discount(), self._threads(), self._seasons(X, y)
        )
        self.seed_ = int(rng.integers(2**30))
        return self

    def forecast(self, X: Any) -> ValueForecast:
        check_is_fitted(self)
        frame = as_frame(self, X, reset=False)
        codes = self.columns_.encode(frame)
        found = self.calibration_.apply(codes, self._threads())
        discount = self._discount()
        periods = pd.Index(range(1, self.n_periods_ + 1), name="period")
        table = {"index": frame.index, "columns": periods}
        return ValueForecast(
            value=pd.Series(found.margin @ discount, index=frame.index, name="value"),
            survival=pd.DataFrame(found.presence, **table),
            margin=pd.DataFrame(found.margin, **table),
            gradient=found.direction * discount,
            covariance=self.calibration_.covariance,
            members=found.members @ discount,
            chance=self.calibration_.chance,
            drift=self.calibration_.drift,
            seed=self.seed_,
        )

    def predict(self, X: Any) -> Floats:
        return self.forecast(X).value.to_numpy()

    def _discount(self) -> Floats:
        t = np.arange(1, self.n_periods_ + 1) - (self.payment == "start")
        years = t * self.period_days / 365.0
        return np.asarray((1.0 + self.yearly_discount_rate) ** -years)

    def _seasons(self, *tables: Any) -> int:
        """Count the periods side by side from the first date to the end of the last horizon."""
        for table in tables:
            index = getattr(table, "index", None)
            if isinstance(index, pd.Index) and "as_of" in index.names:
                dates = pd.to_datetime(index.get_level_values("as_of"), utc=True)
                return (dates.max() - dates.min()).days // self.period_days + self.n_periods_
        return self.n_periods_

    def _threads(self) -> int:
        return (os.cpu_count() or 1) if self.n_jobs in (None, -1) else int(self.n_jobs)

    def _check_settings(self) -> None:
        pass

    def _check_enough(self, outcomes, groups) -> None:
        pass
