"""Recipes that classify: which model, and what was published of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from workbench.errors import BadInput
from workbench.inference.records import Prediction
from workbench.models import catalogue
from workbench.recipes import load_recipe
from workbench.settings import convert
from workbench.text import one_line


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


class ComparedClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One class of a published answer beside ours; `None` where either is not known. Probabilities are 0..1."""

    index: int | None
    label: str | None
    published: float
    ours: float | None
    published_logit: float | None
    logit: float | None


class PublishedComparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published answer beside ours, as `workbench classify --json` prints it."""

    metric: Literal["probability"]
    published: float
    """The probability of the likeliest class, 0..1."""
    ours: float | None
    """The same of our answer; `None` where our likeliest class is another one: the image is not the published one."""
    tolerance: float
    within: bool | None
    """Whether they differ by `tolerance` at most; `None` without `ours`."""
    source: str
    formula: str
    """How the published figure was computed, in words."""
    top: tuple[ComparedClass, ...]
    """The published classes, the likeliest first; at least one."""


def compare_with_published(
    recipe: ClassifyRecipe, scores: Sequence[Prediction]
) -> PublishedComparison | None:
    """The published figure beside ours; `None` where the recipe has none.

    `scores` are all classes of one image, the likeliest first.
    """
    reference = recipe.reference
    if reference is None or not recipe.top:
        return None
    first = scores[0] if scores else None
    same = first is not None and recipe.top[0].index == first.index
    ours = first.probability if first is not None and same else None
    by_index: dict[int | None, Prediction] = {one.index: one for one in scores} if same else {}
    return PublishedComparison(
        metric=reference.metric,
        published=reference.published,
        ours=ours,
        tolerance=reference.tolerance,
        within=None if ours is None else abs(ours - reference.published) <= reference.tolerance,
        source=reference.source,
        formula=reference.formula,
        top=tuple(_compared(one, by_index.get(one.index)) for one in recipe.top),
    )


def _compared(published: PublishedClass, ours: Prediction | None) -> ComparedClass:
    return ComparedClass(
        index=published.index,
        label=published.label or None,
        published=published.probability,
        ours=ours.probability if ours else None,
        published_logit=published.logit,
        logit=ours.logit if ours else None,
    )
