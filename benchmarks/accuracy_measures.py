"""What ``benchmarks/accuracy.py`` measures of predictions, independent of the library judged."""

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata
from sklearn.metrics import log_loss, roc_auc_score

N_BINS = 15


def auc(y, p):
    return float(roc_auc_score(y, p))


def loss(y, p):
    return float(log_loss(y, p))


def calibration_error(y, p):
    """Return the ECE over 15 bins of equal mass; equal predictions share a bin."""
    y, p = np.asarray(y, dtype=float), np.asarray(p, dtype=float)
    bins = ((rankdata(p) - 0.5) / len(p) * N_BINS).astype(int).clip(max=N_BINS - 1)
    gaps = np.bincount(bins, y - p, minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(p))


def at_base_rate(p, before, after):
    """Shift log-odds by the change of the base rate's log-odds between two dates."""
    return expit(logit(np.clip(p, 1e-12, 1 - 1e-12)) + logit(after) - logit(before))


def most(name, value, bound, sign="<="):
    """Compare a value with a bound; nothing measured never holds."""
    value = float("nan") if value is None else float(value)
    holds = {"<=": value <= bound, "<": value < bound, ">=": value >= bound}[sign]
    return {
        "name": name,
        "value": float(f"{value:.5g}"),
        "bound": f"{sign} {bound:.5g}",
        "holds": bool(holds),
    }


def below(name, value, bound):
    return most(name, value, bound, "<")


def least(name, value, bound):
    return most(name, value, bound, ">=")
