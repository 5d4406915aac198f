"""Recipes that classify: which model, and what was published of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from workbench.errors import BadInput
from workbench.models import catalogue
from workbench.recipes import load_recipe
from workbench.settings import convert
from workbench.text import one_line

if TYPE_CHECKING:
    from workbench.inference.classifier import Prediction


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One class of a published answer; what was not published is left out."""

    probability: Annotated[float, Meta(ge=0, le=1)]
    index: Annotated[int, Meta(ge=0)] | None = None
    label: str = ""
    logit: float | None = None


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The figure that ours is held against: the probability of the likeliest class."""

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
    reference: Published | None = None
    top: tuple[Told, ...] = ()
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
        given["reference"] = convert(Published, content["reference"], "reference")
    recipe = _converted(given, name)
    if catalogue.find(recipe.model.name).kind != "torchvision":
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


def held_against(recipe: ClassifyRecipe, scores: Sequence[Prediction]) -> dict[str, Any] | None:
    """The published figure beside ours; `None` where the recipe has none.

    `scores` are all classes of one picture, the likeliest first. Where that is another class than the published
    one, the picture is another: `ours` and `within` are `None`.
    """
    reference = recipe.reference
    if reference is None or not recipe.top:
        return None
    first, told = scores[0] if scores else None, recipe.top[0]
    same = first is not None and told.index == first.index
    ours = first.probability if first is not None and same else None
    by_index: dict[int | None, Prediction] = {one.index: one for one in scores} if same else {}
    return {
        "metric": reference.metric,
        "published": reference.published,
        "ours": ours,
        "tolerance": reference.tolerance,
        "within": None if ours is None else abs(ours - reference.published) <= reference.tolerance,
        "source": reference.source,
        "formula": reference.formula,
        "top": [_beside(one, by_index.get(one.index)) for one in recipe.top],
    }


def _beside(told: Told, ours: Prediction | None) -> dict[str, Any]:
    return {
        "index": told.index,
        "label": told.label or None,
        "published": told.probability,
        "ours": ours.probability if ours else None,
        "published_logit": told.logit,
        "logit": ours.logit if ours else None,
    }
