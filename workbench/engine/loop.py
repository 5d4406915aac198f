"""The training loop: forward, backward, step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from workbench.engine.batches import Batch, Batches, Epochs
from workbench.engine.train_state import TrainState


class StepReporter(Protocol):
    """Writes the means of steps."""

    log_every: int
    """Steps per row."""

    @property
    def update_every(self) -> int:
        """Steps from one measured update to the next; a multiple of `log_every`."""

    def write_step(self, step: int, epoch: float, lr: float) -> None:
        """Write a row of the steps since the previous one; `epoch` is fractional."""


class StepHook(Protocol):
    """Called between steps: handles checkpoints, pauses, changes of settings."""

    def after_step(self, state: TrainState) -> None:
        """Called after every step; may raise to end training."""


def reraise(error: Exception) -> None:
    """The `recover` of `train` that recovers from nothing."""
    raise error


def train(
    state: TrainState,
    epochs: Epochs,
    reporter: StepReporter,
    hook: StepHook,
    end_epoch: Callable[[], None],
    *,
    recover: Callable[[Exception], None] = reraise,
) -> None:
    """Train all remaining epochs; `end_epoch` evaluates and counts the epoch and saves a checkpoint.

    `recover` is called with the error of a step or epoch; where it returns, training continues from `state`.
    """
    while not state.done:
        try:
            train_epoch(state, epochs.batches(state.epoch, state.training_side), reporter, hook)
            end_epoch()
        except (RuntimeError, MemoryError) as error:
            recover(error)


def train_epoch(state: TrainState, batches: Batches, reporter: StepReporter, hook: StepHook) -> None:
    """One pass over the training data, starting at the position of `state`."""
    state.begin_epoch(len(batches))
    for batch in batches.iter_from(state.position):
        state.begin_step()
        measured = (state.step + 1) % reporter.update_every == 0
        if not state.replay(batch, measure_update=measured):  # a CUDA graph of the whole step
            compute_step(state, batch, measure_update=measured)
        state.end_step(batch.samples)
        if state.step % reporter.log_every == 0:
            state.guard.check(state.step)
            reporter.write_step(state.step, state.progress, state.lr)
        hook.after_step(state)
    state.guard.check(state.step)  # before the epoch is evaluated


def compute_step(state: TrainState, batch: Batch, *, measure_update: bool = False) -> None:
    """Forward, backward, step: everything that the device computes for one batch."""
    state.zero_grad()
    for micro_batch, share in state.micro_batches(batch):
        loss, outputs = state.forward(micro_batch, share)
        state.backward(loss)
        # Stays on the device until a row is written.
        state.sums.add(loss, outputs, micro_batch.targets, samples=batch.samples, is_counted=batch.is_counted)
    state.optimizer_step(measure_update=measure_update)
