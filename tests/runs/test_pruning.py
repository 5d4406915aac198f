"""What is kept of a long run's evaluations, and of its samples of use."""

from __future__ import annotations

import itertools
import os

from workbench.runs.layout import RunFolder
from workbench.runs.pruning import KEPT, NEWEST, prune_evaluations, stride
from workbench.runs.usage import EVERY, MOST, Usage, interval, summed_up


def evaluated(folder: RunFolder, step: int, split: str = "validation") -> None:
    for suffix in ("json", "bin"):
        (folder.evaluations / f"step-{step}-{split}.{suffix}").write_text("")


def test_a_long_run_keeps_a_bounded_and_even_part(folder: RunFolder) -> None:
    best = 37
    evaluated(folder, 0, "test")
    for epoch in range(1, 3001):
        evaluated(folder, epoch * 7)
        if epoch > KEPT:
            prune_evaluations(folder, "validation", 7, {best * 7})
    kept = sorted(int(p.name.split("-")[1]) // 7 for p in folder.evaluations.glob("*-validation.json"))
    assert len(kept) <= KEPT + NEWEST + 2
    assert {1, best, *range(3001 - NEWEST, 3001)} <= set(kept)
    even = [epoch for epoch in kept if epoch not in {1, best}][: -NEWEST - 1]
    assert {b - a for a, b in itertools.pairwise(even)} == {stride(3000)} == {16}
    assert len(list(folder.evaluations.glob("*.bin"))) == len(kept) + 1
    assert (folder.evaluations / "step-0-test.json").exists()


def test_a_short_run_keeps_all(folder: RunFolder) -> None:
    for epoch in range(1, KEPT + 1):
        evaluated(folder, epoch * 7)
    prune_evaluations(folder, "validation", 7, ())
    assert len(list(folder.evaluations.glob("*.json"))) == KEPT


def test_samples_of_use_grow_rarer_and_end() -> None:
    assert interval(0) == EVERY
    assert interval(MOST) is None
    waits = [interval(count) or 0.0 for count in range(MOST)]
    assert waits == sorted(waits)
    assert sum(waits) > 40 * 86400


def test_a_sample_of_this_process_is_summed_up() -> None:
    usage = Usage(os.getpid(), None)
    sum(range(200_000))
    sample = usage.sample()
    assert sample["rss"] > 1_000_000 and sample["cpu"] >= 0
    journal = [{"kind": "system", **sample}, {"kind": "system", **sample, "gpu_load": 0.5}, {"kind": "phase"}]
    assert summed_up(journal) == {"samples": 2, "cpu": sample["cpu"], "gpu_load": 0.5, "rss": sample["rss"]}
    assert summed_up([]) is None
