"""The fastest number of CPU threads and memory format of images: timed once per host, model and batch, then cached."""

from __future__ import annotations

import copy
import hashlib
import math
import platform
import time
from collections.abc import Callable, Mapping

import torch
from torch import nn

from workbench.config.training_settings import TrainingSettings
from workbench.core import paths
from workbench.engine.batches import Batch
from workbench.engine.optimizer import make_optimizer
from workbench.engine.task import Task
from workbench.engine.torch_compat import unwrapped_step
from workbench.io.record_codec import Record, read_record, write_record
from workbench.models.factory import supports_channels_last
from workbench.system.cpu import core_budget, cores_are_contended, usable_cores
from workbench.system.host import host_name

TIMING_SECONDS = 0.1
"""How long one candidate is timed at most, after one warm-up step."""
MAX_TRAINING_SHARE = 0.05
"""The most that timing may take, as a share of the training that it is for."""
MIN_STEPS = 400
"""Nothing is timed for a shorter training: the first steps on many and on few threads would be too large a share."""
MAX_TIME_RATIO = 0.8
"""More threads are chosen only where they need less than this share of the time: with other processes on the same
cores, they lose more than they gained."""
STOP_TIME_RATIO = 1.5
"""The search ends once more threads take this many times as long as the best count so far."""
SLOW_STEP_SECONDS = 1.0
"""The memory format is not timed where a step takes at least this many seconds."""
MAX_LAYOUT_TIME_RATIO = 0.9
"""`channels_last` is chosen only where it needs less than this share of the time."""


class TunedExecution(Record, frozen=True, kw_only=True):
    """The fastest way found to run steps; `channels_last`: memory format of images and convolution weights."""

    threads: int
    channels_last: bool = False
    step_seconds: float = 0.0
    """Seconds per step that were measured."""
    time_limit: float = 0.0
    """The seconds that were too few to time everything, because the training was short; 0 where they were enough."""

    def suffices(self, steps: int) -> bool:
        """Whether a training of `steps` steps allows no much longer timing than this one."""
        return (
            MAX_TRAINING_SHARE * steps * self.step_seconds <= 2 * self.time_limit if self.time_limit else True
        )


class TuningCache(Record, frozen=True, kw_only=True):
    """`threads.json`: the results so far, by `_cache_key`."""

    tuned: dict[str, TunedExecution] = {}


def autotune(
    module: nn.Module, task: Task, train: TrainingSettings, batch: Batch, model: str, *, steps: int
) -> TunedExecution:
    """The cached result for this host, model and batch shape, or else that of a short timing.

    It takes at most `MAX_TRAINING_SHARE` of a training of `steps` steps. A busy host has its own cache entry: two
    threads that compete for their cores can be many times slower than one. Real steps are timed on a copy of
    `module`; random states and the thread count are unchanged.
    """
    key = _cache_key(model, module, batch)
    path = paths.home() / "threads.json"
    known = read_record(path, TuningCache) or TuningCache()
    cached = known.tuned.get(key)
    if cached is not None and not 1 <= cached.threads <= usable_cores():
        cached = None
    if cached is not None and cached.suffices(steps):
        return cached
    if steps < MIN_STEPS:
        return cached or TunedExecution(threads=1 if cores_are_contended() else usable_cores())
    fastest = _find_fastest(module, task, train, batch, steps)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, TuningCache(tuned={**known.tuned, key: fastest}))
    return fastest


def _cache_key(model: str, module: nn.Module, batch: Batch) -> str:
    """A short key of everything the timing depends on, the same in every process."""
    shapes = [tuple(p.shape) for p in module.parameters()]
    described = f"{model} {shapes} {tuple(batch.inputs.shape)} {batch.inputs.dtype} {torch.__version__}"
    digest = hashlib.sha256(described.encode()).hexdigest()[:16]
    load = "busy" if cores_are_contended() else "quiet"
    return f"{host_name()} {platform.machine()} {core_budget()} {load} {digest}"


class _TimeLimit:
    """The seconds that timing may take, by the fastest step seen so far."""

    def __init__(self, steps: int) -> None:
        self._steps, self._start = steps, time.perf_counter()
        self.step_seconds = math.inf

    @property
    def seconds(self) -> float:
        """The limit in seconds."""
        return MAX_TRAINING_SHARE * self._steps * self.step_seconds

    def window(self, timings: int) -> float | None:
        """The seconds for each of `timings` more timings after its warm-up step; `None` where there is no time left."""
        available = (self.seconds - (time.perf_counter() - self._start)) / timings
        if self.step_seconds > TIMING_SECONDS:  # then the warm-up step is the timing
            return TIMING_SECONDS if available >= self.step_seconds else None
        window = min(TIMING_SECONDS, available - self.step_seconds)
        return window if window >= min(2 * self.step_seconds, TIMING_SECONDS) else None


def _find_fastest(
    module: nn.Module, task: Task, train: TrainingSettings, batch: Batch, steps: int
) -> TunedExecution:
    previous_threads, limit = torch.get_num_threads(), _TimeLimit(steps)
    try:
        with torch.random.fork_rng(devices=[]):
            measured, complete = _time_threads(_trial_step(module, task, train, batch), limit)
            threads = _fewest_fast_threads(measured)
            # Timing the memory format takes more steps, too long where a step is slow.
            channels_last = False
            if limit.step_seconds < SLOW_STEP_SECONDS and _has_convolutions(module, batch):
                window = limit.window(4)
                complete = complete and window is not None
                channels_last = window is not None and _channels_last_is_faster(
                    module, task, train, batch, threads=threads, window=window
                )
            return TunedExecution(
                threads=threads,
                channels_last=channels_last,
                step_seconds=measured[threads],
                time_limit=0.0 if complete else limit.seconds,
            )
    finally:
        torch.set_num_threads(previous_threads)


def _time_threads(step: Callable[[], None], limit: _TimeLimit) -> tuple[dict[int, float], bool]:
    """Seconds per step by number of threads, and whether there was time for all that could be the fastest."""
    # From many threads to few, because a large model needs minutes for a step on one. Where other processes compete
    # for the cores, a step on many threads is the slow one.
    candidates = candidate_thread_counts(usable_cores())
    if not cores_are_contended():
        candidates.reverse()
    measured = {candidates[0]: _seconds_per_step(step, candidates[0], 0.0)}
    if measured[candidates[0]] < TIMING_SECONDS and len(candidates) > 1:
        # Small models are faster on one thread: the time limit must not follow from the slower steps on many.
        measured[candidates[-1]] = _seconds_per_step(step, candidates[-1], 0.0)
    limit.step_seconds = min(measured.values())
    for index, count in enumerate(candidates):
        window = limit.window(len(candidates) - index)
        if window is None:
            return measured, len(candidates) == 1
        measured[count] = _seconds_per_step(step, count, window)
        if measured[count] > STOP_TIME_RATIO * min(measured.values()):
            break
        limit.step_seconds = min(measured.values())
    return measured, True


def _fewest_fast_threads(measured: Mapping[int, float]) -> int:
    """The number of threads to use: more only where they are clearly faster."""
    best = min(measured)
    for count in sorted(measured):
        if measured[count] < MAX_TIME_RATIO * measured[best]:
            best = count
    return best


def _has_convolutions(module: nn.Module, batch: Batch) -> bool:
    return batch.inputs.ndim == 4 and any(isinstance(part, nn.Conv2d) for part in module.modules())


def _channels_last_is_faster(
    module: nn.Module, task: Task, train: TrainingSettings, batch: Batch, *, threads: int, window: float
) -> bool:
    """Whether convolutions are faster in the `channels_last` memory format; both formats are timed alternately."""
    if not supports_channels_last(module, batch.inputs[:2]):
        return False
    images = batch.inputs.contiguous(memory_format=torch.channels_last)
    steps = (
        _trial_step(module, task, train, batch),
        _trial_step(
            module, task, train, Batch(images, batch.targets, batch.soft_targets), torch.channels_last
        ),
    )
    rounds = [[_seconds_per_step(step, threads, window) for step in steps] for _ in range(2)]
    contiguous, channels_last = (min(column) for column in zip(*rounds, strict=True))
    return bool(channels_last < MAX_LAYOUT_TIME_RATIO * contiguous)


def candidate_thread_counts(cores: int) -> list[int]:
    """The powers of two below `cores`, and `cores`."""
    powers = [1 << k for k in range(cores.bit_length()) if 1 << k < cores]
    return [*powers, cores]


def _trial_step(
    module: nn.Module,
    task: Task,
    train: TrainingSettings,
    batch: Batch,
    layout: torch.memory_format = torch.preserve_format,
) -> Callable[[], None]:
    """A function that makes one training step on a copy of `module`."""
    copied = copy.deepcopy(module).train().to(memory_format=layout)
    update = unwrapped_step(make_optimizer(copied, train, batch.inputs.device))
    parameters = list(copied.parameters())

    def step() -> None:
        loss = task.loss(copied(batch.inputs), batch.loss_targets)
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        update()

    return step


def _seconds_per_step(step: Callable[[], None], threads: int, window: float) -> float:
    """Mean seconds per step with this number of threads, over `window` seconds and at least one step.

    The mean, unlike the minimum, shows contention for cores. The first step warms up; where it takes longer than
    `TIMING_SECONDS`, its own time is returned.
    """
    torch.set_num_threads(threads)
    start = time.perf_counter()
    step()
    elapsed = time.perf_counter() - start
    if elapsed > TIMING_SECONDS and window:
        return elapsed
    start, steps = time.perf_counter(), 0
    while not steps or time.perf_counter() - start < window:
        step()
        steps += 1
    return (time.perf_counter() - start) / steps
