"""A disk that fills up during a run: the home is a small tmpfs (mounting it needs privileges)."""

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
from workbench.config.experiment import build_experiment
from workbench.config.variants import make_variants
from workbench.core.errors import UserError
from workbench.io.record_codec import read_record
from workbench.launcher import launch
from workbench.launcher.group_start import queue_group
from workbench.launcher.queue import QueueOptions
from workbench.runs.checkpoint_index import read_entries
from workbench.runs.enums import Cause, Phase
from workbench.runs.reader import RunReader
from workbench.runs.records import Heartbeat, Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import end_reason, read_report
from workbench.runs.status import Status, status_of
from workbench.runs.store import Store
from workbench.runs.tickets import TicketQueue
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
    """Fill the disk but for `leave` bytes; returns the file to remove again."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(b"x" * 4096)
    with filler.open("ab") as out:
        out.truncate(max(0, filler.stat().st_size - leave))
    return filler


def started(*settings: str) -> RunFolder:
    fast = ["train.threads=1", "model.widths=256", "train.checkpoint_seconds=0.05", *settings]
    return launch.start_run(build_experiment("digits-mlp", sets=fast), "test")


def wait_for(seen: Callable[[], Any], folder: RunFolder) -> None:
    while not seen():
        assert status_of(folder).live, folder.exit.read_text() + folder.log.read_text()
        time.sleep(0.01)


def phase(folder: RunFolder) -> Phase | None:
    beat = read_record(folder.heartbeat, Heartbeat)
    return None if beat is None else beat.phase


def cause(folder: RunFolder) -> Cause | None:
    return read_report(folder).cause


def test_a_run_that_does_not_wait_stops_on_a_full_disk_and_resumes_with_free_space(small_disk: Path) -> None:
    folder = started("train.epochs=4000", "train.disk_full_timeout=0")
    wait_for(folder.manifest.exists, folder)
    filler = fill(small_disk)
    assert Follower(folder).follow() is Status.STOPPED, folder.exit.read_text() + folder.log.read_text()
    reason = end_reason(RunReader(folder).read_all())
    assert reason == f"the disk of {small_disk}/runs is full; resume once there is free space"
    assert cause(folder) is Cause.DISK_FULL
    load_entry(folder, read_entries(folder)[-1])
    filler.unlink()
    launch.resume_run(folder, {"train.epochs": read_entries(folder)[-1].epoch + 2}, "test")
    assert Follower(folder).follow() is Status.FINISHED
    assert read_report(folder).exact


def test_a_run_waits_for_disk_space_can_be_stopped_and_resumes_exactly(
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
    reason = capsys.readouterr().err
    assert reason.startswith(f"workbench: {full}") and f"'workbench stop {folder.id}' works" in reason
    assert run(["train", "digits-mlp"]) == 2
    hint = "free some disk space, or set WORKBENCH_HOME to a folder on a larger disk"
    assert capsys.readouterr().err.splitlines()[-1] == f"workbench: {full}: {hint}"
    assert {path.name for path in folder.path.parent.iterdir()} == {uncut.id, folder.id}
    assert run(["stop", folder.id]) == 0
    assert f"{full}: {folder.id} can't read a request and was sent SIGTERM" in capsys.readouterr().err
    assert status_of(folder) is Status.STOPPED
    assert end_reason(RunReader(folder).read_all()) == (f"stopped by SIGTERM while the disk was full: {full}")
    filler.unlink()

    launch.resume_run(folder, {}, "test")
    wait_for(lambda: phase(folder) is Phase.TRAINING, folder)
    filler = fill(small_disk)
    wait_for(lambda: phase(folder) is Phase.WAITING_FOR_SPACE, folder)
    filler.unlink()
    assert Follower(folder).follow() is Status.FINISHED, folder.exit.read_text() + folder.log.read_text()
    assert same(outcome(folder), outcome(uncut))
    assert read_report(folder).exact


def test_a_disk_that_fills_during_a_checkpoint_leaves_the_older_checkpoints_intact(
    small_disk: Path,
) -> None:
    filler = fill(small_disk, leave=6_000_000)
    # A megabyte at each epoch's end and hardly any other output: the disk fills up within a tensor of a checkpoint.
    sets = [
        "train.threads=1",
        "train.epochs=100",
        "train.keep_checkpoint_every=1",
        "train.disk_full_timeout=1",
    ]
    folder = launch.start_run(build_experiment("digits-mlp", sets=sets), "test")
    assert Follower(folder).follow() is Status.STOPPED, folder.exit.read_text() + folder.log.read_text()
    reason = end_reason(RunReader(folder).read_all())
    error = f"the disk of {small_disk}/runs is full; resume once there is free space"
    assert reason == f"the disk stayed full for 1s: {error}"
    assert "Traceback" not in folder.log.read_text()
    assert cause(folder) is Cause.DISK_FULL
    for entry in read_entries(folder):
        load_entry(folder, entry)
    filler.unlink()
    launch.resume_run(folder, {"train.epochs": read_entries(folder)[-1].epoch + 2}, "test")
    assert Follower(folder).follow() is Status.FINISHED
    assert read_report(folder).exact


def test_a_run_whose_checkpoints_cannot_fit_is_refused_before_its_first_step(small_disk: Path) -> None:
    fill(small_disk, leave=500_000)
    folder = started()
    assert Follower(folder).follow() is Status.FAILED
    reason = end_reason(RunReader(folder).read_all())
    assert reason is not None
    assert "the run needs about" in reason
    assert "set WORKBENCH_HOME to a folder on a larger disk" in reason
    assert metrics(folder) == []


def test_a_group_for_which_the_disk_has_no_room_is_not_queued_at_all(small_disk: Path) -> None:
    variants = make_variants(lambda sets: build_experiment("digits-mlp", sets=sets), repeat=8)
    fill(small_disk, leave=100_000)  # enough for some of them
    waiting = QueueOptions(not_before=time.time() + 1000)
    with pytest.raises(
        UserError, match=r"digits-mlp-seed[1-7] can't be queued: .* is full.*; nothing is queued"
    ):
        queue_group(variants, "test", Store.default(), notes=Notes(), queue=waiting)
    assert Store.default().list_runs() == [] and TicketQueue(small_disk).tickets() == []
