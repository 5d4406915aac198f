"""Steering: changes to runs that go on. Learning rate and epochs wait a moment, and can be taken back until then."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from textual.content import Content
from textual.timer import Timer

from workbench.core.errors import BadInput
from workbench.launcher import launch
from workbench.runs.enums import Phase, RequestKind
from workbench.runs.records import RequestValues
from workbench.runs.requests import NO_VALUES
from workbench.runs.store import RunSummary, Store
from workbench.ui.actions.targets import Acting
from workbench.ui.base.messages import Undoable
from workbench.ui.base.status_style import MUTED
from workbench.ui.widgets.notice_bar import NoticeLine

WAIT_SECONDS = 3


@dataclass
class Steer:
    """A change that waits a moment before it is asked for."""

    runs: list[RunSummary]
    kind: RequestKind
    """`LR` or `EPOCHS`."""
    by: float
    seconds: int = WAIT_SECONDS

    def add(self, by: float) -> None:
        """The key was pressed again."""
        self.by = self.by * by if self._of_lr else self.by + by
        self.seconds = WAIT_SECONDS

    @property
    def _of_lr(self) -> bool:
        return self.kind is RequestKind.LR

    def of(self, kind: RequestKind, runs: list[RunSummary]) -> bool:
        """Whether it is this change of these runs."""
        return kind is self.kind and [run.id for run in runs] == [run.id for run in self.runs]

    @property
    def nothing(self) -> bool:
        """Whether it came back to where it started."""
        return self.by == (1 if self._of_lr else 0)

    @property
    def values(self) -> RequestValues:
        """The arguments of the request."""
        return RequestValues(times=self.by) if self._of_lr else RequestValues(add=int(self.by))

    @property
    def inverse(self) -> float:
        """What takes it back once it took effect."""
        return 1 / self.by if self._of_lr else -self.by

    def says(self) -> str:
        """What will happen."""
        if self._of_lr:
            return f"learning rate ×{self.by:g}" if self.by >= 1 else f"learning rate ÷{1 / self.by:g}"
        if len(self.runs) == 1:
            run = self.runs[0]
            total = max(run.epoch + 1, run.epochs_total + int(self.by))
            return f"{_epochs(self.by)}: {run.epochs_total} → {total}"
        return f"{_epochs(self.by)} each"

    def ask(self, store: Store) -> None:
        """Ask every run for it. Raises `BadInput` and `OSError`."""
        for run in self.runs:
            launch.ask(store.folder(run.id), self.kind, self.values)


class Steering(Acting):
    """Pause, go on, checkpoint; learning rate and epochs."""

    steer: Steer | None = None
    _countdown: Timer | None = None

    def ask(
        self, kind: RequestKind, rows: list[RunSummary], words: str, values: RequestValues = NO_VALUES
    ) -> None:
        """Leave a request for each run; `words` are what the notice says of it."""

        def ask() -> str:
            for row in rows:
                launch.ask(self.folder_of(row), kind, values)
            return f"{self.named(rows)}: asked {words}"

        self.in_background(ask)

    def action_pause(self) -> None:
        """Pause the runs that are meant; where the first is paused, let them go on."""
        rows = self.able("pause")
        if rows[0].phase is Phase.PAUSED:
            self.ask(RequestKind.CONTINUE, rows, "to go on")
        else:
            self.ask(RequestKind.PAUSE, rows, "to pause")

    def action_release(self) -> None:
        """Pause, and give the memory of the device back."""
        words = "to pause and give the device's memory back"
        self.ask(RequestKind.PAUSE, self.able("release"), words, RequestValues(release=True))

    def action_checkpoint(self) -> None:
        """Have them write a checkpoint now."""
        self.ask(RequestKind.CHECKPOINT, self.able("checkpoint"), "for a checkpoint")

    def action_times_lr(self, factor: float) -> None:
        """Multiply the learning rate, in a moment."""
        self._steer(RequestKind.LR, factor, self.able("times_lr"))

    def action_add_epochs(self, count: int) -> None:
        """Add epochs, in a moment."""
        self._steer(RequestKind.EPOCHS, count, self.able("add_epochs"))

    def take_back(self) -> bool:
        """Forget the change that waits; whether one did."""
        steer = self.steer
        self._end_countdown()
        if steer is not None:
            self.notice(f"taken back: {steer.says()} of {self.named(steer.runs)}")
        return steer is not None

    def _steer(self, kind: RequestKind, by: float, rows: list[RunSummary]) -> None:
        waiting = self.steer
        if waiting is not None and waiting.of(kind, rows):
            waiting.add(by)
        else:
            self.finish_wait()
            self.steer = Steer(rows, kind, by)
        if self._countdown is not None:
            self._countdown.stop()
        self._countdown = self.set_interval(1.0, self._tick)
        self._show_steer()

    def _tick(self) -> None:
        if self.steer is None:
            return
        self.steer.seconds -= 1
        if self.steer.seconds <= 0:
            self.finish_wait()
        else:
            self._show_steer()

    def _show_steer(self) -> None:
        if self.steer is None:
            return
        self.query_one(NoticeLine).wait(
            Content.assemble(
                (" → ", "bold $accent"),
                f"{self.named(self.steer.runs)} {self.steer.says()} in {self.steer.seconds} s  ",
                ("esc", "bold $accent"),
                (" takes it back", MUTED),
            )
        )

    def finish_steer(self) -> None:
        """Ask at once for a change that waits: nobody is left who could take it back."""
        steer = self.steer
        self._end_countdown()
        if steer is not None and not steer.nothing:
            with contextlib.suppress(BadInput, OSError):
                steer.ask(self.store)

    def finish_wait(self) -> None:
        """Ask for the change that waits, and begin no other."""
        steer = self.steer
        self._end_countdown()
        if steer is None or steer.nothing:
            return

        def send() -> str:
            steer.ask(self.store)
            words = f"{self.named(steer.runs)}: {steer.says()}"
            self.post_message(Undoable(words, lambda: self._steer(steer.kind, steer.inverse, steer.runs)))
            return words

        self.in_background(send)

    def _end_countdown(self) -> None:
        self.steer = None
        if self._countdown is not None:
            self._countdown.stop()
            self._countdown = None
        self.query_one(NoticeLine).wait(None)


def _epochs(count: float) -> str:
    return f"{count:+.0f} epoch{'' if abs(count) == 1 else 's'}"
