"""Images in half blocks: the aspect ratio, two pixels per cell, and characters without colors."""

from __future__ import annotations

import time

import pytest
from PIL import Image, ImageChops, ImageStat
from rich.color import Color, ColorSystem, ColorType
from textual.app import App, ComposeResult
from textual.strip import Strip

from workbench.ui.widgets.image_view import (
    BRIGHTNESS_RAMP,
    STANDARD_COLORS,
    ImageView,
    ascii_rows,
    fit_size,
    half_blocks,
    resize,
)


@pytest.mark.parametrize(
    ("size", "cells", "pixels"),
    [
        ((100, 100), (20, 10), (20, 20)),
        ((200, 100), (20, 10), (20, 10)),
        ((100, 200), (20, 10), (10, 20)),
        ((8, 8), (12, 30), (12, 12)),
        ((8, 8), (35, 30), (32, 32)),
        ((1, 20_000), (20, 10), (1, 20)),
        ((20_000, 1), (20, 10), (20, 1)),
        ((1, 1), (20, 10), (20, 20)),
    ],
)
def test_the_aspect_ratio_is_kept(
    size: tuple[int, int], cells: tuple[int, int], pixels: tuple[int, int]
) -> None:
    assert fit_size(size, *cells) == pixels


def test_a_cell_has_the_upper_pixel_as_foreground_and_the_lower_one_as_background() -> None:
    image = Image.new("RGB", (2, 2))
    for place, color in {(0, 0): "red", (1, 0): "lime", (0, 1): "blue", (1, 1): "white"}.items():
        image.putpixel(
            place, {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255)}.get(color, (255,) * 3)
        )
    (strip,) = half_blocks(image, 2, 1)
    shown = [(s.text, s.style.color.name, s.style.bgcolor.name) for s in strip]  # type: ignore[union-attr]
    assert shown == [("▀", "#ff0000", "#0000ff"), ("▀", "#00ff00", "#ffffff")]


def test_the_last_row_of_an_odd_height_has_no_background() -> None:
    strips = half_blocks(Image.new("RGB", (3, 3), "red"), 3, 2)
    assert len(strips) == 2
    assert all(segment.style and segment.style.bgcolor is None for segment in strips[1])


def test_small_images_keep_hard_pixels_and_large_ones_are_averaged() -> None:
    board = Image.new("L", (2, 1))
    board.putpixel((1, 0), 255)
    assert {color for _, color in resize(board, (8, 4)).getcolors() or ()} == {(0, 0, 0), (255, 255, 255)}
    lines = Image.new("L", (400, 400))
    for x in range(0, 400, 2):
        lines.paste(255, (x, 0, x + 1, 400))
    grey = resize(lines, (20, 20)).getpixel((10, 10))
    assert isinstance(grey, tuple) and 120 <= grey[0] <= 135


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_is_drawn(mode: str) -> None:
    assert len(half_blocks(Image.new(mode, (30, 30)), 10, 5)) == 5


def test_without_colors_brightness_becomes_characters() -> None:
    image = Image.linear_gradient("L")
    rows = ["".join(segment.text for segment in strip) for strip in ascii_rows(image, 20, 10)]
    assert len(rows) == 10 and all(len(row) == 20 for row in rows)
    assert [BRIGHTNESS_RAMP.index(row[0]) for row in rows] == sorted(
        BRIGHTNESS_RAMP.index(row[0]) for row in rows
    )
    assert rows[0][0] == BRIGHTNESS_RAMP[0] and rows[-1][0] == BRIGHTNESS_RAMP[-1]


def test_a_photograph_is_drawn_within_a_tenth_of_a_second() -> None:
    photo = Image.new("RGB", (1546, 1213), "navy")
    half_blocks(photo, 60, 30)
    start = time.perf_counter()
    half_blocks(photo, 60, 30)
    assert time.perf_counter() - start < 0.1


class Shown(App[None]):
    def compose(self) -> ComposeResult:
        yield ImageView()


@pytest.mark.parametrize("no_color", [False, True])
async def test_the_widget_draws_clears_and_resizes(no_color: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    app = Shown()
    async with app.run_test(size=(20, 6)) as pilot:
        view = app.query_one(ImageView)
        assert view.render_line(0).text == " " * 20
        view.image = Image.new("RGB", (50, 50), "white")
        await pilot.pause()
        assert view.render_line(0).text == ("@" if no_color else "▀") * 12 + " " * 8
        assert all(segment.style is not None for y in range(6) for segment in view.render_line(y))
        await pilot.resize_terminal(1, 1)
        view.image = None
        await pilot.pause()
        assert view.render_line(0).text == " "


@pytest.mark.parametrize(("system", "colors"), [("256", 256), ("standard", 16)])
def test_few_colors_are_dithered_so_that_a_gradient_remains(system: str, colors: int) -> None:
    """Without dithering a gradient becomes a few bands; with it, blurring gives the gradient back."""
    gradient = Image.linear_gradient("L").resize((64, 64)).transpose(Image.Transpose.ROTATE_90)
    image = Image.merge(
        "RGB", (gradient, gradient.point(lambda v: v // 2), gradient.point(lambda v: 255 - v))
    )
    kind = ColorSystem.EIGHT_BIT if system == "256" else ColorSystem.STANDARD

    def shown(strips: list[Strip]) -> Image.Image:
        """What the terminal shows: every color as rich sends it."""
        pixels = [_rgb(s.style.color, kind) for strip in strips for s in strip if s.style and s.style.color]
        picture = Image.new("RGB", (64, len(strips)))
        picture.putdata(pixels)
        return picture

    few = shown(half_blocks(image, 64, 32, system))
    assert (
        len(set(few.get_flattened_data() if hasattr(few, "get_flattened_data") else few.getdata())) <= colors
    )
    wanted, blur = image.resize((8, 4), Image.Resampling.BOX), Image.Resampling.BOX
    plain = shown(half_blocks(image, 64, 32))
    errors = [
        ImageStat.Stat(ImageChops.difference(picture.resize((8, 4), blur), wanted)).mean
        for picture in (few, plain)
    ]
    assert sum(errors[0]) < 0.6 * sum(errors[1])


def test_rich_keeps_each_of_the_standard_colors() -> None:
    sent = [Color.from_rgb(*color).downgrade(ColorSystem.STANDARD).number for color in STANDARD_COLORS]
    assert sent == list(range(16))


def _rgb(color: Color, kind: ColorSystem) -> tuple[int, ...]:
    number = color.downgrade(kind).number
    assert number is not None
    if kind is ColorSystem.STANDARD:
        return STANDARD_COLORS[number]
    return tuple(Color("", ColorType.EIGHT_BIT, number).get_truecolor())
