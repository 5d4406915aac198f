"""Errors whose message is shown to the user: one line that states the problem and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Invalid input: a setting, a file, a name. The message is one line and needs no context.

    Commands print it to stderr and exit with code 2; the screen shows it as a notification. Line ends, which names and
    values in it may have, become spaces.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))


class RunFailed(RuntimeError):
    """A run can't continue. The message, one line, becomes the reason in `exit.json` (status `failed`)."""


class NonFiniteLoss(RunFailed):
    """The loss or a weight became NaN or infinite, and the run can't recover from that."""


class NotEnoughMemory(RunFailed):
    """Memory ran out, and no smaller micro-batch fits."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"` for the choice closest to `word`; an empty string where none is close."""
    matches = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f" (did you mean '{matches[0]}'?)" if matches else ""
