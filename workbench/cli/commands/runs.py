"""Commands about existing runs: list, show, watch, stop, compare, evaluate, export."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from workbench.cli import console, follow, run_text
from workbench.cli.commands import groups
from workbench.cli.result_stream import user_output_on_stderr
from workbench.cli.run_argument import resolve_target_run, runs_and_logs
from workbench.cli.signals import SignalRecorder
from workbench.cli.tables import print_table
from workbench.cli.waiting import RunWaiter
from workbench.cli.watch_logs import watch_logs
from workbench.core import text
from workbench.core.errors import UserError
from workbench.core.exit_codes import DONE, FAILED, INTERRUPTED
from workbench.launcher import launch
from workbench.launcher.gpu_assignment import claimed_gpu
from workbench.launcher.queue import ensure_runner
from workbench.runs.class_comparison import (
    METRIC_TITLES,
    ClassComparison,
    compare_classes,
)
from workbench.runs.comparison import compare_runs, differing_keys, display_names
from workbench.runs.external_log import read_external_log
from workbench.runs.lookup import shortest_unique_ids
from workbench.runs.metric_ranges import MetricRanges
from workbench.runs.metrics import ClassMetric
from workbench.runs.reader import read_view
from workbench.runs.run_columns import RunColumn, parse_columns, sort_runs
from workbench.runs.run_command import later_changes, run_command
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_query import filter_runs
from workbench.runs.run_report import read_report
from workbench.runs.script import read_script
from workbench.runs.slurm_job import cancel_job
from workbench.runs.status import Status, status_of
from workbench.runs.store import RunSummary, Store

COLUMNS = ("run", "name", "status", "epoch", "test", "val", "newest", "dataset", "model", "started", "tags")
"""The columns that are listed by default."""
MAX_LISTED_CLASSES = 20
"""The classes of a comparison that are printed as text."""
OPTIONAL_COLUMNS = {"newest", "tags"}
"""Those of them that are left out where they are empty in every row."""


def runs(options: argparse.Namespace) -> int:
    """`workbench runs`."""
    store = Store.default()
    ensure_runner(store.home)
    every = store.list_runs()
    rows = filter_runs(options.filter, every)
    if options.json:
        console.print_json(rows)
        return DONE
    if every and not rows:
        console.print_status(f"No run matches '{options.filter}'.")
        return DONE
    if not rows:
        console.print_status("There are no runs yet; 'workbench train digits-mlp' starts one.")
        return DONE
    names = [name.strip() for name in options.columns.split(",") if name.strip()]
    columns = parse_columns(names or COLUMNS, rows)
    order = parse_columns([options.sort or "run"], rows)[0]
    if any(column.needs_ranges for column in (*columns, order)):
        rows = MetricRanges(store.folder).fill(rows)
    _print_runs(sort_runs(rows, order, reverse=options.reverse), names or list(COLUMNS), columns)
    return DONE


def _print_runs(rows: Sequence[RunSummary], names: Sequence[str], columns: Sequence[RunColumn]) -> None:
    """The table; on a terminal that is too narrow, columns of the default ones are left out, long ids are cut."""
    cells = {name: [column.text(row) for row in rows] for name, column in zip(names, columns, strict=True)}
    shown = [name for name in names if name not in OPTIONAL_COLUMNS or any(cells[name])]
    print_table(
        shown,
        [tuple(cells[name][number] or "-" for name in shown) for number in range(len(rows))],
        droppable=("model", "dataset", "started", "tags") if tuple(names) == COLUMNS else (),
        short_ids=shortest_unique_ids([row.id for row in rows]) if shown[0] == "run" else (),
    )


def show(options: argparse.Namespace) -> int:
    """`workbench show`."""
    with runs_and_logs(options.run) as folders:
        if options.commands:
            return _print_commands(folders)
        reports = [read_report(folder) for folder in folders]
    if options.json:
        documents = [report.to_json() for report in reports]
        console.print_json(documents[0] if len(documents) == 1 else documents)
        return DONE
    for report in reports:
        run_text.print_run_report(report)
    return DONE


def _print_commands(folders: Sequence[RunFolder]) -> int:
    """A line for each run: the command that starts it once more."""
    for folder in folders:
        console.print_result(run_command(folder))
        if changes := later_changes(folder):
            console.print_status(f"{folder.id} was changed later: {', '.join(changes)}")
    return DONE


def watch(options: argparse.Namespace) -> int:
    """`workbench watch`."""
    with runs_and_logs(options.run) as folders:
        logs = [folder for folder in folders if read_external_log(folder.experiment) is not None]
        if logs and len(logs) == len(folders):
            return watch_logs(logs)
        if len(folders) > 1:
            raise UserError("only one run, or only logs of other programs, can be watched at once")
        return _watch_run(folders[0])


def _watch_run(folder: RunFolder) -> int:
    with SignalRecorder() as signals:
        waiter = RunWaiter(folder, signals, owner=False)
        status = waiter.wait()
    if waiter.interrupted:
        return INTERRUPTED
    run_text.print_run_report(read_report(folder), with_notices=False)
    return DONE if status in {Status.FINISHED, Status.STOPPED} else FAILED


def stop(options: argparse.Namespace) -> int:
    """`workbench stop`: wait until the run has ended."""
    folder = resolve_target_run(options.run)
    queued = status_of(folder) is Status.QUEUED
    if options.now:
        console.print_status(f"{folder.id}: Slurm ends its job {cancel_job(folder)}")
    elif reason := launch.stop_run(folder):
        console.print_status(f"{reason}: {folder.id} can't read a request and was sent SIGTERM")
    elif queued and status_of(folder).ended:
        console.print_status(f"{folder.id} is taken out of the queue")
    else:
        after = "" if read_script(folder.experiment) else "writes a checkpoint and "
        console.print_status(f"{folder.id} {after}stops")
    try:
        follow.wait_for_end(folder)
    except KeyboardInterrupt:
        console.print_status(
            f"{folder.id} has its request and stops as soon as it can; 'workbench show {folder.id}' shows it"
        )
        raise
    report = read_report(folder)
    if options.json:
        console.print_json(report.to_json())
    else:
        console.print_result(
            f"{folder.id}: {report.status} at step {report.step}; resume it with 'workbench resume {folder.id}'"
        )
    return DONE


def compare(options: argparse.Namespace) -> int:
    """`workbench compare`: results and the settings that differ."""
    if options.groups is not None:
        return groups.compare(options)
    with runs_and_logs(options.run) as folders:
        if len({folder.id for folder in folders}) < max(2, len(folders)):
            raise UserError("compare needs at least two different runs: workbench compare last RUN")
        views = [read_view(folder) for folder in folders]
    comparison, classes = compare_runs(views), compare_classes(views)
    rows = [run.row for run in comparison]
    if options.json:
        per_class = [
            {"per_class_split": classes.split, "per_class": classes.to_json(number)} if classes.split else {}
            for number in range(len(rows))
        ]
        console.print_json([{**row, **more} for row, more in zip(rows, per_class, strict=True)])
        return DONE
    names = display_names(comparison)
    table = [(key, *(text.format_setting(row[key]) for row in rows)) for key in differing_keys(comparison)]
    print_table(("", *names), table)
    if classes.split:
        _print_classes(classes, options.by, names)
    return DONE


def _print_classes(classes: ClassComparison, metric: ClassMetric, names: Sequence[str]) -> None:
    """The classes with the largest differences; a narrow terminal shows the first runs."""
    compared = classes.classes(metric)
    console.print_result("")
    console.print_result(
        f"{METRIC_TITLES[metric]} of each class, {classes.split} data, and the difference to {names[0]}"
    )
    rows = [(one.name, *(value.text for value in one.values)) for one in compared[:MAX_LISTED_CLASSES]]
    print_table(("class", *names), rows, droppable=names[:1:-1])
    if len(compared) > MAX_LISTED_CLASSES:
        rest = text.plural(len(compared) - MAX_LISTED_CLASSES, "more class")
        console.print_status(f"{rest} with smaller differences; --json has all")


@user_output_on_stderr()
def evaluate(options: argparse.Namespace) -> int:
    """`workbench evaluate`."""
    folder = Store.default().find(options.run)
    with console.activity("importing PyTorch"):
        from workbench.inference.evaluate_run import evaluate_run

    progress = console.progress_printer()
    with claimed_gpu(f"evaluate {folder.id}", options.device) as device:
        evaluation = evaluate_run(
            folder, options.split, device, progress, options.data or "", raw=options.raw
        )
    if options.json:
        console.print_json(evaluation.to_json())
    else:
        run_text.print_evaluation(evaluation)
    return DONE


@user_output_on_stderr()
def export(options: argparse.Namespace) -> int:
    """`workbench export`."""
    folder = Store.default().find(options.run)
    with console.activity(f"exporting {options.format}"):
        from workbench.export import export_run

        path = export_run(folder, options.format, options.to)
    console.print_result(str(path))
    return DONE
