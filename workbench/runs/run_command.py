"""The command that starts a run once more, as a shell takes it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from workbench.config.experiment import Experiment, build_experiment
from workbench.core.errors import UserError
from workbench.core.settings_schema import SettingValue
from workbench.core.text import format_setting
from workbench.io.record_codec import read_record
from workbench.runs.external_log import ExternalLog
from workbench.runs.flat_settings import flat_settings
from workbench.runs.journal import Attempt, SettingChange, read_journal
from workbench.runs.records import Notes
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import GRACE_SECONDS, Script, read_description, script_name

CHOICES = {"data.name": "--dataset", "model.name": "--model"}
"""The settings that have an option of their own."""


def run_command(folder: RunFolder) -> str:
    """`workbench train RECIPE --set …` or `workbench run … -- COMMAND`. Raises `UserError`."""
    match read_description(folder.experiment):
        case Experiment() as experiment:
            arguments = _train_arguments(experiment)
        case Script() as script:
            arguments = _script_arguments(script, read_record(folder.notes, Notes) or Notes())
        case ExternalLog():
            raise UserError(f"{folder.id} is a log of another program: how that was started is not known")
        case _:
            raise UserError(f"{folder.id} can't be repeated: its experiment.json is missing or damaged")
    return shlex.join(["workbench", *arguments])


def later_changes(folder: RunFolder) -> list[str]:
    """The settings that were changed after the start, which no single command repeats: `train.lr=0.01 at step 300`."""
    found = []
    for line in read_journal(folder.journal):
        match line:
            case Attempt():
                found += [
                    f"{key}={format_setting(value)} at step {line.from_step or 0}"
                    for key, value in line.overrides.items()
                ]
            case SettingChange():
                found.append(f"{line.setting}={format_setting(line.value)} at step {line.step}")
    return found


class _Base(NamedTuple):
    """What a command line starts from, before its settings."""

    recipe: str | None
    dataset: str | None
    model: str | None

    def with_settings(self, *assignments: str) -> Experiment:
        """The experiment with settings as typed. Raises `UserError`."""
        return build_experiment(self.recipe, dataset=self.dataset, model=self.model, sets=assignments)


def _train_arguments(experiment: Experiment) -> list[str]:
    """The recipe with what differs from it, else dataset and model with what differs from their defaults."""
    wanted = flat_settings(experiment)
    for recipe in (experiment.recipe, None):
        try:
            base = flat_settings(build_experiment(recipe)) if recipe else {}
        except UserError:  # of another version, or no longer here
            continue
        names = {key: str(wanted[key]) for key in CHOICES if wanted[key] != base.get(key)}
        chosen = _Base(recipe, names.get("data.name"), names.get("model.name"))
        start = chosen.with_settings()
        arguments = [recipe] if recipe else []
        arguments += [part for key, name in names.items() for part in (CHOICES[key], name)]
        name = [] if start.name == experiment.name else ["--name", experiment.name]
        return ["train", *arguments, *name, *_assignments(wanted, flat_settings(start), chosen)]
    raise AssertionError("without a recipe there is always a command")


def _assignments(
    wanted: dict[str, SettingValue],
    start: dict[str, SettingValue],
    chosen: _Base,
) -> Iterator[str]:
    for key, value in wanted.items():
        if key != "recipe" and value != start.get(key):
            texts = _value_texts(value)
            exact = (text for text in texts if _is_read_as(f"{key}={text}", key, value, chosen))
            yield "--set"
            yield f"{key}={next(exact, texts[0])}"


def _value_texts(value: SettingValue) -> Sequence[str]:
    """How a value may be typed: plainly, or as JSON and TOML write it."""
    plain = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
    plain = "" if plain is None else format_setting(plain) if isinstance(plain, bool) else str(plain)
    return plain, json.dumps(value)


def _is_read_as(assignment: str, key: str, value: SettingValue, chosen: _Base) -> bool:
    try:
        return flat_settings(chosen.with_settings(assignment)).get(key) == value
    except UserError:  # valid only together with others
        return False


def _script_arguments(script: Script, notes: Notes) -> list[str]:
    options = [] if script.name == script_name(script.command) else ["--name", script.name]
    options += _option("--group", notes.group)
    for tag in notes.tags:
        options += _option("--tag", tag)
    options += _option("--cwd", script.working_directory) + _option("--device", script.device)
    for path in script.logs:
        options += _option("--logs", path)
    options += ["--pty"] if script.pty else []
    options += _option(
        "--grace", "" if script.grace_seconds == GRACE_SECONDS else f"{script.grace_seconds:g}"
    )
    return ["run", *options, "--", *script.command]


def _option(name: str, value: str) -> list[str]:
    """An option where it has a value; one that looks like an option itself is joined to the name."""
    if not value:
        return []
    return [f"{name}={value}"] if value.startswith("-") else [name, value]
