"""Probability of churn within several horizons, from one discrete-time hazard model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from cxpredict.errors import ModelError
from cxpredict.models.calibration import Calibration, fit_calibration
from cxpredict.models.columns import learn_columns
from cxpredict.models.ensemble.cases import Cases, Split
from cxpredict.models.ensemble.fit import fit_ensemble
from cxpredict.models.ensemble.recipes import Effort, Recipe, recipe_for
from cxpredict.models.inputs import as_frame, generator, training_rows
from cxpredict.models.periods import (
    PeriodCases,
    checked_horizons,
    expect_both_outcomes,
    period_cases,
    read_durations,
)
from cxpredict.models.resampling import FEWEST_PER_SIDE, validation_splits
from cxpredict.models.state import expect_state, restore_shared, shared_state

__all__ = ["HorizonModel"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Churn = Literal["event", "silence"]


class HorizonModel(BaseEstimator):
    """Predict when an event comes: calibrated probabilities at several horizons from one fit.

    Parameters
    ----------
    horizons_days : sequence of numbers, default (30, 60, 90, 180)
        Ends of the periods in days, positive and ascending.
    churn : {"event", "silence"}, default "event"
        What churn is: the event itself, as a cancellation, so that its probability rises with the
        horizon; or that the event, as a purchase, stays away, so that it falls.
        `ChurnProblem.churn_by` says which.
    effort : {"fast", "standard", "thorough"}, default "standard"
        How many members are fitted and tuned.
    random_state : int, RandomState or None, default None
        Seed. The same data and seed give the same predictions at any number of threads.
    n_jobs : int or None, default None
        Threads; None or −1 for every core.

    Attributes
    ----------
    horizons_ : ndarray of shape (K,)
        Ends of the periods.
    life_table_ : DataFrame
        All rows together: from_day, to_day, at_risk, events, hazard, survival. Of rows without
        dates, survival is the Kaplan–Meier estimate at the horizons.
    column_report_ : DataFrame
        One row per column: column, kind, n_levels, n_missing, n_infinite, constant.
    n_missing_target_ : int
        Rows left out because their days or event are missing.
    members_ : DataFrame
        One row per member: member, rounds, weight, log_loss (held out).
    calibrations_ : list of Calibration
        One map per period, from margin to hazard.

    Notes
    -----
    The hazard of a period is the probability that the event comes in it, given that it had not
    before. One ensemble answers this for all periods, each row being asked about the periods
    through which it was observed. Hazards hₖ are calibrated per period on held-out margins, and
    S(t) = Πₖ (1 − hₖ): survival can never rise with the horizon.

    Rows whose observation ends early are not thrown away: they count as survivors of the periods
    that they completed. Inside a period, events count by the share of rows still observed at its
    end, per date (index level ``as_of``) where there are dates. This assumes that the end of
    observation does not depend on the event: true of records that end for all at one date, not of
    customers who were deleted because they had left.

    Members are judged at later dates only if all periods have enough cases there, otherwise by
    customer alone. Nothing is said of times after the last horizon.

    References
    ----------
    Singer, Willett (1993), It's about time: using discrete-time survival analysis to study
    duration and the timing of events.
    Tutz, Schmid (2016), Modeling discrete time-to-event data.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"calls": rng.integers(0, 5, 600)})
    >>> left = rng.exponential(np.where(X["calls"] > 2, 60.0, 400.0))
    >>> observed = rng.uniform(20.0, 200.0, 600)
    >>> y = pd.DataFrame({"days": np.minimum(left, observed), "event": left <= observed})
    >>> model = HorizonModel(horizons_days=(30, 90), effort="fast", random_state=0).fit(X, y)
    >>> risk = model.predict_churn(pd.DataFrame({"calls": [0, 4]}))
    >>> bool((risk[90] > risk[30]).all()), bool(risk.loc[0, 90] < 0.35 < 0.65 < risk.loc[1, 90])
    (True, True)
    """

    def __init__(
        self,
        *,
        horizons_days: Sequence[float] = (30, 60, 90, 180),
        churn: Churn = "event",
        effort: Effort = "standard",
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.horizons_days = horizons_days
        self.churn = churn
        self.effort = effort
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit members and one calibration per period.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, p)
            Features: numbers, flags, categories, text that repeats itself.
        y : DataFrame with columns days and event, or array of shape (n, 2)
            Days from the start of the label window to the event (event 1) or to the end of
            observation (event 0), as `ChurnProblem.durations` gives them. A period is open on the
            left and closed on the right: an event at 30.0 lies in (0, 30], and who is observed
            for 30.0 days has passed it. Missing rows are left out of a frame and refused in an
            array; a structured array has its fields days and event.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows, not negative.

        Returns
        -------
        HorizonModel
            The fitted model.

        Raises
        ------
        ModelError
            X and y do not have the same index, a column cannot be used, horizons do not ascend,
            days or events are out of range, or fewer than two customers had the event in a
            period, or passed it without.
        """
        frame = as_frame(self, X, reset=True)
        self._check_churn()
        self.horizons_ = checked_horizons(self.horizons_days)
        durations = read_durations(y)
        rows = training_rows(frame, durations.position, sample_weight, source=X)
        self.columns_, self.column_report_ = learn_columns(rows.X)
        self.n_missing_target_ = rows.n_missing_target
        picked = rows.y.astype(np.intp)
        asked = period_cases(
            durations.days[picked], durations.event[picked], rows.weight, rows.dates, self.horizons_
        )
        groups = rows.groups[asked.position]
        expect_both_outcomes(asked, groups, self.horizons_)
        self.life_table_ = asked.life_table(self.horizons_)
        rng = generator(self.random_state)
        dates = None if rows.dates is None else rows.dates[asked.position]
        rate = float(self.life_table_["events"].sum() / self.life_table_["at_risk"].sum())
        recipe = recipe_for(
            self.effort,
            n=len(rows.y),
            rate=min(rate, 1.0 - rate),
            n_steps=len(self.horizons_),
            n_columns=len(self.columns_.columns),
        )
        cases = Cases(
            self.columns_.encode(rows.X)[asked.position],
            asked.event,
            asked.weight,
            groups,
            target=_residuals(asked, self.life_table_["hazard"].to_numpy()),
        )
        repeats, by_customer = _splits(asked, groups, dates, recipe, rng)
        self.ensemble_, held_out = fit_ensemble(
            cases,
            self.columns_.n_levels,
            repeats,
            recipe,
            calibrate_on=by_customer,
            seed=int(rng.integers(2**30)),
            n_jobs=self.n_jobs,
        )
        self.members_ = held_out.members
        self.calibrations_ = []
        for k in range(len(self.horizons_)):
            judged = ~np.isnan(held_out.margin[:, k]) & ~np.isnan(asked.event[:, k])
            self.calibrations_.append(
                fit_calibration(
                    held_out.margin[judged, k],
                    asked.event[judged, k],
                    groups[judged],
                    weight=asked.weight[judged],
                    rng=rng,
                    with_draws=False,
                )
            )
        return self

    def predict_hazard(self, X: Any) -> pd.DataFrame:
        """Predict, per period, the probability of the event if it did not come before.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, p)
            Features.

        Returns
        -------
        DataFrame
            Index of X; one column per horizon, the end of the period, named horizon_days.
        """
        check_is_fitted(self)
        frame = as_frame(self, X, reset=False)
        codes = self.columns_.encode(frame)
        hazard = [
            calibration.probability(self.ensemble_.margin(codes, step=k, n_jobs=self.n_jobs))
            for k, calibration in enumerate(self.calibrations_)
        ]
        columns = pd.Index(self.horizons_, name="horizon_days")
        return pd.DataFrame(np.column_stack(hazard), index=frame.index, columns=columns)

    def predict_survival(self, X: Any) -> pd.DataFrame:
        """Predict the probability that the event does not come until each horizon.

        Returns
        -------
        DataFrame
            Index of X; one column per horizon; never rising along a row.
        """
        return (1.0 - self.predict_hazard(X)).cumprod(axis=1)

    def predict_event(self, X: Any) -> pd.DataFrame:
        """Predict the probability that the event comes within each horizon, one column each."""
        return 1.0 - self.predict_survival(X)

    def predict_churn(self, X: Any) -> pd.DataFrame:
        """Predict the probability of churn by each horizon.

        Returns
        -------
        DataFrame
            Index of X; one column per horizon. With ``churn="event"`` that of the event, rising
            with the horizon; with ``churn="silence"`` that of its absence, falling.
        """
        self._check_churn()
        survival = self.predict_survival(X)
        return survival if self.churn == "silence" else 1.0 - survival

    def check_columns(self, X: Any) -> pd.DataFrame:
        """Compare the columns of X with those at fit; see `ChurnModel.check_columns`."""
        check_is_fitted(self)
        return self.columns_.check(as_frame(self, X, reset=False))

    def to_state(self) -> dict[str, Any]:
        """Return the fitted model as JSON-able dict; `from_state` rebuilds it bit for bit."""
        check_is_fitted(self)
        return {
            "model": "HorizonModel",
            "horizons_days": self.horizons_.tolist(),
            "churn": self.churn,
            **shared_state(self),
            "life_table": self.life_table_.to_dict(orient="list"),
            "calibrations": [calibration.to_state() for calibration in self.calibrations_],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Rebuild a fitted model from `to_state`.

        Raises
        ------
        ModelError
            The state belongs to another kind of model.
        """
        expect_state(state, "HorizonModel")
        names = ("horizons_days", "churn", "effort", "random_state", "n_jobs")
        model = cls(**{name: state[name] for name in names})
        model.horizons_ = checked_horizons(state["horizons_days"])
        restore_shared(model, state)
        model.life_table_ = pd.DataFrame(state["life_table"])
        model.calibrations_ = [Calibration.from_state(entry) for entry in state["calibrations"]]
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

    def _check_churn(self) -> None:
        if self.churn not in get_args(Churn):
            raise ModelError(f"churn must be 'event' or 'silence'; got {self.churn!r}.")


def _residuals(cases: PeriodCases, hazard: Floats) -> Floats:
    """Events of each row less those expected while it was observed: what levels differ in."""
    surplus = np.nansum(cases.event - hazard, axis=1)
    return np.asarray(np.bincount(cases.position, surplus)[cases.position])


def _splits(
    cases: PeriodCases,
    groups: Ints,
    dates: npt.NDArray[Any] | None,
    recipe: Recipe,
    rng: np.random.Generator,
) -> tuple[list[list[Split]], list[Split] | None]:
    """Divide by customer, and by time if every period is known well enough early and late."""
    events = np.bincount(cases.position, np.nansum(cases.event, axis=1))[cases.position]
    came: Floats = (events > 0).astype(np.float64)
    counts = f"event: {int(came.sum()):,}, none: {int((came == 0).sum()):,}"
    options: dict[str, Any] = {
        "n_folds": recipe.n_folds,
        "n_repeats": recipe.n_repeats,
        "rng": rng,
        "counts": counts,
    }
    repeats, by_customer = validation_splits(came, groups, dates=dates, **options)
    for side in (0, 1):
        rows = np.unique(np.concatenate([split[side] for split in repeats[0]]))
        enough = [
            (cases.event[rows] == outcome).sum(axis=0).min() >= FEWEST_PER_SIDE
            for outcome in (0.0, 1.0)
        ]
        if len(rows) < len(came) and not all(enough):
            return validation_splits(came, groups, **options)
    return repeats, by_customer
