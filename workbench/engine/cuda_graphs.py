"""A training step captured once as a CUDA graph and then replayed: small models on a GPU are limited by launches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from workbench.config.training_settings import TrainingSettings
from workbench.core.text import one_line
from workbench.engine.batches import Batch
from workbench.engine.device import Precision
from workbench.engine.optimizer import NOT_CAPTURABLE
from workbench.engine.rng_state import random_states, restore_random_states

MAX_PARAMETERS = 30_000_000
"""Larger models keep a GPU busy without a graph, and need the memory that a captured graph would hold."""
WARMUP_STEPS = 3
"""Steps before the capture, in which kernels are chosen and the optimizer state is created (as in PyTorch's notes)."""
LOSS_TOLERANCE = 0.01
"""Relative difference allowed between the loss of a replayed and a computed step: kernels may add in another order."""


class StepState(Protocol):
    """The state that a captured step changes, see `TrainState`."""

    def mutated_tensors(self) -> list[Tensor]:
        """Every tensor that a step changes and the next one reads."""

    def loss_sum(self) -> Tensor:
        """The sum of the losses not reported yet (a scalar on the device)."""


class GraphRecorder(Protocol):
    """Captures steps for replay."""

    def warm_up(self, step: Callable[[], None]) -> None:
        """Run `step` a few times. Raises where it can't be captured."""

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Capture `step`; returns a function that replays it, any number of times."""


class CudaGraphRecorder:
    """Captures steps as in "Whole-network capture" of PyTorch's notes on CUDA semantics."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def warm_up(self, step: Callable[[], None]) -> None:
        """Run `step` on a side stream, the last time with synchronization forbidden: it can't be captured."""
        current_stream = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current_stream)
        try:
            with torch.cuda.stream(self._stream):
                for _ in range(WARMUP_STEPS):
                    step()
                before = torch.cuda.get_sync_debug_mode()
                torch.cuda.set_sync_debug_mode("error")
                try:
                    step()
                finally:
                    torch.cuda.set_sync_debug_mode(before)
        finally:
            # After an error too: the state is restored while these steps may still be queued.
            current_stream.wait_stream(self._stream)

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Capture `step`. Other threads may use the device meanwhile: they prefetch data and write checkpoints."""
        graph = torch.cuda.CUDAGraph()
        try:
            with (
                torch.cuda.device(self._device),
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                step()
        except Exception:
            self._leave_capture()
            raise
        replay: Callable[[], None] = graph.replay
        return replay

    def _leave_capture(self) -> None:
        """Give the generator of the device a new state of the same value.

        After a capture that CUDA invalidated, the old one still expects to be captured, and raises for random numbers.
        """
        index = self._device.index if self._device.index is not None else torch.cuda.current_device()
        generator = torch.cuda.default_generators[index]
        generator.graphsafe_set_state(generator.clone_state())


class GraphedStep:
    """Training steps with batches of `size` samples, captured at the first one and replayed from then on.

    Where a step can't be captured, or its replay gives another loss (because it draws Python random numbers, for
    example), all later steps run eagerly: `failure` then holds the reason, and `notify` is called with it.
    """

    def __init__(
        self,
        recorder: GraphRecorder,
        state: StepState,
        compute: Callable[[Batch], None],
        size: int,
        notify: Callable[[str], None],
    ) -> None:
        self._recorder, self._state, self._compute = recorder, state, compute
        self._size, self._notify = size, notify
        self._replay_graph: Callable[[], None] | None = None
        self._batch: Batch | None = None
        self.failure: str | None = None

    def invalidate(self) -> None:
        """Discard the captured graph; the next step captures a new one."""
        self._replay_graph = None

    def is_ready(self, batch: Batch) -> bool:
        """Whether a graph applies to `batch`; captures it where that is still to be done."""
        if self.failure is not None or len(batch) != self._size:
            return False
        if self._replay_graph is None:
            self.capture(batch)
        return self._replay_graph is not None

    def replay(self, batch: Batch) -> None:
        """Replay a step with `batch`, for which the graph is ready."""
        self._copy_in(batch)
        if self._replay_graph is not None:
            self._replay_graph()

    def capture(self, batch: Batch) -> None:
        """Capture a step with batches of this one's shape; parameters and random states are restored."""
        snapshot = TensorSnapshot(self._state.mutated_tensors())
        self._batch = static_batch = _clone(batch)
        try:
            self._recorder.warm_up(lambda: self._compute(static_batch))
            snapshot.restore(self._state.mutated_tensors())
            self._replay_graph = self._recorder.record(lambda: self._compute(static_batch))
            self._compare(batch, snapshot)
        except Exception as error:
            self._replay_graph, self.failure = None, one_line(error)
            self._notify(f"steps can't be captured as a CUDA graph and run eagerly: {self.failure}")
        snapshot.restore(self._state.mutated_tensors())

    def _compare(self, batch: Batch, snapshot: TensorSnapshot) -> None:
        """Compare two steps, computed and replayed; the second shows whether the first one's update was applied."""
        other = Batch(batch.inputs.flip(0), batch.targets, batch.soft_targets)
        losses = []
        for make_step in (self._compute, self.replay):
            snapshot.restore(self._state.mutated_tensors())
            make_step(batch)
            make_step(other)
            losses.append(float(self._state.loss_sum()))
        if not math.isclose(*losses, rel_tol=LOSS_TOLERANCE):
            raise ValueError(
                f"the replayed step gives another loss ({losses[1]:.6g} instead of {losses[0]:.6g})"
            )

    def _copy_in(self, batch: Batch) -> None:
        """Copy a batch into the tensors that the graph reads."""
        assert self._batch is not None
        self._batch.inputs.copy_(batch.inputs)
        self._batch.targets.copy_(batch.targets)
        if self._batch.soft_targets is not None and batch.soft_targets is not None:
            self._batch.soft_targets.copy_(batch.soft_targets)


class TensorSnapshot:
    """The values of some tensors and the states of all random generators, which `restore` puts back."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._values = [(tensor, tensor.detach().clone()) for tensor in tensors]
        self._random = random_states()

    def restore(self, current: Iterable[Tensor] = ()) -> None:
        """Restore all values in place; tensors of `current` that are new are optimizer state, which begins as zeros."""
        known = {id(tensor) for tensor, _ in self._values}
        with torch.no_grad():
            for tensor, value in self._values:
                tensor.copy_(value)
            for tensor in current:
                if id(tensor) not in known:
                    tensor.zero_()
        restore_random_states(self._random)


def select_recorder(
    module: nn.Module, settings: TrainingSettings, precision: Precision
) -> tuple[GraphRecorder | None, str]:
    """The recorder for the steps of a training; or `None`, and the reason as one line."""
    requested = settings.cuda_graph
    if requested == "no":
        return None, "train.cuda_graph is no"
    if precision.device.type != "cuda":
        return None, "CUDA graphs need a CUDA device"
    if precision.name == "fp16":
        return None, "the gradient scaler of fp16 synchronizes with the device in each step"
    if settings.optimizer in NOT_CAPTURABLE:
        return None, f"PyTorch's {settings.optimizer} reads the learning rate on the host in each step"
    if settings.auto_micro_batch:
        return None, "train.auto_micro_batch must be able to undo a step, and a graph can't"
    if settings.activation_checkpointing:
        return None, "train.activation_checkpointing computes activations again, which a graph can't hold"
    parameters = sum(p.numel() for p in module.parameters())
    if requested == "auto" and parameters > MAX_PARAMETERS:
        return (
            None,
            f"{parameters / 1e6:.0f} million parameters keep the device busy (train.cuda_graph=yes forces it)",
        )
    return CudaGraphRecorder(precision.device), ""


def _clone(batch: Batch) -> Batch:
    soft = None if batch.soft_targets is None else batch.soft_targets.clone()
    return Batch(batch.inputs.clone(), batch.targets.clone(), soft)
