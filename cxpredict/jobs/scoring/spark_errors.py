"""Errors of a Spark job as errors of this library, without a row of data in their text."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from cxpredict import errors
from cxpredict.errors import ConfigError, CxPredictError

_OURS = re.compile(r"cxpredict\.errors\.(\w+): (.+)")
_ABSENT = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")


@contextmanager
def translating() -> Iterator[None]:
    """Turn errors of Spark into those of this library.

    Raises
    ------
    CxPredictError
        The worker's own error if it is one of this library; a ConfigError that says what to
        install where a worker lacks a package; else the name of Spark's error, without its text.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    echo = logging.getLogger("SQLQueryContextLogger")
    before, echo.disabled = echo.disabled, True  # it would print the text of the error
    try:
        yield
    except (PySparkException, Py4JError) as error:
        told = _told(error)
        # the text of the error may hold a customer's data
        raise told from None
    finally:
        echo.disabled = before


def _told(error: Exception) -> CxPredictError:
    text = str(error)
    if found := _OURS.search(text):
        kind: type[CxPredictError] | None = getattr(errors, found[1], None)
        return CxPredictError(found[2]) if kind is None else kind(found[2])
    if found := _ABSENT.search(text):
        return ConfigError(
            f"a worker of Spark has no module {found[1]!r}: install the same cxpredict on every "
            "worker, or ship an environment that holds it (spark-submit --archives)"
        )
    return CxPredictError(
        f"Spark could not finish the job ({_name(error)}); its own log says where and why"
    )


def _name(error: Exception) -> str:
    condition = getattr(error, "getCondition", None) or getattr(error, "getErrorClass", None)
    known = condition() if condition is not None else None
    java = getattr(error, "java_exception", None)
    return str(known or (java.getClass().getName() if java is not None else type(error).__name__))
