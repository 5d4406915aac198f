"""What makes steps quicker without changing what they do: a compiled model, and steps that are played back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from workbench.core.text import one_line
from workbench.engine.batches import Batch, Epochs
from workbench.engine.cuda_graphs import Before, Captured, recorder_for
from workbench.engine.device import Precision
from workbench.engine.train_state import TrainState
from workbench.runs.records import Feature

Say = Callable[[str], None]


class Acceleration(NamedTuple):
    """How the steps of a run are accelerated."""

    compile: Feature
    cuda_graph: Feature


def quicken(state: TrainState, epochs: Epochs, say: Say) -> Acceleration:
    """Compile and record the steps of `state` as far as its settings ask for it and it can be done.

    `say` is called with a line for each setting that can't be followed. The state is left as it was.
    """
    compiled = Feature(used=False, why="train.compile is no")
    if state.settings.compile:
        compiled = _compile(state, _first(state, epochs), say)
    return Acceleration(compiled, _record_steps(state, epochs, say))


def _record_steps(state: TrainState, epochs: Epochs, say: Say) -> Feature:
    """Record the steps as a CUDA graph, where that can be done."""
    recorder, why = recorder_for(state.module, state.settings, state.precision)
    if recorder is None:
        if state.settings.cuda_graph == "yes":
            say(f"train.cuda_graph: steps are not played back: {why}")
        return Feature(used=False, why=why)
    batch = _first(state, epochs)
    captured = Captured(recorder, state, len(batch), say)
    captured.record(batch)
    if captured.why_not is None:
        state.captured = captured
    return Feature(used=captured.why_not is None, why=captured.why_not or "")


def step_way(precision: Precision, threads: int, quick: Acceleration) -> str:
    """How a step is computed, for people."""
    device = precision.device
    words = [f"{precision.name} on {device}"]
    if device.type == "cpu":
        words[0] += f" with {threads} thread{'' if threads == 1 else 's'}"
    if quick.compile.used:
        words.append("compiled")
    if quick.cuda_graph.used:
        words.append("played back as a CUDA graph")
    elif device.type == "cuda":
        words.append(f"kernel by kernel: {quick.cuda_graph.why}")
    return ", ".join(words)


def _first(state: TrainState, epochs: Epochs) -> Batch:
    """A batch of the usual size, and the module ready for it."""
    state.begin_epoch(epochs.steps)
    state.begin_step()
    return next(epochs.batches(state.epoch).starting_at(0))


class Compiled:
    """A module compiled for inputs of one shape; others (a last, smaller batch) it computes as they were."""

    def __init__(self, module: nn.Module, inputs: Tensor) -> None:
        self._module, self._shape = module, inputs.shape
        self._compiled = torch.compile(module, dynamic=False)

    def __call__(self, inputs: Tensor) -> Tensor:
        """The module's outputs."""
        outputs: Tensor = (self._compiled if inputs.shape == self._shape else self._module)(inputs)
        return outputs


def _compile(state: TrainState, batch: Batch, say: Say) -> Feature:
    """Compile by computing a step's gradients once; nothing of the step is kept."""
    before = Before(state.changed())
    state.network = Compiled(state.module, batch.inputs)
    try:
        loss, _ = state.forward(batch)
        state.backward(loss)
        return Feature(used=True)
    except Exception as error:
        state.network = state.module
        why = one_line(error)
        say(f"train.compile: the model can't be compiled, and is computed as it is: {why}")
        return Feature(used=False, why=why)
    finally:
        before.restore(state.changed())
