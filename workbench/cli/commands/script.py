"""`workbench run`: run a script, or any other command, as a run."""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import msgspec

from workbench.cli.commands.train import print_started, wait_and_report
from workbench.cli.queue_options import queue_options
from workbench.cli.signals import SignalRecorder
from workbench.cli.slurm_options import slurm_options
from workbench.cli.slurm_restart import continue_run, earlier_run
from workbench.cli.waiting import LAUNCHER, check_detached
from workbench.config.experiment import check_run_name
from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.launcher import launch
from workbench.runs.records import Notes
from workbench.runs.script import Script, script_name


def run(options: argparse.Namespace) -> int:
    """`workbench run -- COMMAND ARG…`."""
    script, queue = script_of(options), queue_options(options)
    slurm = slurm_options(options, queue)
    if queue is not None and not script.device:
        script = msgspec.structs.replace(script, device="auto")  # it takes its turn for one GPU, not for all
    if slurm is None:
        check_detached(options)
    notes = Notes(group=options.group, tags=tuple(options.tag))
    with SignalRecorder() as signals:
        if slurm is None and queue is None and (earlier := earlier_run(script)) is not None:
            since = time.time()
            continue_run(earlier, LAUNCHER, options)
            return wait_and_report(earlier, options, signals, since)
        folder = launch.start_script(
            script, LAUNCHER, notes, queue=slurm or queue, max_hours=options.max_hours
        )
        print_started(folder, "Started")
        return wait_and_report(folder, options, signals)


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
