"""Training batches in an order determined by seed and epoch, gathered on the device that holds the data.

Nothing is decoded or converted sample by sample: the inputs of a split are one tensor, on the compute device where it
fits, and a chunk of several batches is gathered, augmented and normalized at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workbench.datasets.augmentation import Augment
from workbench.datasets.drawing import derived_seed
from workbench.datasets.mixup import Mix, mixing_partners
from workbench.engine.data_placement import PlacedSplit, Preprocess
from workbench.engine.prefetch import ChunkReader
from workbench.engine.process_group import SINGLE, ProcessGroup

CHUNK_BYTES = {"cpu": 4_000_000, "cuda": 256_000_000}
"""Size of a chunk's float inputs: about a CPU's caches, and an amount of memory that a GPU can spare."""


@dataclass(frozen=True)
class WholeBatch:
    """The batch of a step of several processes, of which each computes a part."""

    targets: Tensor
    """Of all its samples."""
    processes: int
    is_copied: bool = False
    """Whether it is too small to be divided, so that every process computes all of it."""
    is_counted: bool = True
    """Whether this process counts its correct predictions: one process does so for a batch that is copied."""

    @property
    def part_sizes(self) -> tuple[int, int]:
        """The number of samples in the smallest and in the largest part."""
        count = len(self.targets)
        return (count, count) if self.is_copied else (count // self.processes, -(-count // self.processes))


@dataclass(frozen=True)
class Batch:
    """A batch on the compute device: `inputs` as the model takes them (float32 [B, ...]) and `targets`.

    `targets`: int64 [B] class indices, or float32 [B, ...] of a regression. `soft_targets`: the class shares of mixed
    images (mixup, cutmix), float32 [B, classes]. `whole`: the batch of which this is the part of one process.
    """

    inputs: Tensor
    targets: Tensor
    soft_targets: Tensor | None = None
    whole: WholeBatch | None = None

    @property
    def loss_targets(self) -> Tensor:
        """The targets of the loss: `soft_targets` where there are some, else `targets`."""
        return self.targets if self.soft_targets is None else self.soft_targets

    @property
    def samples(self) -> int:
        """The number of samples of the step, those of other processes included."""
        return len(self.targets if self.whole is None else self.whole.targets)

    @property
    def is_counted(self) -> bool:
        """Whether this process counts its correct predictions."""
        return self.whole is None or self.whole.is_counted

    def __len__(self) -> int:
        return len(self.targets)

    def slice(self, start: int, stop: int) -> Batch:
        """The samples from `start` to `stop`, as views."""
        soft = None if self.soft_targets is None else self.soft_targets[start:stop]
        return Batch(self.inputs[start:stop], self.targets[start:stop], soft)


def batch_bounds(count: int, size: int, merge_last_singleton: bool) -> list[tuple[int, int]]:
    """Start and end of each batch of `size` over `count` samples.

    With `merge_last_singleton`, a last batch of one sample joins the batch before it: batch norm can't train on one.
    """
    starts = list(range(0, count, size))
    if merge_last_singleton and len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [(start, end) for start, end in zip(starts, [*starts[1:], count], strict=True)]


def epoch_order(targets: Tensor, seed: int, epoch: int, balanced: bool = False) -> Tensor:
    """Sample indices in the order of one epoch (int64 [N]).

    A permutation, or with `balanced` N draws in which all present classes are equally frequent (±1).
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, "order", epoch))
    if balanced:
        return _balanced_order(targets, generator)
    return torch.randperm(len(targets), generator=generator)


def _balanced_order(targets: Tensor, generator: torch.Generator) -> Tensor:
    members = [torch.nonzero(targets == c).flatten() for c in targets.unique().tolist()]
    per_class = -(-len(targets) // len(members))
    drawn = [_draw_balanced(indices, per_class, generator) for indices in members]
    # Rows of one sample per class, so that the truncation at the end is spread over the classes.
    rows = torch.stack(drawn, 1).flatten()[: len(targets)]
    return rows[torch.randperm(len(rows), generator=generator)]


def _draw_balanced(indices: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` draws from `indices` as consecutive permutations, so that each is drawn before any is repeated."""
    rounds = [
        indices[torch.randperm(len(indices), generator=generator)] for _ in range(-(-count // len(indices)))
    ]
    return torch.cat(rounds)[:count]


class Batches:
    """The batches of one pass over `placed_split` in `order` (int64 [N] sample indices).

    `augment` and `mix` are applied with the epoch's random numbers in `draws` (one row per sample). Each process of
    `group` gets its part of every batch, consecutive samples; a batch too small for that (with `merge_last_singleton`
    each part has two samples or more) is not divided: all of them get it.
    """

    def __init__(
        self,
        placed_split: PlacedSplit,
        order: Tensor,
        size: int,
        *,
        merge_last_singleton: bool = False,
        augment: Augment | None = None,
        mix: Mix | None = None,
        draws: Tensor | None = None,
        group: ProcessGroup = SINGLE,
    ) -> None:
        self._split, self._size, self._augment, self._mix = placed_split, size, augment, mix
        self._order, self._device_order = order, order.to(placed_split.device)
        self._draws = None if draws is None else draws.to(placed_split.device)
        self._bounds = batch_bounds(len(order), size, merge_last_singleton)
        self._group, self._smallest_part = group, 1 + merge_last_singleton

    def __len__(self) -> int:
        return len(self._bounds)

    def iter_from(self, position: int) -> Iterator[Batch]:
        """The batches from index `position` on.

        Chunk borders don't depend on `position`, so that every kernel sees the same shapes and results stay exact.
        """
        per_chunk = self._batches_per_chunk()
        starts = range(position - position % per_chunk, len(self), per_chunk)
        chunks = [
            [self._part(*bounds) for bounds in self._bounds[first : first + per_chunk]] for first in starts
        ]
        order = self._device_order if self._split.resident else self._order
        raw = ChunkReader(self._split).chunks(_rows(order, parts) for parts in chunks)
        with contextlib.closing(raw):
            for first, parts, inputs in zip(starts, chunks, raw, strict=True):
                chunk, start = self._prepare(parts, inputs), 0
                for number, part in enumerate(parts, first):
                    stop = start + part.stop - part.start
                    if number >= position:
                        yield self._select(chunk.slice(start, stop), part, *self._bounds[number])
                    start = stop

    def _part(self, start: int, stop: int) -> range:
        """The places in the order that this process prepares of a batch."""
        count, group = stop - start, self._group
        # The partners of mixed images may be in the parts of others.
        if count < group.size * self._smallest_part or self._mix is not None:
            return range(start, stop)
        first, last = group.span(count)
        return range(start + first, start + last)

    def _select(self, prepared: Batch, part: range, start: int, stop: int) -> Batch:
        """What this process computes of the batch from `start` to `stop`, of which it has prepared `part`."""
        group = self._group
        if group.size == 1:
            return prepared
        targets = self._split.targets.index_select(0, self._device_order[start:stop])
        if stop - start < group.size * self._smallest_part:
            whole = WholeBatch(targets, group.size, is_copied=True, is_counted=group.is_writer)
            return replace(prepared, whole=whole)
        own = prepared if len(part) < stop - start else prepared.slice(*group.span(stop - start))
        return replace(own, whole=WholeBatch(targets, group.size))

    def _prepare(self, parts: list[range], raw: Tensor) -> Batch:
        """One batch of all samples of consecutive batches: gathered, augmented, normalized and mixed."""
        split, indices = self._split, _rows(self._device_order, parts)
        targets = split.targets.index_select(0, indices)
        if self._augment is None or self._draws is None:
            return Batch(split.to_model_input(split.cut_centers(raw, indices)), targets)
        draws = self._draws.index_select(0, indices)
        aspects = None if split.split.cut is None else split.aspects_of(indices)
        inputs = split.to_model_input(self._augment(raw, draws, split.split.cut, aspects))
        if self._mix is None:
            return Batch(inputs, targets)
        partner_indices = mixing_partners([(part.start, part.stop) for part in parts])
        partner_indices = partner_indices.to(split.device, non_blocking=True)
        return Batch(*self._mix(inputs, targets, draws[:, -Mix.COLUMNS :], partner_indices))

    def _batches_per_chunk(self) -> int:
        limit = CHUNK_BYTES.get(self._split.device.type, CHUNK_BYTES["cpu"])
        return max(1, limit // (self._split.sample_bytes * self._size))


class Epochs:
    """The training batches of every epoch of a run, as a function of the epoch."""

    def __init__(
        self,
        placed_split: PlacedSplit,
        size: int,
        seed: int,
        *,
        balanced: bool,
        merge_last_singleton: bool,
        augment: Augment | None,
        classes: int = 0,
        preprocess_at: Callable[[int], Preprocess] | None = None,
        group: ProcessGroup = SINGLE,
    ) -> None:
        self._group = group
        self._split, self._size, self._seed = placed_split, size, seed
        self._balanced, self._merge_last_singleton, self._augment = balanced, merge_last_singleton, augment
        self._mix = None if augment is None else augment.mixer(classes)
        self._preprocess_at = preprocess_at
        """Makes model inputs of another side, for progressive resizing."""
        self._targets = placed_split.split.targets  # on the host, where orders are drawn
        self.steps = len(batch_bounds(len(placed_split), size, merge_last_singleton))
        """Batches per epoch."""

    def batches(self, epoch: int, side: int | None = None) -> Batches:
        """The batches of epoch `epoch` (counted from 0); `side`: of its images, `None`: that of evaluated ones."""
        order = epoch_order(self._targets, self._seed, epoch, self._balanced)
        draws = None
        if self._augment is not None:
            draws = self._augment.draws(len(self._split), self._seed, epoch)
        split = self._split
        if side is not None and self._preprocess_at is not None:
            split = split.resized(side, self._preprocess_at(side))
        return Batches(
            split,
            order,
            self._size,
            merge_last_singleton=self._merge_last_singleton,
            augment=self._augment,
            mix=self._mix,
            draws=draws,
            group=self._group,
        )


def sequential_batches(placed_split: PlacedSplit, size: int, group: ProcessGroup = SINGLE) -> Batches:
    """All samples of `placed_split` once, in their stored order, for evaluation; each process gets its part of them."""
    return Batches(placed_split, torch.arange(*group.span(len(placed_split))), size)


def _rows(order: Tensor, parts: list[range]) -> Tensor:
    """The indices at consecutive `parts` of `order`; a view of it where nothing is left out between them."""
    if parts[-1].stop - parts[0].start == sum(map(len, parts)):
        return order[parts[0].start : parts[-1].stop]
    return torch.cat([order[part.start : part.stop] for part in parts])
