"""Writes cells with few bytes: the cursor takes the shortest way, characters are repeated, and blanks erased."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from workbench.ui.base.sgr import PLAIN, RESET, Cell, Style, is_narrow, style_of_space, transition

UNKNOWN = -1
MAX_SINGLE_STEPS = 3
"""So many steps back or down are sent as single characters; beyond it, a sequence with a number is shorter."""


class Pen:
    """Collects sequences, and knows where they leave the cursor and with which style it writes."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.can_erase = False
        """Whether erased cells get the current background (terminfo's `bce`)."""
        self.can_repeat = False
        """Whether `CSI n b` repeats the last character (REP)."""
        self.can_repeat_ascii = False
        """Whether it does so at least if that is in ASCII, as tmux before 3.4."""
        self.row = self.column = UNKNOWN
        """`column` is `columns` after a character in the last column: terminals disagree where the cursor is then."""
        self.style: Style | None = None
        """`None` is unknown."""
        self.size = 0
        """The bytes that were collected."""
        self._parts: list[str] = []

    def forget(self) -> None:
        """Assume nothing about the cursor and its style."""
        self.row = self.column = UNKNOWN
        self.style = None

    def take(self) -> str:
        """What was collected."""
        taken = "".join(self._parts)
        self._parts.clear()
        self.size = 0
        return taken

    def move_to(self, row: int, column: int) -> None:
        """Move the cursor, if it isn't there."""
        if (self.row, self.column) != (row, column):
            self._put(self.path_to(row, column))
            self.row, self.column = row, column

    def path_to(self, row: int, column: int) -> str:
        """The shortest sequence that moves the cursor."""
        ways = [f"\x1b[{row + 1}H" if column == 0 else f"\x1b[{row + 1};{column + 1}H"]
        if self.row != UNKNOWN:
            down = _vertical(row - self.row)
            ways.append("\r" + down + _horizontal(column))
            if UNKNOWN < self.column < self.columns:
                ways.append(down + _horizontal(column - self.column))
            elif self.column == self.columns == column + 1 and down:
                ways.append(down)
        return min(ways, key=len)

    def can_draw(self, cell: Cell) -> bool:
        """Whether a cell can be drawn without a change of style; a space has no foreground."""
        if self.style is None:
            return False
        return cell.style == self.style or (cell.text == " " and cell.style == style_of_space(self.style))

    def use(self, style: Style) -> None:
        """Write with a style from now on."""
        if self.style is None:
            self._put(RESET)
            self.style = PLAIN
        self._put(transition(self.style, style))
        self.style = style

    def draw(self, cells: Sequence[Cell]) -> None:
        """Draw cells from the cursor on, all in the current style; only the last one may be of unsure width."""
        pieces = [(text, len(list(group))) for text, group in groupby(cell.text for cell in cells)]
        for index, (text, count) in enumerate(pieces):
            if text == " ":
                self._blank(count, is_last=index == len(pieces) - 1)
            elif is_narrow(text):
                self._write(self._shortest(text, count), count)
            else:  # Terminals disagree about its width: move explicitly after it.
                self._put(text)
                self.column = UNKNOWN

    def _blank(self, count: int, *, is_last: bool) -> None:
        written = self._shortest(" ", count)
        if not self.can_erase:
            self._write(written, count)
            return
        at_end = is_last and self.column + count == self.columns
        erased = "\x1b[K" if at_end else "\x1b[X" if count == 1 else f"\x1b[{count}X"
        skip = "" if is_last else _horizontal(count)
        if len(erased + skip) < len(written):
            self._put(erased + skip)
            self.column += 0 if is_last else count
        else:
            self._write(written, count)

    def _shortest(self, character: str, count: int) -> str:
        written = character * count
        if count > 1 and (self.can_repeat or (self.can_repeat_ascii and character.isascii())):
            repeated = f"{character}\x1b[{count - 1}b"
            return min(written, repeated, key=_bytes)
        return written

    def _write(self, text: str, width: int) -> None:
        self._put(text)
        self.column = min(self.column + width, self.columns)

    def _put(self, text: str) -> None:
        if text:
            self._parts.append(text)
            self.size += _bytes(text)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _vertical(rows: int) -> str:
    if 0 <= rows <= MAX_SINGLE_STEPS:
        return "\v" * rows  # a line feed without the carriage return that the tty would add
    return ("\x1b[A" if rows == -1 else f"\x1b[{-rows}A") if rows < 0 else f"\x1b[{rows}B"


def _horizontal(columns: int) -> str:
    if -MAX_SINGLE_STEPS <= columns <= 0:
        return "\b" * -columns
    return f"\x1b[{-columns}D" if columns < 0 else "\x1b[C" if columns == 1 else f"\x1b[{columns}C"
