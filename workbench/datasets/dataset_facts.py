"""Facts about a loaded dataset, as plain records. Does not import torch, so that the UI can read them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from workbench.datasets.catalog import Task

MAX_LISTED = 100
"""Skipped files that are listed with their reason; all of them are counted, and listed in `setup.json`."""


class SkippedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file or folder that is not used, and why."""

    path: str
    reason: str


class SkippedFiles(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files of a dataset that are not used."""

    count: int = 0
    files: tuple[SkippedFile, ...] = ()
    """The first `MAX_LISTED` of them."""

    @classmethod
    def of(cls, skipped: Sequence[tuple[str, str]]) -> SkippedFiles:
        """From pairs of path and reason."""
        return cls(count=len(skipped), files=tuple(SkippedFile(*item) for item in skipped[:MAX_LISTED]))


def drawn_count(count: int, fraction: float) -> int:
    """The number of a class's `count` samples that a split of `fraction` gets: at least one sample stays behind."""
    return min(max(1, round(fraction * count)), count - 1) if fraction > 0 and count else 0


class SplitFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The size of one split."""

    count: int
    """Samples."""
    per_class: tuple[int, ...]
    """Samples of each class, by class index; empty for a regression."""


class ElementFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One element of a tensor of many, without the batch dimension."""

    shape: tuple[int, ...]
    dtype: str
    """Without `torch.`: `uint8`."""


class TensorFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Statistics of a tensor; `low`, `high` and `mean` are over all of its elements, in its own units."""

    shape: tuple[int, ...]
    dtype: str
    """Without `torch.`: `uint8`."""
    low: float
    high: float
    mean: float


class DatasetFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Facts about a loaded dataset."""

    task: Task
    classes: tuple[str, ...]
    """Names by class index; empty for a regression."""
    has_images: bool
    """Whether the inputs can be displayed as images: [N, 1 or 3, H, W]."""
    splits: dict[str, SplitFacts]
    """By name, in the order train, validation (only if there is one), test."""
    input: ElementFacts
    target: ElementFacts
    """`shape` is () for a class index or a single number."""
    batch: tuple[int, ...]
    """The shape of the first training batch, [N, *input.shape]."""
    mean: tuple[float, ...]
    """Per channel of images scaled to 0..1, else of the first features in their own units."""
    std: tuple[float, ...]
    """Standard deviation, in the units of `mean`."""
    source: str
    """Where the data was loaded from, for people."""
    skipped: SkippedFiles = SkippedFiles()
    """Files that are not used, each with its reason."""
    notices: tuple[str, ...] = ()
    """What to know before training on it, one line each: what was changed, assumed or left out, classes and splits,
    resizing, imbalance.
    """
