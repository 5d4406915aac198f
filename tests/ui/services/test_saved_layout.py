from __future__ import annotations

from pathlib import Path

import pytest

from workbench.ui.services.saved_layout import (
    FILE_NAME,
    ChartsLayout,
    ColumnChoice,
    Layout,
    RunsLayout,
    load_layout,
    save_layout,
)


def test_each_pane_saves_its_own_part(tmp_path: Path) -> None:
    home = tmp_path / "new"
    runs = RunsLayout(columns=(ColumnChoice(name="lr", width=9),), order="lr", reverse=True)
    charts = ChartsLayout(filter="loss", limits={"val/loss": (0.0, 2.0)}, side=2)
    save_layout(home, runs=runs)
    save_layout(home, charts=charts)
    assert load_layout(home) == Layout(runs=runs, charts=charts)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"v": 1, "runs": 5, "charts": {"side": -3, "smoothing": 7, "x": "years", "limits": {"a": 1}}}',
    ],
)
def test_a_damaged_file_is_the_default_layout(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    assert load_layout(tmp_path) == Layout()


def test_a_home_that_can_not_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    save_layout(tmp_path / "file", runs=RunsLayout(order="lr"))
