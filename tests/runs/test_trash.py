"""Runs that are put away, taken back and deleted, by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from workbench.cli.main import run
from workbench.core import paths
from workbench.io.file_cache import size_of
from workbench.runs import trash
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import Store


def test_a_run_is_put_away_and_taken_back(digits_run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.name for path in digits_run.path.rglob("*"))
    assert run(["rm", "last"]) == 0
    assert Store.default().rows() == []
    capsys.readouterr()
    assert run(["trash", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert row["run"] == digits_run.id
    assert row["bytes"] == size_of(paths.trash() / digits_run.id) > 10_000
    assert run(["trash"]) == 0
    assert digits_run.id in capsys.readouterr().out
    assert run(["trash", "restore", "digits"]) == 0
    assert sorted(path.name for path in digits_run.path.rglob("*")) == before
    assert Store.default().rows()[0].status == "finished"
    assert trash.rows(paths.trash()) == []


def test_what_is_deleted_is_gone_for_good(digits_run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    paths.decoded_cache().mkdir(parents=True)
    (paths.decoded_cache() / "pictures.u8").write_bytes(b"x" * 1000)
    (paths.decoded_cache() / ".pictures.json.tmp").write_bytes(b"x" * 1000)
    assert run(["rm", "last"]) == 0
    assert run(["trash", "--empty", "--caches"]) == 0
    said = capsys.readouterr().out
    assert "1 run deleted" in said and "1.0 kB" in said
    assert trash.rows(paths.trash()) == []
    assert [path.name for path in paths.decoded_cache().iterdir()] == [".pictures.json.tmp"]
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
    assert "there already" in capsys.readouterr().err
    assert (digits_run.path / "mine").exists()
