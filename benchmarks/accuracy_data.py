"""The real tables of ``benchmarks/accuracy.py``, without their leaks, and the folds.

`load` gives a table as users have it: numbers, flags and text, and a label of 0 and 1. Left out
are ids, costs, and what is the label in other words or known only after it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy_simulated import SIMULATED
from sklearn.model_selection import StratifiedKFold

N_FOLDS = 5
SHUFFLE_SEED = 7


@dataclass(frozen=True)
class Source:
    """A flat file with a label.

    Parameters
    ----------
    file : str
        Name of the file, without its ending.
    label : str
        Column of the label.
    churned : str or int
        Value of the label for those who left (or, of `hillstrom`, came).
    drop : tuple of str
        Columns no model may see.
    numbers : tuple of str
        Columns of numbers that come as text.
    """

    file: str
    label: str
    churned: str | int = 1
    drop: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()


TELCO_LEAKS = (
    "Churn Label",
    "Churn Score",
    "Churn Category",
    "Churn Reason",
    "Customer Status",
    "Satisfaction Score",
)
SOURCES = {
    "telco_classic": Source(
        "telco_classic", "Churn", "Yes", drop=("customerID",), numbers=("TotalCharges",)
    ),
    "telco_1113": Source("telco_1113_merged", "Churn Value", drop=("Customer ID", *TELCO_LEAKS)),
    "bank_churn_records": Source(
        "bank_churn_records", "Exited", drop=("RowNumber", "CustomerId", "Surname", "Complain")
    ),
    "churn_tv": Source("churn_tv", "target", drop=("id", "C_FP", "C_FN", "C_TP", "C_TN")),
    "hillstrom": Source("hillstrom", "visit", drop=("conversion", "spend")),
}
JUDGED = ("telco_classic", "telco_1113", "bank_churn_records", "churn_tv")
"""The sets that have bars; the others are information."""
CALIBRATED = ("telco_classic", "telco_1113", "bank_churn_records")
"""The sets that have a bar for the calibration error."""
REFERENCE_LOSS = {
    "telco_classic": 0.4125,
    "telco_1113": 0.3286,
    "bank_churn_records": 0.3325,
    "churn_tv": 0.1785,
}
"""Log loss of five early-stopped LightGBM models, measured once elsewhere with settings not known:
those of `accuracy_contenders` come near, no one setting that was tried meets all four."""
FOLD_0_LOSS = {"catboost": 0.3121, "autogluon": 0.3170}
"""Mean log loss of the four sets on fold 0, measured elsewhere too (AutoGluon maybe with nets)."""
SETS = (*SOURCES, *SIMULATED)


def load(name: str, data: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Return features and label (0 or 1) of a real or simulated table."""
    if name in SIMULATED:
        return SIMULATED[name]()
    source = SOURCES[name]
    table = pd.read_parquet(Path(data) / f"{source.file}.parquet")
    y = (table[source.label] == source.churned).astype(int).rename("churned")
    X = table.drop(columns=[source.label, *source.drop])
    for column in source.numbers:
        X[column] = pd.to_numeric(X[column], errors="coerce")
    return X, y


def folds_of(y: pd.Series) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return positions of training and test rows, five times."""
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=SHUFFLE_SEED)
    return list(folds.split(np.zeros(len(y)), y))
