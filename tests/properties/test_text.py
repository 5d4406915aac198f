"""Whatever text comes from outside: on the screen it stays in its row and its width."""

from __future__ import annotations

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from workbench.core.text import cell_width, one_line, pad, sanitize, truncate

ANY = st.text(st.characters(exclude_categories=())) | st.binary(max_size=20).map(
    lambda name: name.decode("utf-8", "surrogateescape")
)
STEERING = {"Cc", "Cs", "Cn", "Zl", "Zp"}
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


@given(ANY | st.text(st.sampled_from("\x1b\x9b\n\r\0a]" + BIDI)))
@example("\x1b]52;c;aGk=\x07" + BIDI)
def test_no_control_character_is_left(text: str) -> None:
    shown = sanitize(text)
    assert len(shown) == len(text) and len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(character) in STEERING or character in BIDI for character in shown)
    shown.encode("utf-8")
    assert sanitize(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Mn"])))
def test_text_that_can_be_shown_is_left_alone(text: str) -> None:
    assert sanitize(text) == text


@given(ANY, st.integers(0, 30))
def test_text_is_cut_to_its_width(text: str, width: int) -> None:
    shown = sanitize(text, width)
    assert cell_width(shown) <= width
    if cell_width(sanitize(text)) <= width:
        assert shown == sanitize(text)
    else:
        assert shown == "" or (shown.endswith("…") and sanitize(text).startswith(shown[:-1]))
    assert truncate(shown, width) == shown
    assert cell_width(pad(shown, width)) == width


@given(ANY, st.integers(1, 40))
def test_an_exception_is_one_line(text: str, limit: int) -> None:
    shown = one_line(ValueError(text), limit)
    assert shown and len(shown) <= max(limit, len("ValueError"))
    assert len(shown.splitlines()) == 1
