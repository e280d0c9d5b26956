"""The batch job: from a model and a log to one explained, valued row per customer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxpredict.action.targets import Offer, assign_arms, rank_targets
from cxpredict.config import Config, load_config
from cxpredict.config.value import BetaSettings, OfferSettings, ValueSettings
from cxpredict.data.log import CustomerLog
from cxpredict.drivers.explain import explain
from cxpredict.errors import ConfigError, DataError, EmptyDataError
from cxpredict.features.build import build_features
from cxpredict.jobs.bundle import Bundle
from cxpredict.jobs.publish import publishing, write_json
from cxpredict.jobs.records import open_records, write_rejects
from cxpredict.jobs.registry import load_bundle
from cxpredict.value.customer_value import customer_value, value_at_risk
from cxpredict.value.margins import margin_per_period
from cxpredict.value.profit import Beta

PROBABILITY = {"churn": "churn_probability", "satisfaction": "low_score_probability"}
LATEST_DAYS = 31
REASONS = ["reason_1", "reason_2", "reason_3"]


@dataclass(frozen=True)
class Scoring:
    """What a batch job did.

    Attributes
    ----------
    folder : Path
        Holds scores.parquet, rejects.parquet and manifest.json.
    scores : DataFrame
        One row per customer, as in scores.parquet.
    manifest : dict
        Digests of inputs, configuration and model; counts of rows.
    """

    folder: Path
    scores: pd.DataFrame
    manifest: dict[str, Any]


def score(
    config: str | Path | Config,
    *,
    model: str | Path,
    as_of: str | date,
    out: str | Path | None = None,
) -> Scoring:
    """Score all active customers of a log and publish the result atomically.

    Parameters
    ----------
    config : str, Path or Config
        The run whose sources are read.
    model : str or Path
        ``models:/name@champion``, ``models:/name/version`` or a bundle folder.
    as_of : str or date
        UTC, exclusive: nothing that was known later is used.
    out : str or Path, optional
        Folder that receives ``as_of=…/``; by default ``scores/<model>`` among the artifacts.

    Returns
    -------
    Scoring

    Raises
    ------
    EmptyDataError
        There is nobody to score; an empty, typed scores.parquet is published all the same.
    ConfigError, DataError, ModelError, PublishError
        As their names say; nothing is published.

    Notes
    -----
    No clock enters the result: the same inputs, configuration and model give the same bytes.
    """
    config = config if isinstance(config, Config) else load_config(config)
    day = _day(as_of)
    bundle = load_bundle(model, artifacts=config.path(config.artifacts))
    home = Path(out) if out else config.path(config.artifacts) / "scores" / bundle.name
    folder = home / f"as_of={day.date()}"
    try:
        log = open_records(config)
    except EmptyDataError:
        if not folder.exists():  # an empty file must not replace scores that were good
            _publish(folder, config, bundle, day, scores=empty_scores(bundle.kind), log=None)
        raise
    _check_day(log, day)
    index = bundle.problem.to_score(log, day)
    if not len(index):
        _publish(folder, config, bundle, day, scores=empty_scores(bundle.kind), log=log)
        raise EmptyDataError(f"no active customer at {day.date()}: nobody to score")
    scores = score_customers(bundle, log, index, config)
    manifest = _publish(folder, config, bundle, day, scores=scores, log=log)
    return Scoring(folder, scores, manifest)


def _day(as_of: str | date) -> pd.Timestamp:
    """Read a date without a time: a day has one folder of scores."""
    try:
        return pd.Timestamp(date.fromisoformat(str(as_of).removesuffix(" 00:00:00")))
    except ValueError as error:
        raise ConfigError(f"as_of: expected a date such as 2024-06-30, found {as_of!r}") from error


def _check_day(log: CustomerLog, day: pd.Timestamp) -> None:
    """Refuse to score long after the records end: everybody would look silent."""
    last = log.span[1]
    if pd.notna(last) and day > last + timedelta(days=LATEST_DAYS):
        raise DataError(
            f"as_of {day.date()} is more than {LATEST_DAYS} days after the records end "
            f"({last.date()}); give a date they cover"
        )


def score_customers(
    bundle: Bundle, log: CustomerLog, index: pd.MultiIndex, config: Config
) -> pd.DataFrame:
    """Score customers at dates: risk, interval, band, money, reasons.

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
    risk = bundle.risk(X)
    reasons = explain(bundle.model, X).reasons(top=len(REASONS))
    scores = index.to_frame(index=False)
    scores[PROBABILITY[bundle.kind]] = risk["probability"].to_numpy()
    for column in ("low", "high", "risk_band"):
        scores[column] = risk[column].to_numpy()
    if bundle.kind == "churn":
        _add_money(scores, log, index, config)
    else:
        scores["expected_score"] = risk["expected_score"].to_numpy()
    for column in REASONS:
        scores[column] = reasons[column].to_numpy()
    scores["model_version"] = f"{bundle.name}/{bundle.version}"
    order = [PROBABILITY[bundle.kind], "customer_id"]
    scores = scores.sort_values(order, ascending=[False, True], ignore_index=True)
    return scores[schema(bundle.kind).names]


def _add_money(
    scores: pd.DataFrame, log: CustomerLog, index: pd.MultiIndex, config: Config
) -> None:
    scores[["value_at_risk", "expected_gain"]] = float("nan")
    scores[["action", "arm"]] = None
    if config.value is None:
        return
    worth = value_if_kept(log, index, config.value).to_numpy()
    known = ~np.isnan(worth)  # what a customer is worth may be unknown: the money stays missing
    risk = scores["churn_probability"].to_numpy()[known]
    worth = worth[known]
    scores.loc[known, "value_at_risk"] = value_at_risk(risk, worth)
    if config.offer is None:
        return
    ranked = rank_targets(risk, value=worth, offer=offer_of(config.offer)).sort_index()
    scores.loc[known, "expected_gain"] = ranked["expected_gain"].to_numpy()
    chosen = scores.index[known][ranked["selected"].to_numpy()]
    arms = assign_arms(
        scores.loc[chosen, "customer_id"],
        holdout_share=config.offer.holdout_share,
        salt=config.name,
    )
    scores["action"] = "none"
    scores.loc[chosen, "arm"] = arms.astype("str")
    scores.loc[arms.index[arms == "treated"], "action"] = "contact"


def offer_of(settings: OfferSettings) -> Offer:
    """Make the offer that the configuration describes."""
    given = settings.acceptance
    return Offer(
        cost=settings.contact_cost,
        incentive=settings.incentive,
        acceptance=Beta(given.alpha, given.beta) if isinstance(given, BetaSettings) else given,
    )


def value_if_kept(log: CustomerLog, index: pd.MultiIndex, settings: ValueSettings) -> pd.Series:
    """Discount the margin that a customer who stays brings; missing where it is unknown."""
    margin = margin_per_period(log, index, settings).dropna()
    rate = (1 + settings.yearly_discount_rate) ** (settings.period_days / 365.25) - 1
    periods = settings.horizon_days // settings.period_days
    value = customer_value(margin, 1.0, periods=periods, discount_rate=rate, payment="end")
    return value.reindex(index)


def schema(kind: str) -> pa.Schema:
    """Columns of scores.parquet for ``churn`` or ``satisfaction``."""
    text, number = pa.string(), pa.float64()
    middle: Sequence[tuple[str, pa.DataType]] = (
        [("value_at_risk", number), ("expected_gain", number)]
        if kind == "churn"
        else [("expected_score", number)]
    )
    last = [("action", text), ("arm", text)] if kind == "churn" else []
    return pa.schema(
        [
            ("customer_id", text),
            ("as_of", pa.timestamp("us")),
            (PROBABILITY[kind], number),
            ("low", number),
            ("high", number),
            ("risk_band", text),
            *middle,
            *((reason, text) for reason in REASONS),
            *last,
            ("model_version", text),
        ]
    )


def empty_scores(kind: str) -> pd.DataFrame:
    """Make a scores table without rows, typed as any other."""
    return schema(kind).empty_table().to_pandas()


def _publish(
    folder: Path,
    config: Config,
    bundle: Bundle,
    day: pd.Timestamp,
    *,
    scores: pd.DataFrame,
    log: CustomerLog | None,
) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "as_of": str(day.date()),
        "model": f"{bundle.name}/{bundle.version}",
        "model_sha256": bundle.digest,
        "config_sha256": sha256(config.model_dump_json().encode()).hexdigest(),
        "inputs_sha256": dict(log.inputs) if log is not None else {},
        "rows": {"scored": len(scores)},
    }
    with publishing(folder) as new:
        pq.write_table(
            pa.Table.from_pandas(scores, schema=schema(bundle.kind), preserve_index=False),
            new / "scores.parquet",
        )
        if log is not None:
            write_rejects(log.rejects, new / "rejects.parquet")
            manifest["rows"]["sources"] = log.quality.to_dict("records")
            manifest["rows"]["rejected_by_rule"] = log.rules.drop(columns="first_rows").to_dict(
                "records"
            )
        write_json(new / "manifest.json", manifest)
    return manifest
