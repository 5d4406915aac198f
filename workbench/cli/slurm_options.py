"""The options of commands that submit runs to Slurm."""

from __future__ import annotations

import argparse

from workbench.cli.queue_options import LOCAL, SLURM
from workbench.core.errors import UserError
from workbench.launcher.queue import QueueOptions
from workbench.launcher.slurm import check_available
from workbench.launcher.slurm_script import SlurmOptions, node_count, parse_option, read_defaults, task_count


def slurm_sets(options: argparse.Namespace) -> list[str]:
    """The settings that several tasks of `--slurm` mean: a process of the training for each. Raises `UserError`."""
    given = dict(parse_option(text) for text in getattr(options, "slurm", []))
    tasks = task_count(given) or node_count(given)
    if tasks == 1 or options.gpus is not None or options.processes is not None:
        return []
    has_gpus = any(
        name.startswith("gpus") or (name == "gres" and "gpu" in text) for name, text in given.items()
    )
    return [f"train.processes={tasks}", f"train.device={'cuda' if has_gpus else 'cpu'}"]


def slurm_options(
    options: argparse.Namespace, queue: QueueOptions | None, *, again: bool = False
) -> SlurmOptions | None:
    """How the run is submitted; `None` for one that is not. Raises `UserError`.

    `again`: it has been submitted before, with options that take the place of the defaults.
    """
    if options.launcher == LOCAL and options.slurm:
        raise UserError("--slurm KEY=VALUE and --launcher local can't be combined")
    if options.launcher != SLURM and not options.slurm:
        return None
    if queue is not None:
        raise UserError(
            "Slurm has a queue of its own: leave out --queue, --after, --after-ok, --at, --memory and --share, or say "
            "it as --slurm dependency=…, begin=…, mem=…"
        )
    check_available()
    defaults = read_defaults()
    given = dict(parse_option(text) for text in options.slurm)
    return SlurmOptions(options=given if again else {**defaults.options, **given}, setup=defaults.setup)
