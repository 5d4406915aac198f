"""What a dataset is once it is loaded: tensors, classes, and how they were split."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from workbench.core.errors import BadInput
from workbench.datasets.catalog import Task

_MEASURED_BYTES = 2_000_000_000
"""Mean and deviation of what is larger are taken from evenly spaced examples, this many bytes of them."""


@dataclass(frozen=True)
class Split:
    """Examples with their targets.

    `inputs`: uint8 [N, C, H, W] pictures (in memory, or `mapped` from a file), or float32 [N, ...] of anything else.
    `targets`: int64 [N] class indices, or float32 [N, ...] for a regression.
    `names`: one for each example where examples have names (files), else empty.
    `rows`: which of mapped `inputs` are its examples (int64 [N]), in this order; `None`: all of them.
    """

    inputs: Tensor
    targets: Tensor
    names: tuple[str, ...] = ()
    mapped: bool = False
    rows: Tensor | None = None

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

    def examples(self, indices: Tensor) -> Tensor:
        """The inputs of some examples (int64), copied."""
        return self.inputs.index_select(0, indices if self.rows is None else self.rows[indices])

    def example(self, index: int) -> Tensor:
        """The input of one example."""
        return self.inputs[index if self.rows is None else int(self.rows[index])]

    def take(self, indices: Sequence[int]) -> Split:
        """The examples at `indices`, in that order: copied, unless they are mapped."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        names = tuple(self.names[i] for i in indices) if self.names else ()
        targets = self.targets.index_select(0, chosen)
        if self.mapped:
            rows = chosen if self.rows is None else self.rows[chosen]
            return Split(self.inputs, targets, names, mapped=True, rows=rows)
        return Split(self.inputs.index_select(0, chosen), targets, names)


@dataclass(frozen=True)
class Data:
    """A loaded dataset.

    `mean`, `std`: per channel, of the training pictures scaled to 0..1; empty: don't normalise.
    `fingerprint`: SHA-256 (hex) of what was read. `set_aside`: (path, reason) of what could not be.
    `source`: where it was found, in one line.
    """

    task: Task
    classes: tuple[str, ...]
    train: Split
    validation: Split | None
    test: Split
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fingerprint: str = ""
    set_aside: tuple[tuple[str, str], ...] = ()
    source: str = ""

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name; `validation` only where there is one."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in found.items() if split is not None}


def map_file(path: Path, shape: Sequence[int]) -> Tensor:
    """A file of bytes as a uint8 tensor of `shape`, read as it is used; writes go to memory, never to the file."""
    count = math.prod(shape)
    if not count:
        return torch.empty(tuple(shape), dtype=torch.uint8)
    return torch.from_file(str(path), shared=False, size=count, dtype=torch.uint8).reshape(tuple(shape))


def derived_seed(seed: int, *purpose: object) -> int:
    """A 63-bit seed for one purpose: hashed, so that neighbouring seeds and purposes have nothing in common."""
    text = "\0".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def part(labels: Sequence[int], fraction: float, seed: int, purpose: str) -> tuple[list[int], list[int]]:
    """Indices that stay and indices that are taken away: `fraction` of every class, drawn by `seed`.

    Every class that has two examples or more keeps one and gives one. Both lists are ascending.
    """
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(label, []).append(index)
    generator = random.Random(derived_seed(seed, purpose))
    taken: set[int] = set()
    for label in sorted(members):
        indices = members[label]
        count = min(max(1, round(fraction * len(indices))), len(indices) - 1) if fraction > 0 else 0
        taken.update(generator.sample(indices, count))
    return [i for i in range(len(labels)) if i not in taken], sorted(taken)


def with_validation(data: Data, fraction: float, seed: int) -> Data:
    """`data` with `fraction` of its training examples kept for validation, unless it has some already."""
    if data.validation is not None or fraction <= 0:
        return data
    regression = data.task == "regression"
    labels = [0] * len(data.train) if regression else data.train.targets.tolist()
    kept, taken = part(labels, fraction, seed, "validation")
    if not taken:
        return data
    return replace(data, train=data.train.take(kept), validation=data.train.take(taken))


def measured(data: Data) -> Data:
    """`data` with mean and deviation of its training pictures; what is no picture stays as it is."""
    if data.train.inputs.dtype != torch.uint8:
        return data
    mean, std = mean_and_std(data.train)
    return replace(data, mean=mean, std=std)


def mean_and_std(pictures: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 [N, C, H, W], scaled to 0..1.

    Computed from counts of the 256 values: exact, the same with any number of threads, and with no float
    copy. A channel that never changes gets the deviation 1, so that dividing by it does nothing.
    """
    each, channels = max(1, math.prod(pictures.shape)), pictures.shape[0]
    stride = max(1, math.ceil(len(pictures) * each / _MEASURED_BYTES))
    counts = torch.zeros(channels, 256, dtype=torch.int64)
    for chosen in torch.arange(0, len(pictures), stride).split(max(1, 64_000_000 // each)):
        some = pictures.examples(chosen)
        for channel in range(channels):
            counts[channel] += torch.bincount(some[:, channel].reshape(-1), minlength=256)
    moments = [_moments(row) for row in counts.tolist()]
    return tuple(mean for mean, _ in moments), tuple(std for _, std in moments)


def _moments(counts: list[int]) -> tuple[float, float]:
    """Mean and deviation of values 0..255 that occur so often, scaled to 0..1; in whole numbers to the end."""
    number = sum(counts)
    total = sum(value * count for value, count in enumerate(counts))
    squares = sum(value**2 * count for value, count in enumerate(counts))
    variance = (number * squares - total**2) / number**2
    return total / number / 255, math.sqrt(variance) / 255 if variance > 0 else 1.0


def fingerprint_of(splits: Iterable[Split | None], classes: Iterable[str]) -> str:
    """SHA-256 (hex) of the contents of some splits and of the class names."""
    digest = hashlib.sha256("\0".join(classes).encode("utf-8", "surrogateescape"))
    for split in splits:
        if split is None:
            continue
        for tensor in (split.inputs, split.targets):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def checked(data: Data, name: str) -> Data:
    """`data` if it can be learned from, else `BadInput`: no examples, one class only, labels out of range."""
    splits = {"training": data.train, "validation": data.validation, "test": data.test}
    for word, split in splits.items():
        if split is not None and not len(split):
            raise BadInput(f"{name} has no {word} examples: every split needs some")
        if split is not None and len(split.inputs) != len(split.targets):
            raise BadInput(f"{name}: {len(split.inputs)} {word} inputs but {len(split.targets)} targets")
    shapes = {tuple(split.inputs.shape[1:]) for split in splits.values() if split is not None}
    if len(shapes) > 1:
        raise BadInput(f"{name}: the splits' inputs differ in shape: {', '.join(map(str, sorted(shapes)))}")
    if data.task == "classification":
        _check_labels(data, splits, name)
    return data


def _check_labels(data: Data, splits: dict[str, Split | None], name: str) -> None:
    if len(data.classes) < 2:
        raise BadInput(
            f"{name} has one class only ({', '.join(data.classes)}): there is nothing to tell apart"
        )
    for word, split in splits.items():
        if split is None:
            continue
        low, high = int(split.targets.min()), int(split.targets.max())
        if low < 0 or high >= len(data.classes):
            raise BadInput(
                f"{name}: {word} labels go from {low} to {high}, but there are {len(data.classes)} classes, "
                f"0 to {len(data.classes) - 1}"
            )
