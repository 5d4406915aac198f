"""Placement of splits on the device, and prefetching of those that do not fit."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from workbench.datasets.dataset import Split, map_file
from workbench.engine import batches
from workbench.engine import data_placement as module
from workbench.engine.batches import Batches
from workbench.engine.data_placement import PlacedSplit, place_split
from workbench.engine.prefetch import prefetch

CPU = torch.device("cpu")


def plain(raw: Tensor, _: torch.device) -> Tensor:
    return raw.float()


@pytest.fixture
def mapped(tmp_path: Path) -> Split:
    values = torch.randint(0, 256, (50, 1, 4, 5), dtype=torch.uint8)
    (tmp_path / "images").write_bytes(values.numpy().tobytes())
    return Split(map_file(tmp_path / "images", values.shape), torch.arange(50), mapped=True)


def placed(split: Split, free: int, monkeypatch: pytest.MonkeyPatch) -> PlacedSplit:
    monkeypatch.setattr(module, "host_memory", lambda: (None, free))
    return place_split(split, plain, CPU)


@pytest.mark.parametrize("piece", [1, 77, 10**6])
def test_a_split_that_fits_is_copied_to_memory_in_chunks(
    mapped: Split, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COPY_CHUNK_BYTES", piece)
    taken: list[int] = []
    whole = Split.gather
    monkeypatch.setattr(Split, "gather", lambda self, rows: taken.append(len(rows)) or whole(self, rows))
    there = placed(mapped, 2001, monkeypatch)
    assert there.resident
    assert there.reason == "resident in memory: 1.0 kB of 2.0 kB free"
    assert there.inputs.data_ptr() != mapped.inputs.data_ptr()
    assert torch.equal(there.inputs, mapped.inputs)
    part = mapped.take(range(40))
    assert torch.equal(placed(part, 10**9, monkeypatch).inputs, mapped.inputs[:40])
    assert max(taken) == max(1, min(50, piece // 20))


def test_a_split_that_does_not_fit_is_streamed_with_a_reason(
    mapped: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = placed(mapped, 1999, monkeypatch)
    assert not there.resident
    assert there.reason == "streamed: 1.0 kB do not fit in half of the 2.0 kB free in memory"
    assert there.inputs.data_ptr() == mapped.inputs.data_ptr()


def test_a_split_in_memory_is_not_copied(mapped: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Split(mapped.inputs.clone(), mapped.targets)
    there = placed(held, 10, monkeypatch)
    assert there.resident
    assert there.inputs is held.inputs


@pytest.mark.parametrize("chunk", [1, 700, 10**6])
def test_streamed_batches_equal_resident_batches(
    mapped: Split, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(batches.CHUNK_BYTES, "cpu", chunk)
    part = mapped.take(torch.randperm(50)[:47].tolist())
    order = torch.randperm(47)
    here, there = placed(part, 10**9, monkeypatch), placed(part, 10, monkeypatch)
    for position in (0, 5):
        pairs = zip(*(Batches(s, order, 6).iter_from(position) for s in (here, there)), strict=True)
        for resident, streamed in pairs:
            assert torch.equal(resident.inputs, streamed.inputs)
            assert torch.equal(resident.targets, streamed.targets)


def reading() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_prefetching_keeps_the_order_and_ends_its_thread() -> None:
    started, released = [], threading.Event()

    def read(key: int) -> tuple[int, str]:
        started.append(key)
        if key == 1:
            released.wait(10)
        return key, threading.current_thread().name

    chunks = prefetch(read, range(5))
    key, name = next(chunks)
    assert (key, name.startswith("read-ahead")) == (0, True)
    released.set()
    assert [key for key, _ in chunks] == [1, 2, 3, 4]
    assert started == [0, 1, 2, 3, 4]
    assert not reading()


def test_errors_of_prefetching_are_raised_and_the_thread_ends() -> None:
    def read(key: int) -> int:
        if key == 2:
            raise OSError("the disk is gone")
        return key

    chunks = prefetch(read, range(5))
    assert [next(chunks), next(chunks)] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(chunks)
    given_up = prefetch(read, range(2))
    next(given_up)
    given_up.close()
    for thread in threading.enumerate():
        if thread.name.startswith("read-ahead"):
            thread.join(10)
    assert not reading()
