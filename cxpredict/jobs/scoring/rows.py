"""From features to rows of the scores table, each on its own: no row depends on another."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cxpredict.action.targets import Offer, assign_arms, rank_targets
from cxpredict.config import Config
from cxpredict.data.log import CustomerLog
from cxpredict.drivers.explain import explain
from cxpredict.drivers.reasons import reasons_in_words
from cxpredict.features.build import build_features
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.scoring.money import offer_of, value_if_kept
from cxpredict.jobs.scoring.table import PROBABILITY, REASONS, schema
from cxpredict.value.customer_value import value_at_risk


def score_rows(
    bundle: Bundle,
    X: pd.DataFrame,
    *,
    worth: pd.Series | None = None,
    offer: Offer | None = None,
    holdout_share: float = 0.0,
    salt: str = "",
    reasons: bool = True,
) -> pd.DataFrame:
    """Score rows of features: risk, interval, band, money, reasons.

    Parameters
    ----------
    bundle : Bundle
        The model.
    X : DataFrame, index (customer_id, as_of)
        Features, aligned by name.
    worth : Series, optional
        Money a customer who stays brings, on the index of X; missing where it is unknown.
    offer : Offer, optional
        What those whom it pays to contact would get; needs `worth`.
    holdout_share : float in [0, 1]
        Share of those chosen who are not contacted.
    salt : str
        Name of the campaign, see `assign_arms`.
    reasons : bool
        Whether to explain; without, the reasons are missing.

    Returns
    -------
    DataFrame
        Columns as in `schema`, in the order of X.
    """
    risk = bundle.risk(X)
    columns: dict[Any, Any] = {name: X.index.get_level_values(name) for name in X.index.names}
    columns |= {name: risk[name].array for name in ("low", "high", "risk_band")}
    columns[PROBABILITY[bundle.kind]] = risk["probability"].array
    if bundle.kind == "churn":
        columns |= dict.fromkeys(("value_at_risk", "expected_gain"), float("nan"))
        columns |= dict.fromkeys(("action", "arm"))
    else:
        columns["expected_score"] = risk["expected_score"].array
    columns |= dict.fromkeys(REASONS)
    if reasons:
        columns |= {name: said.array for name, said in reasons_of(bundle, X).items()}
    columns["model_version"] = f"{bundle.name}/{bundle.version}"
    scores = pd.DataFrame(
        {name: columns[name] for name in schema(bundle.kind).names}, index=range(len(X))
    )
    if bundle.kind == "churn" and worth is not None:
        _add_money(scores, worth, offer, holdout_share, salt)
    return scores


def reasons_of(bundle: Bundle, X: pd.DataFrame) -> pd.DataFrame:
    """Say in words what raises the risk of each row most: the columns `REASONS`, index of X."""
    if bundle.basis is None:
        return explain(bundle.model, X).reasons(top=len(REASONS))
    values, _ = bundle.model.contributions(X)
    return reasons_in_words(values, X, bundle.basis, top=len(REASONS))


def _add_money(
    scores: pd.DataFrame,
    worth: pd.Series,
    offer: Offer | None,
    holdout_share: float,
    salt: str,
) -> None:
    known = worth.notna().to_numpy()  # what a customer is worth may be unknown: no money then
    risk = scores["churn_probability"].to_numpy()[known]
    value = worth.to_numpy()[known]
    scores.loc[known, "value_at_risk"] = value_at_risk(risk, value)
    if offer is None:
        return
    ranked = rank_targets(risk, value=value, offer=offer).sort_index()
    scores.loc[known, "expected_gain"] = ranked["expected_gain"].to_numpy()
    chosen = scores.index[known][ranked["selected"].to_numpy()]
    ids = scores.loc[chosen, "customer_id"]
    arms = assign_arms(ids, holdout_share=holdout_share, salt=salt)
    scores["action"] = "none"
    scores.loc[chosen, "arm"] = arms.astype("str")
    scores.loc[arms.index[arms == "treated"], "action"] = "contact"


def score_customers(
    bundle: Bundle, log: CustomerLog, index: pd.MultiIndex, config: Config
) -> pd.DataFrame:
    """Score customers of a log at dates, the highest risk first.

    Parameters
    ----------
    bundle : Bundle
        The model.
    log : CustomerLog
        The records.
    index : MultiIndex (customer_id, as_of)
        For whom and when.
    config : Config
        Its `value` and `offer` give the money columns; without them these are missing.

    Returns
    -------
    DataFrame
        Columns as in `schema`, sorted by descending probability, then customer.
    """
    known = bundle.read_comments(log)
    X = build_features(known, index, aggregates=bundle.aggregates, exclude=bundle.exclude)
    money = {}
    if bundle.kind == "churn" and config.value is not None:
        money["worth"] = value_if_kept(log, index, config.value)
    if config.offer is not None:
        money["offer"] = offer_of(config.offer)
        money["holdout_share"] = config.offer.holdout_share
        money["salt"] = config.name
    scores = score_rows(bundle, X, **money)
    order = [PROBABILITY[bundle.kind], "customer_id"]
    return scores.sort_values(order, ascending=[False, True], ignore_index=True)
