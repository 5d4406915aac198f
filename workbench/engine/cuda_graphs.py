"""A training step recorded once and then played back as a whole: small models on a GPU wait for launches otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from workbench.config.training_settings import Train
from workbench.core.text import one_line
from workbench.engine.batches import Batch
from workbench.engine.device import Precision
from workbench.engine.rng_state import random_states, restore_random_states

MOST_PARAMETERS = 30_000_000
"""Larger models keep a GPU busy anyway, and what a recording holds of its memory would be missed."""
WARM_UP = 3
"""Steps before the recording: kernels are chosen and the optimizer gets its memory (as torch's notes have it)."""
AGREES = 0.01
"""How much, relatively, the loss may differ that is played back: kernels may add in another order."""


class Steps(Protocol):
    """What is captured: see `state.TrainState`."""

    def compute(self, batch: Batch) -> None:
        """All that the device does in a step."""

    def changed(self) -> list[Tensor]:
        """Every tensor that a step changes and the next one reads."""

    def losses(self) -> Tensor:
        """What the losses of steps are added to."""


class Recorder(Protocol):
    """What can record steps."""

    def warm_up(self, step: Callable[[], None]) -> None:
        """Make `step` a few times. Raises what stands in the way of a recording."""

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """What `step` did, to be played back any number of times."""


class CudaGraphs:
    """Records with CUDA graphs, as "Whole-network capture" in torch's notes on CUDA semantics."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def warm_up(self, step: Callable[[], None]) -> None:
        """On a stream of its own, the last time with reads of the device forbidden: they can't be recorded."""
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UP):
                step()
            before = torch.cuda.get_sync_debug_mode()
            torch.cuda.set_sync_debug_mode("error")
            try:
                step()
            finally:
                torch.cuda.set_sync_debug_mode(before)
        here.wait_stream(self._stream)

    def record(self, step: Callable[[], None]) -> Callable[[], None]:
        """Other threads may go on with the device meanwhile: they read ahead and write checkpoints."""
        graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.device(self._device),
            torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
        ):
            step()
        replay: Callable[[], None] = graph.replay
        return replay


class Captured:
    """Steps with batches of `size` examples, recorded at the first and played back from then on.

    A step that can't be recorded, or gives other numbers when it is played back (one that draws with Python's
    random numbers, say), is computed by itself ever after; `why_not` then says why, and `say` is told, at the
    first recording or at a later one.
    """

    def __init__(self, recorder: Recorder, steps: Steps, size: int, say: Callable[[str], None]) -> None:
        self._recorder, self._steps, self._size, self._say = recorder, steps, size, say
        self._play: Callable[[], None] | None = None
        self._batch: Batch | None = None
        self.why_not: str | None = None

    def forget(self) -> None:
        """What was recorded holds no longer."""
        self._play = None

    def play(self, batch: Batch) -> bool:
        """Make a step with `batch`; `False`, and nothing done, where it is not one that was captured."""
        if self.why_not is not None or len(batch) != self._size:
            return False
        if self._play is None:
            self.record(batch)
        if self._play is None:
            return False
        self._put(batch)
        self._play()
        return True

    def record(self, batch: Batch) -> None:
        """Record a step with batches like this one; everything is left as it was."""
        before = Before(self._steps.changed())
        self._batch = held = _copied(batch)
        try:
            self._recorder.warm_up(lambda: self._steps.compute(held))
            before.restore(self._steps.changed())
            self._play = self._recorder.record(lambda: self._steps.compute(held))
            self._compare(batch, before)
        except Exception as error:
            self._play, self.why_not = None, one_line(error)
            self._say(f"steps can't be recorded as a CUDA graph, and are computed one by one: {self.why_not}")
        before.restore(self._steps.changed())

    def _compare(self, batch: Batch, before: Before) -> None:
        """Two steps, computed and played back: the second shows whether the first one's update was made."""
        other = Batch(batch.inputs.flip(0), batch.targets, batch.soft)
        sums = []
        for make in (self._steps.compute, self._played):
            before.restore(self._steps.changed())
            make(batch)
            make(other)
            sums.append(float(self._steps.losses()))
        if not math.isclose(*sums, rel_tol=AGREES):
            raise ValueError(
                f"played back it gives other numbers (loss {sums[1]:.6g} instead of {sums[0]:.6g})"
            )

    def _played(self, batch: Batch) -> None:
        self._put(batch)
        if self._play is not None:
            self._play()

    def _put(self, batch: Batch) -> None:
        """Put a batch where the recording reads it."""
        assert self._batch is not None
        self._batch.inputs.copy_(batch.inputs)
        self._batch.targets.copy_(batch.targets)
        if self._batch.soft is not None and batch.soft is not None:
            self._batch.soft.copy_(batch.soft)


class Before:
    """The values of some tensors and the random states, to go back to."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._kept = [(tensor, tensor.detach().clone()) for tensor in tensors]
        self._random = random_states()

    def restore(self, now: Iterable[Tensor] = ()) -> None:
        """Put them back in place; those of `now` that were not there are an optimizer's, which begin as zeros."""
        known = {id(tensor) for tensor, _ in self._kept}
        with torch.no_grad():
            for tensor, value in self._kept:
                tensor.copy_(value)
            for tensor in now:
                if id(tensor) not in known:
                    tensor.zero_()
        restore_random_states(self._random)


def recorder_for(module: nn.Module, settings: Train, precision: Precision) -> tuple[Recorder | None, str]:
    """What records the steps of a training; or `None` and why there is nothing, in words."""
    wanted = settings.cuda_graph
    if wanted == "no":
        return None, "train.cuda_graph is no"
    if precision.device.type != "cuda":
        return None, "CUDA graphs are for CUDA devices"
    if precision.name == "fp16":
        return None, "fp16's scaler reads the device in each step"
    if settings.auto_micro_batch:
        return None, "train.auto_micro_batch must be able to undo a step"
    parameters = sum(p.numel() for p in module.parameters())
    if wanted == "auto" and parameters > MOST_PARAMETERS:
        return (
            None,
            f"{parameters / 1e6:.0f} million parameters keep the device busy (train.cuda_graph=yes all the same)",
        )
    return CudaGraphs(precision.device), ""


def _copied(batch: Batch) -> Batch:
    soft = None if batch.soft is None else batch.soft.clone()
    return Batch(batch.inputs.clone(), batch.targets.clone(), soft)
