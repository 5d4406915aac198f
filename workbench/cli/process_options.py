"""The options of commands that train in several processes and on several nodes."""

from __future__ import annotations

import argparse
import sys

from msgspec.structs import replace

from workbench.cli.console import print_status
from workbench.core.errors import UserError
from workbench.core.text import plural
from workbench.launcher.placement import DEFAULT_PORT, MAX_NODES, make_placement
from workbench.runs.nodes import NODE_TIMEOUT, SINGLE_NODE, Placement
from workbench.runs.run_folder import RunFolder
from workbench.system.gpu import read_inventory

MAX_PROCESSES = 1024


def add_process_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `workbench train` and `plan`."""
    group = command.add_argument_group(
        "several processes",
        "They train one run together (DistributedDataParallel): each step has the same samples as in one process, "
        "divided among them. --device cuda:0,1 chooses the GPUs.",
    )
    group.add_argument("--gpus", metavar="N|all", help="train on N GPUs, or all, with a process for each")
    group.add_argument("--processes", metavar="N", help="train in N processes on the CPU")


def add_node_options(command: argparse.ArgumentParser, *, of_script: bool = False) -> None:
    """Add the options of commands that start runs; `of_script`: of `workbench run`."""
    group = command.add_argument_group(
        "several nodes",
        "Execute the same command on each of the nodes. The one that has the address of --rdzv is the first: it has "
        "the run. Processes and GPUs are counted on each node.",
    )
    group.add_argument("--nnodes", metavar="M", help="train on M hosts together")
    group.add_argument(
        "--rdzv", metavar="HOST:PORT",
        help=f"where they meet: an address of the first node, and a free port (default: {DEFAULT_PORT})",
    )  # fmt: skip
    group.add_argument(
        "--node-timeout", type=float, metavar="SECONDS",
        help="how long to wait for a node that is late or lost before the run ends "
        f"(default: {NODE_TIMEOUT:.0f})",
    )  # fmt: skip
    if of_script:
        group.add_argument(
            "--processes",
            metavar="N",
            help="how often torchrun starts the command on each node (default: 1)",
        )


def node_placement(options: argparse.Namespace, *, may_be_one: bool = False) -> Placement | None:
    """Where the options say that a run trains; `None` where they say nothing. Raises `UserError`.

    `may_be_one`: whether `--nnodes 1` may bring a run back to one host.
    """
    if options.nnodes is None:
        for option, value in (("--rdzv", options.rdzv), ("--node-timeout", options.node_timeout)):
            if value is not None:
                raise UserError(f"{option} is for several nodes: add --nnodes M")
        return None
    nodes = _node_count(options.nnodes, may_be_one=may_be_one)
    timeout = NODE_TIMEOUT if options.node_timeout is None else options.node_timeout
    if not 0 < timeout < 1e9:
        raise UserError(f"--node-timeout must be a number of seconds, not {timeout:g}")
    if nodes == 1:
        return SINGLE_NODE
    if options.rdzv is None:
        raise UserError(f"--nnodes {nodes} needs --rdzv HOST:PORT, an address of the first node")
    return make_placement(nodes, options.rdzv, timeout, ["workbench", *sys.argv[1:]])


def _node_count(text: str, *, may_be_one: bool) -> int:
    least = 1 if may_be_one else 2
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    if count == 1 and not may_be_one:
        raise UserError("--nnodes 1 is this host alone: leave --nnodes and --rdzv out")
    if not least <= count <= MAX_NODES:
        raise UserError(f"--nnodes must be a number from {least} to {MAX_NODES}, not '{text}'")
    return count


def check_starts_at_once(options: argparse.Namespace, *others: str) -> None:
    """Raise `UserError` where several nodes are combined with options of runs that start later, or of several runs."""
    for option in ("queue", "after", "after_ok", "at", "share", "memory", "slurm", "repeat", "grid", *others):
        if getattr(options, option, None) not in (None, False, []):
            name = option.replace("_", "-")
            raise UserError(f"--nnodes and --{name} can't be combined: a run on several nodes starts at once")
    if options.launcher not in {None, "local"}:
        raise UserError(
            "--nnodes and --launcher slurm can't be combined: use srun workbench train … in a batch script"
        )


def with_command(placement: Placement, start: str, processes: int) -> Placement:
    """The placement of a resume: other nodes join by the command `start`, which needs nothing of the run's folder.

    `processes`: of a script, on each node.
    """
    options = f"--nnodes {placement.nodes} --rdzv {placement.address}"
    if processes > 1:
        options += f" --processes {processes}"
    before, separator, after = start.partition(" -- ")
    return replace(placement, command=f"{before} {options}{separator}{after}", processes=processes)


def print_placement(placement: Placement) -> None:
    """Say what is to be executed on the other nodes."""
    others = placement.nodes - 1
    where = "the other node" if others == 1 else f"each of the other {plural(others, 'node')}"
    print_status(f"On {where}: {placement.command}")


def print_joined(placement: Placement, folder: RunFolder) -> None:
    """Say what this host is, and where to see what it does."""
    print_status(
        f"This host is a node of the run at {placement.address}, where its progress is shown; "
        f"what happens here is in {folder.path}."
    )


def process_sets(options: argparse.Namespace) -> list[str]:
    """The settings (`KEY=VALUE`) that these options mean. Raises `UserError`."""
    if options.gpus is None and options.processes is None:
        return []
    nodes = _node_count(options.nnodes, may_be_one=False) if getattr(options, "nnodes", None) else 1
    if options.gpus is not None and options.processes is not None:
        raise UserError("--gpus and --processes can't be combined: each GPU has a process of its own")
    option = "--gpus" if options.gpus is not None else "--processes"
    if options.device is not None:
        raise UserError(
            f"{option} and --device can't be combined: --device cuda:0,1 trains on these GPUs, "
            "--processes on the CPU, --gpus on any GPUs"
        )
    if options.gpus is None:
        return [f"train.processes={nodes * read_count(option, options.processes)}", "train.device=cpu"]
    count = (
        max(1, len(read_inventory().usable)) if options.gpus == "all" else read_count(option, options.gpus)
    )
    return [f"train.processes={nodes * count}", "train.device=cuda"]


def read_count(option: str, text: str) -> int:
    """The number of processes or GPUs that an option gives. Raises `UserError`."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_PROCESSES:
        also = " or all" if option == "--gpus" else ""
        raise UserError(f"{option} must be a number from 1 to {MAX_PROCESSES}{also}, not '{text}'")
    return int(text)
