"""Real training steps with timing, the basis of a plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from workbench.engine.accelerate import accelerate_step
from workbench.engine.batches import Batch, Batches
from workbench.engine.freezing import Backbone
from workbench.engine.loop import reraise, train_epoch
from workbench.engine.running_sums import RunningSums
from workbench.engine.settings_history import SettingsHistory
from workbench.engine.train_state import TrainState
from workbench.runs.jsonl import LineWriter
from workbench.runs.run_folder import RunFolder
from workbench.system.cpu_wait import CpuWait
from workbench.worker.components import TrainingComponents
from workbench.worker.metrics_writer import MetricsWriter
from workbench.worker.requests import RequestInbox

WARMUP_SECONDS = 0.1
"""Duration of the warm-up (at least one step), in which kernels are chosen and memory is allocated."""

MAX_WAIT = 0.9
"""The largest share of a measured time that is left out as a wait for a processor."""


class TimeBudgetExceeded(Exception):
    """The time budget of a measurement is used up."""


@dataclass(frozen=True)
class Throughput:
    """The measured time of some steps in seconds; `by_phase`: the sum over all steps for each phase."""

    steps: int
    samples: int
    seconds: float
    """Wall time."""
    by_phase: dict[str, float]
    waited: float = 0.0
    """The part of it in which the training waited for a processor that other processes used."""

    @property
    def cpu_wait(self) -> float:
        """The share of the wall time that is such waits, from 0 to 1."""
        return self.waited / self.seconds

    @property
    def undisturbed_seconds(self) -> float:
        """The time without these waits."""
        return self.seconds - self.waited

    @property
    def samples_per_second(self) -> float:
        """Trained samples per second, where no other process uses the processors."""
        return self.samples / self.undisturbed_seconds

    @property
    def step_seconds(self) -> float:
        """Seconds per step, likewise."""
        return self.undisturbed_seconds / self.steps


class BudgetClock:
    """Ends a measurement when its time budget is used up, and synchronizes with the device for timing by phase."""

    def __init__(self, device: torch.device, requests: RequestInbox) -> None:
        self._device, self._requests = device, requests
        self.deadline = 0.0
        self.synchronize = False

    def now(self) -> float:
        """The current time, after synchronizing with the device where phases are timed."""
        if self.synchronize:
            self.wait()
        return time.perf_counter()

    def wait(self) -> None:
        """Wait for all queued work of the device."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()

    def after_step(self, state: TrainState) -> None:
        """Called after every step; raises on a stop request and when the time budget is used up."""
        self._requests.raise_if_stopped()
        if time.perf_counter() >= self.deadline:
            raise TimeBudgetExceeded


class TimedState(TrainState):
    """A training state that measures the time of the phases of its steps."""

    clock: BudgetClock
    model_seconds = optimizer_seconds = 0.0
    use_graph = True
    """Whether steps are replayed as a CUDA graph, where one was captured."""

    def replay(self, batch: Batch, *, measure_update: bool = False) -> bool:
        """Replay the step, unless phases are timed."""
        return self.use_graph and super().replay(batch, measure_update=measure_update)

    def forward(self, batch: Batch, share: float | Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As it is, timed."""
        start = self.clock.now()
        result = super().forward(batch, share)
        self.model_seconds += self.clock.now() - start
        return result

    def backward(self, loss: Tensor) -> None:
        """As it is, timed."""
        start = self.clock.now()
        super().backward(loss)
        self.model_seconds += self.clock.now() - start

    def optimizer_step(self, *, measure_update: bool = False) -> None:
        """As it is, timed."""
        start = self.clock.now()
        super().optimizer_step(measure_update=measure_update)
        self.optimizer_seconds += self.clock.now() - start


class TimedBatches:
    """Batches with a count of their samples and the time spent on making them."""

    def __init__(self, batches: Batches, clock: BudgetClock) -> None:
        self._batches, self._clock = batches, clock
        self.samples, self.seconds = 0, 0.0

    def __len__(self) -> int:
        return len(self._batches)

    def iter_from(self, position: int) -> Iterator[Batch]:
        """The batches from index `position` on, as `Batches.iter_from`."""
        batches = self._batches.iter_from(position)
        while True:
            start = self._clock.now()
            batch = next(batches, None)
            self.seconds += self._clock.now() - start
            if batch is None:
                return
            self.samples += len(batch)
            yield batch


class TimedTraining:
    """The worker's training loop for a limited time; its metrics rows go to `folder`."""

    def __init__(self, components: TrainingComponents, folder: RunFolder, requests: RequestInbox) -> None:
        self._components = components
        self.metrics = MetricsWriter(
            RunningSums(components.task, components.device), LineWriter(folder.metrics), components.log_every
        )
        self.state = TimedState(
            Backbone(components.model.module, components.model.head),
            task=components.task,
            precision=components.precision,
            settings_history=SettingsHistory(components.settings),
            sums=self.metrics.sums,
        )
        self._clock = self.state.clock = BudgetClock(components.device, requests)
        self.recover: Callable[[Exception], None] = reraise
        """Called with the error of a failed step, as in `loop.train`."""
        self.state.steps_per_epoch = components.epochs.steps
        self.notices: list[str] = []
        self.acceleration = accelerate_step(self.state, components.epochs, self.notices.append)
        """How the steps are accelerated."""

    def run(self, seconds: float, *, epoch: int = 0, by_phase: bool = False) -> Throughput:
        """Train for about `seconds` in epoch `epoch`, at least one step. Raises `RunFailed` where training diverges.

        `by_phase`: synchronize with the device after each phase of a step, so that each has its own time; the steps
        then run eagerly instead of as a CUDA graph.
        """
        torch.set_num_threads(self._components.threads)
        state, clock = self.state, self._clock
        clock.synchronize = by_phase
        state.epoch, state.position, state.use_graph = epoch, 0, not by_phase
        if state.step == 0:
            self._train(WARMUP_SECONDS)
        step, state.model_seconds, state.optimizer_seconds = state.step, 0.0, 0.0
        clock.wait()
        start, cpu_wait = time.perf_counter(), CpuWait()
        samples, data_seconds = self._train(seconds)
        clock.wait()
        elapsed, waited = time.perf_counter() - start, cpu_wait.seconds()
        remainder = max(0.0, elapsed - data_seconds - state.model_seconds - state.optimizer_seconds)
        seconds_by_phase = {
            "data": data_seconds,
            "model": state.model_seconds,
            "optimizer": state.optimizer_seconds,
            "record": remainder,
        }
        return Throughput(
            state.step - step, samples, elapsed, seconds_by_phase, min(waited, MAX_WAIT * elapsed)
        )

    def _train(self, seconds: float) -> tuple[int, float]:
        """Train for this time; returns the number of samples, and the seconds spent on making batches."""
        self._clock.deadline = time.perf_counter() + seconds
        samples, data_seconds = 0, 0.0
        while True:
            start = time.perf_counter()
            epoch = self._components.epochs.batches(self.state.epoch, self.state.training_side)
            batches = TimedBatches(epoch, self._clock)
            data_seconds += time.perf_counter() - start
            is_over = False
            try:
                train_epoch(self.state, cast(Batches, batches), self.metrics, self._clock)
            except TimeBudgetExceeded:
                is_over = True
            except (RuntimeError, MemoryError) as error:
                self.recover(error)
            samples, data_seconds = samples + batches.samples, data_seconds + batches.seconds
            if is_over:
                return samples, data_seconds
            self.state.position = 0  # repeat the epoch: a later one may train more of the model

    def close(self) -> None:
        """Close the metrics file."""
        self.metrics.lines.close()
