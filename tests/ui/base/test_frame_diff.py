"""A terminal that gets only the differences shows the same cells as one that gets every frame."""

from __future__ import annotations

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.end_to_end.emulator import Screen, Stream
from workbench.ui.base.frame_diff import MIN_SYNCHRONIZED, SYNC_END, SYNC_START, FrameDiff
from workbench.ui.base.sgr import RESET

COLUMNS, ROWS = 30, 6
STYLES = [
    "",
    "1",
    "1;31",
    "2;38;2;40;20;60",
    "38;2;21;42;63;48;2;24;45;66",
    "38;2;24;45;66;48;2;24;45;66",
    "48;5;17",
    "7",
    "4;39;49",
    "9;95;101",
    "22;1",
]
TEXTS = ["a", "abcdefghijkl", "  ", " " * 14, "日本", "a日b", "▁▂█", "▀▀", "⠁⠂", "x y z", "é", "│"]

Span = tuple[int, int, str, str]
spans = st.tuples(
    st.integers(0, ROWS - 1), st.integers(0, COLUMNS - 15), st.sampled_from(STYLES), st.sampled_from(TEXTS)
)


def frame_of(drawn: list[Span]) -> str:
    """A frame as Textual writes it: a position, a style, a text and a reset."""
    return "".join(
        f"\x1b[{row + 1};{column + 1}H\x1b[{style}m{text}\x1b[0m" for row, column, style, text in drawn
    )


def look_of(screen: pyte.Screen) -> list[list[tuple[object, ...]]]:
    """What a person sees: a space has no foreground unless it is underlined, reversed or crossed out.

    A half block of one color looks like a space.

    Half of a wide character is a space, as terminals show it (pyte keeps the half). A lower half block is an upper one
    with the colors exchanged.
    """
    return [[_look_of_cell(screen.buffer[row], column) for column in range(COLUMNS)] for row in range(ROWS)]


def _look_of_cell(row: dict[int, pyte.screens.Char], column: int) -> tuple[object, ...]:
    cell = row[column]
    wide = cell_len(cell.data) == 2
    half = (wide and row[column + 1].data) or (not cell.data and cell_len(row[column - 1].data) != 2)
    blank = cell.data == " " or (cell.data == "▀" and cell.fg == cell.bg)
    if half or (blank and not (cell.underscore or cell.reverse or cell.strikethrough)):
        return " ", cell.bg
    if cell.data == "▄":
        cell = cell._replace(data="▀", fg=cell.bg, bg=cell.fg)
    return tuple(cell)


def diff_of(can_erase: bool = False, can_repeat: bool = False) -> FrameDiff:
    diff = FrameDiff((COLUMNS, ROWS))
    diff.pen.can_erase, diff.pen.can_repeat = can_erase, can_repeat
    return diff


abilities = pytest.mark.parametrize(
    ("can_erase", "can_repeat"), [(False, False), (True, False), (False, True), (True, True)]
)


@abilities
@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(spans, max_size=6), max_size=5))
def test_differences_show_what_whole_frames_show(
    can_erase: bool, can_repeat: bool, frames: list[list[Span]]
) -> None:
    whole, changed = (
        pyte.Screen(COLUMNS, ROWS),
        Screen(COLUMNS, ROWS, repeats="all" if can_repeat else "none"),
    )
    diff, shown = diff_of(can_erase, can_repeat), Stream(changed)
    for drawn in frames:
        pyte.Stream(whole).feed(frame_of(drawn))
        assert diff.feed(frame_of(drawn)) == ""
        shown.feed(diff.take())
        assert look_of(changed) == look_of(whole)
        assert (changed.cursor.x, changed.cursor.y) == (whole.cursor.x, whole.cursor.y)
        assert diff.take() == "", "nothing changed since"
        assert not diff.is_behind


@abilities
@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.lists(spans, max_size=6), st.integers(0, 3)), max_size=6), st.integers(1, 40))
def test_updates_that_end_early_are_continued_with_the_newest_frame(
    can_erase: bool, can_repeat: bool, frames: list[tuple[list[Span], int]], limit: int
) -> None:
    """Of each frame some parts are sent; what a slow line never got is not missing at the end."""
    whole, changed = (
        pyte.Screen(COLUMNS, ROWS),
        Screen(COLUMNS, ROWS, repeats="all" if can_repeat else "none"),
    )
    diff, shown = diff_of(can_erase, can_repeat), Stream(changed)
    for drawn, parts in frames:
        pyte.Stream(whole).feed(frame_of(drawn))
        diff.feed(frame_of(drawn))
        for _ in range(parts):
            shown.feed(diff.take(limit))
    while update := diff.take(limit):
        shown.feed(update)
    assert not diff.is_behind
    assert look_of(changed) == look_of(whole)
    assert (changed.cursor.x, changed.cursor.y) == (whole.cursor.x, whole.cursor.y)


def test_a_frame_that_changes_one_cell_costs_a_few_bytes() -> None:
    diff = FrameDiff((COLUMNS, ROWS))
    border = [(0, 0, "38;2;9;9;9", "┌" + "─" * 22 + "┐"), *((row, 0, "", "x" * 24) for row in range(1, 6))]
    diff.feed(frame_of(border))
    assert len(diff.take()) > 100
    diff.feed(frame_of(border))
    assert diff.take() == ""
    diff.feed(frame_of([*border, (3, 7, "", "y")]))
    assert len(diff.take()) < 20


def test_half_blocks_of_one_color_are_sent_as_spaces() -> None:
    """An image at twice its size costs a third of two colors and a character of three bytes for each cell."""
    screen, diff = pyte.Screen(COLUMNS, ROWS), FrameDiff((COLUMNS, ROWS))
    shades = [f"{shade};{shade};{shade}" for shade in (10, 90, 170, 250)]
    doubled = [
        (row, 2 * pixel, f"38;2;{shade};48;2;{shade}", "▀▀")
        for row in range(ROWS)
        for pixel, shade in enumerate(shades[row % 4 :] + shades[: row % 4])
    ]
    diff.feed(frame_of([*doubled, (0, 20, f"38;2;{shades[0]};48;2;{shades[1]}", "▀")]))
    update = diff.take()
    pyte.Stream(screen).feed(update)
    assert [screen.buffer[1][column].bg for column in (0, 2, 4, 6)] == [
        "585858",
        "a8a8a8",
        "ffffff",
        "080808",
    ]
    assert update.count("▀") == 1
    assert len(update.encode()) < len(frame_of(doubled).encode()) / 3


def test_sequences_that_draw_nothing_pass_in_their_order() -> None:
    diff = FrameDiff((COLUMNS, ROWS))
    assert (
        diff.feed("\x1b[?25l\x1b[1;1Hab\x1b]52;c;eA==\x07\x07\x1b[>1u")
        == "\x1b[?25l\x1b]52;c;eA==\x07\x07\x1b[>1u"
    )
    assert diff.take().endswith("ab")


def test_the_style_stays_from_update_to_update_and_ends_before_the_screen_is_cleared() -> None:
    diff = diff_of()
    diff.feed("\x1b[1;1H\x1b[38;2;1;2;3;48;2;4;5;6mab")
    diff.take()
    diff.feed("\x1b[1;2H\x1b[38;2;1;2;3;48;2;4;5;6mc")
    assert diff.take() == "\bc"
    assert diff.feed("\x1b[?1049l") == RESET + "\x1b[?1049l"
    assert diff.feed("\x1b[?1049h") == "\x1b[?1049h", "it is ended once"


def test_a_border_costs_a_few_bytes_where_characters_can_be_repeated() -> None:
    border = [(0, 0, "38;2;9;9;9", "┌" + "─" * 22 + "┐")]
    plain, repeating = diff_of(), diff_of(can_repeat=True)
    for diff in (plain, repeating):
        diff.feed(frame_of(border))
    assert len(plain.take().encode()) - len(repeating.take().encode()) > 55


def test_words_come_before_an_image_and_a_limit_ends_an_update() -> None:
    diff = diff_of()
    pixels = [
        (row, column, f"38;2;{row};2;{column};48;2;1;2;{row}", "▀") for row in range(3) for column in range(9)
    ]
    diff.feed(frame_of([*pixels, (4, 3, "38;2;9;9;9", "word"), (5, 3, "1", "bold")]))
    first = diff.take(30)
    assert "word" in first
    assert "bold" in first
    assert "▀" not in first
    assert len(first.encode()) < 30 + 30
    assert diff.is_behind


def test_few_colors_show_an_image_with_less_than_half_of_the_bytes() -> None:
    """Neighboring pixels of a photograph often have one color of the palette, then none has to be sent again."""
    pixels = [
        (
            row,
            column,
            f"38;2;{90 + 7 * row};{120 + column};{column};48;2;{90 + 7 * row};{125 + column};{column}",
            "▀",
        )
        for row in range(ROWS)
        for column in range(15)
    ]
    sizes = []
    for few in (False, True):
        diff, screen = diff_of(), Screen(COLUMNS, ROWS)
        diff.use_few_colors(images=few, text=few)
        diff.feed(frame_of(pixels))
        Stream(screen).feed(update := diff.take())
        sizes.append(len(update.encode()))
        for row, column, *_ in pixels:
            red, green, _blue = (int(screen.buffer[row][column].bg[at : at + 2], 16) for at in (0, 2, 4))
            assert abs(red - 90 - 7 * row) < 48
            assert abs(green - 122 - column) < 48
    assert sizes[1] < sizes[0] / 4


def test_gaps_between_words_take_one_sequence_for_a_whole_row() -> None:
    """What was there before is erased first, so that the words of a table cost little more than their letters."""
    diff, screen = diff_of(can_erase=True), Screen(COLUMNS, ROWS)
    shown = Stream(screen)
    before = [(row, 0, "48;5;17", "x" * COLUMNS) for row in range(ROWS)]
    words = [(row, column, "1", f"{row}{column:02}") for row in range(ROWS) for column in (2, 11, 21)]
    after = [*((row, 0, "48;5;17", " " * COLUMNS) for row in range(ROWS)), *words]
    diff.feed(frame_of(before))
    shown.feed(diff.take())
    diff.feed(frame_of(after))
    update = diff.take()
    shown.feed(update)
    assert screen.display == [f"  {row}02      {row}11       {row}21      " for row in range(ROWS)]
    assert sum(update.count(final) for final in ("X", "K")) == ROWS


def test_text_of_a_slow_line_takes_colors_of_the_palette_and_is_not_sent_again_for_that() -> None:
    diff = diff_of()
    words = [(row, 3, f"38;2;205;{200 + row};229", "word") for row in range(ROWS)]
    diff.feed(frame_of(words))
    full = diff.take()
    diff.use_few_colors(images=True, text=True)
    diff.feed(frame_of(words))
    assert diff.take() == ""
    diff.feed(frame_of([(row, column + 9, style, text) for row, column, style, text in words]))
    assert "38;2;" not in (few := diff.take())
    assert len(few) < len(full)


def test_where_the_user_looks_text_comes_first() -> None:
    diff = diff_of()
    words = [(row, 3, f"38;5;{20 + row}", f"word{row}") for row in range(ROWS)]
    diff.feed(frame_of(words))
    diff.first_rows, diff.first_columns = range(4, 6), range(0, 9)
    first = diff.take(30)
    assert "word4" in first
    assert "word5" in first
    assert "word0" not in first
    assert "word0" in diff.take()


def test_a_frame_that_is_sent_in_parts_is_not_synchronized() -> None:
    diff = FrameDiff((COLUMNS, ROWS))
    text = "".join(f"\x1b[{row};1H" + "éü" * 15 for row in range(1, 7))
    diff.feed(SYNC_START + text + SYNC_END)
    first, last = diff.take(50), diff.take()
    assert len(last) >= MIN_SYNCHRONIZED
    assert SYNC_START not in first + last
    diff.forget_shown()
    assert SYNC_START in diff.take()


def test_an_image_that_waits_is_sent_with_few_colors_once_the_line_is_known_to_be_slow() -> None:
    diff = diff_of()
    pixels = [
        (row, column, f"38;2;{row};2;{column};48;2;1;2;{row}", "▀") for row in range(3) for column in range(9)
    ]
    diff.feed(frame_of(pixels))
    assert "38;2;" in diff.take(40)
    diff.use_few_colors(images=True, text=False)
    assert "38;2;" not in diff.take()


def test_a_synchronized_frame_stays_synchronized_and_an_empty_one_is_not_sent() -> None:
    diff = FrameDiff((COLUMNS, ROWS))
    diff.feed(SYNC_START + "\x1b[1;1Hab" + SYNC_END)
    assert diff.take() == f"{RESET}\x1b[1Hab", "a short update arrives in one piece"
    text = "".join(f"\x1b[{row};1H" + "ab" * 15 for row in range(1, 7))
    diff.feed(SYNC_START + text.replace("ab", "éü") + SYNC_END)
    update = diff.take()
    assert len(update) >= MIN_SYNCHRONIZED
    assert update.startswith(SYNC_START)
    assert update.endswith(SYNC_END)
    diff.feed(SYNC_START + text.replace("ab", "éü") + SYNC_END)
    assert diff.take() == ""


def test_after_a_redraw_every_cell_is_sent_again_and_after_a_resize_none() -> None:
    diff = FrameDiff((COLUMNS, ROWS))
    diff.feed("\x1b[2;3Hab\x1b[3;1Hc")
    first = diff.take()
    diff.forget_shown()
    assert diff.take() == first
    diff.resize((COLUMNS + 1, ROWS))
    assert diff.take() == ""
    diff.feed("\x1b[2;3Ha")
    assert "a" in diff.take()


@pytest.mark.parametrize("sequence", ["\x1b[2J", "\x1b[?1049h", "\x1b[2;5r", "\x1b[3S"])
def test_a_sequence_that_clears_or_scrolls_forgets_what_is_shown(sequence: str) -> None:
    diff = FrameDiff((COLUMNS, ROWS))
    diff.feed("\x1b[1;1Hab")
    diff.take()
    assert diff.feed(sequence) == sequence
    assert "ab" in diff.take()


def test_cells_outside_the_terminal_are_not_sent() -> None:
    diff = FrameDiff((4, 2))
    diff.feed("\x1b[3;1Hghi\x1b[1;2Habcdef\x1b[1;2H")
    assert diff.take() == f"{RESET}\x1b[1;2Habc\r\x1b[C"
    diff.resize((6, 3))
    diff.feed("\x1b[1;2Habcdef\x1b[3;1Hghi")
    assert "abcde" in diff.take()
