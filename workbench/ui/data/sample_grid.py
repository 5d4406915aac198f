"""A grid of thumbnails with captions and a cursor, loaded page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from PIL import Image
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from workbench.core.text import pad, truncate
from workbench.ui.base.terminal_app import TerminalApp
from workbench.ui.widgets.image_view import draw_image

SIZES = ((15, 12), (11, 8), (9, 4), (7, 2), (3, 1))
"""Minimum width of a tile in cells, and the tiles that must then fit; the first entry that fits is used."""
_MAX_TILE_WIDTH = 33
FEW = (4, 2, 17)
"""The most tiles in a row, rows, and cells of a tile's width on a page that is sent over a slow line."""


@dataclass(frozen=True)
class Sample:
    """An image with its sanitized caption."""

    index: int
    label: int | None
    """Its class index, if it has one."""
    caption: str
    image: Image.Image


@dataclass(frozen=True)
class Tiles:
    """The layout of a page. `width` is in cells and includes a blank column."""

    across: int
    down: int
    width: int

    @property
    def height(self) -> int:
        """Rows of a tile, caption included."""
        return self.width // 2 + 1

    @property
    def count(self) -> int:
        """Tiles on a page."""
        return self.across * self.down


def fit_tiles(width: int, height: int) -> Tiles:
    """The largest tiles of which enough fit on a page of `width` × `height` cells."""
    for min_width, min_count in SIZES:
        for side in range(_MAX_TILE_WIDTH, min_width - 1, -2):
            layout = Tiles(width // side, height // (side // 2 + 1), side)
            if layout.count >= min_count:
                return layout
    return fit_tile(width, height)


def fit_few_tiles(width: int, height: int) -> Tiles:
    """Of a page as `fit_tiles` lays it out, so much as a slow line carries in about a second."""
    fit = fit_tiles(width, height)
    return Tiles(*map(min, (fit.across, fit.down, fit.width), FEW))


def fit_tile(width: int, height: int) -> Tiles:
    """One tile, as large as fits on a page of `width` × `height` cells."""
    return Tiles(1, 1, max(3, min(width, 2 * height - 1)))


class SampleGrid(Widget, can_focus=True):
    """Shows a page of samples; posts a message when it needs another page, or a sample is opened."""

    DEFAULT_CSS = "SampleGrid { height: 1fr; width: 1fr; }"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "left", show=False),
        Binding("right,l", "step(1)", "right", show=False),
        Binding("up,k", "row(-1)", "up", show=False),
        Binding("down,j", "row(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page back", show=False),
        Binding("pagedown", "page(1)", "page forward", show=False),
        Binding("home,g", "go(0)", "first", show=False),
        Binding("end,G", "go(-1)", "last", show=False),
        Binding("enter,ctrl+j", "open", "open", show=False),
    ]

    @dataclass
    class PageRequested(Message):
        """The page with sample `first` is needed."""

        first: int

    @dataclass
    class Highlighted(Message):
        """The cursor moved to another sample."""

        sample: Sample

    class Opened(Message):
        """The user opened the sample under the cursor."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.samples: Sequence[Sample] = ()
        self.first, self.total = 0, 0
        self.cursor = 0
        """Index of the sample under the cursor, among all."""
        self.enlarged = False
        """Whether a page is one large sample."""
        self._is_slow = False
        """Whether the line was slow when the grid got its size: a page keeps its layout while it is looked at."""
        self._tiles = Tiles(0, 0, 0)
        self._strips: dict[int, list[Strip]] = {}

    @property
    def tiles(self) -> Tiles:
        """The layout for the current size."""
        fit = fit_tile if self.enlarged else fit_few_tiles if self._is_slow else fit_tiles
        return fit(*self.size) if self.size.area else Tiles(0, 0, 0)

    @property
    def sample(self) -> Sample | None:
        """The sample under the cursor; `None` while its page is not loaded."""
        index = self.cursor - self.first
        return self.samples[index] if 0 <= index < len(self.samples) else None

    def show(self, samples: Sequence[Sample], first: int, total: int) -> None:
        """Show a page that starts with sample `first` of `total`."""
        self.samples, self.first, self.total = samples, first, total
        self.cursor = max(first, min(self.cursor, first + len(samples) - 1))
        self._tiles, self._strips = self.tiles, {}
        self.refresh()
        self._post_highlighted()

    def enlarge(self, enlarged: bool) -> None:
        """Show one large sample a page, or a grid of them again."""
        self.enlarged = enlarged
        self.on_resize()

    def on_resize(self) -> None:
        self._is_slow = isinstance(self.app, TerminalApp) and self.app.has_slow_line
        if self.samples and self.tiles != self._tiles:
            self._tiles, self._strips = self.tiles, {}
            self._request_page(self.cursor)

    def on_focus(self) -> None:
        self._refresh_caption(self.cursor)

    def on_blur(self) -> None:
        self._refresh_caption(self.cursor)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked sample; a double click opens it."""
        across, side = self.tiles.across, self.tiles.width
        if not across or event.x >= across * side:
            return
        index = self.first + event.y // self.tiles.height * across + event.x // side
        if index < self.first + len(self.samples):
            self.go_to(index)
            if event.chain == 2:
                self.action_open()

    def on_mouse_scroll_up(self) -> None:
        self.action_page(-1)

    def on_mouse_scroll_down(self) -> None:
        self.action_page(1)

    def action_step(self, by: int) -> None:
        """Move the cursor by `by` samples."""
        self.go_to(self.cursor + by)

    def action_row(self, by: int) -> None:
        """Move the cursor by `by` rows; in a last row that is shorter, to the last sample."""
        across = max(1, self.tiles.across)
        index = self.cursor + by * across
        if index >= 0 and index // across <= (self.total - 1) // across:
            self.go_to(index)

    def action_page(self, by: int) -> None:
        """Move the cursor by `by` pages."""
        self.go_to(self.cursor + by * max(1, self.tiles.count))

    def action_go(self, index: int) -> None:
        """Move the cursor to sample `index`; -1 is the last one."""
        self.go_to(index if index >= 0 else self.total - 1)

    def action_open(self) -> None:
        """Open the sample under the cursor."""
        self.post_message(self.Opened())

    def go_to(self, index: int) -> None:
        """Move the cursor to sample `index`, requesting its page if it is another one."""
        before, self.cursor = self.cursor, max(0, min(index, self.total - 1))
        if self.first <= self.cursor < self.first + len(self.samples):
            self._refresh_caption(before)
            self._refresh_caption(self.cursor)
            self._post_highlighted()
        elif self.total:
            self._request_page(self.cursor)

    def _post_highlighted(self) -> None:
        if self.sample is not None:
            self.post_message(self.Highlighted(self.sample))

    def _request_page(self, index: int) -> None:
        count = max(1, self.tiles.count)
        self.post_message(self.PageRequested(index // count * count))

    def _refresh_caption(self, index: int) -> None:
        layout, across = self.tiles, max(1, self.tiles.across)
        row, column = divmod(index - self.first, across)
        self.refresh(Region(column * layout.width, (row + 1) * layout.height - 1, layout.width, 1))

    def render_line(self, y: int) -> Strip:
        """A line of pixels or of captions."""
        background, layout = self.rich_style, self.tiles
        if not layout.count or y >= layout.down * layout.height:
            return Strip.blank(self.size.width, background)
        row, line = divmod(y, layout.height)
        indices = range(row * layout.across, min((row + 1) * layout.across, len(self.samples)))
        draw = self._caption if line == layout.height - 1 else self._pixels
        parts = [draw(index, line).adjust_cell_length(layout.width, background) for index in indices]
        return Strip.join(parts).adjust_cell_length(self.size.width, background)

    def _pixels(self, index: int, line: int) -> Strip:
        if index not in self._strips:
            side = self.tiles.width
            self._strips[index] = draw_image(self.app, self.samples[index].image, side - 1, side // 2)
        strips = self._strips[index]
        return strips[line].apply_style(self.rich_style) if line < len(strips) else Strip([])

    def _caption(self, index: int, _: int) -> Strip:
        width, at_cursor = self.tiles.width - 1, self.first + index == self.cursor
        style = self.rich_style + Style(
            bold=at_cursor, reverse=at_cursor and self.has_focus, dim=not at_cursor
        )
        text = pad(
            ("▸" if at_cursor else "") + truncate(self.samples[index].caption, width - at_cursor), width
        )
        return Strip([Segment(text, style)], width)
