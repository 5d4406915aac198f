"""Only what changes is sent: the difference between the cells that a terminal shows and those that it should show.

Textual paints whole widgets: moving the focus repaints both panes, though only their borders change. Over a slow line
each repaint takes seconds, so this module keeps a copy of the terminal's cells, as curses does, and turns a frame into
the shortest update that it finds.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest

from rich.cells import get_character_cell_size

from workbench.ui.base.palette import in_few_colors, in_palette, with_palette_text
from workbench.ui.base.pen import Pen
from workbench.ui.base.sgr import (
    PLAIN,
    RESET,
    Cell,
    Style,
    blank_half,
    has_one_color,
    is_narrow,
    restyle,
    style_of_space,
    swapped,
    transition,
)

SYNC_START, SYNC_END = "\x1b[?2026h", "\x1b[?2026l"
MIN_SYNCHRONIZED = 150
"""Bytes from which on an update is sent as a synchronized one; a shorter one arrives in one piece."""
REPAINTED_ROWS = 12
MAX_STYLES = 40
"""So many of the most frequent styles are drawn one after the other; cells in any other style, row by row."""
MAX_GAP = 4
"""So many unchanged blanks between two changed ones are written again: moving the cursor costs as much."""
HALF_BLOCK, LOWER_HALF = "▀", "▄"
ERASE_BYTES = 5
"""The length of a sequence that erases cells; so many blanks or fewer are sent as they are."""
MIN_ERASE_GAIN = 8
MAX_CHAINED, MIN_CHAIN = 1, 4
"""Spans of so few cells are drawn from top to bottom if so many are below each other."""
TEXT, BLANK, IMAGE = range(3)
"""What the cells of one style are, in the order in which they are drawn."""

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


@dataclass(slots=True)
class Span:
    """Changed cells beside each other that one style draws."""

    row: int
    column: int
    style: Style
    cells: list[Cell]
    end: int
    """The column after it: a wide character is one cell here and takes two columns."""
    is_blank: bool

    def append(self, cell: Cell, end: int) -> bool:
        """Add the cell after it, which ends at a column; `False` if that needs another style."""
        is_blank = cell.text == " "
        if cell.style != self.style and not (is_blank and style_of_space(self.style) == cell.style):
            if not self.is_blank or style_of_space(cell.style) != self.style:
                return False
            self.style = cell.style
        self.cells.append(cell)
        self.end, self.is_blank = end, self.is_blank and is_blank
        return True

    def bridge(self, gap: Sequence[Cell | None], cell: Cell) -> bool:
        """Add unchanged blanks after it, if blanks before and after them changed: erasing all takes one sequence."""
        last = self.cells[-1]
        if last != cell or last.text != " " or any(between != cell for between in gap):
            return False
        self.cells += [cell] * len(gap)
        self.end += len(gap)
        return True


class FrameDiff:
    """What a terminal of a size (columns, rows) shows and what it should show.

    `translate` replaces the characters that the terminal can't show by others of the same width.
    """

    def __init__(self, size: tuple[int, int], translate: Callable[[str], str] | None = None) -> None:
        self.size = size
        self.pen = Pen(size[0])
        self._translate = translate
        self._wanted: list[list[Cell | None]] = []
        self._shown: list[list[Cell | None]] = []
        self._changed_rows: set[int] = set()
        self._row = self._column = 0
        self._style = PLAIN
        self._cursor_shown = (-1, -1)
        self._synchronized = False
        self._in_parts = False
        """Whether a part of the frame was sent: the terminal showed it, so that nothing is gained by synchronizing."""
        self._few_colors = self._palette_text = False
        self.first_rows = self.first_columns = range(0)
        """Where text comes first: what the user looks at."""

    @property
    def is_behind(self) -> bool:
        """Whether the terminal may not show yet what it should."""
        return bool(self._changed_rows)

    @property
    def is_repainted(self) -> bool:
        """Whether much of the screen was painted: panes then lay out their content, which paints a part again."""
        return len(self._changed_rows) >= REPAINTED_ROWS

    def use_few_colors(self, *, images: bool, text: bool) -> None:
        """Send images in few colors from now on, and text in those of the palette; or again in all colors once they
        are drawn.
        """
        if images and not self._few_colors:
            for row in self._changed_rows:
                self._wanted[row] = [
                    cell._replace(style=in_few_colors(cell.style))
                    if cell and cell.text == HALF_BLOCK and cell != shown
                    else cell
                    for cell, shown in zip_longest(
                        self._wanted[row], self._shown[row][: len(self._wanted[row])]
                    )
                ]
        if text and not self._palette_text:  # text that is shown is similar enough, and not sent again
            for cells in (*self._wanted, *self._shown):
                cells[:] = [_with_palette_text(cell) for cell in cells]
        self._few_colors, self._palette_text = images, text

    def resize(self, size: tuple[int, int]) -> None:
        """Forget everything if the size is another one: a full frame follows."""
        if size != self.size:
            self.size = size
            self.pen.columns = size[0]
            self._wanted = []
            self.forget_shown()

    def forget_shown(self) -> None:
        """Assume nothing of what the terminal shows: the next updates draw every cell."""
        self._shown = [[] for _ in self._wanted]
        self._changed_rows = set(range(len(self._wanted)))
        self._cursor_shown = (-1, -1)
        self.pen.forget()

    def feed(self, data: str) -> str:
        """Take over a frame or a part of one; returns its sequences that draw no cells, to be sent as they are."""
        passed: list[str] = []
        for match in _TOKEN.finditer(data):
            final = match["final"]
            if match["text"]:
                text = match["text"]
                self._write(self._translate(text) if self._translate else text)
            elif final == "m":
                self._style = restyle(self._style, match["parameters"])
            elif final == "H":
                row, _, column = match["parameters"].partition(";")
                self._row, self._column = int(row or 1) - 1, int(column or 1) - 1
            elif match[0] in {SYNC_START, SYNC_END}:
                self._synchronized = True
            elif match[0] not in {"\n", "\r"} and not match[0].startswith("\x1b]8;"):
                if final in _CHANGES_CELLS or _ALTERNATE_SCREEN.match(match["parameters"] or ""):
                    if self.pen.style not in {None, PLAIN}:
                        passed.append(RESET)  # cleared cells would get the background
                    self.forget_shown()
                passed.append(match[0])
        return "".join(passed)

    def take(self, limit: int | None = None) -> str:
        """The update that makes the terminal show what it should; empty if it does.

        After `limit` bytes it ends, and the next one continues. Text comes before images.
        """
        pen = self.pen
        for span in self._spans_in_order():
            if limit is not None and pen.size >= limit:
                self._in_parts = True
                return pen.take()
            self._draw(span)
        self._changed_rows.clear()
        if self._wanted and self._cursor_shown != (self._row, self._column):
            pen.move_to(self._row, self._column)
            self._cursor_shown = (self._row, self._column)
        in_parts, self._in_parts = self._in_parts, False
        return pen.take() if in_parts else self._synchronize(pen.take())

    def _synchronize(self, update: str) -> str:
        if self._synchronized and len(update) >= MIN_SYNCHRONIZED:
            return f"{SYNC_START}{update}{SYNC_END}"
        return update

    def _spans_in_order(self) -> Iterator[Span]:
        """What changed: text first, that of `first_rows` and `first_columns` before any other, then images.

        Text and images begin with the blanks around and below them.
        """
        yield from self._erasures()
        spans = self._changed_spans()
        first = [span for span in spans if span.row in self.first_rows and span.column in self.first_columns]
        yield from self._by_style(first, only_text=True)
        yield from self._by_style(self._changed_spans() if first else spans, only_text=True)
        yield from self._erasures()
        yield from self._by_style(self._changed_spans(), only_text=False)

    def _changed_spans(self) -> list[Span]:
        return [span for row in sorted(self._changed_rows) for span in self._spans(row)]

    def _by_style(self, spans: Sequence[Span], *, only_text: bool) -> Iterator[Span]:
        """Style after style, as a change of style costs more than a move."""
        by_style: dict[Style, list[Span]] = defaultdict(list)
        for span in spans:
            by_style[span.style].append(span)
        frequent = sorted(by_style, key=lambda style: -len(by_style[style]))
        ranks = {style: _rank(by_style[style]) for style in frequent[:MAX_STYLES]}
        while ranks and not (only_text and TEXT not in ranks.values()):
            _, _, style = min((rank, self._cost_of(style), style) for style, rank in ranks.items())
            del ranks[style]
            spans = by_style.pop(style)
            background = style_of_space(style)
            if ranks.get(background) == BLANK:
                del ranks[background]
                spans = sorted(spans + by_style.pop(background), key=_place)
            yield from _chained(spans)
        if not only_text:
            yield from sorted((span for spans in by_style.values() for span in spans), key=_place)

    def _erasures(self) -> Iterator[Span]:
        """Parts of rows with several blanks: they are erased whole, in one sequence, and then drawn upon."""
        if not (self.pen.can_erase or self.pen.can_repeat_ascii or self.pen.can_repeat):
            return
        rows = sorted(self._changed_rows)
        changed = (zip_longest(self._wanted[row], self._shown[row]) for row in rows)
        blanks = Counter(
            cell for row in changed for cell, old in row if cell and cell.text == " " and cell != old
        )
        for blank, _ in blanks.most_common(1):
            for row in rows:
                yield from self._erasures_of_row(row, blank)

    def _erasures_of_row(self, row: int, blank: Cell) -> Iterator[Span]:
        wanted, shown = self._wanted[row], self._shown[row]
        shown.extend([None] * (len(wanted) - len(shown)))
        for is_free, columns in groupby(
            range(len(wanted)), lambda at: _may_erase(wanted[at], shown[at], blank)
        ):
            gaps = [
                [*gap] for is_gap, gap in groupby(columns, lambda at: wanted[at] == blank != shown[at]) if is_gap
            ]  # fmt: skip
            if (
                is_free
                and sum(min(len(gap), ERASE_BYTES) for gap in gaps) >= MIN_ERASE_GAIN
                and len(gaps) > 1
            ):
                start, end = gaps[0][0], gaps[-1][-1] + 1
                yield Span(row, start, blank.style, [blank] * (end - start), end, is_blank=True)

    def _cost_of(self, style: Style) -> int:
        return len(transition(self.pen.style or PLAIN, style))

    def _draw(self, span: Span) -> None:
        pen, wanted, shown = self.pen, self._wanted[span.row], self._shown[span.row]
        cells = span.cells
        if pen.style != span.style and not (span.is_blank and pen.can_draw(cells[0])):
            style, cells = self._cheapest(span)
            pen.use(style)
        gap = wanted[pen.column : span.column] if pen.row == span.row and pen.column >= 0 else ()
        same = [cell for cell in gap if cell is not None and cell.text.isascii() and pen.can_draw(cell)]
        if gap and len(same) == len(gap) <= len(pen.path_to(span.row, span.column)):
            pen.draw(same)
        pen.move_to(span.row, span.column)
        pen.draw(cells)
        drawn = span.cells if span.is_blank else wanted[span.column : span.end]
        self._mark_shown(shown, drawn, span.column, span.end)
        self._cursor_shown = (-1, -1)

    def _write(self, text: str) -> None:
        columns, rows = self.size
        if self._row >= rows:  # a frame of the size before
            return
        while len(self._wanted) <= self._row:
            self._wanted.append([])
            self._shown.append([])
        row, column, style = self._wanted[self._row], self._column, self._style
        if HALF_BLOCK in text:
            text, style = self._pixels(text, style)
        elif self._palette_text:
            style = with_palette_text(style)
        blank = style_of_space(style)
        before = len(row)
        if (missing := column + 2 * len(text) + 1 - before) > 0:
            row.extend([None] * missing)
        if (cell := row[column]) and not cell.text and column:
            row[column - 1] = blank_half(cell)  # its right half is overwritten
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
            elif column > self._column:
                _combine(row, column - 1, character)
        if (cell := row[column]) and not cell.text:
            row[column] = blank_half(cell)  # its left half was overwritten
        del row[min(max(column, before), columns) :]
        self._column = column
        self._changed_rows.add(self._row)

    def _cheapest(self, span: Span) -> tuple[Style, list[Cell]]:
        """A style that draws a span, and cells that look like it in this style: of an image, perhaps upside down."""
        present, turned = self.pen.style, swapped(span.style)
        if present is None or turned == span.style or any(cell.text != HALF_BLOCK for cell in span.cells):
            return span.style, span.cells
        if len(transition(present, turned)) < len(transition(present, span.style)):
            return turned, [Cell(LOWER_HALF, turned)] * len(span.cells)
        return span.style, span.cells

    def _pixels(self, text: str, style: Style) -> tuple[str, Style]:
        style = in_few_colors(style) if self._few_colors else in_palette(style)
        return (text.replace(HALF_BLOCK, " ") if has_one_color(style) else text), style

    @staticmethod
    def _mark_shown(shown: list[Cell | None], drawn: Sequence[Cell | None], start: int, end: int) -> None:
        if start and (old := shown[start]) and not old.text:
            shown[start - 1] = None  # its right half was overwritten
        if end < len(shown) and (old := shown[end]) and not old.text:
            shown[end] = None  # its left half was overwritten
        shown[start:end] = drawn

    def _spans(self, row: int) -> Iterator[Span]:
        wanted, shown = self._wanted[row], self._shown[row]
        shown.extend([None] * (len(wanted) - len(shown)))
        span: Span | None = None
        for column, (cell, old) in enumerate(zip(wanted, shown, strict=True)):
            if cell is None or not cell.text:
                continue
            end = column + 1
            if end < len(wanted) and (half := wanted[end]) is not None and not half.text:
                end += 1
            if cell == old and (end == column + 1 or shown[column + 1] == wanted[column + 1]):
                continue
            if span and span.end < column and self._joins_blanks(column - span.end):
                span.bridge(wanted[span.end : column], cell)
            if not (span and span.end == column and span.append(cell, end)):
                if span:
                    yield span
                span = Span(row, column, cell.style, [cell], end, cell.text == " ")
            if cell.text >= "\u0300" and not is_narrow(cell.text):
                yield span
                span = None
        if span:
            yield span

    def _joins_blanks(self, gap: int) -> bool:
        return gap <= MAX_GAP or self.pen.can_erase or self.pen.can_repeat or self.pen.can_repeat_ascii


def _may_erase(wanted: Cell | None, shown: Cell | None, blank: Cell) -> bool:
    """Whether a cell may be blank for a moment: it is or becomes blank, or is drawn in any case."""
    if (
        wanted is None or not wanted.text or (shown is not None and not shown.text)
    ):  # a half of a wide character
        return False
    return wanted == blank or wanted != shown


def _with_palette_text(cell: Cell | None) -> Cell | None:
    if cell is None or cell.text in {HALF_BLOCK, LOWER_HALF}:
        return cell
    return Cell(cell.text, with_palette_text(cell.style))


def _combine(row: list[Cell | None], column: int, character: str) -> None:
    """Add a combining character, a joiner or a variation selector to the cell that it belongs to."""
    if (cell := row[column]) and not cell.text:
        column, cell = column - 1, row[column - 1]
    if cell:
        row[column] = Cell(cell.text + character, cell.style)


def _chained(spans: Sequence[Span]) -> list[Span]:
    """Short spans below each other come one after the other: from cell to cell of a border, it is one step down."""
    chains: list[list[Span]] = []
    last: dict[int, list[Span]] = {}
    for span in spans:
        chain = last.get(span.column)
        if (
            chain
            and chain[-1].row == span.row - 1
            and max(len(chain[-1].cells), len(span.cells)) <= MAX_CHAINED
        ):
            chain.append(span)
        else:
            chains.append(chain := [span])
        last[span.column] = chain
    single = sorted((span for chain in chains if len(chain) < MIN_CHAIN for span in chain), key=_place)
    return single + [span for chain in chains if len(chain) >= MIN_CHAIN for span in chain]


def _rank(spans: Sequence[Span]) -> int:
    if any(cell.text not in {" ", HALF_BLOCK} for span in spans for cell in span.cells):
        return TEXT
    return BLANK if all(span.is_blank for span in spans) else IMAGE


def _place(span: Span) -> tuple[int, int]:
    return span.row, span.column
