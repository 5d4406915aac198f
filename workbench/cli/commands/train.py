"""`workbench train` and `workbench resume`: start in the background, then wait or leave."""

from __future__ import annotations

import argparse
import time

from workbench.cli import console, follow, run_text
from workbench.cli.run_argument import to_change
from workbench.config.experiment import all_settings, build
from workbench.core.exit_codes import DONE, FAILED, INTERRUPTED
from workbench.core.settings_schema import assignment
from workbench.core.text import setting
from workbench.launcher import launch
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import report_of
from workbench.runs.status import Status

LAUNCHER = "command line"


def train(options: argparse.Namespace) -> int:
    """`workbench train`."""
    if options.settings:
        return _settings(options)
    experiment = build(
        options.recipe, dataset=options.dataset, model=options.model, sets=options.set, name=options.name,
        device=options.device,
    )  # fmt: skip
    for remark in launch.remarks(experiment):
        console.say(remark)
    folder = launch.start(experiment, LAUNCHER)
    console.say(f"{folder.id} is training in the background")
    return _wait_and_tell(folder, options)


def resume(options: argparse.Namespace) -> int:
    """`workbench resume`."""
    folder = to_change(options.run, live=False)
    overrides, began = dict(assignment(text) for text in options.set), time.time()
    launch.resume(
        folder, overrides, LAUNCHER,
        accept_changed_data=options.accept_changed_data, take_over=options.take_over,
        from_start=options.from_start,
    )  # fmt: skip
    console.say(f"{folder.id} goes on in the background")
    return _wait_and_tell(folder, options, began)


def _wait_and_tell(folder: RunFolder, options: argparse.Namespace, since: float = 0.0) -> int:
    if options.detach:
        if options.json:
            console.print_json(report_of(folder).to_json())
        else:
            console.tell(folder.id)
        return DONE
    status, interrupted = follow.wait_or_stop(folder, since)
    report = report_of(folder)
    if options.json:
        console.print_json(report.to_json())
    else:
        run_text.tell_result(report)
    if status is Status.FINISHED:
        return DONE
    if interrupted or status in {Status.STOPPED, Status.RUNNING}:
        return INTERRUPTED
    if options.json:
        console.say(f"workbench: {report.reason or f'the run is {status}'}")
    console.say(f"its log: {folder.log}")
    return FAILED


def _settings(options: argparse.Namespace) -> int:
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
        (r.key, r.kind if r.kind != "choice" else " ".join(r.choices), setting(r.default), r.help)
        for r in rows
    ]
    console.print_table(("setting", "type", "default", "what it is"), shown)
    console.say(
        "Defaults of a dataset and a model come before these; --dataset and --model list their own options."
    )
    return DONE
