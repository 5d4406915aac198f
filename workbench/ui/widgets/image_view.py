"""An image drawn with half blocks, two pixels per cell; without colors, with characters by brightness."""

from __future__ import annotations

from functools import cache
from itertools import chain, product
from typing import Any, NamedTuple

from PIL import Image
from rich.segment import Segment
from rich.style import Style
from textual.app import App
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from workbench.io.images import convert_mode
from workbench.system.terminal_info import plain_reason
from workbench.ui.base.terminal_app import TerminalApp

BRIGHTNESS_RAMP = " .:-=+*#%@"
"""Characters from dark to bright, for terminals without colors."""

STANDARD_COLORS: list[tuple[int, ...]] = [
    (0, 0, 0), (170, 0, 0), (0, 170, 0), (170, 85, 0), (0, 0, 170), (170, 0, 170), (0, 170, 170), (170, 170, 170),
    (85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85), (85, 85, 255), (255, 85, 255), (85, 255, 255),
    (255, 255, 255),
]  # fmt: skip
"""What rich takes the 16 colors of a terminal for (RGB)."""


def fit_size(size: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    """The size in pixels (width, height) at which an image of `size` fits into `columns` × `rows` cells.

    Keeps the aspect ratio; at least 1×1. A cell is one pixel wide and two high, so pixels are about square.
    """
    width, height = size
    scale = min(columns / width, 2 * rows / height)
    if scale >= 2:
        scale = int(scale)  # so that all pixels of a small image have the same size
    return max(1, min(columns, round(width * scale))), max(1, min(2 * rows, round(height * scale)))


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`image` as RGB in `size`: bilinear when it shrinks, nearest neighbor when it grows."""
    grows = size[0] >= image.width and size[1] >= image.height
    if not grows and image.width * image.height > 4 * size[0] * size[1]:
        # Averaging whole blocks first takes a tenth of the time for photographs.
        image = image.reduce(_reduce_factors(image.size, size)) if image.mode in {"RGB", "L"} else image
    return convert_mode(image, "RGB").resize(
        size, Image.Resampling.NEAREST if grows else Image.Resampling.BILINEAR
    )


def _reduce_factors(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    return max(1, size[0] // (2 * target[0])), max(1, size[1] // (2 * target[1]))


def half_blocks(
    image: Image.Image, columns: int, rows: int, color_system: str | None = "truecolor"
) -> list[Strip]:
    """`image` in at most `columns` × `rows` cells: upper pixels as foreground color, lower ones as background.

    For a color system of rich with few colors (`256`, `standard`), it is dithered to these.
    """
    pixels = resize(image, fit_size(image.size, columns, rows))
    if color_system in {"256", "standard", "windows"}:
        pixels = dither(pixels, _color_palette(color_system))
    width, height = pixels.size
    data = pixels.tobytes()

    def color(x: int, y: int) -> str:
        red, green, blue = data[3 * (y * width + x) : 3 * (y * width + x) + 3]
        return f"#{red:02x}{green:02x}{blue:02x}"

    strips = []
    for y in range(0, height, 2):
        cells = [
            Segment("▀", _style(color(x, y), color(x, y + 1) if y + 1 < height else None))
            for x in range(width)
        ]
        strips.append(Strip(cells, width))
    return strips


class ColorPalette(NamedTuple):
    """The colors of a terminal (RGB), and for each one the color that rich turns into it."""

    shown: list[tuple[int, ...]]
    sent: list[tuple[int, ...]]


@cache
def _color_palette(color_system: str) -> ColorPalette:
    if color_system != "256":
        return ColorPalette(STANDARD_COLORS, STANDARD_COLORS)
    levels = (0, 95, 135, 175, 215, 255)
    cube = [color for color in product(levels, repeat=3) if len(set(color)) > 1 or color[0] in {0, 255}]
    # rich finds a gray of the 256 colors by its lightness in 25 steps, which are not where the grays are.
    grays = range(1, 25)
    return ColorPalette(
        cube + [(10 * gray - 2,) * 3 for gray in grays], cube + [(round(gray * 10.2),) * 3 for gray in grays]
    )


def dither(pixels: Image.Image, palette: ColorPalette) -> Image.Image:
    """An RGB image with the colors of a palette only, by Floyd and Steinberg's error diffusion."""
    colors = Image.new("P", (1, 1))
    colors.putpalette(bytes(chain.from_iterable(palette.shown)))
    indexed = pixels.quantize(palette=colors, dither=Image.Dither.FLOYDSTEINBERG)
    indexed.putpalette(bytes(chain.from_iterable(palette.sent)))
    return indexed.convert("RGB")


def _style(upper: str, lower: str | None) -> Style:
    return Style.parse(upper if lower is None else f"{upper} on {lower}")


def ascii_rows(image: Image.Image, columns: int, rows: int) -> list[Strip]:
    """`image` in at most `columns` × `rows` cells, one character by brightness in each."""
    width, height = fit_size(image.size, columns, rows)
    gray = resize(image, (width, max(1, height // 2))).convert("L")
    data = gray.tobytes()
    lines = [data[y * width : (y + 1) * width] for y in range(gray.height)]
    levels = len(BRIGHTNESS_RAMP)
    texts = ["".join(BRIGHTNESS_RAMP[value * levels // 256] for value in line) for line in lines]
    return [Strip([Segment(text, Style())], width) for text in texts]


def draw_image(app: App[Any], image: Image.Image, columns: int, rows: int) -> list[Strip]:
    """`image` in at most `columns` × `rows` cells, as the terminal of `app` can show it best."""
    if app.no_color or plain_reason():
        return ascii_rows(image, columns, rows)
    system = app.console.color_system
    if system == "256" and isinstance(app, TerminalApp) and app.has_slow_line:
        system = None  # dithered, nearly every cell takes two colors of its own
    return half_blocks(image, columns, rows, system)


class ImageView(Widget):
    """Shows a Pillow image as large as it fits, at the upper left; empty while `image` is `None`."""

    image: reactive[Image.Image | None] = reactive(None)

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawn: tuple[Image.Image | None, int, int] | None = None
        self._strips: list[Strip] = []

    def render_line(self, y: int) -> Strip:
        """A row of the image, which is scaled once for each image and size."""
        width, height = self.size
        if self._drawn is None or self._drawn[0] is not self.image or self._drawn[1:] != (width, height):
            self._drawn = (self.image, width, height)
            self._strips = self._draw(width, height)
        background = self.rich_style
        if y >= len(self._strips):
            return Strip.blank(width, background)
        return self._strips[y].apply_style(background).adjust_cell_length(width, background)

    def _draw(self, width: int, height: int) -> list[Strip]:
        if self.image is None or not width or not height:
            return []
        return draw_image(self.app, self.image, width, height)
