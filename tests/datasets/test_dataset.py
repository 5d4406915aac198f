"""Splits, means, fingerprints, and the checks on what was loaded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.core.errors import UserError
from workbench.datasets import dataset as module
from workbench.datasets.dataset import (
    Dataset,
    Split,
    fingerprint_of,
    mean_and_std,
    validate,
    with_statistics,
    with_validation,
)
from workbench.datasets.drawing import derived_seed, stratified_split


def make(labels=(0, 1) * 10, classes=("a", "b"), **changes):
    split = Split(torch.arange(len(labels) * 3, dtype=torch.uint8).reshape(-1, 3, 1, 1), torch.tensor(labels))
    return Dataset("classification", classes, **{"train": split, "validation": None, "test": split} | changes)


def of(images):
    return Split(images, torch.zeros(len(images), dtype=torch.int64))


def test_a_part_is_of_every_class():
    labels = [0] * 100 + [1] * 10 + [2] * 2 + [3]
    train, test = stratified_split(labels, 0.1, 7, "x")
    assert np.bincount([labels[i] for i in test], minlength=4).tolist() == [10, 1, 1, 0]
    assert sorted(train + test) == list(range(len(labels)))
    assert (train, test) == stratified_split(labels, 0.1, 7, "x")
    assert test != stratified_split(labels, 0.1, 8, "x")[1]
    assert test != stratified_split(labels, 0.1, 7, "y")[1]


def test_seeds_are_hashed():
    assert derived_seed(1, "a") == derived_seed(1, "a") != derived_seed(1, "b")
    assert derived_seed(1, 23) != derived_seed(12, 3)
    assert 0 <= derived_seed(-5) < 2**63


def test_validation_is_taken_from_the_training_data():
    data = with_validation(make(), 0.2, 0)
    assert len(data.train) == 16 and len(data.validation) == 4 and len(data.test) == 20
    pixels = torch.cat([data.train.inputs, data.validation.inputs]).flatten(1)[:, 0]
    assert sorted(pixels.tolist()) == list(range(0, 60, 3))
    assert with_validation(data, 0.5, 0) is data
    assert with_validation(make(), 0, 0).validation is None


def test_parts_of_what_is_mapped_stay_mapped():
    whole = make()
    mapped = Split(whole.train.inputs, whole.train.targets, mapped=True)
    data, copied = with_validation(make(train=mapped), 0.2, 0), with_validation(whole, 0.2, 0)
    assert data.train.inputs.data_ptr() == mapped.inputs.data_ptr()
    everything = torch.arange(16)
    assert torch.equal(data.train.gather(everything), copied.train.inputs)
    assert torch.equal(data.train.sample(3), copied.train.inputs[3])
    assert (len(data.train), data.train.nbytes) == (16, copied.train.inputs.nbytes)
    assert with_statistics(data).mean == with_statistics(copied).mean
    twice = data.train.take([4, 2])
    assert torch.equal(twice.gather(torch.tensor([1, 0])), copied.train.inputs[[2, 4]])


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_deviation_are_numpys(channels):
    images = np.random.default_rng(0).integers(0, 256, (50, channels, 9, 7), np.uint8)
    mean, std = mean_and_std(of(torch.from_numpy(images)))
    scaled = images / 255.0
    assert mean == pytest.approx(scaled.mean((0, 2, 3)), abs=1e-12)
    assert std == pytest.approx(scaled.std((0, 2, 3)), abs=1e-12)


def test_constant_features_have_standard_deviation_one():
    assert mean_and_std(of(torch.full((4, 1, 2, 2), 51, dtype=torch.uint8))) == ((0.2,), (1.0,))


def test_large_sets_are_measured_by_evenly_spaced_examples(monkeypatch):
    images = (
        (torch.arange(1000) % 200).to(torch.uint8).reshape(1000, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    )
    monkeypatch.setattr(module, "_STATISTICS_BYTES", 16 * 350)
    mean, _ = mean_and_std(of(images))
    assert mean[0] == pytest.approx(99.5 / 255, rel=0.02)


def test_only_images_are_measured():
    split = Split(torch.rand(20, 2), torch.tensor([0, 1] * 10))
    assert with_statistics(make(train=split)).mean == ()
    assert len(with_statistics(make()).mean) == 3


def test_fingerprints_tell_contents_apart():
    data = make()
    base = fingerprint_of((data.train, data.test), ("a", "b"))
    assert base == fingerprint_of((make().train, None, make().test), ("a", "b"))
    changed = make().train
    changed.inputs[3] += 1
    others = [
        fingerprint_of((changed, data.test), ("a", "b")),
        fingerprint_of((data.train, data.test), ("a", "c")),
        fingerprint_of((data.train,), ("a", "b")),
    ]
    assert len({base, *others}) == 4


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (make(classes=("a",), labels=(0, 0)), "only one class"),
        (make(labels=(0, 2)), "labels range from 0 to 2"),
        (make(labels=(-1, 1)), "labels range from -1"),
        (make(test=Split(torch.zeros(0, 3, 1, 1), torch.zeros(0))), "no test samples"),
        (make(test=Split(torch.zeros(2, 3, 2, 2), torch.zeros(2, dtype=torch.int64))), "differ in shape"),
        (make(test=Split(torch.zeros(3, 3, 1, 1), torch.zeros(2, dtype=torch.int64))), "3 test inputs but 2"),
    ],
)
def test_unlearnable_data_is_an_error(data, words):
    with pytest.raises(UserError, match=words):
        validate(data, "this")
