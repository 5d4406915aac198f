"""Text in ASCII, cell by cell, for terminals without UTF-8 or without the characters of curves, borders and marks."""

from __future__ import annotations

import codecs
import unicodedata
from functools import lru_cache

from workbench.core.text import cell_width

ERROR_HANDLER = "workbench.plain"
"""The name of the codec error handler that replaces what an encoding lacks."""

_TABLE = str.maketrans(
    {
        **dict.fromkeys("─━╌┈╴╶╸╺═▔", "-"),
        **dict.fromkeys("│┃┆┊║▎▏▕▊▋▍", "|"),
        **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┣┫┳┻╋╔╗╚╝", "+"),
        **dict.fromkeys("▁_", "_"),
        **dict.fromkeys("█▇▀■", "#"),
        **{
            "▂": ".",
            "▃": "-",
            "▄": "=",
            "▅": "+",
            "▆": "*",
            "▐": "[",
            "▌": "]",
            "░": ":",
            "▒": "%",
            "▓": "@",
        },
        **{
            "●": "*",
            "•": "*",
            "◌": "o",
            "○": "o",
            "◦": "q",
            "△": "A",
            "□": "n",
            "▲": "^",
            "▼": "v",
            "▴": "^",
            "◆": "@",
            "◇": "d",
            "‖": "=",
        },
        **{
            "✓": "+",
            "✗": "x",
            "⚠": "!",
            "▸": ">",
            "▾": "v",
            "‹": "<",
            "›": ">",
            "✎": "*",
            "…": ".",
            "·": ".",
            "×": "x",
            "÷": "/",
        },
        **{
            "→": ">",
            "←": "<",
            "↑": "^",
            "↓": "v",
            "⏎": "<",
            "±": "~",
            "Δ": "D",
            "≤": "<",
            "∞": "I",
            "°": "o",
            "−": "-",
        },
        **{"–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " "},
    }
)
_BRAILLE = range(0x2800, 0x2900)
_DOT_ROWS = (3, 2, 1, 3, 2, 1, 0, 0)
"""The row of each of the eight dots of a braille character, from the bottom."""
_LEFT_DOTS = frozenset((0, 1, 2, 6))


def to_plain(text: str) -> str:
    """`text` in ASCII, with as many terminal cells."""
    return text if text.isascii() else "".join(c if c < "\x7f" else _plain(c) for c in text)


@lru_cache(4096)
def _plain(character: str) -> str:
    if ord(character) in _BRAILLE:
        return _stroke(ord(character) - _BRAILLE.start)
    known = character.translate(_TABLE)
    base = unicodedata.normalize("NFKD", character)[:1]
    width = cell_width(character)
    if known.isascii() or not width:
        return known if width else ""
    return base if width == 1 and " " <= base <= "~" else "?" * width


def _stroke(dots: int) -> str:
    """The character that looks like a part of a curve in braille dots: its slope, else its height in the cell."""
    columns: tuple[list[int], list[int]] = ([], [])
    for dot, row in enumerate(_DOT_ROWS):
        if dots >> dot & 1:
            columns[dot not in _LEFT_DOTS].append(row)
    left, right = columns
    if not left and not right:
        return " "
    if max(len(left), len(right)) >= 3 or not (left and right):
        rows = max(columns, key=len)
        return "|" if len(rows) >= 3 else _level(sum(rows) / len(rows), ".")
    slope = sum(right) / len(right) - sum(left) / len(left)
    if abs(slope) >= 1:
        return "/" if slope > 0 else "\\"
    return _level((sum(left) + sum(right)) / (len(left) + len(right)), "_")


def _level(height: float, lowest: str) -> str:
    return "'" if height > 2.4 else "-" if height > 0.6 else lowest


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return to_plain(error.object[error.start : error.end]), error.end


codecs.register_error(ERROR_HANDLER, _replace)
