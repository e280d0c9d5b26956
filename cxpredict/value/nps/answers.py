"""Answers of one group of customers as numbers: −1, 0, 1, their weights, and who gave them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.data.checks import Floats, common_index, in_range, one_per_row
from cxpredict.errors import DataError

Codes = npt.NDArray[np.intp]
CUSTOMER = "customer_id"
"""Index level that names the customer of each row."""


@dataclass(frozen=True)
class Answers:
    """Answers of one group.

    Parameters
    ----------
    x : ndarray, shape (n,)
        1 for promoters, 0 for passives, −1 for detractors.
    w : ndarray, shape (n,)
        Positive weights.
    customer : ndarray of int, shape (n,)
        Code of the customer who gave each answer, 0 and up without gaps.
    """

    x: Floats
    w: Floats
    customer: Codes

    @property
    def mean(self) -> float:
        """NPS as a share, −1 to 1."""
        return float(np.average(self.x, weights=self.w))

    @property
    def shares(self) -> list[float]:
        """Weighted shares of promoters, passives and detractors."""
        return [float(self.w[self.x == sign].sum() / self.w.sum()) for sign in (1, 0, -1)]

    @property
    def n_customers(self) -> int:
        """Different customers among the answers."""
        return int(self.customer.max()) + 1

    @property
    def n_eff(self) -> float:
        """Independent, equally weighted answers that are worth as much."""
        return float(self.w.sum() ** 2 / (self.w**2).sum()) / self.repetition

    @property
    def repetition(self) -> float:
        """Growth of the variance because customers answered more than once; 1 if nobody did."""
        if self.n_customers == len(self.x):
            return 1.0
        own = self.errors
        if not own.any():
            own = self.w  # all agree: count customers instead of answers
        return max(1.0, float((np.bincount(self.customer, own) ** 2).sum() / (own**2).sum()))

    @property
    def errors(self) -> Floats:
        """Each answer's part of the error of the mean, shape (n,)."""
        part: Floats = self.w * (self.x - self.mean) / self.w.sum()
        return part

    def sums(self, customer: Codes, n_customers: int = 0) -> Floats:
        """Return Σwx and Σw of each customer, shape (customers, 2)."""
        columns = [np.bincount(customer, own, n_customers) for own in (self.w * self.x, self.w)]
        return np.column_stack(columns)

    def part(self, rows: Any) -> "Answers":
        """Return the answers of some rows, customers counted anew."""
        _, customer = np.unique(self.customer[rows], return_inverse=True)
        return Answers(self.x[rows], self.w[rows], customer)


def signs(scores: Any) -> Floats:
    """Return 1 for promoters, 0 for passives, −1 for detractors (and for missing scores 0)."""
    values = np.asarray(scores, dtype=float)
    array: Floats = (values >= 9).astype(float) - (values <= 6).astype(float)
    return array


def row_weights(weights: Any, scores: Any, n: int) -> Floats:
    """Return one positive weight per row, the largest 1, or refuse."""
    if weights is None:
        return np.ones(n)
    common_index(weights=weights, scores=scores)
    one_per_row("weights", weights, n, "scores")
    w = in_range("weights", weights, 0.0)
    if not n:
        return w
    if (w == 0).any():
        raise DataError(f"weights: {int((w == 0).sum())} are 0. Leave these rows out.")
    scaled: Floats = w / w.max()  # squares of 1e160 would be infinite
    return scaled


def row_customers(customers: Any, scores: Any, n: int, name: str = "customers") -> Any:
    """Return the customer of each row; from the index if it names them; None if unknown."""
    if customers is None:
        index = getattr(scores, "index", None)
        if not isinstance(index, pd.Index) or CUSTOMER not in index.names:
            return None
        customers = index.get_level_values(CUSTOMER)
    else:
        common_index(**{name: customers, "scores": scores})
    one_per_row(name, customers, n, "scores")
    ids = pd.Series(customers).reset_index(drop=True)
    if ids.isna().any():
        raise DataError(
            f"{name}: {int(ids.isna().sum())} of {n} rows have no customer. Leave these rows out, "
            "or give each of them an id of its own."
        )
    return ids.astype("object")


def codes(ids: Any, n: int) -> Codes:
    """Return a code for each row's customer; every row its own if customers are not known."""
    return np.arange(n) if ids is None else np.asarray(pd.factorize(ids)[0], dtype=np.intp)
