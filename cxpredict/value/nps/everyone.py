"""NPS of everyone: those who answered, those who stayed silent, those who were never asked."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from cxpredict.data.checks import check_seed, common_index
from cxpredict.data.suppression import blank, hidden_groups
from cxpredict.errors import DataError, ModelError
from cxpredict.value.covariates import plain_matrix
from cxpredict.value.nps import nps, positions_of, row_groups
from cxpredict.value.nps.answers import Codes, codes, row_customers, row_weights, signs
from cxpredict.value.nps.intervals import check_method
from cxpredict.value.nps.response import MIN_PROPENSITY, balance_table
from cxpredict.value.nps.robust import (
    SIGNS,
    Case,
    check_support,
    cross_fitted_propensity,
    cross_fitted_shares,
    folds_of,
)
from cxpredict.value.nps.scores import Scale, nps_scores

_MIN_ANSWERS = 100
_MIN_KIND = 10
_SHARES = ["promoters", "passives", "detractors"]


@dataclass(frozen=True)
class NpsOfEveryone:
    """NPS of everyone, beside that of those who answered.

    Parameters
    ----------
    everyone : DataFrame
        One row ``all`` or one per group: ``estimate``, ``low``, ``high``, ``se`` in points;
        ``promoters``, ``passives``, ``detractors`` as shares; ``n`` rows, ``answered`` of them,
        ``suppressed``.
    answers_only, weighted : DataFrame
        As `nps` gives, of the answers as they are and weighted by 1 / propensity.
    predicted : DataFrame
        One row per row of X: ``promoters``, ``passives``, ``detractors``, the predicted
        probabilities, by a model that did not see this customer's answers; and ``propensity``,
        the probability to answer. Of single customers: handle as personal data.
    balance : DataFrame
        ``feature``, ``before``, ``after``: standardised mean difference of those who answered from
        everyone, unweighted and weighted.
    unsupported : float
        Share of everyone whose propensity is below 1 %.
    """

    everyone: pd.DataFrame
    answers_only: pd.DataFrame
    weighted: pd.DataFrame
    predicted: pd.DataFrame
    balance: pd.DataFrame
    unsupported: float

    def table(self) -> pd.DataFrame:
        """Return the NPS of everyone."""
        return self.everyone.copy()

    def comparison(self) -> pd.DataFrame:
        """Return estimate, low and high of the answers only, of the weighted ones, of everyone."""
        parts = {
            "answers only": self.answers_only,
            "weighted answers": self.weighted,
            "everyone": self.everyone,
        }
        columns = ["estimate", "low", "high", "se", "suppressed"]
        shown = {name: part[columns] for name, part in parts.items()}
        table = pd.concat(shown, names=["speaks of"]).swaplevel()
        place = self.everyone.index.get_indexer(table.index.get_level_values(0))
        return table.iloc[np.argsort(place, kind="stable")]


def nps_of_everyone(
    X: pd.DataFrame,
    scores: Any,
    *,
    weights: Any = None,
    customers: Any = None,
    by: Any = None,
    outcome: Any = None,
    rows: Literal["everyone", "sample"] = "everyone",
    level: float = 0.95,
    folds: int = 5,
    scale: Scale = None,
    random_state: int | None = None,
) -> NpsOfEveryone:
    """Estimate the NPS that everyone would give, the silent and the never invited included.

    Parameters
    ----------
    X : DataFrame
        One row per customer, or per invitation, of everyone the NPS shall speak of: numbers,
        yes/no or categories known **before** the answer. Missing values are allowed.
    scores : array-like of numbers
        Whole numbers 0–10; missing for those who were silent or never invited.
    weights : array-like of numbers, optional
        Positive sampling weights: how many customers each row stands for.
    customers : array-like, optional
        The customer of each row, if some have several. Taken from the index of X if it has a level
        ``customer_id``.
    by : array-like, optional
        One group label per row.
    outcome : estimator, optional
        Classifier with `fit` and `predict_proba`, fitted on 0 detractor, 1 passive, 2 promoter.
        Default: `SatisfactionModel` on these three levels with effort "fast".
    rows : {"everyone", "sample"}
        Whether the rows of X are everyone, so that only the scores of the silent are unknown, or
        a sample of a larger number of customers, which lengthens the interval.
    level : float in (0, 1)
        Confidence level of the interval.
    folds : int, 2 to 10
        Parts of the customers; each is predicted by models fitted on the others.
    scale : (0, 10), optional
        As in `nps`.
    random_state : int, optional
        Seed of the folds and of the default outcome model.

    Returns
    -------
    NpsOfEveryone
        With `.table()`, `.comparison()`, `.predicted`, `.balance`.

    Raises
    ------
    DataError
        If X, scores, weights or groups are malformed; if rows repeat an index and no customers
        are given; if fewer than 100 customers answered, fewer than 30 stayed silent, or a kind of
        answer came from fewer than 10 customers; or if more than 10 % of everyone hardly ever
        answer (propensity below 1 %), because then nothing stands for them.
    ModelError
        If the outcome model cannot be fitted, or gives no probabilities.

    Notes
    -----
    **Assumes that silence is random given X** (missing at random): of two customers alike in X, the
    one who answered and the one who did not would have given the same score on average. Those
    never invited count as silent, so this covers the choice of whom to invite as well. No data can
    test it. If unhappy customers stay silent for reasons that X does not show, the result is
    biased, and the interval does not know.

    Doubly robust (AIPW): the mean over everyone of m(X) + (x − m(X)) / ê(X) for those who
    answered and of m(X) for the others, with m the predicted shares, ê the propensity to answer,
    the inverse propensities scaled to stand for everyone (of each group). Both models are fitted
    on other customers than those they predict. The estimate is right in large samples if either
    model is, and its error is of the order of the product of theirs. Multiple imputation was
    not chosen because it is right only if the outcome model is: for 1,500 invitations of the
    simulated company, predictions for the silent left 6 to 8 of 8 to 9 points of bias, the doubly
    robust estimate 1. The propensity is regularised little, because what is smoothed away of it
    stays as bias; the interval is honest about the price.

    Error of the models is in the interval: it is built from what they leave of answers that they
    did not see. With r = x − m: rows "everyone" have the variance (Σ(1/ê − 1)²r² over answers + Σ
    Var(x | X) over the silent) / n², rows "sample" that of m + r / ê. Squares are taken of each
    customer's sum; answers of a silent customer are taken to be as alike as the answers of others.
    In simulations of 1,000 to 1,500 rows 95 % intervals covered in 92 to 97 % (60 repetitions of
    each world; `benchmarks/truth_nps.py` has more) where both models can learn the truth. Where
    only one could, 94 % or more of the bias was gone, but the interval was too long (blind outcome
    model: 98 to 100 %) or too short (blind propensity: 85 %).

    Groups with answers of fewer than 11 customers are suppressed, and more as in `nps`.

    References
    ----------
    Robins, J., Rotnitzky, A. and Zhao, L. (1994). Journal of the American Statistical Association
    89, 846–866. Chernozhukov, V. et al. (2018). Double/debiased machine learning. The
    Econometrics Journal 21(1), C1–C68.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"waited_days": rng.exponential(5, 1_000)})
    >>> score = np.clip(9 - X["waited_days"] // 3 + rng.integers(-1, 2, 1_000), 0, 10)
    >>> answers = score.where(rng.random(1_000) < 0.1 + 0.4 * (X["waited_days"] > 5))
    >>> result = nps_of_everyone(X, answers, outcome=LogisticRegression(), random_state=0)
    >>> truth = nps(score).loc["all", "estimate"]
    >>> all_of_them = result.table().loc["all"]
    >>> bool(result.answers_only.loc["all", "high"] < all_of_them["low"] < truth)
    True
    """
    check_method(level, "wald")
    check_seed(random_state)
    if not all(hasattr(outcome, name) for name in ("fit", "predict_proba") if outcome is not None):
        raise ModelError(
            f"outcome: expected a classifier with fit and predict_proba, got "
            f"{type(outcome).__name__}."
        )
    if rows not in ("everyone", "sample"):
        raise DataError(f"rows: expected 'everyone' or 'sample', got {rows!r}.")
    plain, values = plain_matrix(X), _scores_of_rows(X, scores, scale)
    groups = pd.Series("all", index=X.index) if by is None else row_groups(by, X, values)
    weight = row_weights(weights, X, len(X))
    customer = _customers_of_rows(X, customers)
    answered, x = values.notna().to_numpy(), signs(values)
    kinds = np.where(answered, x.astype(int) + 1, -1)
    _check_answers(kinds, customer, folds)
    split = folds_of(kinds, customer, folds, random_state)
    propensity = cross_fitted_propensity(plain, answered, split)
    unsupported = check_support(propensity, weight)
    model = _default_outcome(random_state) if outcome is None else outcome
    shares = cross_fitted_shares(model, X, kinds, split)
    case = Case(answered, x, weight, customer, shares, propensity)
    inverse = np.where(answered, weight / np.maximum(propensity, MIN_PROPENSITY), weight)
    common: Any = {"customers": customer, "by": by, "level": level, "scale": (0, 10)}
    return NpsOfEveryone(
        everyone=_table(case, groups, level, rows, None if by is None else groups.name),
        answers_only=nps(values, weights=weight, **common),
        weighted=nps(values, weights=inverse, **common),
        predicted=pd.DataFrame(shares, index=X.index, columns=_SHARES).assign(
            propensity=propensity
        ),
        balance=balance_table(plain, answered, inverse[answered]),
        unsupported=unsupported,
    )


def _scores_of_rows(X: pd.DataFrame, scores: Any, scale: Scale) -> pd.Series:
    common_index(X=X, scores=scores)
    values = nps_scores(scores, scale=scale)
    if len(values) != len(X):
        raise DataError(f"scores: expected {len(X)} (one per row of X), got {len(values)}.")
    return values.set_axis(X.index)


def _customers_of_rows(X: pd.DataFrame, customers: Any) -> Codes:
    ids = row_customers(customers, X, len(X))
    if ids is None and not X.index.is_unique:
        raise DataError(
            f"X: {int(X.index.duplicated().sum())} rows repeat the index of another. Give "
            "customers=, so that answers of one customer do not count as independent."
        )
    return codes(ids, len(X))


def _check_answers(kinds: Any, customer: Any, folds: int) -> None:
    counts = {
        "customers who answered": (len(np.unique(customer[kinds >= 0])), _MIN_ANSWERS),
        "rows without an answer": (int((kinds < 0).sum()), 30),
        **{
            f"customers who are {name}": (
                len(np.unique(customer[kinds == kind])),
                _MIN_KIND,
            )
            for kind, name in enumerate(reversed(_SHARES))
        },
    }
    short = [f"{least} {what} (there are {n})" for what, (n, least) in counts.items() if n < least]
    if short:
        raise DataError(
            f"the NPS of everyone cannot be told from this data; it needs at least "
            f"{'; '.join(short)}. Collect more answers, or report `nps` of those who answered."
        )
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= _MIN_KIND:
        raise DataError(f"folds: expected a whole number from 2 to {_MIN_KIND}, got {folds!r}.")


def _default_outcome(random_state: int | None) -> Any:
    from cxpredict.models.satisfaction import SatisfactionModel

    return SatisfactionModel(
        levels=[0, 1, 2], low_at_most=0, effort="fast", random_state=random_state
    )


def _table(case: Case, groups: pd.Series, level: float, rows: str, name: Any) -> pd.DataFrame:
    z, everywhere = stats.norm.ppf((1 + level) / 2), np.ones(len(groups), dtype=bool)
    lines, members = {}, []
    for label, positions in positions_of(groups, everywhere):
        part = case.part(positions)
        members.append(np.unique(part.customer[part.answered]))
        shares, se = part.estimate(), part.se(rows=rows)
        estimate = float(np.clip(shares @ SIGNS, -1, 1))
        lines[label] = {
            "estimate": 100 * estimate,
            "low": 100 * max(estimate - z * se, -1.0),
            "high": 100 * min(estimate + z * se, 1.0),
            "se": 100 * se,
            **dict(zip(_SHARES, np.clip(shares, 0, 1), strict=True)),
            "n": len(positions),
            "answered": int(part.answered.sum()),
        }
    table = pd.DataFrame(list(lines.values())).astype({"n": "Int64", "answered": "Int64"})
    table.index = pd.Index(list(lines), name=name)
    table["suppressed"] = hidden_groups([len(who) for who in members], members)
    return blank(table)
