"""The shortest sequences, and where they leave the cursor."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.end_to_end.emulator import Screen, Stream
from workbench.ui.base.pen import Pen
from workbench.ui.base.sgr import PLAIN, Cell

COLUMNS, ROWS = 40, 12
places = st.tuples(st.integers(0, ROWS - 1), st.integers(0, COLUMNS - 1))


def pen_at(row: int, column: int) -> Pen:
    pen = Pen(COLUMNS)
    pen.move_to(row, column)
    pen.use(PLAIN)
    pen.take()
    return pen


@pytest.mark.parametrize(
    ("start", "end", "path"),
    [
        ((5, 5), (5, 4), "\b"),
        ((5, 5), (5, 0), "\r"),
        ((5, 5), (5, 30), "\x1b[25C"),
        ((5, 30), (5, 20), "\x1b[10D"),
        ((5, 5), (6, 5), "\v"),
        ((5, 5), (6, 4), "\v\b"),
        ((5, 5), (9, 5), "\x1b[4B"),
        ((5, 5), (4, 5), "\x1b[A"),
        ((5, 30), (6, 0), "\r\v"),
        ((0, 39), (0, 39), ""),
    ],
)
def test_the_cursor_takes_the_shortest_way(start: tuple[int, int], end: tuple[int, int], path: str) -> None:
    pen = pen_at(*start)
    pen.move_to(*end)
    assert pen.take() == path


@settings(max_examples=200, deadline=None)
@given(places, st.lists(st.tuples(places, st.integers(0, 3)), max_size=8))
def test_the_cursor_is_where_the_pen_says(
    start: tuple[int, int], steps: list[tuple[tuple[int, int], int]]
) -> None:
    """Also after a character in the last column, where terminals disagree about the cursor."""
    screen, pen = Screen(COLUMNS, ROWS), Pen(COLUMNS)
    screen.reset_mode(7, private=True)  # no line wrap, as Textual has it
    stream = Stream(screen)
    pen.use(PLAIN)
    pen.move_to(*start)
    for (row, column), count in steps:
        pen.move_to(row, column)
        cells = [Cell(character, PLAIN) for character in "abc"[: min(count, COLUMNS - column)]]
        pen.draw(cells)
        stream.feed(pen.take())
        assert (screen.cursor.y, min(screen.cursor.x, COLUMNS)) == (row, column + len(cells))
        assert screen.display[row][column : column + len(cells)] == "".join(cell.text for cell in cells)


@pytest.mark.parametrize("can_erase", [False, True])
@pytest.mark.parametrize("can_repeat", [False, True])
def test_repeated_and_erased_cells_take_few_bytes_and_look_the_same(
    can_erase: bool, can_repeat: bool
) -> None:
    screen, pen = Screen(COLUMNS, ROWS, repeats="all" if can_repeat else "none"), pen_at(2, 3)
    pen.can_erase, pen.can_repeat = can_erase, can_repeat
    text = "┌" + "─" * 15 + "┐" + " " * 12 + "x"
    Stream(screen).feed(f"\x1b[3;1H{'o' * COLUMNS}\x1b[3;4H")
    pen.draw([Cell(character, PLAIN) for character in text])
    drawn = pen.take()
    assert pen.column == 3 + len(text)
    Stream(screen).feed(drawn)
    assert screen.display[2] == "ooo" + text + "o" * (COLUMNS - 3 - len(text))
    assert ("\x1b[14b" in drawn) == can_repeat
    assert len(drawn.encode()) <= 64 - 35 * can_repeat


def test_after_a_character_of_unsure_width_the_cursor_moves_explicitly() -> None:
    pen = pen_at(2, 3)
    pen.draw([Cell("日", PLAIN)])
    pen.move_to(2, 5)
    assert pen.take() == "日\r\x1b[5C"
