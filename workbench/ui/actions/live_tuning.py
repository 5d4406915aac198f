"""Requests to live runs. Changes of the learning rate and the epochs wait a moment and can be cancelled until then."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from textual.content import Content

from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.runs.enums import Phase, RequestKind
from workbench.runs.records import RequestValues
from workbench.runs.requests import NO_VALUES
from workbench.runs.store import RunSummary, Store
from workbench.ui.actions.host import ActionHost, Stoppable
from workbench.ui.actions.targets import RunTargets
from workbench.ui.actions.undo import UndoStack
from workbench.ui.base.status_style import MUTED

DELAY_SECONDS = 3


@dataclass
class PendingChange:
    """A change that is requested after a countdown."""

    runs: list[RunSummary]
    kind: RequestKind
    amount: float
    """With `RequestKind.LR` a factor of the learning rate, with `EPOCHS` the number of epochs to add."""
    seconds_left: int = DELAY_SECONDS

    def combine(self, amount: float) -> None:
        """Add the change of another key press, and restart the countdown."""
        self.amount = self.amount * amount if self._is_lr else self.amount + amount
        self.seconds_left = DELAY_SECONDS

    @property
    def _is_lr(self) -> bool:
        return self.kind is RequestKind.LR

    def matches(self, kind: RequestKind, runs: list[RunSummary]) -> bool:
        """Whether it changes the same setting of the same runs."""
        return kind is self.kind and [run.id for run in runs] == [run.id for run in self.runs]

    @property
    def is_noop(self) -> bool:
        """Whether the key presses cancelled each other."""
        return self.amount == (1 if self._is_lr else 0)

    @property
    def values(self) -> RequestValues:
        """The arguments of the request."""
        return RequestValues(times=self.amount) if self._is_lr else RequestValues(add=int(self.amount))

    @property
    def inverse(self) -> float:
        """The amount that reverts it after it took effect."""
        return 1 / self.amount if self._is_lr else -self.amount

    def description(self) -> str:
        """`learning rate ÷4`, `+2 epochs: 4 → 6`."""
        if self._is_lr:
            return (
                f"learning rate ×{self.amount:g}"
                if self.amount >= 1
                else f"learning rate ÷{1 / self.amount:g}"
            )
        if len(self.runs) == 1:
            run = self.runs[0]
            total = max(run.epoch + 1, run.epochs_total + int(self.amount))
            return f"{_epochs(self.amount)}: {run.epochs_total} → {total}"
        return f"{_epochs(self.amount)} each"

    def send(self, store: Store) -> None:
        """Leave a request for each run. Raises `UserError` and `OSError`."""
        for run in self.runs:
            launch.send_request(store.folder(run.id), self.kind, self.values)


class LiveTuning:
    """Pause, continue and checkpoint live runs; change their learning rate and epochs."""

    def __init__(self, host: ActionHost, targets: RunTargets, undo_stack: UndoStack) -> None:
        self._host, self._targets, self._undo_stack = host, targets, undo_stack
        self._pending: PendingChange | None = None
        self._timer: Stoppable | None = None

    def pause(self) -> None:
        """Pause the target runs; if the first is paused, continue them."""
        rows = self._targets.eligible_runs("pause")
        if rows[0].phase is Phase.PAUSED:
            self._request(RequestKind.CONTINUE, rows, "continue requested")
        else:
            self._request(RequestKind.PAUSE, rows, "pause requested")

    def suspend(self) -> None:
        """Suspend the target runs: pause them and free the device's memory."""
        rows = self._targets.eligible_runs("suspend")
        message = "suspend requested: the run pauses and frees its memory"
        self._request(RequestKind.PAUSE, rows, message, RequestValues(suspend=True))

    def checkpoint(self) -> None:
        """Write a checkpoint of the target runs now."""
        self._request(
            RequestKind.CHECKPOINT, self._targets.eligible_runs("checkpoint"), "checkpoint requested"
        )

    def multiply_lr(self, factor: float) -> None:
        """Multiply the learning rate of the target runs, after the countdown."""
        self._change(RequestKind.LR, factor, self._targets.eligible_runs("multiply_lr"))

    def add_epochs(self, count: int) -> None:
        """Add epochs to the target runs, after the countdown."""
        self._change(RequestKind.EPOCHS, count, self._targets.eligible_runs("add_epochs"))

    def cancel(self) -> bool:
        """Cancel the pending change; whether there was one."""
        pending = self._end_countdown()
        if pending is not None:
            names = self._targets.display_names(pending.runs)
            self._host.show_notice(f"cancelled: {pending.description()} of {names}")
        return pending is not None

    def send_pending(self) -> None:
        """Request the pending change now, in a thread."""
        pending = self._end_countdown()
        if pending is None or pending.is_noop:
            return

        def send() -> str:
            pending.send(self._host.store)
            text = f"{self._targets.display_names(pending.runs)}: {pending.description()}"
            self._host.run_soon(lambda: self._undo_stack.push(text, lambda: self._revert(pending)))
            return text

        self._host.run_in_background(send)

    def flush(self) -> None:
        """Request the pending change now, in this thread: the app is about to exit."""
        pending = self._end_countdown()
        if pending is not None and not pending.is_noop:
            with contextlib.suppress(UserError, OSError):
                pending.send(self._host.store)

    def _revert(self, change: PendingChange) -> None:
        self._change(change.kind, change.inverse, change.runs)

    def _request(
        self, kind: RequestKind, rows: list[RunSummary], message: str, values: RequestValues = NO_VALUES
    ) -> None:
        def send() -> str:
            for row in rows:
                launch.send_request(self._host.store.folder(row.id), kind, values)
            return f"{self._targets.display_names(rows)}: {message}"

        self._host.run_in_background(send)

    def _change(self, kind: RequestKind, amount: float, rows: list[RunSummary]) -> None:
        if self._pending is not None and self._pending.matches(kind, rows):
            self._pending.combine(amount)
        else:
            self.send_pending()
            self._pending = PendingChange(rows, kind, amount)
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._host.start_timer(1.0, self._tick)
        self._show_countdown(self._pending)

    def _tick(self) -> None:
        if self._pending is None:
            return
        self._pending.seconds_left -= 1
        if self._pending.seconds_left <= 0:
            self.send_pending()
        else:
            self._show_countdown(self._pending)

    def _show_countdown(self, pending: PendingChange) -> None:
        names = self._targets.display_names(pending.runs)
        content = Content.assemble(
            (" → ", "bold $accent"), f"{names} {pending.description()} in {pending.seconds_left} s  ",
            ("esc", "bold $accent"), (" cancels", MUTED),
        )  # fmt: skip
        self._host.show_countdown(content)

    def _end_countdown(self) -> PendingChange | None:
        """Forget the pending change; returns it."""
        pending, self._pending = self._pending, None
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
            self._host.show_countdown(None)
        return pending


def _epochs(count: float) -> str:
    return f"{count:+.0f} epoch{'' if abs(count) == 1 else 's'}"
