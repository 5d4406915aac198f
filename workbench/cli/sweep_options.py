"""The options of `workbench sweep`."""

from __future__ import annotations

import argparse

from workbench.sweeps.records import PrunerName, SamplerName
from workbench.sweeps.space import FORMS

ACTIONS = ("show", "stop", "resume", "remove")


def add_sweep_options(command: argparse.ArgumentParser) -> None:
    """Add the options that follow the experiment."""
    command.description = (
        "Search settings: workbench sweep RECIPE --param train.lr=log:1e-4:1e-1 --trials 30 --workers 2. "
        "workbench sweep show|stop|resume|remove SWEEP looks at a sweep, or changes it; without arguments all are "
        "listed. "
        "Each trial is a run, of the group that is called as the sweep."
    )
    for action in command._actions:
        if action.dest == "recipe":
            action.metavar = "|".join(("RECIPE|FILE.toml", *ACTIONS))
    command.add_argument(
        "sweep", nargs="?", metavar="SWEEP", help="for the actions on a sweep: last, or its name"
    )
    command.add_argument(
        "--param", action="append", default=[], metavar="KEY=SPACE", help=f"a setting to search: {FORMS}"
    )
    command.add_argument("--trials", type=int, metavar="N", help="number of trials; resume: the new number")
    command.add_argument(
        "--workers", type=int, metavar="K", help="trials at once (default: 1); resume: workers to add"
    )
    command.add_argument(
        "--sampler", choices=tuple(SamplerName), type=SamplerName, default=SamplerName.TPE,
        help="how settings are chosen (default: tpe); a grid tries all combinations",
    )  # fmt: skip
    command.add_argument(
        "--pruner", choices=tuple(PrunerName), type=PrunerName, default=PrunerName.MEDIAN,
        help="which trials are stopped early (default: median)",
    )  # fmt: skip
    command.add_argument(
        "--metric", metavar="NAME", help="what is improved (default: train.monitor on validation data)"
    )
    command.add_argument("--minimize", action="store_true", help="lower is better (known of loss and errors)")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the search (default: 0)")
    command.add_argument("--name", help="name of the sweep (default: NAME-sweep)")
