"""A trained model with all that scoring needs, as one folder of text: no pickle anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from cxpredict.config import Bands
from cxpredict.drivers.reasons import ReasonBasis
from cxpredict.features.origin import Origin
from cxpredict.features.problem import ChurnProblem, SatisfactionProblem
from cxpredict.features.text.tagger import CommentTagger
from cxpredict.jobs.bundle.content import PACKAGES, fields_of, files_of
from cxpredict.jobs.bundle.folder import read_folder, write_folder
from cxpredict.jobs.bundle.manifest import MANIFEST, check_digest, check_files, make_manifest

if TYPE_CHECKING:
    from cxpredict.data.log import CustomerLog
    from cxpredict.models.churn import ChurnModel
    from cxpredict.models.satisfaction import SatisfactionModel

__all__ = ["PACKAGES", "Bundle", "Problem"]

Problem = ChurnProblem | SatisfactionProblem


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
    basis : ReasonBasis or None
        What reasons are worded against, learnt from the training rows.
    baseline : dict or None
        Distributions of the training rows, plain values, to compare other rows with.
    digest : str
        SHA-256 of the manifest; empty before the bundle is saved.
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
    basis: ReasonBasis | None = None
    baseline: dict[str, Any] | None = None
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
        risk = self.model.predict_risk(X)
        from_here = [self.bands.medium, self.bands.high]
        place = np.searchsorted(from_here, risk["probability"].to_numpy(), side="right")
        names = np.array(["low", "medium", "high"], dtype=object)
        risk["risk_band"] = pd.array(names[place], dtype="str")
        return risk

    def files(self) -> dict[str, bytes]:
        """Write the bundle as files by name, the manifest first.

        Returns
        -------
        dict of str to bytes
            ``manifest.json`` (format, and size and SHA-256 of the others), LightGBM's models as
            text, JSON for everything else. The same bundle gives the same bytes.
        """
        files = files_of(self)
        return {MANIFEST: make_manifest(files), **files}

    @classmethod
    def of_files(
        cls, files: Mapping[str, bytes], *, version: str = "", digest: str | None = None
    ) -> Self:
        """Read a bundle from its files.

        Parameters
        ----------
        files : mapping of str to bytes
            What `files` gave.
        version : str, optional
            Its version in the registry; by default the beginning of the digest.
        digest : str, optional
            SHA-256 of the manifest, kept elsewhere. Without it the files must come from where
            nobody else can change them, such as the memory of the same job.

        Returns
        -------
        Bundle

        Raises
        ------
        ModelError
            A file is missing, unknown or other than its digest says, the format is another one,
            or the content is not that of a bundle. Digests come before any parser.
        """
        if digest is not None:
            check_digest(files.get(MANIFEST, b""), digest)
        check_files(files)
        found = sha256(files[MANIFEST]).hexdigest()
        parts = {name: content for name, content in files.items() if name != MANIFEST}
        return cls(**fields_of(parts), digest=found, version=version or found[:12])

    def save(self, folder: str | Path, *, key: str | Path | None = None) -> str:
        """Write the bundle as a folder, whole or not at all.

        Parameters
        ----------
        folder : str or Path
            A bundle that is there already is replaced.
        key : str or Path, optional
            File with a secret of at least 32 bytes, or ``env:NAME`` for an environment variable,
            to sign the manifest with.

        Returns
        -------
        str
            The digest: SHA-256 of the manifest. Keep it where whoever can change the folder
            cannot: `load` asks for it.

        Raises
        ------
        PublishError
            The folder cannot be written.
        ConfigError
            There is no key, or it is too short.

        Notes
        -----
        The signature is HMAC-SHA256: who can check it can also make it. It tells that the bundle
        was made with the key, not that it is the newest one.
        """
        return write_folder(Path(folder), self.files(), key=key)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        digest: str | None = None,
        key: str | Path | None = None,
        version: str = "",
    ) -> Self:
        """Read a saved bundle that a digest or a key vouches for.

        Parameters
        ----------
        folder : str or Path
            What `save` wrote.
        digest : str, optional
            What `save` returned.
        key : str or Path, optional
            The key it was signed with, as for `save`. One of both is needed; given both, both
            must fit.
        version : str, optional
            Its version in the registry; by default the beginning of the digest.

        Returns
        -------
        Bundle

        Raises
        ------
        ModelError
            Neither digest nor key is given, or anything in the folder is other than it was saved.
        ConfigError
            There is no key, or it is too short.

        Notes
        -----
        Files are read once, into memory, and parsed from there after the manifest was found to
        be the one vouched for and every file to be what the manifest says. A digest taken from
        the folder itself vouches for nothing.
        """
        files = read_folder(Path(folder), digest=digest, key=key)
        return cls.of_files(files, version=version)
