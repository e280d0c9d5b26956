"""The parts of a bundle as files, and back: LightGBM's text for its models, JSON for the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pandas as pd

from cxpredict.config import Bands
from cxpredict.drivers.reasons import ReasonBasis
from cxpredict.errors import ModelError
from cxpredict.features.origin import Origin
from cxpredict.features.problem import ChurnProblem, SatisfactionProblem
from cxpredict.features.text.tagger import CommentTagger
from cxpredict.jobs.bundle.manifest import (
    BASELINE,
    BUNDLE,
    CALIBRATION,
    CARD,
    COLUMNS,
    COMMENTS,
    MODEL,
    REASONS,
    booster_file,
)
from cxpredict.jobs.bundle.strict import read_json, to_json

if TYPE_CHECKING:
    from cxpredict.jobs.bundle import Bundle

__all__ = ["PACKAGES", "fields_of", "files_of"]

PACKAGES = ("cxpredict", "lightgbm", "numpy", "pandas", "scikit-learn", "scipy")
_CALIBRATIONS = ("calibration", "calibrations")
_COLUMNS = ("columns", "column_report")
_TOLD = frozenset(
    ("name", "kind", "problem", "aggregates", "exclude", "bands", "base_log_odds", "packages")
)
_TAKEN_APART = (*_CALIBRATIONS, *_COLUMNS, "ensemble")


def files_of(bundle: Bundle) -> dict[str, bytes]:
    """Write the parts of a bundle, each as a file by name, without the manifest."""
    state = bundle.model.to_state()
    ensemble = dict(state["ensemble"])
    boosters = {booster_file(i): text for i, text in enumerate(ensemble.pop("boosters"))}
    whole = {name: value for name, value in state.items() if name not in _TAKEN_APART}
    contents: dict[str, Any] = {
        BUNDLE: _description(bundle),
        MODEL: {**whole, "ensemble": ensemble},
        COLUMNS: {name: state[name] for name in _COLUMNS},
        CALIBRATION: {name: state[name] for name in _CALIBRATIONS if name in state},
        CARD: bundle.card,
        COMMENTS: None if bundle.tagger is None else bundle.tagger.to_state(),
        REASONS: None if bundle.basis is None else bundle.basis.to_state(),
        BASELINE: bundle.baseline,
    }
    files = {name: to_json(part) for name, part in contents.items() if part is not None}
    return files | {name: _without_ranges(text).encode("utf-8") for name, text in boosters.items()}


def _without_ranges(booster: str) -> str:
    r"""Leave out the smallest and largest value of each feature: they are those of one customer.

    LightGBM writes them down and never uses them.

    Examples
    --------
    >>> _without_ranges("feature_infos=[2.5:123456.75] none\ntree_sizes=9")
    'feature_infos=[-inf:inf] none\ntree_sizes=9'
    """
    return re.sub(
        r"^feature_infos=.*$",
        lambda line: re.sub(r"\[[^]]*\]", "[-inf:inf]", line.group()),
        booster,
        count=1,
        flags=re.MULTILINE,
    )


def fields_of(files: Mapping[str, bytes]) -> dict[str, Any]:
    """Read the fields of a bundle from files whose digests were found right.

    Raises
    ------
    ModelError
        A file does not hold what this version of cxpredict expects there.
    """
    parts = {name: read_json(name, files[name]) for name in sorted(files) if _is_json(name)}
    try:
        return _fields(parts, _boosters(files))
    except ModelError:
        raise
    except Exception as error:
        told = parts[BUNDLE].get("packages")
        by = f" of cxpredict {told.get('cxpredict')!s:.20}" if isinstance(told, dict) else ""
        raise ModelError(
            f"the content is not that of a bundle{by} ({type(error).__name__}): load it with the "
            "version that wrote it, or train it again"
        ) from error


def _description(bundle: Bundle) -> dict[str, Any]:
    names = bundle.model.columns_.names
    _, base = bundle.model.contributions(pd.DataFrame(columns=names, dtype="float64"))
    return {
        "name": bundle.name,
        "kind": bundle.kind,
        "problem": bundle.problem.settings.model_dump(),
        "aggregates": [origin.to_dict() for origin in bundle.aggregates],
        "exclude": list(bundle.exclude),
        "bands": bundle.bands.model_dump(),
        "base_log_odds": float(base),
        "packages": {package: version(package) for package in PACKAGES},
    }


def _fields(parts: Mapping[str, dict[str, Any]], boosters: list[str]) -> dict[str, Any]:
    from cxpredict.models.churn import ChurnModel
    from cxpredict.models.satisfaction import SatisfactionModel

    told = parts[BUNDLE]
    if set(told) != _TOLD:
        raise ModelError(f"{BUNDLE}: expected {', '.join(sorted(_TOLD))} and nothing else")
    churn = {"churn": True, "satisfaction": False}[told["kind"]]
    model = parts[MODEL]
    ensemble = {**model["ensemble"], "boosters": boosters}
    state = {**model, **parts[COLUMNS], **parts[CALIBRATION], "ensemble": ensemble}
    comments, reasons = parts.get(COMMENTS), parts.get(REASONS)
    return {
        "name": str(told["name"]),
        "problem": (ChurnProblem if churn else SatisfactionProblem)(**told["problem"]),
        "model": (ChurnModel if churn else SatisfactionModel).from_state(state),
        "aggregates": tuple(Origin.from_dict(origin) for origin in told["aggregates"]),
        "exclude": tuple(told["exclude"]),
        "bands": Bands(**told["bands"]),
        "card": parts[CARD],
        "tagger": None if comments is None else CommentTagger.from_state(comments),
        "basis": None if reasons is None else ReasonBasis.from_state(reasons),
        "baseline": parts.get(BASELINE),
    }


def _is_json(name: str) -> bool:
    return name.endswith(".json")


def _boosters(files: Mapping[str, bytes]) -> list[str]:
    count = sum(not _is_json(name) for name in files)
    return [files[booster_file(number)].decode("utf-8") for number in range(count)]
