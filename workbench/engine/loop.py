"""The training loop: forward, backward, step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from workbench.engine.batches import Batches, Epochs
from workbench.engine.train_state import TrainState


class StepReporter(Protocol):
    """Where the means of steps are written."""

    every: int
    """Steps that one row covers."""

    def step(self, step: int, epoch: float, lr: float) -> None:
        """Write a row of the steps since the one before; `epoch` is fractional."""


class BetweenSteps(Protocol):
    """What people and the clock ask of a run between two steps."""

    def answer(self, state: TrainState) -> None:
        """Do what is asked: checkpoint, pause, change a setting, or raise `Stop`."""


def give_up(error: Exception) -> None:
    """Mend nothing: what went wrong ends the run."""
    raise error


def train(
    state: TrainState,
    epochs: Epochs,
    report: StepReporter,
    requests: BetweenSteps,
    end_epoch: Callable[[], None],
    *,
    recover: Callable[[Exception], None] = give_up,
) -> None:
    """All epochs that are left; `end_epoch` evaluates, counts the epoch and keeps the checkpoint.

    `recover` is told what went wrong; when it returns, training goes on from where `state` stands then.
    """
    while not state.done:
        try:
            train_epoch(state, epochs.batches(state.epoch), report, requests)
            end_epoch()
        except (RuntimeError, MemoryError) as error:
            recover(error)


def train_epoch(state: TrainState, batches: Batches, report: StepReporter, requests: BetweenSteps) -> None:
    """One pass over the training data, from where `state` stands in it."""
    state.begin_epoch(len(batches))
    for batch in batches.starting_at(state.position):
        state.begin_step()
        if not state.replay(batch):  # what was recorded of such a step does all of it at once
            state.compute(batch)  # forward, backward, step
        state.end_step(len(batch))
        if state.step % report.every == 0:
            state.guard.check(state.step)
            report.step(state.step, state.progress, state.lr)
        requests.answer(state)  # stop, checkpoint, pause, learning rate
    state.guard.check(state.step)  # before anything is said of the epoch
