"""Every pane at three sizes is what its golden file shows; `python -m tests.golden` renews the files."""

from __future__ import annotations

import difflib
import tempfile
from pathlib import Path

import pytest

from tests.golden.screens import DIALOGS, SIZES, capture_panes, golden_file
from workbench.system.machine_info import list_devices
from workbench.ui.base.layout import PANES


def difference(name: str, size: tuple[int, int], text: str) -> str:
    """A unified diff from the golden file to `text`; empty if they are equal."""
    path = golden_file(name, size)
    golden = path.read_text(encoding="utf-8") if path.exists() else ""
    names = f"{path.name} (golden)", f"{path.name} (now)"
    return "\n".join(difflib.unified_diff(golden.splitlines(), text.splitlines(), *names, n=1, lineterm=""))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_every_pane_is_as_in_its_golden_file(size: tuple[int, int], tmp_path: Path) -> None:
    screens = await capture_panes(size, tmp_path / "golden")
    differences = [diff for name, text in screens.items() if (diff := difference(name, size, text))]
    if differences:
        pytest.fail("\n\n".join([*differences, "If this is intended: python -m tests.golden"]), pytrace=False)


def test_there_is_a_file_for_every_pane_and_size() -> None:
    expected = {golden_file(name, size) for name in (*PANES, *DIALOGS) for size in SIZES}
    assert set(Path(__file__).parent.glob("*.txt")) == expected


def test_the_files_tell_nothing_of_the_machine_that_made_them() -> None:
    machine = f"{tempfile.gettempdir()}/", f"{Path.home()}/", list_devices()[-1].name
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.txt"))
    assert [word for word in machine if word in text] == []
