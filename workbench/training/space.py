"""How much room a run takes on the disk, known before its first step."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from torch import Tensor, nn

from workbench import text
from workbench.errors import BadInput
from workbench.runs.layout import RunFolder
from workbench.trainsettings import Train

CHECKPOINTS = 3
"""On the disk at a time: the last two, and the best or the one that is being written."""
ROW_BYTES = 256


def checkpoint_bytes(module: nn.Module, train: Train) -> int:
    """Weights, and what the optimizer remembers of each."""
    moments = {"sgd": bool(train.momentum), "rmsprop": 1 + bool(train.momentum)}.get(train.optimizer, 2)
    learned = _bytes(p for p in module.parameters() if p.requires_grad)
    return _bytes(module.state_dict().values()) + moments * learned


def check_space(folder: RunFolder, checkpoint: int, rows: int) -> None:
    """Raise `BadInput` where checkpoints of so many bytes and so many rows of metrics can't fit."""
    wanted = CHECKPOINTS * checkpoint + rows * ROW_BYTES
    there = sum(path.stat().st_size for path in folder.checkpoints.glob("step-*.pt"))
    free = shutil.disk_usage(folder.path).free
    if wanted > free + there:
        raise BadInput(
            f"the run needs about {text.size(wanted)} for {CHECKPOINTS} checkpoints and its record, and "
            f"{folder.path} has {text.size(free)} free: make room, or set WORKBENCH_HOME to a larger disk"
        )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
