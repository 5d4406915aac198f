"""Nothing of a training step reads a value, backward pass and optimizer included: on a GPU that would wait for it.

Real tensors on the CPU, with the guard against NaN as it works on a GPU; `test_fake_device.py` shows the forward pass
on a device, and that batches are made without reads.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.engine.step_state import CPU, step_state
from tests.fake_device import DeviceReads
from workbench.datasets.mixup import Mix, mixing_partners
from workbench.engine.batches import Batch
from workbench.engine.device import Precision
from workbench.engine.loop import train_epoch
from workbench.engine.nan_guard import NonFiniteGuard
from workbench.engine.task import Classification, Regression, Task
from workbench.engine.train_state import TrainState

CLASSES, SIZE, STEPS = 3, 8, 6
WEIGHTS = torch.tensor([0.5, 1.0, 3.0])
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")


class DeferringPrecision(Precision):
    """A scaler as on a GPU, but for the CPU."""

    def scaler(self) -> torch.amp.GradScaler | None:
        return torch.amp.GradScaler("cpu") if self.name == "fp16" else None


class Fixed:
    """The batches of an epoch, made before."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return STEPS

    def iter_from(self, position: int) -> Any:
        return iter([self._batch] * (STEPS - position))


class Rows:
    """Writes a row every `log_every` steps, and notes what was read in each step."""

    def __init__(self, state: TrainState, found: list[str], log_every: int) -> None:
        self._state, self._found, self.log_every, self.update_every = state, found, log_every, 2
        self.steps: list[list[str]] = []
        self.rows: list[list[str]] = []

    def write_step(self, step: int, epoch: float, lr: float) -> None:
        self._state.sums.read()
        self.rows.append(list(self._found))
        self._found.clear()

    def after_step(self, state: TrainState) -> None:
        self.steps.append(list(self._found))
        self._found.clear()


class Net(nn.Module):
    """A convolution with batch norm and dropout, or dense layers."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten()
        )
        self.head = nn.Linear(4 * 4 * 4, outputs)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(self.body(x))
        return outputs


def train(
    settings: dict[str, Any],
    task: Task,
    batch: Batch,
    *,
    log_every: int = 1 << 60,
    module: nn.Module | None = None,
) -> Rows:
    """An epoch of the real loop."""
    precision = DeferringPrecision(settings.pop("precision", "fp32"), CPU)
    state = step_state(module or Net(task.num_outputs), settings, task=task, precision=precision)
    state.guard = NonFiniteGuard(CPU, deferred=True)
    state._create_optimizer()
    with DeviceReads() as found:
        rows = Rows(state, found, log_every)
        train_epoch(state, Fixed(batch), rows, rows)  # type: ignore[arg-type]
    assert state.step == STEPS
    # At the epoch's end the guard is read, once.
    assert found == ["aten::_local_scalar_dense"]
    return rows


def made_batch(kind: str) -> Batch:
    inputs, labels = torch.rand(SIZE, 1, 6, 6), torch.arange(SIZE) % CLASSES
    if kind == "regression":
        return Batch(inputs, torch.rand(SIZE, 1))
    if kind == "hard":
        return Batch(inputs, labels)
    return Batch(
        *Mix((kind,), CLASSES)(inputs, labels, torch.rand(SIZE, Mix.COLUMNS), mixing_partners([(0, SIZE)]))
    )


CASES: dict[str, tuple[dict[str, Any], str, Task]] = {
    **{name: ({"optimizer": name, "momentum": 0.9}, "hard", Classification(CLASSES)) for name in OPTIMIZERS},
    **{
        f"fp16 {name}": ({"optimizer": name, "precision": "fp16"}, "hard", Classification(CLASSES))
        for name in OPTIMIZERS[:-1]
    },
    "fp16 clipped": ({"precision": "fp16", "max_grad_norm": 1.0}, "hard", Classification(CLASSES)),
    "bf16": ({"precision": "bf16"}, "hard", Classification(CLASSES)),
    "mixup": ({}, "mixup", Classification(CLASSES)),
    "cutmix": ({}, "cutmix", Classification(CLASSES, 0.1, WEIGHTS)),
    "weights": ({}, "hard", Classification(CLASSES, 0.1, WEIGHTS)),
    "lookahead": ({"lookahead": 1}, "hard", Classification(CLASSES)),
    "clipped": ({"max_grad_norm": 0.5}, "hard", Classification(CLASSES)),
    "micro-batches": ({"micro_batch": 3}, "hard", Classification(CLASSES, 0.1, WEIGHTS)),
    "mixed micro-batches": ({"micro_batch": 3}, "mixup", Classification(CLASSES, 0.1, WEIGHTS)),
    "undo": ({"auto_micro_batch": True}, "hard", Classification(CLASSES)),
    "one-cycle": ({"schedule": "one-cycle", "optimizer": "sgd"}, "hard", Classification(CLASSES)),
    "cosine": ({"schedule": "cosine", "warmup": 0.5}, "hard", Classification(CLASSES)),
    "regression": ({}, "regression", Regression(1)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_step_reads_nothing(case: str) -> None:
    settings, kind, task = CASES[case]
    rows = train(dict(settings), task, made_batch(kind))
    assert rows.steps == [[]] * STEPS


def test_a_row_is_two_reads() -> None:
    """The count of skipped updates, and all sums at once."""
    rows = train({}, Classification(CLASSES), made_batch("hard"), log_every=2)
    assert rows.rows == [["aten::_local_scalar_dense", "Tensor.tolist"]] * (STEPS // 2)
    assert rows.steps == [[]] * STEPS


def test_rmsprop_in_fp16_reads_once_per_step() -> None:
    """`GradScaler` decides on the host whether an optimizer that is not fused makes its step."""
    rows = train({"optimizer": "rmsprop", "precision": "fp16"}, Classification(CLASSES), made_batch("hard"))
    assert all(step.count("aten::_local_scalar_dense") == 1 for step in rows.steps)


class Reading(Net):
    """Reads a value in one of several ways in each forward pass."""

    how = "item"

    def forward(self, x: Tensor) -> Tensor:
        outputs = super().forward(x)
        values = outputs.detach()
        {
            "item": values.sum().item,
            "tolist": values.tolist,
            "numpy": values.numpy,
            "cpu": values.cpu,
            "bool": lambda: bool(values.sum() > 0),
            "print": lambda: str(values),
            "mask": lambda: values[values > 0],
            "nonzero": values.nonzero,
        }[self.how]()
        return outputs


@pytest.mark.parametrize("how", ["item", "tolist", "numpy", "cpu", "bool", "print", "mask", "nonzero"])
def test_a_read_is_found(how: str) -> None:
    module = Reading(CLASSES)
    module.how = how
    rows = train({}, Classification(CLASSES), made_batch("hard"), module=module)
    assert all(rows.steps), rows.steps
