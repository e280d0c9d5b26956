"""The single checks of the leak audit; each returns findings, none of them decides to stop."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binom

from cxpredict.features.audit.power import Codes, FeaturePower, Floats, Rows, as_numbers
from cxpredict.features.origin import Origin

SURE_SHARE = 0.10  # of a class, found with a rate of .99: no honest single feature did that
LIKELY_SHARE = 0.25  # the same with a rate of .90
NEVER_SHARE = 0.50  # of the other class; 20 % (medium) is reached by contract terms
MIN_EXPECTED = 30  # of the class looked for, where (almost) none was seen
HONEST_ODDS = 20  # most by which an honest feature raises the odds for a tenth of a class
CHANCE = 0.001  # of seeing as many hits as seen from HONEST_ODDS
COPY_ERROR = 0.10  # of the error made by always guessing the larger class
MIN_CUSTOMERS = 100  # below it unique values are no sign of an identifier

ATTRIBUTE_ADVICE = "Attributes carry no date: use the value as it stood at as_of, or drop it."
TIMING_ADVICE = "Check that the value is known before as_of; drop it or accept it with a reason."


@dataclass(frozen=True)
class Finding:
    """One finding of the leak audit.

    Attributes
    ----------
    feature : str
        Name of the column, or ``"(rows)"`` when the finding is about rows.
    check : str
        Which check found it.
    severity : str
        ``"high"``, ``"medium"`` or ``"low"``.
    evidence : str
        What was measured, in numbers; never a customer's value.
    advice : str
        What to do.
    measures_power : bool
        Whether the finding is about what the feature tells alone, so that its price is worth
        measuring.
    """

    feature: str
    check: str
    severity: str
    evidence: str
    advice: str
    measures_power: bool = False


def suspicious_power(
    name: str, powers: list[FeaturePower], *, high: float, medium: float
) -> list[Finding]:
    """Judge what one feature alone tells about the label; the strongest reading counts.

    Parameters
    ----------
    name : str
        Feature.
    powers : list of FeaturePower
        One for each reading of the column (and for each class looked for).
    high, medium : float
        AUC from which on a single feature is too good to be honest, or worth a look.

    Returns
    -------
    list of Finding
        One at most: a copy before settled rows before AUC, high before medium.

    Notes
    -----
    High: AUC ≥ ``high`` (and three standard errors above .80, so that a handful of positives
    convicts nobody); or values that alone single out ≥ 10 % of a class with a rate of
    ≥ .99, or ≥ 25 % with ≥ .90, and more often than 20-fold odds explain (binomial, .001); or
    values that clear ≥ 50 % of the commoner class (medium from 20 %) with a rate below a hundredth
    of the overall one.
    A strong honest feature moves rates, it does not settle them: between two normal groups with an
    AUC of .80 the odds for the uppermost tenth of a class rise 15-fold.
    """
    ordered = sorted(powers, key=lambda power: power.reading != "missing")
    strongest = max(powers, key=lambda power: power.auc)
    verdicts = [_label_copy(power, high) for power in ordered]
    verdicts += [_settled_rows(power) for power in ordered]
    verdicts.append(_auc_alone(strongest, high, medium))
    for severity in ("high", "medium"):
        for verdict in verdicts:
            if verdict and verdict[1] == severity:
                return [Finding(name, *verdict, TIMING_ADVICE, measures_power=True)]
    return []


def _auc_alone(power: FeaturePower, high: float, medium: float) -> tuple[str, str, str] | None:
    if power.auc < medium:
        return None
    leaking = power.auc >= high and power.auc - 3 * power.auc_error > 0.80
    evidence = (
        f"AUC {power.auc:.3f} ± {power.auc_error:.3f} from {_what(power)} alone "
        f"(high from {high:.2f}, worth a look from {medium:.2f})"
    )
    return "single-feature power", "high" if leaking else "medium", evidence


def _label_copy(power: FeaturePower, high: float) -> tuple[str, str, str] | None:
    guess = max(power.base, 1 - power.base)
    if power.auc < high or 1 - power.accuracy > COPY_ERROR * (1 - guess):
        return None
    check = "missingness" if power.reading == "missing" else "label copy"
    evidence = (
        f"{_what(power)} alone gives the label right in {power.accuracy:.2%} of rows "
        f"(always guessing the larger class: {guess:.2%}); AUC {power.auc:.3f}"
    )
    return check, "high", evidence


def _what(power: FeaturePower) -> str:
    return "being filled in or not" if power.reading == "missing" else f"its {power.reading}"


def _settled_rows(power: FeaturePower) -> tuple[str, str, str] | None:
    check = "missingness" if power.reading == "missing" else "settled by its value"
    for rows, share, rate in (
        (power.certain, SURE_SHARE, 0.99),
        (power.likely, LIKELY_SHARE, 0.90),
    ):
        if rows.share >= share and rows.rate >= rate and _beyond_honest(rows, power.base):
            evidence = (
                f"{rows.count:,.0f} rows hold {rows.share:.1%} of the {power.looked_for} at a rate "
                f"of {rows.rate:.2%} (overall {power.base:.2%}); AUC {power.auc:.3f}"
            )
            return check, "high", evidence
    never, expected = power.never, power.never.count * power.base
    if power.base > 0.5 or never.share < 0.20 or expected < MIN_EXPECTED:
        return None
    if never.rate > power.base / 100:
        return None
    evidence = (
        f"{never.count:,.0f} rows hold {never.rate * never.count:,.0f} {power.looked_for} where "
        f"the overall rate of {power.base:.2%} gives {expected:,.0f}; AUC {power.auc:.3f}"
    )
    return check, "high" if never.share >= NEVER_SHARE else "medium", evidence


def _beyond_honest(rows: Rows, base: float) -> bool:
    raised = HONEST_ODDS * base / (1 - base)
    hits = round(rows.count * rows.rate)
    return bool(binom.sf(hits - 1, rows.count, raised / (1 + raised)) < CHANCE)


def time_travel(X: pd.DataFrame, origins: Mapping[str, Origin]) -> list[Finding]:
    """Find features that look past their date.

    Parameters
    ----------
    X : DataFrame
        Features; dates are compared with the index level ``as_of`` when there is one.
    origins : mapping of str to Origin

    Returns
    -------
    list of Finding
        High for a negative age (days since, tenure), medium for dates on or after as_of, which
        may be known beforehand (the end of a contract).
    """
    found = []
    for name, origin in origins.items():
        if origin.measure in ("days_since", "tenure") and name in X:
            values = as_numbers(X[name])
            negative = 0 if values is None else int((values < 0).sum())
            if negative:
                evidence = f"{negative:,} of {len(X):,} rows are negative: the event lies ahead"
                found.append(Finding(name, "time travel", "high", evidence, TIMING_ADVICE))
    if "as_of" in X.index.names:
        as_of = pd.to_datetime(pd.Series(X.index.get_level_values("as_of"), index=X.index))
        for name in X.columns:
            if pd.api.types.is_datetime64_any_dtype(X[name]):
                ahead = _seconds(X[name]) >= _seconds(as_of)
                if ahead.any():
                    evidence = f"{int(ahead.sum()):,} of {len(X):,} rows hold a date past as_of"
                    found.append(Finding(name, "time travel", "medium", evidence, TIMING_ADVICE))
    return found


def _seconds(dates: pd.Series) -> Floats:
    seconds = as_numbers(dates)
    return np.full(len(dates), np.nan) if seconds is None else seconds


def identifiers(X: pd.DataFrame, customers: Codes) -> list[Finding]:
    """Find columns that name a customer or number the rows.

    Parameters
    ----------
    X : DataFrame
    customers : ndarray of int64, shape (n,)
        Customer of each row.

    Returns
    -------
    list of Finding
        Medium for text and for gapless numbering, low for other integers that are unique.
    """
    units = len(np.unique(customers))
    found = []
    for name in X.columns if units >= MIN_CUSTOMERS else ():
        column = X[name]
        if column.nunique() < 0.95 * units or not _constant_within(column, customers):
            continue
        numbers = as_numbers(column)
        kind, severity = "text", "medium"
        if numbers is not None:
            if np.isnan(numbers).any() or (numbers != np.floor(numbers)).any():
                continue
            gapless = numbers.max() - numbers.min() < 1.05 * units
            kind, severity = ("gapless numbers", "medium") if gapless else ("integers", "low")
        evidence = f"{column.nunique():,} different {kind} for {units:,} customers"
        advice = "Leave identifiers out: a model can only memorise them."
        found.append(Finding(name, "identifier", severity, evidence, advice))
    return found


def _constant_within(column: pd.Series, customers: Codes) -> bool:
    values, _ = pd.factorize(column, use_na_sentinel=False)
    pairs = np.unique(customers * (int(values.max()) + 1) + values)
    return len(pairs) <= 1.05 * len(np.unique(customers))


def redundant(X: pd.DataFrame, readings: Mapping[str, Codes]) -> list[Finding]:
    """Find constant columns and columns that repeat an earlier one.

    Parameters
    ----------
    X : DataFrame
    readings : mapping of str to ndarray of int64
        Value codes of every column, as `cxpredict.features.audit.power.readings` makes them.

    Returns
    -------
    list of Finding
        All of severity low.
    """
    found: list[Finding] = []
    seen: dict[bytes, str] = {}
    for name in X.columns:
        if len(np.unique(readings[name])) == 1:
            advice = "Drop it: it cannot tell customers apart."
            found.append(Finding(name, "constant", "low", "the same value in every row", advice))
            continue
        numbers = as_numbers(X[name])
        first_seen = pd.factorize(readings[name])[0]  # equal up to the names of the levels
        key = (first_seen if numbers is None else numbers).tobytes()
        if key in seen:
            evidence, advice = f"repeats {seen[key]}", "Drop one of the two."
            found.append(Finding(name, "duplicate feature", "low", evidence, advice))
        seen.setdefault(key, name)
    return found
