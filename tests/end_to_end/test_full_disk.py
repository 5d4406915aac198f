"""A disk that fills up under a run: a small tmpfs as the home (this needs the right to mount one)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.console import Follower
from workbench.experiment import build
from workbench.io.weights import load_checkpoint
from workbench.runs import launch
from workbench.runs.reader import RunReader
from workbench.runs.report import describe, reason
from workbench.runs.status import Status, status_of


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


def test_a_full_disk_stops_a_run_with_its_reason_and_room_lets_it_go_on(small_disk: Path) -> None:
    settings = ["train.epochs=4000", "train.threads=1", "model.widths=256", "train.checkpoint_seconds=0.05"]
    folder = launch.start(build("digits-mlp", sets=settings), "test")
    follower = Follower(folder)
    while not folder.manifest.exists():
        assert status_of(folder).live, folder.log.read_text()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(b"x" * 4096)
        except OSError:
            pass
    assert follower.follow() is Status.STOPPED, folder.exit.read_text() + folder.log.read_text()
    said = reason(RunReader(folder).read_all())
    assert said is not None
    assert "space" in said.lower()
    entry = json.loads(folder.manifest.read_text())["checkpoints"][-1]
    load_checkpoint(folder.checkpoints / entry["file"], entry["sha256"])
    filler.unlink()
    launch.resume(folder, {"train.epochs": describe(folder)["epoch"] + 2}, "test")
    assert Follower(folder).follow() is Status.FINISHED
    assert describe(folder)["exact"]
