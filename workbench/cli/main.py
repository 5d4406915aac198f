"""The command line: every command with its options, and how errors become exit codes.

A command's module is imported when it runs: `workbench runs` never waits for torch.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from workbench.cli.console import activity, print_status
from workbench.cli.measuring_commands import MEASURING_COMMANDS
from workbench.cli.parser import Parser, one_line
from workbench.cli.process_options import add_node_options, add_process_options
from workbench.cli.queue_options import (
    JOBS_OF_SWEEP,
    add_queue_actions,
    add_queue_options,
    add_slurm_options,
    add_variant_options,
)
from workbench.cli.run_argument import is_path
from workbench.cli.run_options import add_chart_options, add_list_options
from workbench.cli.signals import interrupt_on_termination
from workbench.cli.standard_streams import discard_stdout, discard_unwritable_stdout, open_standard_streams
from workbench.cli.sweep_options import add_sweep_options
from workbench.core.errors import RunFailed, UserError
from workbench.core.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED
from workbench.core.paths import check_current_folder
from workbench.core.plain_text import ERROR_HANDLER
from workbench.core.progress import Cancelled
from workbench.export.formats import FORMATS
from workbench.runs.metrics import CLASS_METRICS
from workbench.runs.script import GRACE_SECONDS
from workbench.system.memory import is_out_of_memory
from workbench.system.terminal_info import plain_reason

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction["Parser"]

OPEN = "open"
"""The command of `workbench PATH…`."""
RUN_HELP = "last, or a run's id, name or a prefix of either"


def main() -> None:
    """Run the console script and exit with the command's code; bad input never ends in a traceback."""
    open_standard_streams()
    os.umask(os.umask(0o077) | 0o002)  # what this writes is never writable for everyone
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            plain = stream.isatty() and plain_reason()
            stream.reconfigure(encoding="ascii" if plain else None, errors=ERROR_HANDLER)
    code = run(sys.argv[1:])
    discard_unwritable_stdout()  # the reader has ended, or the terminal has hung up
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        check_current_folder()
        options = parse(arguments)
        module, _, function = options.command.partition(":")
        with contextlib.nullcontext() if module == "screen" else interrupt_on_termination():
            with activity("importing PyTorch") if module == "classify" else contextlib.nullcontext():
                commands = import_module(f"workbench.cli.commands.{module}")
            code: int = getattr(commands, function)(options)
        sys.stdout.flush()  # an error of the last output is reported here, not by the interpreter at its end
    except UserError as error:
        print_status(f"workbench: {one_line(str(error))}")
        return BAD_INPUT
    except RunFailed as error:
        print_status(f"workbench: {one_line(str(error))}")
        return FAILED
    except (KeyboardInterrupt, Cancelled) as error:
        print_status(f"workbench: interrupted{f' by {error}' if str(error) else ''}")
        return INTERRUPTED
    except BrokenPipeError:
        discard_stdout()
        return DONE
    except OSError as error:
        # A full disk, a folder that can't be written, a name that is too long: the system's own message.
        where = f"{error.filename}: " if error.filename else ""
        print_status(f"workbench: {one_line(where + (error.strerror or str(error)))}")
        discard_unwritable_stdout()
        return BAD_INPUT
    except ImportError as error:
        # A broken installation, or a memory limit (`ulimit -v`) below the size of torch's libraries.
        hint = "check the installation with 'workbench doctor' and the memory limit with 'ulimit -v'"
        print_status(f"workbench: a library can't be loaded: {one_line(str(error))}; {hint}")
        return BAD_INPUT
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print_status(f"workbench: out of memory: {one_line(str(error))} (try --device cpu or a smaller size)")
        return FAILED
    return code


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a command line; `workbench PATH…` has no command of its own. Raises `UserError`."""
    top, commands = _build_parser()
    first = arguments[0] if arguments else "-"
    is_command = first.startswith("-") or first in commands.choices
    if not is_command and (is_path(first) or os.path.lexists(first)):
        arguments = [OPEN, *arguments]
    return top.parse_args(arguments)


def parser() -> Parser:
    """The whole command line. Each command has its `module:function` in `workbench.cli.commands`."""
    return _build_parser()[0]


@functools.cache
def _build_parser() -> tuple[Parser, Subparsers]:
    top = Parser(prog="workbench", description="Train image classifiers from the terminal.")
    top.set_defaults(command="screen:screen")
    top.add_argument("--version", action="store_true", help="print the version and exit")
    commands = top.add_subparsers(metavar="COMMAND", parser_class=Parser)
    _add_train(commands)
    _add_measuring(commands)
    _add_sweep(commands)
    _add_script(commands)
    _add_logs(commands)
    _add_run_commands(commands)
    _add_notes(commands)
    _add_trash(commands)
    _add_control(commands)
    summary = "list the runs that wait for their turn, or change their order"
    add_queue_actions(_add(commands, "queue", "queue:queue", summary), Parser, RUN_HELP)
    _add_classify(commands)
    _add_fetch(commands)
    _add_lists(commands)
    return top, commands


def _add(
    commands: Subparsers, name: str, handler: str, summary: str, *, json: bool = True
) -> argparse.ArgumentParser:
    """Add a command: `handler` is `module:function` in `workbench.cli.commands`."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    command.set_defaults(command=handler)
    if json:
        command.add_argument("--json", action="store_true", help="print one JSON document")
    return command


def _add_train(commands: Subparsers) -> None:
    command = _add(commands, "train", "train:train", "train a model in the background and follow it")
    _add_experiment(command)
    command.add_argument("--name", help="name of the run")
    _add_group(command)
    _add_detach(command)
    add_node_options(command)
    add_queue_options(command)
    add_slurm_options(command)
    add_variant_options(command)
    command.add_argument("--settings", action="store_true", help="list all settings and exit")


def _add_measuring(commands: Subparsers) -> None:
    for name, handler, summary in MEASURING_COMMANDS:
        _add_experiment(_add(commands, name, handler, summary))


def _add_sweep(commands: Subparsers) -> None:
    summary = "search settings: many trials of an experiment, each a run; or list, show, stop, resume or remove sweeps"
    command = _add(commands, "sweep", "sweep:sweep", summary)
    _add_experiment(command)
    add_sweep_options(command)
    _add_detach(command)
    add_slurm_options(command, JOBS_OF_SWEEP)


def _add_script(commands: Subparsers) -> None:
    command = _add(
        commands, "run", "script:run", "run a script, or any other command, in the background and follow it"
    )
    command.add_argument(
        "argv", nargs="+", metavar="-- COMMAND", help="the command and its arguments, after --"
    )
    command.add_argument("--name", help="name of the run (default: that of the script)")
    _add_group(command)
    command.add_argument(
        "--cwd", metavar="DIR", help="working directory of the command (default: this folder)"
    )
    command.add_argument(
        "--logs",
        action="append",
        default=[],
        metavar="PATH",
        help="a file or folder with metrics that it writes",
    )
    command.add_argument("--pty", action="store_true", help="give its output a terminal, for progress bars")
    command.add_argument(
        "--grace", type=float, default=GRACE_SECONDS, metavar="SECONDS",
        help=f"time to end after a stop, before it is terminated (default: {GRACE_SECONDS:.0f})",
    )  # fmt: skip
    _add_device(command, default="")
    _add_detach(command)
    add_node_options(command, of_script=True)
    add_queue_options(command)
    add_slurm_options(command)


def _add_experiment(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "recipe", nargs="?", metavar="RECIPE|FILE.toml", help="a recipe or an experiment file"
    )
    command.add_argument(
        "--dataset", metavar="D", help="a name, folder:PATH, csv:FILE, … or ./file.py:function"
    )
    command.add_argument("--model", metavar="M", help="a model's name or ./file.py:Class")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting (repeatable)"
    )
    _add_device(command, default=None)
    add_process_options(command)


def _add_detach(command: argparse.ArgumentParser) -> None:
    command.add_argument("--detach", action="store_true", help="print the run's id and return at once")


def _add_device(command: argparse.ArgumentParser, default: str | None = "auto") -> None:
    devices = "auto, cpu, mps, cuda, cuda:N or a UUID, see: workbench devices"
    command.add_argument("--device", default=default, metavar="DEV", help=devices)


def _add_run_commands(commands: Subparsers) -> None:
    add_list_options(_add(commands, "runs", "runs:runs", "list the runs"))
    command = _add_paths(_add(commands, "show", "runs:show", "show runs, or logs of other programs"))
    command.add_argument(
        "--command", dest="commands", action="store_true", help="print the command that starts it once more"
    )
    summary = "follow a run until it ends, or logs of other programs (Ctrl-C leaves it running)"
    _add_paths(_add(commands, "watch", "runs:watch", summary, json=False))
    command = _add_run(commands, "stop", "runs:stop", "checkpoint a run and stop it")
    command.add_argument(
        "--now", action="store_true", help="let Slurm end its job, which leaves little time for a checkpoint"
    )
    summary = "compare runs, logs of other programs, or groups of repeats"
    command = _add_paths(_add(commands, "compare", "runs:compare", summary), nargs="*")
    command.add_argument(
        "--groups", nargs="?", const="", metavar="EXPR",
        help="compare repeats (runs of a group, or that differ only in their seed): mean, deviation, Welch's test",
    )  # fmt: skip
    command.add_argument(
        "--by",
        default="accuracy",
        choices=CLASS_METRICS,
        help="what is compared of each class (default: accuracy)",
    )
    _add_charts(commands)
    _add_resume(commands)
    command = _add_run(commands, "evaluate", "runs:evaluate", "evaluate a run's best checkpoint again")
    splits = ("train", "validation", "test")
    command.add_argument(
        "--split", default="test", choices=splits, help="split to evaluate on (default: test)"
    )
    command.add_argument(
        "--raw", action="store_true", help="not the average that train.ema or train.swa made"
    )
    _add_device(command)
    _add_data(command)
    command = _add_run(commands, "export", "runs:export", "export a run", json=False)
    command.add_argument("--format", required=True, choices=tuple(FORMATS), help="file format")
    command.add_argument(
        "--to", metavar="PATH", help="file or folder to write (default: a new file in this folder)"
    )


def _add_charts(commands: Subparsers) -> None:
    summary = "draw the metrics of runs, or of logs of other programs, as charts"
    add_chart_options(_add_paths(_add(commands, "charts", "charts:charts", summary, json=False)))


def _add_resume(commands: Subparsers) -> None:
    command = _add_run(commands, "resume", "train:resume", "resume an ended run")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a train.* setting (repeatable)",
    )
    _add_detach(command)
    add_node_options(command)
    add_queue_options(command)
    add_slurm_options(command)
    command.add_argument(
        "--accept-changed-data", action="store_true", help="resume even if the data has changed"
    )
    command.add_argument(
        "--take-over", action="store_true", help="resume a run of another host that no longer responds"
    )
    command.add_argument(
        "--from-start", action="store_true", help="restart from step 0 and keep the old record"
    )
    _add_data(command)


def _add_data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data", metavar="PATH", help="where the run's dataset is now, if it was moved (remembered)"
    )


def _add_notes(commands: Subparsers) -> None:
    command = _add_run(commands, "log", "notes:log", "print the end of a run's log")
    command.add_argument("--lines", type=int, default=40, metavar="N", help="number of lines (default: 40)")
    command = _add_run(commands, "note", "notes:note", "write a note on a run (an empty text removes it)")
    command.add_argument("text", nargs="+", metavar="TEXT", help="the note")
    command = _add_run(commands, "tag", "notes:tag", "add tags to a run")
    command.add_argument("tags", nargs="+", metavar="TAG", help="a tag, or several with commas")
    command.add_argument("--remove", action="store_true", help="remove the tags")
    command = _add_run(commands, "rename", "notes:rename", "give a run another name")
    command.add_argument("name", metavar="NAME", help="the new name")


def _add_trash(commands: Subparsers) -> None:
    command = _add_run(commands, "rm", "trash:remove", "move an ended run to the trash", json=False)
    command.add_argument("--now", action="store_true", help="delete the run at once")
    command = _add(commands, "trash", "trash:trash", "list the trash, empty it, or restore a run from it")
    command.add_argument("action", nargs="?", choices=("restore",), help="restore RUN from the trash")
    command.add_argument("run", nargs="?", metavar="RUN", help=RUN_HELP)
    command.add_argument("--empty", action="store_true", help="delete all runs in the trash")
    command.add_argument("--caches", action="store_true", help="delete decoded and downloaded images")


def _add_control(commands: Subparsers) -> None:
    command = _add_run(commands, "pause", "control:pause", "checkpoint a run and pause it")
    command.add_argument("--suspend", action="store_true", help="free the device's memory while it is paused")
    command.add_argument(
        "--release", dest="suspend", action="store_true", help=argparse.SUPPRESS
    )  # as in 0.1.0
    _add_run(commands, "continue", "control:continue_run", "continue a paused run")
    _add_run(commands, "checkpoint", "control:checkpoint", "write a checkpoint of a live run now")
    command = _add_run(commands, "lr", "control:learning_rate", "change a live run's learning rate")
    command.add_argument("value", metavar="0.01|x2|/2", help="the new rate, a factor or a divisor")
    command = _add_run(commands, "epochs", "control:epochs", "change a live run's number of epochs")
    command.add_argument("value", metavar="20|+5|-3", help="the new number, or how many more or fewer")


def _add_run(
    commands: Subparsers, name: str, handler: str, summary: str, *, json: bool = True
) -> argparse.ArgumentParser:
    """Add a command that takes a run."""
    command = _add(commands, name, handler, summary, json=json)
    command.add_argument("run", metavar="RUN", help=RUN_HELP)
    return command


def _add_paths(command: argparse.ArgumentParser, nargs: str = "+") -> argparse.ArgumentParser:
    path_help = f"{RUN_HELP}; or a log or folder of logs of another program"
    command.add_argument("run", metavar="RUN|PATH", nargs=nargs, help=path_help)
    return command


def _add_logs(commands: Subparsers) -> None:
    summary = "list logs of other programs as runs; they are read from where they are"
    command = _add(commands, "add", "logs:add", summary)
    command.add_argument("path", nargs="+", metavar="PATH", help="a log, or a folder with a log for each run")
    command.add_argument("--name", help="name of the run (default: that of its folder or file)")
    _add_group(command)
    summary = "open the screen with logs of other programs on top; short: workbench PATH"
    command = _add(commands, OPEN, "screen:open_paths", summary, json=False)
    command.add_argument("path", nargs="+", metavar="PATH", help="a log, or a folder with a log for each run")


def _add_group(command: argparse.ArgumentParser) -> None:
    command.add_argument("--group", default="", help="group of the run, for repeats and variants")
    command.add_argument("--tag", action="append", default=[], metavar="T", help="a tag (repeatable)")


def _add_classify(commands: Subparsers) -> None:
    command = _add(commands, "classify", "classify:classify", "classify images")
    command.add_argument(
        "images",
        nargs="*",
        metavar="IMAGE|FOLDER|URL",
        help="images to classify; numbers for a run on numbers",
    )
    command.add_argument("--recipe", metavar="R", help="use a classification recipe")
    command.add_argument("--run", metavar="RUN", help="use the best checkpoint of a run")
    command.add_argument("--model", metavar="NAME", help="use a torchvision model with ImageNet weights")
    command.add_argument("--weights", metavar="FILE", help="local weights file for --model or --recipe")
    command.add_argument("--labels", metavar="FILE|URL", help="class names, one per line")
    command.add_argument("--steps", action="store_true", help="show each step between image and prediction")
    command.add_argument(
        "--top", type=int, default=5, metavar="K", help="number of classes to show (default: 5)"
    )
    _add_device(command)


def _add_fetch(commands: Subparsers) -> None:
    summary = "download a recipe's data and weights, or bundle them for a machine without a network"
    command = _add(commands, "fetch", "fetch:fetch", summary)
    command.add_argument(
        "recipe", nargs="?", metavar="RECIPE|FILE.toml", help="a recipe or an experiment file"
    )
    command.add_argument("--to", metavar="DIR", help="write a bundle with checksums to this folder")
    command.add_argument("--from", dest="source", metavar="DIR", help="import such a bundle")


def _add_lists(commands: Subparsers) -> None:
    _add(commands, "recipes", "catalogs:recipes", "list the recipes")
    summary = "list the datasets and which are downloaded, or say what a folder contains"
    command = _add(commands, "datasets", "catalogs:datasets", summary)
    command.add_argument("dataset", nargs="?", metavar="D", help="a dataset's name, folder:PATH or csv:FILE")
    command.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="with D: a setting of it (data.links=all)",
    )
    summary = "list the models and which weights are downloaded"
    command = _add(commands, "models", "catalogs:models", summary)
    command.add_argument("words", nargs="*", metavar="WORD", help="only those whose row contains all words")
    command.add_argument("--timm", action="store_true", help="those of timm instead (extra timm)")
    _add(commands, "devices", "catalogs:devices", "list the devices and which one training uses")
    _add(commands, "doctor", "doctor:doctor", "check this machine")
