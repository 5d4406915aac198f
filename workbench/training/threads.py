"""How many CPU threads train fastest: timed once per host, model and batch shape, then remembered."""

from __future__ import annotations

import copy
import hashlib
import platform
import time
from collections.abc import Callable

import torch
from torch import nn

from workbench import paths
from workbench.cores import usable_cores
from workbench.experiment import Train
from workbench.io.atomic import read_json, write_json
from workbench.runs.layout import host
from workbench.training.batches import Batch
from workbench.training.optim import make_optimizer, plain_step
from workbench.training.task import Task

SECONDS = 0.1
"""What one candidate is timed for, after one step to warm up."""
GAIN = 0.8
"""More threads must take less than this part of the time of fewer: once others want the cores too, they lose more
than they ever won."""


def pick_threads(module: nn.Module, task: Task, train: Train, batch: Batch, model: str) -> int:
    """The number for this model and batch: what was found before on this host, else what a short timing finds.

    Real steps are timed on a copy of `module`; random states and the thread count are left as they were.
    """
    key = _key(model, module, batch)
    path = paths.home() / "threads.json"
    known = read_json(path) or {"v": 1, "threads": {}}
    found = known.get("threads", {}).get(key)
    if isinstance(found, int) and 1 <= found <= usable_cores():
        return found
    chosen = _fastest(module, task, train, batch)
    known.setdefault("threads", {})[key] = chosen
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, known)
    return chosen


def _key(model: str, module: nn.Module, batch: Batch) -> str:
    """What the timing depends on, short and the same in every process."""
    shapes = [tuple(p.shape) for p in module.parameters()]
    described = f"{model} {shapes} {tuple(batch.inputs.shape)} {batch.inputs.dtype} {torch.__version__}"
    digest = hashlib.sha256(described.encode()).hexdigest()[:16]
    return f"{host()} {platform.machine()} {usable_cores()} {digest}"


def _fastest(module: nn.Module, task: Task, train: Train, batch: Batch) -> int:
    before = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        trial = copy.deepcopy(module).train()
        step = _step(trial, task, make_optimizer(trial, train, batch.inputs.device), batch)
        times = {count: _time(step, count) for count in candidates(usable_cores())}
    torch.set_num_threads(before)
    best = 1
    for count in sorted(times):
        if times[count] < GAIN * times[best]:
            best = count
    return best


def candidates(cores: int) -> list[int]:
    """1, 2, 4, … and all cores."""
    powers = [1 << k for k in range(cores.bit_length()) if 1 << k < cores]
    return [*powers, cores]


def _step(
    module: nn.Module, task: Task, optimizer: torch.optim.Optimizer, batch: Batch
) -> Callable[[], None]:
    update, parameters = plain_step(optimizer), list(module.parameters())

    def step() -> None:
        loss = task.loss(module(batch.inputs), batch.wanted)
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        update()

    return step


def _time(step: Callable[[], None], threads: int) -> float:
    """Seconds a step takes with so many threads: the mean, which shows a fight over cores with other programs.

    The first step warms up, and is the measure where it takes long enough to be one.
    """
    torch.set_num_threads(threads)
    start = time.perf_counter()
    step()
    spent = time.perf_counter() - start
    if spent > SECONDS:
        return spent
    start, steps = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < SECONDS:
        step()
        steps += 1
    return spent / steps
