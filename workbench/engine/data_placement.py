"""Where the samples of a split are stored during a run: resident on the compute device, or streamed to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from workbench.core.text import format_bytes
from workbench.datasets.crops import crop_and_resize
from workbench.datasets.dataset import Cut, Split
from workbench.system.memory import fits_in_budget, host_memory

Preprocess = Callable[[Tensor, torch.device], Tensor]
"""(raw inputs, device) → model inputs on that device."""
COPY_CHUNK_BYTES = 64_000_000
"""How much of a split is copied to the device at a time."""


@dataclass(frozen=True)
class PlacedSplit:
    """A split that batches are gathered from, and the preprocessing that makes model inputs of raw samples.

    `split`: its inputs are on `device` if `resident`, else on the host or in a mapped file, from which they are
    streamed; `targets` and `aspects` are always on `device`. `reason`: resident or streamed, and why, in one line.
    """

    split: Split
    targets: Tensor
    preprocess: Preprocess
    device: torch.device
    resident: bool
    reason: str
    sample_bytes: int
    """Size of one sample as model input; raw samples can be far smaller."""
    channels_last: bool = False
    aspects: Tensor | None = None
    """The `aspects` of a split of images that are stored larger than inputs."""

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def inputs(self) -> Tensor:
        """The raw inputs, wherever they are stored."""
        return self.split.inputs

    def aspects_of(self, indices: Tensor) -> Tensor:
        """The original width / height of images: float32 [B]."""
        if self.aspects is None:
            return torch.ones(len(indices), device=self.device)
        return self.aspects.index_select(0, indices)

    def cut_centers(self, raw: Tensor, indices: Tensor) -> Tensor:
        """The centers of raw images that are stored larger than inputs; other samples as they are."""
        cut = self.split.cut
        if cut is None:
            return raw
        centers = crop_and_resize(raw.float(), cut.boxes(self.aspects_of(indices)), cut.size)
        if raw.dtype != torch.uint8:
            return centers
        return centers.round_().clamp_(0, 255).to(torch.uint8)

    def resized(self, side: int, preprocess: Preprocess) -> PlacedSplit:
        """The same samples as images of another side, which `preprocess` makes model inputs of."""
        cut = replace(self.split.cut or Cut(side), side=side)
        return replace(self, split=replace(self.split, cut=cut), preprocess=preprocess)

    def to_model_input(self, raw: Tensor) -> Tensor:
        """Model inputs (float32 [B, ...] on `device`) of raw samples."""
        inputs = self.preprocess(raw, self.device)
        if self.channels_last and inputs.ndim == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs


def place_split(
    split: Split, preprocess: Preprocess, device: torch.device, *, processes: int = 1
) -> PlacedSplit:
    """`split` copied to `device` where it fits into half of the free memory there, else left in place.

    Several processes on the CPU share the memory of a mapped file: they leave it in place.
    """
    example = split.inputs[:1] if split.cut is None else split.centers(torch.arange(1))
    sample_bytes = max(split.inputs[:1].nbytes, preprocess(example, device).nbytes)
    if split.mapped and device.type == "cpu" and processes > 1:
        placed_split, resident, reason = split, False, f"mapped from the cache by {processes} processes"
    else:
        placed_split, resident, reason = _place(split, device)
    return PlacedSplit(
        placed_split,
        split.targets.to(device),
        preprocess,
        device,
        resident,
        reason,
        sample_bytes,
        aspects=None if split.aspects is None else split.aspects.to(device),
    )


def _place(split: Split, device: torch.device) -> tuple[Split, bool, str]:
    """The split where it is to be stored, whether that is on `device`, and why, as one line."""
    size, free = split.nbytes, _free_bytes(device)
    place = "memory" if device.type == "cpu" else str(device)
    in_place = split.inputs.device.type == device.type and not split.mapped
    if not in_place and not fits_in_budget(size, free):
        reason = (
            f"streamed: {format_bytes(size)} do not fit in half of the {format_bytes(free)} free in {place}"
        )
        return split, False, reason
    reason = f"resident in {place}: {format_bytes(size)}"
    if in_place:
        return split, True, reason
    return (
        _copy_to_device(split, device),
        True,
        reason + ("" if free is None else f" of {format_bytes(free)} free"),
    )


def _copy_to_device(split: Split, device: torch.device) -> Split:
    """Copy the inputs in chunks, so that the host holds one chunk at most.

    Reading a mapped file once in sequence is faster than reading its pages in the order of an epoch.
    """
    inputs = torch.empty((len(split), *split.shape), dtype=split.inputs.dtype, device=device)
    each = max(1, COPY_CHUNK_BYTES // max(1, split.inputs[:1].nbytes))
    for start in range(0, len(split), each):
        rows = torch.arange(start, min(start + each, len(split)))
        inputs[start : start + each] = split.gather(rows)
    return replace(split, inputs=inputs, mapped=False, rows=None)


def _free_bytes(device: torch.device) -> int | None:
    """Free bytes on the device; free host memory for devices that share it."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else host_memory()[1]
