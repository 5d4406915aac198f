"""Tables within the width of a terminal."""

from __future__ import annotations

from workbench.cli.tables import fit
from workbench.core.text import cell_width

TABLE = [
    ("run", "name", "what it is"),
    ("20261121-164058-long-49ff", "long", "a rather long text that says what all of this is about"),
    ("20261121-164059-näme-123a", "näme", "日本語の長い長い長い長い名前 and more"),
]


def test_everything_is_shown_where_nobody_looks() -> None:
    lines = fit(TABLE, None)
    assert len(lines) == 3
    assert lines[1].endswith("what all of this is about")


def test_no_line_is_longer_than_the_terminal() -> None:
    for columns in (20, 30, 45, 60, 80, 100):
        for line in fit(TABLE, columns, spare=("name",)):
            assert cell_width(line) <= max(columns, 28), (columns, line)


def test_columns_go_in_the_order_they_can_be_spared() -> None:
    assert "long" in fit(TABLE, 90)[0 + 1]
    lines = fit(TABLE, 80, spare=("name",))
    assert lines[0].split() == ["run", "what", "it", "is"]
    assert len(lines) == 4, "the last column is wrapped, and nothing of it is lost"
    assert " ".join(line.strip() for line in lines[1:3]).endswith("what all of this is about")


def test_a_first_column_in_brief_goes_before_any_is_spared() -> None:
    brief = ["20261121-164058", "20261121-164059"]
    assert fit(TABLE, 200, spare=("name",), brief=brief)[1].startswith("20261121-164058-long-49ff")
    assert fit(TABLE, 80, spare=("name",), brief=brief)[1].split()[:3] == [brief[0], "long", "a"]


def test_a_few_last_words_stand_under_each_other_before_a_column_is_cut() -> None:
    lines = fit([("code", "memory"), ("torch.from_numpy(array)", "shared with NumPy")], 35)
    assert lines[1:] == ["torch.from_numpy(array)  shared", " " * 25 + "with NumPy"]


def test_a_table_that_fits_is_left_as_it_is() -> None:
    assert fit([("a", "b"), ("1", "")], 80, spare=("b",)) == ["a  b", "1"]
