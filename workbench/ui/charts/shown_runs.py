"""Which runs the charts show, and which of them repeat each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from workbench.runs.groups import group_runs
from workbench.runs.reader import RunView
from workbench.runs.store import RunSummary


def select_views(
    selected: RunView | None, others: Iterable[RunView], chosen: Collection[str], limit: int
) -> list[RunView]:
    """The views of the newest chosen runs, as far as they are read; with fewer than two the selected one first."""
    views = [view for view in others if view.folder.id in chosen]
    if selected is None or (len(chosen) > 1 and views):
        return views[-limit:]
    return [selected, *(view for view in views if view.folder.id != selected.folder.id)][:limit]


def repeats_among(shown: Sequence[str], rows: Iterable[RunSummary]) -> list[list[str]]:
    """The ids of the shown runs by the groups that repeat each other, in the order of the runs."""
    groups = [[row.id for row in group] for group in group_runs([row for row in rows if row.id in shown])]
    unlisted = [[run_id] for run_id in shown if not any(run_id in group for group in groups)]
    return sorted([*groups, *unlisted], key=lambda group: shown.index(group[0]))
