"""ASCII for terminals without UTF-8: as many cells, and curves that still look like curves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench
from workbench.core.plain_text import ERROR_HANDLER, to_plain
from workbench.core.text import cell_width, sanitize
from workbench.ui.widgets.braille_canvas import braille


@given(st.text())
def test_any_text_becomes_ascii_of_the_same_width(text: str) -> None:
    shown = sanitize(text)
    assert to_plain(shown).isascii()
    assert cell_width(to_plain(shown)) == cell_width(shown)


def test_every_character_of_the_screen_has_a_counterpart() -> None:
    folder = Path(workbench.__file__).parent / "ui"
    texts = [path.read_text() for path in (*folder.rglob("*.py"), *folder.rglob("*.tcss"))]
    unknown = {c for c in re.findall(r"[^\x00-\x7f]", "".join(texts)) if to_plain(c) == "?"}
    assert unknown == set()


def test_letters_lose_their_accents() -> None:
    assert to_plain("café 日本 ±0.1 cat→dog ✓") == "cafe ???? ~0.1 cat>dog +"
    assert "naïve ✗".encode("ascii", ERROR_HANDLER) == b"naive x"


@pytest.mark.parametrize(
    ("ys", "strokes"), [((0.0, 15.0), "/"), ((15.0, 0.0), "\\"), ((0.0, 0.0), "_"), ((15.0, 15.0), "'")]
)
def test_a_line_keeps_its_direction(ys: tuple[float, float], strokes: str) -> None:
    rows = braille((0.0, 7.0), ys, 4, 4, joined=True)
    assert set("".join(map(to_plain, rows))) <= {" ", strokes, "|"}
    assert strokes in to_plain("".join(rows))
