"""Losses and accuracies of metrics rows: means over samples, of the steps since the last row and of the epoch."""

from __future__ import annotations

import math

import pytest
import torch

from workbench.engine.running_sums import Means, RunningSums
from workbench.engine.task import Classification, Regression

CPU = torch.device("cpu")


def step(sums: RunningSums, loss: float, correct: int, samples: int) -> None:
    """A step of a classification of which this number of samples are correct."""
    targets = (torch.arange(samples) >= correct).long()
    sums.add(torch.tensor(loss), torch.tensor([[1.0, 0.0]]).expand(samples, 2), targets, samples=samples)
    sums.end_step(samples)


def test_means_are_weighted_by_samples_and_sums_continue_from_a_checkpoint() -> None:
    sums = RunningSums(Classification(2), CPU)
    step(sums, 2.0, 1, 4)
    step(sums, 1.0, 3, 6)
    sums.read()
    assert repr(sums.means(sums.window)) == repr(sums.means(sums.epoch)) == repr(Means(2, 1.4, 0.4))
    sums.window = [0.0] * 4
    step(sums, 3.0, 0, 2)
    assert repr(sums.state_dict()["device"]) == "[6.0, 0, 2, 1]"
    continued = RunningSums(Classification(2), CPU)
    continued.load_state_dict(sums.state_dict())
    assert continued.state_dict() == sums.state_dict()
    for each in (sums, continued):
        step(each, 5.0, 1, 2)
        each.read()
        each.read()  # nothing new
        assert each.means(each.window) == Means(2, 4.0, 0.25)
        assert each.means(each.epoch) == Means(4, pytest.approx(30 / 14), 5 / 14)


def test_sums_are_exact_over_long_epochs() -> None:
    """In single precision, 1e8 + 1 is 1e8, and 2**24 + 1 is 2**24."""
    sums = RunningSums(Classification(2), CPU)
    sums.load_state_dict({"device": [1e8, 2**24, 2**24, 1], "window": [0.0] * 4, "epoch": [0.0] * 4})
    step(sums, 1.0, 1, 1)
    sums.read()
    assert sums.window == sums.epoch == [1e8 + 1, 2**24 + 1, 2**24 + 1, 2]


def test_a_regression_has_a_loss_alone() -> None:
    sums = RunningSums(Regression(1), CPU)
    sums.add(torch.tensor(0.5), torch.zeros(4, 1), torch.zeros(4, 1), samples=4)
    sums.end_step(4)
    sums.read()
    assert sums.means(sums.window) == Means(1, 0.5, None)


def test_the_gradient_norm_of_the_last_step_is_kept_if_it_is_finite() -> None:
    sums = RunningSums(Classification(2), CPU)
    for value, read in ((math.nan, None), (1.5, 1.5), (math.inf, None)):
        sums.grad_norm.fill_(value)
        sums.read()
        assert sums.last_grad_norm == read
    assert math.isnan(RunningSums(Classification(2), CPU).grad_norm)
