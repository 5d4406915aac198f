"""Commands about existing runs: list, show, watch, stop, compare, evaluate, export."""

from __future__ import annotations

import argparse

from workbench.cli import console, follow, run_text
from workbench.cli.run_argument import to_change
from workbench.core import text
from workbench.core.errors import BadInput
from workbench.core.exit_codes import DONE, FAILED
from workbench.launcher import launch
from workbench.runs.comparison import compare_runs, differing, names_of
from workbench.runs.enums import Phase
from workbench.runs.lookup import beginnings
from workbench.runs.run_report import report_of
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store

COLUMNS = ("run", "name", "status", "epoch", "best", "dataset", "model", "started")


def runs(options: argparse.Namespace) -> int:
    """`workbench runs`."""
    rows = Store.default().rows()
    if options.json:
        console.print_json(rows)
        return DONE
    if not rows:
        console.say("there are no runs yet: workbench train digits-mlp makes one")
        return DONE
    console.print_table(
        (*COLUMNS, "tags") if any(row.tags for row in rows) else COLUMNS,
        [_cells(row) for row in rows],
        spare=("model", "dataset", "started", "tags"),
        brief=beginnings([row.id for row in rows]),
    )
    return DONE


def _cells(row: RunSummary) -> tuple[str, ...]:
    status = row.phase if row.phase is Phase.PAUSED else row.status
    started, epoch = text.clock(row.created), f"{row.epoch}/{row.epochs_total}"
    return row.id, row.name, status, epoch, _best(row), row.dataset, row.model, started, ", ".join(row.tags)


def _best(row: RunSummary) -> str:
    """The best monitored metric; of a run without validation data its newest on test data, labelled so."""
    loss = "loss " if row.monitor == "loss" and (row.best is not None or row.test is not None) else ""
    test = "test " if row.test is not None else ""
    return test + loss + text.fraction(row.test if row.best is None else row.best)


def show(options: argparse.Namespace) -> int:
    """`workbench show`."""
    report = report_of(Store.default().find(options.run))
    if options.json:
        console.print_json(report.to_json())
    else:
        run_text.tell_result(report)
    return DONE


def watch(options: argparse.Namespace) -> int:
    """`workbench watch`."""
    folder = Store.default().find(options.run)
    status = follow.Follower(folder).follow()
    run_text.tell_result(report_of(folder))
    return DONE if status in {Status.FINISHED, Status.STOPPED} else FAILED


def stop(options: argparse.Namespace) -> int:
    """`workbench stop`: returns when the run has ended."""
    folder = to_change(options.run)
    if why := launch.stop(folder):
        console.say(f"{why}: {folder.id} can't be asked there and was sent SIGTERM")
    else:
        console.say(f"{folder.id} writes a checkpoint and stops")
    follow.wait_for_end(folder)
    report = report_of(folder)
    if options.json:
        console.print_json(report.to_json())
    else:
        console.tell(
            f"{folder.id}: {report.status} at step {report.step}; 'workbench resume {folder.id}' continues it"
        )
    return DONE


def compare(options: argparse.Namespace) -> int:
    """`workbench compare`: results, and the settings that differ."""
    store = Store.default()
    folders = [store.find(name) for name in options.run]
    if len({folder.id for folder in folders}) < max(2, len(folders)):
        raise BadInput("compare takes two different runs or more: workbench compare last RUN")
    compared = compare_runs(folders)
    rows = [run.values for run in compared]
    if options.json:
        console.print_json(rows)
        return DONE
    table = [(key, *(text.setting(row[key]) for row in rows)) for key in differing(compared)]
    console.print_table(("", *names_of(compared)), table)
    return DONE


def evaluate(options: argparse.Namespace) -> int:
    """`workbench evaluate`."""
    from workbench.inference.evaluate_run import evaluate_run

    folder = Store.default().find(options.run)
    evaluation = evaluate_run(folder, options.split, options.device, console.progress_printer())
    if options.json:
        console.print_json(evaluation.to_json())
    else:
        run_text.tell_evaluation(evaluation)
    return DONE


def export(options: argparse.Namespace) -> int:
    """`workbench export`."""
    from workbench.export import export_run

    console.tell(str(export_run(Store.default().find(options.run), options.format, options.to)))
    return DONE
