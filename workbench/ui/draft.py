"""The experiment that is being put together: a base (a recipe, a run's, a choice), and what a person set by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.datasets import catalogue as datasets
from workbench.errors import BadInput
from workbench.experiment import Choice, Experiment, all_settings, check_sources, from_dict, pair_defaults
from workbench.models import catalogue as models
from workbench.recipes import load_recipe
from workbench.settings import Setting
from workbench.ui.widgets.form import Field

COMMON = (
    "train.epochs", "train.batch_size", "train.optimizer", "train.lr", "train.schedule", "train.augment",
    "train.validation", "train.device", "seed",
)  # fmt: skip
"""The settings most people change, in the order the form shows them."""

FIRST_RECIPE = "digits-mlp"
_OF_A_RECIPE = ("name", "recipe", "title", "teaches", "reference", "do")


class Draft:
    """What the experiment pane edits. It may be wrong for a while (`problem` says why); `experiment` then raises."""

    def __init__(self) -> None:
        self._base: dict[str, Any] = {}
        self._by_hand: dict[str, str] = {}
        self._before: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.load(load_recipe(FIRST_RECIPE))

    def load(self, content: Mapping[str, Any]) -> None:
        """Begin again from a recipe's content or a run's experiment. Raises `BadInput`, and is then as before."""
        base = {k: dict(v) if isinstance(v, Mapping) else v for k, v in content.items()}
        if base.get("do", "train") != "train":
            raise BadInput(
                f"the recipe '{base.get('name')}' classifies a picture: the photo pane (6) is for that"
            )
        from_dict(base)
        self._become(base, {})

    def _become(self, base: dict[str, Any], by_hand: dict[str, str]) -> None:
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
        return str(self._base["data"]["name"])

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self._base["model"]["name"])

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
        if info.name == self._base[section]["name"]:
            return
        kept = {k: v for k, v in self._base.items() if k not in _OF_A_RECIPE}
        by_hand = {k: v for k, v in self._by_hand.items() if not k.startswith(f"{section}.")}
        self._become({**kept, section: {"name": info.name}, "train": {}}, by_hand)

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
        found = _problem(_with(self._content(), key, self._plain(key, text)))
        return None if found is None or found == self.problem else found

    @property
    def problem(self) -> str | None:
        """Why this can't be trained, in one line."""
        return _problem(self._content())

    def experiment(self) -> Experiment:
        """The experiment as it stands. Raises `BadInput`."""
        return from_dict(self._content())

    def choices(self) -> tuple[Choice, Choice]:
        """Dataset and model with the options that are given."""
        content = self._content()
        return _choice(content["data"]), _choice(content["model"])

    def value(self, key: str) -> Any:
        """A setting as it will be used (as typed, while the whole can't be used)."""
        section, dot, field = key.partition(".")
        values = self._values()
        return values[section].get(field) if dot else values[key]

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

    def _field(self, row: Setting, values: Mapping[str, Any]) -> Field:
        section, dot, field = row.key.partition(".")
        value = values[section].get(field, row.default) if dot else values.get(row.key, row.default)
        label = row.key if not dot else field if section == "train" else f"  {field}"
        return Field(row.key, label, shown(value), row.kind, row.key in self._by_hand, row.help, row.choices)

    def _plain(self, key: str, text: str) -> str:
        """`none` and `-` are how an empty list is typed."""
        lists = {row.key for row in all_settings(self.data, self.model) if row.kind == "list"}
        return "" if key in lists and text.strip() in {"none", "-"} else text.strip()

    def _content(self) -> dict[str, Any]:
        content = self._base
        for key, text in self._by_hand.items():
            content = _with(content, key, text)
        return content

    def _values(self) -> dict[str, Any]:
        content = self._content()
        try:
            return from_dict(content).to_dict()
        except BadInput:
            return self._values_as_typed(content)

    def _values_as_typed(self, content: dict[str, Any]) -> dict[str, Any]:
        filled: dict[str, Any] = {"name": "", "seed": 0, **content}
        for row in all_settings(self.data, self.model):
            section, dot, field = row.key.partition(".")
            if dot:
                filled[section] = {field: row.default, **filled.get(section, {})}
        given = {**pair_defaults(Choice(self.data), Choice(self.model)), **content.get("train", {})}
        return {**filled, "train": {**filled["train"], **given}}


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
    whole, part = about["train"], float(_number(draft.value("train.validation")) or 0.0)
    kept = None if whole is None else round(whole * part)
    train = None if whole is None or kept is None else whole - kept
    batch, epochs = _number(draft.value("train.batch_size")), _number(draft.value("train.epochs"))
    steps = int(math.ceil(train / batch) * epochs) if train and batch and epochs else None
    count = parameters if parameters is not None else info.parameters if info.kind == "torchvision" else None
    pretrained = bool(draft.value("model.pretrained")) and not draft.value("model.weights")
    missing = info.weights_bytes if pretrained and info.weights_here() is None else 0
    download = (0 if about["here"] else about["download"]) + missing
    # The best and the last two checkpoints, each with the optimizer's two averages.
    disk = download + 3 * 3 * 4 * (count or 0)
    return Cost(train, kept, about["test"], steps, count, disk, download)


def shown(value: Any) -> str:
    """A setting's value as a person types it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(shown(part) for part in value) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) and found >= 0 else None


def _choice(section: Mapping[str, Any]) -> Choice:
    return Choice(str(section["name"]), {k: v for k, v in section.items() if k != "name"})


def _with(content: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    section, dot, field = key.partition(".")
    inner = {**content.get(section, {}), field: value} if dot else value
    return {**content, section: inner}


def _problem(content: Mapping[str, Any]) -> str | None:
    try:
        from_dict(content)
    except BadInput as error:
        return str(error)
    return None
