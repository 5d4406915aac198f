"""One of two processes that make steps with sharded models, and print what they saw: run by `test_sharding.py`."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from workbench.config.training_settings import TrainingSettings
from workbench.engine.batches import Batch, WholeBatch
from workbench.engine.device import Precision
from workbench.engine.freezing import Backbone
from workbench.engine.loop import compute_step
from workbench.engine.process_group import DistributedGroup
from workbench.engine.running_sums import RunningSums
from workbench.engine.settings_history import SettingsHistory
from workbench.engine.sharded_tensors import local_shard
from workbench.engine.sharding import shard_module
from workbench.engine.task import Classification
from workbench.engine.train_state import TrainState

CPU = torch.device("cpu")
SAMPLES = 8


class Training:
    """Steps of a sharded model with one batch."""

    def __init__(
        self,
        module: nn.Module,
        group: DistributedGroup,
        precision: Literal["fp32", "bf16", "fp16"],
        **settings: Any,
    ) -> None:
        task = Classification(3)
        self.units = shard_module(module, Precision(precision, CPU))
        self.state = TrainState(
            Backbone(module, ()),
            task=task,
            precision=Precision(precision, CPU),
            settings_history=SettingsHistory(TrainingSettings(max_grad_norm=1.0, **settings)),
            sums=RunningSums(task, CPU, group),
            group=group,
        )
        width = next(layer.in_features for layer in module.modules() if isinstance(layer, nn.Linear))
        inputs, targets = torch.randn(SAMPLES, width), torch.randint(3, (SAMPLES,))
        own = slice(*group.span(SAMPLES))
        self.batch = Batch(inputs[own], targets[own], whole=WholeBatch(targets, group.size))

    def steps(self, count: int) -> None:
        self.state.begin_epoch(100)
        for _ in range(count):
            self.state.begin_step()
            compute_step(self.state, self.batch, measure_update=True)
            self.state.end_step(SAMPLES)


class Gathered:
    """The most parameter elements that are gathered while a layer computes, and the dtypes of its weight then."""

    def __init__(self, module: nn.Module) -> None:
        self.most, self._module = 0, module
        self.dtypes: set[str] = set()
        for layer in module.modules():
            if isinstance(layer, nn.Linear):
                layer.register_forward_pre_hook(self._count)

    def _count(self, layer: nn.Module, inputs: object) -> None:
        full = [p for p in self._module.parameters() if not hasattr(p, "full_tensor")]
        self.most = max(self.most, sum(p.numel() for p in full))
        self.dtypes |= {str(p.dtype) for p in layer.parameters()}


def elements(tensors: Iterable[Tensor | None]) -> int:
    return sum(local_shard(tensor).numel() for tensor in tensors if tensor is not None)


def held(group: DistributedGroup) -> dict[str, Any]:
    """The elements that this process has, of what."""
    blocks = [nn.Sequential(nn.Linear(1024, 1024), nn.LayerNorm(1024), nn.ReLU()) for _ in range(4)]
    module = nn.Sequential(*blocks, nn.Linear(1024, 3))
    total = sum(p.numel() for p in module.parameters())
    training = Training(module, group, "bf16", optimizer="adam")
    gathered = Gathered(module)
    training.steps(2)
    optimizer = training.state.optimizer
    moments = [value for each in optimizer.state.values() for value in each.values() if value.ndim]
    return {
        "total": total,
        "units": training.units,
        "weights": elements(module.parameters()),
        "gradients": elements(p.grad for p in module.parameters()),
        "moments": elements(moments),
        "gathered": gathered.most,
        "dtypes": sorted(gathered.dtypes),
        "checkpoint": sum(value.numel() for value in training.state.state_dict()["model"].values()),
    }


def resumed(group: DistributedGroup) -> dict[str, Any]:
    """By precision and optimizer: whether steps after loading a checkpoint are the same, and bad ones are skipped."""
    found = {}
    for precision in ("fp32", "fp16"):
        for optimizer in ("sgd", "adam", "adamw", "rmsprop"):
            module = nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 3))
            settings = {"optimizer": optimizer, "momentum": 0.9, "lookahead": 2, "lr": 0.01}
            training = Training(module, group, precision, **settings)
            training.steps(4)
            checkpoint = _from_writer(training.state.state_dict())
            training.steps(4)
            uncut = training.state.state_dict()["model"]
            skipped = _skips(training, group)
            training.state.load_state_dict(checkpoint)
            training.steps(4)
            again = training.state.state_dict()["model"]
            same = all(torch.equal(uncut[name], again[name]) for name in uncut)
            found[f"{optimizer} {precision}"] = [same, skipped]
    return found


def _from_writer(content: Any) -> Any:
    """The checkpoint of rank 0, as it is read from a file."""
    file = io.BytesIO()
    torch.save(content, file)
    sent = [file.getvalue()]
    dist.broadcast_object_list(sent, 0)
    return torch.load(io.BytesIO(sent[0]), weights_only=True)


def _skips(training: Training, group: DistributedGroup) -> bool:
    """Whether no process updates its weights where the loss of one is not finite."""
    state = training.state
    before = [local_shard(p).clone() for p in state.module.parameters()]
    state.begin_step()
    state.zero_grad()
    inputs = training.batch.inputs * (float("inf") if group.rank == 1 else 1)
    loss, _ = state.forward(Batch(inputs, training.batch.targets))
    state.backward(loss)
    state.optimizer_step()
    return all(torch.equal(a, local_shard(p)) for a, p in zip(before, state.module.parameters(), strict=True))


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    group = DistributedGroup(CPU)
    print(json.dumps({"held": held, "resumed": resumed}[sys.argv[1]](group)))
    group.close()


if __name__ == "__main__":
    main()
