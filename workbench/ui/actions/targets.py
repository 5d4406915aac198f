"""What every action on runs is built from: which runs are meant, whether they can take it, and how it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from textual.actions import ActionParseResult, parse
from textual.dom import DOMNode

from workbench.config.experiment import Experiment
from workbench.core.errors import BadInput
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import RunSummary, Store
from workbench.ui.base.key_queue import KeysInOrder
from workbench.ui.base.messages import Noticed
from workbench.ui.base.status_style import called
from workbench.ui.widgets.confirm_screen import Confirm

OF_LIVE = {"stop", "pause", "release", "checkpoint", "times_lr", "add_epochs"}
OF_ENDED = {"resume", "trash"}
OF_ANY = {"log", "duplicate", "notes", "export", "compare"}


class HoldsExperiment(Protocol):
    """The pane that an experiment is put together in."""

    def experiment(self) -> Experiment:
        """What it describes now. Raises `BadInput`."""

    def load(self, experiment: Experiment) -> None:
        """Show the experiment of a run. Raises `BadInput`."""


class Acting(KeysInOrder):
    """The runs that are meant, notices, questions, and work in a thread."""

    store: Store
    """Where the runs are."""

    rows: list[RunSummary] | None = None
    """All runs; `None` until they are known."""

    @property
    def selected(self) -> RunSummary | None:
        """The run that the panes show."""
        raise NotImplementedError

    @property
    def marked(self) -> list[RunSummary]:
        """The runs that are marked."""
        raise NotImplementedError

    @property
    def experiment_pane(self) -> HoldsExperiment | None:
        """The experiment pane, once it is there."""
        raise NotImplementedError

    def changed(self, run_id: str | None = None) -> None:
        """Something was done to the runs: look at once, and go to `run_id` if it is given."""
        raise NotImplementedError

    def folder_of(self, row: RunSummary) -> RunFolder:
        """The folder of a run."""
        return self.store.folder(row.id)

    @property
    def meant(self) -> list[RunSummary]:
        """The runs that a key acts on: those that are marked, else the selected one."""
        selected = self.selected
        return self.marked or ([selected] if selected else [])

    def named(self, rows: Sequence[RunSummary]) -> str:
        """What runs are called together: the name of the only one, else how many they are."""
        return called(rows[0], self.rows or ()) if len(rows) == 1 else f"{len(rows)} runs"

    def able(self, action: str) -> list[RunSummary]:
        """Those of the runs that are meant which can take `action` now."""
        if action in OF_LIVE:
            return [row for row in self.meant if row.status.live]
        return [row for row in self.meant if action not in OF_ENDED or not row.status.live]

    def why_not(self, action: str, *parameters: object) -> str:
        """Why nothing comes of `action` now, in one line; empty where something does."""
        if action not in OF_LIVE | OF_ENDED | OF_ANY or self.able(action):
            return ""
        if not self.meant:
            return "there is no run yet: t trains one"
        wanted = f"{asked(action, *parameters)}: {self.named(self.meant[:1])} is {self.meant[0].status}"
        if action in OF_LIVE:
            return f"{wanted}; only a run that goes on can be asked (r resumes it)"
        return f"{wanted}; s stops it first"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what the runs that are meant can take has a key now."""
        return not self.why_not(action)

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: dict[str, DOMNode] | None = None,  # type: ignore[override]
    ) -> bool:
        """Do what a key stands for; where nothing comes of it now, say why."""
        if await super().run_action(action, default_namespace, namespaces):
            return True
        _, name, parameters = parse(action) if isinstance(action, str) else action
        why = self.why_not(name, *parameters) if default_namespace in {None, self} else ""
        if why:
            self.notice(why, "warning", passing=True)
        return bool(why)

    def notice(self, text: str, severity: str = "information", *, passing: bool = False) -> None:
        """Say something in the line of notices."""
        self.post_message(Noticed(text, severity, passing))

    def in_background(self, do: Callable[[], str | None]) -> None:
        """Run `do` in a thread; what it returns, or the complaint it raises, becomes a notice."""

        def work() -> None:
            try:
                said = do()
            except (BadInput, OSError) as error:
                self.notice(str(error), "error")
            else:
                if said:
                    self.notice(said)
            self.call_later(self.changed)

        self.run_worker(work, thread=True, exit_on_error=False)

    def confirm(self, question: str, about: str, do: Callable[[], None]) -> None:
        """Ask before it is done."""

        def answered(answer: bool | None) -> None:
            if answer:
                do()

        self.push_screen(Confirm(question, about), answered)


def asked(action: str, *parameters: object) -> str:
    """An action as it is called where nothing comes of it: `lr ×2`, `epochs +1`, `pause`."""
    match action, *parameters:
        case "times_lr", int() | float() as factor:
            return f"lr ×{factor:g}" if factor >= 1 else f"lr ÷{1 / factor:g}"
        case "add_epochs", int() as count:
            return f"epochs {count:+d}"
        case "release", *_:
            return "pause"
        case "trash", *_:
            return "move to the trash"
    return action
