"""The published prediction of a recipe beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from workbench.config.classification_recipe import ClassifyRecipe, PublishedClass
from workbench.inference.results import Prediction


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
