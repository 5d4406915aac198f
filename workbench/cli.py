"""Every command. What a command needs is imported when it runs, so that `workbench runs` never waits for torch."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from workbench.errors import BadInput

if TYPE_CHECKING:
    from workbench.runs.layout import RunFolder

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class Parser(argparse.ArgumentParser):
    """Complains in one line and exits with 2."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and where help is."""
        command = self.prog.split()[1:2]
        raise BadInput(f"{_one_line(message)} (see 'workbench {command[0] + ' ' if command else ''}--help')")


def main() -> None:
    """The console script: exits with the command's code, and never with a traceback of bad input."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        options = parser().parse_args(arguments)
        code: int = options.command(options)
    except BadInput as error:
        print(f"workbench: {_one_line(str(error))}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`); nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        # A full disk, a folder that can't be written, a name that is too long: said in the system's own words.
        where = f"{error.filename}: " if error.filename else ""
        print(f"workbench: {_one_line(where + (error.strerror or str(error)))}", file=sys.stderr)
        return BAD_INPUT
    except (MemoryError, RuntimeError) as error:
        if "out of memory" not in str(error) and not isinstance(error, MemoryError):
            raise
        print(
            f"workbench: out of memory: {_one_line(str(error))} (--device cpu, or smaller)", file=sys.stderr
        )
        return FAILED
    return code


def _one_line(message: str) -> str:
    from workbench.text import safe

    return safe(" ".join(message.split()))


def parser() -> Parser:
    """The whole command line."""
    top = Parser(prog="workbench", description="Train image classifiers from the terminal.")
    top.set_defaults(command=screen)
    top.add_argument("--version", action="store_true", help="print the version")
    commands = top.add_subparsers(metavar="COMMAND", parser_class=Parser)
    _add_train(commands)
    _add_run_commands(commands)
    _add_classify(commands)
    _add_fetch(commands)
    for name, function, text in (
        ("recipes", recipes, "list the ready experiments"),
        ("datasets", datasets, "list the datasets, and what is here already"),
        ("models", models, "list the models"),
        ("devices", devices, "list the devices, and which one training takes"),
        ("doctor", doctor, "check this machine"),
    ):
        added = _add(commands, name, function, text)
        added.add_argument("--json", action="store_true", help="print one JSON document")
    return top


def _add(commands: Any, name: str, function: Any, text: str) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    added.set_defaults(command=function)
    return added


def _add_train(commands: Any) -> None:
    train_parser = _add(commands, "train", train, "train a model in the background, and wait for it")
    train_parser.add_argument("recipe", nargs="?", metavar="RECIPE|FILE.toml")
    train_parser.add_argument("--dataset", metavar="D", help="a name, folder:PATH or ./file.py:function")
    train_parser.add_argument("--model", metavar="M", help="a name or ./file.py:Class")
    train_parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting")
    train_parser.add_argument("--name", help="what the run is called")
    train_parser.add_argument("--device", metavar="DEV", help="auto, cpu, cuda, cuda:N or mps")
    train_parser.add_argument("--detach", action="store_true", help="return at once, print the run's id")
    train_parser.add_argument("--json", action="store_true", help="print one JSON document")
    train_parser.add_argument("--settings", action="store_true", help="list every setting and exit")


def _add_run_commands(commands: Any) -> None:
    listing = _add(commands, "runs", runs, "list the runs")
    listing.add_argument("--json", action="store_true", help="print one JSON document")
    for name, function, text, many in (
        ("show", show, "show one run", False),
        ("watch", watch, "follow a run until it ends (Ctrl-C leaves it running)", False),
        ("stop", stop, "checkpoint a run and stop it", False),
        ("rm", remove, "move an ended run to the trash", False),
        ("compare", compare, "hold runs against each other", True),
        ("resume", resume, "go on with a run that has ended", False),
        ("evaluate", evaluate, "evaluate a run's best checkpoint again", False),
        ("export", export, "write a run in another form", False),
    ):
        added = _add(commands, name, function, text)
        added.add_argument(
            "run", metavar="RUN", nargs="+" if many else None, help="last, an id, a name or a prefix"
        )
        if name in {"show", "resume", "compare", "evaluate", "stop"}:
            added.add_argument("--json", action="store_true", help="print one JSON document")
        if name == "resume":
            added.add_argument(
                "--set", action="append", default=[], metavar="KEY=VALUE", help="change train.*"
            )
            added.add_argument("--detach", action="store_true", help="return at once, print the run's id")
            added.add_argument(
                "--accept-changed-data", action="store_true", help="go on though the data changed"
            )
        if name == "rm":
            added.add_argument("--now", action="store_true", help="delete it at once")
        if name == "evaluate":
            added.add_argument("--split", default="test", choices=("train", "validation", "test"))
            added.add_argument("--device", default="auto", metavar="DEV")
        if name == "export":
            formats = ("onnx", "safetensors", "pytorch", "tensorboard", "csv")
            added.add_argument("--format", required=True, choices=formats)
            added.add_argument("--to", metavar="PATH", help="where to (default: in this folder)")


def _add_classify(commands: Any) -> None:
    added = _add(commands, "classify", classify, "say what is on pictures")
    added.add_argument("pictures", nargs="*", metavar="PICTURE|FOLDER|URL")
    added.add_argument("--recipe", metavar="R", help="a recipe that classifies")
    added.add_argument("--run", metavar="RUN", help="the best checkpoint of a run")
    added.add_argument("--model", metavar="NAME", help="a model of torchvision with its ImageNet weights")
    added.add_argument("--weights", metavar="FILE", help="a local file of weights for --model or --recipe")
    added.add_argument("--labels", metavar="FILE|URL", help="the names of the classes, a line each")
    added.add_argument("--steps", action="store_true", help="show each step between picture and answer")
    added.add_argument("--top", type=int, default=5, metavar="K", help="how many classes to tell")
    added.add_argument("--device", default="auto", metavar="DEV")
    added.add_argument("--json", action="store_true", help="print one JSON document")


def _add_fetch(commands: Any) -> None:
    text = "bring a recipe's data and weights here, or carry them to a machine without network"
    added = _add(commands, "fetch", fetch, text)
    added.add_argument("recipe", nargs="?", metavar="RECIPE|FILE.toml")
    added.add_argument("--to", metavar="DIR", help="bundle them in a folder, with their checksums")
    added.add_argument("--from", dest="source", metavar="DIR", help="take in such a folder")
    added.add_argument("--json", action="store_true", help="print one JSON document")


def screen(options: argparse.Namespace) -> int:
    """`workbench`: open the screen."""
    if options.version:
        from importlib.metadata import version

        print(version("workbench"))
        return DONE
    from workbench.ui import app

    return app.run()


def train(options: argparse.Namespace) -> int:
    """`workbench train`."""
    from workbench import console
    from workbench.experiment import build
    from workbench.runs import launch

    if options.settings:
        return _settings(options)
    experiment = build(
        options.recipe, dataset=options.dataset, model=options.model, sets=options.set, name=options.name,
        device=options.device,
    )  # fmt: skip
    folder = launch.start(experiment, "command line")
    console.say(f"{folder.id} is training in the background")
    return _wait_and_tell(folder, options)


def resume(options: argparse.Namespace) -> int:
    """`workbench resume`."""
    from workbench import console
    from workbench.runs import launch

    folder = _find(options.run)
    overrides = launch.parse_overrides(options.set)
    launch.resume(folder, overrides, "command line", accept_changed_data=options.accept_changed_data)
    console.say(f"{folder.id} goes on in the background")
    return _wait_and_tell(folder, options)


def _wait_and_tell(folder: RunFolder, options: argparse.Namespace) -> int:
    from workbench import console
    from workbench.runs.report import describe
    from workbench.runs.status import Status

    if options.detach:
        if options.json:
            console.print_json(describe(folder))
        else:
            console.tell(folder.id)
        return DONE
    status, interrupted = console.wait_or_stop(folder)
    document = describe(folder)
    if options.json:
        console.print_json(document)
    else:
        console.tell_result(document)
    if status is Status.FINISHED:
        return DONE
    if interrupted or status in {Status.STOPPED, Status.RUNNING}:
        return INTERRUPTED
    if options.json:
        console.say(f"workbench: {document['reason'] or f'the run is {status}'}")
    console.say(f"its log: {folder.log}")
    return FAILED


def _settings(options: argparse.Namespace) -> int:
    from workbench import console
    from workbench.experiment import all_settings

    rows = all_settings(options.dataset, options.model)
    if options.json:
        console.print_json([{"key": r.key, "type": r.kind, "default": r.default, "choices": list(r.choices),
                             "help": r.help} for r in rows])  # fmt: skip
        return DONE
    shown = [
        (r.key, r.kind if r.kind != "choice" else " ".join(r.choices), _shown(r.default), r.help)
        for r in rows
    ]
    console.print_table(("setting", "type", "default", "what it is"), shown)
    console.say(
        "Defaults of a dataset and a model come before these; --dataset and --model list their own options."
    )
    return DONE


def _shown(value: object) -> str:
    if isinstance(value, tuple | list):
        return ",".join(str(part) for part in value) or "-"
    return (
        {True: "yes", False: "no", "": "-", None: "-"}.get(value, str(value))
        if isinstance(value, bool | str)
        else str(value)
    )


def runs(options: argparse.Namespace) -> int:
    """`workbench runs`."""
    import msgspec

    from workbench import console, text
    from workbench.runs.store import Store

    rows = Store.default().rows()
    if options.json:
        console.print_json([msgspec.to_builtins(row) for row in rows])
        return DONE
    if not rows:
        console.say("there are no runs yet: workbench train digits-mlp makes one")
        return DONE
    console.print_table(
        ("run", "name", "status", "epoch", "best", "dataset", "model", "started"),
        [(r.id, r.name, r.status, f"{r.epoch}/{r.epochs_total}", text.fraction(r.best), r.dataset, r.model,
          text.clock(r.created)) for r in rows],
    )  # fmt: skip
    return DONE


def show(options: argparse.Namespace) -> int:
    """`workbench show`."""
    from workbench import console
    from workbench.runs.report import describe

    document = describe(_find(options.run))
    if options.json:
        console.print_json(document)
    else:
        console.tell_result(document)
    return DONE


def watch(options: argparse.Namespace) -> int:
    """`workbench watch`."""
    from workbench import console
    from workbench.runs.report import describe
    from workbench.runs.status import Status

    folder = _find(options.run)
    status = console.Follower(folder).follow()
    console.tell_result(describe(folder))
    return DONE if status in {Status.FINISHED, Status.STOPPED} else FAILED


def stop(options: argparse.Namespace) -> int:
    """`workbench stop`: returns when the run has ended."""
    from workbench import console
    from workbench.runs import launch
    from workbench.runs.report import describe

    folder = _find(options.run)
    launch.ask(folder, "stop")
    console.say(f"{folder.id} writes a checkpoint and stops")
    console.wait_for_end(folder)
    document = describe(folder)
    if options.json:
        console.print_json(document)
    else:
        console.tell(
            f"{folder.id}: {document['status']} at step {document['step']}; 'workbench resume {folder.id}' goes on"
        )
    return DONE


def remove(options: argparse.Namespace) -> int:
    """`workbench rm`."""
    from workbench import console
    from workbench.runs.store import Store

    store = Store.default()
    folder = store.find(options.run)
    kept = store.remove(folder, now=options.now)
    console.tell(f"{folder.id} is deleted" if kept is None else f"{folder.id} is in the trash: {kept}")
    return DONE


def compare(options: argparse.Namespace) -> int:
    """`workbench compare`: results, and the settings that differ."""
    from workbench import console
    from workbench.runs.compare import compare_runs

    folders = [_find(name) for name in options.run]
    if len({folder.id for folder in folders}) < max(2, len(folders)):
        raise BadInput("compare takes two different runs or more: workbench compare last RUN")
    rows = compare_runs(folders)
    if options.json:
        console.print_json(rows)
        return DONE
    names = [row["run"] for row in rows]
    keys = [key for key in rows[0] if key != "run"]
    console.print_table(("", *names), [(key, *(_shown(row[key]) for row in rows)) for key in keys])
    return DONE


def evaluate(options: argparse.Namespace) -> int:
    """`workbench evaluate`."""
    from workbench import console
    from workbench.inference.evaluate import evaluate_run

    document = evaluate_run(_find(options.run), options.split, options.device, console.progress_printer())
    if options.json:
        console.print_json(document)
    else:
        console.tell_evaluation(document)
    return DONE


def export(options: argparse.Namespace) -> int:
    """`workbench export`."""
    from workbench import console
    from workbench.export import export_run

    console.tell(str(export_run(_find(options.run), options.format, options.to)))
    return DONE


def classify(options: argparse.Namespace) -> int:
    """`workbench classify`."""
    from workbench.inference import command

    return command.classify(options)


def fetch(options: argparse.Namespace) -> int:
    """`workbench fetch`: exits with 0 once everything is there."""
    from workbench import fetching

    return fetching.command(options)


def recipes(options: argparse.Namespace) -> int:
    """`workbench recipes`."""
    from workbench import console
    from workbench.experiment import load_recipe, recipe_files

    rows = [load_recipe(path.stem) for path in recipe_files()]
    if options.json:
        console.print_json(rows)
        return DONE
    console.print_table(
        ("recipe", "what it is", "published"),
        [(r["recipe"], r.get("title", ""), _published(r.get("reference"))) for r in rows],
    )
    return DONE


def _published(reference: dict[str, Any] | None) -> str:
    return f"{reference['metric']} {reference['published']:g} ({reference['source']})" if reference else "-"


def datasets(options: argparse.Namespace) -> int:
    """`workbench datasets`."""
    from workbench import console, text
    from workbench.datasets.catalogue import CATALOGUE, describe

    rows = [describe(info.name, measure=True) for info in CATALOGUE]
    if options.json:
        console.print_json(rows)
        return DONE
    console.print_table(
        ("dataset", "what it is", "train+test", "classes", "shape", "size", "here"),
        [
            (r["name"], r["title"], _pair(r["train"], r["test"]), r["classes"] or "-",
             "×".join(map(str, r["shape"])) if r["shape"] else "varies",
             text.size(r["bytes"] or r["download"] or None), "yes" if r["here"] else "no")
            for r in rows
        ],
    )  # fmt: skip
    console.say("Your own: --dataset folder:PATH (one folder per class), --dataset ./data.py:make")
    return DONE


def _pair(train: int | None, test: int | None) -> str:
    return f"{train}+{test}" if train is not None else "?"


def models(options: argparse.Namespace) -> int:
    """`workbench models`."""
    from workbench import console, text
    from workbench.models.catalogue import CATALOGUE, describe

    rows = [describe(info) for info in CATALOGUE]
    if options.json:
        console.print_json(rows)
        return DONE
    console.print_table(
        ("model", "what it is", "input", "parameters", "weights"),
        [(r["name"], r["title"], r["input_size"] or "any", text.count(r["parameters"]),
          "-" if not r["weights_bytes"] else "here" if r["weights_here"] else text.size(r["weights_bytes"]))
         for r in rows],
    )  # fmt: skip
    console.say("Your own: --model ./net.py:Net")
    return DONE


def devices(options: argparse.Namespace) -> int:
    """`workbench devices`."""
    from workbench import console
    from workbench.runs import machine

    rows = machine.devices()
    if options.json:
        console.print_json(rows)
        return DONE
    console.print_devices(rows)
    return DONE


def doctor(options: argparse.Namespace) -> int:
    """`workbench doctor`: exits with 1 where something would keep training from working."""
    from workbench import console
    from workbench.runs import machine

    document = machine.describe()
    problems = machine.problems()
    if options.json:
        console.print_json({**document, "problems": problems})
    else:
        console.tell_machine(document, problems)
    return FAILED if problems else DONE


def _find(name: str) -> RunFolder:
    from workbench.runs.store import Store

    return Store.default().find(name)
