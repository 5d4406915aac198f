"""Only what changes is sent: the difference between the cells that a terminal shows and those that it should show.

Textual paints whole widgets: moving the focus repaints both panes, though only their borders change. Over a slow line
each repaint takes seconds, so this module keeps a copy of the terminal's cells, as curses does, and turns a frame into
the shortest update that it finds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from rich.cells import get_character_cell_size

SYNC_START, SYNC_END = "\x1b[?2026h", "\x1b[?2026l"
RESET = "\x1b[0m"
MAX_GAP = 4
"""So many unchanged cells between two changed ones are sent again: moving the cursor costs as much."""
MAX_DEFERRED = 8
"""Runs of so few cells in another style are drawn last, by style: a change of color costs more than a move."""
HALF_BLOCK = "▀"
MIN_ERASED = 10
"""From so many spaces on, erasing cells and moving the cursor costs less than the spaces."""

_TOKEN = re.compile(
    r"\x1b\[(?P<parameters>[0-?]*)[ -/]*(?P<final>[@-~])"  # CSI
    r"|\x1b\](?:[^\x07\x1b]|\x1b(?!\\))*(?:\x07|\x1b\\)"  # OSC
    r"|\x1b[P_^X](?:[^\x1b]|\x1b(?!\\))*\x1b\\"  # DCS and other strings
    r"|\x1b."
    r"|[\x00-\x1a\x1c-\x1f\x7f]"
    r"|(?P<text>[^\x00-\x1f\x7f]+)",
    re.DOTALL,
)
_CHANGES_CELLS = frozenset("@JKLMPSTXr")
_ALTERNATE_SCREEN = re.compile(r"\?(47|1047|1049)$")
_END_OF_ATTRIBUTE = {
    "1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "6": "25", "7": "27", "8": "28", "9": "29",
    "21": "24", "51": "54", "52": "54", "53": "55",
}  # fmt: skip
_VISIBLE_ON_SPACE = {"4", "7", "9", "21", "53"}
"""SGR attributes that are visible on a space: underlines, reverse, strike, overline."""


class Style(NamedTuple):
    """The look of a cell as SGR parameters."""

    attributes: str = ""
    foreground: str = ""
    background: str = ""


class Cell(NamedTuple):
    """One cell; the right half of a wide character has no text."""

    text: str
    style: Style


PLAIN = Style()


class FrameDiff:
    """What a terminal of a size (columns, rows) shows and what it should show.

    `can_erase`: erasing cells gives them the current background (terminfo's `bce` and `ech`). `translate` replaces
    the characters that the terminal can't show by others of the same width.
    """

    def __init__(
        self,
        size: tuple[int, int],
        can_erase: bool = False,
        translate: Callable[[str], str] | None = None,
    ) -> None:
        self.size = size
        self._can_erase, self._translate = can_erase, translate
        self._wanted: list[list[Cell | None]] = []
        self._shown: list[list[Cell | None]] = []
        self._changed_rows: set[int] = set()
        self._row = self._column = 0
        self._style = PLAIN
        self._cursor_shown = (-1, -1)
        self._synchronized = False

    def resize(self, size: tuple[int, int]) -> None:
        """Forget everything if the size is another one: a full frame follows."""
        if size != self.size:
            self.size = size
            self._wanted = []
            self.forget_shown()

    def forget_shown(self) -> None:
        """Assume nothing of what the terminal shows: the next update draws every cell."""
        self._shown = [[] for _ in self._wanted]
        self._changed_rows = set(range(len(self._wanted)))
        self._cursor_shown = (-1, -1)

    def feed(self, data: str) -> str:
        """Take over a frame or a part of one; returns its sequences that draw no cells, to be sent as they are."""
        passed: list[str] = []
        for match in _TOKEN.finditer(data):
            final = match["final"]
            if match["text"]:
                text = match["text"]
                self._write(self._translate(text) if self._translate else text)
            elif final == "m":
                self._style = _restyle(self._style, match["parameters"])
            elif final == "H":
                row, _, column = match["parameters"].partition(";")
                self._row, self._column = int(row or 1) - 1, int(column or 1) - 1
            elif match[0] in {SYNC_START, SYNC_END}:
                self._synchronized = True
            elif match[0] not in {"\n", "\r"} and not match[0].startswith("\x1b]8;"):
                if final in _CHANGES_CELLS or _ALTERNATE_SCREEN.match(match["parameters"] or ""):
                    self.forget_shown()
                passed.append(match[0])
        return "".join(passed)

    def take(self) -> str:
        """The update that makes the terminal show what it should; empty if it does."""
        pen = _Pen(self._cursor_shown)
        later: dict[Style, list[tuple[int, int, list[Cell]]]] = {}
        for row in sorted(self._changed_rows):
            self._update_row(row, pen, later)
        for runs in later.values():
            for row, column, run in runs:
                pen.move_to(row, column)
                pen.draw(run)
        self._changed_rows.clear()
        if pen.style != PLAIN:
            pen.parts.append(RESET)
        if self._wanted:
            pen.move_to(self._row, self._column)
            self._cursor_shown = (self._row, self._column)
        update = "".join(pen.parts)
        return f"{SYNC_START}{update}{SYNC_END}" if update and self._synchronized else update

    def _write(self, text: str) -> None:
        columns, rows = self.size
        if self._row >= rows:  # a frame of the size before
            return
        while len(self._wanted) <= self._row:
            self._wanted.append([])
            self._shown.append([])
        row, column, style = self._wanted[self._row], self._column, self._style
        blank = _style_of_space(style)
        text = text.replace(HALF_BLOCK, " ") if _has_one_color(style) else text
        before = len(row)
        if (missing := column + 2 * len(text) + 1 - before) > 0:
            row.extend([None] * missing)
        if (cell := row[column]) and not cell.text and column:
            row[column - 1] = _blank(cell)  # its right half is overwritten
        for character in text:
            if character == " ":
                row[column] = Cell(" ", blank)
                column += 1
            elif (width := 1 if character < "\u0300" else get_character_cell_size(character)) == 1:
                row[column] = Cell(character, style)
                column += 1
            elif width == 2:
                row[column], row[column + 1] = Cell(character, style), Cell("", style)
                column += 2
            elif column > self._column:  # a combining character, a joiner, a variation selector
                base = column - 1
                if (cell := row[base]) and not cell.text:
                    base, cell = base - 1, row[base - 1]
                if cell:
                    row[base] = Cell(cell.text + character, cell.style)
        if (cell := row[column]) and not cell.text:
            row[column] = _blank(cell)  # its left half was overwritten
        del row[min(max(column, before), columns) :]
        self._column = column
        self._changed_rows.add(self._row)

    def _update_row(self, row: int, pen: _Pen, later: dict[Style, list[tuple[int, int, list[Cell]]]]) -> None:
        wanted, shown = self._wanted[row], self._shown[row]
        shown.extend([None] * (len(wanted) - len(shown)))
        start = drawn = 0
        while start < len(wanted):
            cell = wanted[start]
            if cell is None or not cell.text or cell == shown[start]:
                shown[start] = cell
                start += 1
                continue
            run = _changed_run(wanted, shown, start)
            end = start + len(run)
            if (spaces := self._erasable(wanted, start)) >= MIN_ERASED:
                pen.move_to(row, start)
                pen.erase(spaces, cell)
                end = start + spaces
            elif len(run) <= MAX_DEFERRED and not pen.can_draw(cell):
                later.setdefault(cell.style, []).append((row, start, run))
            else:
                if (pen.row, pen.column) == (row, drawn):
                    pen.bridge(wanted[drawn:start])
                pen.move_to(row, start)
                pen.draw(run)
                drawn = end
            shown[start:end] = wanted[start:end]
            start = end

    def _erasable(self, row: Sequence[Cell | None], start: int) -> int:
        """How many equal spaces begin there, if the terminal can erase cells."""
        cell, end = row[start], start
        if not self._can_erase or cell is None or cell.text != " " or cell.style.attributes:
            return 0
        while end < len(row) and row[end] == cell:
            end += 1
        return end - start


class _Pen:
    """Collects the sequences of an update, and knows where they leave the cursor and how it writes."""

    def __init__(self, cursor: tuple[int, int]) -> None:
        self.row, self.column = cursor
        self.style = PLAIN
        self.parts: list[str] = []

    def move_to(self, row: int, column: int) -> None:
        """Move the cursor, if it isn't there."""
        if (self.row, self.column) == (row, column):
            return
        forward = column - self.column
        if self.row == row and self.column >= 0 and forward > 0:
            self.parts.append("\x1b[C" if forward == 1 else f"\x1b[{forward}C")
        else:
            self.parts.append(f"\x1b[{row + 1}H" if column == 0 else f"\x1b[{row + 1};{column + 1}H")
        self.row, self.column = row, column

    def can_draw(self, cell: Cell) -> bool:
        """Whether a cell can be drawn without a change of style; a space has no foreground."""
        return cell.style == self.style or (cell.text == " " and cell.style == _style_of_space(self.style))

    def erase(self, count: int, space: Cell) -> None:
        """Make cells from the cursor on blank, with the background of `space`."""
        self._use_style_of(space)
        self.parts.append(f"\x1b[{count}X")

    def _use_style_of(self, cell: Cell) -> None:
        if not self.can_draw(cell):
            self.parts.append(_transition(self.style, cell.style))
            self.style = cell.style

    def draw(self, cells: Sequence[Cell]) -> None:
        """Draw cells from the cursor on."""
        for cell in cells:
            if not cell.text:
                continue
            self._use_style_of(cell)
            self.parts.append(cell.text)
            # Terminals disagree about the width of what is not a single narrow character: move explicitly after it.
            self.column = self.column + 1 if self.column >= 0 and _is_narrow(cell.text) else -1

    def bridge(self, gap: Sequence[Cell | None]) -> None:
        """Draw a few unchanged cells again rather than move the cursor over them, if that is shorter."""
        cells = [cell for cell in gap if cell is not None and cell.text.isascii() and self.can_draw(cell)]
        if len(cells) == len(gap) <= MAX_GAP:
            self.draw(cells)


def _is_narrow(text: str) -> bool:
    return len(text) == 1 and (text < "\u0300" or get_character_cell_size(text) == 1)


def _changed_run(wanted: Sequence[Cell | None], shown: Sequence[Cell | None], start: int) -> list[Cell]:
    """The cells from `start` on that changed and have one style; after a cell of unsure width, none follows."""
    run: list[Cell] = []
    for cell, old in zip(wanted[start:], shown[start:], strict=True):
        if cell is None or cell == old or (run and cell.style != run[0].style):
            break
        run.append(cell)
        if not _is_narrow(cell.text):
            break
    return run


def _blank(half: Cell) -> Cell:
    """What terminals show instead of a half of a wide character."""
    return Cell(" ", Style("", "", half.style.background))


@lru_cache(maxsize=8192)
def _restyle(style: Style, parameters: str) -> Style:
    """The style after an SGR sequence."""
    codes = iter(parameters.split(";"))
    attributes = [code for code in style.attributes.split(";") if code]
    _, foreground, background = style
    for code in codes:
        if code in {"", "0"}:
            attributes, foreground, background = [], "", ""
        elif code in {"38", "48"}:
            kind = next(codes, "5")
            color = ";".join([code, kind, *(next(codes, "0") for _ in range(3 if kind == "2" else 1))])
            foreground, background = (color, background) if code == "38" else (foreground, color)
        elif code == "39":
            foreground = ""
        elif code == "49":
            background = ""
        elif len(code) >= 2 and code[:-1] in {"3", "9"}:
            foreground = code
        elif len(code) >= 2 and code[:-1] in {"4", "10"}:
            background = code
        elif code in _END_OF_ATTRIBUTE and code not in attributes:
            attributes.append(code)
    return Style(";".join(attributes), foreground, background)


@lru_cache(maxsize=8192)
def _style_of_space(style: Style) -> Style:
    """The part of a style that is visible on a space."""
    if _VISIBLE_ON_SPACE.isdisjoint(style.attributes.split(";")):
        return Style("", "", style.background)
    return style


@lru_cache(maxsize=8192)
def _has_one_color(style: Style) -> bool:
    """Whether a half block in this style looks like a space, which takes fewer bytes."""
    attributes, foreground, background = style
    same = foreground.startswith("38;") and background.startswith("48;") and foreground[3:] == background[3:]
    return same and not attributes


@lru_cache(maxsize=8192)
def _transition(old: Style, new: Style) -> str:
    """The SGR sequence from one style to another."""
    if new == PLAIN:
        return RESET
    before, after = (set(filter(None, style.attributes.split(";"))) for style in (old, new))
    ends = {_END_OF_ATTRIBUTE[code] for code in before - after}
    kept = {code for code in before & after if _END_OF_ATTRIBUTE[code] not in ends}
    codes = sorted(ends) + sorted(after - kept)
    codes += [] if new.foreground == old.foreground else [new.foreground or "39"]
    codes += [] if new.background == old.background else [new.background or "49"]
    return f"\x1b[{';'.join(codes)}m"
