"""Digits runs for tests: in real worker processes, or in this process and cut where a test wants."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from workbench.config.experiment import experiment_from_dict
from workbench.engine.train_state import TrainState
from workbench.io.atomic_files import write_json
from workbench.io.record_codec import read_record
from workbench.launcher.fork_client import start_python
from workbench.runs import journal
from workbench.runs.checkpoint_index import newest_checkpoint_step, read_entries
from workbench.runs.enums import Ending
from workbench.runs.journal import Journal, JournalLine, Notice, SettingChange, attempts_of, read_journal
from workbench.runs.jsonl import read_lines
from workbench.runs.metrics import EpochRow, EvaluationRow, MetricLine, StepRow, Wall
from workbench.runs.records import Exit, Setup
from workbench.runs.requests import STOP_REQUESTED
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.system.processes import this_process
from workbench.worker.checkpoint_content import CheckpointContent
from workbench.worker.checkpoint_reader import load_entry
from workbench.worker.context import make_context
from workbench.worker.requests import Stop
from workbench.worker.trainer import Trainer, prepare

LIMIT = 120.0


def make_run(home: Path, settings: dict[str, Any], model: dict[str, Any] | None = None) -> RunFolder:
    """A run folder as the launcher creates it: digits, one thread, and the given settings."""
    content = {
        "name": "digits",
        "seed": 7,
        "data": {"name": "digits"},
        "model": model or {"name": "mlp", "widths": [32], "dropout": 0.2},
        "train": {"threads": 1, "device": "cpu", **settings},
    }
    folder = create_run_folder(home / "runs", "digits")
    write_json(folder.experiment, experiment_from_dict(content).to_dict())
    return folder


def open_attempt(folder: RunFolder, **values: Any) -> int:
    """The journal line that the supervisor writes at a start; returns the attempt's number."""
    number = 1 + len(attempts_of(read_journal(folder.journal)))
    process = msgspec.structs.asdict(this_process())
    note(
        folder,
        journal.Attempt(attempt=number, from_step=newest_checkpoint_step(folder), **{**process, **values}),
    )
    return number


def note(folder: RunFolder, record: JournalLine) -> None:
    """Add a line to a run's journal."""
    writer = Journal(folder.journal)
    writer.append(record)
    writer.close()


def change_lr(folder: RunFolder, value: float, step: int) -> None:
    """Record a change of the learning rate, like a request does."""
    note(folder, SettingChange(setting="train.lr", value=value, step=step))


class Worker:
    """A real worker process, with its supervisor's pipe on stdin; forked where this process has a fork server."""

    def __init__(self, folder: RunFolder, **values: Any) -> None:
        self.folder = folder
        self.attempt = open_attempt(folder, **values)
        reading, writing = os.pipe()
        self.supervisor = os.fdopen(writing, "wb")
        """The end of the pipe that a supervisor holds."""
        with folder.log.open("ab") as log, os.fdopen(reading):
            self.process = start_python(
                "workbench.worker.main", [str(folder.path)],
                stdin=reading, stdout=log.fileno(), stderr=log.fileno(),
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
        return newest_checkpoint_step(self.folder)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this very process."""
        os.kill(self.process.pid, number)

    def ended(self) -> Exit | None:
        """Wait for its end; what it left as `exit.json`."""
        try:
            self.process.wait(LIMIT)
        finally:
            self.process.kill()
            self.process.wait()
            self.supervisor.close()
        return read_record(self.folder.exit, Exit)

    def finishes(self) -> bool:
        """Wait for its end; whether the run finished."""
        end = self.ended()
        return end is not None and end.status is Ending.FINISHED


def metrics(folder: RunFolder) -> list[MetricLine]:
    """All rows without what depends on time."""
    return [msgspec.structs.replace(row, wall=Wall()) for row in read_lines(folder.metrics, MetricLine)]


def step_rows(folder: RunFolder) -> list[StepRow]:
    """The rows of steps, without what depends on time."""
    return [row for row in metrics(folder) if isinstance(row, StepRow)]


def epoch_rows(folder: RunFolder) -> list[EpochRow]:
    """The rows of epochs, without what depends on time."""
    return [row for row in metrics(folder) if isinstance(row, EpochRow)]


def evaluation_rows(folder: RunFolder) -> list[EvaluationRow]:
    """The rows of evaluations, without what depends on time."""
    return [row for row in metrics(folder) if isinstance(row, EvaluationRow)]


def notices(folder: RunFolder) -> list[Notice]:
    """The notices in the journal."""
    return [line for line in read_journal(folder.journal) if isinstance(line, Notice)]


def changes(folder: RunFolder) -> list[SettingChange]:
    """The changes of settings in the journal."""
    return [line for line in read_journal(folder.journal) if isinstance(line, SettingChange)]


def setup_of(folder: RunFolder) -> Setup:
    """What the worker wrote of what the experiment became."""
    setup = read_record(folder.setup, Setup)
    assert setup is not None
    return setup


def last_checkpoint(folder: RunFolder) -> CheckpointContent:
    """The content of the newest checkpoint in the manifest."""
    return load_entry(folder, read_entries(folder)[-1])


def outcome(folder: RunFolder) -> tuple[list[MetricLine], dict[str, Any]]:
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
    """A hook that saves a checkpoint and stops the run after step `at`."""

    def __init__(self, trainer: Trainer, at: int) -> None:
        self.trainer, self.at = trainer, at

    def after_step(self, state: TrainState) -> None:
        if state.step == self.at:
            self.trainer.step_callback.save_checkpoint()
            raise Stop(STOP_REQUESTED)


def prepared(folder: RunFolder, **values: Any) -> Trainer:
    """The trainer of a new attempt in this process, ready for its first step."""
    number = open_attempt(folder, **values)
    return prepare(make_context(folder, number, time.monotonic()))


def run_until(folder: RunFolder, step: int | None, **values: Any) -> Trainer:
    """Run one attempt in this process, to its end or until it is stopped after `step`."""
    trainer = prepared(folder, **values)
    requests = trainer.step_callback if step is None else Cut(trainer, step)
    try:
        trainer.train(requests)
        trainer.evaluator.evaluate_result()
    except Stop:
        assert step is not None
    finally:
        trainer.checkpoints.close()
        trainer.metrics.lines.close()
        trainer.context.journal.close()
    return trainer
