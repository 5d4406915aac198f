"""Several processes get the batches of one: every sample once, in the same order, with the same augmentation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workbench.datasets.augmentation import Augment
from workbench.datasets.dataset import Split
from workbench.engine import batches as module
from workbench.engine.batches import Batch, Epochs, sequential_batches
from workbench.engine.data_placement import PlacedSplit, place_split
from workbench.engine.process_group import ProcessGroup

CPU = torch.device("cpu")
SAMPLES = 101


class Member(ProcessGroup):
    """One of several processes, which exchange nothing."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def plain(raw: Tensor, _: torch.device) -> Tensor:
    return raw.float() / 255


@pytest.fixture
def source() -> PlacedSplit:
    """Images whose targets are their own indices."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (SAMPLES, 1, 6, 6), dtype=torch.uint8, generator=generator)
    return place_split(Split(inputs, torch.arange(SAMPLES)), plain, CPU)


def epoch(
    source: PlacedSplit, group: ProcessGroup, size: int, augment: tuple[str, ...], merge: bool
) -> list[Batch]:
    epochs = Epochs(
        source, size, 3, balanced=False, merge_last_singleton=merge, augment=Augment(augment) if augment else None,
        classes=SAMPLES, group=group,
    )  # fmt: skip
    return list(epochs.batches(1).iter_from(0))


@pytest.mark.parametrize("chunk", [1, 10_000_000])
@pytest.mark.parametrize("augment", [(), ("crop",), ("crop", "mixup")])
@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize(("size", "processes"), [(10, 2), (10, 3), (33, 2), (25, 4), (20, 7)])
def test_the_parts_of_all_processes_are_the_batches_of_one(
    source: PlacedSplit, monkeypatch: pytest.MonkeyPatch, *, size: int, processes: int, merge: bool,
    augment: tuple[str, ...], chunk: int,
) -> None:  # fmt: skip
    monkeypatch.setitem(module.CHUNK_BYTES, "cpu", chunk)
    whole = epoch(source, ProcessGroup(), size, augment, merge)
    parts = [epoch(source, Member(rank, processes), size, augment, merge) for rank in range(processes)]
    seen: list[int] = []
    for one, *of_ranks in zip(whole, *parts, strict=True):
        counted = [part for part in of_ranks if part.is_counted]
        assert torch.equal(torch.cat([part.inputs for part in counted]), one.inputs)
        assert torch.equal(torch.cat([part.targets for part in counted]), one.targets)
        assert torch.equal(torch.cat([part.loss_targets for part in counted]), one.loss_targets)
        for part in of_ranks:
            assert part.samples == len(one)
            assert len(part) >= 1 + merge or len(one) < 1 + merge, "batch norm can't train on less"
            if not part.is_counted:
                assert torch.equal(part.inputs, one.inputs), "too small to be divided: all compute it"
        if not augment:
            seen += [index for part in counted for index in part.targets.tolist()]
    assert augment or sorted(seen) == list(range(SAMPLES)), "every sample once"


@pytest.mark.parametrize("processes", [2, 3, 7])
def test_an_evaluation_is_divided_without_counting_twice(source: PlacedSplit, processes: int) -> None:
    seen = [
        index
        for rank in range(processes)
        for batch in sequential_batches(source, 10, Member(rank, processes)).iter_from(0)
        for index in batch.targets.tolist()
    ]
    assert seen == list(range(SAMPLES))


@pytest.mark.parametrize("position", [0, 3, 10])
def test_a_part_continues_at_any_position(source: PlacedSplit, position: int) -> None:
    epochs = Epochs(
        source,
        10,
        3,
        balanced=False,
        merge_last_singleton=False,
        augment=Augment(["crop"]),
        group=Member(1, 2),
    )
    whole = list(epochs.batches(0).iter_from(0))
    rest = list(epochs.batches(0).iter_from(position))
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(whole[position:], rest, strict=True))
