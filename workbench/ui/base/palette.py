"""Colors that take few bytes: those of the palette of 256 colors, and for images on a slow line few of them.

A color of the palette takes half of the bytes of any other. With few colors, neighboring pixels often have the same one
and are sent together.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from workbench.ui.base.sgr import Style

LEVELS = (0, 95, 135, 175, 215, 255)
"""Of each color channel in the cube of the palette, which begins at 16; 24 grays follow, and 16 colors come before."""
FEW_LEVELS = (0, 95, 175, 255)
FEW_GRAYS = 8
MAX_TINT = 24
"""A color whose channels differ by no more is sent as a gray where there are few colors."""
INVISIBLE = 5
"""A difference in a channel that nobody sees in a small image."""


class Color(NamedTuple):
    """A color of 24 bits, or one of the palette that has a number."""

    red: int
    green: int
    blue: int


@lru_cache(maxsize=8192)
def in_palette(style: Style) -> Style:
    """A style with the colors of the palette that look like its own ones."""
    return Style(
        style.attributes, _nearest(style.foreground, INVISIBLE), _nearest(style.background, INVISIBLE)
    )


@lru_cache(maxsize=8192)
def in_few_colors(style: Style) -> Style:
    """A style in the nearest ones of 64 colors and 8 grays of the palette."""
    return Style(style.attributes, _few(style.foreground), _few(style.background))


@lru_cache(maxsize=8192)
def with_palette_text(style: Style) -> Style:
    """A style whose text has the nearest color of the palette."""
    return style._replace(foreground=_nearest(style.foreground, 255))


def _nearest(parameters: str, most: int) -> str:
    """The nearest color of the palette if no channel differs by more than `most`."""
    color = _color_of(parameters)
    if color is None or parameters[3] == "5":
        return parameters
    numbers = (_gray_number(round(sum(color) / 3)), _cube_number(color, LEVELS))
    number = min(numbers, key=lambda number: _distance(color, _color_of_number(number)))
    difference = max(abs(own - near) for own, near in zip(color, _color_of_number(number), strict=True))
    return f"{parameters[:2]};5;{number}" if difference <= most else parameters


def _distance(one: Color, other: Color) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _few(parameters: str) -> str:
    color = _color_of(parameters)
    if color is None:
        return parameters
    near = tuple(min(FEW_LEVELS, key=lambda level: abs(level - value)) for value in color)
    if _is_gray(color, MAX_TINT) or len(set(near)) == 1:
        step = 255 / (FEW_GRAYS - 1)
        return f"{parameters[:2]};5;{_gray_number(round(round(sum(color) / 3 / step) * step))}"
    return f"{parameters[:2]};5;{_cube_number(Color(*near), FEW_LEVELS)}"


def _color_of(parameters: str) -> Color | None:
    """The color of SGR parameters as `38;2;R;G;B` or `48;5;N`; `None` if it is none of these, or up to the terminal."""
    layer, _, rest = parameters.partition(";")
    kind, *values = rest.split(";")
    if layer not in {"38", "48"} or kind not in {"2", "5"}:
        return None
    if kind == "2":
        return Color(*map(int, values))
    return _color_of_number(int(values[0])) if int(values[0]) >= 16 else None


def _color_of_number(number: int) -> Color:
    if number >= 232:
        return Color(*(3 * [8 + 10 * (number - 232)]))
    red, rest = divmod(number - 16, 36)
    return Color(LEVELS[red], LEVELS[rest // 6], LEVELS[rest % 6])


def _is_gray(color: Color, tint: int) -> bool:
    return max(color) - min(color) <= tint


def _gray_number(value: int) -> int:
    """The nearest gray; black and white are in the cube."""
    return 16 if value < 4 else 231 if value > 246 else 232 + max(0, min(23, round((value - 8) / 10)))


def _cube_number(color: Color, levels: tuple[int, ...]) -> int:
    red, green, blue = (LEVELS.index(min(levels, key=lambda level: abs(level - value))) for value in color)
    return 16 + 36 * red + 6 * green + blue
