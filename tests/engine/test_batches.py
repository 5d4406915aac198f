from __future__ import annotations

import pytest
import torch
from torch import Tensor

from workbench.datasets.augmentation import Augment
from workbench.datasets.dataset import Split
from workbench.engine import batches as module
from workbench.engine.batches import Batches, Epochs, batch_bounds, epoch_order, sequential_batches
from workbench.engine.data_placement import PlacedSplit, place_split

CPU = torch.device("cpu")


def scaled(raw: Tensor, _: torch.device) -> Tensor:
    return raw.float() / 255


@pytest.fixture
def source() -> PlacedSplit:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (101, 1, 6, 6), dtype=torch.uint8, generator=generator)
    return place_split(Split(inputs, torch.arange(101) % 5), scaled, CPU)


def test_an_order_is_a_function_of_seed_and_epoch() -> None:
    targets = torch.zeros(50, dtype=torch.int64)
    assert torch.equal(epoch_order(targets, 1, 2), epoch_order(targets, 1, 2))
    assert not torch.equal(epoch_order(targets, 1, 2), epoch_order(targets, 2, 1))
    assert epoch_order(targets, 1, 2).sort().values.tolist() == list(range(50))


def test_balanced_sampling_draws_all_classes_equally_often() -> None:
    targets = torch.tensor([0] * 90 + [1] * 7 + [3] * 4)
    order = epoch_order(targets, 0, 0, balanced=True)
    assert len(order) == 101
    assert sorted(torch.bincount(targets[order], minlength=4).tolist()) == [0, 33, 34, 34]
    # All seven of a rare class come before any comes again too often.
    rare = torch.bincount(order[targets[order] == 1], minlength=97)[90:97]
    assert rare.max() - rare.min() <= 1


def test_a_last_singleton_joins_the_previous_batch() -> None:
    assert batch_bounds(9, 4, merge_last_singleton=True) == [(0, 4), (4, 9)]
    assert batch_bounds(9, 4, merge_last_singleton=False) == [(0, 4), (4, 8), (8, 9)]
    assert batch_bounds(10, 4, merge_last_singleton=True) == [(0, 4), (4, 8), (8, 10)]
    assert batch_bounds(1, 4, merge_last_singleton=True) == [(0, 1)]


@pytest.mark.parametrize("chunk", [1, 1_000, 10_000_000])
def test_iterating_from_a_position_yields_the_same_batches(
    source: PlacedSplit, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module.CHUNK_BYTES, "cpu", chunk)
    epochs = Epochs(
        source,
        8,
        3,
        balanced=False,
        merge_last_singleton=False,
        augment=Augment(["crop", "cutmix"]),
        classes=5,
    )
    whole = list(epochs.batches(1).iter_from(0))
    assert len(whole) == epochs.steps == 13
    for position in range(14):
        rest = list(epochs.batches(1).iter_from(position))
        assert len(rest) == 13 - position
        for batch, expected in zip(rest, whole[position:], strict=True):
            assert torch.equal(batch.inputs, expected.inputs)
            assert torch.equal(batch.targets, expected.targets)
            assert torch.equal(batch.loss_targets, expected.loss_targets)


def test_batches_contain_the_samples_in_the_given_order(source: PlacedSplit) -> None:
    order = torch.randperm(101)
    got = list(Batches(source, order, 7).iter_from(0))
    assert torch.equal(torch.cat([b.inputs for b in got]), scaled(source.inputs[order], CPU))
    assert torch.equal(torch.cat([b.targets for b in got]), source.targets[order])
    assert [len(b) for b in got] == [7] * 14 + [3]


def test_every_epoch_is_augmented_differently(source: PlacedSplit) -> None:
    epochs = Epochs(source, 101, 3, balanced=False, merge_last_singleton=False, augment=Augment(["rotate"]))
    images = []
    for epoch in (0, 1):
        order = epoch_order(source.targets, 3, epoch)
        batch = next(epochs.batches(epoch).iter_from(0))
        images.append(batch.inputs[order.argsort()])
    assert not torch.equal(*images)


def test_sequential_batches_contain_every_sample_once(source: PlacedSplit) -> None:
    got = torch.cat([b.targets for b in sequential_batches(source, 10).iter_from(0)])
    assert torch.equal(got, source.targets)
    assert source.resident
