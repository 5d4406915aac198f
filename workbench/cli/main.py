"""Every command and its options. A command's module is imported when it runs: `workbench runs` never waits for
torch.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

from workbench.core.errors import BadInput
from workbench.core.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED
from workbench.core.text import safe
from workbench.system.memory import is_out_of_memory


class Parser(argparse.ArgumentParser):
    """Complains in one line and exits with 2."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and where help is."""
        command = self.prog.split()[1:2]
        raise BadInput(f"{_one_line(message)} (see 'workbench {command[0] + ' ' if command else ''}--help')")


def main() -> None:
    """The console script: exits with the command's code, and never with a traceback of bad input."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that knows no arrows still gets the figures
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        options = parser().parse_args(arguments)
        module, _, function = options.command.partition(":")
        code: int = getattr(import_module(f"workbench.cli.commands.{module}"), function)(options)
    except BadInput as error:
        print(f"workbench: {_one_line(str(error))}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has ended (`| head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        # A full disk, a folder that can't be written, a name that is too long: the system's own message.
        where = f"{error.filename}: " if error.filename else ""
        print(f"workbench: {_one_line(where + (error.strerror or str(error)))}", file=sys.stderr)
        return BAD_INPUT
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(
            f"workbench: out of memory: {_one_line(str(error))} (--device cpu, or smaller)", file=sys.stderr
        )
        return FAILED
    return code


def _one_line(message: str) -> str:
    return safe(" ".join(message.split()))


def parser() -> Parser:
    """The whole command line. Each command names what it does as `module:function` below `workbench`."""
    top = Parser(prog="workbench", description="Train image classifiers from the terminal.")
    top.set_defaults(command="screen:screen")
    top.add_argument("--version", action="store_true", help="print the version")
    commands = top.add_subparsers(metavar="COMMAND", parser_class=Parser)
    _add_train(commands)
    _add_plan(commands)
    _add_run_commands(commands)
    _add_steering(commands)
    _add_classify(commands)
    _add_fetch(commands)
    _add_lists(commands)
    return top


def _add(commands: Any, name: str, does: str, text: str, *, json: bool = True) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    added.set_defaults(command=does)
    if json:
        added.add_argument("--json", action="store_true", help="print one JSON document")
    return added


def _add_train(commands: Any) -> None:
    added = _add(commands, "train", "train:train", "train a model in the background, and wait")
    _add_experiment(added)
    added.add_argument("--name", help="what the run is called")
    added.add_argument("--detach", action="store_true", help="return at once, print the run's id")
    added.add_argument("--settings", action="store_true", help="list every setting and exit")


def _add_plan(commands: Any) -> None:
    text = "say what a run will take and what would be faster, after a few real steps"
    _add_experiment(_add(commands, "plan", "plan:plan", text))


def _add_experiment(added: argparse.ArgumentParser) -> None:
    added.add_argument("recipe", nargs="?", metavar="RECIPE|FILE.toml")
    added.add_argument("--dataset", metavar="D", help="a name, folder:PATH or ./file.py:function")
    added.add_argument("--model", metavar="M", help="a name or ./file.py:Class")
    added.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting")
    added.add_argument("--device", metavar="DEV", help="auto, cpu, cuda, cuda:N or mps")


def _add_run_commands(commands: Any) -> None:
    _add(commands, "runs", "runs:runs", "list the runs")
    _add_run(commands, "show", "runs:show", "show one run")
    text = "follow a run until it ends (Ctrl-C leaves it running)"
    _add_run(commands, "watch", "runs:watch", text, json=False)
    _add_run(commands, "stop", "runs:stop", "checkpoint a run and stop it")
    added = _add_run(commands, "rm", "trash:remove", "move an ended run to the trash", json=False)
    added.add_argument("--now", action="store_true", help="delete it at once")
    added = _add(commands, "trash", "trash:trash", "list the trash, empty it, or take a run back")
    added.add_argument("do", nargs="?", choices=("restore",), help="restore RUN makes it a run again")
    added.add_argument("run", nargs="?", metavar="RUN", help="last, an id, a name or a prefix")
    added.add_argument("--empty", action="store_true", help="delete what lies in it")
    added.add_argument("--caches", action="store_true", help="delete what can be decoded or fetched again")
    _add_run(commands, "compare", "runs:compare", "compare runs", many=True)
    added = _add_run(commands, "resume", "train:resume", "resume an ended run")
    added.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change train.*")
    added.add_argument("--detach", action="store_true", help="return at once, print the run's id")
    added.add_argument("--accept-changed-data", action="store_true", help="resume though the data changed")
    added.add_argument(
        "--take-over", action="store_true", help="resume a run of a host that no longer responds"
    )
    added.add_argument("--from-start", action="store_true", help="restart from step 0, keep the old record")
    added = _add_run(commands, "evaluate", "runs:evaluate", "evaluate a run's best checkpoint again")
    added.add_argument("--split", default="test", choices=("train", "validation", "test"))
    added.add_argument("--device", default="auto", metavar="DEV")
    added = _add_run(commands, "export", "runs:export", "export a run", json=False)
    formats = ("onnx", "safetensors", "pytorch", "tensorboard", "csv")
    added.add_argument("--format", required=True, choices=formats)
    added.add_argument("--to", metavar="PATH", help="where to (default: in this folder)")


def _add_steering(commands: Any) -> None:
    added = _add_run(commands, "pause", "control:pause", "checkpoint a run and let it wait")
    added.add_argument("--release", action="store_true", help="give the device's memory back meanwhile")
    _add_run(commands, "continue", "control:go_on", "continue a paused run")
    _add_run(commands, "checkpoint", "control:checkpoint", "have a run write a checkpoint now")
    added = _add_run(commands, "lr", "control:learning_rate", "change a run's learning rate now")
    added.add_argument("value", metavar="0.01|x2|/2", help="the rate, or what it is multiplied or divided by")
    added = _add_run(commands, "epochs", "control:epochs", "change how many epochs a run makes")
    added.add_argument("value", metavar="20|+5|-3", help="the number, or how many more or fewer")


def _add_run(
    commands: Any, name: str, does: str, text: str, *, json: bool = True, many: bool = False
) -> argparse.ArgumentParser:
    added = _add(commands, name, does, text, json=json)
    added.add_argument(
        "run", metavar="RUN", nargs="+" if many else None, help="last, an id, a name or a prefix"
    )
    return added


def _add_classify(commands: Any) -> None:
    added = _add(commands, "classify", "classify:classify", "classify images")
    added.add_argument("pictures", nargs="*", metavar="PICTURE|FOLDER|URL")
    added.add_argument("--recipe", metavar="R", help="a recipe that classifies")
    added.add_argument("--run", metavar="RUN", help="the best checkpoint of a run")
    added.add_argument("--model", metavar="NAME", help="a model of torchvision with its ImageNet weights")
    added.add_argument("--weights", metavar="FILE", help="a local file of weights for --model or --recipe")
    added.add_argument("--labels", metavar="FILE|URL", help="the names of the classes, a line each")
    added.add_argument("--steps", action="store_true", help="show each step between image and prediction")
    added.add_argument("--top", type=int, default=5, metavar="K", help="number of classes to show")
    added.add_argument("--device", default="auto", metavar="DEV")


def _add_fetch(commands: Any) -> None:
    text = "download a recipe's data and weights, or bundle them for a machine without network"
    added = _add(commands, "fetch", "fetch:command", text)
    added.add_argument("recipe", nargs="?", metavar="RECIPE|FILE.toml")
    added.add_argument("--to", metavar="DIR", help="bundle them in a folder, with their checksums")
    added.add_argument("--from", dest="source", metavar="DIR", help="import such a bundle")


def _add_lists(commands: Any) -> None:
    _add(commands, "recipes", "catalogs:recipes", "list the ready experiments")
    _add(commands, "datasets", "catalogs:datasets", "list the datasets, and which are downloaded")
    _add(commands, "models", "catalogs:models", "list the models")
    _add(commands, "devices", "catalogs:devices", "list the devices, and which one training takes")
    _add(commands, "doctor", "doctor:doctor", "check this machine")
