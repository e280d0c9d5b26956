"""What the gate needs to judge a trained model: its champion, the money, the segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from cxpredict.config import Config
from cxpredict.config.reading import nearest
from cxpredict.config.value import OfferSettings
from cxpredict.data.log import CustomerLog
from cxpredict.errors import ConfigError, CxPredictError
from cxpredict.features.build import build_features
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.registry.tracking import Store
from cxpredict.jobs.registry.versions import champion_of
from cxpredict.jobs.results import TrainedModel
from cxpredict.jobs.scoring.money import value_if_kept
from cxpredict.jobs.training.gate import promotion_gate
from cxpredict.jobs.training.rows import Rows
from cxpredict.value.profit import expected_gain

MOST_VALUES = 10
"""Numbers of more values than this are cut into quarters."""


def decide(
    config: Config,
    store: Store,
    log: CustomerLog,
    trained: TrainedModel,
    test_rows: Rows,
) -> TrainedModel:
    """Ask the gate about a trained model; a refusal becomes a note that every reader meets."""
    index = test_rows.outcome.index
    version, champion, unscored = _champion_risk(store, log, trained.bundle, index)
    worth = None
    if trained.bundle.kind == "churn" and config.value is not None and config.offer is not None:
        worth = value_if_kept(log, index, config.value)

    def gain(risk: pd.Series | None) -> pd.Series | None:
        if risk is None or worth is None or config.offer is None:
            return None
        return realised_gain(risk, test_rows.outcome, worth=worth, offer=config.offer)

    brought = gain(trained.risk)
    used = {*trained.bundle.model.feature_names_in_, "(rows)"}
    decision = promotion_gate(
        test_rows.outcome,
        trained.risk,
        champion=champion,
        unscored=unscored,
        gain=brought,
        gain_champion=gain(champion),
        segments=segments_of(config.gate.segments, test_rows.X, log),
        leaks=[n for n in trained.audit.high if n in used and n not in config.audit.accept],
        weights=test_rows.weights,
        settings=config.gate,
    )
    notes = trained.notes
    if not decision.passed:
        notes += (
            "The promotion gate refused this version, so it is not scored as champion: "
            f"{'; '.join(decision.refusals)}.",
        )
    return replace(trained, gate=decision, notes=notes, gain=brought, judged_against=version)


def realised_gain(
    risk: pd.Series, outcome: pd.Series, *, worth: pd.Series, offer: OfferSettings
) -> pd.Series:
    """Count what contacting whom the risk selects would have brought, given what happened.

    Parameters
    ----------
    risk : Series
        Predicted probability of churn.
    outcome : Series
        1 for customers who left, 0 for those who stayed; nobody was contacted.
    worth : Series
        Money a kept customer is worth; customers of unknown worth are not contacted.
    offer : OfferSettings
        Costs and acceptance, which are assumed.

    Returns
    -------
    Series
        Money per row: where the expected gain of contacting is above 0, the gain with the outcome
        in place of the probability; 0 elsewhere.

    Examples
    --------
    >>> offer = OfferSettings(contact_cost=1.0, incentive=10.0, acceptance=0.3, holdout_share=0.1)
    >>> risk, left = pd.Series([0.9, 0.9, 0.0]), pd.Series([1.0, 0.0, 1.0])
    >>> realised_gain(risk, left, worth=pd.Series([200.0, 200.0, 200.0]), offer=offer).tolist()
    [56.0, -11.0, 0.0]
    """
    known = worth.notna().to_numpy()
    terms = {
        "value": worth.to_numpy()[known],
        "incentive": offer.incentive,
        "contact_cost": offer.contact_cost,
        "acceptance": offer.mean_acceptance,
    }
    gain = np.zeros(len(risk))
    chosen = expected_gain(risk.to_numpy()[known], **terms) > 0
    gain[known] = np.where(chosen, expected_gain(outcome.to_numpy()[known], **terms), 0.0)
    return pd.Series(gain, index=risk.index)


def check_segments(names: Sequence[str], X: pd.DataFrame, log: CustomerLog) -> None:
    """Refuse segments that are neither a feature nor an attribute of customers."""
    known = [*X.columns, *log.customers.columns]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"gate.segments: there is no feature and no attribute {name!r}"
                f"{nearest(name, known)}"
            )


def _champion_risk(
    store: Store, log: CustomerLog, bundle: Bundle, index: pd.MultiIndex
) -> tuple[str, pd.Series | None, str]:
    """Score the test rows with the present champion; say why where that cannot be done."""
    version = ""
    try:
        champion = champion_of(store, bundle.name)
        if champion is None:
            return version, None, ""
        version = champion.version
        if champion.problem.settings != bundle.problem.settings:
            return version, None, "it predicts another outcome"
        known = champion.read_comments(log)
        X = build_features(known, index, aggregates=champion.aggregates, exclude=champion.exclude)
        return version, champion.risk(X)["probability"], ""
    except CxPredictError as error:
        return version, None, str(error).splitlines()[0].rstrip(".")


def segments_of(names: Sequence[str], X: pd.DataFrame, log: CustomerLog) -> pd.DataFrame | None:
    """Look up the segments of rows; numbers of many values are cut into quarters."""
    if not names:
        return None
    customers = X.index.get_level_values("customer_id")
    missing = [name for name in names if name not in X]
    found = {name: X[name] for name in names if name in X}
    if missing:
        table = log.customers.select("customer_id", *missing).to_pandas().set_index("customer_id")
        found |= {name: table[name].reindex(customers).set_axis(X.index) for name in missing}
    return pd.DataFrame({name: _grouped(found[name]) for name in names}, index=X.index)


def _grouped(values: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > MOST_VALUES:
        return pd.qcut(values.astype("float64"), 4, duplicates="drop").astype("object")
    return values.astype("object")
