"""Where a model comes from: digests of inputs, configuration and code; pseudonyms of customers."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cxpredict

if TYPE_CHECKING:
    import pandas as pd

    from cxpredict.config import Config

DETERMINING = ("lightgbm", "numpy", "pandas", "scikit-learn", "scipy")
"""Packages whose version may change what training gives."""


def run_key(config: Config, inputs: Mapping[str, str]) -> str:
    """Digest what determines a training run: inputs, configuration, library.

    Parameters
    ----------
    config : Config
        The run. Where it writes to is left out.
    inputs : mapping of str to str
        Digests of what was read, as `CustomerLog.inputs` gives them.

    Returns
    -------
    str
        32 hexadecimal digits. Runs of one key give the same bundles, byte for byte.

    Notes
    -----
    The library enters with its version, the digest of its code and the versions of the packages
    that fit.
    """
    content = {
        "inputs": dict(inputs),
        "config": config.model_dump(mode="json", exclude={"artifacts"}),
        "code": code_sha256(),
        "packages": {name: version(name) for name in DETERMINING},
    }
    return _sha256(json.dumps(content, sort_keys=True).encode())[:32]


def code_sha256() -> str:
    """Digest the code of this library: which version it is, whatever it says of itself."""
    home = Path(cxpredict.__file__).parent
    files = sorted(path for path in home.rglob("*") if path.suffix in (".py", ".html", ".css"))
    names = "".join(f"{path.relative_to(home).as_posix()}\n" for path in files)
    return _sha256(names.encode() + b"".join(path.read_bytes() for path in files))[:16]


def pseudonyms(salt: bytes, texts: Iterable[str]) -> list[str]:
    """Give keyed hashes (HMAC-SHA256, 32 hexadecimal digits) of texts such as customers' ids.

    Examples
    --------
    >>> first, again = pseudonyms(b"one salt", ["c1", "c1"])
    >>> first == again, first == pseudonyms(b"another", ["c1"])[0]
    (True, False)
    """
    return [hmac.digest(salt, text.encode(), "sha256").hex()[:32] for text in texts]


def fingerprint(salt: bytes) -> str:
    """Name a salt without telling it."""
    return _sha256(b"cxpredict salt " + salt)[:16]


def training_customers(salt: bytes, index: pd.MultiIndex) -> dict[str, Any]:
    """List who is in the rows of a model, as pseudonyms in their own order.

    Parameters
    ----------
    salt : bytes
        Secret of the store.
    index : MultiIndex (customer_id, as_of)
        Training rows.

    Returns
    -------
    dict
        ``salt``: its fingerprint; ``customers``: sorted pseudonyms.
    """
    ids = index.get_level_values("customer_id").unique()
    return {"salt": fingerprint(salt), "customers": sorted(pseudonyms(salt, map(str, ids)))}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
