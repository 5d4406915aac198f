"""`workbench train` and `workbench resume`: start a run in the background, then follow it or return."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Sequence

import msgspec

from workbench.cli import console, run_text
from workbench.cli.commands import many
from workbench.cli.commands.plan import make_plan
from workbench.cli.process_options import (
    check_starts_at_once,
    node_placement,
    print_joined,
    print_placement,
    process_sets,
    with_command,
)
from workbench.cli.queue_options import LOCAL, queue_options
from workbench.cli.run_argument import resolve_target_run
from workbench.cli.signals import SignalRecorder, wait_for_orphans
from workbench.cli.slurm_options import slurm_options, slurm_sets
from workbench.cli.slurm_restart import continue_run, earlier_run
from workbench.cli.tables import print_table
from workbench.cli.waiting import LAUNCHER, RunWaiter, check_detached
from workbench.config.data_summary import experiment_data
from workbench.config.experiment import Experiment, all_settings, build_experiment, read_experiment
from workbench.config.process_count import process_count
from workbench.config.variants import make_variants
from workbench.core.errors import UserError
from workbench.core.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED
from workbench.core.setting_parser import parse_assignment
from workbench.core.text import format_setting
from workbench.launcher import launch
from workbench.launcher.slurm import has_own_script
from workbench.runs.enums import Cause
from workbench.runs.nodes import Placement, read_placement
from workbench.runs.queue_state import read_waiting
from workbench.runs.records import Notes
from workbench.runs.run_command import run_command
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.script import read_script
from workbench.runs.slurm_job import read_job
from workbench.runs.status import Status

CONTEXT_BYTES = 600_000_000
"""What a process on a GPU needs besides its tensors."""


def train(options: argparse.Namespace) -> int:
    """`workbench train`."""
    if options.settings:
        return _list_settings(options)
    if (placement := node_placement(options)) is not None:
        return _train_on_nodes(options, placement)
    experiment = experiment_of(options)
    variants = make_variants(
        lambda sets: experiment_of(options, sets),
        options.grid,
        1 if options.repeat is None else options.repeat,
    )
    if options.dry_run:
        return many.dry_run(options, variants)
    queue = queue_options(options)
    slurm = slurm_options(options, queue)
    for remark in launch.start_warnings(experiment, here=slurm is None):
        console.print_status(remark)
    run_text.print_data(experiment_data(experiment))
    if slurm is not None:
        from workbench.cli.commands.fetch import fetch_for_nodes

        fetch_for_nodes(experiment)
    else:
        check_detached(options)
    if queue is not None and queue.share and not queue.memory:
        memory = _measure_memory(experiment)
        queue = msgspec.structs.replace(queue, memory=memory, share=memory > 0)
    if options.grid or options.repeat is not None or len(variants) > 1:
        return many.train_many(options, experiment.name, variants, slurm or queue)
    with SignalRecorder() as signals:
        if slurm is None and queue is None and (earlier := earlier_run(experiment)) is not None:
            since = time.time()
            continue_run(earlier, LAUNCHER, options)
            return wait_and_report(earlier, options, signals, since)
        folder = launch.start_run(
            experiment,
            LAUNCHER,
            notes=Notes(group=options.group, tags=tuple(options.tag)),
            queue=slurm or queue,
            max_hours=options.max_hours,
        )
        print_started(folder, "Started")
        return wait_and_report(folder, options, signals)


def _train_on_nodes(options: argparse.Namespace, placement: Placement) -> int:
    """Start a run on several nodes, or join it where another host is the first of them."""
    check_starts_at_once(options, "dry_run")
    experiment = experiment_of(options)
    if process_count(experiment.train) == 1:
        experiment = experiment_of(options, [f"train.processes={placement.nodes}"])
    for remark in launch.start_warnings(experiment, placement=placement):
        console.print_status(remark)
    run_text.print_data(experiment_data(experiment))
    check_detached(options)
    with SignalRecorder() as signals:
        if placement.joins:
            return _join(experiment, options, placement, signals)
        if (earlier := earlier_run(experiment)) is not None:
            since = time.time()
            continue_run(earlier, LAUNCHER, options, placement=placement)
            return wait_and_report(earlier, options, signals, since)
        notes = Notes(group=options.group, tags=tuple(options.tag))
        folder = launch.start_run(
            experiment, LAUNCHER, notes=notes, max_hours=options.max_hours, placement=placement
        )
        print_started(folder, "Started")
        print_placement(placement)
        return wait_and_report(folder, options, signals)


def _join(
    experiment: Experiment, options: argparse.Namespace, placement: Placement, signals: SignalRecorder
) -> int:
    folder = launch.join_run(experiment, LAUNCHER, placement)
    print_joined(placement, folder)
    return wait_and_report(folder, options, signals)


def _measure_memory(experiment: Experiment) -> int:
    """The bytes of GPU memory that a run needs, by a few steps of it; 0 without a GPU. Raises `UserError`."""
    measured = make_plan(experiment, " to measure its memory (or say it: --memory 8GB)").memory["device"]
    return measured + CONTEXT_BYTES if measured else 0


def print_started(folder: RunFolder, verb: str) -> None:
    """Say that a run works in the background, or waits in the queue, or in Slurm's."""
    waiting, job = read_waiting(folder), read_job(folder)
    if job is not None:
        waits = f"; it waits for {waiting.text}" if waiting else ""
        console.print_status(f"Submitted {folder.id} as Slurm job {job.job}{waits}.")
    elif waiting is not None:
        console.print_status(
            f"Queued {folder.id} at position {waiting.position}; it waits for {waiting.text}."
        )
    else:
        console.print_status(f"{verb} {folder.id} in the background.")


def experiment_of(options: argparse.Namespace, sets: Sequence[str] = ()) -> Experiment:
    """The experiment that the options of `workbench train` describe, with more settings. Raises `UserError`."""
    return build_experiment(
        options.recipe, dataset=options.dataset, model=options.model, name=options.name, device=options.device,
        sets=[*slurm_sets(options), *options.set, *process_sets(options), *fold_sets(options), *sets],
    )  # fmt: skip


def fold_sets(options: argparse.Namespace) -> list[str]:
    """The setting of `--folds`; other commands that describe an experiment have no such option. Raises `UserError`."""
    folds: int | None = getattr(options, "folds", None)
    if folds is not None and folds < 2:
        raise UserError(f"--folds must be at least 2, not {folds}")
    return [] if folds is None else [f"train.folds={folds}"]


def resume(options: argparse.Namespace) -> int:
    """`workbench resume`."""
    placement = node_placement(options, may_be_one=True)
    folder = resolve_target_run(options.run, live=False)
    if placement is not None and placement.nodes > 1:
        check_starts_at_once(options)
        placement = with_command(placement, run_command(folder), read_placement(folder).processes)
        if placement.joins:
            return _join_resumed(folder, options, placement)
    overrides, start = dict(parse_assignment(text) for text in options.set), time.time()
    queue = queue_options(options)
    slurm = slurm_options(options, queue, again=read_job(folder) is not None)
    without_slurm = options.launcher == LOCAL or queue is not None
    if slurm is None and (without_slurm or read_job(folder) is None):
        check_detached(options)
    elif has_own_script(folder):
        console.print_status(f"{folder.slurm_script} was changed, and is submitted as it is.")
    with SignalRecorder() as signals:
        launch.resume_run(
            folder, overrides, LAUNCHER,
            accept_changed_data=options.accept_changed_data, take_over=options.take_over,
            from_start=options.from_start, data=options.data or "", queue=slurm or queue, max_hours=options.max_hours,
            without_slurm=without_slurm, placement=placement, progress=console.progress_printer(),
            announce=lambda remark: console.print_status(f"{remark[0].upper()}{remark[1:].rstrip('.')}."),
        )  # fmt: skip
        print_started(folder, "Resumed")
        if (now := read_placement(folder)).nodes > 1:
            print_placement(now)
        return wait_and_report(folder, options, signals, start)


def _join_resumed(folder: RunFolder, options: argparse.Namespace, placement: Placement) -> int:
    """Join the run, which the first node resumes, with the experiment that it has on the disk of both."""
    if (script := read_script(folder.experiment)) is not None:
        before = read_placement(folder)
        placement = msgspec.structs.replace(placement, processes=before.processes)
        with SignalRecorder() as signals:
            return wait_and_report(
                launch.start_script(script, LAUNCHER, placement=placement), options, signals
            )
    experiment = read_experiment(folder.experiment)
    if experiment is None:
        raise UserError(f"{folder.experiment} can't be read: join with the command of its start")
    check_detached(options)
    with SignalRecorder() as signals:
        return _join(experiment, options, placement, signals)


def wait_and_report(
    folder: RunFolder, options: argparse.Namespace, signals: SignalRecorder, since: float = 0.0
) -> int:
    """Follow a run to its end, or leave it (`--detach`), and print its report; returns the exit code."""
    if options.detach:
        if options.json:
            console.print_json(read_report(folder).to_json())
        else:
            console.print_result(folder.id)
        return DONE
    waiter = RunWaiter(folder, signals, owner=True, since=since)
    status = waiter.wait()
    wait_for_orphans()
    report = read_report(folder)
    with contextlib.suppress(OSError) if waiter.interrupted else contextlib.nullcontext():
        if options.json:
            console.print_json(report.to_json())
        else:
            run_text.print_run_report(report, with_notices=False)
    if report.refused is not None:
        console.print_status(f"workbench: not resumed: {report.refused}")
        return BAD_INPUT
    if status is Status.FINISHED and not waiter.withdrawn:
        return DONE
    if waiter.interrupted or status in {Status.STOPPED, Status.RUNNING, Status.QUEUED}:
        return INTERRUPTED
    bad_input = report.cause is Cause.INVALID_INPUT
    if options.json or bad_input:
        console.print_status(f"workbench: {report.reason or f'the run is {status}'}")
    console.print_status(f"log: {folder.log}")
    return BAD_INPUT if bad_input else FAILED


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
