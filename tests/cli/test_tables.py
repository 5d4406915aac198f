"""Tables within the width of a terminal."""

from __future__ import annotations

from workbench.cli.tables import fit_table
from workbench.core.text import cell_width

TABLE = [
    ("run", "name", "description"),
    ("20261121-164058-long-49ff", "long", "a rather long text that says what all of this is about"),
    ("20261121-164059-näme-123a", "näme", "日本語の長い長い長い長い名前 and more"),
]


def test_everything_is_printed_in_a_pipe() -> None:
    lines = fit_table(TABLE, None)
    assert len(lines) == 3
    assert lines[1].endswith("what all of this is about")


def test_no_line_is_longer_than_the_terminal() -> None:
    for columns in (20, 30, 45, 60, 80, 100):
        for line in fit_table(TABLE, columns, droppable=("name",)):
            assert cell_width(line) <= max(columns, 28), (columns, line)


def test_columns_are_dropped_in_their_order() -> None:
    assert "long" in fit_table(TABLE, 90)[0 + 1]
    lines = fit_table(TABLE, 80, droppable=("name",))
    assert lines[0].split() == ["run", "description"]
    assert len(lines) == 4, "the last column is wrapped, and nothing of it is lost"
    assert " ".join(line.strip() for line in lines[1:3]).endswith("what all of this is about")


def test_ids_are_shortened_before_a_column_is_dropped() -> None:
    short_ids = ["20261121-164058", "20261121-164059"]
    assert fit_table(TABLE, 200, droppable=("name",), short_ids=short_ids)[1].startswith(
        "20261121-164058-long-49ff"
    )
    assert fit_table(TABLE, 80, droppable=("name",), short_ids=short_ids)[1].split()[:3] == [
        short_ids[0],
        "long",
        "a",
    ]


def test_a_few_last_words_are_stacked_before_a_column_is_truncated() -> None:
    lines = fit_table([("code", "memory"), ("torch.from_numpy(array)", "shared with NumPy")], 35)
    assert lines[1:] == ["torch.from_numpy(array)  shared", " " * 25 + "with NumPy"]


def test_a_table_that_fits_is_unchanged() -> None:
    assert fit_table([("a", "b"), ("1", "")], 80, droppable=("b",)) == ["a  b", "1"]
