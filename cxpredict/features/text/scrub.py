"""Personal data out of comments, before anything of them is stored."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import ip_address
from typing import Any

import pandas as pd

from cxpredict.errors import DataError

Replace = Callable[[list[str], re.Match[str]], str]
Rule = Callable[[list[str], str], str]
KINDS = ("link", "email", "ip", "iban", "card", "phone", "account", "name")

_LINK = re.compile(r"(?:https?://|\bwww\.)\S+", re.IGNORECASE)
_PART = r"[^\s@＠<>(){}\[\],;:\"]"
_AT = r"(?:[@＠]| [@＠] | ?[\[(](?i:at)[\])] ?)"
_EMAIL = re.compile(
    rf"{_PART}{{1,64}}{_AT}{_PART}{{1,200}}\.[^\W\d_]{{2,20}}"
)  # bounded: long texts
_IP = re.compile(
    r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\w|\.\d)"
    r"|(?<![\w:])(?=[\da-f:]*::|(?:[\da-f]{1,4}:){7})[\da-f:]{6,39}(?![\w:])",
    re.IGNORECASE,
)
_UNSEEN = r"\u200b-\u200d\u2060\ufeff"  # take no width, and hide numbers
_IBAN = re.compile(rf"\b[A-Z]{{2}}\d{{2}}(?:[ .\-{_UNSEEN}]?[A-Z0-9]){{11,30}}\b", re.IGNORECASE)
_DIGITS = re.compile(
    rf"(?<!\w)[+(]{{0,2}}\d(?:(?:[ \u00a0()\-–/{_UNSEEN}]|\.(?=\d)){{0,3}}\d){{4,}}(?!\w)"
)
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
    r"|srta|señora?|señorita|senhora?|senhorita|signora?|signorina|sig\.ra|sig|dott|dottoressa|dhr"
    "|mevr|meneer|mijnheer|mevrouw|heer|господин|госпожа|г-н|г-жа|κύριος|κυρία"
)
_AS_WRITTEN = r"Miss|Sir|Madam|Dona|Doña|Fru|Don(?= )|Hr\b\.?|Mw\b\.?|M\.|M(?= [A-ZÀ-Þ][^\W\d_])"
_TITLE = re.compile(rf"(?<!\w)(?<!\d )(?:(?i:{_ANY_CASE})\b\.?|(?:{_AS_WRITTEN})(?!\w))")
_LETTER = r"[^\W\d_][\u0300-\u036f]*"
_WORD = re.compile(rf"(\s*)(['’]?{_LETTER}(?:{_LETTER}|['’\-](?=[^\W\d_]))*\.?)")
_ELIDED = re.compile(r"[dl]['’](?=([^\W\d_]))", re.IGNORECASE)
_PARTICLES = frozenset((
    "van", "von", "der", "den", "de", "da", "do", "dos", "das", "di", "du", "del", "della",
    "la", "le", "el", "al", "bin", "ibn", "ter", "ten", "te", "zu", "zur", "zum", "vom", "'t",
    "’t", "'s", "’s",
))  # fmt: skip
_BETWEEN = frozenset(("y", "e"))
_DEGREES = frozenset((
    "dr", "prof", "mag", "dipl", "h", "c", "hc", "med", "phil", "jur", "rer", "nat", "ing",
    "oec", "pol", "theol", "mult", "habil",
))  # fmt: skip
_UNMISTAKEN = ("mr", "mrs", "mme", "mlle")
_MOST_WORDS, _MOST_SHOUTED, _MOST_PARTICLES = 3, 2, 3


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

    - links (they carry tokens), e-mail addresses (also with ``[at]`` or spaces around the @) and
      IP addresses;
    - IBANs whose check digits are right; card numbers of 13 to 19 digits whose Luhn digit is right;
    - phone numbers: 7 to 15 digits in groups, or after ``+``;
    - account numbers: other runs of 7 digits or more, words of letters and digits with 6 digits in
      a row, and numbers of 4 digits or more after a word such as *account*, *order* or *Konto*;
    - up to three capitalised words after a title (Mr, Frau, Mme, Señora, Dhr., г-н…), with
      particles such as *van der* before and between, initials and degrees; also one small-letter
      word after *mr*, *mrs*, *mme*, *mlle*. After a shouted title two words: shouted text cannot
      tell where a name ends, so that the word after a surname goes with it, and a third name stays.
      What stands like a name goes, too: *Madame la Directrice*.

    Dates, years, amounts (beside a currency, with thousands marks, or round) and numbers of up to 6
    digits without such a word stay. A phone number of 6 digits, a name without a title, and short
    codes such as *dossier 4711-22* or *order AB-12345* are not found: scrubbing lowers the risk, it
    does not make text anonymous. Accents come back composed (NFC). Scrubbing again changes nothing.

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
    text = unicodedata.normalize("NFC", text)
    while True:  # a replacement may lay bare another: until nothing is found
        before = len(kinds)
        for rule in _RULES:
            text = rule(kinds, text)
        if len(kinds) == before:
            return text, kinds


def _put(kind: str) -> Replace:
    def replace(kinds: list[str], match: re.Match[str]) -> str:
        kinds.append(kind)
        return f"[{kind}]"

    return replace


def _ibans(kinds: list[str], text: str) -> str:
    """Replace IBANs; what stands after one is looked at again, for it may be another."""
    parts, at = [], 0
    while match := _IBAN.search(text, at):
        end = _iban_end(match[0])
        if end is None:
            parts.append(text[at : match.end()])
            at = match.end()
        else:
            kinds.append("iban")
            parts += [text[at : match.start()], "[iban]"]
            at = match.start() + end
    return "".join([*parts, text[at:]])


def _iban_end(text: str) -> int | None:
    """Find the longest beginning whose check digits are right; words may follow a number."""
    for end in [len(text), *(i for i in range(len(text) - 1, 14, -1) if not text[i].isalnum())]:
        code = "".join(c for c in text[:end] if c.isalnum()).upper()
        if 15 <= len(code) <= 34 and sum(c.isdecimal() for c in code) >= 10:
            number = "".join(str(int(c, 36)) for c in code[4:] + code[:4])
            if int(number) % 97 == 1:
                return end
    return None


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


def _names(kinds: list[str], text: str) -> str:
    """Replace what follows titles."""
    parts, done = [], 0
    for title in _TITLE.finditer(text):
        end = _name_end(text, title) if title.start() >= done else None
        if end is not None:
            kinds.append("name")
            start = (
                title.end() + len(text[title.end() : end]) - len(text[title.end() : end].lstrip())
            )
            parts += [text[done:start], "[name]"]
            done = end
    return "".join([*parts, text[done:]])


def _name_end(text: str, title: re.Match[str]) -> int | None:
    """Find where the name after a title ends; None where no name follows."""
    stem = title[0].rstrip(".")
    most = _MOST_SHOUTED if stem.isupper() and len(stem) > 1 else _MOST_WORDS
    at, end, named, skipped, small = title.end(), None, 0, 0, None
    glued = title[0].endswith(".") and len(stem) > 1
    while named < most and skipped <= _MOST_PARTICLES and (word := _WORD.match(text, at)):
        if not word[1] and not glued:
            break
        at, bare = word.end(), word[2].rstrip(".").casefold()
        degree = word[2].endswith(".") and bare in _DEGREES
        glued = word[2].endswith(".") and (degree or len(bare) == 1)
        between = bare in _PARTICLES or degree or (end is not None and bare in _BETWEEN)
        if _capital(word[2]):
            end, skipped = at, 0
            named += not between and len(bare) > 1
        elif between:
            skipped += 1
        else:
            small = at - _ends_sentence(word[2]) if end is None else None
            break
        if _ends_sentence(word[2]) and not degree:
            return at - 1
    if end is None and small is not None and stem.casefold() in _UNMISTAKEN:
        return small
    return end


def _capital(word: str) -> bool:
    """Tell a word that begins with a capital, or with one after d' or l'."""
    elided = _ELIDED.match(word)
    return (elided[1] if elided else word.lstrip("'’")[:1]).isupper()


def _ends_sentence(word: str) -> bool:
    return word.endswith(".") and len(word) > 3


def _ip(kinds: list[str], match: re.Match[str]) -> str:
    try:
        ip_address(match[0])
    except ValueError:
        return match[0]
    kinds.append("ip")
    return "[ip]"


def _each(pattern: re.Pattern[str], replace: Replace) -> Rule:
    return lambda kinds, text: pattern.sub(partial(replace, kinds), text)


_RULES: tuple[Rule, ...] = (
    _each(_LINK, _put("link")),
    _each(_EMAIL, _put("email")),
    _each(_IP, _ip),
    _ibans,
    _each(_CUE, _cued),
    _each(_DIGITS, _numbers),
    _each(_CODE, _code),
    _names,
)
