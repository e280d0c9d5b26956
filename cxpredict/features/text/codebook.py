"""The seed words of a codebook, found in comments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cxpredict.errors import ConfigError
from cxpredict.features.text.answers import plain


class Codebook:
    """Themes and the words that stand for them.

    Parameters
    ----------
    seeds : mapping of str to sequence of str
        For each theme words or phrases. Case and accents do not matter; a trailing ``*`` stands
        for any ending: ``deliver*``. A word may also stand within a script without spaces.

    Raises
    ------
    ConfigError
        A theme has no name, no words, or one without a letter or digit; two themes share a word.

    Examples
    --------
    >>> book = Codebook({"delivery": ["deliver*", "arrived late"], "price": ["expensive"]})
    >>> book.hits(["Delivery ok, but EXPENSIVE", "it arrived  late", "fine"]).astype(int).tolist()
    [[1, 1], [1, 0], [0, 0]]
    """

    def __init__(self, seeds: Mapping[str, Sequence[str]]) -> None:
        self.seeds = {str(theme): list(words) for theme, words in seeds.items()}
        self._patterns = []
        for theme, words in self.seeds.items():
            if isinstance(seeds[theme], str) or not words or not theme.strip():
                raise ConfigError(f"codebook: theme {theme!r} needs a name and a list of words")
            if not all(isinstance(w, str) and re.search(r"\w", w) for w in words):
                raise ConfigError(f"codebook: theme {theme!r} has a word without a letter")
            self._patterns.append(re.compile("|".join(_pattern(word) for word in words)))
        _check_unshared(self.seeds)

    @property
    def themes(self) -> list[str]:
        """Names of the themes."""
        return list(self.seeds)

    def hits(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Tell which themes' words each text holds, shape (n, themes)."""
        folded = [plain(text) for text in texts]
        found = [[bool(pattern.search(text)) for pattern in self._patterns] for text in folded]
        return np.array(found, dtype=bool).reshape(len(folded), len(self._patterns))


def _check_unshared(seeds: Mapping[str, Sequence[str]]) -> None:
    """Refuse a word of two themes: a comment with it would be an example of neither."""
    home: dict[str, str] = {}
    for theme, words in seeds.items():
        for word in words:
            other = home.setdefault(" ".join(plain(word).split()), theme)
            if other != theme:
                raise ConfigError(
                    f"codebook: {word!r} stands under {other!r} and under {theme!r}; expected each "
                    "word under one theme, remove it from the other or make it a longer phrase"
                )


def _pattern(word: str) -> str:
    stem = plain(word).strip()
    ending = "" if stem.endswith("*") else r"(?!\w)"
    body = r"\s+".join(re.escape(part) for part in stem.rstrip("*").split())
    if all(ord(c) >= 0x0E00 for c in stem if c.isalpha()):  # Thai and east of it: no spaces
        return body
    return rf"(?<!\w){body}{ending}"
