"""Where a split's examples lie while a run needs them, and how they come to the device that computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from workbench.core.text import size
from workbench.datasets.dataset import Split
from workbench.system.memory import fits, host_memory

Preprocess = Callable[[Tensor, torch.device], Tensor]
"""(raw inputs, device) to what the model takes, on that device."""
PIECE_BYTES = 64_000_000
"""Of a split that is moved to the device, what is on its way at a time."""


@dataclass(frozen=True)
class Source:
    """A split where batches are gathered from, and what makes inputs of its raw examples.

    `split`: its inputs lie on `device` where they are `resident`, else on the host or in a mapped file, from where
    they are `streamed`; `targets` are on `device` always. `why`: which it is and for what reason, in one line.
    """

    split: Split
    targets: Tensor
    preprocess: Preprocess
    device: torch.device
    resident: bool
    why: str
    example_bytes: int
    """What one example takes as the model's input; raw ones can be far smaller."""
    channels_last: bool = False

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def inputs(self) -> Tensor:
        """The raw inputs, where they lie."""
        return self.split.inputs

    def ready(self, raw: Tensor) -> Tensor:
        """What the model takes, of raw examples."""
        inputs = self.preprocess(raw, self.device)
        if self.channels_last and inputs.ndim == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs


def source_of(split: Split, preprocess: Preprocess, device: torch.device) -> Source:
    """`split` on the device where it fits into its share of the free memory, else where it is."""
    example_bytes = max(split.inputs[:1].nbytes, preprocess(split.inputs[:1], device).nbytes)
    placed, resident, why = _placed(split, device)
    return Source(placed, split.targets.to(device), preprocess, device, resident, why, example_bytes)


def _placed(split: Split, device: torch.device) -> tuple[Split, bool, str]:
    wanted, free = split.nbytes, _free(device)
    place = "memory" if device.type == "cpu" else str(device)
    here = split.inputs.device.type == device.type and not split.mapped
    if not here and not fits(wanted, free):
        return (
            split,
            False,
            f"streamed: {size(wanted)} do not fit in half of the {size(free)} free in {place}",
        )
    why = f"resident in {place}: {size(wanted)}" + ("" if here or free is None else f" of {size(free)} free")
    return (split if here else _moved(split, device)), True, why


def _moved(split: Split, device: torch.device) -> Split:
    """Read once, faster than a mapped file's pages in the order of an epoch; the host holds a piece of it at most."""
    inputs = torch.empty((len(split), *split.shape), dtype=split.inputs.dtype, device=device)
    each = max(1, PIECE_BYTES // max(1, split.inputs[:1].nbytes))
    for start in range(0, len(split), each):
        rows = torch.arange(start, min(start + each, len(split)))
        inputs[start : start + each] = split.examples(rows)
    return Split(inputs, split.targets, split.names)


def _free(device: torch.device) -> int | None:
    """Bytes that are free on the device; of those that share the host's memory, there."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else host_memory()[1]
