"""The options of commands that start runs: whether a run is queued or submitted, and when and where it may start."""

from __future__ import annotations

import argparse
import re
import time
from datetime import datetime, timedelta

from workbench.cli.console import print_status
from workbench.core.errors import UserError
from workbench.launcher.queue import QueueOptions
from workbench.launcher.slurm_script import DEFAULTS_FILE
from workbench.runs.status import status_of
from workbench.runs.store import Store
from workbench.runs.tickets import MAX_HOURS, MAX_TIME

UNITS = {"": 1e9, "m": 1e6, "mb": 1e6, "mib": 2**20, "g": 1e9, "gb": 1e9, "gib": 2**30}
LOCAL, SLURM = "local", "slurm"
"""Values of `--launcher`."""
SPANS = {"m": 60, "h": 3600, "d": 86400}


def add_queue_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `workbench train`, `run` and `resume`."""
    group = command.add_argument_group(
        "queue",
        "A queued run starts when a GPU or a CPU slot is free ('workbench queue' shows the queue). Without --detach "
        "this command waits; Ctrl-C takes the run out of the queue. The options below imply --queue.",
    )
    group.add_argument("--queue", action="store_true", help="wait for a free GPU, or a CPU slot without one")
    group.add_argument("--after", action="append", default=[], metavar="RUN", help="start when RUN has ended")
    group.add_argument(
        "--after-ok", action="append", default=[], metavar="RUN",
        help="start when RUN has finished; leave the queue if it does not succeed",
    )  # fmt: skip
    group.add_argument(
        "--at", metavar="TIME", help="earliest start: 18:30, 2026-12-24T18:30 or +2h (m, h, d)"
    )
    group.add_argument(
        "--memory",
        metavar="SIZE",
        help="GPU memory that the run needs, as 8GB (measured for --share)",
    )
    group.add_argument(
        "--share", action="store_true", help="share a GPU with runs that do so too, if the memory suffices"
    )
    command.add_argument(
        "--max-hours", type=float, default=0.0, metavar="H", help="checkpoint and stop after H hours"
    )


JOB_OF_RUN = (
    "The run is submitted as a batch job, by the script slurm.sh in its folder, which you may change. Before its "
    "time limit, or if another job needs its nodes, it writes a checkpoint, goes back into the queue and continues."
)
JOBS_OF_SWEEP = (
    "The workers are submitted as the tasks of an array, by the script slurm.sh in the folder of the sweep, which you "
    "may change. Before its time limit, or if another job needs its node, a worker stops its trial after a checkpoint "
    "and goes back into the queue; the trial continues there, or with another worker."
)


def add_slurm_options(command: argparse.ArgumentParser, description: str = JOB_OF_RUN) -> None:
    """Add the options of `workbench train`, `run`, `resume` and `sweep`."""
    group = command.add_argument_group(
        "Slurm", f"{description} Defaults are in {DEFAULTS_FILE} in the folder of workbench (see the README)."
    )
    group.add_argument(
        "--launcher", choices=(LOCAL, SLURM), help="start it on this host (default), or submit it to Slurm"
    )
    group.add_argument(
        "--slurm", action="append", default=[], metavar="KEY=VALUE",
        help="an option of sbatch: partition, time, gres, account, … (repeatable; implies --launcher slurm)",
    )  # fmt: skip


def add_variant_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `workbench train` that start several runs."""
    group = command.add_argument_group("several runs", "They are queued, as one group.")
    group.add_argument(
        "--repeat", type=int, metavar="N", help="N runs with the seeds seed, seed+1, … seed+N-1"
    )
    group.add_argument(
        "--folds", type=int, metavar="K",
        help="cross-validation: K runs, each tested on another of K parts of the data (train.folds)",
    )  # fmt: skip
    group.add_argument(
        "--grid", action="append", default=[], metavar="KEY=V1,V2,…",
        help="a run for each value, or combination if repeated; values with commas are separated by |",
    )  # fmt: skip
    group.add_argument(
        "--dry-run", action="store_true", help="list the runs and the time they take; start nothing"
    )


def add_queue_actions(
    command: argparse.ArgumentParser, parser_class: type[argparse.ArgumentParser], run_help: str
) -> None:
    """Add the actions of `workbench queue`."""
    actions = command.add_subparsers(metavar="ACTION", parser_class=parser_class)

    def add(name: str, function: str, summary: str, *, run: bool = True) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=summary, description=summary)
        action.set_defaults(command=f"queue:{function}")
        action.add_argument("--json", action="store_true", help="print the queue as one JSON document")
        if run:
            action.add_argument("run", metavar="RUN", help=run_help)
        return action

    places = "up, down, first, last or a position from 1"
    move = add("move", "move", "move a run in the queue")
    move.add_argument("where", metavar="up|down|first|last|POSITION", help=places)
    add("hold", "hold", "keep a run from starting")
    add("release", "release", "let a held run start when its turn has come")
    change = add("set", "change", "change train.* settings of a run that waits")
    change.add_argument("settings", nargs="+", metavar="KEY=VALUE", help="a setting, as of resume --set")
    slots = add("slots", "slots", "show or change how many queued runs use the CPU at once", run=False)
    slots.add_argument("count", nargs="?", type=int, metavar="N", help="the new number")


def queue_options(options: argparse.Namespace) -> QueueOptions | None:
    """How the run is queued; `None` for a run that starts at once. Raises `UserError`."""
    if not 0 <= options.max_hours <= MAX_HOURS:
        raise UserError(f"--max-hours must be a number of hours, not {options.max_hours}")
    implied = options.after or options.after_ok or options.share
    if not (options.queue or implied or options.at is not None or options.memory is not None):
        return None
    store = Store.default()
    for folder in map(store.find, options.after):
        if status_of(folder).ended:
            print_status(f"{folder.id} has ended already, so --after does not wait for it")
    return QueueOptions(
        after=tuple(store.find(run).id for run in options.after),
        after_ok=tuple(store.find(run).id for run in options.after_ok),
        not_before=parse_time(options.at, time.time()) if options.at is not None else 0.0,
        memory=parse_memory(options.memory) if options.memory is not None else 0,
        share=options.share,
    )


def parse_time(text: str, now: float) -> float:
    """The Unix time that `18:30` (the next one), `2026-12-24T18:30` or `+2h` means at the time `now`.

    Raises `UserError`.
    """
    moment = _moment(text.strip(), now)
    if moment is None or not 0 < moment <= MAX_TIME:
        raise UserError(f"--at: '{text}' is not a time: write 18:30, 2026-12-24T18:30 or +2h")
    if moment < now:
        raise UserError(f"--at: {text.strip()} has passed already")
    return moment


def _moment(stripped: str, now: float) -> float | None:
    today = datetime.fromtimestamp(now)
    if match := re.fullmatch(r"\+\s*(\d+(?:\.\d+)?)\s*([mhd])", stripped):
        return now + float(match[1]) * SPANS[match[2]]
    if match := re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", stripped):
        hour, minute, second = (int(part or 0) for part in match.groups())
        if hour < 24 and minute < 60 and second < 60:
            moment = today.replace(hour=hour, minute=minute, second=second, microsecond=0)
            return (moment if moment > today else moment + timedelta(days=1)).timestamp()
    try:
        return datetime.fromisoformat(stripped).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def parse_memory(text: str) -> int:
    """The bytes that `8GB`, `8` (gigabytes), `7.5GiB` or `500MB` means. Raises `UserError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in UNITS or not 0 < float(match[1]) < 1e6:
        raise UserError(f"--memory: '{text}' is not a size: write 8GB, 7.5GiB or 500MB")
    return round(float(match[1]) * UNITS[match[2]])
