"""A run with damaged files is still listed, shown and removed, and one line names the damaged file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.run_folders import DEAD_PID, attempt, holding
from workbench.cli.main import run
from workbench.core.errors import UserError
from workbench.io.record_codec import to_json, write_record
from workbench.launcher import launch
from workbench.runs import locks
from workbench.runs.enums import Cause, Ending
from workbench.runs.records import CheckpointEntry, Exit, Manifest, Notes, Setup
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status, may_be_live, status_of
from workbench.runs.store import Store

NONSENSE = ("nonsense", -1e300, True, None, [[]], {"a": {}})
NOT_A_RECORD = (b"", b"\x80\xff", b"[1, 2]", b'{"status": "fini', b"null")
FILES: dict[str, Callable[[RunFolder], Path]] = {
    "exit.json": lambda folder: folder.exit,
    "experiment.json": lambda folder: folder.experiment,
    "setup.json": lambda folder: folder.setup,
    "manifest.json": lambda folder: folder.manifest,
    "notes.json": lambda folder: folder.notes,
}


@pytest.fixture
def ended(folder: RunFolder) -> RunFolder:
    """A run that has ended, with all of `FILES`."""
    entry = CheckpointEntry(file="step-1.pt", sha256="0", step=1, epoch=1, position=0, metrics_offset=0)
    write_record(folder.setup, Setup(classes=("a", "b"), counts={"train": 2}))
    write_record(folder.manifest, Manifest(checkpoints=(entry,)))
    write_record(folder.notes, Notes(name="good", tags=("a",)))
    write_record(folder.exit, Exit(status=Ending.STOPPED, attempt=1, cause=Cause.REQUESTED, reason="stopped"))
    return folder


def is_listed_shown_and_removed(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> str:
    """Check this, restore the run, and return what `show` printed."""
    capsys.readouterr()
    assert [row.id for row in Store.default().list_runs()] == [folder.id]
    assert run(["runs"]) == 0 and run(["show", folder.id, "--json"]) == 0
    capsys.readouterr()
    assert run(["show", folder.id]) == 0
    shown = capsys.readouterr().out
    assert run(["rm", folder.id]) == 0 and not folder.path.exists(), capsys.readouterr().err
    assert run(["trash"]) == 0 and run(["trash", "restore", folder.id]) == 0
    return shown


@pytest.mark.parametrize("name", FILES)
def test_a_run_with_any_field_turned_to_nonsense(
    ended: RunFolder, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = FILES[name](ended)
    content = json.loads(path.read_bytes())
    for key in content:
        for value in NONSENSE:
            path.write_text(json.dumps({**content, key: value}), encoding="utf-8")
            is_listed_shown_and_removed(ended, capsys)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("data", NOT_A_RECORD)
def test_a_run_with_a_file_that_is_not_a_record(
    ended: RunFolder, name: str, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    FILES[name](ended).write_bytes(data)
    shown = is_listed_shown_and_removed(ended, capsys)
    assert [line for line in shown.splitlines() if name in line and "damaged" in line]
    (row,) = Store.default().list_runs()
    if name == "exit.json":
        assert row.status is Status.UNKNOWN and "exit.json is damaged" in row.reason
    else:
        assert (row.status, row.reason) == (Status.STOPPED, "stopped")


def test_a_folder_in_place_of_a_file(ended: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    ended.exit.unlink()
    ended.exit.mkdir()
    assert "exit.json is damaged" in is_listed_shown_and_removed(ended, capsys)


def test_a_run_that_is_worked_on_is_kept(ended: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    ended.exit.write_bytes(b"garbage")
    for held in (locks.SUPERVISOR, locks.WRITER):
        with holding(ended, held):
            assert may_be_live(ended)
            assert run(["rm", ended.id]) == 2 and ended.path.exists()
            assert "stop it first" in capsys.readouterr().err
    assert not may_be_live(ended)


def test_a_run_of_another_host_may_be_live(ended: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    ended.exit.write_bytes(b"garbage")
    attempt(ended, 2, pid=DEAD_PID, host="elsewhere", boot_id="another")
    assert status_of(ended) is Status.UNKNOWN and may_be_live(ended)
    assert run(["rm", ended.id]) == 2 and ended.path.exists()
    message = capsys.readouterr().err
    assert f"may still be running (process {DEAD_PID} on elsewhere)" in message and str(ended.path) in message


def test_an_end_that_is_unknown_needs_no_take_over(ended: RunFolder) -> None:
    """Only the next check fails here: the experiment is damaged, too."""
    ended.exit.write_bytes(b"garbage")
    ended.experiment.write_bytes(b"garbage")
    with pytest.raises(UserError, match=r"experiment\.json is missing or damaged"):
        launch.resume_run(ended, {}, "test")


def test_the_report_names_damaged_files_until_they_are_repaired(
    ended: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreadable() -> list[str]:
        capsys.readouterr()
        assert run(["show", ended.id, "--json"]) == 0
        files: list[str] = json.loads(capsys.readouterr().out)["unreadable_files"]
        return files

    assert unreadable() == []
    notes = ended.notes.read_bytes()
    for path in (ended.notes, ended.setup):
        path.write_bytes(b"garbage")
    assert unreadable() == ["notes.json", "setup.json"]
    ended.notes.write_bytes(notes)
    assert unreadable() == ["setup.json"]
    ended.setup.unlink()
    assert unreadable() == []


def test_the_nonsense_is_nonsense(ended: RunFolder) -> None:
    """At least the field without a default makes the exit record unreadable."""
    ended.exit.write_text(json.dumps({**to_json(Exit(status=Ending.FAILED)), "status": "nonsense"}))
    assert status_of(ended) is Status.UNKNOWN
