"""Colors of the palette take fewer bytes."""

from __future__ import annotations

import pytest

from workbench.ui.base.palette import FEW_GRAYS, FEW_LEVELS, in_few_colors, in_palette, with_palette_text
from workbench.ui.base.sgr import Style


def style(foreground: str, background: str = "") -> Style:
    return Style("", f"38;{foreground}", f"48;{background}" if background else "")


@pytest.mark.parametrize(
    ("color", "sent"),
    [
        ("2;0;0;0", "5;16"), ("2;255;255;255", "5;231"), ("2;3;252;1", "5;46"), ("2;96;96;96", "5;59"),
        ("2;90;135;170", "5;67"), ("2;89;135;170", "2;89;135;170"), ("2;115;130;90", "2;115;130;90"),
        ("5;59", "5;59"), ("5;3", "5;3"),
    ],
)  # fmt: skip
def test_a_color_that_looks_like_one_of_the_palette_is_sent_as_this(color: str, sent: str) -> None:
    assert in_palette(style(color, color)) == style(sent, sent)


def test_few_colors() -> None:
    """All colors become few; grays stay grays, and colors stay colors; those up to the terminal are left alone."""
    steps = range(0, 256, 15)
    grays = {in_few_colors(style(f"2;{step};{step};{step}")) for step in range(256)}
    assert len(grays) == FEW_GRAYS
    assert in_few_colors(style("2;120;110;100")) in grays, "a tinted gray"
    colors = {
        in_few_colors(style(f"2;{red};{green};{blue}")) for red in steps for green in steps for blue in steps
    }
    assert len(colors - grays) == len(FEW_LEVELS) ** 3 - len(FEW_LEVELS)
    assert in_few_colors(style("2;200;20;10")) not in grays
    assert in_few_colors(style("5;160")) == in_few_colors(style("2;215;0;0"))
    for unknown in (style("5;3"), Style("1", "31", ""), Style()):
        assert in_few_colors(unknown) == unknown


def test_text_in_the_nearest_color_of_the_palette() -> None:
    assert with_palette_text(style("2;205;217;229", "2;15;20;25")) == style("5;253", "2;15;20;25")
    assert with_palette_text(style("2;226;179;65")) == style("5;179")
    assert with_palette_text(Style("1", "31")) == Style("1", "31")
