"""The real command line, in this process: exit code, output, and no customer in either."""

import contextlib
import io
import sys
from dataclasses import dataclass
from unittest.mock import patch

CANARY = "canary"
"""Stands in every id, comment and name of the bad inputs: no message may hold it."""


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


def cxpredict(*arguments):
    """Run a command; an unexpected error or a customer's data in its words is a failure."""
    from cxpredict.cli import main

    out, err, code = io.StringIO(), io.StringIO(), 0
    words = ["cxpredict", *map(str, arguments)]
    with (
        patch.object(sys, "argv", words),
        patch.dict("os.environ", {"COLUMNS": "250"}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    done = Done(int(code), out.getvalue(), err.getvalue())
    assert "Traceback" not in done.said
    assert "internal error" not in done.said, done.said
    assert CANARY not in done.said, done.said
    return done
