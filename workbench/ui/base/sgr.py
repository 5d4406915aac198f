"""The look of a terminal's cells, and the SGR sequences that change it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rich.cells import get_character_cell_size

RESET = "\x1b[m"
_END_OF_ATTRIBUTE = {
    "1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "6": "25", "7": "27", "8": "28", "9": "29",
    "21": "24", "51": "54", "52": "54", "53": "55",
}  # fmt: skip
_VISIBLE_ON_SPACE = {"4", "7", "9", "21", "53"}
"""SGR attributes that are visible on a space: underlines, reverse, strike, overline."""


class Style(NamedTuple):
    """The look of a cell as SGR parameters."""

    attributes: str = ""
    foreground: str = ""
    background: str = ""


class Cell(NamedTuple):
    """One cell; the right half of a wide character has no text."""

    text: str
    style: Style


PLAIN = Style()


def is_narrow(text: str) -> bool:
    """Whether all terminals agree that a cell's text is one cell wide."""
    return len(text) == 1 and (text < "\u0300" or get_character_cell_size(text) == 1)


def blank_half(half: Cell) -> Cell:
    """What terminals show instead of a half of a wide character."""
    return Cell(" ", Style("", "", half.style.background))


@lru_cache(maxsize=8192)
def restyle(style: Style, parameters: str) -> Style:
    """The style after an SGR sequence."""
    codes = iter(parameters.split(";"))
    attributes = [code for code in style.attributes.split(";") if code]
    _, foreground, background = style
    for code in codes:
        if code in {"", "0"}:
            attributes, foreground, background = [], "", ""
        elif code in {"38", "48"}:
            kind = next(codes, "5")
            color = ";".join([code, kind, *(next(codes, "0") for _ in range(3 if kind == "2" else 1))])
            foreground, background = (color, background) if code == "38" else (foreground, color)
        elif code == "39":
            foreground = ""
        elif code == "49":
            background = ""
        elif len(code) >= 2 and code[:-1] in {"3", "9"}:
            foreground = code
        elif len(code) >= 2 and code[:-1] in {"4", "10"}:
            background = code
        elif code in _END_OF_ATTRIBUTE and code not in attributes:
            attributes.append(code)
    return Style(";".join(attributes), foreground, background)


@lru_cache(maxsize=8192)
def style_of_space(style: Style) -> Style:
    """The part of a style that is visible on a space."""
    if _VISIBLE_ON_SPACE.isdisjoint(style.attributes.split(";")):
        return Style("", "", style.background)
    return style


@lru_cache(maxsize=8192)
def has_one_color(style: Style) -> bool:
    """Whether a half block in this style looks like a space, which takes fewer bytes."""
    attributes, foreground, background = style
    same = foreground.startswith("38;") and background.startswith("48;") and foreground[3:] == background[3:]
    return same and not attributes


@lru_cache(maxsize=8192)
def transition(old: Style, new: Style) -> str:
    """The shortest SGR sequence from one style to another; empty if they are the same."""
    if new == old:
        return ""
    if new == PLAIN:
        return RESET
    before, after = (set(filter(None, style.attributes.split(";"))) for style in (old, new))
    ends = {_END_OF_ATTRIBUTE[code] for code in before - after}
    kept = {code for code in before & after if _END_OF_ATTRIBUTE[code] not in ends}
    codes = sorted(ends) + sorted(after - kept)
    codes += [] if new.foreground == old.foreground else [new.foreground or "39"]
    codes += [] if new.background == old.background else [new.background or "49"]
    from_plain = ["", *sorted(after), *filter(None, new[1:])]
    return f"\x1b[{min(';'.join(codes), ';'.join(from_plain), key=len)}m"


def swapped(style: Style) -> Style:
    """A style with foreground and background exchanged; itself if a color is none of 256 or 16 million."""
    attributes, foreground, background = style
    if not (foreground.startswith("38;") and background.startswith("48;")):
        return style
    return Style(attributes, "3" + background[1:], "4" + foreground[1:])
