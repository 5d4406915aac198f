"""The experiment being edited: a base (a recipe, a run's experiment, a dataset and model) and manual overrides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from workbench.config.data_summary import DataSummary
from workbench.config.experiment import (
    Experiment,
    all_settings,
    apply_overrides,
    check_sources,
    default_train_settings,
    experiment_from_dict,
)
from workbench.config.recipes import RecipeContent, load_recipe
from workbench.config.variants import FOLD, FOLDS, Variant, is_axis, make_variants, split_values
from workbench.core.errors import UserError
from workbench.core.setting_parser import parse_assignment
from workbench.core.settings_schema import Choice, Setting
from workbench.datasets import catalog as datasets
from workbench.datasets.fold_choice import fold_counts
from workbench.models import catalog as models
from workbench.ui.experiment.schedule_screen import schedule_line
from workbench.ui.widgets.form import Field

COMMON_SETTINGS = (
    "train.epochs", "train.batch_size", "train.optimizer", "train.lr", "train.schedule", "train.augment",
    "train.validation", "train.folds", "train.device", "seed",
)  # fmt: skip
"""The most frequently changed settings, in the order of the form."""

DEVICE_SETTING = "train.device"
"""The setting whose values are the devices of this host."""

CONTENTS_HELP = "classes, splits and files of the folder, and what is left out"
SCHEDULE_HELP = "the learning rate over the run"
FIRST_RECIPE = "digits-mlp"
_RECIPE_KEYS = ("name", "recipe", "title", "teaches", "reference", "do")
_SECTIONS = ("data", "model", "train")

Settings = Mapping[str, object]
"""Settings by their full names (`data.name`, `train.lr`, `seed`), each in its TOML/JSON form or as typed."""


class Draft:
    """What the experiment pane edits. It may be invalid for a while (see `problem`); `experiment` then raises."""

    def __init__(self) -> None:
        self._base: Settings = {}
        self._overrides: dict[str, str] = {}
        self._history: list[tuple[Settings, dict[str, str]]] = []
        self.load_recipe(FIRST_RECIPE)

    def load_recipe(self, name: str) -> None:
        """Start over from a recipe or a TOML file. Raises `UserError` and leaves the draft unchanged."""
        content = load_recipe(name)
        if content.get("do", "train") != "train":
            raise UserError(
                f"the recipe '{content['name']}' classifies images; open it in the photo pane (6)"
            )
        experiment_from_dict(content)
        self._replace(_flatten(content), {})

    def load(self, experiment: Experiment) -> None:
        """Start over from the experiment of a run. Raises `UserError` and leaves the draft unchanged."""
        content = experiment.to_dict()
        experiment_from_dict(content)
        self._replace(_flatten(content), {})

    @property
    def content(self) -> tuple[Settings, dict[str, str]]:
        """The base and the overrides."""
        return self._base, self._overrides

    def restore(self, base: Settings, overrides: Mapping[str, str]) -> None:
        """Start over from saved `content`.

        Raises `UserError`, `KeyError`, `TypeError` or `ValueError` for what can't be edited.
        """
        for section, catalog in (("data", datasets), ("model", models)):
            check_sources(catalog.find(str(base[f"{section}.name"])).name)
        before = self.content
        self._base, self._overrides = base, dict(overrides)
        try:
            self.fields()
        except (UserError, KeyError, TypeError, ValueError):
            self._base, self._overrides = before
            raise

    def _replace(self, base: Settings, overrides: dict[str, str]) -> None:
        self._history.append((self._base, self._overrides))
        self._base, self._overrides = base, overrides

    @property
    def num_changes(self) -> int:
        """The number of changes in the undo history."""
        return len(self._history)

    @property
    def last_change(self) -> str:
        """A short description of the last change, for the undo notification."""
        base, overrides = self._history[-1]
        keys = [
            key for key in {**overrides, **self._overrides} if overrides.get(key) != self._overrides.get(key)
        ]
        if base is not self._base or not keys:
            return f"selection of {self.recipe or f'{self.data} with {self.model}'}"
        return f"{keys[0]} {self._overrides.get(keys[0], 'reset to its default')}"

    def undo(self) -> None:
        """Revert the last change, if there is one."""
        if len(self._history) > 1:  # the first entry is the empty state before the first recipe
            self._base, self._overrides = self._history.pop()

    @property
    def data(self) -> str:
        """The dataset's name."""
        return str(self._base["data.name"])

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self._base["model.name"])

    @property
    def recipe(self) -> str:
        """The recipe that the draft is based on; empty once another dataset or model was selected."""
        return str(self._base.get("recipe") or "")

    @property
    def state(self) -> tuple[str, str]:
        """The recipe, and whether settings were changed or how many runs they mean; each may be empty."""
        if self.count > 1:
            return self.recipe, f"{self.count} runs"
        return self.recipe, "" if self.is_unmodified else "changed"

    @property
    def count(self) -> int:
        """How many experiments are edited, see `variants`."""
        axes = dict(self.axes)
        runs = 1
        if _number(self.value(FOLD)) == 0:  # each number of folds is as many runs
            folds = split_values(axes.pop(FOLDS, str(self.value(FOLDS))))
            runs = sum(max(1, int(_number(count) or 0)) for count in folds)
        return runs * math.prod(len(split_values(text)) for text in axes.values())

    @property
    def is_unmodified(self) -> bool:
        """Whether no setting was overridden."""
        return not self._overrides

    def choose(self, section: str, name: str) -> None:
        """Select another dataset (`data`) or model (`model`). Raises `UserError` for an unknown name.

        The defaults of the new pair apply; overrides stay, except options of the replaced dataset or model.
        """
        info = datasets.find(name) if section == "data" else models.find(name)
        check_sources(info.name)
        if info.name == self._base[f"{section}.name"]:
            return
        replaced = (f"{section}.", "train.")
        base = {k: v for k, v in self._base.items() if k not in _RECIPE_KEYS and not k.startswith(replaced)}
        overrides = {k: v for k, v in self._overrides.items() if not k.startswith(f"{section}.")}
        self._replace({**base, f"{section}.name": info.name}, overrides)

    def set(self, key: str, text: str) -> None:
        """Override a setting with typed text. Raises `UserError` and leaves the draft unchanged."""
        if error := self.setting_error(key, text):
            raise UserError(error)
        self._replace(self._base, {**self._overrides, key: self._normalize(key, text)})

    def reset(self, key: str) -> None:
        """Reset a setting to its default."""
        self._replace(self._base, {k: v for k, v in self._overrides.items() if k != key})

    def setting_error(self, key: str, text: str) -> str | None:
        """The error that setting `key` to `text` would cause, in one line; errors that exist already are ignored."""
        problem = _problem({**self._settings, key: self._normalize(key, text)})
        return None if problem == self.problem else problem

    @property
    def problem(self) -> str | None:
        """Why the draft is not a valid experiment, in one line; `None` if it is."""
        return _problem(self._settings)

    def experiment(self) -> Experiment:
        """The edited experiment; of several the first. Raises `UserError`."""
        return _experiment(_first_of_axes(self._settings))

    def recipe_content(self) -> RecipeContent:
        """The edited experiment before defaults; of several the first. Raises `UserError`."""
        content = dict(apply_overrides({}, _first_of_axes(self._settings)))
        experiment_from_dict(content)
        return content

    def variants(self) -> list[Variant]:
        """The edited experiments: one for each combination of values like `0.1 | 0.03`. Raises `UserError`."""
        return _variants(self._settings, self.axes)

    @property
    def axes(self) -> dict[str, str]:
        """The settings with several values, as typed, by full name."""
        return _axes(self._settings)

    def choices(self) -> tuple[Choice, Choice]:
        """Dataset and model with their options, as the run will use them; as typed while the draft is invalid."""
        if self.problem is None:
            experiment = self.experiment()
            return experiment.data, experiment.model
        return _choice(self._settings, "data"), _choice(self._settings, "model")

    def value(self, key: str) -> object:
        """The effective value of a setting (as typed while the draft is invalid); `None` for an unknown key."""
        return self._values().get(key)

    def fields(self, layers: str = "", contents: str = "") -> list[Field]:
        """Every row of the form: recipe, dataset and model with their options, common settings, other settings.

        `layers`: the text of the row that opens the list of layers; `contents`: of the row that says what a folder of
        images contains, which is left out if it is empty.
        """
        values = self._values()
        rows = {row.key: self._field(row, values) for row in all_settings(self.data, self.model)}
        common = [rows.pop(key) for key in COMMON_SETTINGS if key in rows]
        place = COMMON_SETTINGS.index("train.schedule") + 1
        common[place:place] = self._schedule_row()
        options = {
            section: [rows.pop(key) for key in list(rows) if key.startswith(f"{section}.")]
            for section in ("data", "model")
        }
        about = str(values.get("title") or "")
        return [
            Field("recipe", "recipe", self.recipe or "none", "pick", help=about),
            Field("data", "dataset", self.data, "pick", help=datasets.find(self.data).title),
            *([Field("contents", "contents", contents, "pick", help=CONTENTS_HELP)] if contents else []),
            *options["data"],
            Field("model", "model", self.model, "pick", help=models.find(self.model).title),
            *options["model"],
            Field("layers", "layers", layers or "list of layers", "pick"),
            Field("train", "train", "", "heading"),
            *common,
            Field("more", "other settings", "", "heading"),
            *rows.values(),
        ]

    def _schedule_row(self) -> list[Field]:
        """The course of the learning rate, where it changes."""
        if self.problem is not None:
            return []
        line = schedule_line(self.experiment().train, steps_per_epoch(self))
        return [Field("schedule", "  lr by step", line, "pick", help=SCHEDULE_HELP)] if line else []

    def _field(self, row: Setting, values: Settings) -> Field:
        section, dot, field = row.key.partition(".")
        value = values.get(row.key, row.default)
        label = row.key if not dot else field if section == "train" else f"  {field}"
        kind = "pick" if row.key == DEVICE_SETTING else row.kind
        return Field(
            row.key, label, format_value(value), kind, row.key in self._overrides, row.help, row.choices
        )

    def _normalize(self, key: str, text: str) -> str:
        """The text without surrounding spaces; `none` and `-` stand for an empty list."""
        lists = {row.key for row in all_settings(self.data, self.model) if row.kind == "list"}
        return "" if key in lists and text.strip() in {"none", "-"} else text.strip()

    @property
    def _settings(self) -> Settings:
        """The base with the overrides, without defaults."""
        return {**self._base, **self._overrides}

    def _values(self) -> Settings:
        """Every setting with its default; as typed while the draft is invalid."""
        try:
            return {**_flatten(self.experiment().to_dict()), **self.axes}
        except UserError:
            return {**self._defaults(), **self._settings}

    def _defaults(self) -> Settings:
        defaults = {row.key: row.default for row in all_settings(self.data, self.model)}
        train_defaults = default_train_settings(Choice(self.data), Choice(self.model))
        return {**defaults, **{f"train.{key}": value for key, value in train_defaults.items()}}


@dataclass(frozen=True)
class Cost:
    """The estimated cost of a run; unknown values are `None`."""

    train: int | None
    """Training samples, without the validation split."""
    validation: int | None
    test: int | None
    steps: int | None
    parameters: int | None
    disk: int
    """Bytes: downloads and checkpoints."""
    download: int
    """The bytes of it that are still to be downloaded."""


def cost(draft: Draft, parameters: int | None, contents: DataSummary | None = None) -> Cost:
    """The cost as far as it is known before loading anything.

    `parameters`: the counted ones, if known; `contents`: those of a folder of images.
    """
    data, model = draft.choices()
    about, info = datasets.describe(data.name, data.options), models.find(model.name)
    fraction = float(_number(draft.value("train.validation")) or 0.0)
    folds = int(_number(draft.value(FOLDS)) or 0)
    total, test = fold_counts(about.train, about.test, folds, draws_test=about.draws_test)
    validation = None if total is None else round(total * fraction)
    train, classes = None if total is None or validation is None else total - validation, about.classes
    if contents is not None:
        totals = {split: sum(counts) for split, counts in contents.counts.items()}
        train, validation, test = totals["train"], totals.get("validation"), totals["test"]
        classes = len(contents.facts.classes)
    batch, epochs = _number(draft.value("train.batch_size")), _number(draft.value("train.epochs"))
    steps = int(math.ceil(train / batch) * epochs) if train and batch and epochs else None
    expected = info.parameters_for(classes) if info.published else None
    count = parameters if parameters is not None else expected
    pretrained = bool(draft.value("model.pretrained")) and not draft.value("model.weights")
    missing = info.weights_bytes if pretrained and info.local_weights() is None else 0
    download = (0 if about.here else about.download) + missing
    # The best and the last two checkpoints, each with two optimizer moments, in float32.
    disk = download + 3 * 3 * 4 * (count or 0)
    return Cost(train, validation, test, steps, count, disk, download)


def steps_per_epoch(draft: Draft) -> int | None:
    """The steps of an epoch of the (first) edited experiment; `None` while the number of samples is not known."""
    train, steps = draft.experiment().train, cost(draft, 0).steps
    return None if not steps else max(1, steps // train.epochs)


def format_value(value: object) -> str:
    """A setting's value as it would be typed."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(format_value(part) for part in value) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _number(value: object) -> float | None:
    """A value as a number, of several the first."""
    try:
        number = float(split_values(str(value))[0])
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _flatten(content: Mapping[str, object]) -> Settings:
    """The settings of an experiment in its TOML or JSON form."""
    flat: dict[str, object] = {}
    for key, value in content.items():
        inner = value if key in _SECTIONS and isinstance(value, Mapping) else None
        flat |= {key: value} if inner is None else {f"{key}.{name}": one for name, one in inner.items()}
    return flat


def _choice(settings: Settings, section: str) -> Choice:
    options = {
        key.removeprefix(f"{section}."): v for key, v in settings.items() if key.startswith(f"{section}.")
    }
    return Choice(str(options.pop("name")), options)


def _experiment(settings: Settings) -> Experiment:
    return experiment_from_dict(apply_overrides({}, settings))


def _axes(settings: Settings) -> dict[str, str]:
    return {key: text for key, text in settings.items() if isinstance(text, str) and is_axis(key, text)}


def _first_of_axes(settings: Settings) -> Settings:
    return {**settings, **{key: split_values(text)[0] for key, text in _axes(settings).items()}}


def _variants(settings: Settings, axes: Mapping[str, str]) -> list[Variant]:
    """An experiment for each combination of the values in `axes`; of other settings the first value."""
    first = _first_of_axes(settings)
    return make_variants(
        lambda sets: _experiment({**first, **dict(map(parse_assignment, sets))}),
        [f"{key}={text}" for key, text in axes.items()],
    )


def _problem(settings: Settings) -> str | None:
    """The first error; of settings with several values each value is tried."""
    try:
        for key, text in _axes(settings).items():
            _variants(settings, {key: text})
        _experiment(_first_of_axes(settings))
    except UserError as error:
        return str(error)
    return None
