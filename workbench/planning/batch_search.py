"""Finds the largest batch size that fits into memory, in the planning process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch

from workbench.core.errors import NonFiniteLoss, NotEnoughMemory, UserError
from workbench.core.progress import Progress
from workbench.core.text import format_bytes
from workbench.engine.cuda_graphs import TensorSnapshot
from workbench.engine.torch_compat import has_batch_norm
from workbench.planning.batch_sizes import BatchSizes, TriedBatch
from workbench.planning.timed_training import TimedTraining
from workbench.system.memory import peak_process_bytes
from workbench.worker.checkpoints import CheckpointManager
from workbench.worker.components import TrainingComponents
from workbench.worker.context import Context
from workbench.worker.recovery import free_memory, parse_out_of_memory, release_memory
from workbench.worker.resume import StartPoint

SECONDS = 0.3
"""How long each batch size is timed, after a warm-up."""
MAX_BATCH = 65_536
PRECISION = 8
"""The search by bisection ends once the limit is known to an eighth of it."""
HOST_SHARE = 0.9
"""On a CPU a batch size is not tried that is expected to take more than this share of the free memory: the system would
kill this process, or another one."""


def find_batch_size(context: Context) -> BatchSizes:
    """Try batch sizes with the experiment of `context`: powers of two, then by bisection.

    Raises `UserError`, `RunFailed` or `Stop`.
    """
    with contextlib.closing(CheckpointManager(context.folder)) as checkpoints:
        components = TrainingComponents(context, StartPoint(context, checkpoints))
        return BatchSearch(context, components).run()


class BatchSearch:
    """The batch sizes tried so far."""

    def __init__(self, context: Context, components: TrainingComponents) -> None:
        self._context, self._components = context, components
        self._module, self._device = components.model.module, components.device
        self._base = peak_process_bytes()
        self.tried: dict[int, TriedBatch] = {}

    def run(self) -> BatchSizes:
        """Search for the largest batch size that fits."""
        samples = len(self._components.splits["train"])
        smallest = 1 + has_batch_norm(self._module)
        largest = max(smallest, min(samples, MAX_BATCH))
        fitting, failing = search_largest(self._fits, smallest, largest)
        limit = ""
        if fitting and not failing:
            limit = (
                "all training data is one batch"
                if fitting == samples
                else f"no more than {MAX_BATCH:,} are tried"
            )
        rows = tuple(self.tried[size] for size in sorted(self.tried))
        return BatchSizes(device=self._components.device_label, tried=rows, limit=limit)

    def _fits(self, size: int) -> bool:
        self._context.requests.raise_if_stopped()
        self._context.heartbeat.report_progress(Progress(f"batches of {size}"))
        reason = self._expected_shortage(size)
        self.tried[size] = (
            TriedBatch(batch_size=size, fits=False, reason=reason) if reason else self._try(size)
        )
        return self.tried[size].fits

    def _try(self, size: int) -> TriedBatch:
        """Train some steps with batches of `size`; the weights are restored."""
        changes = {"batch_size": size, "micro_batch": 0, "auto_micro_batch": False}
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        snapshot = TensorSnapshot(self._module.state_dict().values())
        try:
            components = self._components.with_settings(**changes)
            training = TimedTraining(components, self._context.folder, self._context.requests)
            with contextlib.closing(training):
                throughput = training.run(SECONDS)
                return TriedBatch(
                    batch_size=size, fits=True, samples_per_second=throughput.samples_per_second,
                    memory=self._peak(),
                )  # fmt: skip
        except NonFiniteLoss:  # the rate is too high for this size, which fits all the same
            return TriedBatch(batch_size=size, fits=True, memory=self._peak())
        except (RuntimeError, MemoryError, UserError) as error:
            shortage = parse_out_of_memory(error, self._device)
            if shortage is None and not isinstance(error, NotEnoughMemory):
                raise
            release_memory(error, self._device)
            return TriedBatch(batch_size=size, fits=False, reason=f"out of memory ({shortage})")
        finally:
            snapshot.restore()

    def _peak(self) -> int | None:
        """The peak memory: of the GPU, or of this process beyond what it had before the first steps."""
        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_reserved(self._device))
        peak = peak_process_bytes()
        return None if peak is None or self._base is None else peak - self._base

    def _expected_shortage(self, size: int) -> str:
        """Why a batch size on a CPU is not even tried; empty where it may be."""
        free = free_memory(self._device) if self._device.type == "cpu" else None
        known = [row for row in self.tried.values() if row.fits and row.memory]
        if free is None or not known:
            return ""
        last = max(known, key=lambda row: row.batch_size)
        assert last.memory is not None
        expected = last.memory * size // last.batch_size
        if expected < HOST_SHARE * free:
            return ""
        return f"about {format_bytes(expected)} expected, {format_bytes(free)} free"


def search_largest(fits: Callable[[int], bool], smallest: int, largest: int) -> tuple[int, int]:
    """The largest size that `fits` from `smallest` to `largest`, nearly, and the smallest tried that does not.

    By powers of two, then by bisection; 0 where there is none.
    """
    fitting, failing, size = 0, 0, smallest
    while size <= largest:
        if not fits(size):
            failing = size
            break
        fitting = size
        following = 1 << size.bit_length()
        size = largest if fitting < largest < following else following
    while fitting and failing - fitting > max(1, fitting // PRECISION):
        middle = (fitting + failing) // 2
        if fits(middle):
            fitting = middle
        else:
            failing = middle
    return fitting, failing
