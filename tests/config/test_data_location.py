from __future__ import annotations

from pathlib import Path

import pytest

from workbench.config.data_location import moved_dataset
from workbench.core.errors import UserError


@pytest.mark.parametrize(
    ("recorded", "name", "reason"),
    [
        (
            "folder:/old",
            "none",
            r"none does not exist: name the folder that has the images of folder:/old now",
        ),
        ("folder:/old", "file.png", r"file\.png is a file: name the folder"),
        (
            "/old/data.py:make",
            "none.py",
            r"none\.py does not exist: name the Python file that /old/data\.py:make",
        ),
        ("/old/data.py:make", "", r" is a folder: name the Python file"),
        (
            "csv:/old/x.csv",
            "none.csv",
            r"none\.csv does not exist: name the file that csv:/old/x\.csv is now",
        ),
        ("tar:/old/x-*.tar", "y-*.tar", r"y-\*\.tar does not exist: name the file"),
    ],
)
def test_a_place_without_the_data_is_named_as_it_was_typed(
    tmp_path: Path, recorded: str, name: str, reason: str
) -> None:
    (tmp_path / "file.png").touch()
    with pytest.raises(UserError, match=rf"^--data {tmp_path}/?{reason}"):
        moved_dataset(recorded, str(tmp_path / name))


def test_data_is_named_by_a_path_or_by_its_name(tmp_path: Path) -> None:
    code = tmp_path / "data.py"
    code.touch()
    for text in (str(tmp_path), f"folder:{tmp_path}"):
        assert moved_dataset("folder:/old", text) == f"folder:{tmp_path}"
    table = tmp_path / "labels.csv"
    table.touch()
    for text in (str(table), f"csv:{table}"):
        assert moved_dataset("csv:/old/labels.csv", text) == f"csv:{table}"
    for text in (str(code), f"{code}:make"):
        assert moved_dataset("/old/data.py:make", text) == f"{code}:make"
