"""Records of another version, of another user, of the future, and a journal of nonsense."""

from __future__ import annotations

import json
import os
import time

import pytest

from tests.run_folders import attempt
from tests.runs.many import ended_run
from workbench.cli.main import run
from workbench.io.atomic_files import write_json
from workbench.runs.run_folder import RunFolder
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store

NONSENSE = (
    b"",
    b"nonsense",
    b"[]",
    b"null",
    b'{"kind": "nonsense"}',
    b'{"kind": 5}',
    b'{"v": 1}',
    b"\xff\x00",
    b"{" * 5000,
)
WRONG = (None, -1e300, "x", [[]], {"a": {}})


def is_shown(folder: RunFolder) -> None:
    for command in (["runs"], ["show", folder.id], ["show", folder.id, "--json"]):
        assert run(command) == 0


def test_a_run_of_a_newer_version_is_read_only(home, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    folder = ended_run(home)
    for path in (folder.experiment, folder.setup, folder.heartbeat):
        content = json.loads(path.read_bytes())
        write_json(path, {**content, "v": 2, "something_new": [1]})
        before = {file: file.read_bytes() for file in folder.path.rglob("*") if file.is_file()}
        is_shown(folder)
        capsys.readouterr()
        assert run(["resume", folder.id, "--set", "train.epochs=90"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert str(path) in line and "version 2" in line and "only a newer workbench can resume it" in line
        assert {file: file.read_bytes() for file in folder.path.rglob("*") if file.is_file()} == before
        write_json(path, content)


def test_a_run_of_another_user_is_read_only(home, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    if os.getuid() != 0:
        pytest.skip("only root can give a folder to another user (CI runs as root)")
    folder = ended_run(home)
    os.chown(folder.path, 54321, -1)
    is_shown(folder)
    capsys.readouterr()
    assert run(["resume", folder.id, "--set", "train.epochs=90"]) == 2
    assert "belongs to another user and is read-only" in capsys.readouterr().err


def test_times_in_the_future_are_shown_and_listed(home, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    """After the clock was set back: every recorded time lies in the future."""
    folder = ended_run(home)
    future = time.time() + 10**8
    for path in (folder.heartbeat, folder.exit):
        write_json(path, {**json.loads(path.read_bytes()), "time": future})
        os.utime(path, (future, future))
    os.utime(folder.path, (future, future))
    is_shown(folder)
    assert "Traceback" not in capsys.readouterr().err
    assert status_of(folder) is Status.FINISHED
    later = ended_run(home)
    assert {row.id for row in Store.default().list_runs()} == {folder.id, later.id}
    assert Store.default().find("last").id == later.id
    for value in (1e300, -1e300, -1, 0):
        write_json(
            folder.heartbeat, {**json.loads(folder.heartbeat.read_bytes()), "time": value, "eta": value}
        )
        attempt(folder, 2, time=value)
        is_shown(folder)


def test_a_journal_turned_to_nonsense_line_by_line(home, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    folder = ended_run(home)
    lines = folder.journal.read_bytes().splitlines()
    fields = [(at, json.loads(line)) for at, line in enumerate(lines)]
    damaged = [(at, json.dumps({**content, key: value}).encode())
               for at, content in fields for key in content for value in WRONG]  # fmt: skip
    damaged += [(at, line) for at in range(len(lines)) for line in NONSENSE]
    for at, line in damaged:
        folder.journal.write_bytes(b"\n".join([*lines[:at], line, *lines[at + 1 :]]) + b"\n")
        is_shown(folder)
        assert folder.id in capsys.readouterr().out


def test_a_pipe_or_device_in_place_of_a_record_does_not_block(
    home, capsys: pytest.CaptureFixture[str]
) -> None:  # type: ignore[no-untyped-def]
    folder = ended_run(home)
    for path in (folder.experiment, folder.setup, folder.heartbeat, folder.exit, folder.journal, folder.metrics,
                 folder.notes, folder.manifest, folder.log):  # fmt: skip
        for put in (os.mkfifo, lambda path: path.symlink_to("/dev/zero"), os.mkdir):
            before = path.read_bytes() if path.exists() else None
            path.unlink(missing_ok=True)
            put(path)
            is_shown(folder)
            assert run(["log", folder.id]) in {0, 2}
            assert folder.id in capsys.readouterr().out
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()
            if before is not None:
                path.write_bytes(before)
