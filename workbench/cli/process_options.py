"""The options of commands that train in several processes: `--gpus` and `--processes`."""

from __future__ import annotations

import argparse

from workbench.core.errors import UserError
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


def process_sets(options: argparse.Namespace) -> list[str]:
    """The settings (`KEY=VALUE`) that these options mean. Raises `UserError`."""
    if options.gpus is None and options.processes is None:
        return []
    if options.gpus is not None and options.processes is not None:
        raise UserError("--gpus and --processes can't be combined: each GPU has a process of its own")
    option = "--gpus" if options.gpus is not None else "--processes"
    if options.device is not None:
        raise UserError(
            f"{option} and --device can't be combined: --device cuda:0,1 trains on these GPUs, "
            "--processes on the CPU, --gpus on any GPUs"
        )
    if options.gpus is None:
        return [f"train.processes={_count(option, options.processes)}", "train.device=cpu"]
    count = max(1, len(read_inventory().usable)) if options.gpus == "all" else _count(option, options.gpus)
    return [f"train.processes={count}", "train.device=cuda"]


def _count(option: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_PROCESSES:
        also = " or all" if option == "--gpus" else ""
        raise UserError(f"{option} must be a number from 1 to {MAX_PROCESSES}{also}, not '{text}'")
    return int(text)
