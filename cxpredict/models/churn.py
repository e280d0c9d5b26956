"""Probability that a customer leaves: an ensemble, calibrated, with exact contributions."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted

from cxpredict.errors import ModelError
from cxpredict.models.calibration import Calibration, fit_calibration
from cxpredict.models.columns import learn_columns
from cxpredict.models.ensemble.cases import Cases
from cxpredict.models.ensemble.recipes import Effort
from cxpredict.models.inputs import (
    TrainingRows,
    as_frame,
    class_counts,
    generator,
    training_rows,
)
from cxpredict.models.members import fit_members
from cxpredict.models.state import expect_state, restore_shared, shared_state

__all__ = ["ChurnModel"]

Floats = npt.NDArray[np.float64]


class ChurnModel(ClassifierMixin, BaseEstimator):
    """Predict a calibrated probability of churn for each row.

    Parameters
    ----------
    effort : {"fast", "standard", "thorough"}, default "standard"
        One booster and a regression on splines; four boosters of different shape and the
        regression; or these repeated over other folds, and one whose settings optuna tunes
        (``pip install cxpredict[tune]``).
    random_state : int, RandomState or None, default None
        Seed. The same data and seed give the same predictions at any number of threads.
    n_jobs : int or None, default None
        Threads; None or −1 for every core.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted; the second is churn.
    column_report_ : DataFrame
        One row per column: column, kind, n_levels, n_missing, n_infinite, dropped (why the column
        says nothing: constant, a row number, the same as another; empty if it is used).
    n_missing_target_ : int
        Rows left out because their target is missing.
    members_ : DataFrame
        One row per member: member, rounds, weight (on the log-odds scale), log_loss (held out).
    ensemble_ : Ensemble
        The fitted members.
    calibration_ : Calibration
        The map from margin to probability; `calibration_.method` tells which one was chosen.
    feature_names_in_ : ndarray of str
        Names of the columns, if X had names.

    Notes
    -----
    LightGBM classifiers of different shape, one of them with random thresholds, and a logistic
    regression on splines are weighed on the log-odds scale by their held-out log loss. Inner
    folds keep all rows of a customer together (index level ``customer_id``); with several dates
    (index level ``as_of``) members and weights are chosen by how they do at later dates than
    they have seen. The members are then refitted on all rows. Calibration (none, Platt, beta,
    isotonic, Venn-Abers) is chosen by cross-fitted log loss on the held-out margins. Classes are
    never reweighted or resampled.

    Categories of more than ten levels are read by the mean target of their level, learned from
    other customers than the row's. Of over 100 levels, those of a single row are pooled.
    Infinite values, and those beyond 1e100, count as missing. Category levels unknown at fit count
    as missing, or as rare ones; `check_columns` counts them. A gap in a column that had none at
    fit is read as the median of a number, or as the more frequent of two levels.

    References
    ----------
    Ke et al. (2017), LightGBM: a highly efficient gradient boosting decision tree.
    Breiman (1996), Stacked regressions.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"calls": rng.poisson(2, 400), "plan": rng.choice(["a", "b"], 400)})
    >>> y = rng.random(400) < np.where(X["calls"] > 2, 0.6, 0.1)
    >>> model = ChurnModel(random_state=0).fit(X, y)
    >>> risk = model.predict_proba(pd.DataFrame({"plan": ["a", "a"], "calls": [0, 5]}))[:, 1]
    >>> bool(risk[0] < 0.3 < 0.5 < risk[1])
    True
    """

    def __init__(
        self,
        *,
        effort: Effort = "standard",
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.effort = effort
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit members and calibration.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, p)
            Features: numbers, flags, categories, text that repeats itself.
        y : array-like of shape (n,)
            Two labels. Missing ones are left out of a Series and refused in an array.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows, not negative.

        Returns
        -------
        ChurnModel
            The fitted model.

        Raises
        ------
        ModelError
            X and y do not have the same index, a column cannot be used, the target has other
            than two classes, or fewer than two customers in one of them.
        """
        frame = as_frame(self, X, reset=True)
        rows = training_rows(frame, y, sample_weight, source=X)
        self.columns_, self.column_report_ = learn_columns(rows.X)
        self.n_missing_target_ = rows.n_missing_target
        event = self._positive(rows)
        cases = Cases(
            self.columns_.encode(rows.X), event[:, None], rows.weight, rows.groups, target=event
        )
        rng = generator(self.random_state)
        self.ensemble_, held_out = fit_members(self, rows, cases, event, rng)
        self.members_ = held_out.members
        self.calibration_ = fit_calibration(
            held_out.margin[:, 0], event, rows.groups, weight=rows.weight, rng=rng
        )
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return the calibrated probability of each class, shape (n, 2), columns as `classes_`."""
        margin = self.decision_function(X)
        churn = self.calibration_.probability(margin)
        return np.column_stack([1.0 - churn, churn])

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the more probable label of each row, shape (n,)."""
        churn = self.predict_proba(X)[:, 1]
        return np.asarray(self.classes_[(churn > 0.5).astype(np.intp)])

    def decision_function(self, X: Any) -> Floats:
        """Return the log-odds margin of churn before calibration, shape (n,)."""
        matrix = self._matrix(X)
        return self.ensemble_.margin(matrix, n_jobs=self.n_jobs)

    def predict_interval(self, X: Any, *, level: float = 0.95) -> Floats:
        """Return an interval for the probability of churn of each row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, p)
            Features.
        level : float, default .95
            Confidence level, inside (0, 1).

        Returns
        -------
        ndarray of float, shape (n, 2)
            Low and high; the probability lies between.

        Notes
        -----
        Says how surely the observed churn rate of customers *with this margin* is known, from
        bootstrap samples of customers. It does not hold the uncertainty of the margin itself,
        nor changes of the market between training and use.
        """
        margin = self.decision_function(X)
        return self.calibration_.interval(margin, level=level)

    def predict_risk(self, X: Any, *, level: float = 0.95) -> pd.DataFrame:
        """Predict the probability of churn with its interval, from one pass over the members.

        Returns
        -------
        DataFrame
            probability, low, high as from `predict_proba` and `predict_interval`; index of X.
        """
        check_is_fitted(self)
        frame = as_frame(self, X, reset=False)
        margin = self.ensemble_.margin(self.columns_.encode(frame), n_jobs=self.n_jobs)
        interval = self.calibration_.interval(margin, level=level)
        probability = self.calibration_.probability(margin)
        columns = {"probability": probability, "low": interval[:, 0], "high": interval[:, 1]}
        return pd.DataFrame(columns, index=frame.index)

    def contributions(self, X: Any) -> tuple[Floats, float]:
        """Split each margin into additive contributions of the columns.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n, p)
            Features.

        Returns
        -------
        tuple of (ndarray of float, float)
            Values (n, p) in log-odds, columns as at fit, and the base they start from:
            base + values.sum(axis=1) equals `decision_function`.

        References
        ----------
        Lundberg et al. (2020), From local explanations to global understanding with explainable
        AI for trees.
        """
        matrix = self._matrix(X)
        return self.ensemble_.contributions(matrix, n_jobs=self.n_jobs)

    def check_columns(self, X: Any) -> pd.DataFrame:
        """Compare the columns of X with those at fit, without failing.

        Returns
        -------
        DataFrame
            One row per column of either side: column, status (present, missing, extra, changed),
            kind, n_missing, n_infinite, n_unseen (values of a level unknown at fit).
        """
        check_is_fitted(self)
        return self.columns_.check(as_frame(self, X, reset=False))

    def to_state(self) -> dict[str, Any]:
        """Return the fitted model as JSON-able dict; `from_state` rebuilds it bit for bit."""
        check_is_fitted(self)
        return {
            "model": "ChurnModel",
            "classes": self.classes_.tolist(),
            **shared_state(self),
            "calibration": self.calibration_.to_state(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Rebuild a fitted model from `to_state`.

        Raises
        ------
        ModelError
            The state belongs to another kind of model.
        """
        expect_state(state, "ChurnModel")
        model = cls(**{name: state[name] for name in ("effort", "random_state", "n_jobs")})
        model.classes_ = np.array(state["classes"])
        restore_shared(model, state)
        model.calibration_ = Calibration.from_state(state["calibration"])
        return model

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.classifier_tags.multi_class = False
        return tags

    def _matrix(self, X: Any) -> Floats:
        check_is_fitted(self)
        return self.columns_.encode(as_frame(self, X, reset=False))

    def _positive(self, rows: TrainingRows) -> Floats:
        check_classification_targets(rows.y)
        kind = type_of_target(rows.y, input_name="y")
        self.classes_ = np.unique(rows.y)
        if len(self.classes_) != 2:
            raise ModelError(
                "Only binary classification is supported. The type of the target is "
                f"{kind} with {len(self.classes_)} class(es) ({class_counts(rows.y)}); "
                "churn needs both classes."
            )
        return np.asarray(rows.y == self.classes_[1], dtype=np.float64)
