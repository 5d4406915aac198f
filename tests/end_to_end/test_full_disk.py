"""A disk that fills up under a run: a small tmpfs as the home (this needs the right to mount one)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker.support import metrics, outcome, same
from workbench.cli.follow import Follower
from workbench.cli.main import run
from workbench.config.experiment import build
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.runs.checkpoint_index import read_entries
from workbench.runs.enums import Cause, Phase
from workbench.runs.reader import RunReader
from workbench.runs.records import Heartbeat
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import reason, report_of
from workbench.runs.status import Status, status_of
from workbench.worker.checkpoint_reader import load_entry


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], check=False)
    if made.returncode != 0:
        assert "CI" not in os.environ, "CI may mount a tmpfs; this one could not"
        pytest.skip("no tmpfs can be mounted here (CI mounts one as root)")
    monkeypatch.setenv("WORKBENCH_HOME", str(place))
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Take all room but `leave` bytes; the file to remove again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(b"x" * 4096)
    with filler.open("ab") as out:
        out.truncate(max(0, filler.stat().st_size - leave))
    return filler


def started(*settings: str) -> RunFolder:
    fast = ["train.threads=1", "model.widths=256", "train.checkpoint_seconds=0.05", *settings]
    return launch.start(build("digits-mlp", sets=fast), "test")


def wait_for(seen: Callable[[], Any], folder: RunFolder) -> None:
    while not seen():
        assert status_of(folder).live, folder.exit.read_text() + folder.log.read_text()
        time.sleep(0.01)


def phase(folder: RunFolder) -> Phase | None:
    beat = read_record(folder.heartbeat, Heartbeat)
    return None if beat is None else beat.phase


def cause(folder: RunFolder) -> Cause | None:
    return report_of(folder).cause


def test_a_full_disk_stops_a_run_that_does_not_wait_and_room_lets_it_go_on(small_disk: Path) -> None:
    folder = started("train.epochs=4000", "train.wait_for_space=0")
    wait_for(folder.manifest.exists, folder)
    filler = fill(small_disk)
    assert Follower(folder).follow() is Status.STOPPED, folder.exit.read_text() + folder.log.read_text()
    said = reason(RunReader(folder).read_all())
    assert said == f"the disk of {small_disk}/runs is full; resume once there is room"
    assert cause(folder) is Cause.DISK_FULL
    load_entry(folder, read_entries(folder)[-1])
    filler.unlink()
    launch.resume(folder, {"train.epochs": report_of(folder).epoch + 2}, "test")
    assert Follower(folder).follow() is Status.FINISHED
    assert report_of(folder).exact


def test_a_run_waits_for_room_obeys_a_stop_meanwhile_and_ends_exactly(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uncut = started("train.epochs=40")
    assert Follower(uncut).follow() is Status.FINISHED
    folder = started("train.epochs=40")
    wait_for(folder.manifest.exists, folder)
    filler = fill(small_disk)
    wait_for(lambda: phase(folder) is Phase.WAITING_FOR_SPACE, folder)
    capsys.readouterr()
    full = f"the disk of {small_disk}/runs is full"
    assert run(["pause", folder.id]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"workbench: {full}") and f"'workbench stop {folder.id}' works" in said
    assert run(["train", "digits-mlp"]) == 2
    mend = "make room, or set WORKBENCH_HOME to a larger disk"
    assert capsys.readouterr().err.splitlines()[-1] == f"workbench: {full}: {mend}"
    assert {path.name for path in folder.path.parent.iterdir()} == {uncut.id, folder.id}
    assert run(["stop", folder.id]) == 0
    assert f"{full}: {folder.id} can't be asked there and was sent SIGTERM" in capsys.readouterr().err
    assert status_of(folder) is Status.STOPPED
    assert reason(RunReader(folder).read_all()) == (f"stopped by SIGTERM while there was no room: {full}")
    filler.unlink()

    launch.resume(folder, {}, "test")
    wait_for(lambda: phase(folder) is Phase.TRAINING, folder)
    filler = fill(small_disk)
    wait_for(lambda: phase(folder) is Phase.WAITING_FOR_SPACE, folder)
    filler.unlink()
    assert Follower(folder).follow() is Status.FINISHED, folder.exit.read_text() + folder.log.read_text()
    assert same(outcome(folder), outcome(uncut))
    assert report_of(folder).exact


def test_a_run_that_fills_the_disk_within_a_checkpoint_waits_and_stops_with_the_old_ones_whole(
    small_disk: Path,
) -> None:
    filler = fill(small_disk, leave=6_000_000)
    # A megabyte at each epoch's end and hardly a line between: the room ends within a tensor of a checkpoint.
    sets = ["train.threads=1", "train.epochs=100", "train.keep_every=1", "train.wait_for_space=1"]
    folder = launch.start(build("digits-mlp", sets=sets), "test")
    assert Follower(folder).follow() is Status.STOPPED, folder.exit.read_text() + folder.log.read_text()
    said = reason(RunReader(folder).read_all())
    assert said == f"no room for 1s: the disk of {small_disk}/runs is full; resume once there is some"
    assert "Traceback" not in folder.log.read_text()
    assert cause(folder) is Cause.DISK_FULL
    for entry in read_entries(folder):
        load_entry(folder, entry)
    filler.unlink()
    launch.resume(folder, {"train.epochs": report_of(folder).epoch + 2}, "test")
    assert Follower(folder).follow() is Status.FINISHED
    assert report_of(folder).exact


def test_a_run_whose_checkpoints_can_not_fit_is_refused_before_its_first_step(small_disk: Path) -> None:
    fill(small_disk, leave=500_000)
    folder = started()
    assert Follower(folder).follow() is Status.FAILED
    said = reason(RunReader(folder).read_all())
    assert said is not None
    assert "the run needs about" in said
    assert "set WORKBENCH_HOME to a larger disk" in said
    assert metrics(folder) == []
