"""Compares a prediction with the published one of a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from workbench.config.classification_recipe import ClassifyRecipe, PublishedClass
from workbench.inference.results import Prediction


class ComparedClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One class of a published prediction and ours; `None` if a value is unknown. Probabilities are 0..1."""

    index: int | None
    label: str | None
    published: float
    ours: float | None
    published_logit: float | None
    logit: float | None


class PublishedComparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published prediction and ours, as `workbench classify --json` prints it."""

    metric: Literal["probability"]
    published: float
    """The probability of the most probable class, 0..1."""
    ours: float | None
    """Our probability; `None` if our most probable class is a different one: the image is not the published one."""
    tolerance: float
    within: bool | None
    """Whether the two differ by at most `tolerance`; `None` without `ours`."""
    source: str
    formula: str
    """How the published value was computed, for people."""
    top: tuple[ComparedClass, ...]
    """The published classes, the most probable first; at least one."""


def compare_with_published(
    recipe: ClassifyRecipe, scores: Sequence[Prediction]
) -> PublishedComparison | None:
    """The published prediction compared with ours; `None` if the recipe has none.

    `scores` are all classes of one image, the most probable first.
    """
    reference = recipe.reference
    if reference is None or not recipe.top:
        return None
    first = scores[0] if scores else None
    same_class = first is not None and recipe.top[0].index == first.index
    ours = first.probability if first is not None and same_class else None
    by_index: dict[int | None, Prediction] = (
        {prediction.index: prediction for prediction in scores} if same_class else {}
    )
    return PublishedComparison(
        metric=reference.metric,
        published=reference.published,
        ours=ours,
        tolerance=reference.tolerance,
        within=None if ours is None else abs(ours - reference.published) <= reference.tolerance,
        source=reference.source,
        formula=reference.formula,
        top=tuple(_compare_class(published, by_index.get(published.index)) for published in recipe.top),
    )


def _compare_class(published: PublishedClass, ours: Prediction | None) -> ComparedClass:
    return ComparedClass(
        index=published.index,
        label=published.label or None,
        published=published.probability,
        ours=ours.probability if ours else None,
        published_logit=published.logit,
        logit=ours.logit if ours else None,
    )
