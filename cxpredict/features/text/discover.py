"""Themes that nobody named yet, found in what customers write."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer

from cxpredict.errors import ConfigError, ModelError
from cxpredict.features.text.answers import is_answer, plain
from cxpredict.features.text.owners import by_content, checked_groups
from cxpredict.features.text.scrub import KINDS, as_texts, scrub_text
from cxpredict.features.text.vectors import held_by

Floats = npt.NDArray[np.float64]
FEWEST_COMMENTS = 20
SMALL_CELL = 3
"""A word that fewer customers wrote is not shown."""

LEAST = 0.1
"""A word of less weight than this part of the heaviest is not typical."""

_COMMON = 0.5
_SHORT = 3
_PLACEHOLDER = re.compile(rf"\[(?:{'|'.join(KINDS)})\]")
_FILLER_WORDS = """
the and for that this with was were are you your have has had not but they them their our from been
would will can could there here what when which who just very more than then also only about into
over out get got did does its all any some too much many even still i'm i've don't didn't it's can't
der die das und ist war nicht ein eine einen einem einer mit für auf von den dem des sehr auch aber
wie bei ich wir sie sich man nur noch als nach aus hat haben wird werden zum zur immer mehr alles
wurde dass oder mir uns ihr
les des une est pas pour que qui dans sur avec plus mais très tres sont ont nous vous était avez
être avoir fait aux par cette ces ses leur même aussi bien tout tous toute toutes j'ai c'est n'est
n'ai l'on d'un d'une qu'il peu trop beaucoup souvent toujours
los las una uno que por para con del más mas pero como esta este esto son sin sobre todo todos toda
cuando hay fue han era sus muy
não com uma mais muito muita meu minha foi está estou tudo sem ainda bem até pelo pela dos das nos
nas ele ela isso essa tem ser são já todas quando super pois porque agora
che per non della dei delle sono molto più anche come questo questa essere stato tutto tutti
het een van niet met voor maar ook zijn wel aan naar heel veel goed zeer dat
"""
_FILLERS = frozenset(plain(word) for word in _FILLER_WORDS.split())


def discover_themes(
    comments: Iterable[Any],
    *,
    groups: Iterable[Any] | None = None,
    n_themes: int = 8,
    n_words: int = 8,
    ignore: Iterable[str] = (),
    random_state: int = 0,
) -> pd.DataFrame:
    """Find groups of words that come together in comments, and name them by the typical ones.

    Parameters
    ----------
    comments : Series or other iterable of str
        Those that say nothing are left out.
    groups : iterable, optional
        Customers; a missing one is a customer of its own. By default equal comments are one
        customer's, so that a remark which one customer sends often names no theme.
    n_themes : int, default 8
        At most so many, at least 2; one per 12 comments.
    n_words : int, default 8
        Words to list per theme.
    ignore : iterable of str, optional
        Words that say nothing here, such as the name of the company.
    random_state : int, default 0
        Seed of the starting point.

    Returns
    -------
    DataFrame
        One row per theme, largest first: `theme` (its three most typical words or pairs),
        `comments` (that are mostly about it), `share` (of those that say something), `words`
        (list). Comments in which none of the words stands belong to no theme. Words are those of
        three customers or more, scrubbed and without digits; no comment is shown. A codebook
        to start from is ``dict(zip(found["theme"], found["words"]))``.

    Raises
    ------
    ConfigError
        `n_themes` is below 2 or `n_words` below 1.
    ModelError
        Fewer than 20 comments say something, or they share too few words; as many `groups` as
        comments are not given.

    Notes
    -----
    Non-negative matrix factorisation of word TF-IDF. Words that over half of the comments hold,
    short words (up to 3 letters) that over 2 % hold, and some fillers of seven languages are set
    aside; names take words that are typical of one theme (weight times its share among the
    themes) before merely frequent ones. It describes; it does not measure a precision. Texts of
    scripts without spaces need words set apart.

    Examples
    --------
    >>> late = ["the parcel was late", "late: my parcel", "where is the parcel?"] * 6
    >>> rude = ["the waiter was rude", "rude waiter", "waiter?", "so rude"] * 4
    >>> dear = ["far too expensive", "expensive!", "an expensive place"] * 5
    >>> found = discover_themes(late + rude + dear, groups=range(49), n_themes=3)
    >>> found[["theme", "comments"]].values.tolist()
    [['parcel, late, where', 18], ['waiter, rude', 16], ['expensive, place', 15]]
    """
    if n_themes < 2 or n_words < 1:
        raise ConfigError(f"expected 2 themes or more and 1 word, found {n_themes} and {n_words}")
    series = as_texts(comments)
    given = checked_groups(groups, len(series))
    use = np.flatnonzero(is_answer(series))
    said = series.iloc[use].tolist()
    order, owner = by_content(said, said, None if given is None else given[use])
    texts = [_plain(said[place]) for place in order]
    if len(texts) < FEWEST_COMMENTS:
        raise ModelError(
            f"themes: expected at least {FEWEST_COMMENTS} comments that say something, found "
            f"{len(texts)}; take a longer history"
        )
    matrix, words = _words(texts, owner, {plain(word) for word in ignore})
    k = min(n_themes, max(2, len(texts) // 12), len(words))
    if k < 2:
        raise ModelError(
            f"themes: the {len(texts):,} comments share fewer than 2 words; take a longer history"
        )
    model = NMF(k, init="nndsvda", random_state=random_state, max_iter=500, tol=1e-3)
    with warnings.catch_warnings():  # a theme less sharp is no reason to stop
        warnings.simplefilter("ignore", ConvergenceWarning)
        amounts = model.fit_transform(matrix)
    loadings = model.components_
    size = amounts * loadings.sum(axis=1)
    mainly = np.where(size.max(axis=1) > 1e-9, size.argmax(axis=1), -1)
    rows = []
    for theme in range(k):
        typical = _typical(loadings, theme, words, n_words)
        n = int((mainly == theme).sum())
        if typical and n:
            rows.append((", ".join(typical[:3]), n, n / len(texts), typical))
    table = pd.DataFrame(rows, columns=["theme", "comments", "share", "words"])
    table = table.drop_duplicates("theme")
    return table.sort_values(["comments", "theme"], ascending=[False, True], ignore_index=True)


def _plain(text: str) -> str:
    return re.sub(r"\d+", " ", _PLACEHOLDER.sub(" | ", scrub_text(text))).lower()


def _words(
    texts: list[str], owner: npt.NDArray[np.intp], ignored: set[str]
) -> tuple[Any, npt.NDArray[np.object_]]:
    """Weigh words and pairs that are neither rare nor everywhere."""
    tfidf = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"[^\W_]+(?:['’][^\W_]+)?",
        min_df=SMALL_CELL, max_features=20_000,
    )  # fmt: skip
    try:
        matrix = tfidf.fit_transform(texts)
    except ValueError:  # no word stands in three comments
        return np.zeros((len(texts), 0)), np.array([], dtype=object)
    words = tfidf.get_feature_names_out()
    held = np.asarray((matrix > 0).sum(axis=0)).ravel() / len(texts)
    single = {w: share for w, share in zip(words, held, strict=True) if " " not in w}
    filler = {
        word
        for word, share in single.items()
        if share > _COMMON or (len(word) <= _SHORT and share > 0.02) or len(word) < 2
    }
    filler |= {word for word in single if plain(word.replace("’", "'")) in _FILLERS | ignored}
    enough = held_by(matrix, owner) >= SMALL_CELL
    good = [place for place, w in enumerate(words) if enough[place] and not filler & set(w.split())]
    return matrix[:, good], words[good]


def _typical(
    loadings: Floats, theme: int, words: npt.NDArray[np.object_], n_words: int
) -> list[str]:
    """List words of a theme, those that are its own first; a pair replaces its words."""
    weight = loadings[theme]
    own = weight / np.maximum(loadings.sum(axis=0), 1e-12)
    order = np.lexsort((words, -weight * own))
    chosen: list[str] = []
    for place in order[: 4 * n_words]:
        word = str(words[place])
        if weight[place] < LEAST * weight.max() or any(
            set(word.split()) & set(other.split()) for other in chosen
        ):
            continue
        chosen.append(word)
    return chosen[:n_words]
