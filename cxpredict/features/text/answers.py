"""Which comments say something."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cxpredict.features.text.scrub import as_texts

_NOTHING = (
    "ok|okay|k|n a|na|n d|nd|none|no|nope|nil|null|nan|nothing|nothing to add|nothing to say"
    "|no comment|no comments|not applicable|no answer|no reply|none at all|no opinion|idk"
    "|i dont know|dont know|same|test|as above|see above"
    "|nichts|nein|keine|keine angabe|keine angaben|kein kommentar|entfällt|weiß nicht"
    "|rien|rien a dire|rien a signaler|ras|non|aucun|aucune|aucun commentaire|sans commentaire"
    "|pas de commentaire|sans avis|neant|je ne sais pas"
    "|nada|nada a declarar|nada que decir|ninguno|ninguna|ningun comentario|sin comentario"
    "|sin comentarios|no se|nao|nenhum|nenhuma|sem comentario|sem comentarios|nao sei|nada mais"
    "|niente|nulla|nessuno|nessun commento|niente da dire|niets|geen|geen opmerkingen|nvt|n v t"
    "|ingenting|inget|ingen|ingen kommentar|nei|nej|ei mitaan|ei kommentoitavaa"
    "|nic|brak|nie|bez komentarza|bez komentare|нет|ничего|ничто|без комментариев|yok|hayir"
    "|无|没有|沒有|無|なし|特になし|ありません|없음|없습니다|لا شيء|لا يوجد"
)


def is_answer(comments: Iterable[Any]) -> npt.NDArray[np.bool_]:
    """Tell comments that say something from those that fill a field.

    Parameters
    ----------
    comments : Series or other iterable of str
        Missing values say nothing.

    Returns
    -------
    ndarray of bool

    Notes
    -----
    A comment says nothing if it holds neither a letter nor a pictograph (so punctuation or a
    number alone), if it is one Latin letter however often, or if, small and large letters,
    accents and punctuation apart, it is a phrase of a short list: ok, n/a, nothing, rien, nichts,
    nada, sem comentários, 特になし… A short word such as *good* is an answer.

    Examples
    --------
    >>> is_answer(["n/a", "---", "Sem comentários.", "xxx", "Good!", "👍", None]).tolist()
    [False, False, False, False, True, True, False]
    """
    return np.array([not pd.isna(text) and _says(text) for text in as_texts(comments)], dtype=bool)


def plain(text: str) -> str:
    """Fold case, width and Latin, Greek and Cyrillic accents; other scripts keep their marks.

    Examples
    --------
    >>> plain("ÉTÉ ＯＫ")
    'ete ok'
    """
    parts = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(c for c in parts if not "\u0300" <= c <= "\u036f")
    return unicodedata.normalize("NFC", bare)


def _says(text: str) -> bool:
    letters = [c for c in text if c.isalpha()]
    if not letters:
        return any(unicodedata.category(c) in ("So", "Sk") and ord(c) > 0x2000 for c in text)
    bare = plain(text).replace("'", "").replace("’", "")
    spoken = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in bare)
    phrase = " ".join(spoken.split())
    once = {c for c in phrase if c != " "}
    return phrase not in _PHRASES and not (len(once) == 1 and phrase.isascii())


_PHRASES = frozenset(plain(phrase) for phrase in _NOTHING.split("|"))
