"""The learning rate range test: real steps at rates that rise until the loss does (Smith, arXiv:1506.01186)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

from workbench.core.errors import NonFiniteLoss
from workbench.engine.batches import Batch, Epochs
from workbench.engine.cuda_graphs import TensorSnapshot
from workbench.engine.loop import compute_step
from workbench.engine.optimizer import set_lr
from workbench.engine.train_state import TrainState

SMOOTHING = 0.9
"""The share of the former mean in the running mean of the loss."""
DIVERGED = 4.0
"""The test ends where this mean is so many times the lowest one, as in fastai's `LRFinder`."""
MIN_STEPS = 10


def range_test(
    state: TrainState, epochs: Epochs, rates: Sequence[float], after_step: Callable[[int], None]
) -> list[float]:
    """The loss of a step at each of `rates`, until it diverges or is not finite; the state is restored to the bit.

    `after_step` is called with the number of steps done, and may raise to end the test.
    """
    snapshot, epoch = TensorSnapshot(state.mutated_tensors()), state.epoch
    losses: list[float] = []
    mean = lowest = math.inf
    state.epoch = state.settings.epochs - 1  # when all is trained: the rate is that of the whole network
    state.begin_epoch(epochs.steps)
    try:
        for batch, rate in zip(_endless(epochs), rates, strict=False):
            loss = _loss_of_step(state, batch, rate)
            if not math.isfinite(loss):
                break
            losses.append(loss)
            mean = loss if mean == math.inf else SMOOTHING * mean + (1 - SMOOTHING) * loss
            lowest = min(lowest, mean)
            after_step(len(losses))
            if len(losses) > MIN_STEPS and mean > DIVERGED * lowest:
                break
    except NonFiniteLoss:
        pass  # the end of the test
    finally:
        state.in_step = False
        state.zero_grad()
        snapshot.restore(state.mutated_tensors())
        state.epoch = epoch
    return losses


def _endless(epochs: Epochs) -> Iterator[Batch]:
    """The training batches of all epochs, one after the other."""
    for epoch in itertools.count():
        yield from epochs.batches(epoch).iter_from(0)


def _loss_of_step(state: TrainState, batch: Batch, rate: float) -> float:
    """Make a step at this learning rate; returns its loss."""
    state.begin_step()
    set_lr(state.optimizer, rate, state.settings)
    before = state.loss_sum().item()
    if not state.replay(batch):
        compute_step(state, batch)
    return (state.loss_sum().item() - before) / batch.samples
