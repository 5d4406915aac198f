"""What happens between two steps of several processes: rank 0 decides, and all do it at the same step.

Rank 0 handles requests and the clock as a single process does, and sends the others an order for all that concerns
them. So that most steps need no message, each exchange ends with the step of the next one.
"""

from __future__ import annotations

import contextlib
import time

import msgspec

from workbench.core.settings_schema import SettingValue
from workbench.engine.nan_guard import Diverged
from workbench.engine.train_state import TrainState
from workbench.runs.requests import STOP_REQUESTED
from workbench.worker.attempt import TrainingAttempt
from workbench.worker.requests import Stop, Suspend
from workbench.worker.step_callback import StepCallback

EXCHANGE_SECONDS = 0.25
"""About the time from one exchange to the next."""
MAX_STEPS = 10_000


class Proceed(msgspec.Struct, frozen=True, tag=True):
    """Train on; the next exchange comes after step `until`."""

    until: int = 0


class SaveCheckpoint(msgspec.Struct, frozen=True, tag=True):
    """Rank 0 saves a checkpoint: send it the state of this process."""


class ChangeSetting(msgspec.Struct, frozen=True, tag=True):
    """The setting `train.KEY` has a new value from this step on."""

    key: str
    value: SettingValue


class Abandon(msgspec.Struct, frozen=True, tag=True):
    """Rank 0 found weights that are not finite, as `Diverged` says."""

    what: str
    step: int


class Leave(msgspec.Struct, frozen=True, tag=True):
    """Rank 0 has its checkpoint and ends the training: end, too."""


Order = Proceed | SaveCheckpoint | ChangeSetting | Abandon | Leave


def make_step_callback(attempt: TrainingAttempt) -> StepCallback:
    """The callback for this process."""
    group = attempt.components.group
    if group.size == 1:
        return StepCallback(attempt)
    return LeadingCallback(attempt) if group.is_writer else FollowingCallback(attempt)


class _GroupCallback(StepCallback):
    """What both sides have in common."""

    def __init__(self, attempt: TrainingAttempt) -> None:
        super().__init__(attempt)
        self._group = attempt.components.group
        self._next = self._step = 0
        """The step after which orders are exchanged next, and the newest one."""

    def _is_due(self, step: int) -> bool:
        """Whether orders are exchanged after this step: also after the first one of a rollback."""
        rolled_back, self._step = step <= self._step, step
        return rolled_back or step >= self._next

    def save_checkpoint_if_stopping(self) -> None:
        """Save a checkpoint if all processes stop here."""
        if self._requests.stop_is_agreed:
            self.save_checkpoint()


class LeadingCallback(_GroupCallback):
    """The callback of rank 0."""

    def __init__(self, attempt: TrainingAttempt) -> None:
        super().__init__(attempt)
        self._is_exchanging = False
        self._last = (0, time.monotonic())
        """The step and the time of the previous exchange."""

    def after_step(self, state: TrainState) -> None:
        """Handle requests and the clock, and send the orders that follow."""
        if not self._is_due(state.step):
            return
        self._is_exchanging = True
        try:
            super().after_step(state)
        except Diverged as error:
            self._send(Abandon(error.what, error.step))
            raise
        except (Stop, Suspend):
            self._send(Leave())
            raise
        finally:
            self._is_exchanging = False
        self._next = self._next_exchange(state.step)
        self._send(Proceed(self._next))

    def _next_exchange(self, step: int) -> int:
        (step_before, time_before), self._last = self._last, (step, time.monotonic())
        steps, seconds = step - step_before, self._last[1] - time_before
        if not time_before or steps <= 0:
            return step + 1
        return step + max(1, min(MAX_STEPS, int(EXCHANGE_SECONDS * steps / max(seconds, 1e-6))))

    def save_checkpoint(self, *, best: bool = False, wait: bool = True) -> None:
        """Save a checkpoint of the current state of all processes."""
        if self._is_exchanging:
            self._send(SaveCheckpoint())
            super().save_checkpoint(best=best, wait=wait)
            return
        # All processes call this at the same time; they learn whether the weights were finite.
        content = self._content()
        outcome: Order = Proceed()
        try:
            self._write(content, best=best, wait=wait)
        except Diverged as error:
            outcome = Abandon(error.what, error.step)
            raise
        finally:
            self._send(outcome)

    def _override(self, key: str, value: SettingValue) -> None:
        self._send(ChangeSetting(key, value))
        super()._override(key, value)

    def _send(self, order: Order) -> None:
        self._group.broadcast(order, Order)


class FollowingCallback(_GroupCallback):
    """The callback of the other processes."""

    def after_step(self, state: TrainState) -> None:
        """Follow the orders of rank 0."""
        if not self._is_due(state.step):
            return
        while True:
            match self._receive():
                case Proceed(until):
                    self._next = until
                    return
                case SaveCheckpoint():
                    with contextlib.suppress(Diverged):  # an order to abandon the weights follows
                        self._content()
                case ChangeSetting(key, value):
                    self._override(key, value)
                case Abandon(what, step):
                    raise Diverged(what, step)
                case Leave():
                    raise Stop(STOP_REQUESTED)

    def save_checkpoint(self, *, best: bool = False, wait: bool = True) -> None:
        """Send rank 0 the state of this process, and wait until it has the checkpoint."""
        self._content()
        match self._receive():
            case Abandon(what, step):
                raise Diverged(what, step)

    def _receive(self) -> Order:
        order: Order = self._group.broadcast(None, Order)
        return order
