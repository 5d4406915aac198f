"""Batch scripts: their options, the defaults of these in `$WORKBENCH_HOME/slurm.toml`, and their text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from workbench.core.errors import UserError
from workbench.core.parsing import parse_toml
from workbench.core.paths import home
from workbench.core.text import plural
from workbench.launcher.placement import MAX_NODES
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import read_script
from workbench.system.processes import python_command

SUPERVISOR = "workbench.launcher.supervisor"
NODE = "workbench.cli.slurm_node"
"""The modules that execute a run on one node, and on each of several."""
ON_EACH_NODE = ("srun", "--ntasks-per-node=1", "--cpu-bind=none")
DEFAULTS_FILE = "slurm.toml"
SETUP = "setup"
"""The key of the defaults with lines of shell for the start of every script, such as `module load cuda`."""
ARRAY, SIGNAL, TIME = "array", "signal", "time"
OWN_OPTIONS = ("parsable", "wrap", "wait", "test-only", "help", "usage", "version", "chdir", "export-file")
"""Options of `sbatch` that would keep a run from being submitted or found."""
NODES, NTASKS, PER_NODE = "nodes", "ntasks", "ntasks-per-node"
MAX_WARNING_SECONDS, WARNING_SHARE = 120, 4
"""How long before its time limit a job is told of it: at most so long, and at most this fraction of its time."""

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_TIME = re.compile(r"(?:(\d+)-(\d+)(?::(\d+))?(?::(\d+))?|(?:(\d+):)?(\d+):(\d+)|(\d+))")

SCRIPT = """\
#!/bin/bash
# Written by workbench for {purpose}. If you change this file, '{again}' submits it as it is.
{header}

export WORKBENCH_HOME={home}
{setup}trap '' USR1  # it may come before the program can handle it
exec {command}
"""
ARRAY_SCRIPT = """\
#!/bin/bash
# Written by workbench for the runs of one group: each task executes the script of its run.
{header}

runs=(
{runs}
)
run="${{runs[$SLURM_ARRAY_TASK_ID]}}"
exec bash "$run/{script}" >>"$run/{log}" 2>&1
"""


class SlurmOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a run is submitted to Slurm."""

    options: dict[str, str] = {}
    """Options of `sbatch` by their long names; those without a value have an empty one."""
    setup: tuple[str, ...] = ()
    """Lines of shell for the start of the script."""
    in_array: bool = False
    """Whether the run is submitted later, as a task of an array."""


class SlurmDefaults(msgspec.Struct, frozen=True):
    """`slurm.toml`."""

    options: dict[str, str]
    setup: tuple[str, ...]


def read_defaults(place: Path | None = None) -> SlurmDefaults:
    """The defaults in `$WORKBENCH_HOME/slurm.toml`, or another file. Raises `UserError`."""
    path = place or home() / DEFAULTS_FILE
    try:
        content = parse_toml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return SlurmDefaults({}, ())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read: {error}") from None
    setup = content.pop(SETUP, [])
    lines = setup.splitlines() if isinstance(setup, str) else setup
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise UserError(f"{path}: {SETUP} must be lines of shell, in a text or a list of texts")
    options = {}
    for name, value in content.items():
        if value is False:
            continue
        if not isinstance(value, str | int | float):
            raise UserError(f"{path}: {name} must be a text, a number or true")
        options[name] = "" if value is True else str(value)
        check_option(name, options[name], f"{path}: ")
    return SlurmDefaults(options, tuple(lines))


def parse_option(text: str) -> tuple[str, str]:
    """The name and the value in `KEY=VALUE`, or `KEY` alone. Raises `UserError`."""
    name, _, value = text.strip().removeprefix("--").partition("=")
    check_option(name, value, "--slurm ")
    return name, value


def check_option(name: str, value: str, where: str) -> None:
    """Raise `UserError` for what is no option of `sbatch`, or one that workbench sets itself."""
    if not _NAME.fullmatch(name):
        raise UserError(f"{where}'{name}' is no option of sbatch: write its long name, as in partition=gpu")
    if any(character in value for character in "\n\r\0"):
        raise UserError(f"{where}{name}: a value is one line")
    if name in OWN_OPTIONS:
        raise UserError(f"{where}{name} is set by workbench")
    if name == ARRAY and not re.fullmatch(r"%[1-9]\d*", value):
        raise UserError(
            f"{where}{name}: --repeat, --grid and sweeps make the array; "
            f"{ARRAY}=%4 lets at most 4 of its tasks run at once"
        )


def task_count(options: Mapping[str, str]) -> int | None:
    """The tasks that these options ask for; `None` where they say nothing of them. Raises `UserError`."""
    counts = {name: _count(name, options[name]) for name in (NODES, NTASKS, PER_NODE) if name in options}
    if NTASKS in counts:
        return counts[NTASKS]
    return counts.get(NODES, 1) * counts[PER_NODE] if PER_NODE in counts else None


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**6):
        raise UserError(
            f"--slurm {name}={text}: a number of {'nodes' if name == NODES else 'tasks'} from 1 on"
        )
    return int(text)


def node_count(options: Mapping[str, str]) -> int:
    """The nodes that these options ask for. Raises `UserError`."""
    return _count(NODES, options[NODES]) if NODES in options else 1


def check_tasks(options: Mapping[str, str], processes: int, *, max_nodes: int = MAX_NODES) -> None:
    """Raise `UserError` where a training would not have a task for each of its processes, as many on each node."""
    tasks, nodes = task_count(options), node_count(options)
    if nodes > max_nodes:
        raise UserError(f"--slurm {NODES}={nodes}: at most {plural(max_nodes, 'node')}")
    if processes % nodes:
        raise UserError(
            f"--slurm {NODES}={nodes}: the {plural(processes, 'process')} of the training can't be divided among them; "
            f"say --processes {nodes} (on CPUs) or --gpus {nodes}, or a multiple"
        )
    if tasks is not None and tasks != processes:
        raise UserError(
            f"--slurm asks for {plural(tasks, 'task')}, and the training has {plural(processes, 'process')}: "
            f"say --processes {tasks} (on CPUs) or --gpus {tasks}"
        )


def script_text(folder: RunFolder, slurm: SlurmOptions, processes: int = 1) -> str:
    """The batch script of a run, with a task for each of its processes: the supervisor starts them."""
    options = {key: value for key, value in slurm.options.items() if key != ARRAY}
    command = python_command(SUPERVISOR, str(folder.path), "--slurm")
    if node_count(options) > 1 and read_script(folder.experiment) is None:  # a script starts its own tasks
        command = [*ON_EACH_NODE, *python_command(NODE, str(folder.path))]
    return _script_text(
        command, slurm, purpose="one run", again="workbench resume",
        header=_header(folder.id, options, str(folder.slurm_log), processes), home=folder.path.parent.parent,
    )  # fmt: skip


def worker_script_text(log: Path, module: str, slurm: SlurmOptions, processes: int) -> str:
    """The batch script of the workers of a sweep, which are the tasks of one array, by the module that they execute.

    `log` is in the folder of the sweep; `processes`: those of each trial.
    """
    sweep = log.parent
    return _script_text(
        python_command(module, str(sweep), "--slurm"), slurm, purpose="the workers of a sweep",
        again=f"workbench sweep resume {sweep.name}", header=_header(sweep.name, slurm.options, str(log), processes),
        home=sweep.parent.parent,
    )  # fmt: skip


def _script_text(
    command: Sequence[str], slurm: SlurmOptions, *, purpose: str, again: str, header: str, home: Path
) -> str:
    return SCRIPT.format(
        purpose=purpose, again=again, header=header, home=shlex.quote(str(home)),
        setup="".join(f"{line}\n" for line in slurm.setup), command=shlex.join(command),
    )  # fmt: skip


def array_tasks(count: int, limit: str) -> str:
    """The value of `array` for so many tasks, with the user's `limit` of how many may run at once (`%4`), if any."""
    return f"0-{count - 1}{limit}"


def array_script_text(folders: Sequence[RunFolder], slurm: SlurmOptions, processes: int = 1) -> str:
    """The script of an array with a task for each run; `processes`: those of the run that has most."""
    options = {**slurm.options, ARRAY: array_tasks(len(folders), slurm.options.get(ARRAY, ""))}
    return ARRAY_SCRIPT.format(
        header=_header(folders[0].id, options, "/dev/null", processes),
        runs="\n".join(f"  {shlex.quote(str(folder.path))}" for folder in folders),
        script=folders[0].slurm_script.name,
        log=folders[0].slurm_log.name,
    )


def _header(name: str, options: Mapping[str, str], output: str, processes: int) -> str:
    """The `#SBATCH` lines: the user's options take precedence over ours."""
    ours = {
        "job-name": name,
        "output": output.replace("%", "%%"),
        "open-mode": "append",
        "signal": f"B:USR1@{warning_seconds(options.get(TIME, ''))}",
    }
    if "no-requeue" not in options:
        ours["requeue"] = ""
    if processes > 1 and task_count(options) is None:
        ours |= {NODES: "1", NTASKS: str(processes), PER_NODE: str(processes // node_count(options))}
    lines = {**ours, **options}
    return "\n".join(
        f"#SBATCH --{name}{'=' + _quoted(value) if value else ''}" for name, value in lines.items()
    )


def _quoted(value: str) -> str:
    """A value as `sbatch` reads it in a script: in quotes where it has spaces or a comment would begin."""
    return f'"{value}"' if re.search(r"[\s#\"']", value) else value


def warning_seconds(limit: str) -> int:
    """How long before the time limit a job is told of it; a short one may not use up its time with that."""
    seconds = parse_limit(limit)
    return (
        MAX_WARNING_SECONDS if seconds is None else max(1, min(MAX_WARNING_SECONDS, seconds // WARNING_SHARE))
    )


def parse_limit(text: str) -> int | None:
    """The seconds of a time limit as Slurm writes them: `90` (minutes), `30:00`, `4:00:00`, `2-12`; else `None`."""
    if (match := _TIME.fullmatch(text.strip())) is None:
        return None
    days, hours, minutes, seconds, hours_too, minutes_too, seconds_too, only_minutes = (
        int(part or 0) for part in match.groups()
    )
    total = 86400 * days + 3600 * (hours + hours_too) + 60 * (minutes + minutes_too + only_minutes)
    return total + seconds + seconds_too
