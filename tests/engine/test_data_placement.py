"""Where examples lie, and reading ahead of those that do not fit."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from workbench.datasets.dataset import Split, map_file
from workbench.engine import data_placement as module
from workbench.engine.batches import Batches
from workbench.engine.data_placement import Source, source_of
from workbench.engine.prefetch import ahead

CPU = torch.device("cpu")


def plain(raw: Tensor, _: torch.device) -> Tensor:
    return raw.float()


@pytest.fixture
def mapped(tmp_path: Path) -> Split:
    values = torch.randint(0, 256, (50, 1, 4, 5), dtype=torch.uint8)
    (tmp_path / "pictures").write_bytes(values.numpy().tobytes())
    return Split(map_file(tmp_path / "pictures", values.shape), torch.arange(50), mapped=True)


def placed(split: Split, free: int, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setattr(module, "host_memory", lambda: (None, free))
    return source_of(split, plain, CPU)


@pytest.mark.parametrize("piece", [1, 77, 10**6])
def test_what_fits_in_half_of_the_free_memory_is_read_into_it_piece_by_piece(
    mapped: Split, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", piece)
    taken: list[int] = []
    whole = Split.examples
    monkeypatch.setattr(Split, "examples", lambda self, rows: taken.append(len(rows)) or whole(self, rows))
    there = placed(mapped, 2001, monkeypatch)
    assert there.resident
    assert there.why == "resident in memory: 1.0 kB of 2.0 kB free"
    assert there.inputs.data_ptr() != mapped.inputs.data_ptr()
    assert torch.equal(there.inputs, mapped.inputs)
    part = mapped.take(range(40))
    assert torch.equal(placed(part, 10**9, monkeypatch).inputs, mapped.inputs[:40])
    assert max(taken) == max(1, min(50, piece // 20))


def test_what_does_not_fit_stays_a_map_and_says_why(mapped: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    there = placed(mapped, 1999, monkeypatch)
    assert not there.resident
    assert there.why == "streamed: 1.0 kB do not fit in half of the 2.0 kB free in memory"
    assert there.inputs.data_ptr() == mapped.inputs.data_ptr()


def test_what_is_in_memory_stays_there(mapped: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Split(mapped.inputs.clone(), mapped.targets)
    there = placed(held, 10, monkeypatch)
    assert there.resident
    assert there.inputs is held.inputs


@pytest.mark.parametrize("chunk", [1, 700, 10**6])
def test_streamed_batches_are_those_of_resident_ones(
    mapped: Split, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("workbench.engine.batches").training.batches.CHUNK_BYTES, "cpu", chunk)
    part = mapped.take(torch.randperm(50)[:47].tolist())
    order = torch.randperm(47)
    here, there = placed(part, 10**9, monkeypatch), placed(part, 10, monkeypatch)
    for position in (0, 5):
        pairs = zip(*(Batches(s, order, 6).starting_at(position) for s in (here, there)), strict=True)
        for resident, streamed in pairs:
            assert torch.equal(resident.inputs, streamed.inputs)
            assert torch.equal(resident.targets, streamed.targets)


def reading() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_reading_is_ahead_in_order_and_in_a_thread_that_ends() -> None:
    begun, released = [], threading.Event()

    def read(key: int) -> tuple[int, str]:
        begun.append(key)
        if key == 1:
            released.wait(10)
        return key, threading.current_thread().name

    chunks = ahead(read, range(5))
    key, name = next(chunks)
    assert (key, name.startswith("read-ahead")) == (0, True)
    released.set()
    assert [key for key, _ in chunks] == [1, 2, 3, 4]
    assert begun == [0, 1, 2, 3, 4]
    assert not reading()


def test_errors_of_reading_come_through_and_no_thread_stays() -> None:
    def read(key: int) -> int:
        if key == 2:
            raise OSError("the disk is gone")
        return key

    chunks = ahead(read, range(5))
    assert [next(chunks), next(chunks)] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(chunks)
    given_up = ahead(read, range(2))
    next(given_up)
    given_up.close()
    for thread in threading.enumerate():
        if thread.name.startswith("read-ahead"):
            thread.join(10)
    assert not reading()
