"""Distribution of a customer's next score over the levels of its scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from cxpredict.errors import ModelError
from cxpredict.models.calibration import Calibration, fit_calibration
from cxpredict.models.columns import learn_columns
from cxpredict.models.ensemble import Ensemble
from cxpredict.models.ensemble.cases import Cases
from cxpredict.models.ensemble.recipes import Effort
from cxpredict.models.inputs import (
    as_frame,
    checked_weights,
    entries,
    generator,
    training_rows,
)
from cxpredict.models.members import fit_members
from cxpredict.models.scale import SCALES, checked_scale, numeric_levels, score_codes
from cxpredict.models.state import expect_state, restore_shared, shared_state

__all__ = ["SatisfactionModel"]

Floats = npt.NDArray[np.float64]
_NPS_GROUPS = ("detractors", "passives", "promoters")


class SatisfactionModel(ClassifierMixin, BaseEstimator):
    """Predict the distribution of a score, and the probability that it is low.

    Parameters
    ----------
    levels : {"nps", "csat", "ces"}, sequence of numbers or None, default None
        Levels of the scale, ascending: ``range(11)`` for NPS, ``[1, 2, 3, 4, 5]`` for CSAT,
        ``range(1, 8)`` for CES, which their names stand for. None takes the distinct values of y.
    low_at_most : number or None, default None
        Scores up to this level are low. None takes 6 for "nps" (detractors), 2 for "csat", 3 for
        "ces", else the lower half of the levels.
    effort : {"fast", "standard", "thorough"}, default "standard"
        How many members to fit; see `ChurnModel`.
    random_state : int, RandomState or None, default None
        Seed. The same data and seed give the same predictions at any number of threads.
    n_jobs : int or None, default None
        Threads; None or −1 for every core.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        Levels, ascending.
    low_at_most_ : number
        Highest level that is low.
    column_report_, n_missing_target_, members_
        As in `ChurnModel`.
    ensemble_ : Ensemble
        The fitted members, for every threshold between two levels.
    calibrations_ : list of Calibration
        One map per threshold between two levels.

    Notes
    -----
    Ordinal by construction: one ensemble answers "is the score above level k?" for every row and
    every k at once, with k as a feature in which the answer may only fall. Each threshold is
    calibrated by itself on held-out margins; should two calibrated thresholds cross, the one
    further from the low threshold gives way, so that P(low) is always the calibrated one.
    Customers never straddle inner folds. Those who do not answer surveys are not in y: weight
    the answers (`sample_weight`) when answering depends on satisfaction.

    References
    ----------
    Frank, Hall (2001), A simple approach to ordinal classification.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> wait = rng.integers(0, 10, 400)
    >>> score = np.clip(5 - wait // 3 + rng.integers(-1, 2, 400), 1, 5)
    >>> X = pd.DataFrame({"wait_minutes": wait})
    >>> model = SatisfactionModel(levels=[1, 2, 3, 4, 5], low_at_most=2, random_state=0)
    >>> low = model.fit(X, score).low_score_probability(pd.DataFrame({"wait_minutes": [0, 9]}))
    >>> bool(low[0] < 0.1 < 0.5 < low[1])
    True
    """

    def __init__(
        self,
        *,
        levels: str | Sequence[Any] | None = None,
        low_at_most: Any = None,
        effort: Effort = "standard",
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.levels = levels
        self.low_at_most = low_at_most
        self.effort = effort
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit members and one calibration per threshold.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, p)
            Features: numbers, flags, categories, text that repeats itself.
        y : array-like of shape (n,)
            Scores among `levels`. Missing ones are left out of a Series and refused in an array.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows, not negative.

        Returns
        -------
        SatisfactionModel
            The fitted model.

        Raises
        ------
        ModelError
            X and y do not have the same index, a column cannot be used, a score is not among the
            levels, or fewer than two customers gave a low, or another, score.
        """
        frame = as_frame(self, X, reset=True)
        rows = training_rows(frame, y, sample_weight, source=X)
        self.columns_, self.column_report_ = learn_columns(rows.X)
        self.n_missing_target_ = rows.n_missing_target
        self.classes_, self.low_at_most_ = self._scale(rows.y)
        code = score_codes(rows.y, self.classes_)
        low = (code <= self._low_position).astype(np.float64)
        above = (code[:, None] > np.arange(len(self.classes_) - 1)).astype(np.float64)
        cases = Cases(
            self.columns_.encode(rows.X),
            above,
            rows.weight,
            rows.groups,
            target=code.astype(np.float64),
            falling=True,
        )
        rng = generator(self.random_state)
        self.ensemble_, held_out = fit_members(self, rows, cases, low, rng)
        self.members_ = held_out.members
        self.calibrations_ = [
            fit_calibration(
                held_out.margin[:, k],
                above[:, k],
                rows.groups,
                weight=rows.weight,
                rng=rng,
                with_draws=k == self._low_position,
            )
            for k in range(above.shape[1])
        ]
        self.low_ensemble_ = self._ensemble_at_low()
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the probability of each level, shape (n, K), columns as `classes_`."""
        matrix = self._matrix(X)
        return self._levels(matrix, self._margin_above(matrix, self._low_position))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable level of each row, shape (n,)."""
        probability = self.predict_proba(X)
        return np.asarray(self.classes_[np.argmax(probability, axis=1)])

    def expected_score(self, X: Any) -> Floats:
        """Return the mean of the predicted distribution, in points of the scale, shape (n,)."""
        probability = self.predict_proba(X)
        return np.asarray(probability @ self.classes_.astype(np.float64))

    def expected_nps(self, X: Any, *, by: Any = None, weights: Any = None) -> pd.DataFrame:
        """Return the expected NPS of groups of customers, had everyone in them answered.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, p)
            Features.
        by : array-like of shape (n,), optional
            Group of each row; None for one group of all.
        weights : array-like of shape (n,), optional
            Weights of the rows, not negative.

        Returns
        -------
        DataFrame
            One row per group: group, n, detractors, passives, promoters (expected shares) and nps
            (promoters less detractors, in points from −100 to 100).

        Raises
        ------
        ModelError
            The levels are not 0 … 10; `by` or `weights` do not fit X.

        Notes
        -----
        The mean of the predicted distributions. It holds no sampling error and no interval: it
        is what the model expects, not a survey.
        """
        if not np.array_equal(self.classes_, np.arange(11)):
            raise ModelError("An NPS needs the levels 0 to 10; fit with levels='nps'.")
        share = self.predict_proba(X)
        group = np.full(len(share), "all") if by is None else entries(by, X, len(share), "by")
        weight = checked_weights(weights, X, len(share))
        parts = [share[:, :7].sum(axis=1), share[:, 7:9].sum(axis=1), share[:, 9:].sum(axis=1)]
        sums = pd.DataFrame(np.array(parts).T * weight[:, None], columns=list(_NPS_GROUPS))
        sums = sums.assign(weight=weight, n=1).groupby(group, dropna=False).sum()
        table = sums[list(_NPS_GROUPS)].div(sums["weight"], axis=0)
        table.insert(0, "n", sums["n"])
        table["nps"] = 100.0 * (table["promoters"] - table["detractors"])
        return table.rename_axis("group").reset_index()

    def low_score_probability(self, X: Any) -> Floats:
        """Return the probability of a score up to `low_at_most_`, shape (n,)."""
        margin = -self.low_score_margin(X)
        return 1.0 - self.calibrations_[self._low_position].probability(margin)

    def predict_interval(self, X: Any, *, level: float = 0.95) -> Floats:
        """Return low and high of the probability of a low score of each row, shape (n, 2).

        See `ChurnModel.predict_interval`; `low_score_probability` lies between.
        """
        margin = -self.low_score_margin(X)
        above = self.calibrations_[self._low_position].interval(margin, level=level)
        return 1.0 - above[:, ::-1]

    def predict_risk(self, X: Any, *, level: float = 0.95) -> pd.DataFrame:
        """Predict the probability of a low score with its interval, and the expected score.

        Returns
        -------
        DataFrame
            probability, low, high, expected_score as from `low_score_probability`,
            `predict_interval` and `expected_score`, from one pass; index of X.
        """
        check_is_fitted(self)
        frame = as_frame(self, X, reset=False)
        matrix = self.columns_.encode(frame)
        margin = self._margin_above(matrix, self._low_position)
        calibration = self.calibrations_[self._low_position]
        above = calibration.interval(margin, level=level)
        columns = {
            "probability": 1.0 - calibration.probability(margin),
            "low": 1.0 - above[:, 1],
            "high": 1.0 - above[:, 0],
            "expected_score": self._levels(matrix, margin) @ self.classes_.astype(np.float64),
        }
        return pd.DataFrame(columns, index=frame.index)

    def low_score_margin(self, X: Any) -> Floats:
        """Return the log-odds of a low score before calibration, shape (n,)."""
        matrix = self._matrix(X)
        return -self._margin_above(matrix, self._low_position)

    def contributions(self, X: Any) -> tuple[Floats, float]:
        """Split the margin of a low score into additive contributions of the columns.

        See `ChurnModel.contributions`: base + values.sum(axis=1) equals `low_score_margin`.
        """
        values, base = self.low_ensemble_.contributions(
            self._matrix(X), step=self._low_position, n_jobs=self.n_jobs
        )
        return -values, -base

    def check_columns(self, X: Any) -> pd.DataFrame:
        """Compare the columns of X with those at fit; see `ChurnModel.check_columns`."""
        check_is_fitted(self)
        return self.columns_.check(as_frame(self, X, reset=False))

    def to_state(self) -> dict[str, Any]:
        """Return the fitted model as JSON-able dict; `from_state` rebuilds it bit for bit."""
        check_is_fitted(self)
        return {
            "model": "SatisfactionModel",
            "levels": self.classes_.tolist(),
            "low_at_most": self.classes_.tolist()[self._low_position],
            **shared_state(self),
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
        expect_state(state, "SatisfactionModel")
        names = ("levels", "low_at_most", "effort", "random_state", "n_jobs")
        model = cls(**{name: state[name] for name in names})
        model.classes_, model.low_at_most_ = checked_scale(
            np.array(state["levels"]), state["low_at_most"]
        )
        restore_shared(model, state)
        model.calibrations_ = [Calibration.from_state(entry) for entry in state["calibrations"]]
        model.low_ensemble_ = model._ensemble_at_low()
        return model

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _scale(self, scores: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Any]:
        """Resolve the declared scale, or take it from the scores."""
        if self.levels is None:
            check_classification_targets(scores)
            return checked_scale(np.unique(scores), self.low_at_most)
        if not isinstance(self.levels, str):
            return checked_scale(numeric_levels(self.levels), self.low_at_most)
        if self.levels not in SCALES:
            raise ModelError(
                f"levels must be {', '.join(SCALES)} or a sequence of numbers; got {self.levels!r}."
            )
        levels, low = SCALES[self.levels]
        return checked_scale(
            np.array(levels), low if self.low_at_most is None else self.low_at_most
        )

    @property
    def _low_position(self) -> int:
        return int(np.flatnonzero(self.classes_ == self.low_at_most_)[0])

    def _matrix(self, X: Any) -> Floats:
        check_is_fitted(self)
        return self.columns_.encode(as_frame(self, X, reset=False))

    def _margin_above(self, codes: Floats, threshold: int) -> Floats:
        """Log-odds of a score above a threshold; for the low one from the trees held at it."""
        low = threshold == self._low_position
        ensemble = self.low_ensemble_ if low else self.ensemble_
        return ensemble.margin(codes, step=threshold, n_jobs=self.n_jobs)

    def _levels(self, matrix: Floats, margin_at_low: Floats) -> Floats:
        """Return the probability of each level, given the margin above the low ones."""
        low = self._low_position
        above = np.empty((len(matrix), len(self.classes_) - 1))
        for k, calibration in enumerate(self.calibrations_):
            margin = margin_at_low if k == low else self._margin_above(matrix, k)
            above[:, k] = calibration.probability(margin)
        above[:, low:] = np.minimum.accumulate(above[:, low:], axis=1)
        above[:, : low + 1] = np.maximum.accumulate(above[:, low::-1], axis=1)[:, ::-1]
        at_least = np.column_stack([np.ones(len(matrix)), above, np.zeros(len(matrix))])
        return at_least[:, :-1] - at_least[:, 1:]

    def _ensemble_at_low(self) -> Ensemble:
        """Two levels have one threshold, and the trees no split on it."""
        if len(self.classes_) == 2:
            return self.ensemble_
        return self.ensemble_.held(self._low_position)
