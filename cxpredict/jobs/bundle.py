"""A trained model with all that scoring needs, as one folder of text: no pickle anywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from cxpredict.config import Bands
from cxpredict.errors import ModelError
from cxpredict.features.origin import Origin
from cxpredict.features.problem import ChurnProblem, SatisfactionProblem
from cxpredict.features.text.tagger import CommentTagger
from cxpredict.jobs.publish import digest, publishing, write_json

if TYPE_CHECKING:
    from cxpredict.data.log import CustomerLog
    from cxpredict.models.churn import ChurnModel
    from cxpredict.models.satisfaction import SatisfactionModel

Problem = ChurnProblem | SatisfactionProblem
PACKAGES = ("cxpredict", "lightgbm", "numpy", "pandas", "scikit-learn")


@dataclass(frozen=True)
class Bundle:
    """A model and everything that turns a log into its scores.

    Attributes
    ----------
    name : str
        Registered name of the model.
    problem : ChurnProblem or SatisfactionProblem
        What it predicts.
    model : ChurnModel or SatisfactionModel
        Fitted.
    aggregates : tuple of Origin
        The event features it was trained on.
    exclude : tuple of str
        Attributes that are no features: labels, leaks and what the configuration excludes.
    bands : Bands
        Probabilities from which a customer is medium or high risk.
    card : dict
        What a reviewer wants to know: dates, counts, metrics, leaks, versions.
    tagger : CommentTagger or None
        What makes features of comments, where the run does.
    digest : str
        SHA-256 of the saved bundle; empty before it is saved.
    version : str
        Version in the registry, or the beginning of the digest.
    """

    name: str
    problem: Problem
    model: ChurnModel | SatisfactionModel
    aggregates: tuple[Origin, ...]
    exclude: tuple[str, ...]
    bands: Bands
    card: dict[str, Any]
    tagger: CommentTagger | None = None
    digest: str = ""
    version: str = ""

    @property
    def kind(self) -> str:
        """Either ``churn`` or ``satisfaction``."""
        return "churn" if isinstance(self.problem, ChurnProblem) else "satisfaction"

    def read_comments(self, log: CustomerLog) -> CustomerLog:
        """Give the log with its comments tagged, if features are made of them."""
        return log if self.tagger is None else self.tagger.tag(log)

    def risk(self, X: pd.DataFrame) -> pd.DataFrame:
        """Predict the probability of churn (or of a low score) with its 95 % interval and band.

        Parameters
        ----------
        X : DataFrame
            Features, aligned by name.

        Returns
        -------
        DataFrame
            Columns probability, low, high, risk_band; for satisfaction also expected_score.
        """
        interval = self.model.predict_interval(X)
        if self.kind == "churn":
            probability = self.model.predict_proba(X)[:, 1]
        else:
            probability = self.model.low_score_probability(X)
        risk = pd.DataFrame(
            {"probability": probability, "low": interval[:, 0], "high": interval[:, 1]},
            index=X.index,
        )
        bounds = [-np.inf, self.bands.medium, self.bands.high, np.inf]
        bands = pd.cut(risk["probability"], bounds, right=False, labels=["low", "medium", "high"])
        risk["risk_band"] = bands.astype("str")
        if self.kind == "satisfaction":
            risk["expected_score"] = self.model.expected_score(X)
        return risk

    def save(self, folder: Path) -> str:
        """Write the bundle as a folder, whole or not at all, and return its digest."""
        with publishing(folder) as new:
            state = self.model.to_state()
            write_json(new / "model.json", state)
            write_json(
                new / "bundle.json",
                {
                    "name": self.name,
                    "kind": self.kind,
                    "problem": self.problem.settings.model_dump(),
                    "aggregates": [origin.to_dict() for origin in self.aggregates],
                    "exclude": list(self.exclude),
                    "bands": self.bands.model_dump(),
                    "card": self.card,
                    "packages": {package: version(package) for package in PACKAGES},
                },
            )
            if self.tagger is not None:
                write_json(new / _COMMENTS, self.tagger.to_state())
            names = [name for name in (*_FILES, _COMMENTS) if (new / name).exists()]
            write_json(new / "manifest.json", {name: digest(new / name) for name in names})
        return digest(folder / "manifest.json")

    @classmethod
    def load(cls, folder: Path, *, version: str = "") -> Self:
        """Read a saved bundle after its digests are found right.

        Parameters
        ----------
        folder : Path
            What `save` wrote.
        version : str, optional
            Its version in the registry; by default the digest of the bundle.

        Returns
        -------
        Bundle

        Raises
        ------
        ModelError
            A file is missing or differs from its digest.
        """
        from cxpredict.models.churn import ChurnModel
        from cxpredict.models.satisfaction import SatisfactionModel

        files = _check_digests(folder)
        found = digest(folder / "manifest.json")
        content = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        state = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        tagger = None
        if _COMMENTS in files:
            told = json.loads((folder / _COMMENTS).read_text(encoding="utf-8"))
            tagger = CommentTagger.from_state(told)
        churn = content["kind"] == "churn"
        problem: Problem = (ChurnProblem if churn else SatisfactionProblem)(**content["problem"])
        return cls(
            name=content["name"],
            problem=problem,
            model=(ChurnModel if churn else SatisfactionModel).from_state(state),
            aggregates=tuple(Origin.from_dict(fields) for fields in content["aggregates"]),
            exclude=tuple(content["exclude"]),
            bands=Bands(**content["bands"]),
            card=content["card"],
            tagger=tagger,
            digest=found,
            version=version or found[:12],
        )


_FILES = ("bundle.json", "model.json")
_COMMENTS = "comments.json"


def _check_digests(folder: Path) -> list[str]:
    """Refuse a changed file before any parser of a model sees a byte of it; name the files."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise ModelError(f"{folder.name}: expected a model bundle, found no manifest.json")
    try:
        expected = json.loads(manifest.read_text(encoding="utf-8"))
        files = [*_FILES, *([_COMMENTS] if _COMMENTS in expected else [])]
        wrong = [n for n in files if digest(folder / n) != expected[n]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder.name}: the bundle is damaged; fetch or train it again"
        ) from error
    if wrong:
        raise ModelError(f"{folder.name}: {', '.join(wrong)} changed since it was saved; refused")
    return files
