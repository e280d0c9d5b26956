"""What a bundle consists of: names, sizes and digests of its files, and who vouches for them."""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from cxpredict.errors import ConfigError, ModelError
from cxpredict.jobs.bundle.strict import read_json, to_json

__all__ = [
    "BASELINE",
    "BUNDLE",
    "CALIBRATION",
    "CARD",
    "COLUMNS",
    "COMMENTS",
    "FORMAT",
    "LARGEST_MANIFEST",
    "MANIFEST",
    "MODEL",
    "REASONS",
    "SIGNATURE",
    "booster_file",
    "check_digest",
    "check_files",
    "check_signature",
    "declared",
    "make_manifest",
    "read_key",
    "sign",
    "some",
]

FORMAT = 2
"""Version of the layout; 1 was the layout with the boosters inside model.json."""
MANIFEST, SIGNATURE = "manifest.json", "signature"
BUNDLE, MODEL, COLUMNS = "bundle.json", "model.json", "columns.json"
CALIBRATION, CARD = "calibration.json", "card.json"
COMMENTS, BASELINE, REASONS = "comments.json", "baseline.json", "reasons.json"
REQUIRED = (BUNDLE, MODEL, COLUMNS, CALIBRATION, CARD)
OPTIONAL = (COMMENTS, BASELINE, REASONS)

LARGEST_MANIFEST = 64 * 1024
LARGEST_FILE = 256 * 1024**2
LARGEST_BUNDLE = 1024**3
MOST_BOOSTERS = 1_000
SHORTEST_KEY, LONGEST_KEY = 32, 4_096

_HEX = re.compile(r"[0-9a-f]{64}")


def booster_file(number: int) -> str:
    """Name the file of a LightGBM model."""
    return f"booster_{number}.txt"


def make_manifest(files: Mapping[str, bytes]) -> bytes:
    """List the files with size and SHA-256, in the order of their names."""
    entries = {
        name: {"bytes": len(files[name]), "sha256": sha256(files[name]).hexdigest()}
        for name in sorted(files)
    }
    return to_json({"format": FORMAT, "files": entries})


def declared(manifest: bytes) -> dict[str, int]:
    """Read the names and sizes of the files from a manifest that somebody vouches for.

    Raises
    ------
    ModelError
        The manifest is not one of this format, names a file that no bundle has, lacks one that
        every bundle has, or declares more bytes than a bundle may have.
    """
    return {name: entry["bytes"] for name, entry in _entries(manifest).items()}


def check_files(files: Mapping[str, bytes]) -> None:
    """Refuse files that are not what their manifest says.

    Raises
    ------
    ModelError
        A file is missing, not in the manifest, or has another size or SHA-256.
    """
    if MANIFEST not in files:
        raise ModelError(f"expected a model bundle, found no {MANIFEST}")
    entries = _entries(files[MANIFEST])
    found = set(files) - {MANIFEST}
    if wrong := sorted(found ^ set(entries)):
        raise ModelError(f"{some(wrong)}: missing from the bundle, or not part of it")
    for name, entry in entries.items():
        content = files[name]
        if len(content) != entry["bytes"] or sha256(content).hexdigest() != entry["sha256"]:
            raise ModelError(f"{name} changed since the bundle was saved; refused")


def check_digest(manifest: bytes, digest: str) -> None:
    """Refuse a manifest whose SHA-256 is not the one kept outside the bundle."""
    if not isinstance(digest, str) or not _HEX.fullmatch(digest.lower()):
        raise ModelError("digest: expected the 64 hexadecimal digits that Bundle.save returned")
    if not hmac.compare_digest(sha256(manifest).hexdigest(), digest.lower()):
        raise ModelError(
            "the bundle is not the one this digest belongs to: it was changed, damaged or "
            "replaced; fetch or train it again"
        )


def check_signature(manifest: bytes, signature: bytes | None, key: str | Path) -> None:
    """Refuse a manifest that was not signed with the key."""
    if signature is None:
        raise ModelError("the bundle is not signed; save it with the key, or give its digest")
    if not hmac.compare_digest(sign(manifest, key), signature):
        raise ModelError("the signature was not made with this key, or the bundle was changed")


def sign(manifest: bytes, key: str | Path) -> bytes:
    """Return the HMAC-SHA256 of a manifest as hexadecimal text."""
    text = hmac.new(read_key(key), b"cxpredict bundle\0" + manifest, sha256).hexdigest()
    return text.encode()


def read_key(key: str | Path) -> bytes:
    """Read a secret from a file, or from an environment variable (``env:NAME``).

    Raises
    ------
    ConfigError
        There is none, or it is shorter than 32 bytes. The message never holds it.
    """
    source = str(key)
    if source.startswith("env:"):
        secret = os.environb.get(os.fsencode(source.removeprefix("env:")), b"")
    else:
        try:
            with Path(key).open("rb") as file:
                secret = file.read(LONGEST_KEY + 1)
        except OSError as error:
            raise ConfigError(f"key: the file cannot be read: {error.strerror}") from None
    secret = secret.strip()
    if not SHORTEST_KEY <= len(secret) <= LONGEST_KEY:
        raise ConfigError(
            f"key: expected {SHORTEST_KEY} to {LONGEST_KEY:,} bytes in a file or in a variable "
            f"named as env:NAME, found {len(secret):,}"
        )
    return secret


def some(names: list[str]) -> str:
    """Name at most five files, without what a terminal would act on."""
    shown = ", ".join(ascii(name)[:60] for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _entries(manifest: bytes) -> dict[str, dict[str, Any]]:
    if len(manifest) > LARGEST_MANIFEST:
        raise ModelError(f"{MANIFEST}: expected at most {LARGEST_MANIFEST:,} bytes")
    content = read_json(MANIFEST, manifest)
    _check_format(content)
    files = content["files"]
    if not isinstance(files, dict):
        raise ModelError(f"{MANIFEST}: expected the files by name")
    _check_names(files)
    for name, entry in files.items():
        _check_entry(name, entry)
    if sum(entry["bytes"] for entry in files.values()) > LARGEST_BUNDLE:
        raise ModelError(f"{MANIFEST}: expected at most {LARGEST_BUNDLE:,} bytes in all")
    return files


def _check_format(content: dict[str, Any]) -> None:
    found = content.get("format", 1)
    if type(found) is not int or found != FORMAT:
        raise ModelError(
            f"the bundle has format {found if type(found) is int else 'none'}, this version of "
            f"cxpredict reads format {FORMAT}: train it again, or use the version it records"
        )
    if set(content) != {"format", "files"}:
        raise ModelError(f"{MANIFEST}: expected format and files and nothing else")


def _check_names(files: Mapping[str, Any]) -> None:
    boosters = len(files) - sum(name in files for name in (*REQUIRED, *OPTIONAL))
    expected = {*REQUIRED, *map(booster_file, range(min(boosters, MOST_BOOSTERS)))}
    wrong = sorted((set(files) - set(OPTIONAL)) ^ expected)
    if wrong:
        raise ModelError(f"{MANIFEST}: {some(wrong)}: missing, or no part of a bundle")


def _check_entry(name: str, entry: Any) -> None:
    fits = (
        isinstance(entry, dict)
        and set(entry) == {"bytes", "sha256"}
        and type(entry["bytes"]) is int
        and 0 <= entry["bytes"] <= LARGEST_FILE
        and isinstance(entry["sha256"], str)
        and _HEX.fullmatch(entry["sha256"])
    )
    if not fits:
        raise ModelError(
            f"{MANIFEST}: {name}: expected bytes (at most {LARGEST_FILE:,}) and sha256"
        )
