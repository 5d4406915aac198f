"""A picture in half blocks: two pixels a cell, in every terminal; without colours, in characters by brightness."""

from __future__ import annotations

from PIL import Image
from rich.segment import Segment
from rich.style import Style
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from workbench.io.images import convert

RAMP = " .:-=+*#%@"
"""Characters from dark to bright, for terminals that show no colours."""


def fit(size: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    """Pixels (width, height) that a picture of `size` is drawn with in so many cells: its shape kept, at least 1×1.

    A cell is one pixel wide and two high, so pixels are about square.
    """
    width, height = size
    scale = min(columns / width, 2 * rows / height)
    if scale >= 2:
        scale = int(scale)  # all pixels of a small picture are of one size
    return max(1, min(columns, round(width * scale))), max(1, min(2 * rows, round(height * scale)))


def scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` as RGB in `size`: antialiased when it shrinks; small pictures keep their hard pixels when they grow."""
    grows = size[0] >= image.width and size[1] >= image.height
    if not grows and image.width * image.height > 4 * size[0] * size[1]:
        # Whole blocks are averaged first: a tenth of the time for photographs.
        image = image.reduce(_factor(image.size, size)) if image.mode in {"RGB", "L"} else image
    return convert(image, "RGB").resize(
        size, Image.Resampling.NEAREST if grows else Image.Resampling.BILINEAR
    )


def _factor(have: tuple[int, int], want: tuple[int, int]) -> tuple[int, int]:
    return max(1, have[0] // (2 * want[0])), max(1, have[1] // (2 * want[1]))


def half_blocks(image: Image.Image, columns: int, rows: int) -> list[Strip]:
    """`image` within so many cells, a strip a row: upper pixels in the foreground, lower ones behind."""
    pixels = scaled(image, fit(image.size, columns, rows))
    width, height = pixels.size
    data = pixels.tobytes()

    def colour(x: int, y: int) -> str:
        red, green, blue = data[3 * (y * width + x) : 3 * (y * width + x) + 3]
        return f"#{red:02x}{green:02x}{blue:02x}"

    strips = []
    for y in range(0, height, 2):
        cells = [
            Segment("▀", _style(colour(x, y), colour(x, y + 1) if y + 1 < height else None))
            for x in range(width)
        ]
        strips.append(Strip(cells, width))
    return strips


def _style(upper: str, lower: str | None) -> Style:
    return Style.parse(upper if lower is None else f"{upper} on {lower}")


def characters(image: Image.Image, columns: int, rows: int) -> list[Strip]:
    """The same with a character a cell, by brightness."""
    width, height = fit(image.size, columns, rows)
    grey = scaled(image, (width, max(1, height // 2))).convert("L")
    data = grey.tobytes()
    lines = [data[y * width : (y + 1) * width] for y in range(grey.height)]
    return [
        Strip([Segment("".join(RAMP[v * len(RAMP) // 256] for v in line), Style())], width) for line in lines
    ]


class Picture(Widget):
    """Shows a Pillow picture as large as it fits, at the upper left; empty while there is none."""

    image: reactive[Image.Image | None] = reactive(None)

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawn: tuple[Image.Image | None, int, int] | None = None
        self._strips: list[Strip] = []

    def render_line(self, y: int) -> Strip:
        """A row of the picture; scaled once for each picture and size."""
        width, height = self.size
        wanted = (self.image, width, height)
        if self._drawn is None or self._drawn[0] is not self.image or self._drawn[1:] != (width, height):
            self._drawn, self._strips = wanted, self._draw(width, height)
        background = self.rich_style
        if y >= len(self._strips):
            return Strip.blank(width, background)
        return self._strips[y].apply_style(background).adjust_cell_length(width, background)

    def _draw(self, width: int, height: int) -> list[Strip]:
        if self.image is None or not width or not height:
            return []
        draw = characters if self.app.no_color else half_blocks
        return draw(self.image, width, height)
