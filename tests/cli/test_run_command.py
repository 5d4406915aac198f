"""The command that `workbench show --command` prints, read by the real parser, describes the same run."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.run_folders import attempt, folder  # noqa: F401
from workbench.cli.commands.script import script_of
from workbench.cli.commands.train import experiment_of
from workbench.cli.main import parse, run
from workbench.config.experiment import build_experiment
from workbench.io.atomic_files import write_json
from workbench.io.record_codec import write_record
from workbench.runs.journal import Journal, SettingChange
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.runs.script import Script, read_script

OWN = "def make(text='a', number=1, words=()):\n    return None\n"


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert run(["show", "last", "--command"]) == 0
    program, *arguments = shlex.split(capsys.readouterr().out)
    assert program == "workbench"
    return arguments


def described(arguments: list[str]) -> Any:
    """The experiment that a command line describes, in the form of `experiment.json`."""
    return json.loads(json.dumps(experiment_of(parse(arguments)).to_dict()))


def recorded(made: RunFolder) -> Any:
    return json.loads(made.experiment.read_text())


@pytest.mark.parametrize(
    ("recipe", "choices", "sets"),
    [
        ("digits-mlp", {}, []),
        ("digits-mlp", {"name": "mine+2"}, ["train.epochs=3", "seed=7", "train.lr=1e-05"]),
        ("digits-mlp", {"model": "linear", "device": "cpu"}, ["train.nesterov=yes", "train.augment="]),
        ("digits-mlp", {"dataset": "clusters"}, ["train.augment=", "train.threads=2"]),
        ("cifar10-fast", {}, ["train.augment=crop,altflip", "weights=last"]),
        (
            None,
            {"dataset": "digits", "model": "mlp"},
            ["model.widths=64,32", "on_finish=echo 'it is' \"$done\" > a b"],
        ),
        (None, {"dataset": "line", "model": "linear"}, ["train.epochs=3"]),
    ],
)
def test_a_training(
    recipe: str | None,
    choices: dict[str, str],
    sets: list[str],
    home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = create_run_folder(home / "runs", "made")
    write_json(made.experiment, build_experiment(recipe, **choices, sets=sets).to_dict())
    arguments = printed(capsys)
    assert described(arguments) == recorded(made)
    assert arguments[:2] == ["train", recipe] or recipe is None
    assert len(arguments) <= 2 + 2 * (len(choices) + len(sets)), "only what differs"


@pytest.mark.parametrize("value", ["3", "three", "yes", "a,b", "[1, 2]", 'it\'s "so"'])
def test_a_dataset_of_ones_own_has_its_options_as_they_were(
    value: str, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    made = create_run_folder(home / "runs", "made")
    sets = [f"data.text={value}", "data.number=2"]
    write_json(
        made.experiment, build_experiment(dataset=f"{tmp_path}/own.py:make", model="mlp", sets=sets).to_dict()
    )
    assert described(printed(capsys)) == recorded(made)


def test_a_text_that_looks_like_a_number_stays_a_text(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    made = create_run_folder(home / "runs", "made")
    content = build_experiment(dataset=f"{tmp_path}/own.py:make", model="mlp").to_dict()
    content["data"] |= {"text": "3", "words": ["a, b", "c"]}
    write_json(made.experiment, content)
    assert described(printed(capsys)) == recorded(made)


@pytest.mark.parametrize(
    "script",
    [
        Script(command=("python", "train.py", "--lr", "0.1"), name="train", working_directory="/some where"),
        Script(
            command=("sh", "-c", "echo $HOME; exit 1"), name="other", working_directory="/", device="cuda:1",
            logs=("/logs/a b", "/logs/c"), pty=True, grace_seconds=2.5,
        ),
    ],
)  # fmt: skip
def test_a_script(script: Script, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = create_run_folder(home / "runs", "made")
    write_record(made.experiment, script)
    write_record(made.notes, Notes(group="lr's", tags=("one", "-two")))
    options = parse(printed(capsys))
    assert script_of(options) == read_script(made.experiment) == script
    assert (options.group, options.tag) == ("lr's", ["one", "-two"])


def test_what_was_changed_later_is_told(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    journal = Journal(folder.journal)
    journal.append(SettingChange(setting="train.lr", value=0.5, step=300))
    journal.close()
    attempt(folder, 2, from_step=400, overrides={"train.epochs": 9})
    assert run(["show", "last", "--command"]) == 0
    output = capsys.readouterr()
    assert output.out == "workbench train digits-mlp --set train.epochs=3\n"
    assert "changed later: train.lr=0.5 at step 300, train.epochs=9 at step 400" in output.err


def test_a_damaged_run_has_no_command(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    folder.experiment.write_text("{")
    assert run(["show", "last", "--command"]) == 2
    assert "experiment.json is missing or damaged" in capsys.readouterr().err
