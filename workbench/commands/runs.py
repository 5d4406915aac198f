"""Commands about runs that are there: list, show, follow, stop, put away, compare, measure again, export."""

from __future__ import annotations

import argparse

import msgspec

from workbench import console, telling, text
from workbench.commands import DONE, FAILED
from workbench.commands.choosing import to_change
from workbench.errors import BadInput
from workbench.runs import launch
from workbench.runs.compare import compare_runs, differing, names_of
from workbench.runs.control import PAUSED
from workbench.runs.finding import beginnings
from workbench.runs.report import describe
from workbench.runs.status import Status
from workbench.runs.store import RunSummary, Store

COLUMNS = ("run", "name", "status", "epoch", "best", "dataset", "model", "started")


def runs(options: argparse.Namespace) -> int:
    """`workbench runs`."""
    rows = Store.default().rows()
    if options.json:
        console.print_json([msgspec.to_builtins(row) for row in rows])
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
    status = PAUSED if row.phase == PAUSED else row.status
    started, epoch = text.clock(row.created), f"{row.epoch}/{row.epochs_total}"
    return row.id, row.name, status, epoch, _best(row), row.dataset, row.model, started, ", ".join(row.tags)


def _best(row: RunSummary) -> str:
    """The best monitored figure; of a run without validation data its newest on test data, and said to be that."""
    loss = "loss " if row.monitor == "loss" and (row.best is not None or row.test is not None) else ""
    test = "test " if row.test is not None else ""
    return test + loss + text.fraction(row.test if row.best is None else row.best)


def show(options: argparse.Namespace) -> int:
    """`workbench show`."""
    document = describe(Store.default().find(options.run))
    if options.json:
        console.print_json(document)
    else:
        telling.tell_result(document)
    return DONE


def watch(options: argparse.Namespace) -> int:
    """`workbench watch`."""
    folder = Store.default().find(options.run)
    status = console.Follower(folder).follow()
    telling.tell_result(describe(folder))
    return DONE if status in {Status.FINISHED, Status.STOPPED} else FAILED


def stop(options: argparse.Namespace) -> int:
    """`workbench stop`: returns when the run has ended."""
    folder = to_change(options.run)
    if why := launch.stop(folder):
        console.say(f"{why}: {folder.id} can't be asked there and was sent SIGTERM")
    else:
        console.say(f"{folder.id} writes a checkpoint and stops")
    console.wait_for_end(folder)
    document = describe(folder)
    if options.json:
        console.print_json(document)
    else:
        console.tell(
            f"{folder.id}: {document['status']} at step {document['step']}; 'workbench resume {folder.id}' goes on"
        )
    return DONE


def compare(options: argparse.Namespace) -> int:
    """`workbench compare`: results, and the settings that differ."""
    store = Store.default()
    folders = [store.find(name) for name in options.run]
    if len({folder.id for folder in folders}) < max(2, len(folders)):
        raise BadInput("compare takes two different runs or more: workbench compare last RUN")
    rows = compare_runs(folders)
    if options.json:
        console.print_json(rows)
        return DONE
    table = [(key, *(text.setting(row[key]) for row in rows)) for key in differing(rows)]
    console.print_table(("", *names_of(rows)), table)
    return DONE


def evaluate(options: argparse.Namespace) -> int:
    """`workbench evaluate`."""
    from workbench.inference.evaluate import evaluate_run

    folder = Store.default().find(options.run)
    document = evaluate_run(folder, options.split, options.device, console.progress_printer())
    if options.json:
        console.print_json(document)
    else:
        telling.tell_evaluation(document)
    return DONE


def export(options: argparse.Namespace) -> int:
    """`workbench export`."""
    from workbench.export import export_run

    console.tell(str(export_run(Store.default().find(options.run), options.format, options.to)))
    return DONE
