"""A run of a script or any other command, instead of a training of our own: what its `experiment.json` contains."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from workbench.config.experiment import Experiment, read_experiment, run_name_part
from workbench.io.record_codec import Record, read_record
from workbench.runs.external_log import ExternalLog, read_external_log

GRACE_SECONDS = 30.0
"""By default a script has so long after SIGINT, before it is sent SIGTERM."""

NO_DEVICE = "cpu"
"""For a script that is given no device: it sees all GPUs, and holds none."""

RUN_VARIABLE, RESUME_VARIABLE = "WORKBENCH_RUN", "WORKBENCH_RESUME"
"""Environment variables of a script: the folder of its run, and `1` where it is run again to continue."""


class Script(Record, frozen=True, kw_only=True):
    """`experiment.json` of a run of a command, written once before its start."""

    command: tuple[str, ...]
    """The program and its arguments."""
    name: str = ""
    working_directory: str = ""
    device: str = ""
    """The GPU that the script is to see as its only one, as in `train.device`; empty: all of them."""
    logs: tuple[str, ...] = ()
    """Files and folders with metrics that the command writes, absolute."""
    pty: bool = False
    """Whether the command's output is a pseudo-terminal, for programs that draw progress bars only there."""
    grace_seconds: Annotated[float, Meta(ge=0)] = GRACE_SECONDS
    """The time between SIGINT and SIGTERM, and between SIGTERM and SIGKILL."""

    @property
    def command_line(self) -> str:
        """The command as a shell would take it."""
        return shlex.join(self.command)


class ScriptConfig(Record, frozen=True, kw_only=True):
    """`config.json`: what the script says of its settings and results."""

    config: dict[str, str | float | int | bool | None] = {}
    """Values by name; names of nested values are joined with `/`."""
    summary: dict[str, str | float | int | bool | None] = {}
    """Results that the script has noted itself."""


def script_name(command: Sequence[str]) -> str:
    """The default name of a run: that of the first Python file, of the module after `-m`, or of the program."""
    for index, argument in enumerate(command):
        if argument.endswith(".py"):
            return run_name_part(Path(argument).stem)
        if argument == "-m" and index + 1 < len(command) and "torch" not in command[index + 1]:
            return run_name_part(command[index + 1].rpartition(".")[2])
    return run_name_part(Path(command[0]).name)


def read_script(path: Path) -> Script | None:
    """The command of a run; `None` where the file is missing or damaged, or the run is a training of our own."""
    script = read_record(path, Script)
    return script if script is not None and script.command else None


def read_description(path: Path) -> Experiment | Script | ExternalLog | None:
    """What a run does, from its `experiment.json`; `None` where that is missing or damaged."""
    return read_experiment(path) or read_script(path) or read_external_log(path)
