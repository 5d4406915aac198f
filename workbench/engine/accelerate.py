"""Faster training steps with the same results: `torch.compile` and CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from workbench.core.text import one_line, plural
from workbench.engine.batches import Batch, Epochs
from workbench.engine.cuda_graphs import GraphedStep, TensorSnapshot, select_recorder
from workbench.engine.device import Precision
from workbench.engine.loop import compute_step
from workbench.engine.train_state import TrainState
from workbench.runs.records import Feature

Notify = Callable[[str], None]


class Acceleration(NamedTuple):
    """How the steps of a run are accelerated."""

    compile: Feature
    cuda_graph: Feature


def accelerate_step(state: TrainState, epochs: Epochs, notify: Notify) -> Acceleration:
    """Compile the model and capture the step of `state` as a CUDA graph, where its settings and the device allow it.

    `notify` is called with one line for each requested acceleration that is not available. The state is unchanged.
    """
    if state.group.size > 1:
        return _without_acceleration(state, notify)
    compiled = Feature(enabled=False, reason="train.compile is no")
    if state.settings.compile and state.settings.activation_checkpointing:
        compiled = Feature(enabled=False, reason="train.activation_checkpointing can't be compiled")
        notify(f"train.compile is not used: {compiled.reason}")
    elif state.settings.compile:
        compiled = _enable_compile(state, _first_batch(state, epochs), notify)
    return Acceleration(compiled, _enable_cuda_graph(state, epochs, notify))


def _without_acceleration(state: TrainState, notify: Notify) -> Acceleration:
    """Several processes exchange gradients during a step, which is neither compiled nor captured."""
    settings, reason = state.settings, "several processes train together"
    for key, requested in (("compile", settings.compile), ("cuda_graph", settings.cuda_graph == "yes")):
        if requested:
            notify(f"train.{key} is not used: {reason}")
    return Acceleration(Feature(enabled=False, reason=reason), Feature(enabled=False, reason=reason))


def _enable_cuda_graph(state: TrainState, epochs: Epochs, notify: Notify) -> Feature:
    recorder, reason = select_recorder(state.module, state.settings, state.precision)
    if recorder is None:
        if state.settings.cuda_graph == "yes":
            notify(f"train.cuda_graph: steps are not captured as a CUDA graph: {reason}")
        return Feature(enabled=False, reason=reason)
    batch = _first_batch(state, epochs)
    graphed_step = GraphedStep(recorder, state, partial(compute_step, state), len(batch), notify)
    graphed_step.capture(batch)
    if graphed_step.failure is None:
        state.graphed_step = graphed_step
    return Feature(enabled=graphed_step.failure is None, reason=graphed_step.failure or "")


def describe_step(
    precision: Precision,
    threads: int,
    acceleration: Acceleration,
    processes: int = 1,
    *,
    is_sharded: bool = False,
) -> str:
    """How a step is computed, in one line: processes, precision, device, compiled or not, CUDA graph or eager."""
    device, several = precision.device, processes > 1
    parts = [f"{precision.name} on {device.type if several else device}"]
    if device.type == "cpu":
        parts[0] += f" with {plural(threads, 'thread')}{' each' if several else ''}"
    if several:
        parts.insert(0, f"{processes} processes{' with FSDP' if is_sharded else ''}")
    if acceleration.compile.enabled:
        parts.append("compiled")
    if acceleration.cuda_graph.enabled:
        parts.append("CUDA graph replay")
    elif device.type == "cuda":
        parts.append(f"eager: {acceleration.cuda_graph.reason}")
    return ", ".join(parts)


def _first_batch(state: TrainState, epochs: Epochs) -> Batch:
    """The first batch of the epoch, with the module and the learning rate set for its step."""
    state.begin_epoch(epochs.steps)
    state.begin_step()
    return next(epochs.batches(state.epoch).iter_from(0))


class CompiledModule:
    """A module compiled for one input shape; inputs of other shapes (a smaller last batch) run uncompiled."""

    def __init__(self, module: nn.Module, inputs: Tensor) -> None:
        self._module, self._shape = module, inputs.shape
        self._compiled = torch.compile(module, dynamic=False)

    def __call__(self, inputs: Tensor) -> Tensor:  # noqa: D102
        outputs: Tensor = (self._compiled if inputs.shape == self._shape else self._module)(inputs)
        return outputs


def _enable_compile(state: TrainState, batch: Batch, notify: Notify) -> Feature:
    """Compile the model by computing the gradients of one step; the state is then restored from a snapshot."""
    snapshot = TensorSnapshot(state.mutated_tensors())
    state.network = CompiledModule(state.module, batch.inputs)
    try:
        loss, _ = state.forward(batch)
        state.backward(loss)
        return Feature(enabled=True)
    except Exception as error:
        state.network = state.module
        reason = one_line(error)
        notify(f"train.compile: the model can't be compiled and runs uncompiled: {reason}")
        return Feature(enabled=False, reason=reason)
    finally:
        snapshot.restore(state.mutated_tensors())
