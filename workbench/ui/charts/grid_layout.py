"""Where the charts of a grid are: pages of rows, each section of metrics on rows of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.charts.metric_names import Section
from workbench.ui.services.saved_layout import MAX_SIDE

USUAL_CELLS, USUAL_ROWS = 38, 6
"""The size that charts have at least where the grid is not chosen by the user."""
LEAST_CELLS, LEAST_ROWS = 20, 5
"""The size below which fewer charts are shown than the user has chosen."""
GAP = 1
"""Empty cells between charts."""


@dataclass(frozen=True)
class Slot:
    """A chart on a page, in cells of the grid."""

    name: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Heading:
    """The name of a section on a page, above its first row of charts or at the top of a page."""

    text: str
    y: int


@dataclass(frozen=True)
class Page:
    """What is visible at once."""

    slots: Sequence[Slot]
    headings: Sequence[Heading] = ()


def sides(width: int, height: int, chosen: int | None) -> tuple[int, int]:
    """Charts across and down in a grid of `width` × `height` cells; `chosen`: the most of both."""
    cells, rows = (USUAL_CELLS, USUAL_ROWS) if chosen is None else (LEAST_CELLS, LEAST_ROWS)
    most = chosen or MAX_SIDE
    return min(most, max(1, width // cells)), min(most, max(1, height // rows))


def single_page(name: str, width: int, height: int) -> Page:
    """A page with one chart."""
    return Page([Slot(name, 0, 0, width, height)])


def lay_out(sections: Sequence[Section], width: int, height: int, chosen: int | None) -> list[Page]:
    """All pages. A section begins on a new row, below its heading if there are several sections."""
    across, down = sides(width, height, chosen)
    rows = [row for section in sections for row in _rows(section, across)]
    pages = []
    for start in range(0, len(rows), down):
        slots: list[Slot] = []
        headings: list[Heading] = []
        for number, row in enumerate(rows[start : start + down]):
            top, bottom = number * height // down, (number + 1) * height // down
            if len(sections) > 1 and (number == 0 or row.is_first):
                headings.append(Heading(row.heading, top))
                top += 1
            slots += row.slots(width, top, bottom)
        pages.append(Page(slots, headings))
    return pages


@dataclass(frozen=True)
class _Row:
    """Charts beside each other."""

    names: Sequence[str]
    across: int
    heading: str
    is_first: bool

    def slots(self, width: int, top: int, bottom: int) -> list[Slot]:
        edges = [column * (width + GAP) // self.across for column in range(self.across + 1)]
        return [
            Slot(name, left, top, right - GAP - left, bottom - top)
            for name, left, right in zip(
                self.names, edges, edges[1:], strict=False
            )  # the last row may have fewer
        ]


def _rows(section: Section, most: int) -> list[_Row]:
    """The rows of a section, of equal length as far as possible, so that none is nearly empty."""
    count = len(section.names)
    across = -(-count // -(-count // most))
    heading = f"{section.prefix or 'others'} ({count})"
    return [
        _Row(section.names[start : start + across], across, heading, start == 0)
        for start in range(0, count, across)
    ]
