"""Facts about a loaded dataset, as plain records. Does not import torch, so that the UI can read them."""

from __future__ import annotations

import msgspec

from workbench.datasets.catalog import Task


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
    skipped: int
    """Number of files that could not be read."""
    notices: tuple[str, ...] = ()
    """What was changed or assumed when it was loaded, one line each."""
