"""What it costs a training to be on record: metrics, heartbeat and a look at requests, against the bare loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.benchmarks import material
from tests.benchmarks.measure import Row, Scale, say
from tests.benchmarks.screen import environment
from workbench.config.experiment import build_experiment
from workbench.engine.batches import Batch
from workbench.engine.loop import train_epoch
from workbench.engine.train_state import TrainState
from workbench.io.atomic_files import write_json
from workbench.runs.run_folder import create_run_folder
from workbench.worker.context import make_context
from workbench.worker.heartbeat import BEAT_SECONDS
from workbench.worker.trainer import prepare

ROWS_A_BLOCK = 5
EPOCHS = 4
"""For each round of the scale: a hundredth is little."""
NEVER = 1 << 60


class Nobody:
    """Requests of nobody."""

    def after_step(self, state: TrainState) -> None:
        """Look at nothing."""


class Block:
    """Some batches of an epoch, as the loop takes them."""

    def __init__(self, batches: Sequence[Batch], steps: int) -> None:
        self._batches, self._steps = batches, steps

    def __len__(self) -> int:
        return self._steps

    def iter_from(self, _position: int) -> Iterator[Batch]:
        """All of them."""
        return iter(self._batches)


class Bench:
    """Recipe 1 in this process; blocks of its steps are made with a record and without, in turn.

    Both sides work on the same batches, gathered before. Time is the process's own (nothing is synced, so there is
    nothing to wait for): other programs hardly count.
    """

    def __init__(self, home: Path) -> None:
        folder = create_run_folder(home, "record")
        settings = ["train.threads=1", "train.checkpoint_seconds=1000000"]
        write_json(folder.experiment, build_experiment("mnist-mlp", sets=settings).to_dict())
        self._attempt = prepare(make_context(folder, 1, time.monotonic()))
        self._every = self._attempt.metrics.log_every
        self._batches = list(self._attempt.components.epochs.batches(0).iter_from(0))
        self._beat_at = BEAT_SECONDS
        self.on_record = self.bare = 0.0
        """Seconds of the steps of either side."""

    def epoch(self) -> None:
        """Every block of an epoch once on each side, the first one first in turn."""
        size = ROWS_A_BLOCK * self._every
        for number, start in enumerate(range(0, len(self._batches) - size + 1, size)):
            block = self._batches[start : start + size]
            for recorded in (True, False) if number % 2 else (False, True):
                self._make(block, recorded)

    def _make(self, block: Sequence[Batch], recorded: bool) -> None:
        state, report = self._attempt.state, self._attempt.metrics
        # Every block begins where the step count says so: both sides write as many rows, or none.
        state.step = state.position = 0
        report.log_every = self._every if recorded else NEVER
        requests = self._attempt.step_callback if recorded else Nobody()
        began = time.process_time()
        train_epoch(state, Block(block, len(self._batches)), report, requests)  # type: ignore[arg-type]
        if recorded and self.on_record >= self._beat_at:
            self._attempt.context.heartbeat.beat()
            self._beat_at += BEAT_SECONDS
        spent = time.process_time() - began
        self.on_record, self.bare = self.on_record + spent * recorded, self.bare + spent * (not recorded)

    def close(self) -> None:
        """Leave nothing open."""
        self._attempt.checkpoints.close()
        self._attempt.metrics.lines.close()
        self._attempt.context.journal.close()


def rows(place: Path, scale: Scale) -> list[Row]:
    """One row."""
    material.grayscale(place / "data", scale.grayscale)
    with environment(WORKBENCH_HOME=place / "home", WORKBENCH_DATA=place / "data"):
        bench = Bench(place / "home" / "runs")
        try:
            for number in range(EPOCHS * scale.rounds):
                say(f"  epoch {number + 1} of {EPOCHS * scale.rounds}")
                bench.epoch()
        finally:
            bench.close()
    return [
        Row(
            "recipe 1 on record (metrics, heartbeat, requests) : the bare loop",
            f"{bench.on_record:.1f} s",
            f"{bench.bare:.1f} s",
            f"{bench.on_record / bench.bare:.3f}",
            "≤ 1.01",
        )
    ]
