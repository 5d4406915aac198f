"""A widget made of cells, each with its own style, of which only changed spans are sent to the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from workbench.core.text import grapheme_widths, truncate

Cell = tuple[str, str]
"""The text of a cell and the name of its style. The cell after a wide character has empty text."""
Grid = list[list[Cell]]

BLANK: Cell = (" ", "")
MERGE_GAP = 8
"""Changed spans with a smaller gap are merged: moving the terminal's cursor takes as many bytes."""


def to_cells(text: str, style: str, width: int | None = None) -> list[Cell]:
    """Sanitized `text` as cells of one style; with `width`, truncated or padded to it."""
    cells: list[Cell] = []
    for grapheme, wide in grapheme_widths(text if width is None else truncate(text, width)):
        if wide:
            cells += [(grapheme, style), ("", style)][:wide]
    return cells if width is None else cells + [(" ", style)] * (width - len(cells))


def changed_spans(
    before: Sequence[Sequence[Cell]], after: Sequence[Sequence[Cell]]
) -> list[tuple[int, int, int]]:
    """The spans that differ between two grids: row, first column and width of each."""
    spans = []
    for y in range(max(len(before), len(after))):
        old = before[y] if y < len(before) else ()
        new = after[y] if y < len(after) else ()
        spans += [(y, start, width) for start, width in _row_spans(old, new)]
    return spans


def _row_spans(old: Sequence[Cell], new: Sequence[Cell]) -> list[tuple[int, int]]:
    if old == new:
        return []
    if len(old) != len(new):
        return [(0, max(len(old), len(new)))]
    spans: list[tuple[int, int]] = []
    for x in (x for x, (a, b) in enumerate(zip(old, new, strict=True)) if a != b):
        if spans and x - sum(spans[-1]) < MERGE_GAP:
            spans[-1] = (spans[-1][0], x + 1 - spans[-1][0])
        else:
            spans.append((x, 1))
    return spans


class CellView(Widget):
    """Shows the grid of the last `paint`."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._grid: Grid = []

    @property
    def lines(self) -> list[str]:
        """The text of each row."""
        return ["".join(text for text, _ in row) for row in self._grid]

    def paint(self, grid: Grid) -> None:
        """Show `grid`; only what changed is drawn again."""
        before, self._grid = self._grid, grid
        for y, x, width in changed_spans(before, grid):
            self.refresh(Region(x, y, width, 1))

    def render_line(self, y: int) -> Strip:
        """One row; every segment has a style, since Textual's `NO_COLOR` filter fails on segments without one."""
        row = self._grid[y] if y < len(self._grid) else []
        ground, parse = self.visual_style, self.app.stylesheet.parse_style
        segments = [
            Segment("".join(text for text, _ in run), (ground + parse(style)).rich_style)
            for style, run in groupby(row, lambda cell: cell[1])
        ]
        return Strip(segments).adjust_cell_length(self.size.width, ground.rich_style)
