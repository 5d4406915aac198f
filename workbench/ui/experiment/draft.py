"""The experiment that is being put together: a base (a recipe, a run's, a choice), and what a person set by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from workbench.config.experiment import (
    Choice,
    Experiment,
    all_settings,
    apply_overrides,
    check_sources,
    from_dict,
    pair_defaults,
)
from workbench.config.recipes import load_recipe
from workbench.core.errors import BadInput
from workbench.core.settings_schema import Setting
from workbench.datasets import catalog as datasets
from workbench.models import catalog as models
from workbench.ui.widgets.form import Field

COMMON = (
    "train.epochs", "train.batch_size", "train.optimizer", "train.lr", "train.schedule", "train.augment",
    "train.validation", "train.device", "seed",
)  # fmt: skip
"""The settings most people change, in the order the form shows them."""

FIRST_RECIPE = "digits-mlp"
_OF_A_RECIPE = ("name", "recipe", "title", "teaches", "reference", "do")
_SECTIONS = ("data", "model", "train")

Settings = Mapping[str, object]
"""Settings by their full names (`data.name`, `train.lr`, `seed`), each as TOML and JSON have it or as it is typed."""


class Draft:
    """What the experiment pane edits. It may be wrong for a while (`problem` says why); `experiment` then raises."""

    def __init__(self) -> None:
        self._base: Settings = {}
        self._by_hand: dict[str, str] = {}
        self._before: list[tuple[Settings, dict[str, str]]] = []
        self.load_recipe(FIRST_RECIPE)

    def load_recipe(self, name: str) -> None:
        """Begin again from a recipe or a TOML file. Raises `BadInput`, and is then as before."""
        content = load_recipe(name)
        if content.get("do", "train") != "train":
            raise BadInput(
                f"the recipe '{content['name']}' classifies an image: the photo pane (6) is for that"
            )
        from_dict(content)
        self._become(_flat(content), {})

    def load(self, experiment: Experiment) -> None:
        """Begin again from the experiment of a run. Raises `BadInput`, and is then as before."""
        content = experiment.to_dict()
        from_dict(content)
        self._become(_flat(content), {})

    def _become(self, base: Settings, by_hand: dict[str, str]) -> None:
        self._before.append((self._base, self._by_hand))
        self._base, self._by_hand = base, by_hand

    @property
    def changes(self) -> int:
        """How many changes can be taken back."""
        return len(self._before)

    @property
    def last_change(self) -> str:
        """What was changed last, in a few words."""
        base, by_hand = self._before[-1]
        keys = [key for key in {**by_hand, **self._by_hand} if by_hand.get(key) != self._by_hand.get(key)]
        if base is not self._base or not keys:
            return f"the choice of {self.recipe or f'{self.data} with {self.model}'}"
        return f"{keys[0]} {self._by_hand.get(keys[0], 'as it was by default')}"

    def undo(self) -> None:
        """Be as before the last change; where there was none, nothing happens."""
        if len(self._before) > 1:  # the first is from before anything was loaded
            self._base, self._by_hand = self._before.pop()

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
        """The recipe it begins from; empty after another choice."""
        return str(self._base.get("recipe") or "")

    @property
    def is_new(self) -> bool:
        """Whether nothing was set by hand."""
        return not self._by_hand

    def choose(self, section: str, name: str) -> None:
        """Take another dataset (`data`) or model (`model`). Raises `BadInput` where there is none of that name.

        What suits the pair is found anew; what was set by hand stays, but for options of what was given up.
        """
        info = datasets.find(name) if section == "data" else models.find(name)
        check_sources(info.name)
        if info.name == self._base[f"{section}.name"]:
            return
        replaced = (f"{section}.", "train.")
        kept = {k: v for k, v in self._base.items() if k not in _OF_A_RECIPE and not k.startswith(replaced)}
        by_hand = {k: v for k, v in self._by_hand.items() if not k.startswith(f"{section}.")}
        self._become({**kept, f"{section}.name": info.name}, by_hand)

    def set(self, key: str, text: str) -> None:
        """Set one setting as typed. Raises `BadInput`, and is then as before."""
        if complaint := self.complaint(key, text):
            raise BadInput(complaint)
        self._become(self._base, {**self._by_hand, key: self._plain(key, text)})

    def reset(self, key: str) -> None:
        """Give a setting its default again."""
        self._become(self._base, {k: v for k, v in self._by_hand.items() if k != key})

    def complaint(self, key: str, text: str) -> str | None:
        """What is wrong with a setting as it is typed, in one line; what was wrong before does not count."""
        found = _problem({**self._settings, key: self._plain(key, text)})
        return None if found is None or found == self.problem else found

    @property
    def problem(self) -> str | None:
        """Why this can't be trained, in one line."""
        return _problem(self._settings)

    def experiment(self) -> Experiment:
        """The experiment as it stands. Raises `BadInput`."""
        return _experiment(self._settings)

    def choices(self) -> tuple[Choice, Choice]:
        """Dataset and model with the options that are given."""
        return _choice(self._settings, "data"), _choice(self._settings, "model")

    def value(self, key: str) -> object:
        """A setting as it will be used (as typed, while the whole can't be used); `None` for one the pair lacks."""
        return self._values().get(key)

    def fields(self, layers: str = "") -> list[Field]:
        """Every row of the form: what is chosen with its options, the common settings, the rest.

        `layers` sums up what the pair becomes.
        """
        values = self._values()
        rows = {row.key: self._field(row, values) for row in all_settings(self.data, self.model)}
        common = [rows.pop(key) for key in COMMON if key in rows]
        options = {
            section: [rows.pop(key) for key in list(rows) if key.startswith(f"{section}.")]
            for section in ("data", "model")
        }
        about = str(values.get("title") or "")
        return [
            Field("recipe", "recipe", self.recipe or "none", "pick", help=about),
            Field("data", "dataset", self.data, "pick", help=datasets.find(self.data).title),
            *options["data"],
            Field("model", "model", self.model, "pick", help=models.find(self.model).title),
            *options["model"],
            Field("layers", "layers", layers or "layer by layer", "pick"),
            Field("train", "train", "", "heading"),
            *common,
            Field("more", "more", "", "heading"),
            *rows.values(),
        ]

    def _field(self, row: Setting, values: Settings) -> Field:
        section, dot, field = row.key.partition(".")
        value = values.get(row.key, row.default)
        label = row.key if not dot else field if section == "train" else f"  {field}"
        return Field(row.key, label, shown(value), row.kind, row.key in self._by_hand, row.help, row.choices)

    def _plain(self, key: str, text: str) -> str:
        """`none` and `-` are how an empty list is typed."""
        lists = {row.key for row in all_settings(self.data, self.model) if row.kind == "list"}
        return "" if key in lists and text.strip() in {"none", "-"} else text.strip()

    @property
    def _settings(self) -> Settings:
        """What is chosen and set, without defaults."""
        return {**self._base, **self._by_hand}

    def _values(self) -> Settings:
        """Every setting with its default, as typed where the whole can't be used."""
        try:
            return _flat(self.experiment().to_dict())
        except BadInput:
            return {**self._defaults(), **self._settings}

    def _defaults(self) -> Settings:
        defaults = {row.key: row.default for row in all_settings(self.data, self.model)}
        suiting = pair_defaults(Choice(self.data), Choice(self.model))
        return {**defaults, **{f"train.{key}": value for key, value in suiting.items()}}


@dataclass(frozen=True)
class Cost:
    """What a run of the draft will take; figures that aren't known are `None`."""

    train: int | None
    """Examples that are trained on, without those kept for validation."""
    validation: int | None
    test: int | None
    steps: int | None
    parameters: int | None
    disk: int
    """Bytes: downloads and checkpoints."""
    download: int
    """Bytes of it that are still to be fetched."""


def cost(draft: Draft, parameters: int | None) -> Cost:
    """What is known of the cost before anything is loaded; `parameters` as counted, where they are."""
    data, model = draft.choices()
    about, info = datasets.describe(data.name, data.options), models.find(model.name)
    whole, part = about.train, float(_number(draft.value("train.validation")) or 0.0)
    kept = None if whole is None else round(whole * part)
    train = None if whole is None or kept is None else whole - kept
    batch, epochs = _number(draft.value("train.batch_size")), _number(draft.value("train.epochs"))
    steps = int(math.ceil(train / batch) * epochs) if train and batch and epochs else None
    count = parameters if parameters is not None else info.parameters if info.kind == "torchvision" else None
    pretrained = bool(draft.value("model.pretrained")) and not draft.value("model.weights")
    missing = info.weights_bytes if pretrained and info.weights_here() is None else 0
    download = (0 if about.here else about.download) + missing
    # The best and the last two checkpoints, each with the optimizer's two averages.
    disk = download + 3 * 3 * 4 * (count or 0)
    return Cost(train, kept, about.test, steps, count, disk, download)


def shown(value: object) -> str:
    """A setting's value as a person types it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(shown(part) for part in value) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _number(value: object) -> float | None:
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if math.isfinite(found) and found >= 0 else None


def _flat(content: Mapping[str, object]) -> Settings:
    """The settings of an experiment in its TOML or JSON form."""
    flat: dict[str, object] = {}
    for key, value in content.items():
        inner = value if key in _SECTIONS and isinstance(value, Mapping) else None
        flat |= {key: value} if inner is None else {f"{key}.{name}": one for name, one in inner.items()}
    return flat


def _choice(settings: Settings, section: str) -> Choice:
    within = {
        key.removeprefix(f"{section}."): v for key, v in settings.items() if key.startswith(f"{section}.")
    }
    return Choice(str(within.pop("name")), within)


def _experiment(settings: Settings) -> Experiment:
    return from_dict(apply_overrides({}, settings))


def _problem(settings: Settings) -> str | None:
    try:
        _experiment(settings)
    except BadInput as error:
        return str(error)
    return None
