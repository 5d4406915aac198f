"""What is kept of a long run's evaluations, and of its samples of use."""

from __future__ import annotations

import itertools
import os
import time

import msgspec

from workbench.io.atomic_files import write_bytes
from workbench.io.record_codec import write_record
from workbench.runs.evaluation_retention import MAX_SPACED, NEWEST_KEPT, prune_evaluations, retention_stride
from workbench.runs.metrics import EvaluationFile
from workbench.runs.resource_usage import (
    MAX_SAMPLES,
    SAMPLE_SECONDS,
    UsageSampler,
    UsageSummary,
    sample_interval,
    summarize_usage,
)
from workbench.runs.run_folder import RunFolder


def evaluated(folder: RunFolder, step: int, split: str = "validation") -> None:
    path = folder.evaluation(step, split)
    write_record(path, EvaluationFile(step=step, epoch=0, split=split), durable=False)
    write_bytes(path.with_suffix(".bin"), b"", durable=False)


def test_a_long_run_keeps_a_bounded_and_even_part(folder: RunFolder) -> None:
    best = 37
    evaluated(folder, 0, "test")
    for epoch in range(1, 3001):
        evaluated(folder, epoch * 7)
        if epoch > MAX_SPACED:
            prune_evaluations(folder, "validation", 7, {best * 7})
    kept = [step // 7 for step in folder.evaluated_steps("validation")]
    assert len(kept) <= MAX_SPACED + NEWEST_KEPT + 2
    assert {1, best, *range(3001 - NEWEST_KEPT, 3001)} <= set(kept)
    even = [epoch for epoch in kept if epoch not in {1, best}][: -NEWEST_KEPT - 1]
    assert {b - a for a, b in itertools.pairwise(even)} == {retention_stride(3000)} == {16}
    assert len(list(folder.evaluations.glob("*.bin"))) == len(kept) + 1
    assert folder.evaluated_steps("test") == [0]


def test_a_short_run_keeps_all(folder: RunFolder) -> None:
    for epoch in range(1, MAX_SPACED + 1):
        evaluated(folder, epoch * 7)
    prune_evaluations(folder, "validation", 7, ())
    assert len(folder.evaluated_steps("validation")) == MAX_SPACED


def test_samples_of_use_grow_rarer_and_end() -> None:
    assert sample_interval(0) == SAMPLE_SECONDS
    assert sample_interval(MAX_SAMPLES) is None
    waits = [sample_interval(count) or 0.0 for count in range(MAX_SAMPLES)]
    assert waits == sorted(waits)
    assert sum(waits) > 40 * 86400


def test_a_sample_of_this_process_is_summed_up() -> None:
    usage = UsageSampler(os.getpid(), None)
    end = time.monotonic() + 0.1  # some ticks of the clock by which the load of the machine is counted
    while time.monotonic() < end:
        sum(range(1_000))
    sample = usage.sample(attempt=1)
    assert sample.rss and sample.rss > 1_000_000 and sample.cpu is not None and sample.cpu >= 0
    summary = summarize_usage([sample, msgspec.structs.replace(sample, gpu_load=0.5)])
    assert sample.step is None and 0 <= sample.machine_cpu <= 1 and sample.machine_memory > sample.rss / 2
    assert sample.gpus == () and sample.disk_read is not None
    assert summary == UsageSummary(samples=2, cpu=sample.cpu, gpu_load=0.5, rss=sample.rss)
    assert summarize_usage([]) is None
