"""An argument parser whose errors are one line for people."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from workbench.core.errors import UserError
from workbench.core.text import sanitize


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line instead of a usage text."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("type", int, _whole_number)
        self.register("type", float, _number)

    def error(self, message: str) -> NoReturn:
        """Raise `UserError` with argparse's message and the command that prints help."""
        command = self.prog.split()[1:2]
        raise UserError(f"{one_line(message)} (see 'workbench {command[0] + ' ' if command else ''}--help')")


def one_line(message: str) -> str:
    """A message without line breaks and control characters."""
    return sanitize(" ".join(message.split()))


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
