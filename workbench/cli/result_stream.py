"""The stream of results, stdout, apart from what user code prints in the process of a command."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TextIO

_streams: list[TextIO] = []


def result_stream() -> TextIO:
    """Where results are printed: `sys.stdout`, also while user code that uses it prints to stderr."""
    return _streams[-1] if _streams else sys.stdout


@contextlib.contextmanager
def user_output_on_stderr() -> Iterator[None]:
    """While a command runs a user's dataset or model, what that prints goes to stderr: stdout has results only."""
    _streams.append(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _streams.pop()
