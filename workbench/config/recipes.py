"""Recipes: ready experiments, one TOML file each, and their reader."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from workbench.config.setting_aliases import upgrade_experiment
from workbench.core.errors import UserError, did_you_mean
from workbench.core.parsing import parse_toml
from workbench.core.paths import expand_user_path
from workbench.datasets import catalog as datasets

RecipeContent = dict[str, Any]
"""A TOML file before validation: any key with any value.

`experiment.experiment_from_dict` and `classification_recipe.load_classification_recipe` validate it.
"""


def load_recipe(name: str) -> RecipeContent:
    """The content of a recipe by name, or of a TOML file by path. Raises `UserError`."""
    if name.endswith(".toml") or "/" in name:
        return _parse(expand_user_path(name), Path(name).stem)
    files = {path.stem: path for path in recipe_files()}
    if name not in files:
        raise UserError(
            f"unknown recipe '{name}'{did_you_mean(name, files)}; 'workbench recipes' lists them; "
            "pass the path of a TOML file to use your own (./mine.toml)"
        )
    content = _parse(files[name], name)
    content["recipe"] = name
    return content


def recipe_files() -> list[Path]:
    """The recipes in this package, sorted by name."""
    folder = Path(str(resources.files("workbench") / "recipes"))
    return sorted(folder.glob("*.toml"), key=lambda path: path.stem)


def download_hint(dataset: str, recipe: str = "") -> str:
    """How to download a dataset: with `recipe` if it uses the dataset, else with any recipe that does."""
    names = [recipe] if recipe else []
    names += [path.stem for path in recipe_files()]
    for name in names:
        data = load_recipe(name).get("data") or {}
        if data.get("name") and datasets.find(str(data["name"])).name == dataset:
            return f"workbench fetch {name} downloads it"
    return "workbench train downloads it, or workbench fetch ./RECIPE.toml with a recipe of your own"


def _parse(path: Path, name: str) -> RecipeContent:
    try:
        content = parse_toml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"file not found: {path}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not valid TOML: not UTF-8") from None
    except OSError as error:
        raise UserError(f"{path} can't be read: {error}") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid TOML: {error}") from None
    content.setdefault("name", name)
    return dict(upgrade_experiment(content))
