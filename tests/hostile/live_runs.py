"""Runs that train until they are stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from tests.idle_model import IDLE_MODEL
from workbench.io.record_codec import read_record
from workbench.runs.records import Heartbeat
from workbench.runs.run_folder import RunFolder

SETTINGS = (
    "--set",
    "train.epochs=100000",
    "--set",
    "train.threads=1",
    "--set",
    "train.checkpoint_seconds=0.5",
)
LIVE = ("digits-mlp", "--model", IDLE_MODEL, *SETTINGS)
"""The arguments of `train` for a run that takes hours and checkpoints twice a second."""


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.02)


def step(folder: RunFolder) -> int:
    """The steps that are done."""
    beat = read_record(folder.heartbeat, Heartbeat)
    return beat.step if beat else 0


def start_live_run(
    home: Path, changed: Mapping[str, str] | None = None, arguments: Sequence[str] = LIVE
) -> RunFolder:
    """Start a run and wait for its first checkpoint; `changed` variables of its environment."""
    environment = {**os.environ, **(changed or {}), "WORKBENCH_HOME": str(home)}
    command = [sys.executable, "-m", "workbench", "train", *arguments, "--detach"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    folder = RunFolder(home / "runs" / done.stdout.strip())
    until(folder.manifest.exists, "checkpoint")
    return folder


def processes_of(folder: RunFolder) -> list[psutil.Process]:
    """The supervisor and the worker of a run, the older one first."""
    found = [process for process in psutil.process_iter(["cmdline", "create_time"])
             if str(folder.path) in (process.info["cmdline"] or ())]  # fmt: skip
    return sorted(found, key=lambda process: process.create_time())


def kill_all(home: Path) -> None:
    """Kill the processes of all runs of a home."""
    for path in (home / "runs").glob("2*"):
        for process in processes_of(RunFolder(path)):
            process.kill()
