"""Recipes that classify: which model, and what was published of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from workbench.config.recipes import load_recipe
from workbench.core.errors import BadInput
from workbench.core.settings_schema import convert
from workbench.core.text import one_line
from workbench.models import catalog


class PublishedClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One class of a published answer; what was not published is left out."""

    probability: Annotated[float, Meta(ge=0, le=1)]
    index: Annotated[int, Meta(ge=0)] | None = None
    label: str = ""
    logit: float | None = None


class PublishedFigure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The figure that ours is compared with: the probability of the likeliest class."""

    published: Annotated[float, Meta(ge=0, le=1)]
    tolerance: Annotated[float, Meta(ge=0)]
    source: str
    metric: Literal["probability"] = "probability"
    formula: str = ""
    """How it was computed, in words."""


class _Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1)]
    weights: str = ""
    labels: str = ""


class ClassifyRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recipe with `do = "classify"`. The picture is a person's own: those of the tutorials are not ours to give."""

    model: _Model
    """A model of torchvision; its `weights` and `labels` are files that take the place of the published ones."""
    reference: PublishedFigure | None = None
    top: tuple[PublishedClass, ...] = ()
    """The published answer, the likeliest class first."""
    name: str = ""
    title: str = ""
    teaches: str = ""
    recipe: str | None = None
    do: Literal["classify"] = "classify"
    v: int = 1


def load(name: str) -> ClassifyRecipe:
    """The recipe of this name, or in this TOML file. Raises `BadInput`, also for one that trains."""
    content = load_recipe(name)
    if content.get("do", "train") != "classify":
        raise BadInput(
            f"the recipe '{name}' trains a model: workbench train {name}, then classify with --run"
        )
    for section in ("model", "reference"):
        if not isinstance(content.get(section, {}), Mapping):
            raise BadInput(f"{name}: {section} must be a table of settings")
    given = dict(content)
    given["model"] = convert(_Model, content.get("model") or {}, "model")
    if content.get("reference"):
        given["reference"] = convert(PublishedFigure, content["reference"], "reference")
    recipe = _converted(given, name)
    if catalog.find(recipe.model.name).kind != "torchvision":
        raise BadInput(f"{name}: model.name must be a model of torchvision, not {recipe.model.name}")
    return recipe


def _converted(content: Mapping[str, Any], name: str) -> ClassifyRecipe:
    unknown = content.keys() - {field.name for field in msgspec.structs.fields(ClassifyRecipe)}
    if unknown:
        known = "model, reference, top, name, title, teaches, do"
        raise BadInput(f"{name}: unknown setting {sorted(unknown)[0]}; a recipe that classifies has {known}")
    try:
        return msgspec.convert(content, ClassifyRecipe)
    except msgspec.ValidationError as error:
        raise BadInput(f"{name}: {one_line(error)}") from None
