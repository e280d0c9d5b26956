"""Who is champion: the alias moves only through the gate, and says why, by whom and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxpredict.config import Config, load_config
from cxpredict.config.gate import GateSettings
from cxpredict.errors import ConfigError, ModelError
from cxpredict.jobs.registry.evaluations import read_evaluation
from cxpredict.jobs.registry.recording import GATE_CHAMPION
from cxpredict.jobs.registry.tracking import Store, registered
from cxpredict.jobs.training.gate import promotion_gate

_LONGEST_NAME = 200


@dataclass(frozen=True)
class Promotion:
    """What became of the alias.

    Attributes
    ----------
    name : str
        Registered model.
    version : str
        Its champion now.
    former : str or None
        The champion before, now ``archived``; None if there was none, or nothing changed.
    reason : str
        Why the version may be champion.
    """

    name: str
    version: str
    former: str | None
    reason: str


def promote(
    config: str | Path | Config,
    name: str,
    *,
    by: str,
    version: str | int | None = None,
    note: str = "",
) -> Promotion:
    """Make a version champion if the gate lets it pass; the former champion is archived.

    Parameters
    ----------
    config : str, Path or Config
        The run: its artifacts hold the registry, its `gate` the bounds.
    name : str
        Registered model, such as ``demo-churn``.
    by : str
        Who decided, as it shall stand in the registry; the system is not asked.
    version : str or int, optional
        By default the one with the alias ``challenger``.
    note : str, optional
        What else shall stand beside the gate's reason.

    Returns
    -------
    Promotion

    Raises
    ------
    ModelError
        There is no such version; the gate refused it; it was judged against another champion than
        today's and cannot be held against this one, or is worse; or the champion changed while
        this call waited: of several promotions at once, one wins.
    ConfigError
        `by` is empty or longer than a name.
    PublishError
        The registry cannot be written.

    Notes
    -----
    Training recorded the gate's decision and the champion it was made against. If another version
    is champion today, the gate is asked again, about the evaluation tables of both: where their
    test rows are the same, ranking, base rate, log loss, calibration and gain are compared anew,
    with intervals from customers drawn with replacement. Segments and leaks are not in these
    tables; for them the decision at training stands. Other test rows cannot be compared: train
    again with the configuration of the version, which keeps it and records a decision against
    today's champion.

    The version has the tags ``promoted.by``, ``promoted.at``, ``promoted.over`` and
    ``promoted.reason`` afterwards, the former champion ``archived.by``, ``archived.at`` and
    ``archived.for``.
    """
    config = config if isinstance(config, Config) else load_config(config)
    if not by.strip() or len(by) > _LONGEST_NAME or len(by.splitlines()) > 1:
        raise ConfigError(f"by: expected the name of who decides, in 1 to {_LONGEST_NAME} letters")
    store = Store(config.path(config.artifacts))
    expected = _aliases(store, name).get("champion")
    with store.writing():
        aliases = _aliases(store, name)
        champion = aliases.get("champion")
        chosen = _version(store.client, name, version, aliases)
        if champion == str(chosen.version):
            return Promotion(name, champion, None, "it is champion already")
        if champion != expected:
            raise ModelError(
                f"{name}: version {champion} became champion meanwhile; promote again if version "
                f"{chosen.version} shall take its place"
            )
        reason = _check(store.client, chosen, champion, config.gate)
        reason = f"{reason}. {note.strip()}" if note.strip() else reason
        _move(store.client, chosen, champion, by=by.strip(), reason=reason)
    return Promotion(name, str(chosen.version), champion, reason)


def _aliases(store: Store, name: str) -> dict[str, str]:
    if not store.database.is_file():
        raise ModelError(f"{name}: no model store under {store.folder.name}/; train first")
    found = registered(store.client, name)
    if found is None:
        raise ModelError(f"{name}: no such model in the registry; train first")
    return {alias: str(number) for alias, number in found.aliases.items()}


def _version(client: Any, name: str, version: str | int | None, aliases: dict[str, str]) -> Any:
    number = aliases.get("challenger") if version is None else str(version)
    if number is None:
        raise ModelError(f"{name}: no version is challenger; train one or name a version")
    found = client.search_model_versions(f"name = '{name}'")
    chosen = next((each for each in found if str(each.version) == number), None)
    if chosen is None:
        known = ", ".join(sorted((str(each.version) for each in found), key=int)[-5:])
        raise ModelError(f"{name}: no version {number}; the latest are {known}")
    return chosen


def _check(client: Any, chosen: Any, champion: str | None, settings: GateSettings) -> str:
    """Say why a version may be champion, or refuse it."""
    title = f"{chosen.name}: version {chosen.version}"
    decided, against = chosen.tags.get("gate"), chosen.tags.get(GATE_CHAMPION)
    if decided == "refused":
        raise ModelError(f"{title} did not pass the gate: {chosen.tags.get('gate.reason')}")
    if decided != "passed" or against is None:
        raise ModelError(f"{title} has no recorded decision of the gate; train it again")
    if champion is None:
        return "it passed the gate, and there was no champion"
    if against == champion:
        return f"it passed the gate against version {champion}, the champion until now"
    return _judge_again(client, chosen, champion, settings)


def _judge_again(client: Any, chosen: Any, champion: str, settings: GateSettings) -> str:
    """Ask the gate about the evaluation tables of a version and of today's champion."""
    title = f"{chosen.name}: version {chosen.version}"
    today = client.get_model_version(chosen.name, champion)
    mine, others = read_evaluation(client, chosen), read_evaluation(client, today)
    if mine is None or others is None or mine.digest != others.digest:
        raise ModelError(
            f"{title} passed the gate, but not against version {champion}, the champion of today, "
            "which was tested on other rows; train again with its configuration to have it judged"
        )
    both = "gain" in mine.table and "gain" in others.table
    decision = promotion_gate(
        mine.table["outcome"],
        mine.table["probability"],
        champion=others.table["probability"],
        groups=mine.table.get("customer"),
        weights=mine.table.get("weight"),
        gain=mine.table["gain"] if both else None,
        gain_champion=others.table["gain"] if both else None,
        settings=settings,
    )
    if not decision.passed:
        raise ModelError(f"{title} may not follow {champion}: {'; '.join(decision.refusals)}")
    return f"it passed the gate, and again against version {champion} on the same test rows"


def _move(client: Any, chosen: Any, champion: str | None, *, by: str, reason: str) -> None:
    name, version = chosen.name, str(chosen.version)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    said = {"by": by, "at": now, "over": champion or "none", "reason": reason}
    for key, value in said.items():
        client.set_model_version_tag(name, version, f"promoted.{key}", value)
    if champion is not None:
        for key, value in {"by": by, "at": now, "for": version}.items():
            client.set_model_version_tag(name, champion, f"archived.{key}", value)
        client.set_registered_model_alias(name, "archived", champion)
    client.set_registered_model_alias(name, "champion", version)
    if str(client.get_registered_model(name).aliases.get("challenger")) == version:
        client.delete_registered_model_alias(name, "challenger")
