"""Commands that list recipes, datasets, models and devices."""

from __future__ import annotations

import argparse

import msgspec

from workbench.cli import console
from workbench.cli.tables import print_table
from workbench.config.data_summary import summarize_data
from workbench.config.experiment import dataset_choice
from workbench.config.recipes import RecipeContent, load_recipe, recipe_files
from workbench.config.training_settings import TrainingSettings
from workbench.core import text
from workbench.core.errors import UserError
from workbench.core.exit_codes import DONE
from workbench.core.settings_schema import Choice
from workbench.core.text import sanitize
from workbench.datasets import catalog as dataset_catalog
from workbench.datasets.catalog import FILE_OPTIONS, DatasetDescription
from workbench.models import catalog as model_catalog
from workbench.system import devices as system_devices
from workbench.system.gpu import read_inventory


def recipes(options: argparse.Namespace) -> int:
    """`workbench recipes`."""
    rows = [load_recipe(path.stem) for path in recipe_files()]
    if options.json:
        console.print_json(rows)
        return DONE
    print_table(
        ("recipe", "published", "description"),
        [(r["recipe"], _published(r), r.get("title", "")) for r in rows],
    )
    return DONE


def _published(recipe: RecipeContent) -> str:
    reference = recipe.get("reference")
    return f"{reference['metric'].rpartition('.')[2]} {reference['published']:g}" if reference else "-"


def datasets(options: argparse.Namespace) -> int:
    """`workbench datasets`."""
    if options.dataset:
        return _describe_dataset(options)
    if options.set:
        raise UserError("--set needs a dataset: workbench datasets folder:PATH --set data.links=all")
    rows = [dataset_catalog.describe(info.name, measure=True) for info in dataset_catalog.CATALOG]
    if options.json:
        console.print_json(rows)
        return DONE
    print_table(
        ("dataset", "train+test", "classes", "shape", "size", "available", "description"),
        [
            (r.name, _pair(r.train, r.test), r.classes or "-",
             "×".join(map(str, r.shape)) if r.shape else "varies",
             text.format_bytes(r.bytes or r.download or None), "yes" if r.here else "no", r.title)
            for r in rows
        ],
    )  # fmt: skip
    console.print_status(
        "Custom datasets: --dataset folder:PATH (one folder per class), csv:FILE (a table of images and classes), "
        "npz:FILE, tar:PATTERN, parquet:PATH or ./data.py:make"
    )
    return DONE


def _describe_dataset(options: argparse.Namespace) -> int:
    """One dataset; of images in files what a run would use of them. Raises `UserError`."""
    choice = dataset_choice(options.dataset, options.set)
    about = dataset_catalog.describe(options.dataset, choice.options, measure=True)
    summary = summarize_data(choice, Choice("mlp"), TrainingSettings(validation=0.0))
    if options.json:
        console.print_json({**msgspec.to_builtins(about), "data": summary})
        return DONE
    console.print_result(f"{about.name}: {about.title}")
    lines = summary.lines if summary else [
        f"train+test {_pair(about.train, about.test)}, {_classes(about)}, "
        f"{'available' if about.here else 'not found' if about.kind in FILE_OPTIONS else 'not downloaded'}"
    ]  # fmt: skip
    for line in lines:
        console.print_result(f"  {line}")
    for one in summary.facts.skipped.files if summary else ():
        console.print_result(f"  skipped {sanitize(one.path)}: {sanitize(one.reason)}")
    return DONE


def _classes(about: DatasetDescription) -> str:
    if about.classes is None and (about.kind == "custom" or about.kind in FILE_OPTIONS):
        return "classes are known once it is loaded"
    return f"{about.classes or 'no'} classes"


def _pair(train: int | None, test: int | None) -> str:
    return f"{train}+{test}" if train is not None else "?"


def models(options: argparse.Namespace) -> int:
    """`workbench models`."""
    infos = model_catalog.timm_models() if options.timm else model_catalog.CATALOG
    found = model_catalog.find_by_words(options.words, infos)
    rows = [model_catalog.describe(info) for info in found]
    if options.json:
        console.print_json(rows)
        return DONE
    print_table(
        ("model", "input", "parameters", "weights", "description"),
        [(r.name, r.input_size or "any", text.format_count(r.parameters),
          "-" if not r.weights_bytes else "downloaded" if r.weights_here else text.format_bytes(r.weights_bytes),
          model_catalog.describe_published(info))
         for info, r in zip(found, rows, strict=True)],
    )  # fmt: skip
    console.print_status(
        "Parameters are those of published models, with 1,000 classes, else with 10; workbench plan counts yours. "
        "More pretrained models: workbench models --timm [WORD…]. Custom models: --model ./net.py:Net"
    )
    return DONE


def devices(options: argparse.Namespace) -> int:
    """`workbench devices`."""
    inventory = read_inventory()
    rows = system_devices.list_devices(inventory)
    if options.json:
        console.print_json(rows)
    else:
        console.print_devices(rows)
        if visibility := system_devices.describe_visibility(inventory):
            console.print_result(visibility)
    for problem in system_devices.gpu_problems(inventory):
        console.print_status(f"workbench: {problem}")
    return DONE
