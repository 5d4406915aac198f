"""`workbench compare --groups`: repeats as one row each, and whether their differences are more than chance."""

from __future__ import annotations

import argparse

from workbench.cli import console
from workbench.cli.tables import print_table
from workbench.core import text
from workbench.core.errors import UserError
from workbench.core.exit_codes import DONE
from workbench.runs.groups import MIN_FOR_TEST, RunGroup, Statistics, compare_groups
from workbench.runs.run_query import filter_runs
from workbench.runs.store import RunSummary, Store

MAX_METRICS, MAX_DIFFERENCES = 6, 12
"""Of a text; JSON has everything."""


def compare(options: argparse.Namespace) -> int:
    """`workbench compare --groups [EXPR] [RUN…]`."""
    store = Store.default()
    rows = filter_runs(options.groups, _selected(store, options.run))
    if not rows:
        raise UserError(
            f"no run matches '{options.groups}'" if options.groups else f"there are no runs in {store.root}"
        )
    comparison = compare_groups(rows)
    if options.json:
        console.print_json(comparison)
        return DONE
    varied = list(comparison.groups[0].settings)
    metrics = list(dict.fromkeys(name for group in comparison.groups for name in group.metrics))[:MAX_METRICS]
    print_table(
        ("group", "runs", *metrics, *varied),
        [_cells(group, metrics, varied) for group in comparison.groups],
        droppable=(*reversed(varied), *reversed(metrics)),
    )
    small = {group.name for group in comparison.groups if group.n < MIN_FOR_TEST}
    differences = [
        one for one in comparison.differences if one.metric in metrics and not {one.first, one.second} & small
    ]
    for difference in differences[:MAX_DIFFERENCES]:
        console.print_result(f"{difference.first} → {difference.second}: {difference.conclusion}")
    if len(differences) > MAX_DIFFERENCES:
        console.print_result(
            f"and {len(differences) - MAX_DIFFERENCES} more comparisons: --json has them all"
        )
    if small and len(comparison.groups) > 1:
        console.print_result(f"Groups of fewer than {MIN_FOR_TEST} runs are too small for a comparison.")
    if len(differences) > 2:
        console.print_result("Of many comparisons some have a small p by chance.")
    return DONE


def _selected(store: Store, names: list[str]) -> list[RunSummary]:
    """The named runs, all of them without a name."""
    rows = store.list_runs()
    if not names:
        return rows
    ids = {store.find(name).id for name in names}
    return [row for row in rows if row.id in ids]


def _cells(group: RunGroup, metrics: list[str], varied: list[str]) -> tuple[str, ...]:
    figures = [_figure(group.metrics.get(name)) for name in metrics]
    settings = [text.format_setting(group.settings[name]) for name in varied]
    return group.name, str(len(group.runs)), *figures, *settings


def _figure(statistics: Statistics | None) -> str:
    return "-" if statistics is None else statistics.text
