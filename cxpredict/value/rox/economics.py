"""What customers of each NPS group are worth, with and without adjusting for who they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from cxpredict.data.checks import Floats, check_seed, in_range
from cxpredict.errors import DataError
from cxpredict.value.covariates import plain_matrix, smooth_matrix
from cxpredict.value.rox.adjust import (
    Ints,
    Means,
    Sample,
    adjusted_means,
    covariance_of,
    plain_means,
)

GROUPS = ("promoter", "passive", "detractor")
MIN_GROUP = 30
MIN_LEFT = 5
MIN_EVENTS = 10

Counted = Literal["end", "through"]


@dataclass(frozen=True)
class GroupEconomics:
    """What customers of each NPS group do in a period, and what that brings.

    Parameters
    ----------
    unadjusted, adjusted : DataFrame
        One row per group (promoter, passive, detractor): ``n`` customers, ``share`` of the rows,
        and ``retention``, ``margin`` and, if known, ``cost_to_serve`` and ``referral_value``, each
        with its ``…_se``. Unadjusted: means of the group itself. Adjusted: means to expect if all
        customers were of that group with their own covariates.
    covariance : DataFrame
        Covariance of the adjusted figures; rows and columns (group, quantity).
    overlap : DataFrame
        One row per group: ``n_eff`` of its propensity weights, ``smallest_propensity`` over all
        rows, ``unsupported``, the share of rows that hardly resemble the group.
    unadjusted_covariance : DataFrame
        Covariance of the unadjusted figures.
    payment : {"end", "through"}
        What the money is counted per, as in `group_economics`; `return_on_experience` wants the
        same.
    refused : mapping of str to str
        Quantities that the data cannot tell, and what is missing.
    """

    unadjusted: pd.DataFrame
    adjusted: pd.DataFrame
    covariance: pd.DataFrame
    overlap: pd.DataFrame
    unadjusted_covariance: pd.DataFrame
    payment: Counted = "end"
    refused: Mapping[str, str] = field(default_factory=dict)

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
    cost_to_serve: str | None = None,
    referral_value: str | None = None,
    customer: str | None = None,
    payment: Counted = "end",
    random_state: int = 0,
) -> GroupEconomics:
    """Estimate what promoters, passives and detractors do and bring in a period.

    Parameters
    ----------
    frame : DataFrame
        One row per answer to the survey. Never only the last answer of each customer: the last
        one of those who left is by its nature followed by leaving.
    group : str
        Column with ``promoter``, ``passive`` or ``detractor`` (see `nps_group`).
    retained : str
        Column, yes/no: still a customer at the end of the period after the answer.
    margin : str
        Column, money over that period.
    covariates : sequence of str
        Columns known **before** the answer: numbers, yes/no or categories, gaps allowed. A column
        that answer or experience can change hides part of the effect.
    cost_to_serve : str, optional
        Column, money ≥ 0 over that period, not yet taken off the margin.
    referral_value : str, optional
        Column, money that recommendations of that period bring.
    customer : str, optional
        Column that names the customer, where customers have several rows; by default each row is
        a customer of its own.
    payment : {"end", "through"}, default "end"
        What money is counted per. ``end``: per retained customer, of retained customers only; the
        money of those who left is not needed and not used. ``through``: per full period of
        presence, of everyone, including what leavers brought until they left; they are taken to
        leave half-way through.
    random_state : int, default 0
        Seed of the folds.

    Returns
    -------
    GroupEconomics
        ``unadjusted`` and ``adjusted`` tables, ``covariance``, ``overlap``, ``refused``.

    Raises
    ------
    DataError
        If a column is missing or malformed, or if the data cannot tell: fewer than 30 customers
        in a group, fewer than 5 of a group who left or stayed, or more than 10 % of rows that
        hardly resemble a group (propensity below 1 % or a tenth of the group's share). Of cost to
        serve and referral value, which other terms do not rest on, one that fewer than 10
        customers of a group have is left out and named in ``refused``.

    Notes
    -----
    With R retention and M money of a period, ``end`` gives E[R·M] / E[R] and ``through`` gives
    E[M] / (½ + ½E[R]), so that presence × money is the money of a period. ``through`` keeps the
    money of leavers, which ``end`` does not see; leaving it out overstates what retention is worth.

    Adjusted figures are augmented inverse-propensity estimates (AIPW), cross-fitted in five
    folds that part no customer, with weights normalised within the group: multinomial logistic
    propensity; logistic and ridge regressions of retention and money within each group, on
    covariates with bends. They hold if either propensity or outcome is modelled well. Standard
    errors come from the influence function, added up by customer.

    Adjusted is not causal by itself: that needs all common causes of score and outcome among
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
    if payment not in ("end", "through"):
        raise DataError(f"payment: expected 'end' or 'through', got {payment!r}.")
    extra = {"cost_to_serve": cost_to_serve, "referral_value": referral_value}
    named = {"margin": margin} | {name: each for name, each in extra.items() if each is not None}
    check_seed(random_state)
    used = [group, retained, *named.values(), *([] if customer is None else [customer])]
    _check_columns(frame, used)
    _check_covariates(frame, covariates, used)
    customers = _customers(frame, customer)
    arms = _arms(frame, group)
    stayed = _stayed(frame, retained)
    check_support(GROUPS, arms, stayed, customers)
    money = {
        name: _money(frame, column, stayed, payment, name == "cost_to_serve")
        for name, column in named.items()
    }
    refused = {
        name: reason
        for name, values in money.items()
        if name != "margin" and (reason := too_few(GROUPS, arms, values, customers))
    }
    quantities = ["retention", *(name for name in money if name not in refused)]
    outcomes = np.column_stack([stayed, *(money[name] for name in quantities[1:])])
    design = smooth_matrix(plain_matrix(frame[list(covariates)]))
    sample = Sample(design, customers, outcomes)
    plain = plain_means(sample, arms, GROUPS)
    adjusted = adjusted_means(sample, arms, GROUPS, random_state)
    counts = np.array([len(np.unique(customers[arms == g])) for g in range(len(GROUPS))])
    shares = np.bincount(arms, minlength=len(GROUPS)) / len(arms)
    tables, covariances = [], []
    for means in (plain, adjusted):
        values, covariance = _levels(means, sample, quantities, payment)
        covariances.append(covariance)
        tables.append(_table(counts, shares, values, covariance, quantities))
    return GroupEconomics(
        unadjusted=tables[0],
        adjusted=tables[1],
        covariance=covariances[1],
        overlap=adjusted.overlap,
        unadjusted_covariance=covariances[0],
        payment=payment,
        refused=refused,
    )


def per_presence(means: Floats, payment: Counted) -> Floats:
    """Turn means per customer (retention first) into retention and money per presence."""
    r = means[..., :1]
    presence = r if payment == "end" else (1 + r) / 2
    levels: Floats = np.concatenate([r, means[..., 1:] / presence], axis=-1)
    return levels


def per_presence_slopes(levels: Floats, influence: Floats, payment: Counted) -> Floats:
    """Carry influence on means over to `levels`, what `per_presence` made of them."""
    r, slope = levels[..., :1], 1.0 if payment == "end" else 0.5
    presence = r if payment == "end" else (1 + r) / 2
    left, money = influence[..., :1], influence[..., 1:]
    moved: Floats = np.concatenate(
        [left, (money - levels[..., 1:] * slope * left) / presence], axis=-1
    )
    return moved


def check_support(names: Sequence[str], arms: Ints, stayed: Any, customers: Ints) -> None:
    """Refuse arms with too few customers, leavers or stayers, naming all that is missing."""
    missing = []
    for arm, name in enumerate(names):
        member = arms == arm
        size = len(np.unique(customers[member]))
        left = len(np.unique(customers[member & ~stayed]))
        kept = len(np.unique(customers[member & stayed]))
        if size < MIN_GROUP:
            missing.append(f"{MIN_GROUP} {name}s (there are {size})")
        elif left < MIN_LEFT:
            missing.append(f"{MIN_LEFT} {name}s who left (there are {left})")
        elif kept < MIN_LEFT:
            missing.append(f"{MIN_LEFT} {name}s who stayed (there are {kept})")
    if missing:
        raise DataError(
            f"the worth of {', '.join(f'{name}s' for name in names)} cannot be told from this "
            f"data; it needs at least {'; '.join(missing)}. Collect more answers or take a longer "
            "period."
        )


def too_few(names: Sequence[str], arms: Ints, values: Floats, customers: Ints) -> str:
    """Say which arms have too few customers with anything of a quantity; empty if none."""
    found = {
        name: len(np.unique(customers[(arms == arm) & (values != 0)]))
        for arm, name in enumerate(names)
    }
    few = [f"{name}s ({n})" for name, n in found.items() if n < MIN_EVENTS]
    if not few:
        return ""
    return f"needs {MIN_EVENTS} customers with any in each group; too few {', '.join(few)}"


def _check_columns(frame: Any, names: list[str]) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"group economics: expected a DataFrame, got {type(frame).__name__}.")
    absent = [str(name) for name in names if name not in frame.columns]
    if absent:
        raise DataError(f"group economics: the table has no column {', '.join(absent)}.")
    if not frame.columns.is_unique:
        raise DataError("group economics: expected every column of the table once.")
    if len(frame) == 0:
        raise DataError("group economics: expected answers to a survey, the table has no rows.")


def _check_covariates(frame: pd.DataFrame, covariates: Any, used: list[str]) -> None:
    listed = isinstance(covariates, Sequence | pd.Index) and not isinstance(covariates, str)
    if not listed or not len(covariates) or not {*covariates} <= {*frame.columns}:
        raise DataError("covariates: expected a list of one or more columns of the table.")
    if both := [str(name) for name in covariates if name in used]:
        raise DataError(
            f"covariates: {', '.join(both)} is the group, an outcome or the customer; adjust only "
            "for what was known before the answer."
        )


def _customers(frame: pd.DataFrame, customer: str | None) -> Ints:
    if customer is None:
        repeated = int(frame.index.duplicated().sum())
        if repeated:
            raise DataError(
                f"group economics: expected one row per customer; {repeated} rows repeat the index "
                "of another. Name the column of the customer with customer=."
            )
        return np.arange(len(frame))
    try:
        codes, _ = pd.factorize(frame[customer])
    except TypeError:
        raise DataError(f"{customer}: expected an id of the customer in every row.") from None
    if (codes < 0).any():
        raise DataError(f"{customer}: expected a customer in every row, {(codes < 0).sum()} lack.")
    return np.asarray(codes, dtype=np.int64)


def _arms(frame: pd.DataFrame, group: str) -> Ints:
    names = frame[group].astype("object")
    codes = names.map(
        lambda name: GROUPS.index(name) if isinstance(name, str) and name in GROUPS else -1
    ).to_numpy()
    strange = int((codes < 0).sum())
    if strange:
        raise DataError(
            f"{group}: expected promoter, passive or detractor; {strange} of {len(frame)} rows "
            "have something else. Use nps_group and leave out customers without an answer."
        )
    return np.asarray(codes, dtype=np.int64)


def _stayed(frame: pd.DataFrame, retained: str) -> Any:
    if frame[retained].isna().any() or not frame[retained].isin([True, False]).all():
        raise DataError(f"{retained}: expected True or False in every row.")
    return frame[retained].astype(bool).to_numpy()


def _money(frame: pd.DataFrame, column: str, stayed: Any, payment: Counted, cost: bool) -> Floats:
    low = 0.0 if cost else -np.inf
    if payment == "through":
        return in_range(column, frame[column], low)
    money = np.zeros(len(frame))
    money[stayed] = in_range(f"{column} of retained customers", frame.loc[stayed, column], low)
    return money


def _levels(
    means: Means, sample: Sample, quantities: list[str], payment: Counted
) -> tuple[Floats, pd.DataFrame]:
    retention = means.values[:, 0]
    if (retention <= 0).any() or (retention >= 1).any():
        raise DataError("adjusted retention is not between 0 and 1: too few customers left.")
    levels = per_presence(means.values, payment)
    influence = per_presence_slopes(levels, means.influence, payment)
    rows = len(influence)
    summed = sample.by_customer(influence.reshape(rows, -1))
    labels = pd.MultiIndex.from_product([GROUPS, quantities])
    matrix = covariance_of(summed, rows)
    return levels, pd.DataFrame(matrix, index=labels, columns=labels)


def _table(
    counts: Ints, shares: Floats, values: Floats, covariance: pd.DataFrame, quantities: list[str]
) -> pd.DataFrame:
    errors = np.sqrt(np.diag(covariance)).reshape(values.shape)
    table = pd.DataFrame({"n": counts, "share": shares}, index=pd.Index(GROUPS, name="group"))
    for k, name in enumerate(quantities):
        table[name], table[f"{name}_se"] = values[:, k], errors[:, k]
    return table
