"""The experiment: dataset, model, settings and seed, as one typed value that all interfaces build the same way."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from workbench.config.recipes import RecipeContent, load_recipe
from workbench.config.training_settings import Train
from workbench.core.errors import BadInput, nearest
from workbench.core.paths import given, is_file, is_folder
from workbench.core.settings_schema import Choice, Options, Section, Setting, assignment, convert, settings_of
from workbench.core.user_code import is_user_code, split_name
from workbench.datasets import catalog as datasets
from workbench.io.atomic_files import read_json
from workbench.io.record_codec import convert as convert_record
from workbench.models import catalog as models


class PublishedCurve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Figures that were published along a training: of each epoch, or at `steps`."""

    metric: str
    """`train.loss` or `train.accuracy`: means over the epoch's steps, or over those since the step before."""
    published: tuple[float, ...]
    steps: tuple[int, ...] = ()


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published figure that a recipe's own is held against."""

    metric: str
    """Where ours is found in the result: `test.accuracy`, or a figure of the model's own: `model.weight`."""
    published: float
    tolerance: Annotated[float, Meta(ge=0)]
    source: str
    formula: Literal["", "cut", "cut-batches"] = ""
    """How the published figure was computed (`runs.reference.FORMULAS`), where that is not its own definition."""
    curves: tuple[PublishedCurve, ...] = ()
    per_class: dict[str, float] = {}
    """Published accuracy of each class, by the name it has there; shown, not judged."""
    aliases: dict[str, str] = {}
    """Classes that the dataset calls otherwise: the published name and the dataset's."""
    examples: tuple[tuple[str, str], ...] = ()
    """The first test examples, by published names: what they are and what the published model said."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides what a run computes, and its name."""

    name: Annotated[str, Meta(description="what the run is called")] = ""
    data: Choice
    model: Choice
    train: Train = Train()
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="what every random choice derives from")] = 0
    recipe: str | None = None
    title: str = ""
    teaches: str = ""
    reference: Reference | None = None
    weights: Annotated[
        Literal["best", "last"], Meta(description="the result is of the best epoch's weights or of the last")
    ] = "best"
    """The best epoch is chosen by `train.monitor`; without validation data the last weights are used."""
    on_finish: Annotated[
        str, Meta(max_length=2000, description="a shell command of yours, run when the run has finished")
    ] = ""
    on_fail: Annotated[
        str, Meta(max_length=2000, description="the same when it has failed, or gets on no more")
    ] = ""
    stall_seconds: Annotated[
        float, Meta(ge=0, description="seconds without progress after which it gets on no more; 0 is never")
    ] = 600.0

    def with_overrides(self, overrides: Section) -> Experiment:
        """The same with settings replaced by their full names (`{"train.epochs": 20}`); nothing is checked."""
        return experiment_from_record(apply_overrides(self.to_dict(), overrides)) or self

    def to_dict(self) -> dict[str, Any]:
        """JSON and TOML form; `from_dict` reads it back."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {"v": VERSION, **plain, "data": self.data.to_dict(), "model": self.model.to_dict()}


VERSION = 1
"""Of the JSON and TOML form."""
SECTIONS = {"data", "model", "train", "reference"}
HEAD = {"name", "seed", "weights", "on_finish", "on_fail", "stall_seconds"}
"""The settings that stand under no section."""
KEYS = {field.name for field in msgspec.structs.fields(Experiment)} | {"do", "v"}
"""Everything that the TOML and JSON form can contain. `do` is `train`, or `classify` of a recipe for that."""


def build(
    recipe: str | Section | None = None,
    *,
    dataset: str | None = None,
    model: str | None = None,
    sets: Iterable[str] = (),
    name: str | None = None,
    device: str | None = None,
) -> Experiment:
    """The experiment that a recipe (name, TOML file or its content), a choice of dataset and model, and
    settings (`KEY=VALUE`) describe.

    Later wins: defaults of the pair, the recipe, `dataset` and `model`, `sets`. Raises `BadInput`.
    """
    content = dict(recipe) if isinstance(recipe, Mapping) else load_recipe(recipe) if recipe else {}
    if content.get("do", "train") == "classify":
        raise BadInput(
            f"the recipe '{recipe}' classifies a picture: workbench classify PICTURE --recipe {recipe}"
        )
    if dataset:
        content["data"] = _chosen(content.get("data"), dataset)
    if model:
        content["model"] = _chosen(content.get("model"), model)
    for text in sets:
        _assign(content, *assignment(text))
    if name is not None:
        content["name"] = name
    if device is not None:
        _assign(content, "train.device", device)
    return from_dict(content)


def from_dict(content: Section) -> Experiment:
    """A checked experiment from its TOML or JSON form, with what it leaves out filled in. Raises `BadInput`."""
    _check_keys(content)
    data = _data_choice(content.get("data") or {})
    model = _model_choice(content.get("model") or {}, data)
    train = {**pair_defaults(data, model), **(content.get("train") or {})}
    reference = content.get("reference")
    head = {key: value for key, value in content.items() if key not in {*SECTIONS, "do", "v"}}
    sections = {
        "name": check_name(content.get("name", f"{short_name(data.name)}-{short_name(model.name)}")),
        "data": data,
        "model": model,
        "train": convert(Train, train, "train"),
        "reference": convert(Reference, reference, "reference") if reference else None,
    }
    experiment = convert(Experiment, {**head, **sections}, "experiment")
    check_pair(experiment)
    return experiment


def read_experiment(path: Path) -> Experiment | None:
    """The experiment of a run as its file has it, whatever can be had today; `None` where there is none to read."""
    content = read_json(path)
    return None if content is None else experiment_from_record(content)


def experiment_from_record(content: Section) -> Experiment | None:
    """An experiment for reading: nothing is checked, and what is damaged or unknown is left out."""
    choices = {key: _recorded_choice(content.get(key)) for key in ("data", "model")}
    return convert_record({**content, **choices}, Experiment)


def _recorded_choice(section: object) -> Choice | None:
    if not isinstance(section, Mapping) or not isinstance(section.get("name"), str):
        return None
    return Choice(section["name"], {k: v for k, v in section.items() if k != "name"})


def _check_keys(content: Section) -> None:
    """Raise `BadInput` for unknown keys, for sections that are not tables, and for what is not an experiment."""
    for section in SECTIONS & set(content):
        if content[section] is not None and not isinstance(content[section], Mapping):
            raise BadInput(f"{section} must be a table of settings, not {content[section]!r}")
    unknown = sorted(set(content) - KEYS)
    if unknown:
        known = [*sorted(SECTIONS), *sorted(HEAD), "title", "teaches", "do"]
        raise BadInput(f"unknown setting {unknown[0]}{nearest(unknown[0], known)}; known: {', '.join(known)}")
    if content.get("do", "train") not in ("train", "classify"):
        raise BadInput(f"do can't be {content['do']!r}; it can be classify, train")
    version = content.get("v", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise BadInput(
            f"this experiment is of version {version}; this workbench reads version {VERSION}: upgrade it"
        )


def _chosen(section: object, name: str) -> Section:
    """A section with another choice: without the options of the old one, unless it is the same."""
    return dict(section) if isinstance(section, Mapping) and section.get("name") == name else {"name": name}


def _assign(content: RecipeContent, key: str, value: str) -> None:
    section, dot, field = key.partition(".")
    if key in HEAD:
        content[key] = value
        return
    if not dot or section not in {"data", "model", "train"}:
        known = [*(s.key for s in settings_of(Train, "train.")), "data.", "model.", "train.", *sorted(HEAD)]
        raise BadInput(
            f"unknown setting {key}{nearest(f'train.{key}' if not dot else key, known)}; settings begin with "
            "data., model. or train. (workbench train --settings lists them)"
        )
    inner = content.setdefault(section, {})
    content[section] = {**inner, field: value} if isinstance(inner, Mapping) else inner


def _data_choice(section: Section) -> Choice:
    if "name" not in section:
        raise BadInput(
            "no dataset is chosen: name a recipe, or give --dataset (workbench datasets lists them)"
        )
    info = datasets.find(str(section["name"]))
    return Choice(info.name, _options(info.options, section, "data"))


def _model_choice(section: Section, data: Choice) -> Choice:
    if "name" not in section:
        raise BadInput("no model is chosen: name a recipe, or give --model (workbench models lists them)")
    info = models.find(str(section["name"]))
    return Choice(info.name, _options(info.options, section, "model"))


def _options(struct: type[msgspec.Struct] | None, section: Section, where: str) -> Options:
    """The options that are given, checked, the rest filled in; those of a custom dataset or model as given."""
    given = {key: value for key, value in section.items() if key != "name"}
    if struct is None:
        return {key: _guess(value) for key, value in given.items()}
    plain: Options = msgspec.to_builtins(convert(struct, given, where))
    return plain


def _guess(value: Any) -> Any:
    """Text for a parameter of a custom dataset or model as the TOML value it looks like."""
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def apply_overrides(content: Section, overrides: Section) -> dict[str, Any]:
    """An experiment's JSON form with settings replaced by their full name (`{"train.epochs": 20}`)."""
    changed = dict(content)
    for key, value in overrides.items():
        section, dot, field = key.partition(".")
        changed[section] = {**changed.get(section, {}), field: value} if dot else value
    return changed


def pair_defaults(data: Choice, model: Choice) -> Options:
    """The train settings that suit this dataset and this model, where nobody says otherwise."""
    data_info, model_info = datasets.find(data.name), models.find(model.name)
    monitor = {"monitor": "loss"} if data_info.task == "regression" else {}
    return {**data_info.train, **model_info.train_defaults(model.options), **monitor}


def check_pair(experiment: Experiment) -> None:
    """Raise `BadInput` where dataset and model can't go together, as far as it is known before loading."""
    data, model = datasets.find(experiment.data.name), models.find(experiment.model.name)
    check_sources(data.name, model.name)
    if data.task not in model.tasks:
        fitting = [m.name for m in models.CATALOGUE if data.task in m.tasks][:6]
        raise BadInput(
            f"{model.name} can't learn {data.name}: it does {' or '.join(model.tasks)}, the dataset is "
            f"{data.task}; models that fit: {', '.join(fitting)}"
        )
    if data.shape and len(data.shape) != 3 and model.pictures_only:
        raise BadInput(f"{model.name} takes pictures, {data.name} has none; models that fit: linear, mlp")
    if experiment.model.options.get("softmax") and data.task == "regression":
        raise BadInput("model.softmax is for classes; a regression learns numbers: set it to no")
    if experiment.train.monitor != "loss" and data.task == "regression":
        raise BadInput("train.monitor must be loss for a regression")


def check_sources(*names: str) -> None:
    """Raise `BadInput` where a folder or a file of one's own code is not there."""
    for name in names:
        own = split_name(name)[0] if is_user_code(name) else ""
        path = given(own or name.removeprefix("folder:"))
        if own and not is_file(path):
            raise BadInput(f"there is no file {path.absolute()} (wanted for {name})")
        if name.startswith("folder:") and not is_folder(path):
            raise BadInput(
                f"there is no folder {path.absolute()} (folder:PATH wants one folder per class in it)"
            )


def check_name(name: Any) -> str:
    """`name` if a run may bear it, else `BadInput`: it becomes part of a folder's name."""
    plain = isinstance(name, str) and all(c.isalnum() or c in "-_.+@" for c in name) and name.isprintable()
    if not plain or not name[:1].isalnum() or len(os.fsencode(name)) > 80 or name == "last":
        raise BadInput(
            f"{name!r} can't be a run's name: letters, digits and - _ . + @, beginning with a letter or digit "
            "(and not 'last')"
        )
    return str(name)


def short_name(choice: str) -> str:
    """A dataset's or model's name as part of a run's name (`folder:/data/my pets` → `my-pets`)."""
    tail = choice
    if choice.startswith("folder:"):
        tail = Path(choice[7:]).name
    elif is_user_code(choice):
        tail = split_name(choice)[1]
    cleaned = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in tail).strip("-_")
    return cleaned[:40] or "own"


def all_settings(data: str | None = None, model: str | None = None) -> list[Setting]:
    """Every setting that `--set` reaches, for a chosen dataset and model or for none."""
    rows = [s for s in settings_of(Experiment) if s.key in HEAD]
    rows += settings_of(Train, "train.")
    if data and (struct := datasets.find(data).options):
        rows += settings_of(struct, "data.")
    if model and (struct := models.find(model).options):
        rows += settings_of(struct, "model.")
    return rows
