"""Batches in an order that is a function of the seed and the epoch, gathered where the data lies.

Nothing is decoded or converted one example at a time: the inputs are one tensor, on the device where it fits
there, and what a batch needs is gathered, augmented and normalised a chunk of several batches at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workbench.datasets.augmentation import Augment
from workbench.datasets.dataset import derived_seed
from workbench.datasets.mixup import Mix, partners
from workbench.engine.data_placement import Source
from workbench.engine.prefetch import Reader

CHUNK_BYTES = {"cpu": 4_000_000, "cuda": 256_000_000}
"""Float inputs of a chunk: what a CPU's caches hold, and what a GPU has to spare."""


@dataclass(frozen=True)
class Batch:
    """`inputs` as the model takes them and `targets`, on the device.

    `soft`: of pictures that are mixed, how much of each class there is (float32 [B, classes]).
    """

    inputs: Tensor
    targets: Tensor
    soft: Tensor | None = None

    @property
    def wanted(self) -> Tensor:
        """What the loss holds the outputs against."""
        return self.targets if self.soft is None else self.soft

    def __len__(self) -> int:
        return len(self.targets)

    def part(self, start: int, stop: int) -> Batch:
        """Some of its examples, not copied."""
        soft = None if self.soft is None else self.soft[start:stop]
        return Batch(self.inputs[start:stop], self.targets[start:stop], soft)


def bounds(count: int, size: int, merge_single: bool) -> list[tuple[int, int]]:
    """Where each batch of an epoch begins and ends.

    With `merge_single` a last batch of one example joins the batch before: batch norm can't learn from one.
    """
    starts = list(range(0, count, size))
    if merge_single and len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [(start, end) for start, end in zip(starts, [*starts[1:], count], strict=True)]


def has_batch_norm(module: nn.Module) -> bool:
    """Whether some part of `module` computes statistics over a batch."""
    return any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules())


def order_of(targets: Tensor, seed: int, epoch: int, balanced: bool = False) -> Tensor:
    """Indices of all training examples (int64 [N]) in the order of one epoch.

    A permutation; `balanced`: N draws in which every class there is comes equally often (one more for some).
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, "order", epoch))
    if balanced:
        return _balanced_order(targets, generator)
    return torch.randperm(len(targets), generator=generator)


def _balanced_order(targets: Tensor, generator: torch.Generator) -> Tensor:
    members = [torch.nonzero(targets == c).flatten() for c in targets.unique().tolist()]
    each = -(-len(targets) // len(members))
    drawn = [_draw(indices, each, generator) for indices in members]
    # Rows of one example per class, so that what is cut off at the end is spread over the classes.
    rows = torch.stack(drawn, 1).flatten()[: len(targets)]
    return rows[torch.randperm(len(rows), generator=generator)]


def _draw(indices: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of `indices`: whole permutations, one after the other, so that all come before any comes again."""
    rounds = [
        indices[torch.randperm(len(indices), generator=generator)] for _ in range(-(-count // len(indices)))
    ]
    return torch.cat(rounds)[:count]


class Batches:
    """The batches of one pass over `source`, in `order`; with `augment` and `mix`, the epoch's draws in `draws`."""

    def __init__(
        self,
        source: Source,
        order: Tensor,
        size: int,
        *,
        merge_single: bool = False,
        augment: Augment | None = None,
        mix: Mix | None = None,
        draws: Tensor | None = None,
    ) -> None:
        self._source, self._size, self._augment, self._mix = source, size, augment, mix
        self._order, self._here = order, order.to(source.device)
        self._draws = None if draws is None else draws.to(source.device)
        self._bounds = bounds(len(order), size, merge_single)

    def __len__(self) -> int:
        return len(self._bounds)

    def starting_at(self, position: int) -> Iterator[Batch]:
        """The batches from number `position` on.

        Chunks have the same borders wherever it starts, so that every kernel sees the same shapes.
        """
        each = self._batches_per_chunk()
        starts = range(position - position % each, len(self), each)
        chunks = [self._bounds[first : first + each] for first in starts]
        order = self._here if self._source.resident else self._order
        raw = Reader(self._source).chunks(order[c[0][0] : c[-1][1]] for c in chunks)
        with contextlib.closing(raw):
            for first, bounds, inputs in zip(starts, chunks, raw, strict=True):
                begin = bounds[0][0]
                chunk = self._ready(bounds, inputs)
                for start, stop in bounds[max(0, position - first) :]:
                    yield chunk.part(start - begin, stop - begin)

    def _ready(self, bounds: list[tuple[int, int]], raw: Tensor) -> Batch:
        """All examples of some batches that follow each other."""
        source, here = self._source, self._here[bounds[0][0] : bounds[-1][1]]
        targets = source.targets.index_select(0, here)
        if self._augment is None or self._draws is None:
            return Batch(source.ready(raw), targets)
        draws = self._draws.index_select(0, here)
        inputs = source.ready(self._augment(raw, draws))
        if self._mix is None:
            return Batch(inputs, targets)
        others = partners(bounds).to(source.device, non_blocking=True)
        return Batch(*self._mix(inputs, targets, draws[:, -Mix.COLUMNS :], others))

    def _batches_per_chunk(self) -> int:
        limit = CHUNK_BYTES.get(self._source.device.type, CHUNK_BYTES["cpu"])
        return max(1, limit // (self._source.example_bytes * self._size))


class Epochs:
    """The training batches of every epoch of a run."""

    def __init__(
        self,
        source: Source,
        size: int,
        seed: int,
        *,
        balanced: bool,
        merge_single: bool,
        augment: Augment | None,
        classes: int = 0,
    ) -> None:
        self._source, self._size, self._seed = source, size, seed
        self._balanced, self._merge, self._augment = balanced, merge_single, augment
        self._mix = None if augment is None else augment.mix(classes)
        self._labels = source.targets.cpu()
        self.steps = len(bounds(len(source), size, merge_single))
        """Batches of one epoch."""

    def batches(self, epoch: int) -> Batches:
        """The batches of epoch `epoch` (counted from 0)."""
        order = order_of(self._labels, self._seed, epoch, self._balanced)
        draws = None
        if self._augment is not None:
            draws = self._augment.draws(len(self._source), self._seed, epoch)
        return Batches(
            self._source,
            order,
            self._size,
            merge_single=self._merge,
            augment=self._augment,
            mix=self._mix,
            draws=draws,
        )


def in_order(source: Source, size: int) -> Batches:
    """Every example once, as they stand: for evaluation."""
    return Batches(source, torch.arange(len(source)), size)
