"""Runs that are removed, restored and deleted, by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.cli.main import run
from workbench.core import paths
from workbench.core.errors import UserError
from workbench.io.disk_usage import disk_usage
from workbench.runs import trash
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import Store


def test_a_run_is_removed_and_restored(digits_run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in digits_run.path.rglob("*"))
    assert run(["rm", "last"]) == 0
    assert Store.default().list_runs() == []
    capsys.readouterr()
    assert run(["trash", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert row["run"] == digits_run.id
    assert row["bytes"] == disk_usage(paths.trash() / digits_run.id) > 10_000
    assert run(["trash"]) == 0
    assert digits_run.id in capsys.readouterr().out
    assert run(["trash", "restore", "digits"]) == 0
    assert sorted(path.name for path in digits_run.path.rglob("*")) == before
    assert Store.default().list_runs()[0].status == "finished"
    assert trash.list_trash(paths.trash()) == []


def test_a_run_that_is_gone_is_not_removed_again(digits_run: RunFolder) -> None:
    """As by a second screen."""
    Store.default().remove(digits_run)
    with pytest.raises(UserError, match=f"^{digits_run.id} is already in the trash$"):
        trash.move_to_trash(digits_run.path, paths.trash())
    trash.empty_trash(paths.trash())
    with pytest.raises(UserError, match=f"^{digits_run.id} no longer exists$"):
        trash.move_to_trash(digits_run.path, paths.trash())


def test_an_emptied_trash_can_not_be_restored(
    digits_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.decoded_cache().mkdir(parents=True)
    (paths.decoded_cache() / "images.u8").write_bytes(b"x" * 1000)
    (paths.decoded_cache() / ".images.json.tmp").write_bytes(b"x" * 1000)
    assert run(["rm", "last"]) == 0
    assert run(["trash", "--empty", "--caches"]) == 0
    output = capsys.readouterr().out
    assert "Deleted 1 run" in output and "1.0 kB" in output
    assert trash.list_trash(paths.trash()) == []
    assert [path.name for path in paths.decoded_cache().iterdir()] == [".images.json.tmp"]
    assert run(["trash", "restore", "last"]) == 2
    assert "empty" in capsys.readouterr().err


def test_nothing_is_overwritten(
    digits_run: RunFolder, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["rm", "last"])
    digits_run.path.mkdir()
    (digits_run.path / "mine").write_text("")
    assert run(["trash", "restore", digits_run.id]) == 2
    assert run(["rm", digits_run.id]) == 2
    assert "already exists" in capsys.readouterr().err
    assert (digits_run.path / "mine").exists()
