"""`workbench train` and `workbench resume`: start a run in the background, then follow it or return."""

from __future__ import annotations

import argparse
import time

from workbench.cli import console, follow, run_text
from workbench.cli.run_argument import resolve_target_run
from workbench.cli.tables import print_table
from workbench.config.data_summary import experiment_data
from workbench.config.experiment import all_settings, build_experiment
from workbench.core.exit_codes import DONE, FAILED, INTERRUPTED
from workbench.core.setting_parser import parse_assignment
from workbench.core.text import format_setting
from workbench.launcher import launch
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status

LAUNCHER = "command line"


def train(options: argparse.Namespace) -> int:
    """`workbench train`."""
    if options.settings:
        return _list_settings(options)
    experiment = build_experiment(
        options.recipe, dataset=options.dataset, model=options.model, sets=options.set, name=options.name,
        device=options.device,
    )  # fmt: skip
    for remark in launch.start_warnings(experiment):
        console.print_status(remark)
    run_text.print_data(experiment_data(experiment))
    folder = launch.start_run(experiment, LAUNCHER)
    console.print_status(f"Started {folder.id} in the background.")
    return _wait_and_report(folder, options)


def resume(options: argparse.Namespace) -> int:
    """`workbench resume`."""
    folder = resolve_target_run(options.run, live=False)
    overrides, start = dict(parse_assignment(text) for text in options.set), time.time()
    for remark in launch.resume_warnings(folder, overrides):
        console.print_status(remark)
    launch.resume_run(
        folder, overrides, LAUNCHER,
        accept_changed_data=options.accept_changed_data, take_over=options.take_over,
        from_start=options.from_start, data=options.data or "",
    )  # fmt: skip
    console.print_status(f"Resumed {folder.id} in the background.")
    return _wait_and_report(folder, options, start)


def _wait_and_report(folder: RunFolder, options: argparse.Namespace, since: float = 0.0) -> int:
    if options.detach:
        if options.json:
            console.print_json(read_report(folder).to_json())
        else:
            console.print_result(folder.id)
        return DONE
    status, interrupted = follow.wait_or_stop(folder, since)
    report = read_report(folder)
    if options.json:
        console.print_json(report.to_json())
    else:
        run_text.print_run_report(report)
    if status is Status.FINISHED:
        return DONE
    if interrupted or status in {Status.STOPPED, Status.RUNNING}:
        return INTERRUPTED
    if options.json:
        console.print_status(f"workbench: {report.reason or f'the run is {status}'}")
    console.print_status(f"log: {folder.log}")
    return FAILED


def _list_settings(options: argparse.Namespace) -> int:
    rows = all_settings(options.dataset, options.model)
    if options.json:
        console.print_json(
            [
                {"key": r.key, "type": r.kind, "default": r.default, "choices": r.choices, "help": r.help}
                for r in rows
            ]
        )
        return DONE
    shown = [
        (r.key, r.kind if r.kind != "choice" else " ".join(r.choices), format_setting(r.default), r.help)
        for r in rows
    ]
    print_table(("setting", "type", "default", "description"), shown)
    console.print_status(
        "Datasets and models may override these defaults; add --dataset and --model to list their own options."
    )
    return DONE
