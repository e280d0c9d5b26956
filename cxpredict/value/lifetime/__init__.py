"""Expected margin of each customer over a stated horizon, from presence and margin by period."""

from __future__ import annotations

from typing import Any, Self, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from cxpredict.data.checks import Floats
from cxpredict.errors import ModelError
from cxpredict.models.columns import ColumnPlan, learn_columns
from cxpredict.models.inputs import as_frame, generator, training_rows
from cxpredict.models.resampling import grouped_folds
from cxpredict.models.state import expect_state
from cxpredict.value.customer_value import Payment, discount_factors
from cxpredict.value.lifetime.calibration import Calibration, Curves, calibrate
from cxpredict.value.lifetime.forecast import ValueForecast
from cxpredict.value.lifetime.members import fit_members, margins_are_signed
from cxpredict.value.lifetime.target import Churn, Outcomes, read_outcomes

__all__ = ["CustomerValueModel"]

Ints = npt.NDArray[np.intp]
_FEWEST_CUSTOMERS = 20
_FEWEST_FOLDS = 3
_SETTINGS = (
    *("period_days", "yearly_discount_rate", "payment", "churn"),
    *("n_folds", "random_state", "n_jobs"),
)


class CustomerValueModel(BaseEstimator):
    """Predict each customer's expected discounted margin over the horizon of the training data.

    Parameters
    ----------
    period_days : int ≥ 1
        Length of a period, as in `margins_by_period`; the horizon is as many of them as y has.
    yearly_discount_rate : float in [0, 1)
        Discount rate for 365.25 days; 0.1 means 10 %.
    payment : {"start", "end"}
        Whether the margin of a period counts as paid at its start or at its end.
    churn : {"event", "silence"}, default "event"
        ``event``: customers leave for good, and it is seen when. ``silence``: nobody sees who has
        left; a period may pass without a purchase and the next one bring some.
        `ChurnProblem.churn_by` says which.
    n_folds : int ≥ 3, default 10
        Members; each is fitted without one part of the customers.
    random_state : int, RandomState or None, default None
        Seed. The same data and seed give the same predictions at any number of threads.
    n_jobs : int or None, default None
        Threads; None or −1 for every core.

    Attributes
    ----------
    n_periods_ : int
        Periods of the horizon.
    margin_loss_ : {"tweedie", "squared"}
        How margins were learnt: by the Tweedie likelihood (power 1.5), in which heavy tails and
        zeros are at home, or by squared error where over a tenth of the money is negative.
    rounds_ : dict of int
        Rounds of boosting for presence and margin.
    column_report_ : DataFrame
        One row per column; see `HorizonModel`.
    n_missing_target_ : int
        Rows left out because no period is known.

    Notes
    -----
    Two parts, each of boosted trees with the period as a feature. With ``event``, the hazard to
    leave in a period of those who were there gives the retention curve S_k, and
    value = Σₖ dₖ·S_{k−1}·E[margin in k | there at its start]: exact, since who left brings nothing.
    With ``silence``, value = Σₖ dₖ·P(active in k)·E[margin in k | active in it]; no one needs to
    know who is "alive". dₖ discounts to the date of X.

    Periods that were not observed whole are missing and teach nothing; of customers who left, the
    rest is known to be nothing, which the Kaplan–Meier share of those still observed makes up for.
    This assumes that the end of observation has nothing to do with the customer.

    Members are averaged, and then brought to what held-out customers did: one factor per period (a
    shift, where margins are signed), so that the expected total of customers like those of the
    training is right whatever the trees smooth. Intervals: `ValueForecast`.

    Not claimed: that a part of the customers chosen by a feature has its total within the interval
    (trees pull groups towards the mean); that the future is like the training dates; that holding
    a customer would earn this value, for which a customer at risk must be compared held and lost.

    References
    ----------
    Gupta, Lehmann, Stuart (2004), Valuing customers.
    Singer, Willett (1993), It's about time: using discrete-time survival analysis.
    Jørgensen (1987), Exponential dispersion models.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"visits": rng.integers(0, 5, 400)})
    >>> active = rng.random((400, 2)) < np.where(X["visits"] > 2, 0.8, 0.2)[:, None]
    >>> y = pd.DataFrame(
    ...     np.hstack([active * rng.gamma(4.0, 5.0, (400, 2)), active]),
    ...     columns=["margin_1", "margin_2", "there_1", "there_2"],
    ... )
    >>> model = CustomerValueModel(
    ...     period_days=30, yearly_discount_rate=0.1, payment="end", churn="silence", random_state=0
    ... )
    >>> table = model.fit(X, y).forecast(pd.DataFrame({"visits": [0, 4]})).table()
    >>> bool(table["high"].iloc[0] < 20 < table["low"].iloc[1])
    True
    """

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
        """Fit members without one part of the customers each, and calibrate them on it.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, p)
            Features of customers at dates.
        y : DataFrame with columns margin_1 …, there_1 …
            What followed, as `margins_by_period` gives it; missing where not observed whole.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows, not negative.

        Returns
        -------
        CustomerValueModel
            The fitted model.

        Raises
        ------
        ModelError
            X and y do not have the same index, a column cannot be used, y is not of that form, or
            a period is known of fewer than 20 customers.
        DataError
            A rate, a period or the payment is out of range.
        """
        self._check_settings()
        frame = as_frame(self, X, reset=True)
        outcomes, position = read_outcomes(y, self.churn)
        rows = training_rows(frame, position, sample_weight, source=X)
        kept = rows.y.astype(np.intp)
        outcomes = outcomes.take(kept)
        _expect_enough(outcomes, rows.groups)
        self.n_periods_ = outcomes.margin.shape[1]
        discount = self._discount()
        self.columns_, self.column_report_ = learn_columns(rows.X)
        self.n_missing_target_ = rows.n_missing_target
        self.margin_loss_ = "squared" if margins_are_signed(outcomes) else "tweedie"
        rng = generator(self.random_state)
        brought = np.nanmean(outcomes.margin, axis=1)
        fold = grouped_folds(brought, rows.groups, n_folds=self.n_folds, rng=rng)
        codes = self.columns_.encode(rows.X)
        members, self.rounds_ = fit_members(
            codes,
            outcomes,
            rows.weight,
            fold,
            categories=[i for i, n in enumerate(self.columns_.n_levels) if n],
            squared=self.margin_loss_ == "squared",
            seed=int(rng.integers(2**30)),
            n_jobs=self.n_jobs,
        )
        self.calibration_ = calibrate(
            Curves(tuple(members), self.margin_loss_ == "squared", self.churn),
            codes,
            outcomes,
            rows,
            fold,
            discount,
            seasons=self._seasons((X, y), kept, outcomes),
        )
        self.seed_ = int(rng.integers(2**30))
        return self

    def forecast(self, X: Any) -> ValueForecast:
        """Predict value, retention curve and margin per period, with what the intervals need.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, p)
            Features of customers at a date.

        Returns
        -------
        ValueForecast
            ``.table()`` per customer, ``.total()`` of all, ``.survival``, ``.margin``.

        Raises
        ------
        ModelError
            Columns differ from those at fit.
        """
        check_is_fitted(self)
        frame = as_frame(self, X, reset=False)
        found = self.calibration_.apply(self.columns_.encode(frame))
        discount = self._discount()
        periods = pd.Index(range(1, self.n_periods_ + 1), name="period")
        return ValueForecast(
            value=pd.Series(found.margin @ discount, index=frame.index, name="value"),
            survival=pd.DataFrame(found.presence, index=frame.index, columns=periods),
            margin=pd.DataFrame(found.margin, index=frame.index, columns=periods),
            gradient=found.direction * discount,
            covariance=self.calibration_.covariance,
            members=found.members @ discount,
            chance=self.calibration_.chance,
            drift=self.calibration_.drift,
            seed=self.seed_,
            lowest=-np.inf if self.margin_loss_ == "squared" else 0.0,
        )

    def predict(self, X: Any) -> Floats:
        """Return the expected value of each row, shape (n,)."""
        return np.asarray(self.forecast(X).value)

    def check_columns(self, X: Any) -> pd.DataFrame:
        """Compare the columns of X with those at fit; see `ChurnModel.check_columns`."""
        check_is_fitted(self)
        return self.columns_.check(as_frame(self, X, reset=False))

    def to_state(self) -> dict[str, Any]:
        """Return the fitted model as JSON-able dict; `from_state` rebuilds it bit for bit."""
        check_is_fitted(self)
        settings = {name: getattr(self, name) for name in _SETTINGS}
        if not isinstance(self.random_state, int | None):
            settings["random_state"] = None  # a generator cannot be written down
        return {
            "model": "CustomerValueModel",
            **settings,
            "named": hasattr(self, "feature_names_in_"),
            "columns": self.columns_.to_state(),
            "column_report": self.column_report_.to_dict(orient="list"),
            "n_missing_target": self.n_missing_target_,
            "n_periods": self.n_periods_,
            "margin_loss": self.margin_loss_,
            "rounds": self.rounds_,
            "calibration": self.calibration_.to_state(),
            "seed": self.seed_,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Rebuild a fitted model from `to_state`.

        Raises
        ------
        ModelError
            The state belongs to another kind of model.
        """
        expect_state(state, "CustomerValueModel")
        model = cls(**{name: state[name] for name in _SETTINGS})
        model.columns_ = ColumnPlan.from_state(state["columns"])
        model.n_features_in_ = len(model.columns_.columns)
        if state["named"]:
            model.feature_names_in_ = np.array(model.columns_.names, dtype=object)
        model.column_report_ = pd.DataFrame(state["column_report"])
        for name in ("n_missing_target", "n_periods", "margin_loss", "rounds", "seed"):
            setattr(model, f"{name}_", state[name])
        model.calibration_ = Calibration.from_state(state["calibration"])
        return model

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.two_d_labels = True
        tags.target_tags.single_output = False
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _discount(self) -> Floats:
        return discount_factors(
            self.n_periods_,
            period_days=self.period_days,
            yearly_discount_rate=self.yearly_discount_rate,
            payment=self.payment,
        )

    def _seasons(self, tables: tuple[Any, Any], kept: Ints, outcomes: Outcomes) -> int:
        """Count the periods side by side from the first date to the last that was observed."""
        observed = outcomes.asked.sum(axis=1)
        for table in tables:
            index = getattr(table, "index", None)
            if isinstance(index, pd.Index) and "as_of" in index.names:
                dates = pd.to_datetime(index.get_level_values("as_of")[kept], utc=True)
                observed = observed + (dates - dates.min()).days.to_numpy() // self.period_days
                break
        return int(observed.max())

    def _check_settings(self) -> None:
        if self.churn not in get_args(Churn):
            raise ModelError(f"churn must be 'event' or 'silence'; got {self.churn!r}.")
        whole = isinstance(self.n_folds, int) and not isinstance(self.n_folds, bool)
        if not whole or not _FEWEST_FOLDS <= self.n_folds <= _FEWEST_CUSTOMERS:
            raise ModelError(
                f"n_folds must be a whole number from {_FEWEST_FOLDS} to {_FEWEST_CUSTOMERS}; "
                f"got {self.n_folds!r}."
            )


def _expect_enough(outcomes: Outcomes, groups: Ints) -> None:
    """Refuse a period about which too little is known."""

    def customers(rows: npt.NDArray[np.bool_]) -> int:
        return len(np.unique(groups[rows]))

    counts = [
        customers(asked if lost.any() else known)
        for known, asked, lost in zip(
            outcomes.known.T, outcomes.asked.T, outcomes.lost.T, strict=True
        )
    ]
    poor = [f"{k}: {n}" for k, n in enumerate(counts, start=1) if n < _FEWEST_CUSTOMERS]
    if poor:
        raise ModelError(
            f"Each period must be known of at least {_FEWEST_CUSTOMERS} customers; period "
            f"{', '.join(poor[:5])}. Ask for fewer periods, or add earlier dates."
        )
