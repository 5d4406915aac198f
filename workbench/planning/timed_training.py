"""Some real steps of training, timed: what `plan` measures with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from workbench.engine.accelerate import quicken
from workbench.engine.batches import Batch, Batches
from workbench.engine.freezing import Backbone
from workbench.engine.loop import give_up, train_epoch
from workbench.engine.running_sums import Sums
from workbench.engine.settings_history import Timeline
from workbench.engine.train_state import TrainState
from workbench.runs.jsonl import LineWriter
from workbench.runs.run_folder import RunFolder
from workbench.worker.components import Parts
from workbench.worker.metrics_writer import Report
from workbench.worker.requests import Requests

WARM_UP = 0.1
"""Seconds before the clock runs (at the least one step): kernels are chosen, memory is taken."""


class Enough(Exception):
    """The time of a trial is over."""


@dataclass(frozen=True)
class Pace:
    """What some steps took, in seconds; `apart` is the time of a step's parts, summed."""

    steps: int
    examples: int
    seconds: float
    apart: dict[str, float]

    @property
    def samples_per_second(self) -> float:
        """Examples trained on in a second."""
        return self.examples / self.seconds

    @property
    def step_seconds(self) -> float:
        """Seconds a step."""
        return self.seconds / self.steps


class Clock:
    """Ends a trial when its time is over, and waits for a GPU where its parts are timed apart."""

    def __init__(self, device: torch.device, requests: Requests) -> None:
        self._device, self._requests = device, requests
        self.until = 0.0
        self.waits = False

    def now(self) -> float:
        """The time, once what was asked of the device is done (only where parts are timed apart)."""
        if self.waits:
            self.wait()
        return time.perf_counter()

    def wait(self) -> None:
        """Return when the device is done."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()

    def answer(self, state: TrainState) -> None:
        """Called by the loop after every step."""
        self._requests.raise_if_stopped()
        if time.perf_counter() >= self.until:
            raise Enough


class TimedState(TrainState):
    """A state whose steps tell how long their parts take."""

    clock: Clock
    model = optimizer_time = 0.0
    plays = True
    """Whether steps that were recorded are played back."""

    def replay(self, batch: Batch) -> bool:
        """As it is, where it is wanted."""
        return self.plays and super().replay(batch)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """As it is, timed."""
        start = self.clock.now()
        answer = super().forward(batch)
        self.model += self.clock.now() - start
        return answer

    def backward(self, loss: Tensor, share: float | Tensor | None = None) -> None:
        """As it is, timed."""
        start = self.clock.now()
        super().backward(loss, share)
        self.model += self.clock.now() - start

    def update(self) -> None:
        """As it is, timed."""
        start = self.clock.now()
        super().update()
        self.optimizer_time += self.clock.now() - start


class TimedBatches:
    """Batches that are counted, and whose making is timed."""

    def __init__(self, batches: Batches, clock: Clock) -> None:
        self._batches, self._clock = batches, clock
        self.examples, self.seconds = 0, 0.0

    def __len__(self) -> int:
        return len(self._batches)

    def starting_at(self, position: int) -> Iterator[Batch]:
        """The same batches."""
        batches = self._batches.starting_at(position)
        while True:
            start = self._clock.now()
            batch = next(batches, None)
            self.seconds += self._clock.now() - start
            if batch is None:
                return
            self.examples += len(batch)
            yield batch


class Trial:
    """The worker's own loop over some parts, for a while; the rows it writes go into `folder`."""

    def __init__(self, parts: Parts, folder: RunFolder, requests: Requests) -> None:
        self._parts = parts
        self.report = Report(Sums(parts.task, parts.device), LineWriter(folder.metrics), parts.report_every)
        self.state = TimedState(
            Backbone(parts.built.module, parts.built.head),
            task=parts.task,
            precision=parts.precision,
            timeline=Timeline(parts.settings),
            sums=self.report.sums,
        )
        self._clock = self.state.clock = Clock(parts.device, requests)
        self.recover: Callable[[Exception], None] = give_up
        """What is done when a step goes wrong, as `loop.train` does it."""
        self.state.steps_per_epoch = parts.epochs.steps
        self.notices: list[str] = []
        self.quick = quicken(self.state, parts.epochs, self.notices.append)
        """How its steps are accelerated."""

    def run(self, seconds: float, *, epoch: int = 0, apart: bool = False) -> Pace:
        """Train for about so many seconds in epoch `epoch`; at the least one step. Raises `RunFailed`.

        `apart`: wait for the device after each part of a step, so that each has its own time; steps that would be
        played back whole are then computed part by part.
        """
        torch.set_num_threads(self._parts.threads)
        state, clock = self.state, self._clock
        clock.waits = apart
        state.epoch, state.position, state.plays = epoch, 0, not apart
        if state.step == 0:
            self._train(WARM_UP)
        step, state.model, state.optimizer_time = state.step, 0.0, 0.0
        clock.wait()
        start = time.perf_counter()
        examples, data = self._train(seconds)
        clock.wait()
        spent = time.perf_counter() - start
        rest = max(0.0, spent - data - state.model - state.optimizer_time)
        parts = {"data": data, "model": state.model, "optimizer": state.optimizer_time, "record": rest}
        return Pace(state.step - step, examples, spent, parts)

    def _train(self, seconds: float) -> tuple[int, float]:
        """Examples that were trained on, and the seconds it took to make their batches."""
        self._clock.until = time.perf_counter() + seconds
        examples, spent = 0, 0.0
        while True:
            start = time.perf_counter()
            batches = TimedBatches(self._parts.epochs.batches(self.state.epoch), self._clock)
            spent += time.perf_counter() - start
            over = False
            try:
                train_epoch(self.state, cast(Batches, batches), self.report, self._clock)
            except Enough:
                over = True
            except (RuntimeError, MemoryError) as error:
                self.recover(error)
            examples, spent = examples + batches.examples, spent + batches.seconds
            if over:
                return examples, spent
            self.state.position = 0  # the same epoch again: a later one may train more of the model

    def close(self) -> None:
        """Close what was opened."""
        self.report.metrics.close()
