"""Samples per second of the rows of steps: only training counts, for the same steps as the samples."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.worker.support import Cut, last_checkpoint, make_run, prepared
from workbench.engine.train_state import TrainState
from workbench.runs import requests
from workbench.runs.enums import RequestKind
from workbench.runs.jsonl import read_lines
from workbench.runs.metrics import MetricLine, StepRow
from workbench.runs.run_folder import RunFolder
from workbench.worker import metrics_writer
from workbench.worker.requests import Stop
from workbench.worker.trainer import Trainer

BATCH, EVERY, EPOCHS = 100, 7, 3
STEP_SECONDS, OTHER_SECONDS = 2.0, 1000.0
SETTINGS: dict[str, Any] = {"epochs": EPOCHS, "batch_size": BATCH, "log_every": EVERY}


class Clock:
    """Goes on by a fixed time with each step, and by far more with all else."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(
        metrics_writer, "time", SimpleNamespace(perf_counter=clock.perf_counter, time=time.time)
    )
    return clock


class Hook:
    """Takes the time of a step, pauses the run after step `pause`, and stops it after step `cut`."""

    def __init__(self, trainer: Trainer, clock: Clock, *, pause: int = 0, cut: int = 0) -> None:
        self._trainer, self._clock, self._pause, self._cut = trainer, clock, pause, Cut(trainer, cut)
        trainer.evaluator._after_batch = lambda split: self._other  # type: ignore[method-assign]

    def _other(self) -> None:
        self._clock.now += OTHER_SECONDS

    def after_step(self, state: TrainState) -> None:
        if state.step == self._pause:
            self._let_pause()
        self._cut.after_step(state)
        self._clock.now += STEP_SECONDS  # of the next step

    def _let_pause(self) -> None:
        folder = self._trainer.context.folder
        requests.send_request(folder, RequestKind.PAUSE, 1)
        thread = threading.Thread(target=self._continue, args=(folder,))
        thread.start()
        callback, inbox = self._trainer.step_callback, self._trainer.context.requests
        inbox._next = 0.0
        callback.after_step(self._trainer.state)  # returns once the pause is over
        thread.join()

    def _continue(self, folder: RunFolder) -> None:
        end = time.monotonic() + 60
        while self._trainer.metrics.clock._since is not None:
            assert time.monotonic() < end, "the clock runs on in a pause"
            time.sleep(0.01)
        self._other()
        requests.send_request(folder, RequestKind.CONTINUE, 1)


def train(folder: RunFolder, clock: Clock, **values: int) -> Trainer:
    trainer = prepared(folder)
    hook = Hook(trainer, clock, **values)
    clock.now += OTHER_SECONDS  # loading, compiling, a first evaluation
    try:
        trainer.train(hook)
    except Stop:
        assert values
    finally:
        trainer.checkpoints.close()
        trainer.metrics.lines.close()
        trainer.context.journal.close()
    return trainer


def figures(folder: RunFolder) -> list[tuple[int, float | None, float | None]]:
    """Step, seconds and samples per second of each row."""
    rows = [row for row in read_lines(folder.metrics, MetricLine) if isinstance(row, StepRow)]
    assert {row.count for row in rows} == {EVERY}
    return [(row.step, row.wall.seconds, row.wall.samples_per_second) for row in rows]


def expected(steps_per_epoch: int, samples: int, *, rows: int) -> list[tuple[int, float, float]]:
    """What `figures` has to be: the first row has one step less behind it, and the last batch of an epoch is small."""
    sizes = [BATCH] * (steps_per_epoch - 1) + [samples - BATCH * (steps_per_epoch - 1)]
    made = []
    for row in range(rows):
        seconds = STEP_SECONDS * (EVERY - (row == 0))
        count = sum(sizes[step % steps_per_epoch] for step in range(row * EVERY, (row + 1) * EVERY))
        made.append(((row + 1) * EVERY, seconds, round(count / seconds, 1)))
    return made


def test_rows_over_an_epochs_end_count_its_steps_and_no_evaluation(home: Path, clock: Clock) -> None:
    folder = make_run(home, SETTINGS)
    components = train(folder, clock).components
    steps, samples = components.epochs.steps, len(components.splits["train"])
    assert steps % EVERY, "a row must span an epoch's end"
    assert samples % BATCH
    assert figures(folder) == expected(steps, samples, rows=EPOCHS * steps // EVERY)


def test_a_resume_a_pause_and_a_checkpoint_within_a_row_count_for_nothing(home: Path, clock: Clock) -> None:
    folder = make_run(home, SETTINGS)
    trainer = train(folder, clock, pause=9, cut=11)
    assert last_checkpoint(folder)["wall"]["row_seconds"] == STEP_SECONDS * (11 - EVERY)
    components = train(folder, clock).components
    steps, samples = components.epochs.steps, len(components.splits["train"])
    rows = figures(folder)
    assert trainer.state.step == 11
    wanted = expected(steps, samples, rows=len(rows))
    # The time of the step after the cut was not counted on either side.
    step, seconds, _ = rows[1]
    assert (step, seconds) == (2 * EVERY, wanted[1][1] - STEP_SECONDS)
    assert [*rows[:1], *rows[2:]] == [*wanted[:1], *wanted[2:]]
    assert len(rows) == EPOCHS * steps // EVERY


def test_a_row_whose_time_before_a_resume_is_not_known_has_none(home: Path, clock: Clock) -> None:
    folder = make_run(home, SETTINGS)
    train(folder, clock, cut=11)
    trainer = prepared(folder)
    assert trainer.start.restored is not None
    del trainer.start.restored.content["wall"]["row_seconds"]  # as older versions wrote it
    hook = Hook(trainer, clock, cut=22)
    with pytest.raises(Stop):
        trainer.train(hook)
    trainer.checkpoints.close()
    trainer.metrics.lines.close()
    trainer.context.journal.close()
    rows = figures(folder)
    assert rows[1] == (14, None, None)
    assert rows[2][1] == STEP_SECONDS * EVERY
