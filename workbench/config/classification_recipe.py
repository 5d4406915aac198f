"""Classification recipes: a pretrained model, and the published prediction it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from workbench.config.recipes import load_recipe
from workbench.core.errors import UserError
from workbench.core.settings_schema import convert
from workbench.core.text import one_line
from workbench.models import catalog


class PublishedClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One class of a published prediction; unpublished values are left out."""

    probability: Annotated[float, Meta(ge=0, le=1)]
    index: Annotated[int, Meta(ge=0)] | None = None
    label: str = ""
    logit: float | None = None


class PublishedProbability(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The published probability of the likeliest class."""

    published: Annotated[float, Meta(ge=0, le=1)]
    tolerance: Annotated[float, Meta(ge=0)]
    source: str
    metric: Literal["probability"] = "probability"
    formula: str = ""
    """How it was computed, for people."""


class _Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1)]
    weights: str = ""
    labels: str = ""


class ClassifyRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recipe with `do = "classify"`. It contains no image: those of the tutorials can't be redistributed."""

    model: _Model
    """A model of torchvision or timm; `weights` and `labels` are files that replace the published ones."""
    reference: PublishedProbability | None = None
    top: tuple[PublishedClass, ...] = ()
    """The published prediction, the likeliest class first."""
    name: str = ""
    title: str = ""
    teaches: str = ""
    recipe: str | None = None
    do: Literal["classify"] = "classify"
    v: int = 1


def load_classification_recipe(name: str) -> ClassifyRecipe:
    """A classification recipe by name, or by the path of a TOML file. Raises `UserError`, also for other recipes."""
    content = load_recipe(name)
    if content.get("do", "train") != "classify":
        raise UserError(
            f"the recipe '{name}' trains a model: workbench train {name}, then classify with --run"
        )
    for section in ("model", "reference"):
        if not isinstance(content.get(section, {}), Mapping):
            raise UserError(f"{name}: {section} must be a table of settings")
    sections: dict[str, Any] = {"model": convert(_Model, content.get("model") or {}, "model")}
    if content.get("reference"):
        sections["reference"] = convert(PublishedProbability, content["reference"], "reference")
    recipe = _convert_recipe({**content, **sections}, name)
    if not catalog.find(recipe.model.name).published:
        raise UserError(f"{name}: model.name must be a model of torchvision or timm, not {recipe.model.name}")
    return recipe


def _convert_recipe(content: Mapping[str, Any], name: str) -> ClassifyRecipe:
    unknown = content.keys() - {field.name for field in msgspec.structs.fields(ClassifyRecipe)}
    if unknown:
        known = "model, reference, top, name, title, teaches, do"
        raise UserError(f"{name}: unknown setting {sorted(unknown)[0]}; a classification recipe has {known}")
    try:
        return msgspec.convert(content, ClassifyRecipe)
    except msgspec.ValidationError as error:
        raise UserError(f"{name}: {one_line(error)}") from None
