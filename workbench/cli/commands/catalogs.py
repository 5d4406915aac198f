"""Lists: recipes, datasets, models, devices."""

from __future__ import annotations

import argparse

from workbench.cli import console
from workbench.config.recipes import RecipeContent, load_recipe, recipe_files
from workbench.core import text
from workbench.core.exit_codes import DONE
from workbench.datasets import catalog as datasets_here
from workbench.models import catalog as models_here
from workbench.system import machine_info


def recipes(options: argparse.Namespace) -> int:
    """`workbench recipes`."""
    rows = [load_recipe(path.stem) for path in recipe_files()]
    if options.json:
        console.print_json(rows)
        return DONE
    console.print_table(
        ("recipe", "published", "what it is"),
        [(r["recipe"], _published(r), r.get("title", "")) for r in rows],
    )
    return DONE


def _published(recipe: RecipeContent) -> str:
    """The published metric of a recipe, for people."""
    reference = recipe.get("reference")
    return f"{reference['metric'].rpartition('.')[2]} {reference['published']:g}" if reference else "-"


def datasets(options: argparse.Namespace) -> int:
    """`workbench datasets`."""
    rows = [datasets_here.describe(info.name, measure=True) for info in datasets_here.CATALOGUE]
    if options.json:
        console.print_json(rows)
        return DONE
    console.print_table(
        ("dataset", "train+test", "classes", "shape", "size", "here", "what it is"),
        [
            (r.name, _pair(r.train, r.test), r.classes or "-",
             "×".join(map(str, r.shape)) if r.shape else "varies",
             text.size(r.bytes or r.download or None), "yes" if r.here else "no", r.title)
            for r in rows
        ],
    )  # fmt: skip
    console.say("Your own: --dataset folder:PATH (one folder per class), --dataset ./data.py:make")
    return DONE


def _pair(train: int | None, test: int | None) -> str:
    return f"{train}+{test}" if train is not None else "?"


def models(options: argparse.Namespace) -> int:
    """`workbench models`."""
    rows = [models_here.describe(info) for info in models_here.CATALOGUE]
    if options.json:
        console.print_json(rows)
        return DONE
    console.print_table(
        ("model", "input", "parameters", "weights", "what it is"),
        [(r.name, r.input_size or "any", text.count(r.parameters),
          "-" if not r.weights_bytes else "here" if r.weights_here else text.size(r.weights_bytes),
          r.title)
         for r in rows],
    )  # fmt: skip
    console.say("Your own: --model ./net.py:Net")
    return DONE


def devices(options: argparse.Namespace) -> int:
    """`workbench devices`."""
    rows = machine_info.devices()
    if options.json:
        console.print_json(rows)
        return DONE
    console.print_devices(rows)
    return DONE
