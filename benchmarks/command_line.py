"""The real command line, in this process."""

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest.mock import patch

CANARY = "canary"
"""Stands in every id, comment and name of bad inputs: no message may hold it."""


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def said(self):
        """All that it printed, in one line."""
        return " ".join((self.out + " " + self.err).split())

    @property
    def faults(self):
        """What must never be said: an error that nobody expected, a customer's data."""
        return [word for word in ("Traceback", "internal error", CANARY) if word in self.said]


def cxpredict(*arguments):
    """Run ``cxpredict`` with arguments; its exit code and all that it printed."""
    from cxpredict.cli import main

    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        patch.object(sys, "argv", ["cxpredict", *map(str, arguments)]),
        patch.dict("os.environ", {"COLUMNS": "250"}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return Done(int(code), out.getvalue(), err.getvalue())
