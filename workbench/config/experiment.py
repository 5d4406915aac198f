"""The experiment: dataset, model, settings and seed, as one validated value."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from workbench.config.cross_validation import check_folds
from workbench.config.data_location import with_current_dataset
from workbench.config.process_count import check_processes
from workbench.config.progressive_resizing import resizing_steps
from workbench.config.recipes import RecipeContent, load_recipe
from workbench.config.setting_aliases import (
    upgrade_experiment,
    upgrade_overrides,
    upgrade_setting,
    upgrade_train_section,
)
from workbench.config.training_checks import check_training
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError, did_you_mean
from workbench.core.parsing import parse_toml
from workbench.core.paths import expand_user_path, is_file
from workbench.core.setting_parser import parse_assignment
from workbench.core.settings_schema import (
    Choice,
    Options,
    Section,
    Setting,
    convert,
    settings_of,
)
from workbench.core.user_code import is_user_code, split_user_code_name
from workbench.core.user_code_outline import check_data_function, check_model_class, check_user_code
from workbench.datasets import catalog as datasets
from workbench.datasets.file_sources import find_source
from workbench.datasets.image_sizes import LARGE_INPUT
from workbench.io.atomic_files import read_json
from workbench.io.record_codec import convert as convert_record
from workbench.models import catalog as models


class PublishedCurve(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Published values of a training metric: one per epoch, or at `steps`."""

    metric: str
    """`train.loss` or `train.accuracy`: means over the steps of the epoch, or over those since the previous point."""
    published: tuple[float, ...]
    steps: tuple[int, ...] = ()


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The published result that a recipe's result is compared with."""

    metric: str
    """A metric of the result (`test.accuracy`) or a value of the model (`model.weight`)."""
    published: float
    tolerance: Annotated[float, Meta(ge=0)]
    source: str
    formula: Literal["", "cut", "cut-batches"] = ""
    """How the published value was computed (`runs.published_reference.FORMULAS`), if not by the metric's definition."""
    curves: tuple[PublishedCurve, ...] = ()
    per_class: dict[str, float] = {}
    """Published accuracy of each class, by its published name; informational."""
    aliases: dict[str, str] = {}
    """Class names of the dataset by published class names, where they differ."""
    examples: tuple[tuple[str, str], ...] = ()
    """Label and published prediction of the first test samples, by published class names."""


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that determines what a run computes, and its name."""

    name: Annotated[str, Meta(description="name of the run")] = ""
    data: Choice
    model: Choice
    train: TrainingSettings = TrainingSettings()
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="random seed")] = 0
    recipe: str | None = None
    title: str = ""
    teaches: str = ""
    reference: Reference | None = None
    weights: Annotated[
        Literal["best", "last"], Meta(description="weights of the result: of the best epoch or of the last")
    ] = "best"
    """`train.monitor` selects the best epoch; without validation data the last weights are used."""
    on_finish: Annotated[
        str, Meta(max_length=2000, description="shell command to run when the run has finished")
    ] = ""
    on_fail: Annotated[
        str, Meta(max_length=2000, description="shell command to run when the run has failed or stalled")
    ] = ""
    stall_seconds: Annotated[
        float,
        Meta(ge=0, description="seconds without progress after which a run counts as stalled; 0 is never"),
    ] = 600.0

    def with_dataset(self, name: str) -> Experiment:
        """This experiment with its dataset called `name`, which may be at another path."""
        return msgspec.structs.replace(self, data=Choice(name, self.data.options))

    def with_overrides(self, overrides: Section) -> Experiment:
        """This experiment with settings replaced by full name (`{"train.epochs": 20}`), without validation."""
        return experiment_from_record(apply_overrides(self.to_dict(), overrides)) or self

    def to_dict(self) -> dict[str, Any]:
        """The JSON and TOML form; `experiment_from_dict` reads it."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {"v": VERSION, **plain, "data": self.data.to_dict(), "model": self.model.to_dict()}


CROP_SCALE = 0.35
"""The least area of random-resized crops by default, as in fastai's training of few epochs."""
VERSION = 1
"""Version of the JSON and TOML form."""
MAX_NAME_BYTES = 80
"""Of the name of a run, which is part of the name of its folder."""
SECTIONS = {"data", "model", "train", "reference"}
TOP_LEVEL_SETTINGS = {"name", "seed", "weights", "on_finish", "on_fail", "stall_seconds"}
"""The settings outside of all sections."""
EXPERIMENT_KEYS = {field.name for field in msgspec.structs.fields(Experiment)} | {"do", "v"}
"""Keys of the TOML and JSON form. `do` is `train`, or `classify` in a classification recipe."""


def build_experiment(
    recipe: str | Section | None = None,
    *,
    dataset: str | None = None,
    model: str | None = None,
    sets: Iterable[str] = (),
    name: str | None = None,
    device: str | None = None,
) -> Experiment:
    """The experiment of a recipe (name, TOML file or content), a dataset and model, and settings (`KEY=VALUE`).

    Precedence, lowest first: defaults of the dataset and model, the recipe, `dataset` and `model`, `sets`. Raises
    `UserError`.
    """
    content = experiment_content(recipe, dataset=dataset, model=model, sets=sets, name=name, device=device)
    return experiment_from_dict(content)


def experiment_content(
    recipe: str | Section | None = None,
    *,
    dataset: str | None = None,
    model: str | None = None,
    sets: Iterable[str] = (),
    name: str | None = None,
    device: str | None = None,
) -> RecipeContent:
    """What these arguments of `build_experiment` say, before defaults and validation, as a recipe. Raises `UserError`.

    More settings can follow: it is a recipe itself.
    """
    content = dict(recipe) if isinstance(recipe, Mapping) else load_recipe(recipe) if recipe else {}
    if content.get("do", "train") == "classify":
        raise UserError(
            f"the recipe '{recipe}' classifies an image: workbench classify IMAGE --recipe {recipe}"
        )
    if dataset:
        content["data"] = _replace_choice(content.get("data"), dataset)
    if model:
        content["model"] = _replace_choice(content.get("model"), model)
    # A name first: it replaces the options of the recipe's choice, and not those that are set beside it.
    for key, value in sorted(
        map(parse_assignment, sets), key=lambda setting: not setting[0].endswith(".name")
    ):
        _set_value(content, key, value)
    if name is not None:
        content["name"] = name
    if device is not None:
        _set_value(content, "train.device", device)
    return content


def experiment_from_dict(content: Section) -> Experiment:
    """A validated experiment from its TOML or JSON form, with defaults for missing settings. Raises `UserError`."""
    _check_keys(content)
    data = _data_choice(content.get("data") or {})
    model = _model_choice(content.get("model") or {}, data)
    train = {**default_train_settings(data, model), **upgrade_train_section(content.get("train") or {})}
    reference = content.get("reference")
    head = {key: value for key, value in content.items() if key not in {*SECTIONS, "do", "v"}}
    sections = {
        "name": check_run_name(
            content.get("name", f"{run_name_part(data.name)}-{run_name_part(model.name)}")
        ),
        "data": data,
        "model": model,
        "train": convert(TrainingSettings, train, "train"),
        "reference": convert(Reference, reference, "reference") if reference else None,
    }
    experiment = convert(Experiment, {**head, **sections}, "experiment")
    check_compatibility(experiment)
    return experiment


def read_experiment(path: Path) -> Experiment | None:
    """The experiment of a run, without validation; `None` where the file is missing or damaged.

    Its dataset is at the location that the user gave last.
    """
    content = read_json(path)
    return None if content is None else experiment_from_record(with_current_dataset(content, path.parent))


def experiment_from_record(content: Section) -> Experiment | None:
    """A recorded experiment, without validation: damaged and unknown parts are left out."""
    choices = {key: _recorded_choice(content.get(key)) for key in ("data", "model")}
    return convert_record({**upgrade_experiment(content), **choices}, Experiment)


def _recorded_choice(section: object) -> Choice | None:
    if not isinstance(section, Mapping) or not isinstance(section.get("name"), str):
        return None
    return Choice(section["name"], {k: v for k, v in section.items() if k != "name"})


def _check_keys(content: Section) -> None:
    """Raise `UserError` for unknown keys, sections that are not tables, and unsupported versions."""
    for section in SECTIONS & set(content):
        if content[section] is not None and not isinstance(content[section], Mapping):
            raise UserError(f"{section} must be a table of settings, not {content[section]!r}")
    unknown = sorted(set(content) - EXPERIMENT_KEYS)
    if unknown:
        known = [*sorted(SECTIONS), *sorted(TOP_LEVEL_SETTINGS), "title", "teaches", "do"]
        raise UserError(
            f"unknown setting {unknown[0]}{did_you_mean(unknown[0], known)}; known: {', '.join(known)}"
        )
    if content.get("do", "train") not in ("train", "classify"):
        raise UserError(f"do can't be {content['do']!r}; it can be classify, train")
    version = content.get("v", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise UserError(
            f"this experiment is of version {version}; this workbench reads version {VERSION}: upgrade it"
        )


def _replace_choice(section: object, name: str) -> Section:
    """A section with the choice `name`; options are kept only if the choice stays the same."""
    return dict(section) if isinstance(section, Mapping) and section.get("name") == name else {"name": name}


def _set_value(content: RecipeContent, key: str, value: str) -> None:
    key, value = upgrade_setting(key, value)
    section, dot, field = key.partition(".")
    if key in TOP_LEVEL_SETTINGS:
        content[key] = value
        return
    train_keys = [setting.key for setting in settings_of(TrainingSettings, "train.")]
    if not dot or section not in {"data", "model", "train"} or (section == "train" and key not in train_keys):
        known = all_settings(_chosen(content, "data"), _chosen(content, "model"))
        raise UserError(
            f"unknown setting {key}{suggest_setting(key, known)}; settings start with data., model. or train. "
            "(workbench train --settings lists them)"
        )
    inner = content.setdefault(section, {})
    if field == "name":
        content[section] = _replace_choice(inner, value)
    elif isinstance(inner, Mapping):
        content[section] = {**inner, field: value}


def _chosen(content: RecipeContent, section: str) -> str | None:
    """The name of the dataset or the model in `content`, if it is one of the catalog."""
    inner, find = content.get(section), datasets.find if section == "data" else models.find
    name = inner.get("name") if isinstance(inner, Mapping) else None
    try:
        return find(str(name)).name if name else None
    except UserError:
        return None


def suggest_setting(key: str, settings: Sequence[Setting]) -> str:
    """`" (did you mean 'model.dropout'?)"` for `dropout`: the same name in another section, or a similar one.

    A name may also be the first words of a description: `learning_rate` is `train.lr`.
    """
    name = key.rpartition(".")[2]
    by_name = {setting.key.rpartition(".")[2]: setting.key for setting in reversed(settings)}
    words = re.compile(re.escape(name.replace("_", " ")) + r"\b")
    described = {
        f"{name} ": setting.key
        for setting in reversed(settings)
        if len(name) > 5 and words.match(setting.help)
    }
    similar = difflib.get_close_matches(name, [*by_name, *described], n=1, cutoff=0.5)
    found = by_name.get(name) or ({**by_name, **described}[similar[0]] if similar else None)
    return f" (did you mean '{found}'?)" if found else ""


def dataset_choice(name: str, sets: Iterable[str] = ()) -> Choice:
    """A dataset by name with the settings `data.KEY=VALUE`, as an experiment would have it. Raises `UserError`."""
    content: RecipeContent = {"data": {"name": name}}
    for text in sets:
        key, value = parse_assignment(text)
        if not upgrade_setting(key, value)[0].startswith("data."):
            raise UserError(f"{key}: only settings of the dataset (data.*) matter here")
        _set_value(content, key, value)
    return _data_choice(content["data"])


def _data_choice(section: Section) -> Choice:
    if "name" not in section:
        raise UserError("no dataset given: pass a recipe or --dataset (workbench datasets lists them)")
    info = datasets.find(str(section["name"]))
    return Choice(info.name, _options(info.options, section, "data"))


def _model_choice(section: Section, data: Choice) -> Choice:
    if "name" not in section:
        raise UserError("no model given: pass a recipe or --model (workbench models lists them)")
    info = models.find(str(section["name"]))
    return Choice(info.name, _options(info.options, section, "model"))


def _options(struct: type[msgspec.Struct] | None, section: Section, where: str) -> Options:
    """Validated options with defaults for missing ones; those of a custom dataset or model without validation."""
    options = {key: value for key, value in section.items() if key != "name"}
    if struct is None:
        return {key: _parse_toml_value(value) for key, value in options.items()}
    plain: Options = msgspec.to_builtins(convert(struct, options, where))
    return plain


def _parse_toml_value(value: Any) -> Any:
    """Text for an option of a custom dataset or model, parsed as TOML where it is valid TOML."""
    if not isinstance(value, str):
        return value
    try:
        return parse_toml(f"value = {value}")["value"]
    except ValueError:
        return value


def apply_overrides(content: Section, overrides: Section) -> Section:
    """The JSON form of an experiment with settings replaced by full name (`{"train.epochs": 20}`)."""
    changed = dict(upgrade_experiment(content))
    for key, value in upgrade_overrides(overrides).items():
        section, dot, field = key.partition(".")
        inner = changed.get(section)
        changed[section] = {**(inner if isinstance(inner, Mapping) else {}), field: value} if dot else value
    return changed


def default_train_settings(data: Choice, model: Choice) -> Options:
    """The default training settings for this dataset and model."""
    data_info, model_info = datasets.find(data.name), models.find(model.name)
    monitor = {"monitor": "loss"} if data_info.task == "regression" else {}
    crops = _crop_defaults(data_info, data, model_info.load_size(model.options))
    return {**data_info.train, **crops, **model_info.train_defaults(model.options), **monitor}


def _crop_defaults(info: datasets.DatasetInfo, data: Choice, model_size: int) -> Options:
    """Random-resized crops of photographs for large inputs, milder than for ImageNet's many epochs."""
    size, augment = data.options.get("size", "auto"), info.train.get("augment", ())
    side = size if isinstance(size, int) else model_size
    has_store = info.options is not None and "store" in info.options.__struct_fields__
    if not has_store or side < LARGE_INPUT or "crop" not in augment:
        return {}
    names = tuple("resized-crop" if name == "crop" else name for name in augment)
    return {"augment": names, "crop_scale": CROP_SCALE}


def check_compatibility(experiment: Experiment) -> None:
    """Raise `UserError` where dataset and model are incompatible, as far as this is known before loading them."""
    data, model = datasets.find(experiment.data.name), models.find(experiment.model.name)
    check_sources(data.name, model.name)
    if data.kind == "custom":
        check_data_function(data.name, experiment.data.options)
    if model.kind == "custom":
        check_model_class(model.name)
    if data.task not in model.tasks:
        compatible = [m.name for m in models.CATALOG if data.task in m.tasks][:6]
        raise UserError(
            f"{model.name} supports {' or '.join(model.tasks)}, but {data.name} is a {data.task} dataset; "
            f"compatible models: {', '.join(compatible)}"
        )
    if data.shape and len(data.shape) != 3 and model.images_only:
        raise UserError(
            f"{model.name} requires images, and {data.name} has none; compatible models: linear, mlp"
        )
    if experiment.model.options.get("softmax") and data.task == "regression":
        raise UserError("model.softmax must be no for a regression")
    check_processes(experiment.train)
    check_training(experiment.train)
    check_folds(experiment.train)
    resizing_steps(experiment.train.resize)
    if experiment.train.monitor != "loss" and data.task == "regression":
        raise UserError("train.monitor must be loss for a regression")


def check_sources(*names: str) -> None:
    """Raise `UserError` where what a dataset or a model needs is missing: a folder, a file, a package."""
    for name in names:
        models.check_installed(name)
        file = split_user_code_name(name)[0] if is_user_code(name) else ""
        if file and not is_file(path := expand_user_path(file)):
            raise UserError(f"file not found: {path.absolute()} (in {name})")
        if file:
            check_user_code(name)
        elif source := find_source(name):
            source.check(name)


def check_run_name(name: Any) -> str:
    """`name` if it is a valid run name, which becomes part of a folder name. Raises `UserError`."""
    plain = isinstance(name, str) and all(c.isalnum() or c in "-_.+@" for c in name) and name.isprintable()
    if not plain or not name[:1].isalnum() or len(os.fsencode(name)) > MAX_NAME_BYTES or name == "last":
        raise UserError(
            f"invalid run name {name!r}: use letters, digits and - _ . + @, starting with a letter or digit "
            "(not 'last')"
        )
    return str(name)


def run_name_part(choice: str) -> str:
    """The name of a dataset or model as part of a run name (`folder:/data/my pets` → `my-pets`)."""
    label = choice
    if source := find_source(choice):
        path = source.path(choice)
        label = path.name if source.is_folder else path.stem
    elif is_user_code(choice):
        label = split_user_code_name(choice)[1]
    ascii_label = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in label).strip("-_")
    return ascii_label[:40] or "custom"


def all_settings(data: str | None = None, model: str | None = None) -> list[Setting]:
    """Every setting of `--set`, including the options of a dataset and a model if given."""
    rows = [s for s in settings_of(Experiment) if s.key in TOP_LEVEL_SETTINGS]
    rows += settings_of(TrainingSettings, "train.")
    if data and (struct := datasets.find(data).options):
        rows += settings_of(struct, "data.")
    if model and (struct := models.find(model).options):
        rows += settings_of(struct, "model.")
    return rows
