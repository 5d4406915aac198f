"""Ready experiments, one TOML file each, and how recipes are read."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

from workbench.core.errors import BadInput, nearest
from workbench.core.paths import given
from workbench.datasets import catalog as datasets

RecipeContent = dict[str, Any]
"""A TOML file before it is checked: any key with any value. `experiment.from_dict` and `inference.recipe` check it."""


def load_recipe(name: str) -> RecipeContent:
    """The content of a recipe by its name, or of a TOML file by its path. Raises `BadInput`."""
    if name.endswith(".toml") or "/" in name:
        return _parse(given(name), Path(name).stem)
    found = {path.stem: path for path in recipe_files()}
    if name not in found:
        raise BadInput(
            f"there is no recipe '{name}'{nearest(name, found)}; 'workbench recipes' lists them, "
            "a file of your own is given by its path (./mine.toml)"
        )
    content = _parse(found[name], name)
    content["recipe"] = name
    return content


def recipe_files() -> list[Path]:
    """The recipes that come with workbench, by name."""
    folder = Path(str(resources.files("workbench") / "recipes"))
    return sorted(folder.glob("*.toml"), key=lambda path: path.stem)


def how_to_fetch(dataset: str, recipe: str = "") -> str:
    """The command that brings a dataset here: by the `recipe` that is looked at, else by one that has it."""
    wanted = [recipe] if recipe else []
    wanted += [path.stem for path in recipe_files()]
    for name in wanted:
        data = load_recipe(name).get("data") or {}
        if data.get("name") and datasets.find(str(data["name"])).name == dataset:
            return f"workbench fetch {name} brings it"
    return "put it in a recipe of your own and workbench fetch ./RECIPE.toml brings it, or training does"


def _parse(path: Path, name: str) -> RecipeContent:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"there is no file {path}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not valid TOML: it is not UTF-8 text") from None
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not valid TOML: {error}") from None
    content.setdefault("name", name)
    return content
