"""No update is applied with a NaN or infinite loss, nor any after it, even where the host does not read losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from workbench.config.training_settings import TrainingSettings
from workbench.engine.nan_guard import Diverged, NonFiniteGuard
from workbench.engine.optimizer import make_optimizer
from workbench.engine.torch_compat import unwrapped_step

CPU = torch.device("cpu")
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")


class Stepper:
    """A small model that is trained like in the training loop, with the guard's flag on the device."""

    def __init__(self, name: Any, *, guard: NonFiniteGuard) -> None:
        torch.manual_seed(0)
        self.module, self.guard, self.step = nn.Linear(3, 2), guard, 0
        parameters = list(self.module.parameters())
        train = TrainingSettings(optimizer=name, lr=0.1, momentum=0.9, weight_decay=0.01)
        optimizer = make_optimizer(self.module, train, CPU)
        self._update = guard.wrap_step(optimizer, unwrapped_step(optimizer), parameters)

    def __call__(self, factor: float = 1.0) -> torch.Tensor:
        """The weights after a step whose loss is multiplied by `factor`."""
        self.module.zero_grad()
        loss = self.module(torch.ones(4, 3)).square().sum() * factor
        self.guard.observe(loss, self.step + 1)
        loss.backward()
        self.guard.skip_if_nonfinite()
        self._update()
        self.step += 1
        return self.module.weight.detach().clone()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_bad_loss_skips_its_update_and_all_later_ones(name: str, bad: float) -> None:
    stepper = Stepper(name, guard=NonFiniteGuard(CPU, deferred=True))
    before = [stepper(), stepper()]
    assert not torch.equal(*before)
    held = [stepper(bad), stepper(), stepper()]
    assert all(torch.equal(weights, before[1]) for weights in held)
    with pytest.raises(Diverged, match="NaN or infinite at step 3;") as found:
        stepper.guard.check(stepper.step)
    assert found.value.step == 3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_deferred_guard_changes_no_bit_of_good_steps(name: str) -> None:
    held, read = (
        Stepper(name, guard=NonFiniteGuard(CPU, deferred=True)),
        Stepper(name, guard=NonFiniteGuard(CPU)),
    )
    assert all(torch.equal(held(), read()) for _ in range(4))
    held.guard.check(held.step)


def test_after_a_reset_updates_are_applied_again() -> None:
    stepper = Stepper("sgd", guard=NonFiniteGuard(CPU, deferred=True))
    before = stepper(float("nan"))
    stepper.guard.reset()
    assert not torch.equal(stepper(), before)
    stepper.guard.check(stepper.step)


def test_on_the_cpu_each_loss_is_checked_at_once() -> None:
    stepper = Stepper("sgd", guard=NonFiniteGuard(CPU))
    before = stepper()
    with pytest.raises(Diverged, match="infinite at step 2"):
        stepper(float("inf"))
    assert torch.equal(stepper.module.weight, before)


def test_a_gradient_scaler_skips_guarded_updates() -> None:
    """As in fp16 training: gradients with NaN are not applied, and the scaled loss makes them NaN."""
    guard, scaler = NonFiniteGuard(CPU, deferred=True), torch.amp.GradScaler("cpu", init_scale=4.0)
    module = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(module.parameters(), 0.1, fused=True)

    def step(factor: float) -> torch.Tensor:
        module.zero_grad()
        loss = module(torch.ones(4, 3)).square().mean() * factor
        guard.observe(loss, 1)
        scaler.scale(loss * guard.nan_scale).backward()
        guard.skip_if_nonfinite()
        scaler.step(optimizer)
        scaler.update()
        return module.weight.detach().clone()

    start = module.weight.detach().clone()
    good = step(1.0)
    assert not torch.equal(start, good)
    assert torch.equal(step(float("inf")), good)
    assert torch.equal(step(1.0), good)
