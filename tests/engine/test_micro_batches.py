"""A batch that is computed in micro-batches has the loss and the gradients of the whole batch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.engine.step_state import step_state
from workbench.datasets.mixup import Mix, mixing_partners
from workbench.engine.batches import Batch
from workbench.engine.loop import compute_step
from workbench.engine.task import Classification, Regression, Task
from workbench.engine.train_state import TrainState

SAMPLES, CLASSES = 12, 3
WEIGHTS = torch.tensor([0.4, 1.0, 7.0])
SPLITS = (12, 6, 5, 4, 1)
"""Whole, and in micro-batches of equal and unequal size."""


def made_batch(*, soft: bool = False) -> Batch:
    """Labels in order, so that the classes of micro-batches differ; with soft targets two classes share an image."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.rand(SAMPLES, 1, 4, 4, generator=generator)
    labels = torch.tensor([0] * 7 + [1] * 3 + [2] * 2)
    if not soft:
        return Batch(inputs, labels)
    draws = torch.rand(SAMPLES, Mix.COLUMNS, generator=generator)
    return Batch(*Mix(("mixup",), CLASSES)(inputs, labels, draws, mixing_partners([(0, SAMPLES)])))


def by_hand(outputs: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    """The mean loss of a batch, from its definition: -Σ w·t·log p over classes, over the sum of the hard weights."""
    hard = targets.ndim == 1
    shares = F.one_hot(targets, CLASSES).float() if hard else targets
    shares = (1 - smoothing) * shares + smoothing / CLASSES
    factors = torch.ones(CLASSES) if weights is None else weights
    losses = -(factors * shares * outputs.log_softmax(1)).sum(1)
    return losses.sum() / (factors[targets].sum() if hard else len(targets))


def step(task: Task, batch: Batch, size: int, **settings: Any) -> tuple[TrainState, list[Tensor]]:
    """One step of plain SGD in micro-batches of `size`; the state after it, and the gradients."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, task.num_outputs))
    state = step_state(module, {"optimizer": "sgd", "micro_batch": size % SAMPLES, **settings}, task=task)
    state.begin_step()
    compute_step(state, batch)
    state.end_step(len(batch))
    return state, [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("size", SPLITS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("soft", [False, True])
def test_the_recorded_loss_is_that_of_the_whole_batch(
    size: int, smoothing: float, weights: Tensor | None, soft: bool
) -> None:
    batch, task = made_batch(soft=soft), Classification(CLASSES, smoothing, weights)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES))
    outputs = module(batch.inputs)
    loss = by_hand(outputs, batch.loss_targets, smoothing, weights)
    loss.backward()
    state, gradients = step(task, batch, size)
    state.sums.read()
    means = state.sums.means(state.sums.window)
    assert means.loss == pytest.approx(loss.item(), rel=1e-5)
    assert means.count == 1
    assert means.accuracy == pytest.approx(int((outputs.argmax(1) == batch.targets).sum()) / SAMPLES)
    for mine, parameter in zip(gradients, module.parameters(), strict=True):
        assert torch.allclose(mine, parameter.grad, atol=1e-6)


@pytest.mark.parametrize("size", SPLITS)
def test_the_recorded_loss_of_a_regression_is_that_of_the_whole_batch(size: int) -> None:
    batch = Batch(made_batch().inputs, torch.linspace(-3, 5, SAMPLES)[:, None])
    state, _ = step(Regression(1), batch, size)
    torch.manual_seed(0)
    expected = (nn.Linear(16, 1)(batch.inputs.flatten(1)) - batch.targets).square().mean()
    state.sums.read()
    assert state.sums.means(state.sums.window).loss == pytest.approx(expected.item(), rel=1e-5)


def test_shares_of_micro_batches_add_up_to_one() -> None:
    batch, task = made_batch(), Classification(CLASSES, weights=WEIGHTS)
    state, _ = step(task, batch, 5)
    shares = [float(share) for _, share in state.micro_batches(batch) if share is not None]
    bounds = [0, 5, 10, 12]
    sums = [float(WEIGHTS[batch.targets[a:b]].sum()) for a, b in pairwise(bounds)]
    assert shares == pytest.approx([value / sum(sums) for value in sums])
