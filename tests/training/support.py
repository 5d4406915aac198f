"""Digits runs for tests: in real worker processes, or in this process and cut where a test wants."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from workbench.experiment import from_dict
from workbench.io.atomic import read_json, write_json
from workbench.runs.layout import RunFolder, create_run_folder
from workbench.runs.processes import this_process
from workbench.runs.records import Journal, read_lines
from workbench.training.attempt import Attempt
from workbench.training.context import context_of
from workbench.training.requests import Stop
from workbench.training.state import TrainState

LIMIT = 120.0


def make_run(home: Path, settings: dict[str, Any], model: dict[str, Any] | None = None) -> RunFolder:
    """A run's folder as the launcher leaves it: digits, one thread, whatever else is asked for."""
    content = {
        "name": "digits",
        "seed": 7,
        "data": {"name": "digits"},
        "model": model or {"name": "mlp", "widths": [32], "dropout": 0.2},
        "train": {"threads": 1, "device": "cpu", **settings},
    }
    folder = create_run_folder(home / "runs", "digits")
    write_json(folder.experiment, from_dict(content).to_dict())
    return folder


def open_attempt(folder: RunFolder, **values: Any) -> int:
    """The journal line that the supervisor writes at a start; returns the attempt's number."""
    number = 1 + sum(r["kind"] == "attempt" for r in read_lines(folder.journal))
    entries = (read_json(folder.manifest) or {}).get("checkpoints") or [{"step": 0}]
    journal = Journal(folder.journal)
    journal.note("attempt", attempt=number, from_step=entries[-1]["step"], **{**this_process(), **values})
    journal.close()
    return number


class Worker:
    """A real worker process, with its supervisor's pipe on stdin."""

    def __init__(self, folder: RunFolder, **values: Any) -> None:
        self.folder = folder
        self.attempt = open_attempt(folder, **values)
        with folder.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workbench.training.worker", str(folder.path)],
                stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip

    def wait_for(self, seen: Callable[[], Any]) -> None:
        """Return once `seen()` is true; fail when the worker ends or takes too long before that."""
        end = time.monotonic() + LIMIT
        while not seen():
            assert self.process.poll() is None, f"ended early: {self.folder.log.read_text()}"
            assert time.monotonic() < end, "took too long"
            time.sleep(0.002)

    def step(self) -> int:
        """The step of the newest checkpoint, 0 while there is none."""
        entries = (read_json(self.folder.manifest) or {}).get("checkpoints") or [{"step": 0}]
        return int(entries[-1]["step"])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this very process."""
        self.process.send_signal(number)

    def ended(self) -> dict[str, Any]:
        """Wait for its end; what it left as `exit.json`."""
        assert self.process.stdin is not None
        try:
            self.process.wait(LIMIT)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
        return read_json(self.folder.exit) or {}


def metrics(folder: RunFolder) -> list[dict[str, Any]]:
    """All rows without what depends on time."""
    rows = read_lines(folder.metrics)
    return [{k: v for k, v in row.items() if k != "wall"} for row in rows]


def last_checkpoint(folder: RunFolder) -> dict[str, Any]:
    """The content of the newest checkpoint in the manifest."""
    entry = json.loads(folder.manifest.read_text())["checkpoints"][-1]
    content: dict[str, Any] = torch.load(folder.checkpoints / entry["file"], weights_only=True)
    return content


def outcome(folder: RunFolder) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What has to be equal in the end: the metrics, and all that the last checkpoint holds but what depends on time."""
    return metrics(folder), {k: v for k, v in last_checkpoint(folder).items() if k != "wall"}


def same(a: Any, b: Any) -> bool:
    """Whether nested values are equal, tensors bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


class Cut:
    """Requests of nobody, until step `at`: there the run is checkpointed and stopped."""

    def __init__(self, attempt: Attempt, at: int) -> None:
        self.attempt, self.at = attempt, at

    def answer(self, state: TrainState) -> None:
        if state.step == self.at:
            self.attempt.steering.checkpoint()
            raise Stop("cut")


def prepared(folder: RunFolder, **values: Any) -> Attempt:
    """An attempt in this process, ready for its first step."""
    number = open_attempt(folder, **values)
    attempt = Attempt(context_of(folder, number, time.monotonic()))
    attempt.prepare()
    return attempt


def run_until(folder: RunFolder, step: int | None, **values: Any) -> Attempt:
    """One attempt in this process, to its end or cut after `step`; what it opened is closed again."""
    attempt = prepared(folder, **values)
    requests = attempt.steering if step is None else Cut(attempt, step)
    try:
        attempt.train(requests)
        attempt.measure()
    except Stop:
        assert step is not None
    finally:
        attempt.checkpoints.close()
        attempt.report.metrics.close()
        attempt.context.journal.close()
    return attempt
