"""JSON without its traps: no repeated keys, no NaN, no infinity, nothing nested without end."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from cxpredict.errors import ModelError

__all__ = ["read_json", "to_json"]


def to_json(content: Any) -> bytes:
    """Write plain values as UTF-8 JSON: the same content gives the same bytes."""
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(name: str, content: bytes) -> dict[str, Any]:
    """Read a JSON object strictly.

    Parameters
    ----------
    name : str
        What the content is called in a message.
    content : bytes
        UTF-8 text.

    Returns
    -------
    dict

    Raises
    ------
    ModelError
        It is no JSON object, or one with a repeated key, NaN, an infinite number, a whole number
        of thousands of digits, or nesting beyond Python's recursion limit.

    Examples
    --------
    >>> read_json("a.json", b'{"a": 1}')
    {'a': 1}
    >>> read_json("a.json", b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
    cxpredict.errors.ModelError: a.json: expected one JSON object, found a key given twice
    """
    try:
        found = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except RecursionError:
        raise ModelError(f"{name}: expected one JSON object, found endless nesting") from None
    except json.JSONDecodeError as error:
        raise ModelError(f"{name}: expected one JSON object, found none ({error.msg})") from None
    except ValueError as error:
        cause = str(error) if type(error) is ValueError else "text that is not UTF-8"
        raise ModelError(f"{name}: expected one JSON object, found {cause[:80]}") from None
    if not isinstance(found, dict):
        raise ModelError(f"{name}: expected one JSON object, found {type(found).__name__}")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key given twice")
    return found


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant}, which is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond what can be stored")
    return number
