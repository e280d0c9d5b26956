"""Personal data out of comments, before anything of them is stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial
from itertools import accumulate
from typing import Any

import pandas as pd

from cxpredict.errors import DataError

Replace = Callable[[list[str], re.Match[str]], str]
KINDS = ("link", "email", "iban", "card", "phone", "account", "name")

_LINK = re.compile(r"(?:https?://|\bwww\.)\S+", re.IGNORECASE)
_PART = r"[^\s@＠<>(){}\[\],;:\"]"
_EMAIL = re.compile(
    rf"{_PART}{{1,64}}[@＠]{_PART}{{1,200}}\.[^\W\d_]{{2,20}}"
)  # bounded: long texts
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b", re.IGNORECASE)
_DIGITS = re.compile(r"(?<!\w)[+(]{0,2}\d(?:(?:[ \u00a0()\-–/]|\.(?=\d)){0,3}\d){4,}(?!\w)")
_CUE = re.compile(
    r"(\b(?:acc(?:oun)?t|customer|client|clien?te|order|invoice|member(?:ship)?|ticket|booking"
    r"|konto|kunden|bestell|rechnungs?|compte|commande|facture|cuenta|pedido|factura|conta"
    r"|cpf|cnpj|conto|ordine|fattura|klant|bestelling|счет|счёт|заказ)"
    r"\w*[ .:#-]{0,3}(?:(?:id|number|numero|número|numéro|nummer|no|nr|num|n[°ºo]|№)\b)?"
    r"[ .:#°º]{0,3})([A-Z]{0,3}\d[\d \-./]{2,}\d)(?!\w)",
    re.IGNORECASE,
)
_CODE = re.compile(r"\b(?=\w*\d{6})[A-Z0-9]{7,}\b", re.IGNORECASE)
_DAY, _MONTH, _YEAR_4 = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)\d\d"
_TWO = rf"(?:{_DAY}([-/. ]){_MONTH}|{_MONTH}([-/. ]){_DAY})"
_DATE = re.compile(
    rf"\(?(?:{_TWO}(?:\1|\2){_YEAR_4}|{_YEAR_4}([-/. ]){_MONTH}\3{_DAY}"
    rf"|{_YEAR_4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?!\d)"
)
_AMOUNT = re.compile(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*(?:[.,]\d{1,2})?|\d+000|\d+\.\d{1,2}")
_YEARS = re.compile(r"(?:19|20)\d\d(?:[ /–-]+(?:19|20)\d\d)+")
_MONEY = re.compile(r"(?:[€$£¥₹₽]|\b(?:EUR|USD|GBP|BRL|CHF|INR|JPY))\s*$", re.IGNORECASE)
_MONEY_AFTER = re.compile(
    r"\s*(?:[.,]\d{1,2}\s*)?(?:[€$£¥₹₽]|(?:EUR|USD|GBP|BRL|CHF|INR|JPY|euros?|dollars?|reais)\b)",
    re.IGNORECASE,
)

_ANY_CASE = (
    "mr|mrs|ms|mx|dr|dra|prof|herrn?|frau|fräulein|monsieur|madame|mademoiselle|mme|mlle|sr|sra"
    "|srta|señora?|señorita|senhora?|senhorita|signora?|signorina|sig|dott|dottoressa|dhr|mevr"
    "|meneer|mevrouw|господин|госпожа|г-н|г-жа|κύριος|κυρία"
)
_AS_WRITTEN = r"Miss|Sir|Madam|Dona|Doña|M\.|M(?= [A-ZÀ-Þ][^\W\d_])"
_PARTICLE = r"(?:van|von|der|den|de|da|do|dos|das|di|du|del|la|le|al|el|bin|ibn|ter|ten|y|e)"
_WORD = r"[^\W\d_](?:[^\W\d_]|['’\-](?=[^\W\d_]))*\.?"
_NAMED = re.compile(
    rf"(?<!\w)(?<!\d )((?i:{_ANY_CASE})\b\.?|{_AS_WRITTEN})\s+"
    rf"({_WORD}(?:\s+(?:{_PARTICLE}\s+){{0,2}}{_WORD}){{0,2}})"
)
_UNMISTAKEN = ("mr", "mrs", "mme", "mlle")
_PARTICLES = frozenset(_PARTICLE.removeprefix("(?:").removesuffix(")").split("|"))


def scrub(comments: Iterable[Any]) -> tuple[pd.Series, pd.DataFrame]:
    """Replace personal data in comments by placeholders such as ``[email]``.

    Parameters
    ----------
    comments : Series or other iterable of str
        Missing values stay missing.

    Returns
    -------
    texts : Series of str
        In the order (and, for a Series, with the index) of the comments.
    counts : DataFrame
        One row per kind of data: `kind`, `found` (places), `comments` (with at least one).

    Raises
    ------
    DataError
        A comment is neither text nor missing.

    Notes
    -----
    What is replaced, by rules that know no language:

    - links (they carry tokens) and e-mail addresses;
    - IBANs whose check digits are right; card numbers of 13 to 19 digits whose Luhn digit is right;
    - phone numbers: 7 to 15 digits in groups, or after ``+``;
    - account numbers: other runs of 7 digits or more, words of letters and digits with 6 digits in
      a row, and numbers of 4 digits or more after a word such as *account*, *order* or *Konto*;
    - up to three capitalised words (with particles such as *van der*) after a title: Mr, Frau,
      Mme, Señora, г-н…, also one small-letter word after *mr*, *mrs*, *mme*, *mlle*.

    Dates, years, amounts (beside a currency, with thousands marks, or round) and numbers of up to 6
    digits without such a word stay. A phone number of 6 digits, and a name without a title, are not
    found: scrubbing lowers the risk, it does not make text anonymous. Scrubbing again changes
    nothing.

    Examples
    --------
    >>> texts, counts = scrub(["Mail ana@example.org or ring +44 20 7946 0958", "Paid 1,250,000"])
    >>> texts.tolist()
    ['Mail [email] or ring [phone]', 'Paid 1,250,000']
    >>> counts[counts.found > 0].to_dict("records")
    [{'kind': 'email', 'found': 1, 'comments': 1}, {'kind': 'phone', 'found': 1, 'comments': 1}]
    """
    given = as_texts(comments)
    found = {kind: [0, 0] for kind in KINDS}
    texts = []
    for text in given:
        clean, kinds = (None, []) if pd.isna(text) else _scrubbed(str(text))
        texts.append(clean)
        for kind in set(kinds):
            found[kind][0] += kinds.count(kind)
            found[kind][1] += 1
    counts = pd.DataFrame(
        [(kind, *numbers) for kind, numbers in found.items()],
        columns=["kind", "found", "comments"],
    )
    return pd.Series(texts, index=given.index, name=given.name, dtype="str"), counts


def scrub_text(text: str) -> str:
    """Scrub one text; see `scrub`.

    Examples
    --------
    >>> scrub_text("Frau Özil-Müller am 2024-05-01: Konto 4711 0815")
    'Frau [name] am 2024-05-01: Konto [account]'
    """
    return _scrubbed(text)[0]


def as_texts(comments: Iterable[Any]) -> pd.Series:
    """Give comments as a Series of text and missing values, or say that they are something else."""
    if isinstance(comments, str):
        raise DataError("comments: expected a column of texts, found one text; give a list")
    series = (
        comments if isinstance(comments, pd.Series) else pd.Series(list(comments), dtype=object)
    )
    values = series.astype(object)
    strange = [type(v).__name__ for v in values if not isinstance(v, str) and not _missing(v)]
    if strange:
        raise DataError(
            f"comments: expected text or nothing, found {len(strange):,} of type "
            f"{', '.join(sorted(set(strange))[:3])}; make the column text"
        )
    return values.where([isinstance(v, str) for v in values], None)


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value


def _scrubbed(text: str) -> tuple[str, list[str]]:
    kinds: list[str] = []
    while True:  # a replacement may lay bare another: until nothing is found
        before = len(kinds)
        for pattern, replace in _RULES:
            text = pattern.sub(partial(replace, kinds), text)
        if len(kinds) == before:
            return text, kinds


def _put(kind: str) -> Replace:
    def replace(kinds: list[str], match: re.Match[str]) -> str:
        kinds.append(kind)
        return f"[{kind}]"

    return replace


def _iban(kinds: list[str], match: re.Match[str]) -> str:
    """Replace the longest beginning whose check digits are right; words may follow a number."""
    text = match[0]
    ends = [len(text), *(i for i in range(len(text) - 1, 14, -1) if text[i] == " ")]
    for end in ends:
        code = text[:end].replace(" ", "").upper()
        if 15 <= len(code) <= 34 and sum(c.isdecimal() for c in code) >= 10:
            number = "".join(str(int(c, 36)) for c in code[4:] + code[:4])
            if int(number) % 97 == 1:
                kinds.append("iban")
                return "[iban]" + text[end:]
    return text


def _cued(kinds: list[str], match: re.Match[str]) -> str:
    cue, number = match[1], match[2]
    if _DATE.fullmatch(number) or re.fullmatch(_YEAR_4, number):
        return match[0]
    kinds.append("account")
    return f"{cue}[account]"


def _numbers(kinds: list[str], match: re.Match[str]) -> str:
    run = match[0]
    digits = [int(c) for c in run if c.isdecimal()]
    whole = match.string
    if 13 <= len(digits) <= 19 and _luhn(digits):
        kind = "card"
    elif (
        len(digits) < 7
        or _dated(run)
        or any(pattern.fullmatch(run) for pattern in (_AMOUNT, _YEARS))
        or _MONEY.search(whole, max(0, match.start() - 8), match.start())
        or (_MONEY_AFTER.match(whole, match.end()) and not run.startswith("+"))
    ):
        return run
    else:
        grouped = run.startswith("+") or len(digits) < len(run)
        kind = "phone" if grouped and len(digits) <= 15 else "account"
    kinds.append(kind)
    return f"[{kind}]"


def _dated(run: str) -> bool:
    """Tell a date, maybe with a time or a short number after it."""
    date = _DATE.match(run)
    return date is not None and sum(c.isdecimal() for c in run[date.end() :]) < 7


def _luhn(digits: list[int]) -> bool:
    doubled = [d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits[::-1])]
    return sum(doubled) % 10 == 0 and any(digits)


def _code(kinds: list[str], match: re.Match[str]) -> str:
    code = match[0]
    if code.isdecimal():  # amounts and dates among plain numbers were judged before
        return code
    kinds.append("account")
    return "[account]"


def _named(kinds: list[str], match: re.Match[str]) -> str:
    title, words = match[1], re.split(r"(\s+)", match[2])
    shouting = title.rstrip(".").isupper() and len(title.rstrip(".")) > 1
    keep = 0
    for place in range(0, len(words), 2):
        capital = words[place][0].isupper()
        if capital:
            keep = place + 1
        elif not keep or words[place] not in _PARTICLES:
            break
        if capital and (shouting or _ends_sentence(words[place])):
            break
    if not keep and title.rstrip(".").casefold() in _UNMISTAKEN:
        keep = 1
    if not keep:
        return match[0]
    kinds.append("name")
    lengths = list(accumulate(len(word) for word in words))
    rest = match[2][lengths[keep - 1] :]
    stop = "." if _ends_sentence(words[keep - 1]) else ""
    return match[0][: match.start(2) - match.start()] + "[name]" + stop + rest


def _ends_sentence(word: str) -> bool:
    return word.endswith(".") and len(word) > 3


_RULES: tuple[tuple[re.Pattern[str], Replace], ...] = (
    (_LINK, _put("link")),
    (_EMAIL, _put("email")),
    (_IBAN, _iban),
    (_CUE, _cued),
    (_DIGITS, _numbers),
    (_CODE, _code),
    (_NAMED, _named),
)
