"""What a model loses without a feature: two small boosters on folds of customers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from cxpredict.features.audit.checks import Finding
from cxpredict.features.audit.power import Codes, FeaturePower, Floats, as_numbers, weighted_auc

MAX_LEVELS = 255
MAX_REFITS = 20
REFIT_ROWS = 10_000
TREES = 40
PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.15,
    "num_leaves": 15,
    "min_data_in_leaf": 20,
    "max_bin": 63,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True)
class RefitColumn:
    """One feature as the booster reads it: numbers, or integer codes of categories."""

    values: Floats | Codes
    is_category: bool

    @classmethod
    def read(cls, column: pd.Series, reading: str, read: Mapping[str, Codes]) -> Self:
        """Take a column as numbers, or by the codes of its most telling reading."""
        numbers = as_numbers(column)
        if numbers is not None and reading not in ("last digit", "text pattern"):
            return cls(numbers, is_category=False)
        return cls(read[reading], is_category=True)

    @property
    def usable(self) -> bool:
        """Whether a booster can learn from it: not for categories of very many levels."""
        return not self.is_category or int(self.values.max()) < MAX_LEVELS


def questions(
    findings: list[Finding], powers: Mapping[str, FeaturePower]
) -> tuple[list[str], list[str], tuple[str, ...]]:
    """Choose the features to price.

    Parameters
    ----------
    findings : list of Finding
    powers : mapping of str to FeaturePower
        Of every feature.

    Returns
    -------
    asked : list of str
        Suspicious features, the strongest first, at most ``MAX_REFITS``.
    plain : list of str
        Features beyond suspicion.
    notes : tuple of str
        A note when the list was cut short.
    """
    high = {found.feature for found in findings if found.severity == "high"}
    judged = high | {found.feature for found in findings if found.measures_power}
    ids = {found.feature for found in findings if found.check == "identifier"}
    asked = sorted(judged, key=lambda name: (name not in high, -powers[name].auc, str(name)))
    plain = [name for name in powers if name not in high | ids]
    if len(asked) <= MAX_REFITS:
        return asked, plain, ()
    return (
        asked[:MAX_REFITS],
        plain,
        (f"auc_lost measured for the {MAX_REFITS} strongest of {len(asked)} suspicious features",),
    )


def auc_lost(
    columns: Mapping[str, RefitColumn],
    plain: Sequence[str],
    asked: Sequence[str],
    target: Codes,
    fold: Codes,
) -> dict[str, float]:
    """Return the cross-validated AUC that each asked feature adds to the plain ones.

    Parameters
    ----------
    columns : mapping of str to RefitColumn
        All features.
    plain : sequence of str
        Features beyond suspicion: the base model.
    asked : sequence of str
        Features to price. One that is not plain is added to the base model, one that is plain is
        taken out of it.
    target, fold : ndarray of int64, shape (n,)

    Returns
    -------
    dict of str to float
        AUC with the feature minus AUC without it.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.arange(400) % 2
    >>> copy = RefitColumn(y.astype(float), is_category=False)
    >>> auc_lost({"copy": copy}, [], ["copy"], y, np.arange(400) // 100)
    {'copy': 0.5}
    """
    base = _cross_validated_auc(columns, plain, target, fold)
    lost = {}
    for name in asked:
        if name in plain:
            rest = [other for other in plain if other != name]
            lost[name] = base - _cross_validated_auc(columns, rest, target, fold)
        else:
            lost[name] = _cross_validated_auc(columns, [*plain, name], target, fold) - base
    return lost


def _cross_validated_auc(
    columns: Mapping[str, RefitColumn], names: Sequence[str], target: Codes, fold: Codes
) -> float:
    import lightgbm as lgb

    names = [name for name in names if columns[name].usable]
    if not names:
        return 0.5
    X = np.column_stack([columns[name].values for name in names]).astype(np.float64)
    categories = [place for place, name in enumerate(names) if columns[name].is_category]
    score = np.full(len(target), target.mean())
    for held_out in np.unique(fold):
        inside = fold != held_out
        if 0 < target[inside].sum() < inside.sum():
            data = lgb.Dataset(X[inside], target[inside], categorical_feature=categories)
            booster = lgb.train(PARAMETERS, data, num_boost_round=TREES)
            score[~inside] = booster.predict(X[~inside], num_threads=1)
    positive = target.astype(np.float64)
    return weighted_auc(score, positive, 1 - positive)
