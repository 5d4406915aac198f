"""No update is made with a loss that is no number, nor any after it, also where the host does not read losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from workbench.config.training_settings import Train
from workbench.engine.nan_guard import Diverged, Guard
from workbench.engine.optimizer import make_optimizer, plain_step

CPU = torch.device("cpu")
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")


class Stepper:
    """A small model that is stepped as the loop does it, with the flag on the device."""

    def __init__(self, name: Any, *, guard: Guard) -> None:
        torch.manual_seed(0)
        self.module, self.guard, self.step = nn.Linear(3, 2), guard, 0
        parameters = list(self.module.parameters())
        train = Train(optimizer=name, lr=0.1, momentum=0.9, weight_decay=0.01)
        optimizer = make_optimizer(self.module, train, CPU)
        self._update = guard.guarded(optimizer, plain_step(optimizer), parameters)

    def __call__(self, factor: float = 1.0) -> torch.Tensor:
        """The weights after a step whose loss is multiplied by `factor`."""
        self.module.zero_grad()
        loss = self.module(torch.ones(4, 3)).square().sum() * factor
        self.guard.watch(loss, self.step + 1)
        loss.backward()
        self.guard.hold()
        self._update()
        self.step += 1
        return self.module.weight.detach().clone()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_flag_holds_back_this_update_and_all_after_it(name: str, bad: float) -> None:
    stepper = Stepper(name, guard=Guard(CPU, deferred=True))
    before = [stepper(), stepper()]
    assert not torch.equal(*before)
    held = [stepper(bad), stepper(), stepper()]
    assert all(torch.equal(weights, before[1]) for weights in held)
    with pytest.raises(Diverged, match="NaN or infinite at step 3;") as found:
        stepper.guard.check(stepper.step)
    assert found.value.step == 3


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_flag_changes_no_bit_of_what_goes_well(name: str) -> None:
    held, read = Stepper(name, guard=Guard(CPU, deferred=True)), Stepper(name, guard=Guard(CPU))
    assert all(torch.equal(held(), read()) for _ in range(4))
    held.guard.check(held.step)


def test_after_a_new_beginning_updates_are_made_again() -> None:
    stepper = Stepper("sgd", guard=Guard(CPU, deferred=True))
    before = stepper(float("nan"))
    stepper.guard.begin()
    assert not torch.equal(stepper(), before)
    stepper.guard.check(stepper.step)


def test_on_the_cpu_each_loss_is_read() -> None:
    stepper = Stepper("sgd", guard=Guard(CPU))
    before = stepper()
    with pytest.raises(Diverged, match="infinite at step 2"):
        stepper(float("inf"))
    assert torch.equal(stepper.module.weight, before)


def test_a_gradient_scaler_passes_over_what_is_held_back() -> None:
    """What fp16 training does: gradients that are no numbers are not applied, and the loss makes them so."""
    guard, scaler = Guard(CPU, deferred=True), torch.amp.GradScaler("cpu", init_scale=4.0)
    module = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(module.parameters(), 0.1, fused=True)

    def step(factor: float) -> torch.Tensor:
        module.zero_grad()
        loss = module(torch.ones(4, 3)).square().mean() * factor
        guard.watch(loss, 1)
        scaler.scale(loss * guard.factor).backward()
        guard.hold()
        scaler.step(optimizer)
        scaler.update()
        return module.weight.detach().clone()

    start = module.weight.detach().clone()
    good = step(1.0)
    assert not torch.equal(start, good)
    assert torch.equal(step(float("inf")), good)
    assert torch.equal(step(1.0), good)
