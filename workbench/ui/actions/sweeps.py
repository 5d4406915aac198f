"""Starting, stopping, resuming and removing sweeps. File and process operations run in a thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from workbench.core.errors import UserError
from workbench.core.text import plural
from workbench.launcher.launch import start_warnings
from workbench.sweeps import control
from workbench.sweeps.definition import trial_experiment
from workbench.sweeps.records import SamplerName
from workbench.sweeps.sweep_folder import SweepFolder
from workbench.ui.actions.host import ActionHost
from workbench.ui.actions.undo import UndoStack
from workbench.ui.base.pane import ExperimentEditor
from workbench.ui.sweeps.start_screen import NewSweep, StartScreen
from workbench.ui.sweeps.sweep_draft import SweepDraft


def configure_sweep(
    host: ActionHost, editor: ExperimentEditor | None, show: Callable[[str], Awaitable[None]]
) -> None:
    """Let the user say which settings of the edited experiment are searched, start that, and `show` it by its name."""
    if editor is None:
        host.show_notice("loading the experiment; press S again when it is loaded", transient=True)
        return
    try:
        control.check_optuna(SamplerName.TPE)
        draft = SweepDraft(editor.draft.recipe_content(), editor.draft.axes)
    except UserError as error:
        host.show_notice(str(error), "error")
        return
    host.show_screen(StartScreen(draft), lambda new: _start(host, new, show))


def _start(host: ActionHost, new: NewSweep | None, show: Callable[[str], Awaitable[None]]) -> None:
    if new is None:
        return
    experiment = trial_experiment(new.definition.content, {})
    host.show_notice(f"starting a sweep of {experiment.name}")

    def start() -> str:
        control.check_optuna(new.definition.sampler)
        for remark in start_warnings(experiment):
            host.show_notice(remark, "warning")
        name = new.name or f"{experiment.name}-sweep"
        folder = control.start_sweep(new.definition, name, None, exact=bool(new.name))
        host.run_soon(lambda: show(folder.name))
        trials, workers = new.definition.trials, new.definition.workers
        return f"{folder.name}: {plural(trials, 'trial')} by {plural(workers, 'worker')}; it goes on when you quit"

    host.run_in_background(start)


def stop_sweep(host: ActionHost, folder: SweepFolder) -> None:
    """Stop a sweep and its runs, after a confirmation."""

    def stop() -> str:
        control.stop_sweep(folder)
        if not control.wait_until_stopped(folder):
            raise UserError(f"{folder.name} has not stopped yet: it ends when its runs have stopped")
        return f"{folder.name} is stopped; r continues it"

    host.confirm(
        f"Stop the sweep {folder.name}?",
        "Its runs stop after a checkpoint; r continues them and the sweep.",
        lambda: host.run_in_background(stop),
    )


def resume_sweep(host: ActionHost, folder: SweepFolder) -> None:
    """Continue a sweep."""

    def resume() -> str:
        count = control.resume_sweep(folder)
        return f"{folder.name} continues with {plural(count, 'worker')}"

    host.show_notice(f"resuming {folder.name}")
    host.run_in_background(resume)


def remove_sweep(host: ActionHost, undo_stack: UndoStack, folder: SweepFolder) -> None:
    """Move a sweep to the trash, after a confirmation."""
    text = f"the sweep {folder.name} moved to trash"

    def remove() -> str:
        path = control.remove_sweep(folder)
        host.run_soon(
            lambda: undo_stack.push(text, lambda: control.restore_sweep(folder), in_background=True)
        )
        return f"{text}: {path}"

    host.confirm(
        f"Move the sweep {folder.name} to the trash?",
        "Nothing is deleted; u restores it. Its runs stay as they are.",
        lambda: host.run_in_background(remove),
    )
