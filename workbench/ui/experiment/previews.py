"""The keys of the experiment pane that show what its settings mean before the run starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.binding import Binding, BindingType

from workbench.config.experiment import Experiment
from workbench.config.variants import Variant
from workbench.core.errors import UserError
from workbench.ui.base.messages import Notify
from workbench.ui.base.pane import Pane
from workbench.ui.experiment.draft import Draft, steps_per_epoch
from workbench.ui.experiment.lr_screen import LrScreen
from workbench.ui.experiment.schedule_screen import ScheduleScreen


class PreviewPane(Pane):
    """A pane with a draft, whose schedule can be drawn and whose learning rate can be found."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("L", "find_lr", "find a learning rate", show=False),
        Binding("o", "schedule", "schedule of the learning rate", show=False),
    ]

    draft: Draft

    def experiment(self) -> Experiment:
        """The edited experiment; of several the first. Raises `UserError`."""
        return self.draft.experiment()

    def variants(self) -> list[Variant]:
        """The edited experiments, see `Draft.variants`. Raises `UserError`."""
        return self.draft.variants()

    def _apply(self, change: Callable[[], None]) -> None:
        """Change the draft, with its errors as notifications."""
        raise NotImplementedError

    async def action_find_lr(self) -> None:
        """Try learning rates with real steps, and use one of those that are suggested."""
        try:
            screen = LrScreen(self.experiment())
        except UserError as error:
            self.post_message(Notify(str(error), "error"))
            return

        def use(rate: float | None) -> None:
            if rate is not None:
                self._apply(lambda: self.draft.set("train.lr", f"{rate:g}"))

        await self.app.push_screen(screen, use)

    async def action_schedule(self) -> None:
        """Draw the learning rate of every step."""
        try:
            train = self.experiment().train
        except UserError as error:
            self.post_message(Notify(str(error), "error"))
            return
        await self.app.push_screen(ScheduleScreen(train, steps_per_epoch(self.draft)))
