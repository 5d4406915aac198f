"""A grid of small pictures with their labels: a cursor moves in it, and on to the next page."""

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

from workbench.core.text import cut, pad
from workbench.ui.widgets.image_view import characters, half_blocks

SIZES = ((15, 12), (11, 8), (9, 4), (7, 2), (3, 1))
"""Least cells across a picture, and how many pictures must then fit; the first row that holds counts."""
_WIDEST = 33


@dataclass(frozen=True)
class Sample:
    """A picture with its label (made safe before)."""

    index: int
    label: int | None
    """The number of its class, if it has one."""
    words: str
    image: Image.Image


@dataclass(frozen=True)
class Tiles:
    """How many pictures fit, and the cells that each takes, its label's row and a column of space included."""

    across: int
    down: int
    width: int

    @property
    def height(self) -> int:
        """Rows of a tile."""
        return self.width // 2 + 1

    @property
    def count(self) -> int:
        """Pictures on a page."""
        return self.across * self.down


def tiles(width: int, height: int) -> Tiles:
    """Tiles as large as leaves enough of them on a page."""
    for least, wanted in SIZES:
        for side in range(_WIDEST, least - 1, -2):
            found = Tiles(width // side, height // (side // 2 + 1), side)
            if found.count >= wanted:
                return found
    return Tiles(1, 1, max(3, min(width, 2 * height)))


class SampleGrid(Widget, can_focus=True):
    """Shows a page of samples; tells when another page is wanted, and which sample is opened."""

    DEFAULT_CSS = "SampleGrid { height: 1fr; width: 1fr; }"
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "left", show=False),
        Binding("right,l", "step(1)", "right", show=False),
        Binding("up,k", "row(-1)", "up", show=False),
        Binding("down,j", "row(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page back", show=False),
        Binding("pagedown", "page(1)", "page on", show=False),
        Binding("home,g", "go(0)", "first", show=False),
        Binding("end,G", "go(-1)", "last", show=False),
        Binding("enter,ctrl+j", "open", "open large", show=False),
    ]

    @dataclass
    class PageWanted(Message):
        """The samples from `first` on should be shown."""

        first: int

    @dataclass
    class Moved(Message):
        """The cursor came to another sample."""

        sample: Sample

    class Opened(Message):
        """The sample under the cursor should be shown large."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.samples: Sequence[Sample] = ()
        self.first, self.total = 0, 0
        self.cursor = 0
        """The place of the sample under the cursor, among all."""
        self._tiles = Tiles(0, 0, 0)
        self._strips: dict[int, list[Strip]] = {}

    @property
    def tiles(self) -> Tiles:
        """How the pictures stand."""
        return tiles(*self.size) if self.size.area else Tiles(0, 0, 0)

    @property
    def sample(self) -> Sample | None:
        """The one under the cursor."""
        place = self.cursor - self.first
        return self.samples[place] if 0 <= place < len(self.samples) else None

    def show(self, samples: Sequence[Sample], first: int, total: int) -> None:
        """Show a page that begins with the sample at `first` of `total`."""
        self.samples, self.first, self.total = samples, first, total
        self.cursor = max(first, min(self.cursor, first + len(samples) - 1))
        self._tiles, self._strips = self.tiles, {}
        self.refresh()
        self._tell()

    def on_resize(self) -> None:
        """More or fewer pictures fit: the page with the cursor is wanted again."""
        if self.samples and self.tiles != self._tiles:
            self._tiles, self._strips = self.tiles, {}
            self._want(self.cursor)

    def on_focus(self) -> None:
        """The cursor is brighter where the keys go."""
        self._refresh_label(self.cursor)

    def on_blur(self) -> None:
        """And no longer."""
        self._refresh_label(self.cursor)

    def on_click(self, event: events.Click) -> None:
        """Go to the sample that was clicked; a second click opens it."""
        across, side = self.tiles.across, self.tiles.width
        if not across or event.x >= across * side:
            return
        place = self.first + event.y // self.tiles.height * across + event.x // side
        if place < self.first + len(self.samples):
            self.go_to(place)
            if event.chain == 2:
                self.action_open()

    def on_mouse_scroll_up(self) -> None:
        """A page back."""
        self.action_page(-1)

    def on_mouse_scroll_down(self) -> None:
        """A page on."""
        self.action_page(1)

    def action_step(self, by: int) -> None:
        """Some samples back or on."""
        self.go_to(self.cursor + by)

    def action_row(self, by: int) -> None:
        """A row up or down."""
        place = self.cursor + by * max(1, self.tiles.across)
        if 0 <= place < self.total:
            self.go_to(place)

    def action_page(self, by: int) -> None:
        """A page back or on."""
        self.go_to(self.cursor + by * max(1, self.tiles.count))

    def action_go(self, place: int) -> None:
        """To the first, or with -1 the last."""
        self.go_to(place if place >= 0 else self.total - 1)

    def action_open(self) -> None:
        """Show it large."""
        self.post_message(self.Opened())

    def go_to(self, place: int) -> None:
        """Put the cursor on a sample, on whatever page."""
        before, self.cursor = self.cursor, max(0, min(place, self.total - 1))
        if self.first <= self.cursor < self.first + len(self.samples):
            self._refresh_label(before)
            self._refresh_label(self.cursor)
            self._tell()
        elif self.total:
            self._want(self.cursor)

    def _tell(self) -> None:
        if self.sample is not None:
            self.post_message(self.Moved(self.sample))

    def _want(self, place: int) -> None:
        count = max(1, self.tiles.count)
        self.post_message(self.PageWanted(place // count * count))

    def _refresh_label(self, place: int) -> None:
        shown, across = self.tiles, max(1, self.tiles.across)
        row, column = divmod(place - self.first, across)
        self.refresh(Region(column * shown.width, (row + 1) * shown.height - 1, shown.width, 1))

    def render_line(self, y: int) -> Strip:
        """A line of pixels or of labels."""
        ground, shown = self.rich_style, self.tiles
        if not shown.count or y >= shown.down * shown.height:
            return Strip.blank(self.size.width, ground)
        row, line = divmod(y, shown.height)
        places = range(row * shown.across, min((row + 1) * shown.across, len(self.samples)))
        draw = self._label if line == shown.height - 1 else self._pixels
        parts = [draw(place, line).adjust_cell_length(shown.width, ground) for place in places]
        return Strip.join(parts).adjust_cell_length(self.size.width, ground)

    def _pixels(self, place: int, line: int) -> Strip:
        if place not in self._strips:
            draw = characters if self.app.no_color else half_blocks
            side = self.tiles.width
            self._strips[place] = draw(self.samples[place].image, side - 1, side // 2)
        strips = self._strips[place]
        return strips[line].apply_style(self.rich_style) if line < len(strips) else Strip([])

    def _label(self, place: int, _: int) -> Strip:
        width, here = self.tiles.width - 1, self.first + place == self.cursor
        style = self.rich_style + Style(bold=here, reverse=here and self.has_focus, dim=not here)
        text = pad(("▸" if here else "") + cut(self.samples[place].words, width - here), width)
        return Strip([Segment(text, style)], width)
