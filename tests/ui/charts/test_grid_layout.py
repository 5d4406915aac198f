from __future__ import annotations

import pytest

from workbench.charts.metric_names import Section
from workbench.ui.charts.grid_layout import lay_out, sides, single_page
from workbench.ui.charts.run_styles import MAX_RUNS, RunStyles

FIVE = Section("train", [f"train/{n}" for n in range(5)])


@pytest.mark.parametrize(
    ("size", "chosen", "expected"),
    [
        ((78, 14), None, (2, 2)), ((118, 31), None, (3, 4)), ((198, 45), None, (4, 4)), ((30, 4), None, (1, 1)),
        ((198, 45), 2, (2, 2)), ((38, 9), 4, (1, 1)), ((1, 1), 3, (1, 1)),
    ],
)  # fmt: skip
def test_as_many_charts_as_are_readable(size, chosen, expected):
    assert sides(*size, chosen) == expected


def test_the_rows_of_a_section_are_filled_evenly():
    (page,) = lay_out([FIVE], 120, 30, None)
    assert [len({s.name for s in page.slots if s.y == y}) for y in sorted({s.y for s in page.slots})] == [
        3,
        2,
    ]
    assert page.headings == []
    (wide,) = lay_out([Section("", ["a", "b"])], 161, 30, None)
    assert [(slot.x, slot.width) for slot in wide.slots] == [(0, 80), (81, 80)]


def test_each_section_begins_on_a_new_row_below_its_heading():
    pages = lay_out([Section("", ["lr"]), FIVE, Section("val", ["val/loss", "val/acc"])], 120, 12, None)
    texts = [[heading.text for heading in page.headings] for page in pages]
    assert texts == [["others (1)", "train (5)"], ["train (5)", "val (2)"]]
    names = [slot.name for page in pages for slot in page.slots]
    assert names == ["lr", *FIVE.names, "val/loss", "val/acc"]


@pytest.mark.parametrize("size", [(20, 5), (78, 14), (118, 31), (198, 45)])
@pytest.mark.parametrize("chosen", [None, 1, 2, 3, 4])
def test_no_chart_covers_another_or_leaves_the_grid(size, chosen):
    for page in [*lay_out([FIVE, Section("val", ["val/loss"])], *size, chosen), single_page("x", *size)]:
        cells = [
            (x, y) for s in page.slots for x in range(s.x, s.x + s.width) for y in range(s.y, s.y + s.height)
        ]
        assert len(cells) == len(set(cells)) and cells
        assert all(x < size[0] and y < size[1] for x, y in cells)
        assert not {y for _, y in cells} & {heading.y for heading in page.headings}


def test_a_run_keeps_its_style_while_others_come_and_go():
    styles = RunStyles()
    styles.show(["a", "b"])
    first, second = styles["a"], styles["b"]
    styles.show(["c", "b"])
    assert styles["b"] == second and styles["c"] == first and len(styles) == 2
    styles.show([str(n) for n in range(MAX_RUNS)])
    assert len({(styles[str(n)].color, styles[str(n)].mark) for n in range(MAX_RUNS)}) == MAX_RUNS
