"""Errors whose text is written for the person at the keyboard: one line that says what and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BadInput(ValueError):
    """Something a person gave can't be used. The message is one line and stands alone.

    Commands print it on stderr and exit with 2; panes show it as a notice.
    """


class RunFailed(RuntimeError):
    """A run can't go on for a reason that is said in one line (written to `exit.json` as `failed`)."""


class NonFiniteLoss(RunFailed):
    """The loss or a weight became NaN or infinite, and the run can't recover from that."""


class NotEnoughMemory(RunFailed):
    """Memory ran out, and no smaller part of a batch fits."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"` for the choice that is most like `word`, else an empty string."""
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f" (did you mean '{found[0]}'?)" if found else ""
