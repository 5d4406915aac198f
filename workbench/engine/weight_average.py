"""Averages of the weights over the training: exponential (EMA), or of the ends of the last epochs (SWA)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from workbench.config.lr_schedule import first_averaged_epoch
from workbench.config.training_settings import TrainingSettings
from workbench.engine.batches import Batch
from workbench.engine.cuda_graphs import TensorSnapshot
from workbench.engine.device import Precision
from workbench.engine.process_group import SINGLE, ProcessGroup
from workbench.engine.sharded_tensors import local_shard, shard_like
from workbench.engine.state_content import AverageContent
from workbench.engine.torch_compat import is_batch_norm, lerp_tensors_


class WeightAverage:
    """The average of the weights and of all other floating-point state of a module, beside its own values.

    `ema`: updated after each step with the decay `train.ema`, or (1 + n) / (10 + n) after n updates while that is
    smaller (as TensorFlow's `ExponentialMovingAverage`), so that the first weights are soon forgotten. `swa`: the mean
    of the weights at the end of each epoch after the share `train.swa` of the run (Izmailov et al., arXiv:1803.05407).
    """

    def __init__(self, module: nn.Module, kind: str) -> None:
        self.kind = kind
        state = {name: value for name, value in module.state_dict().items() if value.is_floating_point()}
        self._names = list(state)
        self._content = [value.clone() for value in state.values()]
        # Of a module that is sharded over processes, the shards of this one.
        self._values, self._average = (
            [local_shard(value) for value in each] for each in (state.values(), self._content)
        )
        self.updates = 0
        """How many weights are in the average; it is used from the first one on."""

    def after_step(self, train: TrainingSettings, epoch: int, *, ends_epoch: bool) -> None:
        """Update after a step in `epoch` (counted from 0)."""
        if self.kind == "ema":
            decay = min(train.ema, (1 + self.updates) / (10 + self.updates))
            self._update(1 - decay)
        elif ends_epoch and epoch >= first_averaged_epoch(train):
            self._update(1 / (1 + self.updates))

    def _update(self, share: float) -> None:
        lerp_tensors_(self._average, self._values, share)
        self.updates += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the context, the module has the averaged values, and the average the module's own.

        They are exchanged tensor by tensor, which needs little memory and leaves every address as it is.
        """
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        with torch.no_grad():
            for value, average in zip(self._values, self._average, strict=True):
                own = value.clone()
                value.copy_(average)
                average.copy_(own)

    def state_dict(self) -> AverageContent:
        """The content of a checkpoint, not copied."""
        weights = dict(zip(self._names, self._content, strict=True))
        return {"kind": self.kind, "updates": self.updates, "weights": weights}

    def load_state_dict(self, state: AverageContent) -> None:
        """Copy the average of a checkpoint."""
        self.updates = state["updates"]
        with torch.no_grad():
            for name, average in zip(self._names, self._content, strict=True):
                local_shard(average).copy_(local_shard(shard_like(state["weights"][name], average)))


def make_average(
    module: nn.Module, train: TrainingSettings, state: AverageContent | None = None
) -> WeightAverage | None:
    """The average that `train` asks for, with the values of a checkpoint if those are of the same kind."""
    kind = average_kind(train)
    if not kind:
        return None
    average = WeightAverage(module, kind)
    if state is not None and state["kind"] == kind:
        average.load_state_dict(state)
    return average


def average_kind(train: TrainingSettings) -> str:
    """`ema`, `swa`, or empty where the weights are not averaged."""
    return "ema" if train.ema else "swa" if train.swa else ""


def describe_average(train: TrainingSettings) -> str:
    """Which weights are evaluated and used, in one line; empty where they are not averaged."""
    if train.ema:
        return f"exponential moving average of the weights, decay {train.ema:g}"
    if train.swa:
        return f"mean of the weights after each epoch from {first_averaged_epoch(train) + 1} on (SWA)"
    return ""


def recompute_batch_norm(
    module: nn.Module,
    batches: Iterable[Batch],
    precision: Precision,
    after_batch: Callable[[], None],
    group: ProcessGroup = SINGLE,
    *,
    micro_batch: int = 0,
) -> None:
    """Set the running statistics of batch norms to their means over `batches` (float inputs [N, ...]).

    As `torch.optim.swa_utils.update_bn`, for averaged weights, which have no statistics of their own. With several
    processes, each computes its part of the batches; with `micro_batch`, in parts of about so many samples. Modes,
    random states and counters are restored; after an error raised by `after_batch`, the statistics too.
    """
    norms = [part for part in module.modules() if is_batch_norm(part) and part.running_mean is not None]
    if not norms:
        return
    modes = [(part, part.training) for part in module.modules()]
    momenta = [norm.momentum for norm in norms]
    statistics = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
    tensors = [value for value in statistics if value is not None]
    counters = TensorSnapshot([n.num_batches_tracked for n in norms if n.num_batches_tracked is not None])
    before = [value.clone() for value in tensors]
    module.train()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative mean
        for batch in batches:
            parts = -(-len(batch) // micro_batch) if micro_batch else 1
            with torch.no_grad(), precision.autocast():
                for inputs in batch.inputs.chunk(parts):
                    module(inputs)
            after_batch()
        for value in tensors if group.size > 1 else ():
            group.sum(value)
            value.div_(group.size)
    except BaseException:
        for value, old in zip(tensors, before, strict=True):
            value.copy_(old)
        raise
    finally:
        counters.restore()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for part, mode in modes:
            part.training = mode
