"""`workbench run`: run a script, or any other command, as a run."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import msgspec

from workbench.cli.commands.train import print_started, wait_and_report
from workbench.cli.process_options import (
    check_starts_at_once,
    node_placement,
    print_joined,
    print_placement,
    read_count,
)
from workbench.cli.queue_options import queue_options
from workbench.cli.signals import SignalRecorder
from workbench.cli.slurm_options import slurm_options
from workbench.cli.slurm_restart import continue_run, earlier_run
from workbench.cli.waiting import LAUNCHER, check_detached
from workbench.config.experiment import check_run_name
from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.launcher import launch
from workbench.runs.nodes import SINGLE_NODE, Placement
from workbench.runs.records import Notes
from workbench.runs.script import Script, script_name


def run(options: argparse.Namespace) -> int:
    """`workbench run -- COMMAND ARG…`."""
    script, placement = script_of(options), script_placement(options)
    if placement.nodes > 1:
        check_starts_at_once(options)
    queue = queue_options(options)
    slurm = slurm_options(options, queue)
    if queue is not None and not script.device:
        script = msgspec.structs.replace(script, device="auto")  # it takes its turn for one GPU, not for all
    if slurm is None:
        check_detached(options)
    notes = Notes(group=options.group, tags=tuple(options.tag))
    with SignalRecorder() as signals:
        starts_here = slurm is None and queue is None and not placement.joins
        if starts_here and (earlier := earlier_run(script)) is not None:
            since = time.time()
            continue_run(earlier, LAUNCHER, options, placement=placement)
            return wait_and_report(earlier, options, signals, since)
        folder = launch.start_script(
            script, LAUNCHER, notes, queue=slurm or queue, max_hours=options.max_hours, placement=placement
        )
        if placement.joins:
            print_joined(placement, folder)
            return wait_and_report(folder, options, signals)
        print_started(folder, "Started")
        if placement.nodes > 1:
            print_placement(placement)
        return wait_and_report(folder, options, signals)


def script_placement(options: argparse.Namespace) -> Placement:
    """Where the options of `workbench run` say that the script runs. Raises `UserError`."""
    placement = node_placement(options)
    if placement is None:
        if options.processes is not None:
            raise UserError(
                "--processes is for several nodes; on one host use torchrun: "
                f"workbench run -- torchrun --nproc-per-node {options.processes} …"
            )
        return SINGLE_NODE
    count = 1 if options.processes is None else read_count("--processes", options.processes)
    return msgspec.structs.replace(placement, processes=count)


def script_of(options: argparse.Namespace) -> Script:
    """The script that the options of `workbench run` describe. Raises `UserError`."""
    if not (math.isfinite(options.grace) and options.grace >= 0):
        raise UserError(f"--grace must be a number of seconds, not {options.grace}")
    name = check_run_name(options.name) if options.name else script_name(options.argv)
    return Script(
        command=tuple(options.argv),
        name=name,
        working_directory=str(expand_user_path(options.cwd).absolute() if options.cwd else Path.cwd()),
        device=options.device,
        logs=tuple(str(expand_user_path(path).absolute()) for path in options.logs),
        pty=options.pty,
        grace_seconds=options.grace,
    )
