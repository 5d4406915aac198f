"""A loaded dataset: tensors, classes and splits; how they are held out, measured and validated."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import UserError
from workbench.datasets.catalog import Task
from workbench.datasets.crops import center_boxes, crop_and_resize
from workbench.datasets.drawing import draw_split
from workbench.datasets.image_sizes import ImageSizes
from workbench.datasets.input_record import InputRecord

_STATISTICS_BYTES = 2_000_000_000
"""Mean and standard deviation of larger splits are computed from this many bytes of evenly spaced samples."""


@dataclass(frozen=True)
class Cut:
    """How model inputs are cut out of stored images: `side` × `side`, without augmentation the center of them."""

    side: int
    share: float = 1.0
    """The side of the center by the shorter side of an image."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of inputs."""
        return self.side, self.side

    def boxes(self, aspects: Tensor) -> Tensor:
        """The center of images as `center_boxes`; `aspects`: width / height of the images, float32 [N]."""
        return center_boxes(aspects, self.share)


@dataclass(frozen=True)
class Split:
    """Samples with their targets.

    `inputs`: uint8 [N, C, H, W] images (in memory, or `mapped` from a file), or float32 [N, ...] for other data.
    `targets`: int64 [N] class indices, or float32 [N, ...] for a regression.
    `names`: one for each sample if samples have names (files), else empty.
    `rows`: the indices of the samples in mapped `inputs` (int64 [N]), in this order; `None`: all of them.
    `groups`: int64 [N], the number of each sample's group (a patient, a scene), of which all samples are in one split;
    `None`: there are none.
    `folds`: int64 [N], the fold that each sample is given in, from 1 on, 0 for none; `None`: none is given.
    `positions`: int64 [N], of a fold that is held out: the index of each sample in the whole data; else `None`.
    `cut`: of images that are stored larger than inputs, each stretched to a square: how inputs are cut out of them.
    `aspects`: their original width / height, float32 [N]; `None`: all are 1.
    """

    inputs: Tensor
    targets: Tensor
    names: tuple[str, ...] = ()
    mapped: bool = False
    rows: Tensor | None = None
    groups: Tensor | None = None
    folds: Tensor | None = None
    positions: Tensor | None = None
    cut: Cut | None = None
    aspects: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.inputs.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of all inputs."""
        return len(self) * math.prod(self.shape) * self.inputs.element_size()

    def gather(self, indices: Tensor) -> Tensor:
        """The inputs at `indices` (int64), copied."""
        return self.inputs.index_select(0, indices if self.rows is None else self.rows[indices])

    def sample(self, index: int) -> Tensor:
        """The input at `index`; of an image that is stored larger, its center, as it would be evaluated."""
        if self.cut is not None:
            return self.centers(torch.tensor([index]))[0]
        return self.inputs[index if self.rows is None else int(self.rows[index])]

    def centers(self, indices: Tensor) -> Tensor:
        """The inputs at `indices` (int64), copied; of images that are stored larger, their centers."""
        raw = self.gather(indices)
        if self.cut is None:
            return raw
        aspects = torch.ones(len(indices)) if self.aspects is None else self.aspects[indices]
        cut = crop_and_resize(raw.float(), self.cut.boxes(aspects), self.cut.size)
        return cut.round_().clamp_(0, 255).to(torch.uint8)

    def take(self, indices: Sequence[int]) -> Split:
        """The samples at `indices`, in that order: copied, unless they are mapped."""
        selection = torch.as_tensor(indices, dtype=torch.int64)
        taken = replace(
            self,
            targets=self.targets.index_select(0, selection),
            names=tuple(self.names[i] for i in indices) if self.names else (),
            groups=None if self.groups is None else self.groups[selection],
            folds=None if self.folds is None else self.folds[selection],
            positions=None if self.positions is None else self.positions[selection],
            aspects=None if self.aspects is None else self.aspects[selection],
        )
        if self.mapped:
            return replace(taken, rows=selection if self.rows is None else self.rows[selection])
        return replace(taken, inputs=self.inputs.index_select(0, selection))


@dataclass(frozen=True)
class Dataset:
    """A loaded dataset.

    `mean`, `std`: per channel, of the training images scaled to 0..1; empty: inputs are not normalized.
    `fingerprint`: SHA-256 (hex) of the content. `skipped_files`: (path, reason) of files that could not be read.
    `file_hashes`: of the contents of its image files, by path; empty for other data.
    `source`: where it was loaded from, in one line. `input`: how images become inputs; `None` until it is loaded.
    `contents`: what was taken as its classes and splits, one line each. `notices`: what was changed, assumed or left
    out, for the user, one line each. `depends_on_model`: whether another size or number of channels of the model gives
    other data. `original_sizes`: the sizes of its images in files, before they were resized; `None` for other data.
    `as_evaluated`: makes the split of some training samples that are to be evaluated, if they are stored in another
    way for training; `None`: they are not.
    """

    task: Task
    classes: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fingerprint: str = ""
    skipped_files: tuple[tuple[str, str], ...] = ()
    source: str = ""
    input: InputRecord | None = None
    contents: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    depends_on_model: bool = True
    original_sizes: ImageSizes | None = None
    file_hashes: Mapping[str, str] = field(default_factory=dict)
    as_evaluated: Callable[[Sequence[int]], Split] | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input, without preprocessing; training images may be stored larger."""
        return self.test.shape

    @property
    def store(self) -> int | None:
        """The side of the squares that training images are stored as; `None`: that of the inputs."""
        return None if self.input is None else self.input.store

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name; `validation` only if there is one."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}


def map_file(path: Path, shape: Sequence[int]) -> Tensor:
    """Memory-map a file as a uint8 tensor of `shape`; writes to the tensor never reach the file."""
    count = math.prod(shape)
    if not count:
        return torch.empty(tuple(shape), dtype=torch.uint8)
    return torch.from_file(str(path), shared=False, size=count, dtype=torch.uint8).reshape(tuple(shape))


def with_validation(data: Dataset, fraction: float, seed: int) -> Dataset:
    """`data` with `fraction` of its training samples held out for validation, unless it has a validation split."""
    if data.validation is not None or fraction <= 0:
        return data
    regression = data.task == "regression"
    labels = [0] * len(data.train) if regression else data.train.targets.tolist()
    groups = None if data.train.groups is None else data.train.groups.tolist()
    train, validation = draw_split(labels, groups, fraction, seed, "validation", required=False)
    if not validation and groups is not None:
        large = (
            f"no validation split: each group is too large for {100 * fraction:.0f} % of the training data"
        )
        return replace(data, notices=(*data.notices, large))
    if not validation:
        return data
    held_out = (data.as_evaluated or data.train.take)(validation)
    return replace(data, train=data.train.take(train), validation=held_out, as_evaluated=None)


def with_statistics(data: Dataset) -> Dataset:
    """`data` with mean and standard deviation of its training images; unchanged if its inputs are not images."""
    if data.train.inputs.dtype != torch.uint8:
        return data
    mean, std = mean_and_std(data.train)
    return replace(data, mean=mean, std=std)


def mean_and_std(images: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 [N, C, H, W], scaled to 0..1.

    Computed from counts of the 256 values: exact, independent of the number of threads, and without a float copy.
    The standard deviation of a constant channel is 1, so that dividing by it changes nothing.
    """
    image_bytes, channels = max(1, math.prod(images.shape)), images.shape[0]
    stride = max(1, math.ceil(len(images) * image_bytes / _STATISTICS_BYTES))
    counts = torch.zeros(channels, 256, dtype=torch.int64)
    for indices in torch.arange(0, len(images), stride).split(max(1, 64_000_000 // image_bytes)):
        chunk = images.gather(indices)
        for channel in range(channels):
            counts[channel] += torch.bincount(chunk[:, channel].reshape(-1), minlength=256)
    moments = [_moments(row) for row in counts.tolist()]
    return tuple(mean for mean, _ in moments), tuple(std for _, std in moments)


def _moments(counts: list[int]) -> tuple[float, float]:
    """Mean and standard deviation, scaled to 0..1, of the values 0..255 with these counts; summed as integers."""
    number = sum(counts)
    total = sum(value * count for value, count in enumerate(counts))
    squares = sum(value**2 * count for value, count in enumerate(counts))
    variance = (number * squares - total**2) / number**2
    return total / number / 255, math.sqrt(variance) / 255 if variance > 0 else 1.0


def fingerprint_of(splits: Iterable[Split | None], classes: Iterable[str]) -> str:
    """SHA-256 (hex) of the contents of `splits` and of the class names."""
    digest = hashlib.sha256("\0".join(classes).encode("utf-8", "surrogateescape"))
    for split in splits:
        if split is None:
            continue
        for tensor in (split.inputs, split.targets):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def validate(data: Dataset, name: str, *, without_test: bool = False) -> Dataset:
    """Return `data` unchanged, or raise `UserError`: no samples, only one class, labels out of range.

    `without_test`: the test split may be empty.
    """
    test = None if without_test and not len(data.test) else data.test
    splits = {"training": data.train, "validation": data.validation, "test": test}
    for kind, split in splits.items():
        if split is not None and not len(split):
            raise UserError(f"{name} has no {kind} samples: every split needs at least one")
        if split is not None and len(split.inputs) != len(split.targets):
            raise UserError(f"{name}: {len(split.inputs)} {kind} inputs but {len(split.targets)} targets")
    shapes = {split.shape for split in splits.values() if split is not None and split.cut is None}
    if len(shapes) > 1:
        raise UserError(
            f"{name}: the inputs of the splits differ in shape: {', '.join(map(str, sorted(shapes)))}"
        )
    if data.task == "classification":
        _check_labels(data, splits, name)
    return data


def _check_labels(data: Dataset, splits: dict[str, Split | None], name: str) -> None:
    if len(data.classes) < 2:
        raise UserError(
            f"{name} has only one class ({', '.join(data.classes)}): classification needs at least two"
        )
    for kind, split in splits.items():
        if split is None:
            continue
        low, high = int(split.targets.min()), int(split.targets.max())
        if low < 0 or high >= len(data.classes):
            raise UserError(
                f"{name}: {kind} labels range from {low} to {high}, but there are {len(data.classes)} classes "
                f"(0 to {len(data.classes) - 1})"
            )
