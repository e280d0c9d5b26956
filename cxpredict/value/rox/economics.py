"""What customers of each NPS group are worth, with and without adjusting for who they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cxpredict.errors import DataError
from cxpredict.value.checks import Floats, in_range
from cxpredict.value.covariates import plain_matrix, smooth_matrix

GROUPS = ("promoter", "passive", "detractor")
MIN_GROUP = 30
MIN_LEFT = 5
_FOLDS = 5
_FLOOR = 0.01
_MAX_UNSUPPORTED = 0.1


@dataclass(frozen=True)
class GroupEconomics:
    """Retention and margin of each NPS group.

    Parameters
    ----------
    unadjusted, adjusted : DataFrame
        One row per group (promoter, passive, detractor): ``n``, ``share``, ``retention``,
        ``retention_se``, ``margin``, ``margin_se``. Unadjusted: means of the group itself.
        Adjusted: means to expect if all customers were of that group with their own covariates.
    covariance : DataFrame
        Covariance of the adjusted figures; rows and columns (group, quantity).
    overlap : DataFrame
        One row per group: ``n_eff`` of its propensity weights, ``smallest_propensity`` over all
        customers, ``unsupported``, the share of customers who hardly resemble the group.
    """

    unadjusted: pd.DataFrame
    adjusted: pd.DataFrame
    covariance: pd.DataFrame
    overlap: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return both estimates below each other, with a column ``adjustment``."""
        both = {"unadjusted": self.unadjusted, "adjusted": self.adjusted}
        return pd.concat(both, names=["adjustment", "group"]).reset_index()


def group_economics(
    frame: pd.DataFrame,
    *,
    group: str,
    retained: str,
    margin: str,
    covariates: Sequence[str],
    random_state: int | None = None,
) -> GroupEconomics:
    """Estimate retention and margin of promoters, passives and detractors.

    Parameters
    ----------
    frame : DataFrame
        One row per customer who answered the survey.
    group : str
        Column with ``promoter``, ``passive`` or ``detractor`` (see `nps_group`).
    retained : str
        Column, yes/no: still a customer at the end of the period after the answer.
    margin : str
        Column, money over that period. Needed for retained customers, not used for others.
    covariates : sequence of str
        Columns known **before** the answer: numbers, yes/no or categories, gaps allowed. A column
        that answer or experience can change hides part of the effect.
    random_state : int, optional
        Seed of the folds.

    Returns
    -------
    GroupEconomics
        ``unadjusted`` and ``adjusted`` tables, ``covariance``, ``overlap``.

    Raises
    ------
    DataError
        If a column is missing or malformed, or if the data cannot tell: fewer than 30 customers
        in a group, fewer than 5 of a group who left or stayed, or more than 10 % of customers
        who hardly resemble a group (propensity below 1 % or a tenth of the group's share).

    Notes
    -----
    Margin is per retained customer, E[R·M] / E[R], with R retention and M margin. Margin times
    retention is then the money of a period, and loss of customers is not counted twice: the
    margin of leavers up to their leaving is left out.

    Adjusted figures are augmented inverse-propensity estimates (AIPW), cross-fitted in five
    folds, with weights normalised within the group: multinomial logistic propensity; logistic
    and ridge regressions of retention and margin within each group, on covariates with bends.
    They hold if either propensity or outcome is modelled well. Standard errors come from the
    influence function.

    Adjusted is not causal by itself: that needs all common causes of score and retention among
    the covariates. What the company did not record stays in the difference.

    References
    ----------
    Robins, J., Rotnitzky, A. and Zhao, L. (1994). Journal of the American Statistical
    Association 89, 846–866. Chernozhukov, V. et al. (2018). Double/debiased machine learning.
    The Econometrics Journal 21(1), C1–C68.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frame = pd.DataFrame({"group": rng.choice(GROUPS, 900), "tenure": rng.random(900)})
    >>> frame["stayed"] = rng.random(900) < 0.7 + 0.2 * (frame["group"] == "promoter")
    >>> frame["money"] = rng.normal(100, 10, 900)
    >>> result = group_economics(
    ...     frame, group="group", retained="stayed", margin="money", covariates=["tenure"],
    ...     random_state=0,
    ... )
    >>> list(result.adjusted["retention"].round(1))
    [0.9, 0.7, 0.7]
    """
    names, stayed, money = _columns(frame, group, retained, margin)
    _check_support(names, stayed)
    if isinstance(covariates, str) or not covariates or not {*covariates} <= {*frame.columns}:
        raise DataError("covariates: expected a list of one or more columns of the table.")
    plain = plain_matrix(frame[list(covariates)])
    n = len(names)
    counts = np.array([(names == g).sum() for g in GROUPS])
    scores, overlap = _influence(smooth_matrix(plain), names, stayed, money, random_state)
    estimates = scores.mean(axis=0)
    retention, product = estimates[:, 0], estimates[:, 1]
    if (retention <= 0).any() or (retention >= 1).any():
        raise DataError("adjusted retention is not between 0 and 1: too few customers left.")
    average = product / retention
    influence = scores - estimates
    influence[:, :, 1] = (influence[:, :, 1] - average * influence[:, :, 0]) / retention
    flat = influence.reshape(n, -1)
    labels = pd.MultiIndex.from_product([GROUPS, ["retention", "margin"]])
    covariance = pd.DataFrame(flat.T @ flat / n**2, index=labels, columns=labels)
    se = np.sqrt(np.diag(covariance)).reshape(-1, 2)
    return GroupEconomics(
        unadjusted=_table(counts, *_unadjusted(names, stayed, money)),
        adjusted=_table(counts, np.column_stack([retention, average]), se),
        covariance=covariance,
        overlap=overlap,
    )


def _columns(frame: pd.DataFrame, group: str, retained: str, margin: str) -> tuple[Any, Any, Any]:
    absent = [name for name in (group, retained, margin) if name not in frame.columns]
    if absent:
        raise DataError(f"group economics: the table has no column {', '.join(absent)}.")
    if not frame.index.is_unique:
        raise DataError(
            f"group economics: expected one row per customer; {int(frame.index.duplicated().sum())}"
            " rows repeat the index of another. Keep one answer per customer."
        )
    names = frame[group].astype("object").to_numpy()
    strange = int((~pd.Series(names).isin(GROUPS)).sum())
    if strange:
        raise DataError(
            f"{group}: expected promoter, passive or detractor; {strange} of {len(names)} rows "
            "have something else. Use nps_group and leave out customers without an answer."
        )
    if frame[retained].isna().any() or not frame[retained].isin([True, False]).all():
        raise DataError(f"{retained}: expected True or False in every row.")
    stayed = frame[retained].astype(bool).to_numpy()
    money = np.zeros(len(frame))
    money[stayed] = in_range(f"{margin} of retained customers", frame.loc[stayed, margin])
    return names, stayed, money


def _check_support(names: Any, stayed: Any) -> None:
    missing = []
    for g in GROUPS:
        size, left = int((names == g).sum()), int(((names == g) & ~stayed).sum())
        if size < MIN_GROUP:
            missing.append(f"{MIN_GROUP} {g}s (there are {size})")
        elif left < MIN_LEFT:
            missing.append(f"{MIN_LEFT} {g}s who left (there are {left})")
        elif size - left < MIN_LEFT:
            missing.append(f"{MIN_LEFT} {g}s who stayed (there are {size - left})")
    if missing:
        raise DataError(
            f"the worth of NPS groups cannot be told from this data; it needs at least "
            f"{'; '.join(missing)}. Collect more answers or take a longer period."
        )


def _influence(
    design: Floats, names: Any, stayed: Any, money: Floats, random_state: int | None
) -> tuple[Floats, pd.DataFrame]:
    """Scores of retention and of retention × margin: customers × groups × 2."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.model_selection import StratifiedKFold

    n, k = len(names), len(GROUPS)
    codes = np.array([GROUPS.index(name) for name in names])
    propensity, predicted = np.zeros((n, k)), np.zeros((n, k, 2))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=random_state)
    for train, test in folds.split(design, 2 * codes + stayed):
        treatment = LogisticRegression(C=1.0, solver="newton-cholesky")
        treatment.fit(design[train], codes[train])
        propensity[test] = treatment.predict_proba(design[test])
        for g in range(k):
            rows = train[codes[train] == g]
            staying = LogisticRegression(C=0.1, solver="newton-cholesky")
            staying.fit(design[rows], stayed[rows])
            kept = rows[stayed[rows]]
            spending = Ridge(alpha=10.0).fit(design[kept], money[kept])
            predicted[test, g, 0] = staying.predict_proba(design[test])[:, 1]
            predicted[test, g, 1] = predicted[test, g, 0] * spending.predict(design[test])
    outcome = np.column_stack([stayed, stayed * money])
    return _augment(codes, propensity, predicted, outcome)


def _augment(
    codes: Any, propensity: Floats, predicted: Floats, outcome: Floats
) -> tuple[Floats, pd.DataFrame]:
    scores, rows = predicted.copy(), []
    for g, name in enumerate(GROUPS):
        member = codes == g
        floor = min(_FLOOR, 0.1 * member.mean())
        e = propensity[:, g]
        unsupported = float((e < floor).mean())
        if unsupported > _MAX_UNSUPPORTED:
            raise DataError(
                f"{unsupported:.0%} of customers hardly resemble any {name}, so their worth as one "
                "cannot be told. Compare fewer kinds of customers, or leave out covariates that "
                "decide the score alone."
            )
        weights = member / np.maximum(e, floor)
        rows.append((weights.sum() ** 2 / (weights**2).sum(), e.min(), unsupported))
        residual = outcome - predicted[:, g]
        scores[:, g] += (weights / weights.mean())[:, None] * residual
    columns = ["n_eff", "smallest_propensity", "unsupported"]
    return scores, pd.DataFrame(rows, columns=columns, index=pd.Index(GROUPS, name="group"))


def _unadjusted(names: Any, stayed: Any, money: Floats) -> tuple[Floats, Floats]:
    values, errors = [], []
    for g in GROUPS:
        kept = stayed[names == g]
        paid = money[(names == g) & stayed]
        r = kept.mean()
        values.append((r, paid.mean()))
        errors.append((np.sqrt(r * (1 - r) / len(kept)), paid.std(ddof=1) / np.sqrt(len(paid))))
    return np.array(values), np.array(errors)


def _table(counts: Any, values: Floats, errors: Floats) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n": counts,
            "share": counts / counts.sum(),
            "retention": values[:, 0],
            "retention_se": errors[:, 0],
            "margin": values[:, 1],
            "margin_se": errors[:, 1],
        },
        index=pd.Index(GROUPS, name="group"),
    )
