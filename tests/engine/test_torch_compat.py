"""The internals of torch that the engine depends on still work as assumed."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from workbench.config.training_settings import TrainingSettings
from workbench.engine.optimizer import make_optimizer
from workbench.engine.torch_compat import (
    attach_found_inf,
    copy_tensors_,
    has_batch_norm,
    lerp_tensors_,
    relative_change,
    unwrapped_step,
    use_full_fp32_convolutions,
    warn_about_nondeterminism,
)

CPU = torch.device("cpu")
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")


def gradients(module: nn.Module) -> None:
    module.zero_grad()
    module(torch.ones(4, 3)).square().sum().backward()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_unwrapped_step_equals_the_wrapped_one(name: Any) -> None:
    train = TrainingSettings(optimizer=name, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    torch.manual_seed(0)
    unwrapped = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    wrapped = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    wrapped.load_state_dict(unwrapped.state_dict())
    first, second = make_optimizer(unwrapped, train, CPU), make_optimizer(wrapped, train, CPU)
    step, x = unwrapped_step(first), torch.randn(8, 4)
    for _ in range(3):
        for module in (unwrapped, wrapped):
            module.zero_grad()
            module(x).square().sum().backward()
        step()
        second.step()
    assert all(torch.equal(a, b) for a, b in zip(unwrapped.parameters(), wrapped.parameters(), strict=True))


def test_training_does_not_import_the_compiler() -> None:
    code = """
import sys, torch
from workbench.config.training_settings import TrainingSettings
from workbench.engine.optimizer import make_optimizer
from workbench.engine.torch_compat import unwrapped_step
for name in ("sgd", "adam", "adamw", "rmsprop"):
    module = torch.nn.Linear(2, 2)
    settings = TrainingSettings(optimizer=name, momentum=0.9)
    optimizer = make_optimizer(module, settings, torch.device("cpu"))
    module(torch.ones(3, 2)).sum().backward()
    unwrapped_step(optimizer)()
    optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_fused_optimizers_skip_their_update_while_found_inf_is_set(name: Any) -> None:
    module, found_inf = nn.Linear(3, 2), torch.zeros(())
    optimizer = make_optimizer(module, TrainingSettings(optimizer=name, lr=0.1), CPU)
    assert attach_found_inf(optimizer, found_inf)
    before = module.weight.detach().clone()
    gradients(module)
    found_inf.fill_(1)
    unwrapped_step(optimizer)()
    assert torch.equal(module.weight, before)
    found_inf.zero_()
    unwrapped_step(optimizer)()
    assert not torch.equal(module.weight, before)


@pytest.fixture
def tf32_as_it_was() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    yield
    torch.backends.cudnn.allow_tf32 = before[0]
    torch.set_float32_matmul_precision(before[1])


@pytest.mark.usefixtures("tf32_as_it_was")
@pytest.mark.parametrize("matmul", ["highest", "high"])
def test_convolutions_compute_with_all_bits_on_request(matmul: str) -> None:
    torch.set_float32_matmul_precision(matmul)
    use_full_fp32_convolutions()
    assert torch.backends.cudnn.conv.fp32_precision != "tf32"
    assert torch.get_float32_matmul_precision() == matmul
    torch.set_float32_matmul_precision(matmul)  # may be set afterwards


@pytest.mark.usefixtures("tf32_as_it_was")
def test_graphs_are_exported_after_convolutions_were_set_to_all_bits(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    use_full_fp32_convolutions()
    with torch.backends.cudnn.flags(enabled=False):
        assert torch.backends.cudnn.allow_tf32  # the default of `flags`
    assert not torch.backends.cudnn.allow_tf32
    target = tmp_path / "conv.onnx"
    inputs = (torch.zeros(1, 1, 4, 4),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(nn.Conv2d(1, 2, 3).eval(), inputs, target, dynamo=True, verbose=False)
    assert target.stat().st_size > 0


def test_rmsprop_has_no_found_inf() -> None:
    optimizer = make_optimizer(nn.Linear(3, 2), TrainingSettings(optimizer="rmsprop"), CPU)
    assert not attach_found_inf(optimizer, torch.zeros(()))


@pytest.mark.parametrize(
    "layer", [nn.BatchNorm1d(2), nn.BatchNorm2d(2), nn.BatchNorm3d(2), nn.SyncBatchNorm(2)]
)
def test_batch_norms_are_found_inside_a_module(layer: nn.Module) -> None:
    assert has_batch_norm(nn.Sequential(nn.Sequential(layer)))


def test_other_norms_are_not_batch_norms() -> None:
    assert not has_batch_norm(nn.Sequential(nn.GroupNorm(1, 2), nn.LayerNorm(2)))


def test_lists_of_tensors_are_copied_and_interpolated_in_place() -> None:
    targets, sources = [torch.zeros(2), torch.zeros(3)], [torch.ones(2), torch.full((3,), 2.0)]
    lerp_tensors_(targets, sources, 0.5)
    assert [target.tolist() for target in targets] == [[0.5] * 2, [1.0] * 3]
    copy_tensors_(targets, sources)
    assert [target.tolist() for target in targets] == [[1.0] * 2, [2.0] * 3]


def test_a_relative_change_is_that_of_all_tensors_together() -> None:
    now = [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])]
    change = relative_change([torch.tensor([3.0, 1.0]), torch.tensor([[2.0]])], now)
    assert change.shape == () and float(change) == pytest.approx(5**0.5 / 5)
    assert [value.tolist() for value in now] == [[3.0, 0.0], [[4.0]]]


def test_deterministic_algorithms_are_on_without_filling_memory() -> None:
    warn_about_nondeterminism()
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
