"""`workbench compare`, class by class."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from workbench.cli.main import run
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report


def test_runs_are_compared_class_by_class(
    digits_run: RunFolder, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("again", "third"):
        shutil.copytree(digits_run.path, home / "runs" / name)
    assert run(["compare", digits_run.id, "again", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    expected = {one["class"]: one["accuracy"] for one in read_report(digits_run).to_json()["per_class"]}
    assert {one["class"]: one["accuracy"] for one in first["per_class"]} == expected
    assert first["per_class_split"] == "test" and first["per_class"][0]["accuracy_difference"] is None
    assert {one["accuracy_difference"] for one in second["per_class"]} == {0.0}
    monkeypatch.setenv("COLUMNS", "60")
    assert run(["compare", digits_run.id, "again", "third", "--by", "f1"]) == 0
    printed = capsys.readouterr().out
    title, head, *classes = printed.splitlines()[printed.splitlines().index("") + 1 :]
    assert title.startswith("F1 of each class, test data, and the difference to ")
    assert head.startswith("class") and len(classes) == len(expected)
    assert all(len(line) <= 60 and ".000" in line for line in classes)
