"""Compare runs: their settings and curves, or their classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workbench.runs.metrics import EvaluationFile
from workbench.runs.store import RunSummary
from workbench.ui.actions.host import ActionHost
from workbench.ui.actions.targets import RunSelection
from workbench.ui.base.status_style import display_name
from workbench.ui.runs.compare_screen import (
    CompareScreen,
    read_comparison,
    read_newest_evaluation,
    runs_to_compare,
)


def compare_runs(host: ActionHost, selection: RunSelection) -> None:
    """Compare the marked runs, or the selected one with the best."""
    rows = compared_runs(selection)
    if len(rows) < 2:
        host.show_notice("no second run to compare with; space marks runs", "warning", transient=True)
        return

    def read() -> None:
        comparison = read_comparison([host.store.folder(row.id) for row in rows])
        host.run_soon(lambda: host.show_screen(CompareScreen(comparison)))

    host.run_in_background(read)


def find_second_run(
    host: ActionHost, selection: RunSelection, show: Callable[[str, EvaluationFile], None], split: str = ""
) -> None:
    """Call `show` with the name and an evaluation, on `split` if possible, of the run to compare with."""
    row = next((row for row in compared_runs(selection) if row != selection.selected), None)

    def read() -> None:
        evaluation = None if row is None else read_newest_evaluation(host.store.folder(row.id), split)
        if row is None or evaluation is None:
            host.show_notice("no second run has an evaluation; space marks a run", "warning")
        else:
            host.run_soon(lambda: show(display_name(row, selection.rows or ()), evaluation))

    host.run_in_background(read)


def compared_runs(selection: RunSelection) -> Sequence[RunSummary]:
    """The marked runs (with the selected one if a single other one is marked), else it and the best."""
    return runs_to_compare(selection.selected, selection.marked, selection.rows or [])
