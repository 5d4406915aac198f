"""Requests to live runs. Changes of the learning rate and the epochs wait a moment and can be cancelled until then."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from textual.content import Content

from workbench.core.errors import UserError
from workbench.launcher import launch
from workbench.runs import requests
from workbench.runs.enums import Outcome, Phase, RequestKind
from workbench.runs.records import RequestValues
from workbench.runs.requests import NO_VALUES, Answer
from workbench.runs.setting_changes import epochs_error
from workbench.runs.status import status_of
from workbench.runs.store import RunSummary
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
    def inverse(self) -> RequestValues:
        """The arguments of the request that reverts it after it took effect."""
        return RequestValues(times=1 / self.amount) if self._is_lr else RequestValues(add=-int(self.amount))

    def description(self) -> str:
        """`learning rate ÷4`, `+2 epochs: 4 → 6`."""
        if self._is_lr:
            return (
                f"learning rate ×{self.amount:g}"
                if self.amount >= 1
                else f"learning rate ÷{1 / self.amount:g}"
            )
        if len(self.runs) == 1:
            total = self.runs[0].epochs_total
            return f"{_epochs(self.amount)}: {total} → {total + int(self.amount)}"
        return f"{_epochs(self.amount)} each"


class LiveTuning:
    """Pause, continue and checkpoint live runs; change their learning rate and epochs."""

    def __init__(self, host: ActionHost, targets: RunTargets, undo_stack: UndoStack) -> None:
        self._host, self._targets, self._undo_stack = host, targets, undo_stack
        self._pending: PendingChange | None = None
        self._timer: Stoppable | None = None
        self._pausing: set[str] = set()
        """Ids of runs whose pause was requested, and that are not known to be paused yet."""

    def pause(self) -> None:
        """Pause the target runs; if the first is paused or about to be, continue them."""
        rows = self._targets.eligible_runs("pause")
        if self._is_paused(rows[0]) or self._pause_is_pending(rows[0]):
            self._pausing.difference_update(row.id for row in rows)
            self._host.run_in_background(lambda: self._continue(rows))
        else:
            self._pausing.update(row.id for row in rows)
            self._request(RequestKind.PAUSE, rows, "pause requested")

    @property
    def pause_label(self) -> str:
        """What `pause` does now: `pause` or `continue`."""
        rows = self._targets.eligible_runs("pause")
        return "continue" if rows and self._is_paused(rows[0]) else "pause"

    def _is_paused(self, row: RunSummary) -> bool:
        """Whether a run is paused, or a pause was requested here."""
        if row.phase is Phase.PAUSED:
            self._pausing.discard(row.id)
            return True
        return row.id in self._pausing

    def _pause_is_pending(self, row: RunSummary) -> bool:
        """Whether anybody has requested a pause that the run has not read yet: it reads none while it loads."""
        pending = requests.pending_requests(self._host.store.folder(row.id))
        return any(request.kind is RequestKind.PAUSE for request in pending)

    def _continue(self, rows: list[RunSummary]) -> str:
        """Withdraw pauses that have not started, and let paused runs continue."""
        messages = set()
        for row in rows:
            if requests.withdraw_requests(self._host.store.folder(row.id), RequestKind.PAUSE):
                messages.add("pause withdrawn")
            else:
                self._send(row, RequestKind.CONTINUE)
                messages.add("continue requested")
        return f"{self._targets.display_names(rows)}: {', '.join(sorted(messages))}"

    def _send(self, row: RunSummary, kind: RequestKind, values: RequestValues = NO_VALUES) -> str:
        """Send a request to a live run; returns its id. Raises `UserError` and `OSError`."""
        folder = self._host.store.folder(row.id)
        try:
            return launch.send_request(folder, kind, values)
        except UserError as error:
            name, status = self._targets.display_names([row]), status_of(folder)
            if not status.live:
                raise UserError(f"{name} is {status}; r resumes it") from None
            raise UserError(str(error).replace(row.id, name)) from None

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
        """Add epochs to the target runs, after the countdown; never fewer than the completed ones and one."""
        rows, total = self._targets.eligible_runs("add_epochs"), count
        if self._pending is not None and self._pending.matches(RequestKind.EPOCHS, rows):
            total += int(self._pending.amount)
        for row in rows:
            if count < 0 and row.epochs_total + total <= row.epoch:
                name = self._targets.display_names([row])
                error = epochs_error(row.epochs_total + total, row.epoch).removeprefix("train.")
                self._host.show_notice(f"{name}: {error}", "warning", transient=True)
                return
        self._change(RequestKind.EPOCHS, count, rows)

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
            sent = [(run, self._send(run, pending.kind, pending.values)) for run in pending.runs]
            text = f"{self._targets.display_names(pending.runs)}: {pending.description()}"
            self._host.run_soon(
                lambda: self._undo_stack.push(text, lambda: self._revert(pending, sent), in_background=True)
            )
            return text

        self._host.run_in_background(send)

    def flush(self) -> None:
        """Request the pending change now, in this thread: the app is about to exit."""
        pending = self._end_countdown()
        if pending is not None and not pending.is_noop:
            with contextlib.suppress(UserError, OSError):
                for run in pending.runs:
                    self._send(run, pending.kind, pending.values)

    def _revert(self, change: PendingChange, sent: list[tuple[RunSummary, str]]) -> None:
        """Withdraw or reverse a change that was requested of runs. Raises `UserError` where one refuses."""
        for run, request in sent:
            folder = self._host.store.folder(run.id)
            if not requests.withdraw_request(folder, request):
                _check_answer(requests.read_answer(folder, request), "it did not take effect")
                self._reverse(run, change)

    def _reverse(self, run: RunSummary, change: PendingChange) -> None:
        """Request the reverse change, and wait for the answer. Raises `UserError`."""
        folder, request = self._host.store.folder(run.id), self._send(run, change.kind, change.inverse)
        answer = requests.wait_for_answer(
            folder, request, requests.ANSWER_TIMEOUT, lambda: status_of(folder).live
        )
        _check_answer(answer, "the run has not agreed")

    def _request(
        self, kind: RequestKind, rows: list[RunSummary], message: str, values: RequestValues = NO_VALUES
    ) -> None:
        def send() -> str:
            for row in rows:
                self._send(row, kind, values)
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


def _check_answer(answer: Answer | None, problem: str) -> None:
    """Raise `UserError` with the answer of a run, unless it has done what was requested."""
    if answer is None or answer.outcome is not Outcome.DONE:
        raise UserError(f"{problem}: {answer.text}" if answer else problem)


def _epochs(count: float) -> str:
    return f"{count:+.0f} epoch{'' if abs(count) == 1 else 's'}"
